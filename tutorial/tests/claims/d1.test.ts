import { describe, expect, test } from 'vitest';
import demo from '../../src/demos/d1';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, time: 1, ...patch });

describe('D1', () => {
  test('without guidance each cluster gets a fifth', () => {
    for (const fraction of at({ w: 0 }).fractions) expect(Math.abs(fraction - 0.2)).toBeLessThan(0.07);
  });

  test('the cluster nearest the star and the mean of Q rise with the strength', () => {
    const rising = (of: (m: ReturnType<typeof at>) => number) => {
      const [a, b, c] = [0, 0.7, 1.5].map((w) => of(at({ w })));
      expect(a).toBeLessThan(b!);
      expect(b).toBeLessThan(c!);
    };
    rising((m) => m.fractions[m.nearest]!);
    rising((m) => m.meanQ);
  });

  test('at the maximum particles leave the clusters', () => {
    expect(at({ w: 0 }).outside).toBeLessThan(0.05);
    expect(at({ w: demo.params.w.max }).outside).toBeGreaterThan(0.5);
  });

  test('moving the star moves the landings', () => {
    const left = at({ x: -2.3, y: 0.7 });
    expect(left.nearest).not.toBe(at({}).nearest);
    expect(left.fractions[left.nearest]).toBeGreaterThan(at({}).fractions[left.nearest]! + 0.1);
  });
});
