import { describe, expect, test } from 'vitest';
import file from '../../src/assets/critic.json';
import { turn } from '../../src/core/angles';
import { Smooth } from '../../src/core/critic';
import { linspace, sub, type Point } from '../../src/core/vector';
import { bowl } from '../../src/core/world';
import demo, { type Shaft } from '../../src/demos/d2';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const vector = ({ from, to }: Shaft) => sub(to, from);
const { x, y } = demo.params;
/** Places of the star, over the whole range of its handle. */
const stars: Point[] = linspace(x.min, x.max, 9).flatMap((px) => linspace(y.min, y.max, 7).map((py): Point => [px, py]));
const clusters: Point[] = [[-1.3, -0.7], [1.4, -0.8], [0.1, 1.4]];
const quantile = (values: number[], share: number) => values.toSorted((a, b) => a - b)[Math.floor(share * values.length)]!;

describe('D2', () => {
  const rest = at({});

  test("while the question is open BPTT scatters more than five times as much as QGF", () => {
    for (const time of [0.1, 0.2, 0.3]) expect(at({ time }).bptt.spread).toBeGreaterThan(5 * at({ time }).qgf.spread);
    expect(rest.bptt.spread).toBeGreaterThan(25);
  });

  test('and its arrow is drawn anew every 80 ms, alike for all panels', () => {
    const [now, soon, later] = [0, 0.04, 0.081].map((seconds) => at({ time: 0.26668 + seconds / 9 }).bptt.fan[0]!);
    expect(Math.abs(turn(vector(now!), vector(soon!)))).toBeLessThan(3);
    expect(Math.abs(turn(vector(now!), vector(later!)))).toBeGreaterThan(3);
    const turns = (panel: 'bptt' | 'qgf') => linspace(0.1, 0.35, 40).map((time) => Math.abs(turn(vector(rest[panel].fan[0]!), vector(at({ time })[panel].fan[0]!))));
    expect(quantile(turns('bptt'), 0.9)).toBeGreaterThan(3 * quantile(turns('qgf'), 0.9));
  });

  test("QGF's arrow is the same vector at the estimate and at the noisy action", () => {
    const [there, here] = [vector(rest.qgf.guess), vector(rest.qgf.carried)];
    expect(rest.qgf.carried.from).toEqual(rest.qgf.walked.at(-1));
    there.forEach((one, i) => expect(Math.abs(one - here[i]!)).toBeLessThan(1e-12));
  });

  test('all four walk to the end by one clock, and the unguided one ends inside a cluster', () => {
    const [start, end] = [at({ time: 0 }), at({ time: 1 })];
    for (const panel of ['none', 'bptt', 'ood', 'qgf'] as const) {
      expect(start[panel].walked[0]).toEqual([0.7, 0.5]);
      expect(end[panel].walked).toHaveLength(25);
    }
    expect(Math.min(...clusters.map(([cx, cy]) => Math.hypot(end.none.end[0] - cx, end.none.end[1] - cy)))).toBeLessThan(0.4);
    expect(start.asked).toBe(true);
    expect(end.asked).toBe(false);
  });

  test('wherever the star is put, the gradients at a_1 and at the estimate point at it', () => {
    for (const [sx, sy] of stars) {
      const { bptt, qgf } = at({ x: sx, y: sy });
      for (const arrow of [bptt.end, qgf.guess]) expect(Math.abs(turn(vector(arrow), sub([sx, sy], arrow.from)))).toBeLessThan(1e-6);
    }
  });

  test('the learned critic is off by 6, 19 and 40 degrees at a_1, the estimate and a_t, in the median over the handle', () => {
    const medians = (['bptt', 'qgf', 'ood'] as const).map((panel) => quantile(stars.map(([sx, sy]) => at({ x: sx, y: sy })[panel].off), 0.5));
    expect(medians.map(Math.round)).toEqual([6, 19, 40]);
  });

  test('with the star lower right BPTT hardly shakes', () => {
    expect(at({ x: 0.9, y: -1.5 }).bptt.spread).toBeLessThan(15);
  });

  test('the learned critic: its slope is right at the clusters, and anything elsewhere', () => {
    const net = new Smooth(file);
    const errors = (places: readonly Point[]) => places.flatMap((a) => stars.map((star) => Math.abs(turn(bowl(star).gradient(a), net.at(star).gradient(a)))));
    expect(quantile(errors(clusters), 0.5)).toBeCloseTo(3, -1);
    expect(quantile(errors(clusters), 0.5)).toBeLessThan(3.5);
    const everywhere = linspace(-1.8, 1.8, 13).flatMap((ax) => linspace(-1.6, 1.6, 11).map((ay): Point => [ax, ay]));
    expect(Math.abs(quantile(errors(everywhere), 0.5) - 23)).toBeLessThan(3);
    expect(quantile(errors(everywhere), 0.9)).toBeGreaterThan(90);
  });

  test('its gradient is the slope of its value', () => {
    const net = new Smooth(file).at([1.3, -0.1]);
    const h = 1e-5;
    for (const [ax, ay] of [[0.3, 0.4], [-1.3, -0.7]] as const) {
      const [gx, gy] = net.gradient([ax, ay]);
      expect((net.value([ax + h, ay]) - net.value([ax - h, ay])) / (2 * h)).toBeCloseTo(gx!, 6);
      expect((net.value([ax, ay + h]) - net.value([ax, ay - h])) / (2 * h)).toBeCloseTo(gy!, 6);
    }
  });
});
