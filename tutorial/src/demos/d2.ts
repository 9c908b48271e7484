import file from '../assets/critic.json';
import { spread, turn } from '../core/angles';
import { Smooth } from '../core/critic';
import { carryBack, euler, rollout } from '../core/flow';
import { grid, moved } from '../core/grid';
import { estimators } from '../core/guidance';
import { memo } from '../core/memo';
import { Mixture } from '../core/mixture';
import { noise, rng } from '../core/rng';
import { sample } from '../core/sampling';
import { addScaled, norm, point, sub, type Point, type Vec } from '../core/vector';
import { bowl } from '../core/world';
import { defineDemo } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import type { Text } from '../ui/i18n';
import { fixed, number, playhead, type State } from '../ui/params';
import type { Pen } from '../ui/pen';
import type { Role } from '../ui/roles';

const STEPS = 24;
const WEIGHT = 0.4;
const SECONDS = 9;
/** The clock reaches t = 1 here and rests. */
const REST = 0.86;
/** A new shake of a_t this often, in seconds, and how many of the last ones linger. */
const SHAKE = 0.08;
const LINGER = 6;
const SIGMA = 0.1;
const flow = new Mixture([[-1.3, -0.7], [1.4, -0.8], [0.1, 1.4]], [1, 1, 1], 0.2);
const START: Vec = [0.7, 0.5];
const DRAWS = noise(1, 16, 2);
const learned = new Smooth(file);
const ASK = estimators(euler(STEPS));

export const PANELS = ['none', 'bptt', 'ood', 'qgf'] as const;
type Panel = (typeof PANELS)[number];

export interface Shaft {
  from: Point;
  to: Point;
}
/** As it is drawn: the direction is exact, the length is compressed, the same way for every arrow; none is too short to be seen. */
const shaft = (at: Vec, g: Vec): Shaft => ({ from: point(at), to: point(addScaled(at, (0.45 + 0.65 * Math.tanh(norm(g) / 3)) / Math.max(norm(g), 1e-12), g)) });

/** Panel 3 asks the learned critic, the others the true one. */
const criticOf = (panel: Panel, star: Vec) => (panel === 'ood' ? learned.at(star) : bowl(star));

/** Every panel's guided path, for one place of the star. */
const paths = memo((x: number, y: number): Record<Panel, readonly Vec[]> => {
  const path = (panel: Panel): Vec[] => {
    const { steps, end } = sample(flow, criticOf(panel, [x, y]), START, ASK[panel], panel === 'none' ? 0 : WEIGHT, STEPS);
    return [...steps.map(({ a }) => a), end];
  };
  return { none: path('none'), bptt: path('bptt'), ood: path('ood'), qgf: path('qgf') };
});

/** The spread of a panel's arrow over sixteen shakes of a_t, at one step of its path. */
const spreads = memo((x: number, y: number, k: number): Record<Exclude<Panel, 'none'>, number> => {
  const of = (panel: Exclude<Panel, 'none'>) =>
    spread(DRAWS.map((xi) => ASK[panel](flow, criticOf(panel, [x, y]), addScaled(paths(x, y)[panel][k]!, SIGMA, xi), k / STEPS)));
  return { bptt: of('bptt'), ood: of('ood'), qgf: of('qgf') };
});

const truth = grid(bowl([0, 0]).value, [-6, 6], [-4.5, 4.5], 80, 60);
const opinion = memo((x: number, y: number) => grid(learned.at([x, y]).value, [-3.3, 3.3], [-2.2, 2.2], 36, 24));

const params = {
  x: number({ label: { en: 'Peak across', zh: '峰的横坐标' }, value: -0.9, min: -2, max: 2, step: 0.05, slider: false }),
  y: number({ label: { en: 'Peak up', zh: '峰的纵坐标' }, value: 0.6, min: -1.7, max: 1.7, step: 0.05, slider: false }),
  time: playhead({ value: 0.34, seconds: SECONDS, steps: Math.round(STEPS / REST), loop: true, autoplay: true }),
};

function compute({ x, y, time }: State<typeof params>) {
  const star: Vec = [x, y];
  const s = Math.min(time / REST, 1) * STEPS;
  const k = Math.min(Math.floor(s + 1e-6), STEPS - 1);
  const t = s / STEPS;
  const asked = t < 1;
  const all = paths(x, y);
  const panel = (one: Panel) => {
    const path = all[one];
    const a = addScaled(path[k]!, s - k, sub(path[k + 1]!, path[k]!));
    return { a, walked: [...path.slice(0, k + 1), a].map(point) };
  };
  const [none, bptt, ood, qgf] = PANELS.map(panel) as [ReturnType<typeof panel>, ReturnType<typeof panel>, ReturnType<typeof panel>, ReturnType<typeof panel>];
  const [q, net] = [bowl(star), learned.at(star)];
  /** The shakes of the moment and of the last few, the same in every panel. */
  const frame = Math.floor((time * SECONDS) / SHAKE);
  const shakes = Array.from({ length: asked ? LINGER : 0 }, (_, j) => {
    const { normal } = rng(1000 + frame - j);
    return [SIGMA * normal(), SIGMA * normal()];
  });
  const fan = (one: Exclude<Panel, 'none'>, a: Vec) => shakes.map((xi) => shaft(a, ASK[one](flow, criticOf(one, star), addScaled(a, 1, xi), t)));
  const hops = rollout(flow, addScaled(bptt.a, 1, shakes[0] ?? [0, 0]), t, STEPS);
  const carried = carryBack(flow, hops, q.gradient(hops.at(-1)!.a));
  const end = hops.at(-1)!.a;
  const guess = flow.clean(qgf.a, t);
  const off = (at: Vec) => Math.abs(turn(q.gradient(at), net.gradient(at)));
  const scatter = spreads(x, y, k);
  return {
    truth: moved(truth, star),
    opinion: opinion(x, y),
    modes: flow.means.map(point),
    asked,
    none: { ...none, rest: all.none.slice(k + 1).map(point), end: point(all.none[STEPS]!) },
    bptt: {
      ...bptt,
      rollout: hops.map(({ a }) => point(a)),
      end: shaft(end, carried.at(-1)!),
      trail: hops.slice(1, -1).map(({ a }, j) => shaft(a, carried[j + 1]!)),
      fan: fan('bptt', bptt.a),
      spread: scatter.bptt,
      off: off(end),
      value: q.value(all.bptt[STEPS]!),
      away: away(all.bptt[STEPS]!),
    },
    ood: {
      ...ood,
      fan: fan('ood', ood.a),
      exact: shaft(ood.a, q.gradient(ood.a)),
      spread: scatter.ood,
      off: off(ood.a),
      value: q.value(all.ood[STEPS]!),
      away: away(all.ood[STEPS]!),
    },
    qgf: {
      ...qgf,
      guess: shaft(guess, q.gradient(guess)),
      carried: shaft(qgf.a, q.gradient(guess)),
      fan: fan('qgf', qgf.a),
      spread: scatter.qgf,
      off: off(guess),
      value: q.value(all.qgf[STEPS]!),
      away: away(all.qgf[STEPS]!),
    },
  };
}
type Model = ReturnType<typeof compute>;

const stage = (title: Text, label: Text) => ({
  title,
  label,
  x: { domain: [-1.9, 1.9] as const, hidden: true },
  y: { domain: [-1.9, 1.9] as const, hidden: true },
  ratio: 1.5,
  narrow: 1.1,
  equal: true,
});

/** From the nearest cluster's centre, in its standard deviations. */
const away = (a: Vec): number => Math.min(...flow.means.map((mu) => norm(sub(a, mu)))) / flow.std;

const degrees = (value: number) => `${fixed(0)(value)}°`;
const card = (role: 'bptt' | 'ood' | 'qgf', where: string) => ({
  role,
  label: GUIDE_NAMES[role],
  items: [
    { key: `${role}-spread`, label: { en: 'arrow scatters by', zh: '箭头的散布' }, value: (m: Model) => m[role].spread, format: degrees },
    { key: `${role}-off`, label: { en: `learned ∇*Q* at ${where} off by`, zh: `${where} 处学来的 ∇*Q* 偏了` }, value: (m: Model) => m[role].off, format: degrees },
    { key: `${role}-away`, label: { en: 'ends, in *σ* of the data', zh: '终点离数据几个 *σ*' }, value: (m: Model) => m[role].away, format: fixed(1) },
    { key: `${role}-value`, label: { en: 'true *Q* at the end', zh: '终点的真实 *Q*' }, value: (m: Model) => m[role].value },
  ],
});

export default defineDemo({
  id: 'd2',
  title: { en: 'One clock, four ways to ask', zh: '一个时钟，四种问法' },
  params,
  compute,
  stages: {
    flow: stage({ en: '① The flow alone', zh: '① 只有流' }, { en: 'A noisy action follows the flow into a cluster of the data.', zh: '带噪动作顺着流走进一簇数据。' }),
    bptt: stage(
      { en: '② BPTT: ask at the end, carry back', zh: '② BPTT：在终点问，再传回来' },
      { en: 'The path is rolled out to its end, the gradient taken there and carried back step by step; at the noisy action the arrow shakes.', zh: '把路径推演到终点，在那里取梯度，再一步步传回；带噪动作处的箭头抖个不停。' },
    ),
    ood: stage({ en: '③ OOD: ask on the spot', zh: '③ OOD：当场就问' }, { en: 'The learned critic with its own contours, asked at the noisy action; a thin arrow shows the true direction.', zh: '学来的评论家和它自己的等高线，在带噪动作处被问；细箭头是真实方向。' }),
    qgf: stage(
      { en: '④ QGF: guess, ask, copy', zh: '④ QGF：猜一步，问，照搬' },
      { en: 'A jump to the one-step estimate, the gradient there, and the same arrow slid back unchanged.', zh: '跳到一步估计处取梯度，同一支箭头原样搬回。' },
    ),
  },
  columns: { wide: 2, narrow: 2 },
  handles: [{ stage: ['flow', 'bptt', 'ood', 'qgf'], label: { en: 'Peak of Q', zh: 'Q 的峰' }, role: 'critic', x: 'x', y: 'y' }],
  readouts: [card('bptt', '*a*_1'), card('ood', '*a*_t'), card('qgf', '*â*_1')],
  note: {
    en: 'All four start from the same noise and take 24 steps by one clock, ② to ④ pushed with weight 0.4. Blue: contours of *Q*, in ③ those of a critic that was learned: a network of two layers of 24, fitted to *Q* at actions of the three clusters (grey, two standard deviations) and nowhere else. Its slope is right to 3° in the median at the clusters’ centres, to 23° over the whole picture, with one in ten off by more than 90°. Every 80 ms *a*_t is shaken afresh by noise of standard deviation 0.1, alike in all panels; pale arrows are the last few answers. Directions are exact, lengths compressed alike.',
    zh: '四格从同一份噪声出发，按同一个时钟走 24 步，② 到 ④ 的权重是 0.4。蓝：*Q* 的等高线；③ 里是学来的评论家自己的等高线，它是两层、每层 24 个单元的网络，只在三簇数据（灰，两个标准差）上对 *Q* 拟合过，别处一概没学。它的斜率在簇中心处偏差的中位数是 3°，在整幅图上是 23°，每十处就有一处偏过 90°。每 80 毫秒用标准差 0.1 的噪声把 *a*_t 重新抖一次，四格抖得一样；浅色箭头是最近几次的回答。方向是精确的，长度作同样的压缩。',
  },
  draw({ model, pens }) {
    const { none, bptt, ood, qgf, asked } = model;
    const arrow = (pen: Pen, { from, to }: Shaft, role: Role, alpha = 1, width = 2.5) => pen.arrow(from, to, { role, alpha, width });
    const ground = (pen: Pen, field = model.truth) => {
      pen.field(field, { role: 'critic', levels: 9, lowest: -5, alpha: 0.045, lines: 0.3 });
      for (const at of model.modes) pen.disc(at, 2 * flow.std, { role: 'data', alpha: 0.28 });
    };
    const noisy = (pen: Pen, { a, walked }: { a: Vec; walked: Point[] }, arrived: string) => {
      pen.line(walked, { role: 'ood', dash: [], width: 2 });
      pen.dots([point(a)], { role: 'ood', size: 90 });
      pen.text(point(a), asked ? '*a*_t' : arrived, { role: 'ood', dx: 9, dy: 16 });
    };
    const shaken = (pen: Pen, fan: readonly Shaft[], role: Role) => fan.forEach((one, j) => arrow(pen, one, role, j ? 0.32 - 0.05 * j : 1, j ? 1.5 : 2.5));

    ground(pens.flow);
    pens.flow.line(none.rest, { role: 'muted', dash: [2, 4], width: 1.25 });
    pens.flow.text(model.modes[2]!, { en: 'data', zh: '数据' }, { role: 'muted', align: 'center', dy: 5 });
    noisy(pens.flow, none, '*a*_1');

    ground(pens.bptt);
    if (asked) {
      pens.bptt.line(bptt.rollout, { role: 'jacobian', dash: [5, 4] });
      bptt.trail.forEach((trace) => arrow(pens.bptt, trace, 'bptt', 0.18, 1.25));
      arrow(pens.bptt, bptt.end, 'bptt', 0.8, 2);
      pens.bptt.dots([bptt.end.from], { role: 'jacobian', size: 80 });
    }
    shaken(pens.bptt, bptt.fan, 'bptt');
    noisy(pens.bptt, bptt, '*a*_1');

    ground(pens.ood, model.opinion);
    if (asked) arrow(pens.ood, ood.exact, 'critic', 0.6, 1.25);
    shaken(pens.ood, ood.fan, 'ood');
    if (asked) pens.ood.text(ood.fan[0]!.to, '?', { role: 'ood', dx: 4, dy: -4, size: 20 });
    noisy(pens.ood, ood, '*a*_1');

    ground(pens.qgf);
    if (asked) {
      pens.qgf.line([qgf.carried.from, qgf.guess.from], { role: 'qgf', dash: [5, 4], width: 1.75 });
      arrow(pens.qgf, qgf.guess, 'qgf', 0.8, 2);
      pens.qgf.dots([qgf.guess.from], { role: 'qgf', size: 90 });
      pens.qgf.text(qgf.guess.from, '*â*_1', { role: 'qgf', dx: -4, dy: 20 });
    }
    shaken(pens.qgf, qgf.fan, 'qgf');
    noisy(pens.qgf, qgf, '*a*_1');
  },
});
