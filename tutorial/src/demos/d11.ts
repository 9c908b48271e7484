import { chebyshevGrid } from '../core/chebyshev';
import type { Guide } from '../core/guidance';
import { memo } from '../core/memo';
import type { Numbers } from '../core/network';
import { loadPolicy, STEPS } from '../core/policy';
import { noise } from '../core/rng';
import { addScaled, mean, point, type Point } from '../core/vector';
import { Walk } from '../core/walk';
import { defineDemo } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import { choice, fixed, newSeed, number, playhead, seed, type State } from '../ui/params';
import type { Role } from '../ui/roles';

const policy = await loadPolicy();
const { maze } = policy;
/** An episode ends after this many chunks, reached or not. */
const DECISIONS = 160;
/** Guides that follow the flow to its end at every step cost four times as much: a quarter of the particles. */
const DEAR: readonly Guide[] = ['bptt', 'chain'];
const OPTIONS = { none: GUIDE_NAMES.none, ood: GUIDE_NAMES.ood, bptt: GUIDE_NAMES.bptt, chain: 'QGF-chain', jacobian: GUIDE_NAMES.jacobian, qgf: GUIDE_NAMES.qgf };
/** An arrow is this much of the push w g. */
const ARROW = 1 / 3;
const roleOf = (guide: Guide): Role => (guide === 'chain' ? 'ink' : guide);

/** A chunk as a point of the plane: the mean of its actions. */
const middle = (chunk: Numbers): Point => [mean(chunk.filter((_, i) => i % 2 === 0)), mean(chunk.filter((_, i) => i % 2 === 1))];

const heat = chebyshevGrid(5, 20);
/** The critic at a state, over chunks that repeat one action. */
const landscape = memo((x: number, y: number) => {
  const at = policy.at([x, y]);
  return heat((ax, ay) => at.value(Float64Array.from({ length: policy.d }, (_, i) => (i % 2 ? ay : ax))));
});

/** Every particle's path from noise to action. */
const denoised = memo((x: number, y: number, guide: Guide, strength: number, n: number, seed: number) => {
  const at = policy.at([x, y]);
  const weight = policy.weight(strength);
  const particles = noise(seed, DEAR.includes(guide) ? Math.ceil(n / 4) : n, policy.d);
  return particles.map((a0) => {
    const { steps, action } = at.denoise(Float64Array.from(a0), guide, weight);
    return {
      path: [...steps.map(({ a }) => middle(a)), middle(action)],
      cleans: [...steps.map(({ clean }) => middle(clean)), middle(action)],
      pushes: [...steps.map(({ push }) => middle(push)), [0, 0] as Point],
      value: at.value(action),
    };
  });
});

/** A cloned and a guided walk from one place. */
const walks = memo((x: number, y: number, guide: Guide, strength: number, seed: number) => ({
  cloned: new Walk(policy, [x, y], 'none', 0, seed),
  guided: new Walk(policy, [x, y], guide, policy.weight(strength), seed + 1000),
}));

/** The largest difference between the page's answers and Python's, for every guide. */
const difference = memo(() => policy.difference());

const [left, bottom] = [0, 1].map((i) => maze.centre[i]! - maze.reach[i]! + 2 * maze.half) as [number, number];
const [right, top] = [0, 1].map((i) => maze.centre[i]! + maze.reach[i]! - 2 * maze.half) as [number, number];
const across = { en: 'State across', zh: '状态横坐标' };
const up = { en: 'State up', zh: '状态纵坐标' };
const hidden = { slider: false } as const;

const params = {
  x: number({ label: across, value: 8, min: left, max: right, step: 0.2, ...hidden }),
  y: number({ label: up, value: 8, min: bottom, max: top, step: 0.2, ...hidden }),
  guide: choice({ label: { en: 'Guidance', zh: '引导方式' }, value: 'qgf', options: OPTIONS }),
  strength: number({ label: { en: 'Strength', zh: '强度' }, value: 1, min: 0, max: 4, step: 0.1 }),
  t: number({ label: { en: 'Flow time *t*', zh: '流的时间 *t*' }, value: 0.4, min: 0, max: 1, step: 1 / STEPS }),
  n: choice({ label: { en: 'Particles', zh: '粒子数' }, value: '4', options: { 4: '4', 20: '20' } }),
  seed: seed(),
  time: playhead({ value: 1, seconds: 16, steps: DECISIONS }),
  // Where, how and with which noise the episode was started.
  startX: number({ label: across, value: 0, min: left, max: right, step: 0.2, ...hidden }),
  startY: number({ label: up, value: 0, min: bottom, max: top, step: 0.2, ...hidden }),
  walker: choice({ label: { en: 'Guidance', zh: '引导方式' }, value: 'qgf', options: OPTIONS, hidden: true }),
  push: number({ label: { en: 'Strength', zh: '强度' }, value: 1, min: 0, max: 4, step: 0.1, ...hidden }),
  episode: seed(),
};

function compute({ x, y, guide, strength, t, n, seed, time, startX, startY, walker, push, episode }: State<typeof params>) {
  const here = maze.settle([x, y]);
  const particles = denoised(...here, guide, strength, Number(n), seed);
  const k = Math.round(t * STEPS);
  const { cloned, guided } = walks(startX, startY, walker, push, episode);
  const decisions = Math.round(time * DECISIONS);
  return {
    here,
    landscape: landscape(...here),
    guide,
    paths: particles.map(({ path }) => path),
    noisy: particles.map(({ path }) => path[k]!),
    ends: particles.map(({ path }) => path[STEPS]!),
    cleans: particles.map(({ cleans }) => cleans[k]!),
    pushes: particles.map(({ path, pushes }) => ({ from: path[k]!, to: point(addScaled(path[k]!, ARROW, pushes[k]!)) })),
    value: mean(particles.map(({ value }) => value)),
    cloned: cloned.upTo(decisions),
    guided: guided.upTo(decisions),
    walker,
    difference: difference(),
  };
}
type Model = ReturnType<typeof compute>;

const YES = { en: 'yes', zh: '是' };
const NO = { en: 'no', zh: '没走到' };
const walking = (which: 'cloned' | 'guided') => [
  { key: `${which}-steps`, label: { en: 'steps', zh: '步数' }, value: (m: Model) => m[which].path.length - 1, format: fixed(0) },
  { key: `${which}-arrived`, label: { en: 'at the goal', zh: '走到目标' }, value: (m: Model) => (m[which].arrived ? YES : NO) },
];

/** The outline of a disc. */
const disc = ([x, y]: Point, radius: number): Point[] =>
  Array.from({ length: 49 }, (_, i) => [x + radius * Math.cos((i * Math.PI) / 24), y + radius * Math.sin((i * Math.PI) / 24)]);
const goal = disc(maze.goal, maze.radius);
/** The panel of actions is a little wider than their square. */
const REACH = 1.35;
const SQUARE: Point[] = [[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]];

export default defineDemo({
  id: 'd11',
  title: { en: 'A trained network, live', zh: '训练好的网络，现场运行' },
  params,
  compute,
  stages: {
    maze: {
      title: { en: 'The maze', zh: '迷宫' },
      label: {
        en: 'A maze with a goal, the state, and the walks of the cloned and the guided policy from one start.',
        zh: '带目标的迷宫、当前状态，以及克隆策略与受引导策略从同一起点走出的路线。',
      },
      x: { domain: [left, right], hidden: true },
      y: { domain: [bottom, top], hidden: true },
      ratio: 1,
      equal: true,
    },
    actions: {
      title: { en: 'Actions at the state', zh: '此状态下的动作' },
      label: {
        en: 'The square of actions with the critic as contours, and particles on their way from noise to action.',
        zh: '动作的正方形，评论家画成等高线，粒子正从噪声走向动作。',
      },
      x: { domain: [-REACH, REACH], hidden: true },
      y: { domain: [-REACH, REACH], hidden: true },
      ratio: 1,
      equal: true,
    },
  },
  columns: { wide: 2, narrow: 1 },
  handles: [{ stage: 'maze', role: 'ink', label: { en: 'State', zh: '状态' }, x: 'x', y: 'y', at: ({ here }) => here }],
  readouts: [
    { role: 'none', label: { en: 'Cloned walk', zh: '克隆策略的路线' }, items: walking('cloned') },
    { label: { en: 'Guided walk', zh: '受引导的路线' }, items: walking('guided') },
    { role: 'critic', label: { en: 'Critic', zh: '评论家' }, items: [{ key: 'value', label: { en: 'mean *Q* of the actions', zh: '动作的 *Q* 均值' }, value: (m) => m.value }] },
    {
      label: 'Python',
      items: [{ key: 'difference', label: { en: 'largest difference', zh: '最大差异' }, value: (m) => m.difference, format: (x) => x.toExponential(0).replace('-', '−') }],
    },
  ],
  actions: [
    {
      label: { en: 'Start an episode here', zh: '从这里开始一个回合' },
      run: ({ x, y, guide, strength, seed }) => ({ startX: x, startY: y, walker: guide, push: strength, episode: seed }),
      restart: true,
    },
    newSeed,
  ],
  note: {
    en: 'Trained on *pointmaze*; five actions are chosen at a time, and a point stands for the mean of the five. Blue bands: the critic at chunks that repeat one action, interpolated between 25 of them. Thin lines: from noise to action in ten steps; circles: the noisy actions at *t*; diamonds: their one-step estimates; arrows: the push *w g*, a third as long; small dots: the actions. The square holds all actions from −1 to 1. BPTT and QGF-chain show a quarter of the particles. Walks: the ball moves by a fifth of each action and slides along the walls; the simulator’s contacts are softer, so this is close to it, not equal. “Largest difference” compares this page’s actions with those of the Python library, for every guidance.',
    zh: '在 *pointmaze* 上训练；一次选定五个动作，图中一点代表这五个的平均。蓝色带：评论家对「同一动作重复五次」的评价，由其中 25 处插值而成。细线：从噪声到动作的十步；圆：*t* 时刻的带噪动作；菱形：它们的一步估计；箭头：推力 *w g*，画成三分之一长；小点：最终动作。正方形是从 −1 到 1 的全部动作。BPTT 与 QGF-chain 只画四分之一的粒子。路线：小球每步移动动作的五分之一，沿墙滑动；仿真器里的接触要软一些，所以这里只是接近，并不相等。「最大差异」把本页算出的动作与 Python 库的动作逐一比较，每种引导都算在内。',
  },
  draw({ model, pens: { maze: ground, actions } }) {
    const { half } = maze;
    for (const [x, y] of maze.walls) ground.rect([x - half, y - half], [x + half, y + half], { role: 'data', alpha: 0.5 });
    ground.line(goal, { role: 'truth', dash: [], width: 2 });
    ground.dots([maze.goal], { role: 'truth', size: 90 });
    ground.line(model.cloned.path, { role: 'none', dash: [], width: 1.5, alpha: 0.8 });
    ground.line(model.guided.path, { role: roleOf(model.walker), dash: [], width: 2 });
    ground.dots([model.cloned.path.at(-1)!], { role: 'none', size: 110 });
    ground.dots([model.guided.path.at(-1)!], { role: roleOf(model.walker), size: 110 });

    actions.field(model.landscape, { role: 'critic', levels: 9, alpha: 0.055 });
    actions.line(SQUARE, { role: 'muted', dash: [], width: 1 });
    actions.lines(model.paths, { role: 'ood', dash: [], width: 1, alpha: 0.5 });
    actions.lines(model.noisy.map((from, i) => [from, model.cleans[i]!]), { role: 'qgf', dash: [3, 3], width: 1 });
    for (const { from, to } of model.pushes) actions.arrow(from, to, { role: roleOf(model.guide), width: 2 });
    actions.dots(model.ends, { role: 'ink', size: 14 });
    actions.dots(model.noisy, { role: 'ood', size: 45 });
    actions.dots(model.cleans, { role: 'qgf', size: 55 });
  },
});
