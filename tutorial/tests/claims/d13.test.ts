import { describe, expect, test } from 'vitest';
import { mean, norm, sub, type Point } from '../../src/core/vector';
import demo, { flow } from '../../src/demos/d13';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const THROWN = 0.4;
const places = [-1, -0.5, 0, 0.5, 1].flatMap((x) => [-1, -0.5, 0, 0.5, 1].flatMap((y) => [0, 0.2, 0.4, 0.6].map((t) => ({ x, y, t }))));
const errors = (time: number) => places.map((place) => at({ ...place, time })).filter(({ through }) => through >= 10).map(({ apart }) => apart!);

describe('D13', () => {
  test('one line, then ten, then all: the numbers behind the presets', () => {
    expect([at({ time: 0 }).n, at({ time: 0.12 }).n, at({ time: THROWN }).n]).toEqual([1, 12, 4000]);
    expect(at({ time: THROWN }).through).toBeGreaterThan(80);
    expect(at({ time: THROWN }).apart).toBeLessThan(0.2);
  });

  test('the average of the lines emerges as the exact velocity', () => {
    const [few, all] = [errors(0.3), errors(THROWN)];
    expect(all.length).toBe(places.length);
    expect(mean(all)).toBeLessThan(0.3);
    expect(mean(all)).toBeLessThan(0.6 * mean(few));
  });

  test('at t = 0 the velocity leads everywhere to the mean of the data', () => {
    for (const { x, y } of places) {
      const { velocities } = at({ x, y, t: 0 });
      const middle = [0, 1].map((i) => mean(flow.means.map((mu) => mu[i]!)));
      expect(norm(sub(velocities.exact, sub(middle, [x, y])))).toBeLessThan(1e-12);
    }
  });

  test('on both sides the moving dots are distributed alike at every moment', () => {
    for (const time of [THROWN, 0.55, 0.7, 0.85, 1]) {
      const { dots, drops, shares } = at({ time });
      for (const i of [0, 1]) {
        const moments = (points: readonly Point[]) => [mean(points.map((p) => p[i]!)), Math.sqrt(mean(points.map((p) => p[i]! ** 2)))] as const;
        moments(dots).forEach((one, j) => expect(Math.abs(one - moments(drops)[j]!), `${time} ${i} ${j}`).toBeLessThan(0.16));
      }
      if (time === 1) for (const which of ['lines', 'balloons'] as const) for (const share of shares[which]) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.08);
    }
  });

  test('balloons do not fly straight', () => {
    const paths = [0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1].map((time) => at({ time }).drops);
    const detours = paths[0]!.map((from, i) => {
      const length = paths.slice(1).reduce((sum, drops, k) => sum + norm(sub(drops[i]!, paths[k]![i]!)), 0);
      return length / norm(sub(paths.at(-1)![i]!, from));
    });
    expect(mean(detours)).toBeGreaterThan(1.05);
  });
});
