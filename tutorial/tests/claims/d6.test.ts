import { describe, expect, test } from 'vitest';
import { dataRange, gradient, gradientCurve } from '../../src/core/curves';
import { worstJitter } from '../../src/core/jitter';
import { linspace, type Point } from '../../src/core/vector';
import { world } from '../../src/core/world';
import demo from '../../src/demos/d6';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const wide = world('gradients');

describe('D6', () => {
  test.each([0.1, 0.25, 0.4, 0.5])('the worst jitter of BPTT is more than 20 times that of QGF at t = %s', (t) => {
    const { worst } = at({ t });
    expect(worst.bptt).toBeGreaterThan(20 * worst.qgf);
  });

  test.each([0.1, 0.25, 0.5])('the left spike of BPTT stands on the watershed at t = %s', (t) => {
    const { spikes, watersheds } = at({ t });
    expect(watersheds[0]).toBeCloseTo(wide.mixture.quantile(1 / 3, t), 12);
    expect(Math.abs(spikes[0]![0] - watersheds[0]!)).toBeLessThan(1e-3);
  });

  test.each([0.25, 0.5])("the flow's amplification peaks at the right watershed, too, at t = %s", (t) => {
    const { mixture } = wide;
    const amplification = (x: number): Point => {
      const a = mixture.quantileOf(x, 1, t);
      return [a, Math.exp(mixture.logProb([a], t) - mixture.logProb([x], 1))];
    };
    const peak = linspace(0.1, 0.9, 2001).map(amplification).reduce((best, p) => (p[1] > best[1] ? p : best));
    expect(Math.abs(peak[0] - at({ t }).watersheds[1]!)).toBeLessThan(1.2e-3);
  });

  test('all curves are one at the end', () => {
    const [low, high] = dataRange(wide, 0.999);
    for (const a of linspace(low, high, 200)) {
      const [ood, bptt, qgf] = (['ood', 'bptt', 'qgf'] as const).map((guide) => gradient(wide, guide, a, 0.999));
      expect(Math.abs(bptt! - qgf!)).toBeLessThan(0.05);
      expect(Math.abs(ood! - qgf!)).toBeLessThan(0.05);
    }
  });

  test('the table in the text', () => {
    const table = { 0.25: [4950, 0.029, 0.15], 0.5: [4000, 0.095, 0.125], 0.6: [2650, 0.132, 0.102], 0.75: [522, 0.216, 0.074], 0.85: [42.4, 0.198, 0.068], 0.95: [0.55, 0.093, 0.08] };
    for (const [t, row] of Object.entries(table)) {
      const { worst } = at({ t: Number(t), eps: 0.02 });
      [worst.bptt, worst.qgf, worst.ood].forEach((jitter, i) => expect(Math.abs(jitter / row[i]! - 1), `t = ${t}`).toBeLessThan(0.012));
    }
  });

  test('the sampled curve is the gradient', () => {
    for (const guide of ['bptt', 'qgf', 'ood'] as const) {
      for (const [a, g] of gradientCurve(wide, guide, 0.3).filter((_, i) => i % 97 === 0)) {
        expect(Math.abs(g - gradient(wide, guide, a, 0.3))).toBeLessThan(1e-6 * Math.max(1, Math.abs(g)) ** 2);
      }
    }
  });

  test('jitter by brute force, between the samples, too', () => {
    const knots: Point[] = linspace(0, 3, 31).map((a) => [a, Math.sin(5 * a) + a * a]);
    const between = (a: number) => {
      const i = Math.min(Math.floor(10 * a + 1e-9), 29);
      return knots[i]![1] + (10 * a - i) * (knots[i + 1]![1] - knots[i]![1]);
    };
    const fine: Point[] = linspace(0, 3, 601).map((a) => [a, between(a)]);
    for (const reach of [0.03, 0.1, 0.25, 0.7]) {
      const near = (a: number) => fine.filter(([b]) => Math.abs(a - b) <= reach + 1e-9);
      const brute = Math.max(...fine.map(([a, g]) => Math.max(...near(a).map(([, h]) => Math.abs(g - h)))));
      expect(worstJitter(knots, reach)).toBeCloseTo(brute, 9);
    }
  });
});
