/** Where the critic is asked for a direction, mirroring `qgf/guidance.py` by name. */

import { exact, type Ode } from './flow';
import type { Mixture } from './mixture';
import { transposeTimes, type Vec } from './vector';
import type { Critic } from './world';

export const GUIDES = ['none', 'ood', 'bptt', 'chain', 'jacobian', 'qgf'] as const;
export type Guide = (typeof GUIDES)[number];

/** The direction g that is added to the velocity at a_t. */
export type Estimator = (v: Mixture, q: Critic, a: Vec, t: number) => Vec;

export const estimators = (ode: Ode): Record<Guide, Estimator> => ({
  /** No guidance: the reference policy itself. */
  none: (_v, _q, a) => a.map(() => 0),
  /** At the noisy action, grad Q(a_t). */
  ood: (_v, q, a) => q.gradient(a),
  /** grad of Q(ODE(a_t)) in a_t, through the whole chain. */
  bptt: (v, q, a, t) => {
    const { end, pullback } = ode(v, a, t);
    return pullback(q.gradient(end));
  },
  /** grad Q at ODE(a_t), the chain's Jacobian replaced by the identity. */
  chain: (v, q, a, t) => q.gradient(ode(v, a, t).end),
  /** J^T grad Q(a1_hat) */
  jacobian: (v, q, a, t) => transposeTimes(v.jacobian(a, t), q.gradient(v.clean(a, t))),
  /** grad Q(a1_hat) */
  qgf: (v, q, a, t) => q.gradient(v.clean(a, t)),
});

/** The estimators of a 1-D world, with the exact ODE. */
export const ESTIMATORS = estimators(exact);
