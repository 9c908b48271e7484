/** Seeded random numbers, so that every picture can be drawn again. */

export interface Rng {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
}

/** The finaliser of MurmurHash3. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** A 32-bit counter that starts where the seed hashes to, mixed to look random; normals in pairs by Box and Muller. */
export function rng(seed: number): Rng {
  let counter = mix(seed + 1);
  let spare: number | undefined;
  const uniform = () => {
    counter = (counter + 0x9e3779b9) | 0;
    return (mix(counter) >>> 0) / 2 ** 32;
  };
  const normal = () => {
    if (spare !== undefined) {
      const z = spare;
      spare = undefined;
      return z;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return { uniform, normal };
}

/** n draws of N(0, I) in d dimensions. */
export function noise(seed: number, n: number, d: number): number[][] {
  const { normal } = rng(seed);
  return Array.from({ length: n }, () => Array.from({ length: d }, normal));
}
