/** Guidance gradients as functions of a_t in a 1-D world, finely enough that no spike is missed. */

import { ESTIMATORS, type Guide } from './guidance';
import { linspace, type Point } from './vector';
import type { World } from './world';

const EVEN = 3000;
const SPIKY = 1200;

/** The a_t between the data's outermost 0.25 % on either side. */
export const dataRange = ({ mixture }: World, t: number): Point => [mixture.quantile(0.0025, t), mixture.quantile(0.9975, t)];

/** Where the unguided path changes peaks, for equal peaks: the quantiles 1/K, 2/K, ... */
export const watersheds = ({ mixture }: World, t: number): number[] =>
  mixture.means.slice(1).map((_, k) => mixture.quantile((k + 1) / mixture.means.length, t));

/** g at a_t, from the exact flow. */
export const gradient = ({ mixture, critic }: World, guide: Guide, a: number, t: number): number =>
  ESTIMATORS[guide](mixture, critic, [a], t)[0]!;

/**
 * The points (a_t, g) over the data's range. BPTT's spikes are about 1e-4 wide in a_t but wide in the endpoint x, so
 * its points are evenly spaced there: a = F_t^-1(F_1(x)), g = Q'(x) p_t(a) / p_1(x).
 */
export function gradientCurve(world: World, guide: Guide, t: number): Point[] {
  const { mixture, critic } = world;
  if (guide !== 'bptt') return linspace(...dataRange(world, t), EVEN).map((a) => [a, gradient(world, guide, a, t)]);
  return linspace(...dataRange(world, 1), SPIKY).map((x) => {
    const a = mixture.quantileOf(x, 1, t);
    return [a, critic.gradient([x])[0]! * Math.exp(mixture.logProb([a], t) - mixture.logProb([x], 1))];
  });
}
