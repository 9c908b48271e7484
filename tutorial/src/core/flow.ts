/** The unguided path from a_t to its end, exactly or by Euler steps, and how a gradient at the end is carried back. */

import type { Mixture } from './mixture';
import { addScaled, transposeTimes, type Vec } from './vector';

/** The end ODE(a_t), and (d ODE / d a_t)^T g for a gradient g there. */
export interface End {
  end: Vec;
  pullback: (g: Vec) => Vec;
}

export type Ode = (v: Mixture, a: Vec, t: number) => End;

/** One dimension, in closed form: ODE_t(a) = F_1^-1(F_t(a)). */
export const exact: Ode = (v, [a], t) => ({ end: [v.ode(a!, t)], pullback: ([g]) => [v.odeDerivative(a!, t) * g!] });

/** How many Euler steps of a grid of `steps` are left at time t. */
const remainingSteps = (t: number, steps: number): number => Math.ceil((1 - t) * steps - 1e-3); // 1e-3: k/T * T is not k in floating point

/** A point of an unguided Euler path and the step that leaves it (0 at the end). */
export interface Hop {
  t: number;
  a: Vec;
  step: number;
}

/** The remaining Euler steps from (a, t) to 1 on a grid of `steps`, first point and end included (`flow.integrate`). */
export function rollout(v: Mixture, a: Vec, t: number, steps: number): Hop[] {
  const remaining = remainingSteps(t, steps);
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
export const euler =
  (steps: number): Ode =>
  (v, a, t) => {
    if (a.length === 1) {
      const remaining = remainingSteps(t, steps);
      const { end, derivative } = v.eulerChain(a[0]!, t, (1 - t) / Math.max(remaining, 1), remaining);
      return { end: [end], pullback: ([g]) => [derivative * g!] };
    }
    const path = rollout(v, a, t, steps);
    return { end: path.at(-1)!.a, pullback: (g) => carryBack(v, path, g)[0]! };
  };
