import { memo } from '../core/memo';
import { Mixture } from '../core/mixture';
import { noise, rng } from '../core/rng';
import { Stream } from '../core/stream';
import { norm, sub, type Point } from '../core/vector';
import { defineDemo } from '../ui/demo';
import { compact, fixed, newSeed, number, playhead, seed, type State } from '../ui/params';
import type { Pen } from '../ui/pen';

export const flow = new Mixture([[-1.3, -0.7], [1.4, -0.8], [0.1, 1.4]], [1, 1, 1], 0.2);
const LINES = 4000;
const BALLOONS = 240;
const STEPS = 50;
/** A line passes "through" a point if it is this close to it at time t. */
const NEAR = 0.2;
/** Until here the film throws lines; then both sides run through t. */
const THROWN = 0.4;
/** Lines that are drawn faintly, and velocities of lines that pass. */
const [FAINT, STRONG] = [110, 36];
/** A velocity of 1 is drawn as long as this. */
const PACE = 0.5;
const TAIL = 14;

const stream = new Stream(flow, STEPS);

/** The ends of the training lines: x0 y0 x1 y1 a line. */
const lines = memo((seed: number) => {
  const { normal, uniform } = rng(seed);
  const all = new Float64Array(4 * LINES);
  for (let i = 0; i < LINES; i++) {
    const mu = flow.means[Math.floor(uniform() * flow.means.length)]!;
    all.set([normal(), normal(), mu[0]! + flow.std * normal(), mu[1]! + flow.std * normal()], 4 * i);
  }
  return all;
});

/** Every balloon at every step. */
const balloons = memo((seed: number) => {
  const starts = noise(seed + 5000, BALLOONS, 2);
  const paths = new Float64Array(BALLOONS * 2 * (STEPS + 1));
  starts.forEach(([x, y], i) => {
    const at = i * 2 * (STEPS + 1);
    paths.set([x!, y!], at);
    stream.advance(paths, at, 0, STEPS);
  });
  return paths;
});

const params = {
  t: number({ label: { en: 'Time *t* of the arrows', zh: '箭头的时刻 *t*' }, value: 0.5, min: 0, max: 0.9, step: 0.05 }),
  x: number({ label: { en: 'Point, across', zh: '点的横坐标' }, value: 0.4, min: -2, max: 2, step: 0.05, slider: false }),
  y: number({ label: { en: 'Point, up', zh: '点的纵坐标' }, value: 0.5, min: -2, max: 2, step: 0.05, slider: false }),
  seed: seed(),
  time: playhead({ value: 0.76, seconds: 9, steps: 50 }),
};

function compute({ t, x, y, seed, time }: State<typeof params>) {
  const all = lines(seed);
  const n = Math.round(LINES ** Math.min(time / THROWN, 1));
  const clock = Math.max(time - THROWN, 0) / (1 - THROWN);
  const on = (i: number, s: number): Point => [(1 - s) * all[4 * i]! + s * all[4 * i + 2]!, (1 - s) * all[4 * i + 1]! + s * all[4 * i + 3]!];
  const [faint, passing]: [Point[][], Point[]] = [[], []];
  let [through, vx, vy] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    if (i < FAINT) faint.push([on(i, 0), on(i, 1)]);
    const [px, py] = on(i, t);
    if ((px - x) ** 2 + (py - y) ** 2 > NEAR ** 2) continue;
    const velocity: Point = [all[4 * i + 2]! - all[4 * i]!, all[4 * i + 3]! - all[4 * i + 1]!];
    through++;
    vx += velocity[0];
    vy += velocity[1];
    if (passing.length < STRONG) passing.push(velocity);
  }
  const exact = flow.velocity([x, y], t) as Point;
  const average: Point | undefined = through ? [vx / through, vy / through] : undefined;
  const tip = (v: Point): Point => [x + PACE * v[0], y + PACE * v[1]];
  const paths = balloons(seed);
  const s = clock * STEPS;
  const k = Math.min(Math.floor(s), STEPS - 1);
  const balloon = (i: number, j: number): Point => [paths[(i * (STEPS + 1) + j) * 2]!, paths[(i * (STEPS + 1) + j) * 2 + 1]!];
  const between = (i: number): Point => {
    const [[ax, ay], [bx, by]] = [balloon(i, k), balloon(i, k + 1)];
    return [ax + (s - k) * (bx - ax), ay + (s - k) * (by - ay)];
  };
  const drops = Array.from({ length: BALLOONS }, (_, i) => between(i));
  const share = (points: readonly Point[], mu: readonly number[]) => points.filter((a) => norm(sub(a, mu)) < 3.5 * flow.std).length / points.length;
  const dots = Array.from({ length: Math.min(n, BALLOONS) }, (_, i) => on(i, clock));
  return {
    at: [x, y] as Point,
    n,
    clock,
    faint,
    dots,
    through,
    arrows: passing.map(tip),
    average: average && tip(average),
    exact: tip(exact),
    velocities: { average, exact },
    apart: average ? Math.hypot(average[0] - exact[0], average[1] - exact[1]) : undefined,
    drops,
    tails: drops.map((drop, i) => [...Array.from({ length: Math.min(k, TAIL) + 1 }, (_, j) => balloon(i, k - Math.min(k, TAIL) + j)), drop]),
    shares: { lines: flow.means.map((mu) => share(dots, mu)), balloons: flow.means.map((mu) => share(drops, mu)) },
  };
}
type Model = ReturnType<typeof compute>;

const side = { domain: [-2.2, 2.2] as Point, hidden: true };
const square = { x: side, y: side, ratio: 1.1, narrow: 1.25, equal: true };
const modes = flow.means.map((mu) => [mu[0]!, mu[1]!] as const);
const ground = (pen: Pen) => modes.forEach((mu) => pen.disc(mu, 2 * flow.std, { role: 'data', alpha: 0.3 }));

export default defineDemo({
  id: 'd13',
  title: { en: 'Throw lines, average, release', zh: '扔直线，取平均，再放飞' },
  params,
  compute,
  stages: {
    lines: {
      title: { en: 'Training lines, from noise to data', zh: '训练直线：从噪声到数据' },
      label: {
        en: 'Straight lines from noise to three clusters; at a point, the velocities of the lines that pass there, their average, and the exact velocity.',
        zh: '从噪声到三簇数据的直线；在一点上，画出经过那里的各条直线的速度、它们的平均，以及精确的速度。',
      },
      ...square,
    },
    flow: {
      title: { en: 'Balloons that follow the average', zh: '顺着平均速度飞的气球' },
      label: { en: 'Balloons released in the average velocity: they bend towards the clusters.', zh: '在平均速度场里放飞的气球，弯着飞向各簇。' },
      ...square,
    },
  },
  columns: { wide: 2, narrow: 1 },
  handles: [{ stage: 'lines', label: { en: 'The point', zh: '点' }, role: 'ink', x: 'x', y: 'y' }],
  readouts: [
    {
      items: [
        { key: 'thrown', label: { en: 'lines thrown', zh: '扔了几条' }, value: (m) => m.n, format: fixed(0) },
        { key: 'through', label: { en: 'pass through the point', zh: '经过这一点的' }, value: (m) => m.through, format: fixed(0) },
      ],
    },
    {
      role: 'ink',
      label: { en: 'Their average velocity', zh: '它们的平均速度' },
      items: [0, 1].map((i) => ({
        key: `average-${i}`,
        label: i ? { en: 'up', zh: '向上' } : { en: 'across', zh: '向右' },
        value: (m: Model) => m.velocities.average?.[i] ?? '—',
      })),
    },
    {
      role: 'jacobian',
      label: { en: 'The exact *v*(*a*, *t*)', zh: '精确的 *v*(*a*, *t*)' },
      items: [0, 1].map((i) => ({ key: `exact-${i}`, label: i ? { en: 'up', zh: '向上' } : { en: 'across', zh: '向右' }, value: (m: Model) => m.velocities.exact[i]! })),
    },
    {
      items: [
        { key: 'apart', label: { en: 'average and exact apart', zh: '平均与精确相差' }, value: (m) => m.apart ?? '—', format: compact },
        { key: 'clock', label: { en: 'the moving dots are at *t*', zh: '动点的时刻 *t*' }, value: (m) => m.clock },
      ],
    },
  ],
  actions: [newSeed],
  note: {
    en: 'Left: lines are thrown, up to 4,000 (110 are drawn), each from noise to one of three clusters. Thin arrows: the velocities of those that pass the point within 0.2 at time *t*; bold: their average; purple: the exact velocity. Right: 240 balloons released in the exact velocity. The dots on both sides run through *t* together: straight there, bent here, and distributed alike at every moment.',
    zh: '左：扔出的直线，最多 4,000 条（画出 110 条），每条从噪声连到三簇之一。细箭头：*t* 时刻经过这一点（0.2 以内）的直线的速度；粗箭头：它们的平均；紫色：精确的速度。右：240 只气球，在精确的速度场里放飞。两边的动点同时走过 *t*：那边走直线，这边走弯路，而每一刻的分布都相同。',
  },
  draw({ model, pens }) {
    ground(pens.lines);
    pens.lines.lines(model.faint, { role: 'muted', alpha: 0.22, width: 1 });
    pens.lines.dots(model.dots, { role: 'ood', size: 14, alpha: 0.75 });
    for (const tip of model.arrows) pens.lines.arrow(model.at, tip, { role: 'muted', width: 0.75, alpha: 0.55 });
    pens.lines.arrow(model.at, model.exact, { role: 'jacobian', width: 6, alpha: 0.6 });
    if (model.average) pens.lines.arrow(model.at, model.average, { role: 'ink', width: 2.5 });

    ground(pens.flow);
    pens.flow.lines(model.tails, { role: 'ood', alpha: 0.3, width: 1, dash: [] });
    pens.flow.dots(model.drops, { role: 'ood', size: 16, alpha: 0.85 });
  },
});
