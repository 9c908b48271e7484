import { describe, expect, test } from 'vitest';
import { linspace, mean } from '../../src/core/vector';
import { world } from '../../src/core/world';
import { zones } from '../../src/core/zones';
import demo, { LOW } from '../../src/demos/d3';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const { mixture } = world('gradients');
const ACROSS = linspace(-2.5, 2.5, 41);

describe('D3', () => {
  test('at t = 1 all three are one', () => {
    for (const a of ACROSS) expect(at({ t: 1, a }).apart).toBeLessThan(1e-9);
  });

  test('towards t = 1 the distance goes to zero', () => {
    for (const a of [-2.2, -1.8, -0.6, 0.1, 0.9]) {
      const [first, second, third] = [0.9, 0.99, 0.999].map((t) => at({ t, a }).apart);
      expect(second).toBeLessThan(first! / 2);
      expect(third).toBeLessThan(second! / 2);
      expect(third).toBeLessThan(0.01);
    }
  });

  test('at t = 0 the guess is the mean of the data, whatever a is', () => {
    for (const a of ACROSS) expect(at({ t: 0, a }).clean.a).toBeCloseTo(-1 / 3, 12);
  });

  test('the numbers in the text: a guess between two peaks, an endpoint on the left one', () => {
    const { clean, end, noisy } = at({});
    expect(demo.defaults).toEqual({ t: 0.25, a: -0.6 });
    expect(clean.a).toBeCloseTo(-0.66, 2);
    expect(clean.zone).toBe('gap');
    expect(noisy.zone).toBe('gap');
    expect(end.zone).toBe('near');
    expect(Math.abs(end.a + 2)).toBeLessThan(0.25);
    expect(at({ t: 0 }).clean.zone).not.toBe('outside');
  });

  test('the guess stays inside the range of the data, and a_t does not', () => {
    const guesses = ACROSS.map((a) => at({ t: 0.25, a }));
    expect(guesses.some(({ noisy }) => noisy.zone === 'outside')).toBe(true);
    for (const { clean } of guesses) expect(clean.zone).not.toBe('outside');
  });

  test('the jump leaves along the path', () => {
    for (const t of [0.1, 0.25, 0.6]) {
      const { here, clean } = at({ t });
      const ahead = 1e-5;
      const slope = (mixture.quantileOf(here[0], t, t + ahead) - here[0]) / ahead;
      expect((clean.a - here[0]) / (1 - t)).toBeCloseTo(slope, 3);
    }
  });

  test('the badges follow the density', () => {
    const density = (a: number) => Math.exp(mixture.logProb([a], 1));
    const highest = Math.max(...linspace(-3, 3, 2001).map(density));
    for (const a of ACROSS) {
      const { noisy } = at({ a });
      expect(noisy.density).toBeCloseTo(density(a) / highest, 4);
      expect(noisy.zone === 'near').toBe(noisy.density >= LOW);
    }
  });

  test('zones of a plain bump', () => {
    const { near, of } = zones((x) => Math.max(0, 1 - Math.abs(Math.abs(x) - 2)), 0.5, -4, 4);
    expect(near.map((ends) => ends.map((x) => Number(x.toFixed(9))))).toEqual([[-2.5, -1.5], [1.5, 2.5]]);
    expect([-3, -2, 0, 2, 3].map(of)).toEqual(['outside', 'near', 'gap', 'near', 'outside']);
  });

  test('the endpoint keeps the mean of the data', () => {
    const ends = linspace(0.0005, 0.9995, 1000).map((u) => mixture.ode(mixture.quantile(u, 0.25), 0.25));
    expect(mean(ends)).toBeCloseTo(-1 / 3, 2);
  });
});
