/** The Jacobian J = d a1_hat / d a_t of a trained flow, and what it does to the critic's gradient. */

import { asymmetry, singularValues } from './matrix';
import type { Numbers } from './network';
import { STEPS, type Policy } from './policy';
import { rng } from './rng';
import { transposeTimes, type Mat, type Point } from './vector';

export interface Turned {
  /** The noisy action and its one-step estimate. */
  a: Numbers;
  clean: Numbers;
  J: Mat;
  /** grad Q at the estimate, and J^T times it. */
  g: Numbers;
  Jg: Numbers;
  /** Cosine between the two. */
  cosine: number;
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);

/** At a state, on the unguided path from the noise, after `k` of the ten steps. */
export function turned(policy: Policy, state: Point, noise: Numbers, k: number): Turned {
  const at = policy.at(state);
  const t = k / STEPS;
  const a = k === 0 ? noise : (at.denoise(noise, 'none', 0).steps[k]?.a ?? noise);
  const v = at.velocity(a, t);
  const J = Array.from(a, (_, i) => {
    const row = v.pullback(a.map((__, j) => (i === j ? 1 : 0)));
    return Array.from(row, (x, j) => (i === j ? 1 : 0) + (1 - t) * x);
  });
  const clean = at.clean(a, t, v).value;
  const g = at.gradient(clean);
  const Jg = Float64Array.from(transposeTimes(J, Array.from(g)));
  return { a, clean, J, g, Jg, cosine: dot(g, Jg) / Math.sqrt(dot(g, g) * dot(Jg, Jg)) };
}

/** Largest over smallest magnification. */
export const conditionNumber = (J: Mat): number => {
  const sigma = singularValues(J);
  return sigma[0]! / sigma.at(-1)!;
};

export interface Survey {
  t: number;
  /** Medians over the states. */
  asymmetry: number;
  condition: number;
  cosine: number;
  /** The share of states in which J^T grad Q points against grad Q. */
  against: number;
  /** The cosines in the first hundred. */
  some: number[];
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Of `count` random states of the maze, each with noise of its own. */
export function survey(policy: Policy, k: number, count = 1000, seed = 1): Survey {
  const { maze, d } = policy;
  const { uniform, normal } = rng(seed);
  const anywhere = (): Point => [maze.centre[0] + (2 * uniform() - 1) * maze.reach[0], maze.centre[1] + (2 * uniform() - 1) * maze.reach[1]];
  /** Where the ball fits. */
  const spot = (): Point => {
    const place = anywhere();
    return maze.settle(place).every((x, i) => x === place[i]) ? place : spot();
  };
  const all = Array.from({ length: count }, () => turned(policy, spot(), Float64Array.from({ length: d }, normal), k));
  const short = (x: number) => Number(x.toPrecision(3));
  return {
    t: k / STEPS,
    asymmetry: short(median(all.map(({ J }) => asymmetry(J)))),
    condition: short(median(all.map(({ J }) => conditionNumber(J)))),
    cosine: short(median(all.map(({ cosine }) => cosine))),
    against: all.filter(({ cosine }) => cosine < 0).length / count,
    some: all.slice(0, 100).map(({ cosine }) => short(cosine)),
  };
}
