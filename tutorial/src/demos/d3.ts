import { exact } from '../core/flow';
import { funnel } from '../core/funnel';
import { memo } from '../core/memo';
import { linspace, type Point } from '../core/vector';
import { world } from '../core/world';
import { zones, type Zone } from '../core/zones';
import { defineDemo, sweep } from '../ui/demo';
import type { Text } from '../ui/i18n';
import { number, percent, type State } from '../ui/params';

const { mixture } = world('gradients');
const DOMAIN: Point = [-3.2, 3.2];
const density = (a: number): number => Math.exp(mixture.logProb([a], 1));
const samples = linspace(...DOMAIN, 321);
const HIGHEST = Math.max(...samples.map(density));
/** Below this share of the highest density, the critic has seen next to nothing. */
export const LOW = 0.1;
const { near, of: zoneOf } = zones(density, LOW * HIGHEST, -4, 4);
const gaps = near.slice(1).map(([start], i): Point => [near[i]![1], start]);

/** The strip of p_1 above the plane: from t = 1.06 up. */
const FLOOR = 1.06;
const CEILING = 1.5;
const raised = (a: number): Point => [a, FLOOR + ((CEILING - FLOOR) * density(a)) / HIGHEST];
const strip = samples.map(raised);

/** The look of the flow, computed when first seen: where a_t is likely, and some unguided paths. */
const look = memo(() => ({
  funnel: funnel(mixture, DOMAIN),
  streams: [-1.9, -1.2, -0.8, -0.55, -0.3, 0, 0.3, 0.55, 0.8, 1.2, 1.9].map((a0) =>
    linspace(0, 1, 25).map((s): Point => [mixture.quantileOf(a0, 0, s), s]),
  ),
}));

/** In the picture. */
const SIGNS: Record<Exclude<Zone, 'near'>, Text> = {
  gap: { en: 'few data', zh: '数据稀少' },
  outside: { en: 'no data', zh: '没有数据' },
};
/** Beside 'data nearby'. */
const BADGES: Record<Zone, Text> = {
  near: { en: 'many', zh: '有' },
  gap: { en: 'few', zh: '稀少' },
  outside: { en: 'none', zh: '没有' },
};

const params = {
  t: number({ label: { en: 'Time *t*', zh: '时间 *t*' }, value: 0.25, min: 0, max: 1, step: 0.01 }),
  a: number({ label: { en: 'Noisy action *a*_t', zh: '带噪动作 *a*_t' }, value: -0.6, min: -2.5, max: 2.5, step: 0.01 }),
};

/** A place where Q may be asked, and what the data say about it. */
const place = (a: number) => ({ a, on: raised(a), density: density(a) / HIGHEST, zone: zoneOf(a) });

/** Where the endpoint's name does not cover the other two markers. */
function nameAt(end: number, noisy: number, clean: number): { align: 'left' | 'right' | 'center'; dx: number; dy: number } {
  if (end <= Math.min(noisy, clean)) return { align: 'right', dx: -10, dy: 4 };
  if (end >= Math.max(noisy, clean)) return { align: 'left', dx: 10, dy: 4 };
  return { align: 'center', dx: 0, dy: Math.abs(end - clean) > 0.35 ? -13 : 23 };
}

function compute({ t, a }: State<typeof params>) {
  const here: Point = [a, t];
  const noisy = place(a);
  const clean = place(mixture.clean([a], t)[0]!);
  const end = place(exact(mixture, [a], t).end[0]!);
  const all = [noisy.a, clean.a, end.a];
  return {
    ...look(),
    here,
    noisy,
    clean,
    end,
    path: linspace(t, 1, 40).map((s): Point => [mixture.quantileOf(a, t, s), s]),
    endName: nameAt(end.a, noisy.a, clean.a),
    apart: Math.max(...all) - Math.min(...all),
  };
}
type Model = ReturnType<typeof compute>;
type Asked = 'noisy' | 'clean' | 'end';

const card = (role: 'ood' | 'qgf' | 'jacobian', which: Asked, label: Text) => ({
  role,
  label,
  items: [
    { key: which, label: { en: 'at', zh: '位置' }, value: (m: Model) => m[which].a },
    { key: `${which}-density`, label: { en: 'density', zh: '密度' }, value: (m: Model) => m[which].density, format: percent },
    { key: `${which}-zone`, label: { en: 'data nearby', zh: '附近的数据' }, value: (m: Model) => BADGES[m[which].zone] },
  ],
});

export default defineDemo({
  id: 'd3',
  title: { en: 'Where is Q asked?', zh: '在哪里问 Q？' },
  params,
  compute,
  film: sweep('t', [0, 1], 6),
  stages: {
    plane: {
      label: {
        en: 'Actions across, time upwards, the density of the data on top. From the noisy action, a vertical line, a slanted jump to the one-step estimate, and a curved path to the endpoint.',
        zh: '横轴是动作，纵轴是时间，顶上是数据的密度。从带噪动作出发：一条竖线，一条斜向一步估计的跳线，一条弯到终点的路径。',
      },
      x: { domain: DOMAIN, ticks: [-3, -2, -1, 0, 1, 2, 3], label: { en: 'action *a*', zh: '动作 *a*' } },
      y: { domain: [-0.07, CEILING + 0.2], ticks: [0, 0.25, 0.5, 0.75, 1], label: { en: 'time *t*', zh: '时间 *t*' } },
      ratio: 1.85,
      narrow: 0.85,
    },
  },
  marks: {
    clean: { stage: 'plane', at: ({ clean }) => clean.on },
    end: { stage: 'plane', at: ({ end }) => end.on },
  },
  handles: [
    { stage: 'plane', label: { en: 'Noisy action', zh: '带噪动作' }, role: 'ood', x: 'a', at: ({ here }) => here },
    { stage: 'plane', label: { en: 'Time', zh: '时间' }, role: 'muted', y: 't', at: ({ here }) => [DOMAIN[1] - 0.2, here[1]] },
  ],
  readouts: [
    card('ood', 'noisy', { en: 'noisy *a*_t', zh: '带噪动作 *a*_t' }),
    card('qgf', 'clean', { en: 'one-step estimate *â*_1', zh: '一步估计 *â*_1' }),
    card('jacobian', 'end', { en: 'end ODE_t(*a*_t)', zh: '终点 ODE_t(*a*_t)' }),
  ],
  note: {
    en: 'Top: the density *p*_1 of the data, three peaks of standard deviation 0.25. Shaded: below 10 % of the highest density, lightly between the data, strongly beyond them; densities below are shares of the highest. Grey paths: the unguided flow. The cyan jump keeps the velocity at *a*_t, so it leaves along the purple path.',
    zh: '顶上：数据的密度 *p*_1，三个标准差 0.25 的峰。涂色：不到最高密度的 10 %，浅色在数据之间，深色在数据之外；下面的密度都是与最高处之比。灰线：无引导的流。青色跳线保持 *a*_t 处的速度不变，所以起步时与紫色路径同向。',
  },
  draw({ model, pens: { plane } }) {
    const { here, noisy, clean, end } = model;
    plane.field(model.funnel, { role: 'data', levels: 7, alpha: 0.05, lines: 0 });
    plane.lines(model.streams, { role: 'muted', alpha: 0.3, width: 1 });
    for (const [from, to] of gaps) plane.rect([from, FLOOR], [to, Infinity], { role: 'ink', alpha: 0.06 });
    plane.rect([-Infinity, FLOOR], [near[0]![0], Infinity], { role: 'ink', alpha: 0.16 });
    plane.rect([near.at(-1)![1], FLOOR], [Infinity, Infinity], { role: 'ink', alpha: 0.16 });
    plane.area(strip, { role: 'data', alpha: 0.45, base: FLOOR });
    plane.line(strip, { role: 'data', width: 1.25 });
    plane.horizontal(1, { role: 'muted', width: 1, dash: [] });
    plane.horizontal(here[1], { role: 'muted', width: 1, dash: [2, 4], alpha: 0.8 });

    plane.line([here, [noisy.a, 1], noisy.on], { role: 'ood' });
    plane.line(model.path, { role: 'jacobian', width: 2 });
    plane.line([[end.a, 1], end.on], { role: 'jacobian', width: 2 });
    plane.line([here, [clean.a, 1], clean.on], { role: 'qgf', dash: [5, 4] });
    plane.text([-2, raised(-2)[1]], '*p*_1', { role: 'muted', align: 'center', dy: -9 });
    const [gap] = gaps;
    plane.text([(gap![0] + gap![1]) / 2, CEILING + 0.2], SIGNS.gap, { role: 'muted', align: 'center', dy: 18, size: 12 });
    plane.text([(near.at(-1)![1] + DOMAIN[1]) / 2, CEILING + 0.2], SIGNS.outside, { role: 'muted', align: 'center', dy: 18, size: 12 });
    plane.text(here, '*a*_t', { role: 'ood', dx: 17, dy: 18 });
    plane.text([DOMAIN[1] - 0.2, here[1]], '*t*', { role: 'muted', align: 'center', dy: -19 });
    plane.text(clean.on, '*â*_1', { role: 'qgf', align: 'center', dy: -14 });
    plane.text(end.on, 'ODE_t', { role: 'jacobian', ...model.endName });
    plane.dots([noisy.on], { role: 'ood', size: 90 });
    plane.dots([end.on], { role: 'jacobian', size: 90 });
    plane.dots([clean.on], { role: 'qgf', size: 110 });
  },
});
