/** Many particles of a plane's mixture world, step by step in typed arrays: the flow, pushed by QGF with a bowl for a critic. */

import type { Mixture } from './mixture';
import type { Point } from './vector';

/** Q(a) = -curvature |a - peak|^2 / 2, and the weight of its gradient. */
export interface Pull {
  peak: Point;
  curvature: number;
  w: number;
}

/** What is the same for every particle at step k. */
interface Moment {
  t: number;
  /** log r_j = gain (mu_j . a) + offset_j, up to a constant. */
  gain: number;
  offset: Float64Array;
  velocity: number;
  clean: number;
}

export class Stream {
  private readonly moments: Moment[];
  private readonly mx: Float64Array;
  private readonly my: Float64Array;
  private readonly odds: Float64Array;

  constructor(
    mixture: Mixture,
    readonly steps: number,
  ) {
    this.mx = Float64Array.from(mixture.means, ([x]) => x!);
    this.my = Float64Array.from(mixture.means, (mu) => mu[1]!);
    this.odds = new Float64Array(this.mx.length);
    const s2 = mixture.std ** 2;
    this.moments = Array.from({ length: steps }, (_, k) => {
      const t = k / steps;
      const variance = mixture.sigma(t) ** 2;
      return {
        t,
        gain: t / variance,
        offset: this.mx.map((x, j) => Math.log(mixture.weights[j]!) - (t * t * (x * x + this.my[j]! ** 2)) / (2 * variance)),
        velocity: (t * s2 - (1 - t)) / variance,
        clean: (t * s2) / variance,
      };
    });
  }

  /** Takes the steps `from` to `to` of one particle, whose place after step k stands at `path[at + 2 k]` and the number behind it. */
  advance(path: Float64Array, at: number, from: number, to: number, pull?: Pull): void {
    const { mx, my, odds, moments, steps } = this;
    let [x, y] = [path[at + 2 * from]!, path[at + 2 * from + 1]!];
    for (let k = from; k < to; k++) {
      const { t, gain, offset, velocity, clean } = moments[k]!;
      let top = -Infinity;
      for (let j = 0; j < mx.length; j++) {
        odds[j] = gain * (mx[j]! * x + my[j]! * y) + offset[j]!;
        if (odds[j]! > top) top = odds[j]!;
      }
      let [total, cx, cy] = [0, 0, 0];
      for (let j = 0; j < mx.length; j++) {
        const gap = odds[j]! - top;
        if (gap < -40) continue;
        const r = Math.exp(gap);
        total += r;
        cx += r * mx[j]!;
        cy += r * my[j]!;
      }
      cx /= total;
      cy /= total;
      const [dx, dy] = [x - t * cx, y - t * cy];
      let [vx, vy] = [cx + velocity * dx, cy + velocity * dy];
      if (pull) {
        const strength = pull.w * pull.curvature;
        vx += strength * (pull.peak[0] - cx - clean * dx);
        vy += strength * (pull.peak[1] - cy - clean * dy);
      }
      x += vx / steps;
      y += vy / steps;
      path[at + 2 * k + 2] = x;
      path[at + 2 * k + 3] = y;
    }
  }
}
