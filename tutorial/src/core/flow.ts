/** The unguided path from a_t to its end, exactly or by Euler steps, and how a gradient at the end is carried back. */

import type { Mixture } from './mixture';
import { addScaled, transposeTimes, type Vec } from './vector';

export interface Ode {
  /** ODE(a_t) */
  end(v: Mixture, a: Vec, t: number): Vec;
  /** (d ODE / d a_t)^T g */
  pullback(v: Mixture, a: Vec, t: number, g: Vec): Vec;
}

/** One dimension, in closed form: ODE_t(a) = F_1^-1(F_t(a)). */
export const exact: Ode = {
  end: (v, a, t) => [v.ode(a[0]!, t)],
  pullback: (v, a, t, g) => [v.odeDerivative(a[0]!, t) * g[0]!],
};

/** A point of an unguided Euler path and the step that leaves it (0 at the end). */
export interface Hop {
  t: number;
  a: Vec;
  step: number;
}

/** The remaining Euler steps from (a, t) to 1 on a grid of `steps`, first point and end included (`flow.integrate`). */
export function rollout(v: Mixture, a: Vec, t: number, steps: number): Hop[] {
  const remaining = Math.ceil((1 - t) * steps - 1e-3); // 1e-3: k/T * T is not k in floating point
  const step = (1 - t) / Math.max(remaining, 1);
  const path: Hop[] = [];
  for (let k = 0; k < remaining; k++) {
    path.push({ t: t + k * step, a, step });
    a = addScaled(a, step, v.velocity(a, t + k * step));
  }
  path.push({ t: 1, a, step: 0 });
  return path;
}

/** The gradient `g` at the end of `path`, carried back hop by hop: one vector per point of the path, g <- g + step (dv/da)^T g. */
export function carryBack(v: Mixture, path: readonly Hop[], g: Vec): Vec[] {
  const carried = new Array<Vec>(path.length);
  for (let k = path.length - 1; k >= 0; k--) {
    const { t, a, step } = path[k]!;
    if (step > 0) g = addScaled(g, step, transposeTimes(v.velocityJacobian(a, t), g));
    carried[k] = g;
  }
  return carried;
}

/** The chain of Euler steps that a sampler would really take, in any dimension. */
export const euler = (steps: number): Ode => ({
  end: (v, a, t) => rollout(v, a, t, steps).at(-1)!.a,
  pullback: (v, a, t, g) => carryBack(v, rollout(v, a, t, steps), g)[0]!,
});
