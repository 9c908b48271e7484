import { describe, expect, test } from 'vitest';
import demo from '../../src/demos/d14';

const at = (beta: number) => demo.compute({ logBeta: Math.log10(beta) });
const PRICES = [10, 4, 2, 1, 0.5, 0.25];

describe('D14', () => {
  test('the tilted density reaches beta log Z; the data, and what a constant weight samples, reach less', () => {
    for (const beta of PRICES) {
      const model = at(beta);
      const best = model.objective(model.exact);
      expect(Math.abs(best - model.identity)).toBeLessThan(1e-9);
      expect(model.objective(model.plain)).toBeLessThan(best);
      expect(model.objective(model.constant)).toBeLessThan(best);
    }
  });

  test('a falling price raises both the mean of Q and the divergence', () => {
    const all = PRICES.map(at);
    for (const which of ['exact', 'constant'] as const) {
      for (const key of ['q', 'kl'] as const) {
        all.slice(1).forEach((model, i) => expect(model[which][key]).toBeGreaterThan(all[i]![which][key]));
      }
    }
  });

  test('the numbers of the text', () => {
    const [one, ten] = [at(1), at(10)];
    expect(one.exact.q).toBeCloseTo(-0.29, 2);
    expect(one.exact.kl).toBeCloseTo(0.53, 2);
    expect(one.constant.q).toBeCloseTo(-0.02, 2);
    expect(Math.abs(one.constant.kl - 1.35)).toBeLessThan(0.02);
    expect(ten.exact.q).toBeCloseTo(-2.0, 1);
    expect(ten.exact.kl).toBeCloseTo(0.06, 2);
    expect(ten.constant.q).toBeCloseTo(-2.22, 1);
    expect(ten.constant.kl).toBeCloseTo(0.16, 1);
  });

  test('particles keep their order, so that their gaps are a density', () => {
    for (const beta of PRICES) {
      const { ends } = at(beta).constant;
      ends.slice(1).forEach((end, i) => expect(end).toBeGreaterThan(ends[i]!));
    }
  });
});
