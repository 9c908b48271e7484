/** Guidance gradients as functions of a_t in a 1-D world, finely enough that no spike is missed. */

import { ESTIMATORS, type Guide } from './guidance';
import { linspace, type Point } from './vector';
import type { World } from './world';

const EVEN = 1500;
const SPIKY = 800;

/** The a_t between the data's outermost 0.25 % on either side. */
export const dataRange = ({ mixture }: World, t: number): Point => [mixture.quantile(0.0025, t), mixture.quantile(0.9975, t)];

/** Where the unguided path changes peaks, for equal peaks: the quantiles 1/K, 2/K, ... */
export const watersheds = ({ mixture }: World, t: number): number[] =>
  mixture.means.slice(1).map((_, k) => mixture.quantile((k + 1) / mixture.means.length, t));

/** g at a_t, from the exact flow. */
export const gradient = ({ mixture, critic }: World, guide: Guide, a: number, t: number): number =>
  ESTIMATORS[guide](mixture, critic, [a], t)[0]!;

/** What a_t leads to, and the derivative of that in a_t. */
export interface Led {
  a: number;
  to: number;
  factor: number;
}

/**
 * The ODE's end and its derivative over the data's range. The derivative's spikes are about 1e-4 wide in a_t but wide
 * in the endpoint x, so the points are evenly spaced there: a = F_t^-1(F_1(x)), derivative p_t(a) / p_1(x).
 */
export const ends = (world: World, t: number): Led[] =>
  linspace(...dataRange(world, 1), SPIKY).map((x) => {
    const { mixture } = world;
    const a = mixture.quantileOf(x, 1, t);
    return { a, to: x, factor: Math.exp(mixture.logProb([a], t) - mixture.logProb([x], 1)) };
  });

/** The one-step guess and its derivative J over the data's range. */
export const guesses = (world: World, t: number): Led[] =>
  linspace(...dataRange(world, t), EVEN).map((a) => {
    const at = [a];
    return { a, to: world.mixture.clean(at, t)[0]!, factor: world.mixture.jacobian(at, t)[0]![0]! };
  });

/** The points (a_t, g) over the data's range. */
export function gradientCurve(world: World, guide: Guide, t: number): Point[] {
  if (guide !== 'bptt') return linspace(...dataRange(world, t), EVEN).map((a) => [a, gradient(world, guide, a, t)]);
  return ends(world, t).map(({ a, to, factor }) => [a, factor * world.critic.gradient([to])[0]!]);
}
