import { dataRange, ends as exactEnds } from '../core/curves';
import { rollout } from '../core/flow';
import { hermite, type Knot } from '../core/hermite';
import { memo } from '../core/memo';
import { linspace, type Point } from '../core/vector';
import { world } from '../core/world';
import { defineDemo } from '../ui/demo';
import { choice, compact, fixed, number, playhead, type State } from '../ui/params';

const WORLDS = { wide: world('gradients'), narrow: world('landing') };
type Width = keyof typeof WORLDS;
/** A start this close to a watershed of the chain is put on it. */
const MAGNET = 0.006;
const REACH = 2.5;
/** Half the width of the lower picture when it is zoomed. */
const ZOOM = 0.1;
/** Beyond this amplification neighbouring floating-point starts end at different peaks. */
const LIMIT = 1e14;
/** Distances from a watershed at which its spike is sampled. */
const CLOSE = linspace(-8, -0.6, 36).map((exponent) => 10 ** exponent);

/** Where the plateau of width epsilon ends, in epsilons. */
const EDGES = [-0.6, -0.55, -0.52, -0.5, -0.48, -0.45, -0.4, 0.4, 0.45, 0.48, 0.5, 0.52, 0.55, 0.6];

const peaksOf = (width: Width): number[] => WORLDS[width].mixture.means.map(([mu]) => mu!);

/** Everything about a chain of n steps that does not depend on where the reader starts it. */
const chainOf = memo((width: Width, n: number) => {
  const { mixture } = WORLDS[width];
  const run = (a: number) => mixture.eulerChain(a, 0, 1 / n, n);
  const peaks = peaksOf(width);
  /** The start that ends halfway between two peaks. */
  const sheds = peaks.slice(1).map((peak, k) => {
    const middle = (peak + peaks[k]!) / 2;
    let [low, high] = [-1, 1];
    for (let i = 0; i < 60; i++) {
      const a = (low + high) / 2;
      if (run(a).end < middle) low = a;
      else high = a;
    }
    return { at: low, amplification: run(low).derivative };
  });
  const starts = [
    ...linspace(-REACH - 0.2, REACH + 0.2, 136),
    ...sheds.flatMap(({ at }) => [at, ...CLOSE.flatMap((d) => [at - d, at + d]), ...linspace(at - 1.3 * ZOOM, at + 1.3 * ZOOM, 40)]),
  ].sort((a, b) => a - b);
  const knots = starts.map((x): Knot => {
    const { end, derivative } = run(x);
    return { x, y: end, slope: derivative };
  });
  const every = Math.max(1, Math.round(n / 50));
  const path = (a: number): Point[] =>
    rollout(mixture, [a], 0, n).filter((_, k) => k % every === 0 || k === n).map(({ a, t }) => [a[0]!, t]);
  return {
    run,
    path,
    sheds,
    starts,
    end: hermite(knots),
    amplification: knots.map(({ x, slope }): Point => [x, slope]),
    fan: linspace(0.02, 0.98, 33).map((u) => path(mixture.quantile(u, 0))),
  };
});

/** The exact flow. */
const exactOf = memo((width: Width) => {
  const { mixture } = WORLDS[width];
  const peaks = peaksOf(width);
  const tail = (from: number, to: number) => linspace(from, to, 12).map((a): Point => [a, mixture.odeDerivative(a, 0)]);
  const [low, high] = dataRange(WORLDS[width], 0);
  const top = Math.max(...peaks.map((mu) => mixture.logProb([mu], 1)));
  return {
    amplification: [...tail(-REACH, low), ...exactEnds(WORLDS[width], 0).map(({ a, factor }): Point => [a, factor]), ...tail(high, REACH)],
    sheds: peaks.slice(1).map((peak, k) => {
      const middle = (peak + peaks[k]!) / 2;
      const at = mixture.quantileOf(middle, 1, 0);
      return { at, amplification: Math.exp(mixture.logProb([at], 0) - mixture.logProb([middle], 1)) };
    }),
    /** The two densities, as hills below the start and above the end. */
    noise: linspace(-2.7, 2.7, 120).map((a): Point => [a, -0.14 * Math.exp(-a * a / 2)]),
    data: linspace(-2.7, 2.7, 541).map((a): Point => [a, 1 + 0.14 * Math.exp(mixture.logProb([a], 1) - top)]),
  };
});

const SUPERSCRIPT = '⁰¹²³⁴⁵⁶⁷⁸⁹';
const raised = (exponent: number): string => fixed(0)(exponent).replace('−', '⁻').replace(/\d/g, (d) => SUPERSCRIPT[Number(d)]!);
/** Plain as long as that is easy to read, then with a power of ten. */
const power = (value: number): string => {
  if (value === 0 || (value >= 0.001 && value < 99_999.5)) return compact(value);
  const exponent = Math.floor(Math.log10(value) + 1e-9);
  const digits = fixed(1)(value / 10 ** exponent).replace(/\.0$/, '');
  return `${digits === '1' ? '' : `${digits} × `}10${raised(exponent)}`;
};
const resolved = (value: number): string => (value > LIMIT ? `> ${power(LIMIT)}` : power(value));

const params = {
  logEps: number({ label: { en: 'Distance *ε*', zh: '间距 *ε*' }, value: -1, min: -8, max: -0.5, step: 0.25, show: (exponent) => power(10 ** exponent) }),
  width: choice({ label: { en: 'Width of the peaks', zh: '峰的宽度' }, value: 'wide', options: { wide: '0.25', narrow: '0.04' } }),
  view: choice({
    label: { en: 'Zoom', zh: '镜头' },
    value: 'all',
    options: { all: { en: 'all', zh: '全部' }, left: { en: 'left watershed', zh: '左分水岭' }, right: { en: 'right watershed', zh: '右分水岭' } },
  }),
  steps: choice({ label: { en: 'Steps *N*', zh: '步数 *N*' }, value: '50', options: { 10: '10', 20: '20', 50: '50', 100: '100', 200: '200', 400: '400' } }),
  a: number({ label: { en: 'Start *a*_0', zh: '起点 *a*_0' }, value: -0.442, min: -REACH, max: REACH, step: 0.002, slider: false }),
  time: playhead({ value: 1, seconds: 5, steps: 50 }),
};

/** A path up to a time. */
const risen = (path: readonly Point[], time: number): Point[] => {
  const k = path.findIndex(([, t]) => t > time);
  if (k < 1) return k < 0 ? [...path] : path.slice(0, 1);
  const [[a0, t0], [a1, t1]] = [path[k - 1]!, path[k]!];
  return [...path.slice(0, k), [a0 + ((time - t0) / (t1 - t0)) * (a1 - a0), time]];
};

function compute({ width, steps, logEps, a, view, time }: State<typeof params>) {
  const [chain, exact] = [chainOf(width, Number(steps)), exactOf(width)];
  const eps = 10 ** logEps;
  const near = chain.sheds.find(({ at }) => Math.abs(at - a) < MAGNET);
  const start = near ? near.at : a;
  const pair = [start - eps / 2, start + eps / 2];
  const ends = pair.map((one) => chain.run(one).end) as [number, number];
  const peaks = peaksOf(width);
  const nearest = Math.abs(start - chain.sheds[0]!.at) < Math.abs(start - chain.sheds[1]!.at) ? 0 : 1;
  const domain: Point = view === 'all' ? [-REACH, REACH] : [exact.sheds[view === 'left' ? 0 : 1]!.at - ZOOM, exact.sheds[view === 'left' ? 0 : 1]!.at + ZOOM];
  return {
    domain,
    start,
    handle: Math.min(Math.max(start, domain[0]), domain[1]),
    paths: pair.map((one) => risen(chain.path(one), time)),
    borders: chain.sheds.map(({ at }) => chain.path(at)),
    ends,
    apart: ends[1] - ends[0],
    ratio: (ends[1] - ends[0]) / (pair[1]! - pair[0]!),
    /** Two ends cannot be much farther apart than two peaks. */
    ceiling: (peaks[nearest + 1]! - peaks[nearest]!) / eps,
    chain: { here: chain.run(start).derivative, sheds: chain.sheds, amplification: chain.amplification, fan: chain.fan },
    exact: { ...exact, here: WORLDS[width].mixture.odeDerivative(start, 0) },
    ratios: [...chain.starts, ...chain.sheds.flatMap(({ at }) => EDGES.map((edge) => at + edge * eps))]
      .sort((p, q) => p - q)
      .map((x): Point => [x, (chain.end(x + eps / 2) - chain.end(x - eps / 2)) / eps]),
  };
}
const TOP = 10_000;
const toWatershed = (k: number) => ({ width, steps }: { width: Width; steps: string }) => ({ a: chainOf(width, Number(steps)).sheds[k]!.at });

export default defineDemo({
  id: 'd8',
  title: { en: 'A chain of Jacobians on a watershed', zh: '分水岭上的一串雅可比' },
  params,
  compute,
  stages: {
    paths: {
      title: { en: 'Two unguided paths, from noise (below) to action (above)', zh: '两条无引导的路径，由下方的噪声到上方的动作' },
      label: {
        en: 'Paths from noise at the bottom to three peaks at the top; two paths that start close together are drawn strongly.',
        zh: '路径从底部的噪声流向顶部的三个峰；两条起点相近的路径画得更醒目。',
      },
      x: { domain: [-REACH, REACH] },
      y: { domain: [-0.16, 1.16], ticks: [0, 0.5, 1], label: { en: 'time *t*', zh: '时间 *t*' } },
      ratio: 2.6,
      narrow: 1.25,
    },
    amplification: {
      title: { en: 'How much farther apart they end, for every start', zh: '对每个起点：终点拉开了多少倍' },
      label: {
        en: 'Amplification against the start: spikes at the watersheds; with a finite distance a plateau in place of the spike.',
        zh: '放大倍数随起点的变化：分水岭处有尖刺；间距有限时，尖刺变成一块平台。',
      },
      x: { domain: ({ domain }) => domain, label: { en: 'start *a*_0', zh: '起点 *a*_0' } },
      y: { domain: [0, TOP], symlog: 0.1, ticks: [0, 1, 10, 100, 1000, 10000], label: { en: 'amplification', zh: '放大倍数' } },
      ratio: 2.9,
      narrow: 1.15,
    },
  },
  marks: {
    left: { stage: 'amplification', at: ({ chain }) => [chain.sheds[0]!.at, Math.min(chain.sheds[0]!.amplification, TOP)] },
  },
  handles: [
    { stage: 'paths', label: { en: 'Start of the two paths', zh: '两条路径的起点' }, role: 'ood', x: 'a', at: ({ start }) => [start, 0] },
    { stage: 'amplification', label: { en: 'Start of the two paths', zh: '两条路径的起点' }, role: 'ood', x: 'a', at: ({ handle }) => [handle, 0.03] },
  ],
  readouts: [
    {
      role: 'ood',
      label: { en: 'Two paths', zh: '两条路径' },
      items: [
        { key: 'start', label: { en: 'start', zh: '起点' }, value: (m) => m.start, format: fixed(4) },
        { key: 'apart', label: { en: 'ends apart', zh: '终点间距' }, value: (m) => m.apart, format: power },
        { key: 'ratio', label: { en: 'ratio to *ε*', zh: '与 *ε* 之比' }, value: (m) => m.ratio, format: power },
        { key: 'ceiling', label: { en: 'peaks’ gap / *ε*', zh: '两峰间距 / *ε*' }, value: (m) => m.ceiling, format: power },
      ],
    },
    {
      role: 'bptt',
      label: { en: 'Chain, ∏(1 + Δ*t* *v*′)', zh: '链，∏(1 + Δ*t* *v*′)' },
      items: [
        { key: 'chain-here', label: { en: 'at the start', zh: '在起点' }, value: (m) => m.chain.here, format: resolved },
        { key: 'chain-left', label: { en: 'left watershed', zh: '左分水岭' }, value: (m) => m.chain.sheds[0]!.amplification, format: resolved },
        { key: 'chain-right', label: { en: 'right watershed', zh: '右分水岭' }, value: (m) => m.chain.sheds[1]!.amplification, format: resolved },
      ],
    },
    {
      role: 'jacobian',
      label: { en: 'Exact, *p*_0 / *p*_1', zh: '精确值，*p*_0 / *p*_1' },
      items: [
        { key: 'exact-here', label: { en: 'at the start', zh: '在起点' }, value: (m) => m.exact.here, format: power },
        { key: 'exact-left', label: { en: 'left watershed', zh: '左分水岭' }, value: (m) => m.exact.sheds[0]!.amplification, format: power },
        { key: 'exact-right', label: { en: 'right watershed', zh: '右分水岭' }, value: (m) => m.exact.sheds[1]!.amplification, format: power },
      ],
    },
  ],
  actions: [
    { label: { en: 'Left watershed', zh: '到左分水岭' }, run: toWatershed(0) },
    { label: { en: 'Right watershed', zh: '到右分水岭' }, run: toWatershed(1) },
  ],
  note: {
    en: 'Orange: two starts *ε* apart, *a*_0 ± *ε*/2, and the ratio of their distances; at the left watershed it stops near 2/*ε* when the peaks are narrow and clearly below when they are wide. Red: its limit for *ε* → 0, the product along the chain. Purple: the exact flow. Each chain has its own watersheds, where a start ends halfway between two peaks; a start closer than 0.006 is put on it. Dotted: the paths from there. Compressed axis; what is higher than 10,000 runs out of the picture. Beyond 10¹⁴ the next floating-point start ends at another peak, so the product is not resolved.',
    zh: '橙：相距 *ε* 的两个起点 *a*_0 ± *ε*/2，以及终点间距与它的比；在左分水岭，峰窄时这个比停在 2/*ε* 附近，峰宽时明显更低。红：*ε* → 0 时的极限，即沿链的乘积。紫：精确流。每条链有自己的分水岭，从那里出发，终点正好在两峰中间；起点离它不到 0.006，就放到它上面。点线：从分水岭出发的路径。纵轴压缩过，高过 10,000 的伸出图外。超过 10¹⁴ 时，下一个浮点数起点已落到另一个峰，乘积无法分辨。',
  },
  draw({ model, pens: { paths, amplification } }) {
    paths.area(model.exact.noise, { role: 'data', alpha: 0.35 });
    paths.area(model.exact.data, { role: 'data', alpha: 0.35, base: 1 });
    for (const t of [0, 1]) paths.horizontal(t, { role: 'muted', width: 0.75, dash: [] });
    paths.lines(model.chain.fan, { role: 'muted', alpha: 0.35, width: 0.75 });
    paths.lines(model.borders, { role: 'muted', dash: [2, 4], width: 1.5 });
    paths.lines(model.paths, { role: 'ood', dash: [], width: 2.25 });
    paths.dots(model.paths.map((path) => path.at(-1)!), { role: 'ood', size: 60 });

    amplification.horizontal(1, { role: 'muted', width: 0.75, dash: [] });
    amplification.vertical(model.start, { role: 'ood', width: 1, dash: [2, 3], alpha: 0.8 });
    amplification.line(model.exact.amplification, { role: 'jacobian' });
    amplification.line(model.ratios, { role: 'ood', width: 2.25 });
    amplification.line(model.chain.amplification, { role: 'bptt' });
    const inside = (y: number) => Math.min(y, TOP);
    amplification.dots([[model.start, inside(model.exact.here)]], { role: 'jacobian', size: 50 });
    amplification.dots([[model.start, inside(model.ratio)]], { role: 'ood', size: 60 });
    amplification.dots([[model.start, inside(model.chain.here)]], { role: 'bptt', size: 60 });
  },
});
