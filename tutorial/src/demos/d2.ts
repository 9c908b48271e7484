import { direction, spread } from '../core/angles';
import { carryBack, rollout } from '../core/flow';
import { ESTIMATORS } from '../core/guidance';
import { grid, moved } from '../core/grid';
import { memo } from '../core/memo';
import { Mixture } from '../core/mixture';
import { noise } from '../core/rng';
import { add, addScaled, norm, point, scale, sub, type Point, type Vec } from '../core/vector';
import { bowl, type Critic } from '../core/world';
import { defineDemo } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import { fixed, number, percent, playhead, type State } from '../ui/params';
import type { Pen } from '../ui/pen';
import type { Role } from '../ui/roles';

const STEPS = 20;
/** The trajectory is stopped after this many steps, and the critic is asked. */
const STOP = 7;
const T = STOP / STEPS;
const flow = new Mixture([[-1.3, -0.7], [1.4, -0.8], [0.1, 1.4]], [1, 1, 1], 0.2);
const path = rollout(flow, [-1.8, 1.2], 0, STEPS).map(({ a }) => a);
const here = path[STOP]!;
/** The same place, as sixteen draws of a little noise would have it. */
const DRAWS = noise(1, 16, 2).map((xi) => addScaled(here, 0.1, xi));

/** Panel 3 is a model of distrust: the true gradient fades with the distance from the data into a fixed field. */
const TRUST_LENGTH = 0.45;
export const trust = (a: Vec): number =>
  Math.exp(-0.5 * (Math.min(...flow.means.map((mu) => norm(sub(a, mu)))) / TRUST_LENGTH) ** 2);
const bent = (angle: number): Vec => scale(2.5, [Math.cos(angle), Math.sin(angle)]);
const wrongField = ([x, y]: Vec): Vec => bent(2 + Math.sin(2 * x!) + Math.cos(3 * y!));
const distrusted = (q: Critic, a: Vec): Vec => add(scale(trust(a), q.gradient(a)), scale(1 - trust(a), wrongField(a)));

/** A vector standing at a point. */
interface Arrow {
  at: Vec;
  g: Vec;
}
export interface Shaft {
  from: Point;
  to: Point;
}
/** As it is drawn: the direction is exact, the length is compressed, the same way for every arrow. */
const shaft = ({ at, g }: Arrow, grown = 1): Shaft => ({ from: point(at), to: point(addScaled(at, (1.1 * grown * Math.tanh(norm(g) / 3)) / norm(g), g)) });

const mix = (a: Vec, b: Vec, k: number): Vec => addScaled(a, k, sub(b, a));

/** The first `share` of a polyline. */
function part(line: readonly Vec[], share: number): Point[] {
  const end = share * (line.length - 1);
  const whole = Math.floor(end);
  const rest = end > whole ? [mix(line[whole]!, line[whole + 1]!, end - whole)] : [];
  return [...line.slice(0, whole + 1), ...rest].map(point);
}

const landscape = grid(bowl([0, 0]).value, [-6, 6], [-4.5, 4.5], 80, 60);

/** Everything that the critic's peak decides: asked at a_t + xi for every draw, and at a_t itself. */
const answers = memo((x: number, y: number) => {
  const q = bowl([x, y]);
  const bptt = (a: Vec) => {
    const hops = rollout(flow, a, T, STEPS);
    return { hops: hops.map((hop) => hop.a), carried: carryBack(flow, hops, q.gradient(hops.at(-1)!.a)) };
  };
  const fans = {
    bptt: DRAWS.map((at): Arrow => ({ at, g: bptt(at).carried[0]! })),
    ood: DRAWS.map((at): Arrow => ({ at, g: distrusted(q, at) })),
    qgf: DRAWS.map((at): Arrow => ({ at, g: ESTIMATORS.qgf(flow, q, at, T) })),
  };
  const clean = flow.clean(here, T);
  return {
    landscape: moved(landscape, [x, y]),
    chain: bptt(here),
    guess: { at: clean, g: q.gradient(clean) } satisfies Arrow,
    doubtful: { at: here, g: distrusted(q, here) } satisfies Arrow,
    fans,
  };
});

/** 0 before `from`, 1 after `to`, linear between. */
const phase = (time: number, from: number, to: number): number => Math.min(Math.max((time - from) / (to - from), 0), 1);

const params = {
  x: number({ label: { en: 'Peak across', zh: '峰的横坐标' }, value: 1.3, min: -2, max: 2, step: 0.05, slider: false }),
  y: number({ label: { en: 'Peak up', zh: '峰的纵坐标' }, value: -0.1, min: -1.7, max: 1.7, step: 0.05, slider: false }),
  time: playhead({ value: 1, seconds: 9, steps: 20, loop: true, autoplay: true }),
};

function compute({ x, y, time }: State<typeof params>) {
  const { landscape, chain, guess, doubtful, fans } = answers(x, y);
  const [walk, ask, back, rest] = [phase(time, 0, 0.25), phase(time, 0.3, 0.5), phase(time, 0.55, 0.85), phase(time, 0.3, 0.9)];
  const walked = part(path.slice(0, STOP + 1), walk);
  const hop = Math.round((1 - back) * (chain.hops.length - 1));
  return {
    landscape,
    modes: flow.means.map(point),
    walked,
    a: walked.at(-1)!,
    stopped: walk === 1,
    asked: ask === 1,
    home: back === 1,
    flow: { rest: part(path.slice(STOP), rest), end: point(path.at(-1)!), arrived: rest === 1 },
    bptt: {
      rollout: part(chain.hops, ask),
      end: shaft({ at: chain.hops.at(-1)!, g: chain.carried.at(-1)! }),
      trail: chain.hops.slice(hop).map((at, k) => shaft({ at, g: chain.carried[hop + k]! })),
      carried: shaft({ at: chain.hops[hop]!, g: chain.carried[hop]! }),
      fan: fans.bptt.map((arrow) => shaft(arrow)),
      spread: spread(fans.bptt.map(({ g }) => g)),
      direction: direction(chain.carried.at(-1)!),
    },
    ood: {
      arrow: shaft(doubtful, ask),
      fan: fans.ood.map((arrow) => shaft(arrow)),
      trust: trust(here),
      spread: spread(fans.ood.map(({ g }) => g)),
      direction: direction(doubtful.g),
    },
    qgf: {
      jump: part([here, guess.at], ask),
      end: shaft(guess),
      carried: shaft({ at: mix(guess.at, here, back), g: guess.g }),
      fan: fans.qgf.map((arrow) => shaft(arrow)),
      spread: spread(fans.qgf.map(({ g }) => g)),
      direction: direction(guess.g),
    },
  };
}

const stage = (title: { en: string; zh: string }, label: { en: string; zh: string }) => ({
  title,
  label,
  x: { domain: [-1.9, 1.9] as const, hidden: true },
  y: { domain: [-1.9, 1.9] as const, hidden: true },
  ratio: 1.5,
  narrow: 1.1,
  equal: true,
});

const degrees = (value: number) => `${fixed(0)(value)}°`;

export default defineDemo({
  id: 'd2',
  title: { en: 'One trajectory, four ways to ask', zh: '一条轨迹，四种问法' },
  params,
  compute,
  stages: {
    flow: stage({ en: '① The flow alone', zh: '① 只有流' }, { en: 'A noisy action follows the flow to a clean action.', zh: '带噪动作顺着流走到干净动作。' }),
    bptt: stage(
      { en: '② BPTT: ask at the end, carry back', zh: '② BPTT：在终点问，再传回来' },
      { en: 'The path is rolled out to its end, the gradient taken there and carried back step by step; at the noisy action the arrows of sixteen nearby draws scatter.', zh: '把路径推演到终点，在那里取梯度，再一步步传回；十六次邻近抽样的箭头在带噪动作处四散。' },
    ),
    ood: stage({ en: '③ OOD: ask on the spot', zh: '③ OOD：当场就问' }, { en: 'An arrow of doubtful direction at the noisy action.', zh: '带噪动作处一支方向可疑的箭头。' }),
    qgf: stage(
      { en: '④ QGF: guess, ask, copy', zh: '④ QGF：猜一步，问，照搬' },
      { en: 'A jump to the one-step estimate, the gradient there, and the same arrow slid back unchanged.', zh: '跳到一步估计处取梯度，同一支箭头原样搬回。' },
    ),
  },
  columns: { wide: 2, narrow: 2 },
  handles: [{ stage: ['flow', 'bptt', 'ood', 'qgf'], label: { en: 'Peak of Q', zh: 'Q 的峰' }, role: 'critic', x: 'x', y: 'y' }],
  readouts: [
    {
      role: 'bptt',
      label: GUIDE_NAMES.bptt,
      items: [
        { key: 'bptt-direction', label: { en: '∇*Q* at *a*_1 points', zh: '*a*_1 处 ∇*Q* 的方向' }, value: (m) => m.bptt.direction, format: degrees },
        { key: 'bptt-spread', label: { en: 'spread at *a*_t', zh: '*a*_t 处的散布' }, value: (m) => m.bptt.spread, format: degrees },
      ],
    },
    {
      role: 'ood',
      label: GUIDE_NAMES.ood,
      items: [
        { key: 'ood-direction', label: { en: 'arrow at *a*_t points', zh: '*a*_t 处箭头的方向' }, value: (m) => m.ood.direction, format: degrees },
        { key: 'ood-spread', label: { en: 'spread at *a*_t', zh: '*a*_t 处的散布' }, value: (m) => m.ood.spread, format: degrees },
        { key: 'ood-trust', label: { en: 'trust at *a*_t', zh: '*a*_t 处的信任' }, value: (m) => m.ood.trust, format: percent },
      ],
    },
    {
      role: 'qgf',
      label: GUIDE_NAMES.qgf,
      items: [
        { key: 'qgf-direction', label: { en: '∇*Q* at *â*_1 points', zh: '*â*_1 处 ∇*Q* 的方向' }, value: (m) => m.qgf.direction, format: degrees },
        { key: 'qgf-spread', label: { en: 'spread at *a*_t', zh: '*a*_t 处的散布' }, value: (m) => m.qgf.spread, format: degrees },
      ],
    },
  ],
  note: {
    en: 'Blue: contours of *Q*. Grey: where the data are. Thin arrows: the same question for sixteen draws of *a*_t + noise (standard deviation 0.1); spread is the standard deviation of their directions. Directions are exact, lengths compressed alike for all arrows. Panel ③ is a model, not a measurement: its gradient is trust(*a*) ∇*Q* + (1 − trust(*a*)) times a fixed wrong field, and trust falls with the distance from the data.',
    zh: '蓝：*Q* 的等高线。灰：数据所在。细箭头：对 *a*_t 加噪（标准差 0.1）抽样十六次，问同一个问题；散布是这些方向的标准差。方向是精确的，长度对所有箭头作同样的压缩。③ 是模型，不是测量：它的梯度取 trust(*a*) ∇*Q* +（1 − trust(*a*)）× 一个固定的错误场，离数据越远，信任 trust 越低。',
  },
  draw({ model, pens }) {
    const ground = (pen: Pen) => {
      pen.field(model.landscape, { role: 'critic', levels: 9, lowest: -5, alpha: 0.045, lines: 0.3 });
      pen.dots(model.modes, { role: 'data', size: 700, alpha: 0.35 });
      pen.line(model.walked, { role: 'ood', dash: [], width: 2 });
    };
    const arrow = (pen: Pen, { from, to }: Shaft, role: Role, alpha = 1, width = 2.5) => pen.arrow(from, to, { role, alpha, width });
    const noisy = (pen: Pen) => {
      pen.dots([model.a], { role: 'ood', size: 90 });
      if (model.stopped) pen.text(model.a, '*a*_t', { role: 'ood', dx: -6, dy: 18, align: 'right' });
    };

    ground(pens.flow);
    pens.flow.line(model.flow.rest, { role: 'ood', dash: [], width: 2 });
    noisy(pens.flow);
    if (model.flow.arrived) {
      pens.flow.dots([model.flow.end], { role: 'jacobian', size: 90 });
      pens.flow.text(model.flow.end, '*a*_1', { role: 'jacobian', dx: 10, dy: -6 });
    }

    const { bptt, ood, qgf } = model;
    ground(pens.bptt);
    if (model.stopped) pens.bptt.line(bptt.rollout, { role: 'jacobian', dash: [5, 4] });
    if (model.asked) {
      bptt.trail.forEach((trace) => arrow(pens.bptt, trace, 'bptt', 0.18, 1.25));
      arrow(pens.bptt, bptt.end, 'bptt');
      pens.bptt.dots([model.flow.end], { role: 'jacobian', size: 90 });
      pens.bptt.text(model.flow.end, '*a*_1', { role: 'jacobian', dx: 10, dy: -6 });
      arrow(pens.bptt, bptt.carried, 'bptt');
    }
    if (model.home) bptt.fan.forEach((one) => arrow(pens.bptt, one, 'bptt', 0.6, 1.25));
    noisy(pens.bptt);

    ground(pens.ood);
    if (model.stopped) arrow(pens.ood, ood.arrow, 'ood');
    if (model.asked) pens.ood.text(ood.arrow.to, '?', { role: 'ood', dx: 4, dy: -4, size: 20 });
    if (model.home) ood.fan.forEach((one) => arrow(pens.ood, one, 'ood', 0.6, 1.25));
    noisy(pens.ood);

    ground(pens.qgf);
    if (model.stopped) pens.qgf.line(qgf.jump, { role: 'qgf', dash: [5, 4], width: 1.75 });
    if (model.asked) {
      arrow(pens.qgf, qgf.end, 'qgf');
      pens.qgf.dots([qgf.end.from], { role: 'qgf', size: 90 });
      pens.qgf.text(qgf.end.from, '*â*_1', { role: 'qgf', dx: -4, dy: 20 });
      arrow(pens.qgf, qgf.carried, 'qgf');
    }
    if (model.home) qgf.fan.forEach((one) => arrow(pens.qgf, one, 'qgf', 0.6, 1.25));
    noisy(pens.qgf);
  },
});
