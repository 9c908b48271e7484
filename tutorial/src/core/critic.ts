/** A small learned critic: tanh layers that see an action and a star (`critic.py`). */

import type { Vec } from './vector';
import type { Critic } from './world';

export interface CriticFile {
  /** Per layer its weights [in][out] and biases. */
  layers: { weight: number[][]; bias: number[] }[];
}

interface Layer {
  ins: number;
  outs: number;
  /** Input by input. */
  weight: Float64Array;
  bias: Float64Array;
}

export class Smooth {
  private readonly layers: Layer[];

  constructor({ layers }: CriticFile) {
    this.layers = layers.map(({ weight, bias }) => ({ ins: weight.length, outs: bias.length, weight: Float64Array.from(weight.flat()), bias: Float64Array.from(bias) }));
  }

  /** Every layer's output for an input; tanh on all but the last. */
  private forward(input: Float64Array): Float64Array[] {
    const outputs = [input];
    for (const [k, { ins, outs, weight, bias }] of this.layers.entries()) {
      const x = outputs[k]!;
      const z = bias.slice();
      for (let i = 0; i < ins; i++) for (let o = 0; o < outs; o++) z[o]! += x[i]! * weight[i * outs + o]!;
      if (k < this.layers.length - 1) for (let o = 0; o < outs; o++) z[o] = Math.tanh(z[o]!);
      outputs.push(z);
    }
    return outputs;
  }

  /** The critic of one star. */
  at(star: Vec): Critic {
    return {
      value: (a) => this.forward(Float64Array.of(...a, ...star)).at(-1)![0]!,
      gradient: (a) => {
        const outputs = this.forward(Float64Array.of(...a, ...star));
        let g = Float64Array.of(1);
        for (let k = this.layers.length - 1; k >= 0; k--) {
          const { ins, outs, weight } = this.layers[k]!;
          const hidden = outputs[k]!;
          const back = new Float64Array(ins);
          for (let i = 0; i < ins; i++) {
            let sum = 0;
            for (let o = 0; o < outs; o++) sum += weight[i * outs + o]! * g[o]!;
            back[i] = sum * (k > 0 ? 1 - hidden[i]! ** 2 : 1);
          }
          g = back;
        }
        return [...g.subarray(0, a.length)];
      },
    };
  }
}
