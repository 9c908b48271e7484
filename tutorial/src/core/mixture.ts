/**
 * A Gaussian-mixture world in closed form, mirroring `qgf/method/toy.py` by name.
 *
 * Data: sum_k w_k N(mu_k, s^2 I); noise N(0, I); a_t = (1 - t) a_0 + t a_1. With sigma^2 = (1 - t)^2 + t^2 s^2, a_t is
 * the mixture sum_k w_k N(t mu_k, sigma^2 I).
 */

import { logDensity, ndtr } from './normal';
import type { Mat, Vec } from './vector';

export class Mixture {
  readonly means: Mat;
  /** Normalised to sum to one. */
  readonly weights: Vec;
  readonly std: number;
  private readonly logWeights: Vec;

  constructor(means: Mat, weights: Vec, std: number) {
    const total = weights.reduce((sum, w) => sum + w, 0);
    this.means = means;
    this.weights = weights.map((w) => w / total);
    this.logWeights = this.weights.map(Math.log);
    this.std = std;
  }

  /** Standard deviation of each component of a_t. */
  sigma(t: number): number {
    return Math.sqrt((1 - t) ** 2 + (t * this.std) ** 2);
  }

  /** log of w_k exp(-|a - t mu_k|^2 / (2 sigma^2)). */
  private logComponents(a: Vec, t: number): number[] {
    const twice = 2 * this.sigma(t) ** 2;
    const logs = this.logWeights.slice();
    for (let k = 0; k < logs.length; k++) {
      const mu = this.means[k]!;
      let square = 0;
      for (let i = 0; i < a.length; i++) {
        const away = a[i]! - t * mu[i]!;
        square += away * away;
      }
      logs[k]! -= square / twice;
    }
    return logs;
  }

  /** The last answer: velocity, clean estimate and Jacobian at one point share it. */
  private known: { a: Vec; t: number; r: number[] } | undefined;

  /** r_k = P(component k | a_t = a). */
  responsibilities(a: Vec, t: number): Vec {
    if (this.known && this.known.a === a && this.known.t === t) return this.known.r;
    const r = this.logComponents(a, t);
    let top = -Infinity;
    for (let k = 0; k < r.length; k++) if (r[k]! > top) top = r[k]!;
    let total = 0;
    for (let k = 0; k < r.length; k++) total += r[k] = Math.exp(r[k]! - top);
    for (let k = 0; k < r.length; k++) r[k]! /= total;
    this.known = { a, t, r };
    return r;
  }

  /** sum_k r_k [mu_k + slope (a - t mu_k)]. */
  private blend(a: Vec, t: number, slope: number): Vec {
    const r = this.responsibilities(a, t);
    const out = a.slice();
    for (let i = 0; i < out.length; i++) {
      let centre = 0;
      for (let k = 0; k < r.length; k++) centre += r[k]! * this.means[k]![i]!;
      out[i] = centre + slope * (a[i]! - t * centre);
    }
    return out;
  }

  /** v = sum_k r_k [mu_k + ((t s^2 - (1 - t)) / sigma^2)(a - t mu_k)]; regular at t = 1, where v = a. */
  velocity(a: Vec, t: number): Vec {
    return this.blend(a, t, (t * this.std ** 2 - (1 - t)) / this.sigma(t) ** 2);
  }

  /** E[a_1 | a_t = a] = sum_k r_k [mu_k + (t s^2 / sigma^2)(a - t mu_k)]. */
  clean(a: Vec, t: number): Vec {
    return this.blend(a, t, (t * this.std ** 2) / this.sigma(t) ** 2);
  }

  /** diagonal I + factor Cov_r(mu). */
  private spread(a: Vec, t: number, diagonal: number, factor: number): Mat {
    const r = this.responsibilities(a, t);
    const centre = a.map((_, i) => r.reduce((sum, rk, k) => sum + rk * this.means[k]![i]!, 0));
    const entry = (i: number, j: number) =>
      r.reduce((sum, rk, k) => sum + rk * (this.means[k]![i]! - centre[i]!) * (this.means[k]![j]! - centre[j]!), 0);
    return a.map((_, i) => a.map((_, j) => (i === j ? diagonal : 0) + factor * entry(i, j)));
  }

  /** J = d a1_hat / d a = (t s^2 / sigma^2) I + (t (1 - t)^2 / sigma^4) Cov_r(mu); J(0) = 0, J(1) = I. */
  jacobian(a: Vec, t: number): Mat {
    const variance = this.sigma(t) ** 2;
    return this.spread(a, t, (t * this.std ** 2) / variance, (t * (1 - t) ** 2) / variance ** 2);
  }

  /** dv/da = (J - I) / (1 - t), finite at t = 1. */
  velocityJacobian(a: Vec, t: number): Mat {
    const variance = this.sigma(t) ** 2;
    return this.spread(a, t, (t * this.std ** 2 - (1 - t)) / variance, (t * (1 - t)) / variance ** 2);
  }

  /** log density of a_t at a. */
  logProb(a: Vec, t: number): number {
    const logs = this.logComponents(a, t);
    const top = Math.max(...logs);
    const total = logs.reduce((sum, l) => sum + Math.exp(l - top), 0);
    return top + Math.log(total) + a.length * (logDensity(0) - Math.log(this.sigma(t)));
  }

  // One dimension only: the flow is monotone and keeps quantiles, F_t(a_t) = F_1(a_1).

  /** F_t(a), or 1 - F_t(a) if `upper`, each accurate relative to its own size. */
  private tail(a: number, t: number, upper: boolean): number {
    const sigma = this.sigma(t) * (upper ? -1 : 1);
    let sum = 0;
    for (let k = 0; k < this.weights.length; k++) sum += this.weights[k]! * ndtr((a - t * this.means[k]![0]!) / sigma);
    return sum;
  }

  /** F_t(a) of a 1-D mixture. */
  cdf(a: number, t: number): number {
    return this.tail(a, t, false);
  }

  /** The a with F_t(a) = u. */
  quantile(u: number, t: number): number {
    return u < 0.5 ? this.invert(u, t, false) : this.invert(1 - u, t, true);
  }

  /** F_s^-1(F_t(a)): where the exact ODE carries a from time t to time s, to the precision that F has there. */
  quantileOf(a: number, t: number, s: number): number {
    if (t === s) return a;
    const below = this.tail(a, t, false);
    const above = this.tail(a, t, true);
    return this.invert(Math.min(below, above), s, above <= below);
  }

  /** The point whose (upper) tail at time t is `target`: Newton's method on the tail's logarithm, kept in a bracket. */
  private invert(target: number, t: number, upper: boolean): number {
    const reach = 12 * Math.max(this.sigma(t), 1e-3);
    let low = t * Math.min(...this.means.map((mu) => mu[0]!)) - reach;
    let high = t * Math.max(...this.means.map((mu) => mu[0]!)) + reach;
    let a = (low + high) / 2;
    for (let i = 0; i < 100 && low < a && a < high; i++) {
      const tail = this.tail(a, t, upper);
      if (tail < target === upper) high = a;
      else low = a;
      const step = ((upper ? 1 : -1) * tail * Math.log(tail / target)) / Math.exp(this.logProb([a], t));
      const newton = a + step;
      if (Math.abs(step) <= 1e-15 * Math.abs(a)) return newton;
      a = low < newton && newton < high ? newton : (low + high) / 2;
    }
    return a;
  }

  /** ODE_t(a) = F_1^-1(F_t(a)): the exact end of the unguided path through a at time t. */
  ode(a: number, t: number): number {
    return this.quantileOf(a, t, 1);
  }

  /** d ODE_t / da = p_t(a) / p_1(ODE_t(a)). */
  odeDerivative(a: number, t: number): number {
    return Math.exp(this.logProb([a], t) - this.logProb([this.ode(a, t)], 1));
  }

  /** The unguided path of `n` Euler steps of length h from (a, t), and the product of 1 + h v' along it. */
  eulerChain(a: number, t: number, h: number, n: number): { end: number; derivative: number } {
    const { means, logWeights } = this;
    let derivative = 1;
    for (let k = 0; k < n; k++, t += h) {
      const variance = (1 - t) ** 2 + (t * this.std) ** 2;
      let [total, first, second, top] = [0, 0, 0, -Infinity];
      for (let j = 0; j < means.length; j++) top = Math.max(top, logWeights[j]! - (a - t * means[j]![0]!) ** 2 / (2 * variance));
      for (let j = 0; j < means.length; j++) {
        const mu = means[j]![0]!;
        const r = Math.exp(logWeights[j]! - (a - t * mu) ** 2 / (2 * variance) - top);
        total += r;
        first += r * mu;
        second += r * mu * mu;
      }
      const centre = first / total;
      const slope = (t * this.std ** 2 - (1 - t)) / variance;
      derivative *= 1 + h * (slope + ((t * (1 - t)) / variance ** 2) * (second / total - centre * centre));
      a += h * (centre + slope * (a - t * centre));
    }
    return { end: a, derivative };
  }
}
