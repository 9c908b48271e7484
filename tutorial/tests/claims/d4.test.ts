import { describe, expect, test } from 'vitest';
import demo from '../../src/demos/d4';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, n: '2000', time: 1, ...patch });

describe('D4, 2,000 particles', () => {
  test('unguided: a third at each peak', () => {
    const none = at({ guide: 'none', w: 0 });
    expect(none.landed).toBe(2000);
    for (const share of none.peaks) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.04);
    expect(Math.abs(none.trueReturn + 3.4)).toBeLessThan(0.3);
  });

  test('with w = 0 the guidance does not matter', () => {
    expect(at({ guide: 'ood', w: 0 }).mean).toBeCloseTo(at({ guide: 'none', w: 4 }).mean, 12);
  });

  test('w = 4: OOD is fooled, QGF is not', () => {
    const [ood, qgf] = [at({ guide: 'ood', w: 4 }), at({ guide: 'qgf', w: 4 })];
    expect(ood.mean).toBeGreaterThan(2.6);
    expect(ood.mean).toBeLessThan(3.3);
    expect(ood.trueReturn).toBeLessThan(-2.5);
    expect(ood.critic).toBeGreaterThan(qgf.critic);
    expect(qgf.mean).toBeGreaterThan(0.8);
    expect(qgf.mean).toBeLessThan(1.45);
    expect(qgf.trueReturn).toBeGreaterThan(-0.3);
    expect(qgf.fooled).toBe(0);
  });

  test('the numbers in the text', () => {
    const fooled = (w: number) => at({ guide: 'ood', w }).fooled;
    expect(fooled(2)).toBeCloseTo(0.08, 1);
    expect(fooled(3)).toBeCloseTo(0.13, 1);
    expect(fooled(4)).toBeGreaterThan(0.97);
    expect(at({ guide: 'jacobian', w: 4 }).trueReturn).toBeCloseTo(-0.01, 1);
    expect(at({ guide: 'bptt', w: 4 }).trueReturn).toBeLessThan(at({ guide: 'qgf', w: 4 }).trueReturn);
  });

  test('QGF has its edge, too: the weight reaches it', () => {
    const qgf = (w: number) => at({ guide: 'qgf', w });
    expect(qgf(1).mean).toBeCloseTo(1.05, 1);
    expect(qgf(5).mean).toBeCloseTo(1.41, 1);
    expect(qgf(7.5).fooled).toBe(0);
    expect(qgf(8).fooled).toBeGreaterThan(0);
    expect(qgf(8).fooled).toBeLessThan(0.01);
    expect(qgf(10).fooled).toBe(1);
    expect(demo.params.w.max).toBeGreaterThanOrEqual(10);
    expect(at({ guide: 'jacobian', w: 10 }).mean).toBeCloseTo(1.21, 1);
  });

  test('beyond w = 8 the steps of OOD overshoot the bump', () => {
    expect(at({ guide: 'ood', w: 8 }).fooled).toBe(1);
    expect(at({ guide: 'ood', w: 12 }).fooled).toBeLessThan(0.5);
    expect(at({ guide: 'ood', w: 12 }).trueReturn).toBeLessThan(-1);
  });

  test('a lower bump fools nobody', () => {
    expect(at({ guide: 'ood', w: 4, height: 0 }).mean).toBeCloseTo(1.03, 1);
    expect(at({ guide: 'ood', w: 4, height: 6 }).fooled).toBeLessThan(0.05);
    expect(at({ guide: 'ood', w: 4, height: 16 }).fooled).toBe(1);
    expect(at({ guide: 'qgf', w: 4, height: 16 }).fooled).toBe(0);
  });

  test('BPTT: most seeds return about -0.27, in some a particle at a watershed is flung far away', () => {
    const returns = [1, 2, 3, 4, 5].map((seed) => at({ guide: 'bptt', w: 4, seed }).trueReturn);
    expect(Math.max(...returns)).toBeLessThan(at({ guide: 'qgf', w: 4 }).trueReturn);
    expect(returns.filter((r) => r > -0.4).length).toBeGreaterThanOrEqual(3);
    expect(Math.min(...returns)).toBeLessThan(-5);
  });

  test('the run counts up', () => {
    expect(at({ time: 0 }).landed).toBe(0);
    expect(at({ time: 0.25 }).landed).toBe(500);
  });
});
