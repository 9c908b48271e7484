/** Guided Euler sampling, mirroring `qgf/method/sampling.py`. */

import type { Estimator } from './guidance';
import type { Mixture } from './mixture';
import { addScaled, type Vec } from './vector';
import type { Critic } from './world';

/** One step: at time t, at a, pushed by v + w g. */
export interface Step {
  t: number;
  a: Vec;
  v: Vec;
  g: Vec;
}

export interface Trace {
  steps: Step[];
  end: Vec;
}

/** a <- a + (v(a, t) + w g) / T, t = 0, 1/T, ..., 1 - 1/T. */
export function sample(v: Mixture, q: Critic, a0: Vec, estimator: Estimator, weight: number, steps: number): Trace {
  const taken: Step[] = [];
  let a = a0;
  for (let k = 0; k < steps; k++) {
    const t = k / steps;
    const drift = v.velocity(a, t);
    const g = estimator(v, q, a, t);
    taken.push({ t, a, v: drift, g });
    a = addScaled(a, 1 / steps, addScaled(drift, weight, g));
  }
  return { steps: taken, end: a };
}
