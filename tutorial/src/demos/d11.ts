import swarmFile from '../assets/swarm.json';
import { chebyshevGrid } from '../core/chebyshev';
import type { Guide } from '../core/guidance';
import { memo, perObject } from '../core/memo';
import type { Numbers } from '../core/network';
import { STEPS, type Policy } from '../core/policy';
import { readPolicy } from '../core/reading';
import { noise } from '../core/rng';
import { policyOf, takeOwn } from '../core/stored';
import { DECISIONS, nameOf, placesOf, walkersOf, type Start, type SwarmTable, type Walkers } from '../core/swarm';
import { addScaled, mean, point, type Point } from '../core/vector';
import { Walk } from '../core/walk';
import { defineDemo } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import { choice, fixed, newSeed, number, playhead, seed, type State } from '../ui/params';
import type { Role } from '../ui/roles';

const tables = swarmFile as unknown as SwarmTable[];
/** Swarms belong to the policies that the page ships with. */
const tableOf = (policy: Policy): SwarmTable | undefined => tables.find((table) => table.policy === nameOf(policy.weights));
/** Guides that follow the flow to its end at every step cost four times as much: a quarter of the particles. */
const DEAR: readonly Guide[] = ['bptt', 'chain'];
const OPTIONS = { none: GUIDE_NAMES.none, ood: GUIDE_NAMES.ood, bptt: GUIDE_NAMES.bptt, chain: 'QGF-chain', jacobian: GUIDE_NAMES.jacobian, qgf: GUIDE_NAMES.qgf };
/** An arrow is this much of the push w g. */
const ARROW = 1 / 3;
const roleOf = (guide: Guide): Role => (guide === 'chain' ? 'ink' : guide);

/** A chunk as a point of the plane: the mean of its actions. */
const middle = (chunk: Numbers): Point => [mean(chunk.filter((_, i) => i % 2 === 0)), mean(chunk.filter((_, i) => i % 2 === 1))];

const heat = chebyshevGrid(4, 20);
/** The critic at a state, over chunks that repeat one action. */
const landscape = memo((policy: Policy, x: number, y: number) => {
  const at = policy.at([x, y]);
  return heat((ax, ay) => at.value(Float64Array.from({ length: policy.d }, (_, i) => (i % 2 ? ay : ax))));
});

/** Every particle's path from noise to action. */
const denoised = memo((policy: Policy, x: number, y: number, guide: Guide, strength: number, n: number, seed: number) => {
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
const walks = memo((policy: Policy, x: number, y: number, guide: Guide, strength: number, seed: number) => ({
  cloned: new Walk(policy, [x, y], 'none', 0, seed),
  guided: new Walk(policy, [x, y], guide, policy.weight(strength), seed + 1000),
}));

type Which = 'cloned' | 'guided';

const crowds = memo((table: SwarmTable, start: Start) => {
  const swarm = table.swarms[start] ?? table.swarms.start;
  const of = (which: Which) => swarm[which].map((one) => ({ places: placesOf(one), arrived: one.arrived ?? Infinity }));
  return { cloned: of('cloned'), guided: of('guided') };
});

/** What the critic says of the cloned action that comes of zero noise: one number at four places of every free cell. */
const worth = perObject((policy: Policy) => {
  const { maze, d } = policy;
  const { half } = maze;
  const tiles = maze.free.flatMap(([cx, cy]) =>
    [-1, 1].flatMap((dx) =>
      [-1, 1].map((dy) => {
        const at: Point = [cx + (dx * half) / 2, cy + (dy * half) / 2];
        const here = policy.at(maze.settle(at));
        return { at, value: here.value(here.denoise(new Float64Array(d), 'none', 0).action) };
      }),
    ),
  );
  const values = tiles.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return tiles.map(({ at, value }) => ({ at, share: (value - low) / Math.max(high - low, 1e-9) }));
});

/** The largest difference between the page's answers and Python's, for every guide. */
const difference = perObject((policy: Policy) => policy.difference());

/** The square that holds the cells inside of a maze's outer walls. */
const frameOf = perObject((policy: Policy) => {
  const { centre, reach, half } = policy.maze;
  const side = Math.max(...reach) - 2 * half;
  return { x: [centre[0] - side, centre[0] + side] as Point, y: [centre[1] - side, centre[1] + side] as Point };
});

/** Wide enough for the largest of OGBench's mazes. */
const [LOW, HIGH] = [-2, 54];
const across = { en: 'State across', zh: '状态横坐标' };
const up = { en: 'State up', zh: '状态纵坐标' };
const hidden = { slider: false } as const;

const WORLDS = {
  policy: tableOf(policyOf('policy')) ? { en: 'medium, task 1', zh: '中迷宫，任务 1' } : { en: 'your run', zh: '你的策略' },
  medium3: { en: 'medium, task 3', zh: '中迷宫，任务 3' },
  large5: { en: 'large, task 5', zh: '大迷宫，任务 5' },
  own: { en: 'your file', zh: '你的文件' },
};

const params = {
  world: choice({ label: { en: 'Maze', zh: '迷宫' }, value: 'policy', options: WORLDS }),
  x: number({ label: across, value: 8, min: LOW, max: HIGH, step: 0.2, ...hidden }),
  y: number({ label: up, value: 8, min: LOW, max: HIGH, step: 0.2, ...hidden }),
  guide: choice({ label: { en: 'Guidance', zh: '引导方式' }, value: 'qgf', options: OPTIONS }),
  strength: number({ label: { en: 'Strength', zh: '强度' }, value: 1, min: 0, max: 4, step: 0.1 }),
  t: number({ label: { en: 'Flow time *t*', zh: '流的时间 *t*' }, value: 0.4, min: 0, max: 1, step: 1 / STEPS }),
  n: choice({ label: { en: 'Particles', zh: '粒子数' }, value: '2', options: { 2: '2', 20: '20' } }),
  seed: seed(),
  crowd: choice({
    label: { en: 'Who walks', zh: '谁在走' },
    value: 'start',
    options: { start: { en: '20 + 20 from the start', zh: '20 + 20，从起点' }, middle: { en: '20 + 20 from elsewhere', zh: '20 + 20，从别处' }, own: { en: 'one of each from my place', zh: '各一个，从我选的地方' } },
  }),
  time: playhead({ value: 1, seconds: 20, steps: DECISIONS, autoplay: true }),
  // Where, how and with which noise the episode was started.
  startX: number({ label: across, value: 0, min: LOW, max: HIGH, step: 0.2, ...hidden }),
  startY: number({ label: up, value: 0, min: LOW, max: HIGH, step: 0.2, ...hidden }),
  walker: choice({ label: { en: 'Guidance', zh: '引导方式' }, value: 'qgf', options: OPTIONS, hidden: true }),
  push: number({ label: { en: 'Strength', zh: '强度' }, value: 1, min: 0, max: 4, step: 0.1, ...hidden }),
  episode: seed(),
};

function compute({ world, x, y, guide, strength, t, n, seed, crowd, time, startX, startY, walker, push, episode }: State<typeof params>) {
  const policy = policyOf(world);
  const table = tableOf(policy);
  const here = policy.maze.settle([x, y]);
  const particles = denoised(policy, ...here, guide, strength, Number(n), seed);
  const k = Math.round(t * STEPS);
  const decisions = time * DECISIONS;
  const whole = Math.round(decisions);
  const group = (which: Which): Walkers => {
    if (crowd !== 'own' && table) return walkersOf(crowds(table, crowd)[which], decisions, policy.horizon);
    const { path, arrived } = walks(policy, startX, startY, walker, push, episode)[which].upTo(whole);
    return { paths: [path], heads: [path.at(-1)!], arrived: arrived ? 1 : 0, of: 1, steps: path.length - 1 };
  };
  const single = crowd === 'own' || !table;
  return {
    maze: policy.maze,
    dataset: policy.dataset,
    updates: policy.updates,
    date: policy.date,
    frame: frameOf(policy),
    here,
    landscape: landscape(policy, ...here),
    guide,
    paths: particles.map(({ path }) => path),
    noisy: particles.map(({ path }) => path[k]!),
    ends: particles.map(({ path }) => path[STEPS]!),
    cleans: particles.map(({ cleans }) => cleans[k]!),
    pushes: particles.map(({ path, pushes }) => ({ from: path[k]!, to: point(addScaled(path[k]!, ARROW, pushes[k]!)) })),
    value: mean(particles.map(({ value }) => value)),
    cloned: group('cloned'),
    guided: group('guided'),
    single,
    walker: single ? walker : ('qgf' as const),
    worth: worth(policy),
    difference: difference(policy),
  };
}
type Model = ReturnType<typeof compute>;

const walking = (which: Which) => [
  { key: `${which}-arrived`, label: { en: 'at the goal', zh: '走到目标' }, value: (m: Model) => `${m[which].arrived} / ${m[which].of}` },
  { key: `${which}-steps`, label: { en: 'steps', zh: '步数' }, value: (m: Model) => m[which].steps, format: fixed(0) },
];

/** The outline of a disc. */
const disc = ([x, y]: Point, radius: number): Point[] =>
  Array.from({ length: 49 }, (_, i) => [x + radius * Math.cos((i * Math.PI) / 24), y + radius * Math.sin((i * Math.PI) / 24)]);
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
      x: { domain: ({ frame }) => frame.x, hidden: true },
      y: { domain: ({ frame }) => frame.y, hidden: true },
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
    { role: 'none', label: { en: 'Cloned', zh: '克隆策略' }, items: walking('cloned') },
    { role: 'qgf', label: { en: 'Guided', zh: '受引导' }, items: walking('guided') },
    { role: 'critic', label: { en: 'Critic', zh: '评论家' }, items: [{ key: 'value', label: { en: 'mean *Q* of the actions', zh: '动作的 *Q* 均值' }, value: (m) => m.value }] },
    {
      label: { en: 'Network', zh: '网络' },
      items: [
        { key: 'dataset', label: { en: 'trained on', zh: '训练数据' }, value: (m: Model) => m.dataset },
        { key: 'updates', label: { en: 'updates', zh: '更新次数' }, value: (m: Model) => m.updates, format: (x) => x.toLocaleString('en') },
        { key: 'date', label: { en: 'written on', zh: '写成日期' }, value: (m: Model) => m.date ?? '—' },
        { key: 'difference', label: { en: 'off the Python package by', zh: '与 Python 版相差' }, value: (m: Model) => m.difference, format: (x: number) => x.toExponential(0).replace('-', '−') },
      ],
    },
  ],
  actions: [
    {
      label: { en: 'Start an episode here', zh: '从这里开始一个回合' },
      run: ({ x, y, guide, strength, seed }) => ({ crowd: 'own' as const, startX: x, startY: y, walker: guide, push: strength, episode: seed }),
      restart: true,
    },
    newSeed,
  ],
  file: {
    label: { en: 'Open your own policy …', zh: '打开你自己的策略……' },
    hint: { en: 'a pointmaze run, written by', zh: '点迷宫的策略文件，用这条命令写出：' },
    command: 'qgf tutorial --policy RUN --export-policy FILE',
    done: { en: 'It runs now.', zh: '已在运行。' },
    take: (text) => {
      takeOwn(readPolicy(text));
      return { world: 'own' as const, crowd: 'own' as const, time: 0 };
    },
  },
  note: {
    en: 'Maze: grey balls follow the cloned policy, cyan ones (diamonds) QGF at strength 1; the two swarms were computed beforehand by the code of this page and are drawn every five steps, your own pair is computed as it walks, with the guidance and strength chosen. Three policies: medium, task 1 (three layers of 128, 10,000 updates); medium, task 3, and large, task 5 (two layers of 64, 20,000 updates); whose network runs is said below. Darker blue: where the critic expects more. The ball moves by a fifth of each action and slides along the walls; the simulator’s contacts are softer, so this is close to it, not equal. Actions: five are chosen at a time, and a point stands for the mean of the five. Blue bands: the critic at chunks that repeat one action, interpolated between 16 of them. Thin lines: from noise to action in ten steps; circles: the noisy actions at *t*; diamonds: their one-step estimates; arrows: the push *w g*, a third as long; small dots: the actions. BPTT and QGF-chain show a quarter of the particles. “Off the Python package”: the largest difference of this page’s actions from its, for every guidance.',
    zh: '迷宫：灰球跟着克隆策略走，青色菱形跟着强度 1 的 QGF 走；两群都由本页的代码事先算好，每五步画一次；你自己放的那一对边走边算，用你选的引导方式和强度。共三个策略：中迷宫任务 1（三层 128，训练 1 万步）；中迷宫任务 3 与大迷宫任务 5（两层 64，训练 2 万步）；正在运行的是哪一个，写在下面。蓝色越深，评论家的期望越高。小球每步移动动作的五分之一，沿墙滑动；仿真器里的接触要软一些，所以这里只是接近，并不相等。动作：一次选定五个，图中一点代表这五个的平均。蓝色带：评论家对「同一动作重复五次」的评价，由其中 16 处插值而成。细线：从噪声到动作的十步；圆：*t* 时刻的带噪动作；菱形：它们的一步估计；箭头：推力 *w g*，画成三分之一长；小点：最终动作。BPTT 与 QGF-chain 只画四分之一的粒子。「与 Python 版相差」：本页算出的动作与 Python 库的最大差异，每种引导都算在内。',
  },
  draw({ model, pens: { maze: ground, actions } }) {
    const { maze } = model;
    const { half } = maze;
    for (const [x, y] of maze.walls) ground.rect([x - half, y - half], [x + half, y + half], { role: 'data', alpha: 0.5 });
    for (const { at: [x, y], share } of model.worth) ground.rect([x - half / 2, y - half / 2], [x + half / 2, y + half / 2], { role: 'critic', alpha: 0.02 + 0.3 * share });
    ground.line(disc(maze.goal, maze.radius), { role: 'truth', dash: [], width: 2 });
    ground.dots([maze.goal], { role: 'truth', size: 90 });
    for (const [which, role] of [['cloned', 'none'], ['guided', roleOf(model.walker)]] as const) {
      ground.lines(model[which].paths, { role, dash: [], width: model.single ? 1.75 : 1.25, alpha: 0.6 });
      ground.dots(model[which].heads, { role, size: model.single ? 110 : 60, alpha: 0.95 });
    }

    actions.field(model.landscape, { role: 'critic', levels: 9, alpha: 0.055 });
    actions.line(SQUARE, { role: 'muted', dash: [], width: 1 });
    for (const side of [-1, 1]) {
      actions.text([side, -1], side < 0 ? '−1' : '1', { role: 'muted', align: 'center', dy: 16, size: 12 });
      actions.text([-1, side], side < 0 ? '−1' : '1', { role: 'muted', align: 'right', dx: -6, dy: 4, size: 12 });
    }
    actions.text([0, -1], { en: 'across →', zh: '向右 →' }, { role: 'muted', align: 'center', dy: 16, size: 12 });
    actions.text([-1, 1], { en: '↑ up', zh: '↑ 向上' }, { role: 'muted', dy: -8, size: 12 });
    actions.lines(model.paths, { role: 'ood', dash: [], width: 1, alpha: 0.5 });
    actions.lines(model.noisy.map((from, i) => [from, model.cleans[i]!]), { role: 'qgf', dash: [3, 3], width: 1 });
    for (const { from, to } of model.pushes) actions.arrow(from, to, { role: roleOf(model.guide), width: 2 });
    actions.dots(model.ends, { role: 'ink', size: 14 });
    actions.dots(model.noisy, { role: 'ood', size: 45 });
    actions.dots(model.cleans, { role: 'qgf', size: 55 });
  },
});
