import './d10.css';
import { ESTIMATORS } from '../core/guidance';
import { sample } from '../core/sampling';
import { world } from '../core/world';
import { defineDemo } from '../ui/demo';
import { html, svg } from '../ui/dom';
import { label, type Text } from '../ui/i18n';
import { fixed, number, type State } from '../ui/params';
import type { Role } from '../ui/roles';

/** The parts that can be lit, in the order of the parameter `part`. */
export const PARTS = ['clone', 'td', 'guess', 'ask', 'step'] as const;
export type Part = (typeof PARTS)[number];

/** What goes where. There is no arrow between the two boxes of training. */
export const ARROWS = [
  { id: 'recording-clone', from: 'recording', to: 'clone' },
  { id: 'recording-td', from: 'recording', to: 'td' },
  { id: 'v', from: 'clone', to: 'loop' },
  { id: 'noise', from: 'noise', to: 'loop' },
  { id: 'q', from: 'td', to: 'loop' },
  { id: 'again', from: 'step', to: 'guess' },
  { id: 'out', from: 'loop', to: 'action' },
] as const;
type ArrowId = (typeof ARROWS)[number]['id'];

/** Everything that a part lights: itself, what it gets and who uses it. */
export const LIGHTS: Record<Part, readonly (Part | ArrowId)[]> = {
  clone: ['clone', 'recording-clone', 'v', 'guess', 'step'],
  td: ['td', 'recording-td', 'q', 'ask'],
  guess: ['guess', 'v', 'clone'],
  ask: ['ask', 'q', 'td'],
  step: ['step', 'v', 'clone'],
};

/** A formula in pieces; a piece with a role is underlined in its colour wherever it appears. */
type Formula = readonly (string | readonly [string, Role])[];
const A: readonly [string, Role] = ['*a*_t', 'ood'];
const GUESS: readonly [string, Role] = ['*â*_1', 'qgf'];

interface Line {
  name: Text;
  words: Text;
  formula: Formula;
  /** Python; also JavaScript, so that a test can run it. */
  code: string;
}

export const LINES: Record<'guess' | 'ask' | 'step', Line> = {
  guess: {
    name: { en: 'Guess', zh: '猜' },
    words: { en: 'the average end of what could come of it', zh: '照这样下去，平均会变成什么' },
    formula: [GUESS, ' ← ', A, ' + (1 − *t*) *v*_θ(*s*, ', A, ', *t*)'],
    code: 'a1_hat = a + (1 - t) * v(a, t)',
  },
  ask: {
    name: { en: 'Ask', zh: '问' },
    words: { en: 'the critic, there: which way is better?', zh: '在那里问评论家：往哪边更好' },
    formula: ['*g* ← ∇', ['*Q*_φ', 'critic'], '(*s*, ', GUESS, ')'],
    code: 'g = grad_Q(a1_hat)',
  },
  step: {
    name: { en: 'Step', zh: '走' },
    words: { en: 'with the flow, leaning a little', zh: '顺着流走一步，略作倾斜' },
    formula: [['*a*_{t+Δt}', 'ood'], ' ← ', A, ' + Δ*t* (*v*_θ(*s*, ', A, ', *t*) + *w g*)'],
    code: 'a = a + (v(a, t) + w * g) / T',
  },
};

const BOXES: Record<'clone' | 'td', { name: Text; words: Text; formula: Formula }> = {
  clone: {
    name: { en: 'Behaviour cloning', zh: '行为克隆' },
    words: { en: 'learns what was done', zh: '学做过什么' },
    formula: ['min ‖*v*_θ(*s*, ', A, ', *t*) − (*a*_1 − *a*_0)‖²'],
  },
  td: {
    name: { en: 'TD learning', zh: '时序差分学习' },
    words: { en: 'learns what it was worth', zh: '学那样做值多少' },
    formula: [['*Q*_φ', 'critic'], '(*s*, *a*) ← *r* + γ *V*(*s*′)'],
  },
};

const wide = world('gradients');
/** One action, whose numbers the token shows as it runs round the loop. */
export const EXAMPLE = { a0: 0.9, w: 0.5, T: 10 };
const { steps: taken, end } = sample(wide.mixture, wide.critic, [EXAMPLE.a0], ESTIMATORS.qgf, EXAMPLE.w, EXAMPLE.T);
const IN_LOOP = ['guess', 'ask', 'step'] as const;
/** Lines that are run for one action. */
const HOPS = IN_LOOP.length * EXAMPLE.T;

const params = {
  part: number({ label: { en: 'Part', zh: '部分' }, value: 3, min: 1, max: PARTS.length, step: 1, slider: false }),
  hop: number({ label: { en: 'Lines run', zh: '走过的行数' }, value: 0, min: 0, max: HOPS, step: 1, slider: false }),
};

function compute({ part, hop }: State<typeof params>) {
  const done = Math.round(hop);
  /** The pass that is under way, and how many of its lines have been run. */
  const k = Math.floor(Math.max(done - 1, 0) / IN_LOOP.length);
  const run = done - k * IN_LOOP.length;
  const { a, t, g } = taken[k]!;
  const next = (taken[k + 1]?.a ?? end)[0]!;
  return {
    lit: LIGHTS[PARTS[part - 1]!],
    pass: k + 1,
    t,
    a: a[0]!,
    guess: run >= 1 ? wide.mixture.clean(a, t)[0]! : undefined,
    g: run >= 2 ? g[0]! : undefined,
    next: run >= 3 ? next : undefined,
  };
}
type Model = ReturnType<typeof compute>;
const known = (key: 'guess' | 'g' | 'next') => (m: Model) => m[key] ?? '…';

function formula(pieces: Formula): HTMLElement {
  const parts = pieces.map((piece) =>
    typeof piece === 'string' ? label(html('span'), piece) : label(html('span', { class: 'token', style: `--token: var(--${piece[1]})` }), piece[0]),
  );
  return html('span', { class: 'formula-line', lang: 'en' }, ...parts);
}

/** A vertical arrow that fills its place. */
const down = (id: ArrowId, length = 40, ...name: Node[]) =>
  html(
    'span',
    { class: 'arrow', 'data-part': id, 'aria-hidden': 'true', style: `height: ${length}px` },
    svg(
      'svg',
      { viewBox: `0 0 16 ${length}`, width: 16, height: length },
      svg('path', { d: `M8,1V${length - 3}M3,${length - 9}L8,${length - 2}L13,${length - 9}` }),
    ),
    ...(name.length ? [html('span', {}, ...name)] : []),
  );
/** What a box of training hands over; where there is little room, only its symbol. */
const MEETING = 84;
const handed = (id: ArrowId, word: Text, symbol: Text) =>
  down(id, MEETING, label(html('span', { class: 'spare' }), word), label(html('span'), symbol));

function build(set: (patch: { part: number }) => void): HTMLElement {
  const lighting = (part: Part, element: HTMLElement) => {
    const light = () => set({ part: PARTS.indexOf(part) + 1 });
    for (const event of ['pointerenter', 'focus', 'click']) element.addEventListener(event, light);
    return element;
  };
  const button = (part: Part, ...children: Node[]) =>
    lighting(part, html('button', { type: 'button', class: `part ${part}`, 'data-part': part, 'data-shake': true }, ...children));
  const name = (text: Text) => label(html('strong'), text);
  const words = (text: Text) => label(html('span', { class: 'words' }), text);

  const box = (part: 'clone' | 'td') => button(part, name(BOXES[part].name), words(BOXES[part].words), formula(BOXES[part].formula));
  const line = (part: 'guess' | 'ask' | 'step', i: number) => {
    const { name: title, words: said, formula: pieces, code } = LINES[part];
    const first = html('span', { class: 'said' }, html('span', { class: 'count', 'aria-hidden': 'true' }, String(i + 1)), html('span', {}, name(title), words(said)));
    return button(part, first, formula(pieces), html('code', {}, code));
  };
  const again = svg(
    'svg',
    { viewBox: '0 0 20 100', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('path', { d: 'M0,84H14V16H2', 'vector-effect': 'non-scaling-stroke' }),
  );
  const tip = svg('svg', { class: 'tip', viewBox: '0 0 10 12', width: 10, height: 12, 'aria-hidden': 'true' }, svg('path', { d: 'M8,1L2,6L8,11' }));

  return html(
    'div',
    { class: 'pipeline' },
    label(html('p', { class: 'phase' }), { en: 'Training, once, each on its own', zh: '训练：各自一次，互不相干' }),
    label(html('div', { class: 'pill recording' }), { en: 'recording: *s*, *a*, *r*, *s*′', zh: '记录：*s*, *a*, *r*, *s*′' }),
    down('recording-clone'),
    down('recording-td'),
    box('clone'),
    box('td'),
    html(
      'div',
      { class: 'meeting' },
      handed('v', { en: 'velocity ', zh: '速度 ' }, '*v*_θ'),
      html('div', { class: 'entry' }, label(html('div', { class: 'pill' }), { en: 'noise *a*_0', zh: '噪声 *a*_0' }), down('noise')),
      handed('q', { en: 'critic ', zh: '评论家 ' }, '*Q*_φ'),
    ),
    html(
      'div',
      { class: 'loop' },
      label(html('p', { class: 'phase' }), { en: 'Acting: *T* times for every action, *t* = 0, 1/*T*, …', zh: '行动：每个动作重复 *T* 次，*t* = 0, 1/*T*, …' }),
      html('div', { class: 'lines' }, ...IN_LOOP.map(line), html('span', { class: 'again', 'data-part': 'again' }, again, tip), html('span', { class: 'runner', 'aria-hidden': 'true' })),
    ),
    html('div', { class: 'exit' }, down('out'), label(html('div', { class: 'pill' }), { en: 'action *a*_1', zh: '动作 *a*_1' })),
  );
}

export default defineDemo({
  id: 'd10',
  title: { en: 'The pipeline', zh: '整条流水线' },
  params,
  compute,
  film: {
    seconds: 18,
    steps: HOPS,
    at: ({ hop }) => hop / HOPS,
    to: (u) => {
      const hop = Math.floor(u * HOPS + 1e-6);
      return { hop, part: hop === 0 ? 3 : 3 + ((hop - 1) % IN_LOOP.length) };
    },
  },
  stages: {},
  body: build,
  readouts: [
    { items: [{ key: 'pass', label: { en: 'pass', zh: '第几遍' }, value: (m) => m.pass, format: (x) => `${x} / ${EXAMPLE.T}` }] },
    { items: [{ key: 't', label: { en: 'time *t*', zh: '时间 *t*' }, value: (m) => m.t, format: fixed(1) }] },
    { role: 'ood', items: [{ key: 'a', label: '*a*_t', value: (m) => m.a }] },
    { role: 'qgf', items: [{ key: 'guess', label: '*â*_1', value: known('guess') }] },
    { role: 'critic', items: [{ key: 'g', label: '*g*', value: known('g') }] },
    { role: 'ood', items: [{ key: 'next', label: '*a*_{t+Δt}', value: known('next') }] },
  ],
  note: {
    en: `The numbers are one action in the world of three wide peaks: noise *a*_0 = ${EXAMPLE.a0}, weight *w* = ${EXAMPLE.w}, *T* = ${EXAMPLE.T}, the critic with its bump.`,
    zh: `数字是宽峰世界里的一个动作：噪声 *a*_0 = ${EXAMPLE.a0}，权重 *w* = ${EXAMPLE.w}，*T* = ${EXAMPLE.T}，评论家带着鼓包。`,
  },
  draw({ model, state, body }) {
    const chosen = PARTS[state.part - 1]!;
    const line = body!.querySelector<HTMLElement>(`.lines [data-part=${chosen}]`);
    const token = body!.querySelector<HTMLElement>('.runner')!;
    token.hidden = !line || state.hop === 0;
    if (line) token.style.top = `${line.offsetTop + line.offsetHeight / 2}px`;
    for (const element of body!.querySelectorAll<HTMLElement>('[data-part]')) {
      const part = element.dataset.part as Part | ArrowId;
      element.toggleAttribute('data-lit', model.lit.includes(part));
      if (element instanceof HTMLButtonElement) element.setAttribute('aria-pressed', String(part === chosen));
    }
  },
});
