/**
 * Trained networks, mirroring `qgf/networks`, `qgf/method/flow.py`, `guidance.py` and `sampling.py` for one sample at a time.
 * Derivatives are vector-Jacobian products written by hand; arithmetic is in double precision.
 */

import type { Guide } from './guidance';

export type Numbers = Float64Array;

/** A layer as it is written: one row of weights per number that comes out. */
interface Dense {
  rows: Numbers;
  bias: Numbers;
}

/** The same in the order of the computation: eight outputs at a time, and for these one input after the other. */
interface Packed {
  blocks: Numbers;
  bias: Numbers;
}
const EIGHT = 8;

function pack({ rows, bias }: Dense): Packed {
  const ins = rows.length / bias.length;
  const blocks = new Float64Array(Math.ceil(bias.length / EIGHT) * EIGHT * ins);
  for (let o = 0; o < bias.length; o++) for (let i = 0; i < ins; i++) blocks[(o - (o % EIGHT)) * ins + i * EIGHT + (o % EIGHT)] = rows[o * ins + i]!;
  return { blocks, bias };
}

/** W x + b: each x is read once for eight rows, whose weights stand side by side. */
function dense({ blocks: w, bias }: Packed, x: Numbers): Numbers {
  const n = x.length;
  const outs = bias.length;
  const out = new Float64Array(Math.ceil(outs / EIGHT) * EIGHT);
  let at = 0;
  for (let o = 0; o < outs; o += EIGHT) {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = [0, 0, 0, 0, 0, 0, 0, 0];
    for (let i = 0; i < n; i++, at += EIGHT) {
      const xi = x[i]!;
      s0 += xi * w[at]!;
      s1 += xi * w[at + 1]!;
      s2 += xi * w[at + 2]!;
      s3 += xi * w[at + 3]!;
      s4 += xi * w[at + 4]!;
      s5 += xi * w[at + 5]!;
      s6 += xi * w[at + 6]!;
      s7 += xi * w[at + 7]!;
    }
    out[o] = s0;
    out[o + 1] = s1;
    out[o + 2] = s2;
    out[o + 3] = s3;
    out[o + 4] = s4;
    out[o + 5] = s5;
    out[o + 6] = s6;
    out[o + 7] = s7;
  }
  for (let o = 0; o < outs; o++) out[o]! += bias[o]!;
  return out.length === outs ? out : out.subarray(0, outs);
}

/** The same weights in the other order, without biases: how a gradient goes back through the layer. */
function transposed({ rows, bias }: Dense): Dense {
  const [outs, ins] = [bias.length, rows.length / bias.length];
  return { rows: rows.map((_, k) => rows[(k % outs) * ins + Math.floor(k / outs)]!), bias: new Float64Array(ins) };
}

const GELU = Math.sqrt(2 / Math.PI);

/** What `geluNorm` keeps for its derivative. */
interface Kept {
  /** The layer's output. */
  y: Numbers;
  /** gelu'(z), times the scale of the normalisation. */
  slope: Numbers;
}

/** LayerNorm(GELU(z)), GELU by its tanh formula, without scale and shift (`networks.gelu_norm`). Overwrites z. */
function geluNorm(z: Numbers): Kept {
  const n = z.length;
  const slope = new Float64Array(n);
  let [sum, squares] = [0, 0];
  for (let i = 0; i < n; i++) {
    const x = z[i]!;
    const square = x * x;
    const tanh = 1 - 2 / (Math.exp(2 * GELU * x * (1 + 0.044715 * square)) + 1);
    const h = 0.5 * x * (1 + tanh);
    slope[i] = 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * GELU * (1 + 3 * 0.044715 * square);
    z[i] = h;
    sum += h;
    squares += h * h;
  }
  const mean = sum / n;
  const scale = 1 / Math.sqrt(Math.max(squares / n - mean * mean, 0) + 1e-5);
  for (let i = 0; i < n; i++) {
    z[i] = (z[i]! - mean) * scale;
    slope[i]! *= scale;
  }
  return { y: z, slope };
}

/** dz = (g - mean g - y mean(g y)) gelu'(z) / std. Overwrites g. */
function geluNormBack({ y, slope }: Kept, g: Numbers): Numbers {
  const n = g.length;
  let [mean, along] = [0, 0];
  for (let i = 0; i < n; i++) {
    mean += g[i]! / n;
    along += (g[i]! * y[i]!) / n;
  }
  for (let i = 0; i < n; i++) g[i] = (g[i]! - mean - y[i]! * along) * slope[i]!;
  return g;
}

/** A function's value at a point, and (d value / d point)^T g. */
export interface Pulled {
  value: Numbers;
  pullback: (g: Numbers) => Numbers;
}

/** Hidden layers linear -> GELU -> LayerNorm, then a linear read-out. */
export class MLP {
  private readonly layers: Packed[];
  private readonly back: Packed[];

  constructor(layers: readonly Dense[]) {
    this.layers = layers.map(pack);
    this.back = layers.map((layer) => pack(transposed(layer)));
  }

  at(x: Numbers): Pulled {
    const { layers, back } = this;
    const kept: Kept[] = [];
    for (const layer of layers.slice(0, -1)) {
      kept.push(geluNorm(dense(layer, x)));
      x = kept.at(-1)!.y;
    }
    const pullback = (g: Numbers) => {
      g = dense(back.at(-1)!, g);
      for (let k = kept.length - 1; k >= 0; k--) g = dense(back[k]!, geluNormBack(kept[k]!, g));
      return g;
    };
    return { value: dense(layers.at(-1)!, x), pullback };
  }
}

const FREQUENCIES = 4;
const PER_STEP = 1e-3; // k/T * T is not k in floating point

/** A trained flow and its critics at one observation, on a grid of Euler steps, with actions in [low, high]. */
export class StatePolicy {
  constructor(
    private readonly flow: MLP,
    private readonly critics: readonly MLP[],
    /** Normalised. */
    private readonly obs: readonly number[],
    private readonly steps: number,
    private readonly low: number,
    private readonly high: number,
  ) {}

  /** v(a, t). */
  velocity(a: Numbers, t: number): Pulled {
    const phases = Array.from({ length: FREQUENCIES }, (_, k) => Math.PI * 2 ** k * t);
    const { value, pullback } = this.flow.at(Float64Array.of(...this.obs, ...a, t, ...phases.map(Math.sin), ...phases.map(Math.cos)));
    return { value, pullback: (g) => this.actionPart(pullback(g), a) };
  }

  private actionPart(g: Numbers, a: Numbers): Numbers {
    return g.subarray(this.obs.length, this.obs.length + a.length);
  }

  /** The lowest critic at a. */
  private lowest(a: Numbers): Pulled {
    const x = Float64Array.of(...this.obs, ...a);
    return this.critics.map((critic) => critic.at(x)).reduce((low, other) => (other.value[0]! < low.value[0]! ? other : low));
  }

  value(a: Numbers): number {
    return this.lowest(a).value[0]!;
  }

  /** grad Q(a) */
  gradient(a: Numbers): Numbers {
    return this.actionPart(this.lowest(a).pullback(Float64Array.of(1)), a);
  }

  clip(a: Numbers): Numbers {
    return a.map((x) => Math.min(Math.max(x, this.low), this.high));
  }

  /** clip(a), through which no gradient passes where it clips. */
  private clipped(a: Numbers, pullback: Pulled['pullback']): Pulled {
    return { value: this.clip(a), pullback: (g) => pullback(g.map((x, i) => (a[i]! >= this.low && a[i]! <= this.high ? x : 0))) };
  }

  /** a1_hat = clip(a + (1 - t) v(a, t)); `v` is the velocity there. */
  clean(a: Numbers, t: number, v: Pulled): Pulled {
    return this.clipped(plus(a, 1 - t, v.value), (g) => plus(g, 1 - t, v.pullback(g)));
  }

  /** ODE(a): the remaining Euler steps, then clip; `v` is the velocity at a. */
  private integrate(a: Numbers, t: number, v: Pulled): Pulled {
    const remaining = Math.ceil((1 - t) * this.steps - PER_STEP);
    const h = (1 - t) / Math.max(remaining, 1);
    const path: Pulled[] = [];
    for (let k = 0; k < remaining; k++) {
      path.push(k === 0 ? v : this.velocity(a, t + k * h));
      a = plus(a, h, path.at(-1)!.value);
    }
    return this.clipped(a, (g) => path.reduceRight((g, step) => plus(g, h, step.pullback(g)), g));
  }

  /** The direction that a guide adds to the velocity `v` at (a, t). */
  private direction(guide: Guide, a: Numbers, t: number, v: Pulled): Numbers {
    switch (guide) {
      case 'none':
        return a.map(() => 0);
      case 'ood':
        return this.gradient(a);
      case 'qgf':
        return this.gradient(this.clean(a, t, v).value);
      case 'chain':
        return this.gradient(this.integrate(a, t, v).value);
      case 'jacobian': {
        const { value, pullback } = this.clean(a, t, v);
        return pullback(this.gradient(value));
      }
      case 'bptt': {
        const { value, pullback } = this.integrate(a, t, v);
        return pullback(this.gradient(value));
      }
    }
  }

  /** The path from the noise a0 to an action: at every step the noisy action, its one-step estimate and the push w g. */
  denoise(a0: Numbers, guide: Guide, weight: number): Denoised {
    const steps: Denoised['steps'] = [];
    let a = a0;
    for (let k = 0; k < this.steps; k++) {
      const t = k / this.steps;
      const v = this.velocity(a, t);
      const push = this.direction(guide, a, t, v).map((g) => weight * g);
      steps.push({ a, clean: this.clean(a, t, v).value, push });
      a = plus(plus(a, 1 / this.steps, v.value), 1 / this.steps, push);
    }
    return { steps, end: a, action: this.clip(a) };
  }
}

export interface Denoised {
  steps: { a: Numbers; clean: Numbers; push: Numbers }[];
  /** a_T, before the last clip. */
  end: Numbers;
  action: Numbers;
}

/** a + k b */
function plus(a: Numbers, k: number, b: Numbers): Numbers {
  const out = a.slice();
  for (let i = 0; i < out.length; i++) out[i]! += k * b[i]!;
  return out;
}
