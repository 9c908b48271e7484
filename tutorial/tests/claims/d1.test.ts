import { describe, expect, test } from 'vitest';
import { estimators } from '../../src/core/guidance';
import { exact } from '../../src/core/flow';
import { sample } from '../../src/core/sampling';
import { Stream } from '../../src/core/stream';
import { bowl } from '../../src/core/world';
import demo, { CURVATURE, flow, STEPS } from '../../src/demos/d1';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });

describe('D1', () => {
  test('without guidance each cluster gets a fifth', () => {
    for (const fraction of at({ w: 0 }).fractions) expect(Math.abs(fraction - 0.2)).toBeLessThan(0.07);
  });

  test('the cluster nearest the star and the mean of Q rise with the weight', () => {
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

  test('its particles take the steps of the sampler', () => {
    const stream = new Stream(flow, STEPS);
    for (const [w, peak] of [[0, [0, 0]], [0.7, [2.3, 1.2]], [5, [-1, 2]]] as const) {
      for (const a0 of [[0.3, -0.8], [-1.4, 0.2], [2.2, 2]]) {
        const { steps, end } = sample(flow, bowl(peak, CURVATURE), a0, estimators(exact).qgf, w, STEPS);
        const path = new Float64Array(2 * (STEPS + 1));
        path.set(a0);
        stream.advance(path, 0, 0, STEPS, { peak, curvature: CURVATURE, w });
        [...steps.map(({ a }) => a), end].forEach((a, k) => {
          expect(Math.abs(path[2 * k]! - a[0]!)).toBeLessThan(1e-10);
          expect(Math.abs(path[2 * k + 1]! - a[1]!)).toBeLessThan(1e-10);
        });
      }
    }
  });

  test('the stream never empties, its noise is fresh, and its film closes upon itself', () => {
    for (const time of [0, 0.13, 0.5, 0.77]) {
      const { moving, resting } = at({ time });
      expect(moving.length).toBeGreaterThan(200);
      expect(resting.length).toBeGreaterThan(40);
    }
    const places = (time: number) => new Set(at({ time }).moving.map((p) => p.map((x) => x.toFixed(6)).join()));
    const [first, last] = [places(0), places(1)];
    // A particle may arrive just on this side of a rounding or on the other.
    expect([...first].filter((place) => !last.has(place)).length).toBeLessThanOrEqual(2);
    const lives = [0, 0.2, 0.4, 0.6, 0.8].map((time) => at({ time: time + 1e-6 }).moving[0]!.join());
    expect(new Set(lives).size).toBe(5);
  });
});
