import { dataRange, gradient, gradientCurve, watersheds } from '../core/curves';
import { jitterAt, worstJitter } from '../core/jitter';
import { memo } from '../core/memo';
import type { Point } from '../core/vector';
import { world } from '../core/world';
import { defineDemo, sweep } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import { compact, number, type State } from '../ui/params';

const GUIDES = ['bptt', 'ood', 'qgf'] as const;
type Shown = (typeof GUIDES)[number];

const wide = world('gradients');

const each = <T>(f: (guide: Shown) => T): Record<Shown, T> => ({ bptt: f('bptt'), ood: f('ood'), qgf: f('qgf') });

const curvesAt = memo((t: number) => each((guide) => gradientCurve(wide, guide, t)));

/** The highest point of |g| within reach of a watershed. */
const spike = (curve: readonly Point[], at: number): Point =>
  curve.filter(([a]) => Math.abs(a - at) < 0.05).reduce((best, p) => (Math.abs(p[1]) > Math.abs(best[1]) ? p : best), [at, 0]);

const params = {
  t: number({ label: { en: 'Time *t*', zh: '时间 *t*' }, value: 0.25, min: 0, max: 1, step: 0.01 }),
  a: number({ label: { en: 'Probe *a*_t', zh: '探针 *a*_t' }, value: -0.36, min: -2.5, max: 2.5, step: 0.005, slider: false }),
  eps: number({ label: { en: 'Nudge ±*ε*', zh: '微扰 ±*ε*' }, value: 0.02, min: 0.005, max: 0.2, step: 0.005 }),
};

function compute({ t, a, eps }: State<typeof params>) {
  const curves = curvesAt(t);
  const probes = each((guide): Point => [a, gradient(wide, guide, a, t)]);
  const around = (guide: Shown): Point[] =>
    [a - eps, a + eps].map((nudged) => [nudged, gradient(wide, guide, nudged, t)]);
  const sheds = watersheds(wide, t);
  return {
    curves,
    range: dataRange(wide, t),
    watersheds: sheds,
    spikes: sheds.map((at) => spike(curves.bptt, at)),
    probes,
    jitter: each((guide) => Math.max(jitterAt(curves[guide], probes[guide], eps), jitterAt(around(guide), probes[guide], 2 * eps))),
    worst: each((guide) => worstJitter(curves[guide], eps)),
    window: [a - eps, a + eps] as Point,
  };
}
type Model = ReturnType<typeof compute>;

export default defineDemo({
  id: 'd6',
  title: { en: 'The guidance gradient, and how it jumps', zh: '引导梯度，以及它怎样跳' },
  params,
  compute,
  film: sweep('a', [-2.5, 2.5], 10, 100),
  stages: {
    gradients: {
      label: {
        en: 'Guidance gradient against the noisy action: QGF and OOD are smooth, BPTT has a spike at each watershed.',
        zh: '引导梯度随带噪动作的变化：QGF 与 OOD 平滑，BPTT 在每个分水岭处有一根尖刺。',
      },
      x: { domain: [-2.6, 2.6], label: { en: 'noisy action *a*_t', zh: '带噪动作 *a*_t' } },
      y: {
        domain: [-20, 12000],
        symlog: 1,
        ticks: [-10, -1, 0, 1, 10, 100, 1000, 10000],
        label: { en: 'gradient *g* (compressed axis)', zh: '梯度 *g*（压缩轴）' },
      },
      ratio: 2.1,
      narrow: 1.05,
    },
  },
  marks: {
    left: { stage: 'gradients', at: ({ spikes }) => spikes[0] },
    right: { stage: 'gradients', at: ({ spikes }) => spikes[1] },
  },
  handles: [
    { stage: 'gradients', label: { en: 'Probe: the noisy action', zh: '探针：带噪动作' }, role: 'ood', x: 'a', at: ({ probes }) => [probes.ood[0], -12] },
  ],
  notes: [0, 1].map((i) => ({
    key: `spike${i + 1}`,
    stage: 'gradients' as const,
    role: 'bptt' as const,
    label: '',
    at: ({ spikes }: Model) => [spikes[i]![0], Math.max(spikes[i]![1], 0) * 1.6 + 0.6] as const,
    value: ({ spikes }: Model) => spikes[i]![1],
    format: compact,
  })),
  readouts: GUIDES.map((guide) => ({
    role: guide,
    label: GUIDE_NAMES[guide],
    items: [
      { key: `${guide}-g`, label: { en: '*g* at the probe', zh: '探针处的 *g*' }, value: (m: Model) => m.probes[guide][1], format: compact },
      { key: `${guide}-jitter`, label: { en: 'jitter there', zh: '此处抖动' }, value: (m: Model) => m.jitter[guide], format: compact },
      { key: `${guide}-worst`, label: { en: 'worst jitter', zh: '最大抖动' }, value: (m: Model) => m.worst[guide], format: compact },
    ],
  })),
  note: {
    en: 'Jitter: the largest change of *g* when *a*_t moves by at most *ε*; worst: over the middle 99.5 % of the noisy actions (outside it is shaded). Dotted: the watersheds. Exact flow, peaks of standard deviation 0.25; BPTT is sampled evenly in its endpoint, so that no spike falls between two points.',
    zh: '抖动：*a*_t 移动不超过 *ε* 时 *g* 的最大变化；最大抖动：取遍带噪动作中间的 99.5%（以外涂灰）。点线：分水岭。流是精确的，峰的标准差为 0.25；BPTT 按终点等距取样，尖刺不会从两点之间漏掉。',
  },
  draw({ model, pens: { gradients: pen } }) {
    pen.rect([-Infinity, -Infinity], [model.range[0], Infinity], { role: 'data', alpha: 0.14 });
    pen.rect([model.range[1], -Infinity], [Infinity, Infinity], { role: 'data', alpha: 0.14 });
    pen.rect([model.window[0], -Infinity], [model.window[1], Infinity], { role: 'ood', alpha: 0.16 });
    pen.horizontal(0, { role: 'muted', width: 1, dash: [] });
    for (const at of model.watersheds) pen.vertical(at, { role: 'muted', dash: [2, 4] });
    for (const guide of GUIDES) pen.line(model.curves[guide], { role: guide });
    for (const guide of GUIDES) pen.dots([model.probes[guide]], { role: guide, size: 60 });
  },
});
