/** What the page refuses of a reader's own file, and that it takes a good one. */

import { describe, expect, test } from 'vitest';
import { Refusal, readPolicy } from '../src/core/reading';
import { stored } from '../src/core/stored';
import type { PolicyFile } from '../src/core/policy';

const good = (): PolicyFile => stored<PolicyFile>('medium3');
const refusal = (text: string): string => {
  try {
    readPolicy(text);
  } catch (error) {
    if (error instanceof Refusal) return error.text.en;
    throw error;
  }
  return 'taken';
};
/** What is said of the good file after a change. */
const after = (change: (file: any) => void): string => {
  const file = good();
  change(file);
  return refusal(JSON.stringify(file));
};

test('a file that qgf wrote is taken', () => {
  const policy = readPolicy(JSON.stringify(good()));
  expect(policy.dataset).toBe('pointmaze-medium-navigate-singletask-task3-v0');
  expect(policy.date).toBe('2026-11-28');
  expect(policy.difference()).toBeLessThan(1e-5);
});

test('one that an older qgf wrote, too', () => {
  const { date, ...older } = good();
  expect(date).toBeDefined();
  expect(refusal(JSON.stringify(older))).toBe('taken');
});

describe('refused in one line', () => {
  test.each(['', 'null', '3', '[]', '{}', '{"horizon": 5}', JSON.stringify(good()).slice(0, 4000), '<html></html>', JSON.stringify(stored('cube'))])('%.20s', (text) => {
    expect(refusal(text)).toMatch(/^Refused: [^\n]+\.$/);
  });

  test.each<[string, (file: any) => void, RegExp]>([
    ['a weight of another network', (file) => (file.flow.data = file.flow.data.replace(/[A-Za-z]/, '0')), /answer otherwise|flow/],
    ['weights cut off', (file) => (file.critics[0].data = file.critics[0].data.slice(0, -8)), /critics/],
    ['sizes that do not fit', (file) => (file.flow.sizes[0] = 30), /flow/],
    ['no walls', (file) => (file.maze.walls = []), /maze/],
    ['ragged walls', (file) => (file.maze.walls[1] = '101'), /maze/],
    ['a scale of 0', (file) => (file.std[0] = 0), /std/],
    ['a number that is text', (file) => (file.mean[0] = '3'), /mean/],
    ['a date that is none', (file) => (file.date = 'today'), /date/],
    ['no checks', (file) => (file.checks = []), /checks/],
    ['a horizon of 0', (file) => (file.horizon = 0), /horizon/],
    ['an action of another size', (file) => (file.horizon = 4), /flow/],
    ['answers of another network', (file) => (file.checks[0].ends.qgf[0] += 0.5), /answer otherwise here than the file says, by 0\.50/],
  ])('%s', (_, change, words) => {
    expect(after(change)).toMatch(words);
  });
});
