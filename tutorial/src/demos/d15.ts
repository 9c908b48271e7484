import './d15.css';
import { estimators } from '../core/guidance';
import { euler } from '../core/flow';
import { Mixture } from '../core/mixture';
import { sample } from '../core/sampling';
import { grid } from '../core/grid';
import { addScaled, norm, point, sub, type Point, type Vec } from '../core/vector';
import { bowl } from '../core/world';
import { defineDemo } from '../ui/demo';
import { html } from '../ui/dom';
import { label, type Text } from '../ui/i18n';
import { fixed, number, type State } from '../ui/params';
import type { Role } from '../ui/roles';

export const T = 12;
export const WEIGHT = 0.4;
export const flow = new Mixture([[-1.3, -0.7], [1.4, -0.8], [0.1, 1.4]], [1, 1, 1], 0.2);
const START: Vec = [0.7, 0.5];
const STAR: Point = [-0.9, 0.6];
const critic = bowl(STAR);
const landscape = grid(critic.value, [-5, 5], [-4, 4], 80, 64);
const { steps, end } = sample(flow, critic, START, estimators(euler(T)).qgf, WEIGHT, T);
const path = [...steps.map(({ a }) => a), end];

/** The lines of the algorithm, in order; code that a test runs, and what a cut did to it. */
interface Line {
  id: 'noise' | 'for' | 'guess' | 'ask' | 'step' | 'return';
  code: string;
  words: Text;
  /** Which cut made it what it is, and what stood there before. */
  cut?: { name: Text; ring: Text; before: string; role: Role };
}
export const LINES: readonly Line[] = [
  { id: 'noise', code: 'a = normal(d)', words: { en: 'begin with noise', zh: '从噪声开始' } },
  { id: 'for', code: 'for k in range(T): t = k / T', words: { en: 'T times', zh: '重复 T 次' } },
  {
    id: 'guess',
    code: 'a1_hat = a + (1 - t) * v(a, t)',
    words: { en: 'guess the average end', zh: '猜：平均会变成什么' },
    cut: { name: { en: 'First cut', zh: '第一刀' }, ring: { en: 'Ring 2: the chain', zh: '第二环：链条' }, before: 'a1 = ODE(a, t)', role: 'bptt' },
  },
  {
    id: 'ask',
    code: 'g = grad_Q(a1_hat)',
    words: { en: 'ask the critic there', zh: '问：在那里问评论家' },
    cut: { name: { en: 'Second cut', zh: '第二刀' }, ring: { en: 'Ring 1: the Jacobian', zh: '第一环：雅可比' }, before: 'g = J.T @ grad_Q(a1_hat)', role: 'jacobian' },
  },
  { id: 'step', code: 'a = a + (v(a, t) + w * g) / T', words: { en: 'step with the flow, leaning a little', zh: '走：顺着流，略作倾斜' } },
  { id: 'return', code: 'return clip(a)', words: { en: 'an action within its limits', zh: '截断到动作的范围内' } },
];
const LOOP = ['guess', 'ask', 'step'] as const;
/** Line runs of one action: the noise, three a pass, the return. */
const HOPS = 3 * T + 1;

const params = {
  hop: number({ label: { en: 'Lines run', zh: '走过的行数' }, value: 11, min: 0, max: HOPS, step: 1, slider: false }),
};

function compute({ hop }: State<typeof params>) {
  const done = Math.round(hop);
  const over = done === HOPS;
  const k = Math.min(Math.floor(Math.max(done - 1, 0) / 3), T - 1);
  const run = over ? 3 : done - 3 * k;
  const { a, t, g } = steps[k]!;
  const guess = flow.clean(a, t);
  const slope = (at: Vec): { from: Point; to: Point } => ({ from: point(at), to: point(addScaled(at, 0.55 / Math.max(norm(g), 1e-9), g)) });
  const shown = { guess: run >= 1 && !over, ask: run >= 2 && !over, step: run >= 3 };
  return {
    line: (over ? 'return' : done === 0 ? 'noise' : LOOP[run - 1]!) as Line['id'],
    pass: k + 1,
    t,
    a: point(a),
    guess: shown.guess ? point(guess) : undefined,
    asked: shown.ask ? slope(guess) : undefined,
    carried: shown.ask && !over ? slope(a) : undefined,
    walked: path.slice(0, k + 1 + (shown.step ? 1 : 0)).map(point),
    next: shown.step ? point(path[k + 1]!) : undefined,
    toStar: norm(sub(shown.step ? path[k + 1]! : a, STAR)),
  };
}


function build(set: (patch: { hop: number }) => void): HTMLElement {
  const rows = LINES.map(({ id, code, words, cut }) => {
    const inner = id === 'guess' || id === 'ask' || id === 'step';
    const button = html(
      'button',
      { type: 'button', class: `line${inner ? ' inner' : ''}`, 'data-line': id, 'data-shake': true },
      html('code', {}, code),
      label(html('span', { class: 'words' }), words),
      ...(cut
        ? [
            html(
              'span',
              { class: 'cut', style: `--cut: var(--${cut.role})` },
              label(html('strong'), cut.name),
              html('s', {}, html('code', {}, cut.before)),
              label(html('span', { class: 'ring' }), cut.ring),
            ),
          ]
        : []),
    );
    // Within the pass that is on show, or near the beginning.
    const place = { noise: 0, for: 1, guess: 10, ask: 11, step: 12, return: HOPS }[id];
    button.addEventListener('click', () => set({ hop: place }));
    return html('li', {}, button);
  });
  return html('ol', { class: 'recap' }, ...rows);
}

export default defineDemo({
  id: 'd15',
  title: { en: 'The algorithm, and its two cuts', zh: '整个算法，以及两刀' },
  params,
  compute,
  body: build,
  beside: true,
  film: {
    seconds: 20,
    steps: HOPS,
    at: ({ hop }) => hop / HOPS,
    to: (u) => ({ hop: Math.floor(u * HOPS + 1e-6) }),
  },
  stages: {
    plane: {
      label: {
        en: 'The loop as it runs: the noisy action, the guess, the critic’s arrow there, the same arrow at the noisy action, and the step.',
        zh: '循环运行的样子：带噪动作、猜测、猜测处评论家的箭头、搬回带噪动作处的同一支箭头，以及走出的一步。',
      },
      x: { domain: [-1.9, 1.9], hidden: true },
      y: { domain: [-1.6, 2], hidden: true },
      ratio: 1.1,
      narrow: 1.5,
      equal: true,
    },
  },
  readouts: [
    { items: [{ key: 'pass', label: { en: 'pass', zh: '第几遍' }, value: (m) => m.pass, format: (x) => `${x} / ${T}` }] },
    { items: [{ key: 't', label: { en: 'time *t*', zh: '时间 *t*' }, value: (m) => m.t }] },
    { role: 'critic', items: [{ key: 'star', label: { en: '*a* from the star', zh: '*a* 离星' }, value: (m) => m.toStar, format: fixed(2) }] },
  ],
  note: {
    en: `The world of the teaser, weight ${WEIGHT}, ${T} steps. Struck out: what BPTT and QGF-Jacobian have in that line. Arrows: directions exact, lengths alike.`,
    zh: `四格图的世界，权重 ${WEIGHT}，${T} 步。划掉的是 BPTT 和 QGF-Jacobian 在那一行的写法。箭头方向精确，长度画成一样。`,
  },
  draw({ model, pens: { plane }, body }) {
    for (const button of body!.querySelectorAll<HTMLElement>('[data-line]')) button.toggleAttribute('data-lit', button.dataset.line === model.line);
    plane.field(landscape, { role: 'critic', levels: 10, lowest: -8, alpha: 0.03, lines: 0.15 });
    flow.means.forEach((mu) => plane.disc(point(mu), 2 * flow.std, { role: 'data', alpha: 0.3 }));
    plane.line(model.walked, { role: 'ood', dash: [], width: 2 });
    plane.dots(model.walked, { role: 'ood', size: 16 });
    if (model.guess) {
      plane.line([model.a, model.guess], { role: 'qgf', dash: [5, 4], width: 1.75 });
      plane.dots([model.guess], { role: 'qgf', size: 90 });
      plane.text(model.guess, '*â*_1', { role: 'qgf', dx: 10, dy: 18 });
    }
    if (model.asked) plane.arrow(model.asked.from, model.asked.to, { role: 'qgf', width: 2.5 });
    if (model.carried) plane.arrow(model.carried.from, model.carried.to, { role: 'qgf', width: 2.5, alpha: 0.75 });
    plane.dots([model.next ?? model.a], { role: 'ood', size: 90 });
    plane.text(model.next ?? model.a, '*a*', { role: 'ood', dx: 10, dy: -8 });
    plane.dots([STAR], { role: 'critic', size: 120 });
  },
});

