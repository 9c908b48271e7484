import strip from '../assets/cube.webp?inline';
import { inPicture, type Camera } from '../core/camera';
import { chebyshevGrid } from '../core/chebyshev';
import type { Guide } from '../core/guidance';
import { memo } from '../core/memo';
import type { Denoised, Numbers } from '../core/network';
import { Networks, STEPS, type NetFile } from '../core/policy';
import { noise } from '../core/rng';
import { lift, planeOf, project, projectPush } from '../core/slice';
import { stored } from '../core/stored';
import { mean, type Point } from '../core/vector';
import { defineDemo, sweep } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import { choice, number, percent, seed, newSeed, type State } from '../ui/params';

interface CubeFile extends NetFile {
  camera: Camera;
  /** Metres that an action of 1 moves the hand. */
  reach: number;
  /** What the policy saw at each moment of an episode. */
  moments: number[][];
}

/** An action: the hand's way in three directions, its turn, its grip. */
const ACTION_DIM = 5;
/** Of the flow's own actions the plane is made; so many are guided. */
const [SAMPLES, GUIDED] = [64, 4];
const LAST = 11;
/** Half the side of the slice, in standard deviations, and of the critic's landscape, whose bands end short of its corners. */
const REACH = 4;
const BEYOND = 1.06 * REACH;
const OPTIONS = { none: GUIDE_NAMES.none, ood: GUIDE_NAMES.ood, jacobian: GUIDE_NAMES.jacobian, qgf: GUIDE_NAMES.qgf };

const cube = memo(() => {
  const file = stored<CubeFile>('cube');
  return { file, net: new Networks(file, ACTION_DIM) };
});

/** OGBench's observation holds the hand's place as (place - centre) 10. */
const handOf = (obs: readonly number[]): number[] => [obs[12]! / 10 + 0.425, obs[13]! / 10, obs[14]! / 10];

/** Where the five moves of a chunk would lead the hand, in the picture. */
function handPath(moment: number, action: Numbers): Point[] {
  const { file } = cube();
  const places = [handOf(file.moments[moment]!)];
  for (let i = 0; i < action.length; i += ACTION_DIM) places.push(places.at(-1)!.map((x, k) => x + file.reach * action[i + k]!));
  return places.map((at) => inPicture(file.camera, at));
}

/** `f`, remembering its latest answers: as many as an episode has moments, and more. */
function remembering<A extends readonly (string | number)[], R>(f: (...args: A) => R): (...args: A) => R {
  const known = new Map<string, R>();
  return (...args) => {
    const key = args.join();
    const result = known.get(key) ?? f(...args);
    if (known.size > 4 * LAST) known.clear();
    known.set(key, result);
    return result;
  };
}

/** The flow's own actions at a moment, the plane through them, and the critic on it. */
const reference = remembering((moment: number, seed: number) => {
  const { file, net } = cube();
  const at = net.at(file.moments[moment]!);
  const starts = noise(seed, SAMPLES, net.d).map((a0) => Float64Array.from(a0));
  const runs = starts.map((a0) => at.denoise(a0, 'none', 0));
  const plane = planeOf(runs.map(({ action }) => action));
  const heat = chebyshevGrid(5, 20)((x, y) => at.value(at.clip(lift(plane, [BEYOND * x, BEYOND * y]))));
  const landscape = { ...heat, x: [-BEYOND, BEYOND] as Point, y: [-BEYOND, BEYOND] as Point };
  return { at, starts, runs, plane, landscape, flat: runs.map(({ action }) => project(plane, action)) };
});

const guidedRuns = remembering((moment: number, guide: Guide, strength: number, seed: number): Denoised[] => {
  const { at, starts } = reference(moment, seed);
  return starts.slice(0, GUIDED).map((a0) => at.denoise(a0, guide, cube().net.weight(strength)));
});

const difference = memo(() => cube().net.difference());

const params = {
  moment: number({ label: { en: 'Moment', zh: '时刻' }, value: 2, min: 0, max: LAST, step: 1, show: (x) => String(x + 1) }),
  guide: choice({ label: { en: 'Guidance', zh: '引导方式' }, value: 'qgf', options: OPTIONS }),
  strength: number({ label: { en: 'Strength', zh: '强度' }, value: 1, min: 0, max: 4, step: 0.1 }),
  t: number({ label: { en: 'Flow time *t*', zh: '流的时间 *t*' }, value: 0.8, min: 0, max: 1, step: 1 / STEPS }),
  seed: seed(),
};

function compute({ moment: place, guide, strength, t, seed }: State<typeof params>) {
  // The film passes between moments.
  const moment = Math.round(place);
  const { net } = cube();
  const { at, runs, plane, landscape, flat: shadows } = reference(moment, seed);
  const guided = guidedRuns(moment, guide, strength, seed);
  const k = Math.round(t * STEPS);
  const flat = (a: Numbers) => project(plane, a);
  const cloned = runs.slice(0, GUIDED);
  return {
    moment,
    guide,
    landscape,
    share: plane.share,
    spread: plane.spread,
    reference: shadows,
    paths: guided.map(({ steps, action }) => [...steps.map(({ a }) => flat(a)), flat(action)]),
    ends: guided.map(({ action }) => flat(action)),
    noisy: guided.map(({ steps, action }) => flat(steps[k]?.a ?? action)),
    cleans: guided.map(({ steps, action }) => flat(steps[k]?.clean ?? action)),
    pushes: guided.map(({ steps }): Point => (steps[k] ? projectPush(plane, steps[k].push) : [0, 0])),
    hands: { cloned: cloned.map(({ action }) => handPath(moment, action)), guided: guided.map(({ action }) => handPath(moment, action)) },
    value: { cloned: mean(cloned.map(({ action }) => at.value(action))), guided: mean(guided.map(({ action }) => at.value(action))) },
    dataset: net.dataset,
    updates: net.updates,
    date: net.date,
    difference: difference(),
    d: net.d,
  };
}
type Model = ReturnType<typeof compute>;

let picture: HTMLImageElement | undefined;
/** The strip of pictures; until it is read there is none, and the demo is drawn again. */
function pictures(): HTMLImageElement | undefined {
  if (!picture) {
    picture = new Image();
    picture.addEventListener('load', () => document.querySelector('#d16')?.dispatchEvent(new Event('redraw')));
    picture.src = strip;
  }
  return picture.complete && picture.width > 0 ? picture : undefined;
}
// It is there before the page is printed, seen or not.
globalThis.addEventListener?.('load', pictures);

const circle: Point[] = Array.from({ length: 49 }, (_, i) => [Math.cos((i * Math.PI) / 24), Math.sin((i * Math.PI) / 24)]);

export default defineDemo({
  id: 'd16',
  title: { en: 'A robot arm: a slice through 25 dimensions', zh: '机械臂：在 25 维里切一刀' },
  params,
  compute,
  film: sweep('moment', [0, LAST], 9, LAST),
  stages: {
    robot: {
      title: { en: 'What it does', zh: '它要做什么' },
      label: {
        en: 'A robot arm above a table, a red cube, its goal as a ghost of it; lines from the hand show where cloned and guided action chunks would lead it.',
        zh: '桌上的机械臂、红色方块，目标画成方块的虚影；从手部伸出的线是克隆动作块与受引导动作块会把手带到的地方。',
      },
      x: { domain: [0, 1], hidden: true },
      y: { domain: [0, 1], hidden: true },
      ratio: 1,
    },
    slice: {
      title: { en: 'The actions it chooses from', zh: '它从哪些动作里选' },
      label: {
        en: 'A plane through the space of action chunks along the two directions in which the flow’s own actions differ most; the critic as contours, particles from noise to action.',
        zh: '动作块空间里的一个平面，沿着流自己的动作相差最大的两个方向；评论家画成等高线，粒子从噪声走向动作。',
      },
      x: { domain: [-REACH, REACH], hidden: true },
      y: { domain: [-REACH, REACH], hidden: true },
      ratio: 1,
    },
  },
  columns: { wide: 2, narrow: 1 },
  readouts: [
    { role: 'none', label: { en: 'Cloned', zh: '克隆策略' }, items: [{ key: 'cloned-value', label: { en: 'mean *Q*', zh: '*Q* 均值' }, value: (m: Model) => m.value.cloned }] },
    { role: 'qgf', label: { en: 'Guided', zh: '受引导' }, items: [{ key: 'guided-value', label: { en: 'mean *Q*', zh: '*Q* 均值' }, value: (m: Model) => m.value.guided }] },
    { label: { en: 'The plane', zh: '这个平面' }, items: [{ key: 'share', label: { en: 'of the actions’ variance', zh: '占动作方差的' }, value: (m: Model) => m.share, format: percent }] },
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
  actions: [newSeed],
  note: {
    en: 'A small policy (two layers of 96) that solves 2 of 20 episodes as it was cloned and 9 of 20 guided by QGF. An action chunk is five moves of five numbers: the hand’s way in three directions, its turn, its grip. Left: twelve of the decisions of one solved episode; thin lines: where the moves of four chunks add up to, cloned (grey) and guided (cyan, or the guidance’s colour); the arm follows them more slowly. Right: the plane through the mean of 64 cloned actions along their two principal directions, in standard deviations (dotted circle: one); grey dots: those actions; blue bands: the critic on the plane; circles, diamonds, arrows, small dots as in the demo above. Everything else is a shadow on this plane.',
    zh: '一个小策略（两层，每层 96 个单元）：只克隆时 20 个回合做成 2 个，用 QGF 引导做成 9 个。一个动作块是五步、每步五个数：手在三个方向上的移动、转动和夹爪。左：一个成功回合中的十二次决策；细线：四个动作块的五步加起来会把手带到哪里，灰色是克隆，青色（或所选引导的颜色）是受引导；实际的手臂跟得慢一些。右：过 64 个克隆动作的均值、沿它们两个主方向的平面，单位是标准差（虚线圆：一个标准差）；灰点：这些动作；蓝色带：平面上的评论家；圆、菱形、箭头、小点的意思与上一个演示相同。别的方向都只是投在这个平面上的影子。',
  },
  draw({ model, pens: { robot, slice } }) {
    const role = model.guide;
    const strip = pictures();
    if (strip) robot.picture(strip, model.moment);
    robot.lines(model.hands.cloned, { role: 'paper', dash: [], width: 4, alpha: 0.35 });
    robot.lines(model.hands.cloned, { role: 'none', dash: [], width: 2 });
    robot.lines(model.hands.guided, { role: 'paper', dash: [], width: 4, alpha: 0.35 });
    robot.lines(model.hands.guided, { role, dash: [], width: 2 });
    robot.dots(model.hands.cloned.map((path) => path.at(-1)!), { role: 'none', size: 30 });
    robot.dots(model.hands.guided.map((path) => path.at(-1)!), { role, size: 36 });

    slice.field(model.landscape, { role: 'critic', levels: 9, alpha: 0.055 });
    slice.line(circle, { role: 'muted', dash: [2, 3], width: 1.25 });
    slice.dots(model.reference, { role: 'none', size: 14, alpha: 0.7 });
    slice.lines(model.paths, { role: 'ood', dash: [], width: 1, alpha: 0.5 });
    slice.lines(model.noisy.map((from, i) => [from, model.cleans[i]!]), { role: 'qgf', dash: [3, 3], width: 1 });
    model.noisy.forEach((from, i) => slice.arrow(from, [from[0] + model.pushes[i]![0] / 3, from[1] + model.pushes[i]![1] / 3], { role, width: 2 }));
    slice.dots(model.ends, { role: 'ink', size: 14 });
    slice.dots(model.noisy, { role: 'ood', size: 45 });
    slice.dots(model.cleans, { role: 'qgf', size: 55 });
    slice.text([0, -REACH], { en: 'first principal direction →', zh: '第一主方向 →' }, { role: 'muted', align: 'center', dy: -8, size: 12 });
    slice.text([-REACH, REACH], { en: '↑ second', zh: '↑ 第二主方向' }, { role: 'muted', dx: 8, dy: 18, size: 12 });
  },
});
