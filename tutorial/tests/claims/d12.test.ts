import { describe, expect, test } from 'vitest';
import table from '../../src/assets/survey.json';
import { survey, turned } from '../../src/core/learned';
import { asymmetry, eigenvalues, singularValues } from '../../src/core/matrix';
import { STEPS } from '../../src/core/policy';
import { policyOf } from '../../src/core/stored';
import { noise, rng } from '../../src/core/rng';
import { svd2 } from '../../src/core/svd';
import demo from '../../src/demos/d12';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const policy = policyOf('policy');

describe('D12', () => {
  test('at t = 0, of 1,000 states: asymmetry 0.98, condition number 39, against the gradient in 65 %', () => {
    const first = table[0]!;
    expect(first.asymmetry).toBeCloseTo(0.98, 2);
    expect(Math.round(first.condition)).toBe(39);
    expect(Math.round(100 * first.against)).toBe(65);
    for (const later of table.slice(3)) expect(later.against).toBe(0);
  });

  test('150 states say the same within a tenth: asymmetry 0.95, condition number 33, cosine -0.27, against the gradient in 68 %', () => {
    const { asymmetry, condition, cosine, against } = survey(policy, 0, 150);
    for (const [found, said] of [[asymmetry, 0.95], [condition, 33], [cosine, -0.27], [against, 0.68]] as const) expect(Math.abs(found / said - 1)).toBeLessThan(0.1);
  });

  test('the committed table is what the network says', () => {
    for (const k of [0, 3]) {
      const some = survey(policy, k, 100);
      expect(some.some).toEqual(table[k]!.some);
    }
  });

  test('J is the slope of the one-step estimate', () => {
    const { normal } = rng(5);
    const a0 = Float64Array.from({ length: policy.d }, normal);
    for (const k of [0, 4]) {
      const { a, J } = turned(policy, [8, 8], a0, k);
      const guess = (x: Float64Array) => {
        const at = policy.at([8, 8]);
        return at.velocity(x, k / STEPS).value.map((v, i) => x[i]! + (1 - k / STEPS) * v);
      };
      for (const j of [0, 3, 9]) {
        const nudged = (h: number) => guess(a.map((x, i) => (i === j ? x + h : x)));
        const [up, down] = [nudged(1e-5), nudged(-1e-5)];
        for (let i = 0; i < policy.d; i++) expect((up[i]! - down[i]!) / 2e-5).toBeCloseTo(J[i]![j]!, 5);
      }
    }
  });

  test("the exact flow's J vanishes at t = 0 and never turns the gradient against itself", () => {
    expect(Math.max(...at({ time: 0 }).exact.ellipse.flat().map(Math.abs))).toBe(0);
    for (let k = 0; k < STEPS; k++) expect(at({ time: k / (STEPS - 1) }).exact.cosine).toBeGreaterThanOrEqual(0);
    expect(Math.max(...at({ time: 0 }).learned.ellipse.flat().map(Math.abs))).toBeGreaterThan(0.1);
  });

  test('singular values and asymmetry are those of matrices that are known', () => {
    const m = [[1.2, -0.4], [0.7, 2]];
    singularValues(m).forEach((sigma, i) => expect(sigma).toBeCloseTo(svd2(m)[i]!.sigma, 10));
    expect(eigenvalues([[2, 1, 0], [1, 2, 0], [0, 0, 5]])).toEqual([expect.closeTo(5, 12), expect.closeTo(3, 12), expect.closeTo(1, 12)]);
    expect(asymmetry([[1, 2], [2, 3]])).toBe(0);
    expect(asymmetry([[0, 1], [-1, 0]])).toBeCloseTo(2, 12);
    const random = noise(1, 10, 10);
    expect(singularValues(random).reduce((sum, s) => sum + s * s, 0)).toBeCloseTo(random.flat().reduce((sum, x) => sum + x * x, 0), 9);
  });
});
