/** Many particles of a 1-D world at once, in typed arrays: the steps of `sample` with the guides of `landing`, some ten times as fast. */

import type { Guide } from './guidance';
import type { World } from './world';

/** What is the same for all particles at step k. With equal widths the log-odds of the peaks are linear in a. */
interface Moment {
  t: number;
  /** log r_j = gain_j a + offset_j, up to a constant. */
  gain: Float64Array;
  offset: Float64Array;
  /** v = centre + velocity (a - t centre), a1_hat = centre + clean (a - t centre). */
  velocity: number;
  clean: number;
  /** What the variance of the centres adds to dv/da and to J. */
  velocityBend: number;
  cleanBend: number;
}

export interface Rain {
  n: number;
  /** Position of particle i after k steps, at i (steps + 1) + k. */
  paths: Float64Array;
  /** The mean over particles of the integral of |w g| over t. */
  push: number;
}

export class Cloud {
  readonly steps: number;
  private readonly moments: Moment[];
  private readonly means: Float64Array;
  private readonly odds: Float64Array;
  /** The last answer of `peaks`: mean and variance of the peaks' centres under a. */
  private centre = 0;
  private variance = 0;

  constructor({ mixture, steps }: Pick<World, 'mixture' | 'steps'>) {
    this.steps = steps;
    this.means = Float64Array.from(mixture.means, ([mu]) => mu!);
    this.odds = new Float64Array(this.means.length);
    const s2 = mixture.std ** 2;
    this.moments = Array.from({ length: steps }, (_, k) => {
      const t = k / steps;
      const variance = mixture.sigma(t) ** 2;
      return {
        t,
        gain: this.means.map((mu) => (t * mu) / variance),
        offset: this.means.map((mu, j) => Math.log(mixture.weights[j]!) - (t * mu) ** 2 / (2 * variance)),
        velocity: (t * s2 - (1 - t)) / variance,
        clean: (t * s2) / variance,
        velocityBend: (t * (1 - t)) / variance ** 2,
        cleanBend: (t * (1 - t) ** 2) / variance ** 2,
      };
    });
  }

  private peaks({ gain, offset }: Moment, a: number): void {
    const { means, odds } = this;
    let top = -Infinity;
    for (let j = 0; j < means.length; j++) {
      odds[j] = gain[j]! * a + offset[j]!;
      if (odds[j]! > top) top = odds[j]!;
    }
    let [total, first, second] = [0, 0, 0];
    for (let j = 0; j < means.length; j++) {
      const gap = odds[j]! - top;
      if (gap < -40) continue;
      const r = gap === 0 ? 1 : Math.exp(gap);
      const mu = means[j]!;
      total += r;
      first += r * mu;
      second += r * mu * mu;
    }
    this.centre = first / total;
    this.variance = second / total - this.centre * this.centre;
  }

  /** d Q(end of the remaining unguided steps) / da. */
  private throughChain(a: number, from: number, slope: (x: number) => number): number {
    const { moments, steps } = this;
    let derivative = 1;
    for (let k = from; k < steps; k++) {
      const moment = moments[k]!;
      this.peaks(moment, a);
      derivative *= 1 + (moment.velocity + moment.velocityBend * this.variance) / steps;
      a += (this.centre + moment.velocity * (a - moment.t * this.centre)) / steps;
    }
    return derivative * slope(a);
  }

  /** `starts` under a guide of weight w, asking a critic of this slope. */
  run(guide: Guide, w: number, starts: ArrayLike<number>, slope: (x: number) => number): Rain {
    const { moments, steps } = this;
    const n = starts.length;
    const paths = new Float64Array(n * (steps + 1));
    let pushed = 0;
    for (let i = 0; i < n; i++) {
      let a = starts[i]!;
      let at = i * (steps + 1);
      paths[at] = a;
      for (let k = 0; k < steps; k++) {
        const moment = moments[k]!;
        this.peaks(moment, a);
        const { centre, variance } = this;
        const away = a - moment.t * centre;
        let g = 0;
        if (guide === 'ood') g = slope(a);
        else if (guide === 'bptt') g = this.throughChain(a, k, slope);
        else if (guide !== 'none') {
          g = slope(centre + moment.clean * away);
          if (guide === 'jacobian') g *= moment.clean + moment.cleanBend * variance;
        }
        pushed += Math.abs(w * g);
        a += (centre + moment.velocity * away + w * g) / steps;
        paths[++at] = a;
      }
    }
    return { n, paths, push: pushed / (steps * n) };
  }
}
