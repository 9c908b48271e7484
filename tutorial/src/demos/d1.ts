import { grid, moved } from '../core/grid';
import { ESTIMATORS } from '../core/guidance';
import { memo } from '../core/memo';
import { noise } from '../core/rng';
import { sample } from '../core/sampling';
import { add, mean, norm, point, scale, sub, type Point, type Vec } from '../core/vector';
import { bowl, ring, type Critic } from '../core/world';
import { defineDemo } from '../ui/demo';
import { newSeed, number, percent, playhead, seed, type State } from '../ui/params';

const STEPS = 50;
const PARTICLES = 300;
const TAIL = 12;
const REACH = 3.2;
const flow = ring(5, 2, 0.18, Math.PI / 2);
const critic = (x: number, y: number) => bowl([x, y], 0.5);
/** A particle belongs to a cluster within this distance of its centre. */
const RADIUS = 3.5 * flow.std;

/** Every particle at every step. */
const run = memo((w: number, x: number, y: number, seed: number): Point[][] =>
  noise(seed, PARTICLES, 2).map((a0) => {
    const { steps, end } = sample(flow, critic(x, y), a0, ESTIMATORS.qgf, w, STEPS);
    return [...steps.map(({ a }) => point(a)), point(end)];
  }),
);

/** The critic around its peak, wide enough for the star to be anywhere. */
const landscape = grid(critic(0, 0).value, [-3 * REACH, 3 * REACH], [-2 * REACH, 2 * REACH], 96, 64);

const lattice: Vec[] = Array.from({ length: 23 * 11 }, (_, i) => [0.58 * ((i % 23) - 11), 0.58 * (Math.floor(i / 23) - 5)]);

/** A short streamline of v + w g: longer where it is faster, but never long. */
function streak(from: Vec, t: number, w: number, q: Critic): Point[] {
  const points = [point(from)];
  let a = from;
  for (let i = 0; i < 4; i++) {
    const push = add(flow.velocity(a, t), scale(w, ESTIMATORS.qgf(flow, q, a, t)));
    a = add(a, scale(0.1 / (1 + norm(push)), push));
    points.push(point(a));
  }
  return points;
}

/** Between two steps a particle moves straight. */
function at(path: readonly Point[], step: number): Point {
  const k = Math.min(Math.floor(step), STEPS - 1);
  return point(add(path[k]!, scale(step - k, sub(path[k + 1]!, path[k]!))));
}

const params = {
  w: number({ label: { en: 'Weight *w*', zh: '权重 *w*' }, value: 0.7, min: 0, max: 6, step: 0.05 }),
  x: number({ label: { en: '*a*⋆ across', zh: '*a*⋆ 横坐标' }, value: 2.3, min: -3, max: 3, step: 0.05, slider: false }),
  y: number({ label: { en: '*a*⋆ up', zh: '*a*⋆ 纵坐标' }, value: 1.2, min: -3, max: 3, step: 0.05, slider: false }),
  seed: seed(),
  time: playhead({ value: 1, seconds: 5, steps: STEPS, autoplay: true }),
};

function compute({ w, x, y, seed, time }: State<typeof params>) {
  const q = critic(x, y);
  const paths = run(w, x, y, seed);
  const step = time * STEPS;
  const particles = paths.map((path) => at(path, step));
  const fieldTime = Math.min(Math.floor(step), STEPS - 1) / STEPS;
  const tails = paths.map((path, i) => [
    ...path.slice(Math.max(0, Math.ceil(step) - TAIL), Math.ceil(step)),
    particles[i]!,
  ]);
  const inside = (mu: Vec) => mean(particles.map((a) => (norm(sub(a, mu)) < RADIUS ? 1 : 0)));
  const fractions = flow.means.map(inside);
  const distances = flow.means.map((mu) => norm(sub(mu, [x, y])));
  const nearest = distances.indexOf(Math.min(...distances));
  return {
    landscape: moved(landscape, [x, y]),
    streaks: lattice.map((a) => streak(a, fieldTime, w, q)),
    particles,
    tails,
    modes: flow.means.map(point),
    fractions,
    nearest,
    outside: 1 - fractions.reduce((sum, f) => sum + f, 0),
    meanQ: mean(particles.map(q.value)),
  };
}
type Model = ReturnType<typeof compute>;

export default defineDemo({
  id: 'd1',
  title: { en: 'A flow, and a critic that leans on it', zh: '一股流，和一位从旁施力的评论家' },
  params,
  compute,
  stages: {
    plane: {
      label: {
        en: 'The plane of actions: five clusters of data, the critic as contours around a star, and 300 particles flowing from noise.',
        zh: '动作平面：五簇数据，以星为中心的评论家等高线，300 个从噪声出发的粒子。',
      },
      x: { domain: [-REACH, REACH], hidden: true },
      y: { domain: [-REACH, REACH], hidden: true },
      ratio: 1.75,
      narrow: 1,
      equal: true,
    },
  },
  handles: [{ stage: 'plane', label: { en: 'Best action, the peak of Q', zh: '最好的动作，Q 的峰' }, role: 'critic', x: 'x', y: 'y' }],
  notes: flow.means.map((mu, i) => ({
    key: `cluster${i + 1}`,
    stage: 'plane' as const,
    role: 'ink' as const,
    label: '',
    at: () => [mu[0]! * 1.34, mu[1]! * 1.3] as const,
    value: ({ fractions }: Model) => fractions[i]!,
    format: percent,
  })),
  readouts: [
    { items: [{ key: 'nearest', label: { en: 'in the cluster nearest the star', zh: '落在离星最近的簇' }, value: (m) => m.fractions[m.nearest]!, format: percent }] },
    { items: [{ key: 'outside', label: { en: 'in no cluster', zh: '不在任何簇里' }, value: (m) => m.outside, format: percent }] },
    { items: [{ key: 'meanQ', label: { en: 'mean *Q*', zh: '*Q* 的均值' }, value: (m) => m.meanQ }] },
  ],
  actions: [newSeed],
  note: {
    en: 'Blue bands: *Q*(*a*) = −¼‖*a* − *a*⋆‖², highest at the star. Grey streaks: the field *v* + *w g* at this moment, with *g* = ∇*Q*(*â*_1). Orange: 300 particles. A particle counts for a cluster within 3.5 standard deviations of its centre.',
    zh: '蓝色带：*Q*(*a*) = −¼‖*a* − *a*⋆‖²，在星处最高。灰色短线：此刻的场 *v* + *w g*，其中 *g* = ∇*Q*(*â*_1)。橙色：300 个粒子。离簇中心不超过 3.5 个标准差，就算落在这一簇。',
  },
  draw({ model, pens: { plane } }) {
    plane.field(model.landscape, { role: 'critic', levels: 10, lowest: -8, alpha: 0.05 });
    plane.lines(model.streaks, { role: 'muted', alpha: 0.4, width: 1 });
    plane.dots(model.modes, { role: 'data', size: 1400, alpha: 0.3 });
    plane.lines(model.tails, { role: 'ood', alpha: 0.22, width: 1, dash: [] });
    plane.dots(model.particles, { role: 'ood', size: 16, alpha: 0.85 });
  },
});
