import { describe, expect, test } from 'vitest';
import { FOOLED, landing } from '../../src/core/landing';
import { noise } from '../../src/core/rng';
import { rain, STEPS } from '../../src/core/race';
import demo from '../../src/demos/d5';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const GUIDES = ['none', 'ood', 'bptt', 'jacobian', 'qgf'] as const;
const { mixture, critic } = landing;

describe('D5', () => {
  test.each(GUIDES)('%s: every step shown is a + (v + w g)/T', (guide) => {
    for (const { w, T, a0 } of [{ w: 4, T: 50, a0: -1.2 }, { w: 12, T: 20, a0: 2.1 }]) {
      let a = a0;
      for (let k = 0; k < T; k++) {
        const { now, path, here } = at({ guide, w, T, a0, time: k / T });
        expect(here).toEqual([now.a, k / T]);
        expect(path).toHaveLength(k + 1);
        expect(Math.abs(now.a - a)).toBeLessThan(1e-12 * Math.max(1, Math.abs(a)));
        a = now.a + (now.v + w * now.g) / T;
        expect(Math.abs(now.next - a)).toBeLessThan(1e-12 * Math.max(1, Math.abs(a)));
      }
      expect(at({ guide, w, T, a0, time: 1 }).path.at(-1)![0]).toBeCloseTo(a, 9);
    }
  });

  test.each(GUIDES)('%s: the same start ends where D4 ends', (guide) => {
    const starts = noise(1, 40, 1).map(([a0]) => a0!);
    const { paths } = rain(guide, 4, 'full', 1, 40);
    starts.forEach((a0, i) => expect(at({ guide, w: 4, a0 }).end).toBeCloseTo(paths[i * (STEPS + 1) + STEPS]!, 10));
  });

  test('what is drawn is where the guide asks', () => {
    for (const time of [0, 0.3, 0.7, 0.96]) {
      const [ood, qgf, jacobian, bptt, none] = (['ood', 'qgf', 'jacobian', 'bptt', 'none'] as const).map((guide) => at({ guide, time }));
      expect(ood!.asked!.at).toBe(ood!.now.a);
      expect(ood!.asked!.slope).toBe(ood!.now.g);
      expect(qgf!.asked!.at).toBe(qgf!.now.clean);
      expect(qgf!.asked!.slope).toBe(qgf!.now.g);
      expect(jacobian!.asked!.slope * mixture.jacobian([jacobian!.now.a], jacobian!.now.t)[0]![0]!).toBeCloseTo(jacobian!.now.g, 12);
      expect(bptt!.asked!.at).toBeCloseTo(bptt!.rollout.at(-1)![0], 12);
      expect(none!.asked).toBeUndefined();
      expect(qgf!.now.clean).toBeCloseTo(qgf!.now.a + (1 - qgf!.now.t) * qgf!.now.v, 12);
    }
  });

  test('the text: the guess lies among the data for nearly the whole climb, whatever the start; then it follows', () => {
    for (const a0 of [-2.5, -1, 0, 1, 2.5]) {
      const { steps } = at({ guide: 'qgf', w: 4, a0 });
      const among = steps.filter(({ clean }) => clean > -2.15 && clean < 1.15).length;
      expect(among / steps.length).toBeGreaterThan(0.85);
      const last = steps.at(-1)!;
      expect(Math.abs(last.clean - last.a)).toBeLessThan(0.1);
    }
  });

  test('the text: w = 4 fools OOD, not QGF; the largest weight fools QGF', () => {
    expect(at({ guide: 'ood', w: 4 }).end).toBeGreaterThan(FOOLED);
    expect(at({ guide: 'qgf', w: 4 }).end).toBeLessThan(1.5);
    expect(at({ guide: 'qgf', w: demo.params.w.max }).end).toBeGreaterThan(FOOLED);
  });

  test('the slope on Q is the slope of Q', () => {
    const { asked } = at({ time: 0.5 });
    const h = 1e-6;
    expect((critic.value([asked!.at + h]) - critic.value([asked!.at - h])) / (2 * h)).toBeCloseTo(asked!.slope, 6);
  });
});
