import table from '../assets/survey.json';
import { rollout } from '../core/flow';
import { conditionNumber, turned, type Survey } from '../core/learned';
import { asymmetry } from '../core/matrix';
import { memo } from '../core/memo';
import { Mixture } from '../core/mixture';
import { STEPS } from '../core/policy';
import { rng } from '../core/rng';
import { policyOf } from '../core/stored';
import { linspace, norm, transposeTimes, type Mat, type Point } from '../core/vector';
import { bowl } from '../core/world';
import { defineDemo } from '../ui/demo';
import type { Text } from '../ui/i18n';
import { compact, fixed, newSeed, number, percent, playhead, seed, type State } from '../ui/params';
import type { Pen } from '../ui/pen';

const policy = policyOf('policy');
const { maze } = policy;
const surveys = table as Survey[];
/** The film's last time is 0.9: at 1 every J is the identity. */
const LAST = STEPS - 1;

/** An exact flow to compare with, on one of its own paths. */
const exact = new Mixture([[-1.3, -0.7], [1.4, -0.8], [0.1, 1.4]], [1, 1, 1], 0.2);
const exactPath = rollout(exact, [0.7, 0.5], 0, STEPS).map(({ a }) => a);
const exactCritic = bowl([-0.9, 0.6]);

/** J as it acts on a push that is the same in all five actions of a chunk: what their mean makes of it. */
function onMeans(J: Mat): Mat {
  const chunk = J.length / 2;
  const entry = (i: number, j: number) => J.reduce((sum, row, r) => (r % 2 === i ? sum + row.reduce((inner, x, c) => (c % 2 === j ? inner + x : inner), 0) : sum), 0) / chunk;
  return [0, 1].map((i) => [0, 1].map((j) => entry(i, j)));
}

const circle: Point[] = linspace(0, 2 * Math.PI, 73).map((angle) => [Math.cos(angle), Math.sin(angle)]);
const image = (m: Mat): Point[] => circle.map(([x, y]) => [m[0]![0]! * x + m[0]![1]! * y, m[1]![0]! * x + m[1]![1]! * y]);

const learnedAt = memo((x: number, y: number, k: number, seed: number) => {
  const { normal } = rng(seed);
  const { J, cosine, g, Jg } = turned(policy, [x, y], Float64Array.from({ length: policy.d }, normal), k);
  return { ellipse: image(onMeans(J)), cosine, length: norm(Array.from(Jg)) / norm(Array.from(g)), asymmetry: asymmetry(J), condition: conditionNumber(J) };
});

const exactAt = memo((k: number) => {
  const J = exact.jacobian(exactPath[k]!, k / STEPS);
  const g = exactCritic.gradient(exact.clean(exactPath[k]!, k / STEPS));
  const Jg = transposeTimes(J, g);
  const cosine = norm(Jg) > 0 ? (g[0]! * Jg[0]! + g[1]! * Jg[1]!) / (norm(g) * norm(Jg)) : 1;
  return { ellipse: image(J), cosine, length: norm(Jg) / norm(g) };
});

/** On the dial grad Q points up; a direction with this cosine to it, on the right. */
const onDial = (cosine: number, length: number): Point => [length * Math.sqrt(Math.max(1 - cosine * cosine, 0)), length * cosine];

const [left, bottom] = [0, 1].map((i) => maze.centre[i]! - maze.reach[i]! + 2 * maze.half) as [number, number];
const [right, top] = [0, 1].map((i) => maze.centre[i]! + maze.reach[i]! - 2 * maze.half) as [number, number];

const params = {
  x: number({ label: { en: 'State across', zh: '状态横坐标' }, value: 8, min: left, max: right, step: 0.2, slider: false }),
  y: number({ label: { en: 'State up', zh: '状态纵坐标' }, value: 8, min: bottom, max: top, step: 0.2, slider: false }),
  seed: seed(17),
  time: playhead({ value: 0, seconds: 5, steps: LAST }),
};

function compute({ x, y, seed, time }: State<typeof params>) {
  const here = maze.settle([x, y]);
  const k = Math.round(time * LAST);
  const survey = surveys[k]!;
  return { here, t: k / STEPS, learned: learnedAt(...here, k, seed), exact: exactAt(k), survey, others: survey.some.map((cosine) => onDial(cosine, 1.32)) };
}
type Model = ReturnType<typeof compute>;

const REACH: Point = [-1.6, 1.6];
const square = (title: Text, label: Text) => ({ title, label, x: { domain: REACH, hidden: true }, y: { domain: REACH, hidden: true }, ratio: 1, equal: true });

const ZERO: Text = { en: 'no push', zh: '没有推力' };

export default defineDemo({
  id: 'd12',
  title: { en: 'The case against J: a learned one', zh: '反对 J 的理由：学出来的 J' },
  params,
  compute,
  stages: {
    maze: {
      title: { en: 'The state', zh: '状态' },
      label: { en: 'The maze and the state that the trained flow sees.', zh: '迷宫，以及训练好的流看到的状态。' },
      x: { domain: [left, right], hidden: true },
      y: { domain: [bottom, top], hidden: true },
      ratio: 1,
      equal: true,
    },
    exact: square({ en: '*J* of an exact flow', zh: '精确流的 *J*' }, { en: 'The unit circle, and the ellipse that the exact Jacobian makes of it.', zh: '单位圆，以及精确雅可比把它变成的椭圆。' }),
    learned: square({ en: '*J* of the trained flow', zh: '训练出来的 *J*' }, { en: 'The unit circle, and the ellipse that the learned Jacobian makes of it.', zh: '单位圆，以及学来的雅可比把它变成的椭圆。' }),
    dial: square(
      { en: 'Where *J*ᵀ∇*Q* points', zh: '*J*ᵀ∇*Q* 指向哪里' },
      { en: 'A dial: the critic’s gradient points up; the gradient times the learned Jacobian is turned away from it, below the middle against it.', zh: '表盘：评论家的梯度朝上；乘上学来的雅可比之后被转开，转到中线以下就是背道而驰。' },
    ),
  },
  columns: { wide: 4, narrow: 2 },
  handles: [{ stage: 'maze', role: 'ink', label: { en: 'State', zh: '状态' }, x: 'x', y: 'y', at: ({ here }) => here }],
  readouts: [
    { items: [{ key: 't', label: { en: 'time *t*', zh: '时间 *t*' }, value: (m) => m.t, format: fixed(1) }] },
    {
      role: 'jacobian',
      label: { en: 'Here', zh: '在这里' },
      items: [
        { key: 'asymmetry', label: '‖*J* − *J*ᵀ‖ / ‖*J*‖', value: (m: Model) => m.learned.asymmetry },
        { key: 'condition', label: { en: 'condition number', zh: '条件数' }, value: (m: Model) => m.learned.condition, format: compact },
        { key: 'cosine', label: 'cos(*J*ᵀ∇*Q*, ∇*Q*)', value: (m: Model) => m.learned.cosine },
      ],
    },
    {
      role: 'jacobian',
      label: { en: 'Median of 1,000 states', zh: '1,000 个状态的中位数' },
      items: [
        { key: 'all-asymmetry', label: '‖*J* − *J*ᵀ‖ / ‖*J*‖', value: (m: Model) => m.survey.asymmetry },
        { key: 'all-condition', label: { en: 'condition number', zh: '条件数' }, value: (m: Model) => m.survey.condition, format: compact },
        { key: 'all-cosine', label: 'cos(*J*ᵀ∇*Q*, ∇*Q*)', value: (m: Model) => m.survey.cosine },
        { key: 'against', label: { en: 'against ∇*Q* in', zh: '与 ∇*Q* 相背的占' }, value: (m: Model) => m.survey.against, format: percent },
      ],
    },
    { role: 'truth', label: { en: 'Exact flow', zh: '精确流' }, items: [{ key: 'exact-cosine', label: 'cos(*J*ᵀ∇*Q*, ∇*Q*)', value: (m: Model) => (m.exact.length > 0 ? m.exact.cosine : ZERO) }] },
  ],
  actions: [newSeed],
  note: {
    en: 'The flow and the critic of the maze in section 10: ten numbers an action chunk, so *J* is 10 × 10. Ellipses: what *J* makes of the unit circle (dotted); of the trained one, of pushes that are alike in all five actions, averaged over the five. The exact flow is that of the teaser; its *J* vanishes as *t* → 0. Dial: the angle between ∇*Q* and *J*ᵀ∇*Q* in all ten dimensions, length |*J*ᵀ∇*Q*| / |∇*Q*|; ticks outside: a hundred other states. The noisy actions lie on unguided paths, each from noise of its own.',
    zh: '流和评论家都是第十节迷宫里的：一个动作块有十个数，*J* 是 10 × 10。椭圆：*J* 把单位圆（点线）变成的样子；对训练出来的 *J*，推力在五个动作里相同，结果对五个动作取平均。精确流就是四格图里的那个，*t* → 0 时它的 *J* 消失。表盘：∇*Q* 与 *J*ᵀ∇*Q* 在全部十维里的夹角，长度是 |*J*ᵀ∇*Q*| / |∇*Q*|；外圈短线：另外一百个状态。带噪动作都在无引导的路径上，噪声各不相同。',
  },
  draw({ model, pens }) {
    const { half } = maze;
    for (const [x, y] of maze.walls) pens.maze.rect([x - half, y - half], [x + half, y + half], { role: 'data', alpha: 0.5 });
    pens.maze.dots([maze.goal], { role: 'truth', size: 90 });
    const ellipse = (pen: Pen, points: readonly Point[], role: 'truth' | 'jacobian') => {
      pen.line(circle, { role: 'muted', dash: [2, 3] });
      pen.line(points, { role, dash: [], width: 2.5 });
      pen.dots([[0, 0]], { role, size: 20 });
    };
    ellipse(pens.exact, model.exact.ellipse, 'truth');
    ellipse(pens.learned, model.learned.ellipse, 'jacobian');
    const { dial } = pens;
    dial.rect([-Infinity, -Infinity], [Infinity, 0], { role: 'bptt', alpha: 0.1 });
    dial.text([-1.5, -1.45], { en: 'against ∇Q', zh: '背道而驰' }, { role: 'bptt', size: 12 });
    dial.line(circle, { role: 'muted', dash: [2, 3] });
    dial.lines(model.others.map((at): Point[] => [at, [1.09 * at[0], 1.09 * at[1]]]), { role: 'jacobian', dash: [], width: 1.25, alpha: 0.6 });
    dial.arrow([0, 0], [0, 1], { role: 'qgf', width: 3 });
    dial.text([0, 1], '∇*Q*', { role: 'qgf', align: 'right', dx: -8, dy: 10 });
    dial.arrow([0, 0], onDial(model.learned.cosine, model.learned.length), { role: 'jacobian', width: 3 });
  },
});
