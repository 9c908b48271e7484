/** The standard normal distribution to double precision (rational approximations of W. J. Cody, 1969, and a continued fraction). */

const CENTRE_P = [2.2352520354606837, 161.02823106855587, 1067.6894854603709, 18154.981253343560, 0.065682337918207449];
const CENTRE_Q = [47.202581904688245, 976.09855173777667, 10260.932208618979, 45507.789335026728];
const MIDDLE_P = [
  0.39894151208813466, 8.8831497943883760, 93.506656132177860, 597.27027639480020, 2494.5375852903726, 6848.1904505362825,
  11602.651437647350, 9842.7148383839776, 1.0765576773720192e-8,
];
const MIDDLE_Q = [
  22.266688044328117, 235.38790178262500, 1519.3775994075548, 6485.5582982667610, 18615.571640885097, 34900.952721145980,
  38912.003286093270, 19685.429676859992,
];
const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

/** (p_n x^n + ... ) / (x^n + q ...): `p`'s leading coefficient is stored last, `q` is monic. */
function ratio(p: readonly number[], q: readonly number[], x: number): number {
  const n = q.length;
  let above = p[n]! * x;
  let below = x;
  for (let i = 0; i < n - 1; i++) {
    above = (above + p[i]!) * x;
    below = (below + q[i]!) * x;
  }
  return (above + p[n - 1]!) / (below + q[n - 1]!);
}

/** Phi(-y) for y >= 0.66, without its factor exp(-y^2 / 2); far out by Laplace's continued fraction. */
function scaledTail(y: number): number {
  if (y < 5.656854249492381) return ratio(MIDDLE_P, MIDDLE_Q, y);
  let fraction = y;
  for (let k = 15; k > 0; k--) fraction = y + k / fraction;
  return 1 / (Math.sqrt(2 * Math.PI) * fraction);
}

/** Phi(z), accurate relative to its own size in the lower tail. */
export function ndtr(z: number): number {
  const y = Math.abs(z);
  if (y < 0.67448975) return 0.5 + z * ratio(CENTRE_P, CENTRE_Q, y * y);
  const tail = Math.exp(-0.5 * y * y) * scaledTail(y);
  return z < 0 ? tail : 1 - tail;
}

/** log of the density of N(0, 1) at z. */
export const logDensity = (z: number): number => -0.5 * z * z - HALF_LOG_TWO_PI;
