import { describe, expect, test } from 'vitest';
import { norm, sub } from '../../src/core/vector';
import file from '../../src/assets/policy.json';
import { Policy } from '../../src/core/policy';
import { stored } from '../../src/core/stored';
import { DECISIONS, STARTS, walkOf } from '../../src/core/swarm';
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

  test('of twenty cloned walkers none arrives; of twenty guided ones 15 from the start and all from the middle', () => {
    const counts = (crowd: 'start' | 'middle') => {
      const { cloned, guided } = at({ crowd, time: 1 });
      expect([cloned.of, guided.of]).toEqual([20, 20]);
      return [cloned.arrived, guided.arrived];
    };
    expect(counts('start')).toEqual([0, 15]);
    expect(counts('middle')).toEqual([0, 20]);
    expect(at({ crowd: 'middle', time: 0.16 }).guided.arrived).toBe(20);
    expect(at({ crowd: 'middle', time: 0.1 }).guided.arrived).toBe(0);
  });

  test('a wall between the ball and a goal that is near: none of the guided arrives; from the far corner all twenty do; in the large maze none', () => {
    const counts = (world: 'medium3' | 'large5', crowd: 'start' | 'middle') => {
      const { cloned, guided } = at({ world, crowd, time: 1 });
      return [cloned.arrived, guided.arrived];
    };
    expect(counts('medium3', 'start')).toEqual([0, 0]);
    expect(counts('medium3', 'middle')).toEqual([0, 20]);
    expect(counts('large5', 'start')).toEqual([0, 0]);
    const { maze, guided } = at({ world: 'medium3', crowd: 'start', time: 1 });
    for (const head of guided.heads) expect(norm(sub(head, maze.goal))).toBeLessThan(5);
  });

  test.each(['medium3', 'large5'] as const)('%s answers as Python does, in its own maze', (world) => {
    const { difference, maze, here, dataset } = at({ world, x: 54, y: 54 });
    expect(difference).toBeLessThan(1e-5);
    expect(dataset).toContain(world.slice(0, -1));
    expect(maze.settle(here)).toEqual(here);
  });

  test('a file of the reader\'s own runs in its place, alone', () => {
    expect(at({ world: 'own' }).dataset).toBe(at({}).dataset);
    const patch = demo.file!.take(JSON.stringify(stored('large5')));
    const model = at({ ...patch, time: 0.05 });
    expect(model.dataset).toContain('large');
    expect(model.single).toBe(true);
  });

  test('the swarms are walks of this policy, as the page would compute them', async () => {
    const policy = new Policy(file);
    for (const which of ['cloned', 'guided'] as const) {
      const walk = walkOf(policy, which, STARTS.policy!.middle!, 3);
      const { path } = walk.upTo(12);
      const head = at({ crowd: 'middle', time: 12 / DECISIONS })[which].heads[3]!;
      expect(norm(sub(head, path.at(-1)!))).toBeLessThan(0.06);
    }
  });

  test('one pair of walks starts from one place and goes on as the film does', () => {
    const pair = (time: number) => at({ crowd: 'own', time });
    const [half, whole] = [pair(0.1), pair(0.2)];
    for (const which of ['cloned', 'guided'] as const) expect(whole[which].paths[0]!.slice(0, half[which].paths[0]!.length)).toEqual(half[which].paths[0]);
    expect(whole.cloned.paths[0]![0]).toEqual(whole.guided.paths[0]![0]);
  });

  test('an episode starts where the state is, as it is guided; a later change does not touch it', () => {
    const state = { ...demo.defaults, time: 0.1, x: 12, y: 8, guide: 'ood', strength: 0.5 } as const;
    const started = { ...state, ...demo.actions![0]!.run(state) };
    const walked = demo.compute(started);
    expect(walked.guided.paths[0]![0]).toEqual(walked.here);
    expect(walked.walker).toBe('ood');
    const { cloned, guided } = demo.compute({ ...started, x: 0, guide: 'qgf', strength: 2, seed: 9 });
    expect([cloned, guided]).toEqual([walked.cloned, walked.guided]);
  });

  test('the critic expects most near the goal', () => {
    const { worth } = at({});
    const best = worth.reduce((top, tile) => (tile.share > top.share ? tile : top));
    expect(norm(sub(best.at, GOAL))).toBeLessThan(5);
  });

  test('the page says what is approximate', () => {
    const { en, zh } = demo.note as { en: string; zh: string };
    expect(en).toMatch(/close to it, not equal.*repeat one action/s);
    expect(zh).toMatch(/只是接近.*重复五次/s);
  });
});
