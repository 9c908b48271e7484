import { describe, expect, test } from 'vitest';
import { svd2 } from '../../src/core/svd';
import { addScaled, dot, norm, sub, type Vec } from '../../src/core/vector';
import demo, { jacobian, warp } from '../../src/demos/d7';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const POINTS: [number, number, number][] = [[0, 0, 0.5], [0.45, 0.3, 0.5], [-1.3, 0.8, 0.35], [1.9, -1.75, 1], [0.8, 0.8, 0.9], [-0.2, 1.1, 0.05]];

describe('D7', () => {
  test('without curviness nothing is magnified', () => {
    for (const [x, y] of POINTS) at({ x, y, kappa: 0 }).sigma.forEach((sigma) => expect(sigma).toBeCloseTo(1, 12));
  });

  test('at the origin with kappa = 1/2 the circle becomes a line', () => {
    const { sigma, ratio, ellipse } = at({ x: 0, y: 0, kappa: 0.5 });
    expect(sigma[0]).toBeCloseTo(2, 12);
    expect(sigma[1]).toBeCloseTo(0, 12);
    expect(ratio).toBeUndefined();
    for (const [x, y] of ellipse) expect(x).toBeCloseTo(y, 12);
  });

  test('a small move away opens the line to an ellipse', () => {
    const { ratio, sigma } = at({ x: 0.25, y: 0.25, kappa: 0.5 });
    expect(ratio).toBeLessThan(20);
    expect(sigma[1]).toBeGreaterThan(0.1);
  });

  test.each(POINTS)('the product of the singular values is the size of the determinant at (%s, %s), kappa = %s', (x, y, kappa) => {
    const { product, det } = at({ x, y, kappa });
    expect(product).toBeCloseTo(Math.abs(det), 12);
  });

  test.each(POINTS)('finite differences agree at (%s, %s), kappa = %s', (x, y, kappa) => {
    const h = 1e-6;
    const J = jacobian([x, y], kappa);
    [[1, 0], [0, 1]].forEach((unit, j) => {
      const [ahead, behind] = [warp(addScaled([x, y], h, unit), kappa), warp(addScaled([x, y], -h, unit), kappa)];
      sub(ahead, behind).forEach((change, i) => expect(change / (2 * h)).toBeCloseTo(J[i]![j]!, 8));
    });
  });

  test.each(POINTS)('the singular values and axes are those of J at (%s, %s), kappa = %s', (x, y, kappa) => {
    const J = jacobian([x, y], kappa);
    const axes = svd2(J);
    for (const { sigma, from, to } of axes) {
      const pushed: Vec = J.map((row) => dot(row, from));
      pushed.forEach((value, i) => expect(value).toBeCloseTo(sigma * to[i]!, 12));
      expect(norm(from)).toBeCloseTo(1, 12);
      expect(norm(to)).toBeCloseTo(1, 12);
    }
    expect(axes[0].sigma).toBeGreaterThanOrEqual(axes[1].sigma);
    expect(dot(axes[0].from, axes[1].from)).toBeCloseTo(0, 12);
    expect(dot(axes[0].to, axes[1].to)).toBeCloseTo(0, 12);
  });

  test('the error of the ellipse falls fourfold when the radius halves', () => {
    for (const [x, y] of [[0.45, 0.3], [-1.3, 0.8], [1.2, 0.6]] as const) {
      expect(at({ x, y, radius: 0.1 }).error.quotient).toBeGreaterThan(3.8);
      expect(at({ x, y, radius: 0.1 }).error.quotient).toBeLessThan(4.2);
    }
    expect(at({}).error.quotient).toBeCloseTo(4.2, 1);
  });

  test('and eightfold at the origin, where f does not curve', () => {
    expect(at({ x: 0, y: 0, radius: 0.1 }).error.quotient).toBeGreaterThan(7.8);
  });
});
