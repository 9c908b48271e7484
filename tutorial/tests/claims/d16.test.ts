import { describe, expect, test } from 'vitest';
import { inPicture } from '../../src/core/camera';
import { lift, planeOf, project } from '../../src/core/slice';
import { noise } from '../../src/core/rng';
import { stored } from '../../src/core/stored';
import demo from '../../src/demos/d16';

const at = (patch: Partial<typeof demo.defaults> = {}) => demo.compute({ ...demo.defaults, ...patch });
const MOMENTS = Array.from({ length: 12 }, (_, moment) => moment);

describe('D16', () => {
  test("the browser's actions are Python's", () => {
    expect(at().difference).toBeLessThan(1e-5);
  });

  test('the note says how many episodes were solved', () => {
    const { none, qgf } = stored<{ solved: Record<'none' | 'qgf', [number, number]> }>('cube').solved;
    expect(none[1]).toBe(qgf[1]);
    const note = demo.note as { en: string; zh: string };
    expect(note.en).toContain(`solves ${none[0]} of ${none[1]} episodes as it was cloned and ${qgf[0]} of ${qgf[1]} guided`);
    expect(note.zh).toContain(`${none[1]} 个回合做成 ${none[0]} 个，用 QGF 引导做成 ${qgf[0]} 个`);
  });

  test('an action chunk has 25 numbers, and guidance raises the critic at every moment', () => {
    expect(at().d).toBe(25);
    for (const moment of MOMENTS) {
      const { value } = at({ moment });
      expect(value.guided, String(moment)).toBeGreaterThan(value.cloned);
    }
  });

  test('between two moments the nearer one is shown', () => {
    expect(at({ moment: 3.4 }).hands).toEqual(at({ moment: 3 }).hands);
    expect(at(demo.film!.to(0.999)).moment).toBe(11);
  });

  test('at strength 0 every guide is the cloned flow', () => {
    const { hands } = at({ guide: 'none' });
    expect(hands.guided).toEqual(hands.cloned);
    for (const guide of ['ood', 'jacobian', 'qgf'] as const) expect(at({ guide, strength: 0 }).hands).toEqual(hands);
  });

  test('the plane holds between 30 and 70 % of the variance of the actions', () => {
    const shares = MOMENTS.map((moment) => at({ moment }).share);
    expect(Math.min(...shares)).toBeGreaterThan(0.3);
    expect(Math.max(...shares)).toBeLessThan(0.7);
  });

  test('on the plane the actions have mean 0 and standard deviation 1 along either direction', () => {
    const { reference, spread } = at();
    expect(spread[0]).toBeGreaterThan(spread[1]);
    for (const i of [0, 1]) {
      expect(reference.reduce((sum, point) => sum + point[i]!, 0) / reference.length).toBeCloseTo(0, 8);
      expect(reference.reduce((sum, point) => sum + point[i]! ** 2, 0) / reference.length).toBeCloseTo(1, 8);
    }
  });

  test('a plane finds the two directions in which points were stretched, and takes them back', () => {
    const samples = noise(1, 4000, 6).map((x) => Float64Array.from(x, (z, i) => z * [1, 5, 1, 1, 3, 1][i]!));
    const plane = planeOf(samples);
    expect(Math.abs(plane.along[0][1]!)).toBeGreaterThan(0.99);
    expect(Math.abs(plane.along[1][4]!)).toBeGreaterThan(0.99);
    expect(plane.share).toBeCloseTo(34 / 38, 1);
    project(plane, lift(plane, [1.5, -2])).forEach((x, i) => expect(x).toBeCloseTo([1.5, -2][i]!, 9));
  });

  test('the hand is seen in every picture, and moves from the right to the cube and back up', () => {
    const hands = MOMENTS.map((moment) => at({ moment }).hands.cloned[0]![0]!);
    for (const place of hands) for (const x of place) expect(x > 0 && x < 1).toBe(true);
    expect(hands[0]![0]).toBeGreaterThan(0.8);
    expect(Math.abs(hands[5]![0] - 0.5)).toBeLessThan(0.1);
    expect(hands[8]![1]).toBeGreaterThan(hands[5]![1] + 0.05);
  });

  test('a camera sees what lies ahead in the middle, and what is as far to the side as ahead at its edge', () => {
    const camera = { place: [0, 0, 2], turn: [1, 0, 0, 0, 1, 0, 0, 0, 1], angle: 90 };
    expect(inPicture(camera, [0, 0, 0])).toEqual([0.5, 0.5]);
    inPicture(camera, [2, -1, 0]).forEach((x, i) => expect(x).toBeCloseTo([1, 0.25][i]!, 12));
  });
});
