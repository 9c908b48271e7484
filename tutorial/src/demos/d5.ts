import { rollout } from '../core/flow';
import { funnel } from '../core/funnel';
import type { Guide } from '../core/guidance';
import { FOOLED, landing, walk } from '../core/landing';
import { memo } from '../core/memo';
import { linspace, type Point } from '../core/vector';
import { weightRange } from '../core/world';
import { defineDemo } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import { choice, compact, number, playhead, type State } from '../ui/params';

const { mixture, critic } = landing;
const DOMAIN: Point = [-3, 5];
const q = (a: number): number => critic.value([a]);

/** The strip of Q above the plane: scores from -17 to 11 lie between these heights. */
const [FLOOR, CEILING] = [1.07, 1.6];
const raised = (a: number, score = q(a)): Point => [a, FLOOR + ((CEILING - FLOOR) * (score + 17)) / 28];
const strip = linspace(...DOMAIN, 241).map((a) => raised(a));
/** Where a_t is likely, computed when first seen. */
const backdrop = memo(() => funnel(mixture, DOMAIN, 160, 80));
const peaks = mixture.means.map(([mu]) => mu!);

/** The arrow's length in actions: direction exact, large pushes compressed. */
const arrowTo = ([a, t]: Point, push: number): Point => [a + 1.4 * Math.tanh(push / 5), t];

/** Where a guide asks Q, and the slope there; no guidance asks nowhere. */
function asks(guide: Guide, a: number, t: number, T: number): number | undefined {
  switch (guide) {
    case 'ood':
      return a;
    case 'qgf':
    case 'jacobian':
      return mixture.clean([a], t)[0]!;
    case 'bptt':
      return rollout(mixture, [a], t, T).at(-1)!.a[0]!;
    default:
      return undefined;
  }
}

const climbing = () => memo((guide: Guide, w: number, T: number, a0: number) => {
  const { steps, end } = walk(guide, w, [a0], T);
  const free = walk('none', 0, [a0], T);
  return {
    steps: steps.map(({ t, a: [a], v: [v], g: [g] }, k) => ({
      t,
      a: a!,
      v: v!,
      g: g!,
      next: (steps[k + 1]?.a ?? end)[0]!,
      clean: mixture.clean([a!], t)[0]!,
    })),
    path: [...steps.map(({ a, t }): Point => [a[0]!, t]), [end[0]!, 1] as Point],
    unguided: [...free.steps.map(({ a, t }): Point => [a[0]!, t]), [free.end[0]!, 1] as Point],
    end: end[0]!,
  };
});

const [climb, climbed] = [climbing(), climbing()];

const params = {
  guide: choice({ label: { en: 'Guidance', zh: '引导方式' }, value: 'qgf', options: GUIDE_NAMES }),
  was: choice({ label: { en: 'Guidance before', zh: '之前的引导' }, value: 'none', options: GUIDE_NAMES, hidden: true }),
  w: number({ label: { en: 'Weight *w*', zh: '权重 *w*' }, value: 4, min: weightRange.min, max: weightRange.max, step: 0.1 }),
  T: number({ label: { en: 'Steps *T*', zh: '步数 *T*' }, value: landing.steps, min: 5, max: 100, step: 5 }),
  a0: number({ label: { en: 'Start *a*_0', zh: '起点 *a*_0' }, value: -1.2, min: -2.5, max: 2.5, step: 0.01, slider: false }),
  time: playhead({ value: 1, seconds: 8, steps: 'T' }),
};

function compute({ guide, was, w, T, a0, time }: State<typeof params>) {
  const { steps, path, unguided, end } = climb(guide, w, T, a0);
  /** How many steps have been taken; the step shown is the next one, or the last. */
  const taken = Math.min(Math.floor(time * T + 1e-4), T);
  const now = steps[Math.min(taken, T - 1)]!;
  const here: Point = [now.a, now.t];
  const asked = asks(guide, now.a, now.t, T);
  const every = Math.max(1, Math.round(T / 12));
  const slope = asked === undefined ? 0 : critic.gradient([asked])[0]!;
  const reach = 0.45 / Math.hypot(1, slope / 12);
  return {
    backdrop: backdrop(),
    guide,
    steps,
    path: path.slice(0, taken + 1),
    unguided,
    /** The whole path under the guidance before, to compare with. */
    ghost: was === 'none' || was === guide ? [] : climbed(was, w, T, a0).path,
    was,
    ball: path[taken]!,
    arrived: taken === T,
    end,
    now,
    here,
    push: w * now.g,
    arrow: arrowTo(here, w * now.g),
    jump: [here, [now.clean, 1], raised(now.clean)] as Point[],
    drop: [here, [now.a, 1], raised(now.a)] as Point[],
    rollout: guide === 'bptt' ? rollout(mixture, [now.a], now.t, T).map(({ t, a }): Point => [a[0]!, t]) : [],
    asked: asked === undefined ? undefined : { at: asked, on: raised(asked), slope, towards: raised(asked + Math.sign(slope) * reach, q(asked) + Math.abs(slope) * reach) },
    past: steps.filter(({ t }, k) => k < taken && k % every === 0 && t < now.t).map(({ a, t, clean }): Point[] => [[a, t], [clean, 1]]),
  };
}

export default defineDemo({
  id: 'd5',
  title: { en: 'One action, step by step', zh: '一个动作，一步一步' },
  params,
  compute,
  along: ({ guide }, before) => (guide !== undefined && guide !== before.guide ? { was: before.guide } : {}),
  stages: {
    plane: {
      label: {
        en: 'Actions across, time upwards, the critic on top. The path climbs from noise to the action; from the current point a vertical dash leads to the noisy action and a slanted one to the one-step estimate, where the critic is asked.',
        zh: '横轴是动作，纵轴是时间，顶上是评论家。路径从噪声升到动作；从当前点有一条竖直虚线指向带噪动作，一条斜虚线指向一步估计，评论家就在那里被问。',
      },
      x: { domain: DOMAIN, ticks: [-3, -2, -1, 0, 1, 2, 3, 4, 5], label: { en: 'action *a*', zh: '动作 *a*' } },
      y: { domain: [-0.07, CEILING + 0.03], ticks: [0, 0.25, 0.5, 0.75, 1], label: { en: 'time *t*', zh: '时间 *t*' } },
      ratio: 1.7,
      narrow: 0.8,
    },
  },
  marks: {
    clean: { stage: 'plane', at: ({ now }) => raised(now.clean) },
  },
  handles: [{ stage: 'plane', label: { en: 'Start: the noise', zh: '起点：噪声' }, role: 'ood', x: 'a0', at: (_, { a0 }) => [a0, 0] }],
  readouts: [
    { role: 'ood', items: [{ key: 'a', label: '*a*_t', value: (m) => m.now.a }] },
    { role: 'qgf', items: [{ key: 'clean', label: '*â*_1', value: (m) => m.now.clean }] },
    { items: [{ key: 'v', label: { en: 'velocity *v*', zh: '速度 *v*' }, value: (m) => m.now.v, format: compact }] },
    { items: [{ key: 'push', label: { en: 'push *w g*', zh: '推力 *w g*' }, value: (m) => m.push, format: compact }] },
    { items: [{ key: 'next', label: { en: 'next *a*', zh: '下一个 *a*' }, value: (m) => m.now.next }] },
    { items: [{ key: 'end', label: { en: 'final *a*', zh: '最终 *a*' }, value: (m) => m.end }] },
  ],
  note: {
    en: `The world of the race: the same start ends at the same place. Each step is *a* + (*v* + *w g*)/*T*; the numbers are those of the step about to be taken, at the end of the last one. The bold arrow is the push *w g* (direction exact, length compressed); the short one on *Q* is the slope where *Q* is asked. Dotted: the same start without guidance; faint, with its name: under the guidance chosen before. Shaded: beyond ${FOOLED}.`,
    zh: `赛跑的世界：起点相同，终点就相同。每一步都是 *a* + (*v* + *w g*)/*T*；数字属于即将走的一步，到终点后属于最后一步。粗箭头是推力 *w g*（方向精确，长度压缩过）；*Q* 上的短箭头是问 *Q* 处的斜率。点线：同一起点，不加引导；淡色带名字的：上一次选的引导。涂色：越过 ${FOOLED}。`,
  },
  draw({ model, pens: { plane } }) {
    const { guide, here, now, asked } = model;
    plane.field(model.backdrop, { role: 'data', levels: 7, alpha: 0.05, lines: 0 });
    plane.rect([FOOLED, -Infinity], [Infinity, Infinity], { role: 'critic', alpha: 0.07 });
    for (const mu of peaks) plane.line([[mu, 1], [mu, CEILING + 1]], { role: 'data', dash: [], width: 6, alpha: 0.3 });
    plane.line(strip, { role: 'critic' });
    plane.text([3.3, raised(3.3)[1]], '*Q*', { role: 'critic', dx: 26, dy: 2 });
    plane.horizontal(1, { role: 'muted', width: 1, dash: [] });

    plane.line(model.unguided, { role: 'none', alpha: 0.9 });
    plane.lines(model.past, { role: 'qgf', dash: [3, 4], width: 1, alpha: 0.35 });
    if (model.ghost.length) {
      plane.line(model.ghost, { role: model.was, alpha: 0.55, width: 1.5 });
      plane.text(model.ghost.at(-1)!, GUIDE_NAMES[model.was], { role: model.was, align: 'center', dy: -6, size: 12 });
    }
    plane.line(model.path, { role: 'ood', dash: [], width: 2.25 });
    plane.line(model.drop, { role: 'ood', width: 1.5 });
    if (guide === 'bptt') plane.line([...model.rollout, ...(asked ? [asked.on] : [])], { role: 'bptt' });
    plane.line(model.jump, { role: 'qgf', dash: [5, 4], width: 2 });
    plane.dots([raised(now.a)], { role: 'ood', size: 70 });
    plane.dots([raised(now.clean)], { role: 'qgf', size: 80 });
    if (asked) {
      plane.arrow(asked.on, asked.towards, { role: guide, width: 2.5 });
      plane.dots([asked.on], { role: guide, size: 110 });
    }
    plane.dots([model.ball], { role: 'ood', size: 110 });
    if (guide !== 'none') plane.arrow(here, model.arrow, { role: guide, width: 3 });
    if (model.arrived) plane.text(model.ball, '*a*_1', { role: 'ood', dx: 10, dy: -9 });
    else plane.text(model.ball, '*a*_t', { role: 'ood', align: 'right', dx: -11, dy: 5 });
    plane.text(raised(now.clean), '*â*_1', { role: 'qgf', align: 'center', dy: -15 });
  },
});
