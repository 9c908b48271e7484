/** The browser's networks answer what Python answers (`qgf tutorial --export-policy` writes its answers beside the weights). */

import { describe, expect, test } from 'vitest';
import file from '../src/assets/policy.json';
import { chebyshevGrid } from '../src/core/chebyshev';
import { GUIDES } from '../src/core/guidance';
import { Policy, type PolicyFile } from '../src/core/policy';
import { rng } from '../src/core/rng';
import type { Point } from '../src/core/vector';
import { Walk } from '../src/core/walk';

const policy = new Policy(file satisfies PolicyFile);
const { maze } = policy;

describe.each(GUIDES)('%s', (guide) => {
  test.each(file.checks)('agrees with Python at $obs', ({ obs, noise, strength, ends }) => {
    const { end, action } = policy.at(obs).denoise(Float64Array.from(noise), guide, policy.weight(strength));
    expect(end.length).toBe(policy.d);
    end.forEach((x, i) => {
      expect(Math.abs(x - ends[guide][i]!)).toBeLessThan(1e-5);
      expect(action[i]).toBe(Math.min(Math.max(x, -1), 1));
    });
  });
});

test('the largest difference is what the page says it is', () => {
  expect(policy.difference()).toBeLessThan(1e-5);
  const spoilt = structuredClone(file);
  spoilt.checks[1]!.ends.qgf[3]! += 0.25;
  expect(new Policy(spoilt).difference()).toBeCloseTo(0.25, 4);
});

test('the ball touches no wall, wherever it is put', () => {
  const { uniform } = rng(5);
  const clearance = ([x, y]: Point) =>
    Math.min(...maze.walls.map(([wx, wy]) => Math.hypot(Math.max(Math.abs(x - wx) - maze.half, 0), Math.max(Math.abs(y - wy) - maze.half, 0))));
  const corners = maze.walls.map(([x, y]): Point => [x + maze.half, y]);
  const anywhere = Array.from({ length: 300 }, (): Point => [0, 1].map((i) => maze.centre[i]! + 2.2 * (uniform() - 0.5) * maze.reach[i]!) as unknown as Point);
  for (const at of [...corners, ...anywhere]) expect(clearance(maze.settle(at)), String(at)).toBeGreaterThan(0.7 - 1e-9);
});

test('a free place stays where it is, and an action moves the ball by a fifth', () => {
  const [x, y] = maze.goal;
  expect(maze.settle([x, y])).toEqual([x, y]);
  expect(maze.step([x, y], [0.5, -1])).toEqual([x + 0.1, y - 0.2]);
});

test('a walk is the same however it is asked for, and ends at the goal', () => {
  const walk = () => new Walk(policy, [maze.goal[0] - 1.3, maze.goal[1]], 'qgf', policy.weight(1), 3);
  const whole = walk().upTo(40);
  const bit = walk();
  bit.upTo(2);
  expect(bit.upTo(40)).toEqual(whole);
  if (whole.arrived) expect(maze.arrived(whole.path.at(-1)!)).toBe(true);
  expect(whole.path.slice(0, -1).some(maze.arrived.bind(maze))).toBe(false);
});

test('seven points in a row determine a polynomial of degree six', () => {
  const f = (x: number, y: number) => 3 * x ** 6 - x * y ** 5 + y ** 2 - 0.5;
  const { values } = chebyshevGrid(7, 10)(f);
  const centre = (i: number) => ((i + 0.5) / 10) * 2 - 1;
  values.forEach((value, k) => expect(value).toBeCloseTo(f(centre(k % 10), centre(Math.floor(k / 10))), 9));
});
