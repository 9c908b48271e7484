import { dataRange, ends, guesses, watersheds, type Led } from '../core/curves';
import { worstJitter } from '../core/jitter';
import { memo } from '../core/memo';
import type { Point } from '../core/vector';
import { world } from '../core/world';
import { defineDemo, sweep } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import { compact, number, type State } from '../ui/params';

/** From the outside in. */
const LAYERS = ['bptt', 'jacobian', 'qgf'] as const;
type Layer = (typeof LAYERS)[number];
const REACH = 0.02;
const wide = world('gradients');
const { mixture, critic } = wide;

const each = <T>(f: (layer: Layer) => T): Record<Layer, T> => ({ bptt: f('bptt'), jacobian: f('jacobian'), qgf: f('qgf') });
const slope = (x: number): number => critic.gradient([x])[0]!;
const highest = (curve: readonly Point[]): Point => curve.reduce((best, p) => (p[1] > best[1] ? p : best));

/** Over the data's range: the factor that stands before Q', and their product g. */
const curvesAt = memo((t: number) => {
  const [chain, guess] = [ends(wide, t), guesses(wide, t)];
  const curve = (led: readonly Led[], f: (one: Led) => number): Point[] => led.map((one) => [one.a, f(one)]);
  const range = dataRange(wide, t);
  const factor: Record<Layer, Point[]> = {
    bptt: curve(chain, (one) => one.factor),
    jacobian: curve(guess, (one) => one.factor),
    qgf: [[range[0], 1], [range[1], 1]],
  };
  const g: Record<Layer, Point[]> = {
    bptt: curve(chain, ({ to, factor }) => factor * slope(to)),
    jacobian: curve(guess, ({ to, factor }) => factor * slope(to)),
    qgf: curve(guess, ({ to }) => slope(to)),
  };
  return { range, watersheds: watersheds(wide, t), factor, g, worst: each((layer) => worstJitter(g[layer], REACH)) };
});

/** Between two curves over the same range, as a compressed axis shows them; on the points of the first. */
export function morph(from: readonly Point[], to: readonly Point[], share: number, constant: number): Point[] {
  const press = (y: number) => Math.sign(y) * Math.log1p(Math.abs(y) / constant);
  const free = (y: number) => Math.sign(y) * constant * Math.expm1(Math.abs(y));
  let k = 1;
  return from.map(([a, y]) => {
    while (k < to.length - 1 && to[k]![0] < a) k++;
    const [[a0, y0], [a1, y1]] = [to[k - 1]!, to[k]!];
    const there = y0 + Math.min(Math.max((a - a0) / (a1 - a0), 0), 1) * (y1 - y0);
    return [a, free((1 - share) * press(y) + share * press(there))];
  });
}

const params = {
  peel: number({ label: { en: 'Peeled down to', zh: '剥到哪一层' }, value: 0, min: 0, max: 2, step: 0.05, show: (peel) => GUIDE_NAMES[LAYERS[Math.ceil(peel - 1e-9)]!] }),
  t: number({ label: { en: 'Time *t*', zh: '时间 *t*' }, value: 0.75, min: 0, max: 1, step: 0.01 }),
  a: number({ label: { en: 'Probe *a*_t', zh: '探针 *a*_t' }, value: -0.6, min: -2.5, max: 2.5, step: 0.005, slider: false }),
};

function compute({ peel, t, a }: State<typeof params>) {
  const [end, guess] = [mixture.ode(a, t), mixture.clean([a], t)[0]!];
  const asked = { bptt: end, jacobian: guess, qgf: guess };
  const factor = { bptt: mixture.odeDerivative(a, t), jacobian: mixture.jacobian([a], t)[0]![0]!, qgf: 1 };
  const curves = curvesAt(t);
  /** The layer that is there or on its way, and how far it has come from the one before. */
  const last = Math.ceil(peel - 1e-9);
  const come = peel - Math.max(last - 1, 0);
  const [from, to] = [LAYERS[Math.max(last - 1, 0)]!, LAYERS[last]!];
  return {
    ...curves,
    peaks: { bptt: highest(curves.factor.bptt), jacobian: highest(curves.factor.jacobian) },
    shown: LAYERS.slice(0, last + (come > 0.5 || last === 0 ? 1 : 0)),
    whole: LAYERS.slice(0, last + (come === 1 || last === 0 ? 1 : 0)),
    turning: last > 0 && come < 1 ? { role: to, factor: morph(curves.factor[from], curves.factor[to], come, 0.5), g: morph(curves.g[from], curves.g[to], come, 1) } : undefined,
    a,
    probe: each((one) => ({ asked: asked[one], slope: slope(asked[one]), factor: factor[one], g: factor[one] * slope(asked[one]) })),
  };
}
type Model = ReturnType<typeof compute>;

const FACTORS = { bptt: '× *p*_t / *p*_1', jacobian: '× *J*', qgf: '× *I* = 1' };
const x = { domain: [-2.6, 2.6] as Point };

export default defineDemo({
  id: 'd9',
  title: { en: 'Peel the gradient: two cuts', zh: '剥开梯度：两刀' },
  params,
  compute,
  film: sweep('peel', [0, 2], 6, 2),
  stages: {
    factors: {
      title: { en: 'The factor in front of ∇*Q*', zh: '∇*Q* 前面的因子' },
      label: {
        en: 'The factor against the noisy action: BPTT has spikes at the watersheds, QGF-Jacobian has humps, QGF is one everywhere.',
        zh: '因子随带噪动作的变化：BPTT 在分水岭处有尖刺，QGF-Jacobian 有隆起，QGF 处处为一。',
      },
      x,
      y: { domain: [0, 4000], symlog: 0.5, ticks: [0, 1, 10, 100, 1000] },
      ratio: 3.6,
      narrow: 1.6,
    },
    gradients: {
      title: { en: 'Times ∇*Q* where it is asked: the gradient *g*', zh: '乘上所问之处的 ∇*Q*，得到梯度 *g*' },
      label: {
        en: 'Gradient against the noisy action, one curve for each layer.',
        zh: '梯度随带噪动作的变化，每层一条曲线。',
      },
      x: { ...x, label: { en: 'noisy action *a*_t', zh: '带噪动作 *a*_t' } },
      y: { domain: [-40, 12000], symlog: 1, ticks: [-10, -1, 0, 1, 10, 100, 1000, 10000] },
      ratio: 2.5,
      narrow: 1.1,
    },
  },
  marks: {
    spike: { stage: 'factors', at: ({ peaks }) => peaks.bptt },
    hump: { stage: 'factors', at: ({ peaks }) => peaks.jacobian },
  },
  handles: [
    { stage: 'gradients', label: { en: 'Probe: the noisy action', zh: '探针：带噪动作' }, role: 'ood', x: 'a', at: ({ a }) => [a, -22] },
  ],
  notes: (['bptt', 'jacobian'] as const).map((layer) => ({
    key: `peak-${layer}`,
    stage: 'factors' as const,
    role: layer,
    label: '',
    at: ({ peaks, shown }: Model): Point | undefined =>
      shown.includes(layer) ? [peaks[layer][0] - (layer === 'bptt' ? 0 : 0.2), peaks[layer][1] * (layer === 'bptt' ? 1.7 : 1.25) + 0.3] : undefined,
    value: ({ peaks }: Model) => peaks[layer][1],
    format: compact,
  })),
  readouts: LAYERS.map((layer) => ({
    role: layer,
    label: GUIDE_NAMES[layer],
    items: [
      {
        key: `${layer}-asked`,
        label: layer === 'bptt' ? { en: 'asks at *a*_1', zh: '在 *a*_1 处问' } : { en: 'asks at *â*_1', zh: '在 *â*_1 处问' },
        value: (m: Model) => m.probe[layer].asked,
      },
      { key: `${layer}-slope`, label: { en: '∇*Q* there', zh: '那里的 ∇*Q*' }, value: (m: Model) => m.probe[layer].slope, format: compact },
      { key: `${layer}-factor`, label: FACTORS[layer], value: (m: Model) => m.probe[layer].factor, format: compact },
      { key: `${layer}-g`, label: '= *g*', value: (m: Model) => m.probe[layer].g, format: compact },
      { key: `${layer}-worst`, label: { en: 'worst jitter', zh: '最大抖动' }, value: (m: Model) => m.worst[layer], format: compact },
    ],
  })),
  note: {
    en: 'Cards: the gradient at the probe, factor by factor. First cut, red to purple: one step instead of the chain. Second cut, purple to cyan: *J* becomes 1. Both axes are compressed. Worst jitter: the largest change of *g* when *a*_t moves by at most 0.02, over the middle 99.5 % of the noisy actions (outside it is shaded). This is an exact flow, with peaks of standard deviation 0.25: its *J* is smooth, so nothing here shows how rough the *J* of a trained network is; the next demo does.',
    zh: '卡片：探针处的梯度，逐个因子列出。第一刀，由红到紫：一步代替整条链。第二刀，由紫到青：*J* 换成 1。两个纵轴都压缩过。最大抖动：*a*_t 移动不超过 0.02 时 *g* 的最大变化，取遍带噪动作中间的 99.5%（以外涂灰）。这里的流是精确的，峰的标准差为 0.25，*J* 本身是光滑的；训练出来的网络，*J* 有多粗糙，这里看不出来，要看下一个演示。',
  },
  draw({ model, pens: { factors, gradients } }) {
    for (const pen of [factors, gradients]) {
      pen.rect([-Infinity, -Infinity], [model.range[0], Infinity], { role: 'data', alpha: 0.14 });
      pen.rect([model.range[1], -Infinity], [Infinity, Infinity], { role: 'data', alpha: 0.14 });
      for (const at of model.watersheds) pen.vertical(at, { role: 'muted', dash: [2, 4] });
      pen.vertical(model.a, { role: 'ood', width: 1, dash: [] });
    }
    gradients.horizontal(0, { role: 'muted', width: 1, dash: [] });
    model.whole.forEach((layer, i) => {
      const alpha = i === model.whole.length - 1 && !model.turning ? 1 : 0.45;
      factors.line(model.factor[layer], { role: layer, alpha });
      gradients.line(model.g[layer], { role: layer, alpha });
    });
    if (model.turning) {
      factors.line(model.turning.factor, { role: model.turning.role });
      gradients.line(model.turning.g, { role: model.turning.role });
    }
    for (const layer of model.whole) {
      factors.dots([[model.a, model.probe[layer].factor]], { role: layer, size: 60 });
      gradients.dots([[model.a, model.probe[layer].g]], { role: layer, size: 60 });
    }
  },
});
