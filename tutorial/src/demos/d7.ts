import { svd2 } from '../core/svd';
import { add, addScaled, linspace, norm, point, scale, sub, type Mat, type Point, type Vec } from '../core/vector';
import { defineDemo } from '../ui/demo';
import { compact, fixed, number, type State } from '../ui/params';
import type { Pen } from '../ui/pen';

const REACH = 2;
const CIRCLE = 192;
/** The film's way leads around the origin at this distance. */
const ORBIT = 0.9;

/** f(x, y) = (x + kappa sin 2y, y + kappa sin 2x) */
export const warp = ([x, y]: Vec, kappa: number): Vec => [x! + kappa * Math.sin(2 * y!), y! + kappa * Math.sin(2 * x!)];
export const jacobian = ([x, y]: Vec, kappa: number): Mat => [
  [1, 2 * kappa * Math.cos(2 * y!)],
  [2 * kappa * Math.cos(2 * x!), 1],
];

/** Pushes of length one in every direction, the first again at the end. */
const directions: Vec[] = linspace(0, 2 * Math.PI, CIRCLE + 1).map((angle) => [Math.cos(angle), Math.sin(angle)]);
const meshLines: Point[][] = linspace(-REACH, REACH, 17).flatMap((fixedAt) => {
  const along = linspace(-REACH, REACH, 65);
  return [along.map((s): Point => [s, fixedAt]), along.map((s): Point => [fixedAt, s])];
});

const times = (m: Mat, v: Vec): Vec => m.map((row) => row[0]! * v[0]! + row[1]! * v[1]!);

const params = {
  x: number({ label: { en: 'Point, across', zh: '点的横坐标' }, value: 0.45, min: -REACH, max: REACH, step: 0.05, slider: false }),
  y: number({ label: { en: 'Point, up', zh: '点的纵坐标' }, value: 0.3, min: -REACH, max: REACH, step: 0.05, slider: false }),
  kappa: number({ label: { en: 'Curviness *κ*', zh: '弯曲程度 *κ*' }, value: 0.5, min: 0, max: 1, step: 0.05 }),
  radius: number({ label: { en: 'Radius *r*', zh: '半径 *r*' }, value: 0.6, min: 0.05, max: 1, step: 0.05 }),
};

function compute({ x, y, kappa, radius }: State<typeof params>) {
  const at: Vec = [x, y];
  const image = warp(at, kappa);
  const J = jacobian(at, kappa);
  const svd = svd2(J);
  const linear = (push: Vec): Vec => add(image, times(J, push));
  const error = (r: number) =>
    Math.max(...directions.map((u) => norm(sub(warp(addScaled(at, r, u), kappa), linear(scale(r, u))))));
  const [whole, half] = [error(radius), error(radius / 2)];
  return {
    at: point(at),
    image: point(image),
    J,
    sigma: svd.map(({ sigma }) => sigma) as [number, number],
    /** Undefined where the circle collapses to a line. */
    ratio: svd[1].sigma > 1e-6 ? svd[0].sigma / svd[1].sigma : undefined,
    product: svd[0].sigma * svd[1].sigma,
    det: J[0]![0]! * J[1]![1]! - J[0]![1]! * J[1]![0]!,
    error: { whole, half, quotient: whole > 1e-9 ? whole / half : undefined },
    warped: meshLines.map((line) => line.map((p) => point(warp(p, kappa)))),
    circle: directions.map((u) => point(addScaled(at, radius, u))),
    curve: directions.map((u) => point(warp(addScaled(at, radius, u), kappa))),
    ellipse: directions.map((u) => point(linear(scale(radius, u)))),
    /** The pushes that are magnified most and least, and what they become. */
    pushes: svd.map(({ from }) => point(addScaled(at, radius, from))),
    axes: svd.map(({ sigma, to }) => point(addScaled(image, radius * sigma, to))),
  };
}
type Model = ReturnType<typeof compute>;

const side = { domain: [-2.6, 2.6] as Point, hidden: true };
const square = { x: side, y: side, ratio: 1, narrow: 1.15, equal: true };

export default defineDemo({
  id: 'd7',
  title: { en: 'What a Jacobian does to a small circle', zh: '雅可比怎样改变一个小圆' },
  params,
  compute,
  /** Once around the origin. */
  film: {
    seconds: 12,
    steps: 60,
    loop: true,
    at: ({ x, y }) => (Math.atan2(y, x) / (2 * Math.PI) + 1) % 1,
    to: (u) => ({ x: ORBIT * Math.cos(2 * Math.PI * u), y: ORBIT * Math.sin(2 * Math.PI * u) }),
  },
  stages: {
    before: {
      title: { en: 'Pushes *δ* around a point', zh: '一点周围的位移 *δ*' },
      label: { en: 'A straight grid and a circle of pushes around a point.', zh: '笔直的网格，以及一点周围的一圈位移。' },
      ...square,
    },
    after: {
      title: { en: 'What *f* makes of them', zh: '经过 *f* 之后' },
      label: {
        en: 'The grid warped by f; the image of the circle, a closed curve, and the ellipse that the Jacobian predicts.',
        zh: '被 f 弯曲的网格；圆的像是一条闭曲线，另有雅可比预测的椭圆。',
      },
      ...square,
    },
  },
  columns: { wide: 2, narrow: 1 },
  handles: [{ stage: 'before', label: { en: 'The point', zh: '点' }, role: 'ink', x: 'x', y: 'y' }],
  readouts: [
    {
      role: 'jacobian',
      label: { en: 'Jacobian *J*', zh: '雅可比 *J*' },
      items: [0, 1, 2, 3].map((k) => ({
        key: `J${Math.floor(k / 2) + 1}${(k % 2) + 1}`,
        label: `*J*_{${Math.floor(k / 2) + 1}${(k % 2) + 1}}`,
        value: ({ J }: Model) => J[Math.floor(k / 2)]![k % 2]!,
      })),
    },
    {
      role: 'jacobian',
      label: { en: 'Magnification', zh: '放大倍数' },
      items: [
        { key: 'sigma1', label: { en: 'largest, *σ*_1', zh: '最大，*σ*_1' }, value: (m) => m.sigma[0] },
        { key: 'sigma2', label: { en: 'smallest, *σ*_2', zh: '最小，*σ*_2' }, value: (m) => m.sigma[1] },
        { key: 'ratio', label: '*σ*_1 / *σ*_2', value: (m) => m.ratio ?? { en: 'a line', zh: '成线段' }, format: compact },
        { key: 'product', label: '*σ*_1 · *σ*_2', value: (m) => m.product },
        { key: 'det', label: 'det *J*', value: (m) => m.det },
      ],
    },
    {
      role: 'ink',
      label: { en: 'Error of the ellipse', zh: '椭圆的误差' },
      items: [
        { key: 'error', label: { en: 'at radius *r*', zh: '半径 *r*' }, value: (m) => m.error.whole, format: fixed(4) },
        { key: 'error-half', label: { en: 'at radius *r*/2', zh: '半径 *r*/2' }, value: (m) => m.error.half, format: fixed(4) },
        { key: 'quotient', label: { en: 'times smaller', zh: '缩小倍数' }, value: (m) => m.error.quotient ?? { en: 'no error', zh: '没有误差' } },
      ],
    },
  ],
  note: {
    en: '*f*(*x*, *y*) = (*x* + *κ* sin 2*y*, *y* + *κ* sin 2*x*). Solid: the circle, and what *f* really makes of it. Purple, dash-dotted: the ellipse that *J* predicts, with its half-axes; on the left, the two pushes that become them. Both panels have the same scale. The error is the largest distance between curve and ellipse. det *J* < 0: the picture is also turned over.',
    zh: '*f*(*x*, *y*) = (*x* + *κ* sin 2*y*, *y* + *κ* sin 2*x*)。实线：圆，以及 *f* 真正把它变成的样子。紫色点划线：*J* 预测的椭圆和它的两个半轴；左图画出变成半轴的那两个位移。两图比例尺相同。误差是曲线与椭圆之间的最大距离。det *J* < 0 表示图形还翻了个面。',
  },
  draw({ model, pens: { before, after } }) {
    const arrows = (pen: Pen, from: Point, tips: readonly Point[]) =>
      tips.forEach((tip, k) => pen.arrow(from, tip, { role: 'jacobian', width: k ? 1.5 : 2.75 }));
    before.lines(meshLines, { role: 'muted', alpha: 0.35, width: 1 });
    before.area(model.circle, { role: 'data', alpha: 0.2, base: model.at[1] });
    before.line(model.circle, { role: 'ink', width: 2 });
    arrows(before, model.at, model.pushes);

    after.lines(model.warped, { role: 'muted', alpha: 0.35, width: 1 });
    after.line(model.ellipse, { role: 'jacobian', width: 2 });
    after.line(model.curve, { role: 'ink', width: 2 });
    arrows(after, model.image, model.axes);
    after.dots([model.image], { role: 'ink', size: 60 });
    model.axes.forEach((tip, k) => {
      if (norm(sub(tip, model.image)) < 0.08) return;
      const left = tip[0] < model.image[0];
      after.text(tip, k ? '*r σ*_2' : '*r σ*_1', { role: 'jacobian', dx: left ? -6 : 6, dy: -4, align: left ? 'right' : 'left' });
    });
  },
});
