import { grid, moved } from '../core/grid';
import { memo } from '../core/memo';
import { rng } from '../core/rng';
import { Stream } from '../core/stream';
import type { Point } from '../core/vector';
import { bowl, ring } from '../core/world';
import { defineDemo } from '../ui/demo';
import { number, percent, playhead, type State } from '../ui/params';

export const STEPS = 40;
/** Particles on screen; each flows, rests, and begins again with fresh noise, so many times before the noise repeats. */
const PARTICLES = 260;
const LIVES = 5;
/** The share of a life after which a particle has arrived. */
const FLOWING = 0.8;
const TAIL = 9;
const REACH = 3.1;
export const CURVATURE = 0.5;
export const flow = ring(5, 2, 0.18, Math.PI / 2);
const stream = new Stream(flow, STEPS);
/** A particle belongs to a cluster within this distance of its centre. */
const RADIUS = 3.5 * flow.std;
/** Paths that stay on screen faintly: where the stream runs. */
const BED = 90;

/** The noise of every life of every particle: x, y. */
const noise = memo((seed: number) => {
  const { normal } = rng(seed);
  return Float64Array.from({ length: 2 * PARTICLES * LIVES }, normal);
});

/** The paths under one critic, each computed as far as it has been asked for. */
class Course {
  private readonly known: Int16Array;
  readonly paths: Float64Array;

  constructor(
    starts: Float64Array,
    private readonly w: number,
    private readonly peak: Point,
  ) {
    this.known = new Int16Array(starts.length / 2);
    this.paths = new Float64Array(this.known.length * 2 * (STEPS + 1));
    for (let i = 0; i < this.known.length; i++) this.paths.set(starts.subarray(2 * i, 2 * i + 2), this.at(i));
  }

  /** Where path i begins. */
  at(i: number): number {
    return i * 2 * (STEPS + 1);
  }

  /** Knows path i up to a step. */
  upTo(i: number, step: number): void {
    if (this.known[i]! >= step) return;
    stream.advance(this.paths, this.at(i), this.known[i]!, step, { peak: this.peak, curvature: CURVATURE, w: this.w });
    this.known[i] = step;
  }

  point(i: number, step: number): Point {
    const at = this.at(i) + 2 * step;
    return [this.paths[at]!, this.paths[at + 1]!];
  }
}

const courseOf = memo((w: number, x: number, y: number, seed: number) => {
  const course = new Course(noise(seed), w, [x, y]);
  const q = bowl([x, y], CURVATURE);
  const counts = flow.means.map(() => 0);
  let score = 0;
  const bed: Point[][] = [];
  for (let i = 0; i < PARTICLES; i++) {
    course.upTo(i, STEPS);
    const [ax, ay] = course.point(i, STEPS);
    score += q.value([ax, ay]) / PARTICLES;
    flow.means.forEach((mu, k) => {
      if ((ax - mu[0]!) ** 2 + (ay - mu[1]!) ** 2 < RADIUS ** 2) counts[k]! += 1 / PARTICLES;
    });
    if (i < BED) bed.push(Array.from({ length: STEPS / 2 + 1 }, (_, k) => course.point(i, 2 * k)));
  }
  const distances = flow.means.map((mu) => Math.hypot(mu[0]! - x, mu[1]! - y));
  return { course, bed, fractions: counts, meanQ: score, nearest: distances.indexOf(Math.min(...distances)), outside: 1 - counts.reduce((sum, f) => sum + f, 0) };
});

/** The critic around its peak, wide enough for the star to be anywhere. */
const landscape = grid(bowl([0, 0], CURVATURE).value, [-4 * REACH, 4 * REACH], [-2 * REACH, 2 * REACH], 112, 56);

const params = {
  w: number({ label: { en: 'How much the critic pushes: weight *w*', zh: '评论家推多大的力：权重 *w*' }, value: 0.7, min: 0, max: 6, step: 0.05 }),
  x: number({ label: { en: '*a*⋆ across', zh: '*a*⋆ 横坐标' }, value: 2.3, min: -3, max: 3, step: 0.05, slider: false }),
  y: number({ label: { en: '*a*⋆ up', zh: '*a*⋆ 纵坐标' }, value: 1.2, min: -2.6, max: 2.6, step: 0.05, slider: false }),
  time: playhead({ value: 0.5, seconds: 26, steps: 250, loop: true, autoplay: true }),
};

function compute({ w, x, y, time }: State<typeof params>) {
  const { course, ...outcome } = courseOf(w, x, y, 1);
  const [moving, resting]: [Point[], Point[]] = [[], []];
  const tails: Point[][] = [];
  for (let i = 0; i < PARTICLES; i++) {
    const age = time * LIVES + i / PARTICLES;
    const life = age % 1;
    // Lives are counted round, so that the film closes upon itself.
    const path = (Math.floor(age) % LIVES) * PARTICLES + i;
    const s = Math.min(life / FLOWING, 1) * STEPS;
    const k = Math.min(Math.floor(s), STEPS - 1);
    course.upTo(path, k + 1);
    if (life >= FLOWING) {
      resting.push(course.point(path, STEPS));
      continue;
    }
    const [[ax, ay], [bx, by]] = [course.point(path, k), course.point(path, k + 1)];
    const here: Point = [ax + (s - k) * (bx - ax), ay + (s - k) * (by - ay)];
    moving.push(here);
    const tail: Point[] = [];
    for (let j = Math.max(0, k - TAIL); j <= k; j++) tail.push(course.point(path, j));
    tail.push(here);
    tails.push(tail);
  }
  return { ...outcome, landscape: moved(landscape, [x, y]), moving, resting, tails, modes: flow.means.map(([mx, my]): Point => [mx!, my!]) };
}
type Model = ReturnType<typeof compute>;

export default defineDemo({
  id: 'd1',
  title: { en: 'A flow, and a critic that leans on it', zh: '一股流，和一位从旁施力的评论家' },
  params,
  compute,
  hero: true,
  stages: {
    plane: {
      label: {
        en: 'The plane of actions: five clusters of data, the critic as contours around a star, and particles that stream from noise into the clusters.',
        zh: '动作平面：五簇数据，以星为中心的评论家等高线，粒子源源不断地从噪声流进各簇。',
      },
      x: { domain: [-REACH, REACH], hidden: true },
      y: { domain: [-REACH, REACH], hidden: true },
      ratio: 1.75,
      equal: true,
    },
  },
  handles: [{ stage: 'plane', label: { en: 'Best action, the peak of Q', zh: '最好的动作，Q 的峰' }, role: 'critic', x: 'x', y: 'y' }],
  notes: flow.means.map((mu, i) => ({
    key: `cluster${i + 1}`,
    stage: 'plane' as const,
    role: 'ink' as const,
    label: '',
    // Below its cluster, or beside the uppermost: above and to the left stands the title.
    at: () => (i === 0 ? ([mu[0]! + 0.75, mu[1]! + 0.15] as const) : ([mu[0]! * 1.1, mu[1]! - 0.55] as const)),
    value: ({ fractions }: Model) => fractions[i]!,
    format: percent,
  })),
  readouts: [
    { items: [{ key: 'nearest', label: { en: 'end in the cluster nearest the star', zh: '落在离星最近的簇' }, value: (m) => m.fractions[m.nearest]!, format: percent }] },
    { items: [{ key: 'outside', label: { en: 'end in no cluster', zh: '不在任何簇里' }, value: (m) => m.outside, format: percent }] },
    { items: [{ key: 'meanQ', label: { en: 'mean *Q* where they end', zh: '终点处 *Q* 的均值' }, value: (m) => m.meanQ }] },
  ],
  note: {
    en: 'Blue: how good an action is, highest at the star. Particles are actions taking shape, from noise in the middle to a cluster of what was done, each time with fresh noise. Their velocity is that of the data plus *w* times the critic’s slope at the end that is to be expected: *v* + *w* ∇*Q*(*â*_1), with *Q*(*a*) = −¼‖*a* − *a*⋆‖²; grey: where they run. Percentages: of 260 particles, within 3.5 standard deviations of a cluster’s centre.',
    zh: '蓝色：动作有多好，星处最高。粒子是正在成形的动作，从中间的噪声流向「做过的事」聚成的簇，每次都换一份新噪声。它们的速度是数据给的速度，加上 *w* 乘评论家在预计终点处的斜率：*v* + *w* ∇*Q*(*â*_1)，其中 *Q*(*a*) = −¼‖*a* − *a*⋆‖²；灰线：它们走的路。百分数：260 个粒子中，终点离簇中心不超过 3.5 个标准差的。',
  },
  draw({ model, pens: { plane } }) {
    plane.field(model.landscape, { role: 'critic', levels: 14, lowest: -16, alpha: 0.022, lines: 0.14 });
    plane.dots(model.modes, { role: 'data', size: 1600, alpha: 0.3 });
    plane.lines(model.bed, { role: 'muted', alpha: 0.16, width: 1, kept: true });
    plane.lines(model.tails, { role: 'ood', alpha: 0.35, width: 1.25, dash: [] });
    plane.dots(model.resting, { role: 'ood', size: 14, alpha: 0.35 });
    plane.dots(model.moving, { role: 'ood', size: 18, alpha: 0.9 });
  },
});
