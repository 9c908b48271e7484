import { memo } from '../core/memo';
import { Cloud } from '../core/rain';
import { linspace, type Point } from '../core/vector';
import { bumpy, world } from '../core/world';
import { defineDemo, sweep } from '../ui/demo';
import type { Text } from '../ui/i18n';
import { compact, number, type State } from '../ui/params';
import type { Role } from '../ui/roles';

const wide = world('gradients');
const { mixture } = wide;
/** The critic without its bump: the true return. */
const critic = bumpy(wide.best, { ...wide.bump, height: 0 });
const DOMAIN: Point = [-3, 2.6];
const samples = linspace(...DOMAIN, 561);
const CELL = samples[1]! - samples[0]!;
const scores = samples.map((a) => critic.value([a]));
const reference = samples.map((a) => Math.exp(mixture.logProb([a], 1)));

/** p_1 exp(Q / beta) / Z on the samples, its mean Q, and its divergence from p_1. */
const tilted = (beta: number) => {
  const raw = reference.map((p, i) => p * Math.exp(scores[i]! / beta));
  const Z = raw.reduce((sum, p) => sum + p, 0) * CELL;
  const density = raw.map((p) => p / Z);
  const q = density.reduce((sum, p, i) => sum + p * scores[i]!, 0) * CELL;
  return { density, q, kl: q / beta - Math.log(Z), logZ: Math.log(Z) };
};

const COUNT = 300;
const cloud = new Cloud(wide);
const starts = linspace(0.5 / COUNT, 1 - 0.5 / COUNT, COUNT).map((u) => mixture.quantile(u, 0));

/** What QGF with constant weight w = 1 / beta samples: particles keep their order, so their density is one over their gaps. */
const sampled = memo((w: number) => {
  const { paths, n } = cloud.run('qgf', w, starts, (x) => 2 * (wide.best - x));
  const ends = Array.from({ length: n }, (_, i) => paths[i * (cloud.steps + 1) + cloud.steps]!);
  const density = ends.map((end, i): Point => [end, (i > 0 && i < n - 1 ? 2 : 1) / n / Math.max(ends[Math.min(i + 1, n - 1)]! - ends[Math.max(i - 1, 0)]!, 1e-9)]);
  const q = ends.reduce((sum, a) => sum + critic.value([a]), 0) / n;
  const kl = density.reduce((sum, [a, p]) => sum + Math.log(p) - mixture.logProb([a], 1), 0) / n;
  return { density, q, kl, ends };
});

const plain = tilted(1e9);

const params = {
  logBeta: number({ label: { en: 'Price *β*', zh: '单价 *β*' }, value: 0, min: -0.6, max: 1, step: 0.02, show: (x) => compact(10 ** x) }),
};

function compute({ logBeta }: State<typeof params>) {
  const beta = 10 ** logBeta;
  const [exact, constant] = [tilted(beta), sampled(1 / beta)];
  const curve = (density: readonly number[]) => samples.map((a, i): Point => [a, density[i]!]);
  return {
    beta,
    w: 1 / beta,
    reference: curve(reference),
    exact: { ...exact, density: curve(exact.density) },
    constant,
    plain: { q: plain.q, kl: 0 },
    objective: (one: { q: number; kl: number }) => one.q - beta * one.kl,
    identity: beta * exact.logZ,
    score: curve(scores.map((score) => TOP + score / 12)),
  };
}
/** Q is drawn hanging from here. */
const TOP = 2.05;
type Model = ReturnType<typeof compute>;
type Which = 'plain' | 'exact' | 'constant';
const ROWS: readonly (readonly [Which, Role, Text])[] = [
  ['plain', 'none', { en: 'the data', zh: '数据' }],
  ['exact', 'critic', { en: 'tilted', zh: '加权后' }],
  ['constant', 'qgf', { en: 'constant *w*', zh: '常数 *w*' }],
];

const card = (which: Which, role: Role, label: Text) => ({
  role,
  label,
  items: [
    { key: `${which}-q`, label: { en: 'mean *Q*', zh: '*Q* 的均值' }, value: (m: Model) => m[which].q },
    { key: `${which}-kl`, label: { en: 'KL from the data', zh: '离数据的 KL' }, value: (m: Model) => m[which].kl },
    { key: `${which}-objective`, label: { en: 'objective', zh: '目标值' }, value: (m: Model) => m.objective(m[which]) },
  ],
});

export default defineDemo({
  id: 'd14',
  title: { en: 'Pinch the density by Q', zh: '按 Q 的高低捏密度' },
  params,
  compute,
  film: sweep('logBeta', [1, -0.6], 6),
  stages: {
    densities: {
      label: {
        en: 'The density of the data, three peaks; the same tilted by exp(Q / beta), which grows around the best action as beta falls; and what the flow with a constant weight samples.',
        zh: '数据的密度，有三个峰；按 exp(Q / beta) 重新加权后，beta 越小越集中到最好的动作附近；以及用常数权重的流采到的密度。',
      },
      x: { domain: DOMAIN, ticks: [-3, -2, -1, 0, 1, 2], label: { en: 'action *a*', zh: '动作 *a*' } },
      y: { domain: [0, 2.1], ticks: [0, 0.5, 1, 1.5, 2], label: { en: 'density', zh: '密度' } },
      ratio: 2.5,
      narrow: 1.25,
    },
    bars: {
      title: { en: 'What is gained, and what it costs', zh: '得了多少，付了多少' },
      label: { en: 'Bars: to the left the mean Q, to the right the divergence from the data.', zh: '横条：向左是 Q 的均值，向右是离数据的散度。' },
      x: { domain: [-3.9, 3.9], ticks: [-3, -2, -1, 0, 1, 2, 3], label: { en: '← mean *Q*, below 0 · KL from the data →', zh: '← *Q* 的均值（小于 0） · 离数据的 KL →' } },
      y: { domain: [0, 3], hidden: true },
      ratio: 6,
      narrow: 2.6,
    },
  },
  readouts: [
    { items: [{ key: 'w', label: '*w* = 1/*β*', value: (m) => m.w }, { key: 'identity', label: '*β* log *Z*', value: (m) => m.identity }] },
    ...ROWS.map(([which, role, label]) => card(which, role, label)),
  ],
  note: {
    en: 'Grey: the density of the data. Blue: the same times exp(*Q*/*β*), normalised, with *Q*(*a*) = −(*a* − 1)² hanging from above. Cyan: what QGF samples with the constant weight *w* = 1/*β* in 50 steps; its peak may run out of the picture. The objective is mean *Q* − *β* KL; for the tilted density it is *β* log *Z*, and no density reaches more.',
    zh: '灰：数据的密度。蓝：乘上 exp(*Q*/*β*) 再归一化，其中 *Q*(*a*) = −(*a* − 1)²，画在上方。青：QGF 取常数权重 *w* = 1/*β*，走 50 步采到的密度，峰可能伸出图外。目标值是 *Q* 的均值减去 *β* 乘 KL；加权后的密度恰好取到 *β* log *Z*，别的密度都到不了。',
  },
  draw({ model, pens: { densities, bars } }) {
    densities.area(model.reference, { role: 'data', alpha: 0.4 });
    densities.line(model.score, { role: 'critic', width: 1, dash: [2, 3] });
    densities.text([-0.55, TOP - 0.2], '*Q*', { role: 'critic', dy: 4 });
    densities.area(model.exact.density, { role: 'critic', alpha: 0.22 });
    densities.line(model.exact.density, { role: 'critic' });
    densities.line(model.constant.density, { role: 'qgf' });

    bars.vertical(0, { role: 'muted', width: 1, dash: [] });
    ROWS.forEach(([which, role, name], i) => {
      const y = 2 - i;
      bars.rect([model[which].q, y + 0.18], [0, y + 0.82], { role, alpha: 0.75 });
      bars.rect([0, y + 0.18], [model[which].kl, y + 0.82], { role, alpha: 0.4 });
      bars.text([which === 'plain' ? 0.08 : -3.8, y + 0.5], name, { role, dy: 4, size: 12 });
    });
  },
});
