/** The 1-D worlds of `src/qgf/method/worlds.json` and the critics that the demos ask. */

import worlds from '../../../src/qgf/method/worlds.json';
import { Mixture } from './mixture';
import { dot, scale, sub, type Vec } from './vector';

/** Anything that scores an action and knows its own gradient. */
export interface Critic {
  value(a: Vec): number;
  gradient(a: Vec): Vec;
}

/** Q(a) = -curvature |a - peak|^2 / 2. */
export const bowl = (peak: Vec, curvature = 1): Critic => ({
  value(a) {
    const away = sub(a, peak);
    return -0.5 * curvature * dot(away, away);
  },
  gradient: (a) => scale(curvature, sub(peak, a)),
});

/** A mixture, a critic with a spurious bump away from the data, and the true return. */
export interface World {
  mixture: Mixture;
  critic: Critic;
  trueReturn(a: Vec): number;
  /** Where the true return is highest. */
  best: number;
  steps: number;
  /** The critic's spurious bump. */
  bump: Bump;
}

export interface Bump {
  height: number;
  centre: number;
  width: number;
}

/** Q(a) = -(a - best)^2 + height exp(-(a - centre)^2 / (2 width^2)), summed over the dimensions. */
export function bumpy(best: number, { height, centre, width }: Bump): Critic {
  const bump = (x: number) => height * Math.exp(-((x - centre) ** 2) / (2 * width ** 2));
  return {
    value: (a) => a.reduce((sum, x) => sum - (x - best) ** 2 + bump(x), 0),
    gradient: (a) => a.map((x) => -2 * (x - best) - ((x - centre) / width ** 2) * bump(x)),
  };
}

export function world(name: 'landing' | 'gradients'): World {
  const spec = worlds[name];
  const mixture = new Mixture(spec.modes.map((m) => [m]), spec.weights, spec.std);
  const trueReturn = (a: Vec) => a.reduce((sum, x) => sum - (x - spec.best) ** 2, 0);
  return { mixture, critic: bumpy(spec.best, spec.bump), trueReturn, best: spec.best, steps: spec.steps, bump: spec.bump };
}

/** The guidance weight's range in the landing world: { default, min, max }, wide enough to find where QGF is fooled, too. */
export const weightRange = { ...worlds.landing.weight, max: 12 };

/** n equal modes on a circle: the 2-D world of the demos in the plane. */
export function ring(n: number, radius: number, std: number, turn = 0): Mixture {
  const angle = (k: number) => turn + (2 * Math.PI * k) / n;
  const means = Array.from({ length: n }, (_, k) => scale(radius, [Math.cos(angle(k)), Math.sin(angle(k))]));
  return new Mixture(means, means.map(() => 1), std);
}
