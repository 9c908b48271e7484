import { describe, expect, test } from 'vitest';
import { norm, sub } from '../../src/core/vector';
import file from '../../src/assets/policy.json';
import demo from '../../src/demos/d11';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, time: 0, ...patch });
const GOAL = file.maze.goal;
const PLACES = [[8, 8], [0, 0], [20, 12], [12, 16], [4, 12]] as const;

describe('D11', () => {
  test("the browser's actions are Python's", () => {
    expect(at({}).difference).toBeLessThan(1e-5);
  });

  test('guidance chooses actions that the critic values more', () => {
    for (const guide of ['ood', 'qgf', 'jacobian', 'bptt'] as const) {
      const gains = PLACES.map(([x, y]) => at({ x, y, guide, n: '20' }).value - at({ x, y, guide: 'none', n: '20' }).value);
      expect(gains.reduce((sum, gain) => sum + gain, 0), `${guide} ${gains}`).toBeGreaterThan(0);
    }
  });

  test('at strength 0 every guide is the cloned flow', () => {
    const { ends } = at({ guide: 'none' });
    for (const guide of ['ood', 'qgf', 'jacobian'] as const) expect(at({ guide, strength: 0 }).ends).toEqual(ends);
  });

  test('at t = 1 the estimate is the action', () => {
    const { cleans, ends, noisy } = at({ t: 1 });
    expect(cleans).toEqual(ends);
    expect(noisy).toEqual(ends);
  });

  test('the film shows more and more of the same two walks, from one start', () => {
    const [half, whole] = [at({ time: 0.5 }), at({ time: 1 })];
    for (const which of ['cloned', 'guided'] as const) {
      expect(whole[which].path.slice(0, half[which].path.length)).toEqual(half[which].path);
    }
    expect(whole.cloned.path[0]).toEqual(whole.guided.path[0]);
  });

  test('the guided walk comes nearer to the goal than the cloned one', () => {
    const { cloned, guided } = at({ time: 1 });
    const toGoal = ({ path }: typeof cloned) => Math.min(...path.map((p) => norm(sub(p, GOAL))));
    expect(toGoal(guided)).toBeLessThan(toGoal(cloned));
  });

  test('an episode starts where the state is, as it is guided; a later change does not touch it', () => {
    const state = { ...demo.defaults, x: 12, y: 8, guide: 'ood', strength: 0.5 } as const;
    const started = { ...state, ...demo.actions![0]!.run(state) };
    const walked = demo.compute(started);
    expect(walked.guided.path[0]).toEqual(walked.here);
    expect(walked.walker).toBe('ood');
    const { cloned, guided } = demo.compute({ ...started, x: 0, guide: 'qgf', strength: 2, seed: 9 });
    expect([cloned, guided]).toEqual([walked.cloned, walked.guided]);
  });

  test('the page says what is approximate', () => {
    const { en, zh } = demo.note as { en: string; zh: string };
    expect(en).toMatch(/repeat one action.*close to it, not equal/s);
    expect(zh).toMatch(/重复五次.*只是接近/s);
  });
});
