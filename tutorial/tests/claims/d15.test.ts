import { describe, expect, test } from 'vitest';
import { Mixture } from '../../src/core/mixture';
import { norm, sub, type Vec } from '../../src/core/vector';
import { bowl } from '../../src/core/world';
import demo, { flow, LINES, T, WEIGHT } from '../../src/demos/d15';

const at = (hop: number) => demo.compute({ hop });
const LAST = demo.params.hop.max;
const code = (id: string) => LINES.find((line) => line.id === id)!.code;

describe('D15', () => {
  test('the code on the page, run for each coordinate, walks the path of the picture', () => {
    const critic = bowl([-0.9, 0.6]);
    // One coordinate at a time: v and grad_Q see the whole vector.
    const lines = ['guess', 'ask', 'step'].map(code);
    const run = new Function('a', 't', 'w', 'T', 'v', 'grad_Q', `let a1_hat, g; ${lines[0]}; return a1_hat;`) as (...inputs: unknown[]) => number;
    const step = new Function('a', 't', 'w', 'T', 'v', 'g', `${lines[2]}; return a;`) as (...inputs: unknown[]) => number;
    let a: Vec = at(0).a;
    for (let k = 0; k < T; k++) {
      const t = k / T;
      const v = (flow as Mixture).velocity(a, t);
      const guess = a.map((x, i) => run(x, t, WEIGHT, T, () => v[i], undefined));
      expect(norm(sub(at(3 * k + 1).guess!, guess))).toBeLessThan(1e-12);
      const g = critic.gradient(guess);
      a = a.map((x, i) => step(x, t, WEIGHT, T, () => v[i], g[i]));
      expect(norm(sub(at(3 * k + 3).next!, a))).toBeLessThan(1e-12);
    }
  });

  test('one line after the other is lit, the last is the return', () => {
    expect([0, 1, 2, 3, 4, LAST].map((hop) => at(hop).line)).toEqual(['noise', 'guess', 'ask', 'step', 'guess', 'return']);
  });

  test('each cut names its ring, and the line before it is the one that the ring is about', () => {
    const cuts = LINES.flatMap(({ id, cut }) => (cut ? [[id, (cut.ring as { en: string }).en, cut.before] as const] : []));
    expect(cuts.map(([id]) => id)).toEqual(['guess', 'ask']);
    expect(cuts[0]![1]).toContain('Ring 2');
    expect(cuts[0]![2]).toContain('ODE');
    expect(cuts[1]![1]).toContain('Ring 1');
    expect(cuts[1]![2]).toContain('J.T');
  });

  test('the arrow is carried back unchanged', () => {
    for (let k = 0; k < T; k++) {
      const { asked, carried } = at(3 * k + 2);
      expect(norm(sub(sub(asked!.to, asked!.from), sub(carried!.to, carried!.from)))).toBeLessThan(1e-12);
    }
  });
});
