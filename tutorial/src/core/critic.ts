/** A small learned critic: tanh layers that see an action and a star (`critic.py`). */

import type { Vec } from './vector';
import type { Critic } from './world';

export interface CriticFile {
  /** Per layer its weights [in][out] and biases. */
  layers: { weight: number[][]; bias: number[] }[];
}

export class Smooth {
  constructor(private readonly file: CriticFile) {}

  /** Every layer's output for an input; tanh on all but the last. */
  private forward(input: Vec): number[][] {
    const outputs: number[][] = [[...input]];
    this.file.layers.forEach(({ weight, bias }, k) => {
      const x = outputs[k]!;
      const z = bias.slice();
      for (let i = 0; i < x.length; i++) for (let o = 0; o < z.length; o++) z[o]! += x[i]! * weight[i]![o]!;
      outputs.push(k < this.file.layers.length - 1 ? z.map(Math.tanh) : z);
    });
    return outputs;
  }

  /** The critic of one star. */
  at(star: Vec): Critic {
    return {
      value: (a) => this.forward([...a, ...star]).at(-1)![0]!,
      gradient: (a) => {
        const outputs = this.forward([...a, ...star]);
        let g = [1];
        for (let k = this.file.layers.length - 1; k >= 0; k--) {
          const { weight } = this.file.layers[k]!;
          const hidden = outputs[k]!;
          g = weight.map((row, i) => row.reduce((sum, w, o) => sum + w * g[o]!, 0) * (k > 0 ? 1 - hidden[i]! ** 2 : 1));
        }
        return g.slice(0, a.length);
      },
    };
  }
}
