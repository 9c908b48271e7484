import type { Guide } from '../core/guidance';
import { histogram } from '../core/histogram';
import { criticOf, FOOLED, landing, walk } from '../core/landing';
import { memo } from '../core/memo';
import { noise } from '../core/rng';
import { linspace, mean, type Point } from '../core/vector';
import { weightRange } from '../core/world';
import { defineDemo } from '../ui/demo';
import { GUIDE_NAMES } from '../ui/guides';
import { choice, fixed, newSeed, number, percent, playhead, seed, type State } from '../ui/params';

const DOMAIN: Point = [-3, 4.5];
const BIN = 0.1;
/** A landing this close to a peak belongs to it. */
const NEAR = 0.35;

/** Where the particles end. */
export const ends = memo((guide: Guide, w: number, height: number, seed: number, n: number): number[] => {
  const critic = criticOf(height);
  return noise(seed, n, 1).map((a0) => walk(guide, w, a0, landing.steps, critic).end[0]!);
});

const curve = (f: (a: number) => number): Point[] => linspace(...DOMAIN, 240).map((a) => [a, f(a)]);
const criticCurve = memo((height: number) => {
  const critic = criticOf(height);
  return { critic, curve: curve((a) => critic.value([a])), top: critic.value([landing.bump.centre]) };
});
const trueReturn = curve((a) => landing.trueReturn([a]));
const peaks = landing.mixture.means.map(([mu]) => mu!);
/** What an unguided flow would fill, as shares of the same bins. */
const data = curve((a) => landing.mixture.cdf(a + BIN / 2, 1) - landing.mixture.cdf(a - BIN / 2, 1));

const params = {
  guide: choice({ label: { en: 'Guidance', zh: '引导方式' }, value: 'ood', options: GUIDE_NAMES }),
  w: number({ label: { en: 'Weight *w*', zh: '权重 *w*' }, value: weightRange.default, min: weightRange.min, max: weightRange.max, step: 0.1 }),
  height: number({ label: { en: 'Height of the bump', zh: '假包的高度' }, value: landing.bump.height, min: 0, max: 16, step: 0.1, slider: false }),
  n: choice({ label: { en: 'Particles', zh: '粒子数' }, value: '400', options: { 400: '400', 2000: '2000' } }),
  seed: seed(),
  time: playhead({ value: 1, seconds: 4, steps: 20 }),
};

function compute({ guide, w, height, n, seed, time }: State<typeof params>) {
  const all = ends(guide, w, height, seed, Number(n));
  const landed = all.slice(0, Math.round(time * all.length));
  const share = (hit: (a: number) => boolean) => (landed.length ? landed.filter(hit).length / landed.length : 0);
  const average = (f: (a: number) => number) => (landed.length ? mean(landed.map(f)) : 0);
  const { critic, curve, top } = criticCurve(height);
  const bars = histogram(landed, DOMAIN, BIN);
  return {
    guide,
    scores: { curve, top, stem: [[landing.bump.centre, top - height], [landing.bump.centre, top]] as Point[] },
    bars,
    top: Math.max(0.4, ...bars.map(([, share]) => 1.15 * share)),
    landed: landed.length,
    mean: average((a) => a),
    peaks: peaks.map((mu) => share((a) => Math.abs(a - mu) < NEAR)),
    fooled: share((a) => a > FOOLED),
    trueReturn: average((a) => landing.trueReturn([a])),
    critic: average((a) => critic.value([a])),
  };
}
type Model = ReturnType<typeof compute>;

const x = { domain: DOMAIN, ticks: [-3, -2, -1, 0, 1, 2, 3, 4] };

export default defineDemo({
  id: 'd4',
  title: { en: 'Exploiting the critic', zh: '钻评论家的空子' },
  params,
  compute,
  stages: {
    scores: {
      label: {
        en: 'Scores of an action: the true return is a parabola with its top at 1; the critic follows it but adds a tall bump around 3.3.',
        zh: '动作的分数：真实回报是顶点在 1 的抛物线；评论家跟着它，却在 3.3 附近多出一个高包。',
      },
      x,
      y: { domain: [-17, 11], ticks: [-15, -10, -5, 0, 5], label: { en: 'score', zh: '分数' } },
      ratio: 3.4,
      narrow: 1.7,
    },
    landings: {
      label: { en: 'Histogram of where the particles land.', zh: '粒子落点的直方图。' },
      x: { ...x, label: { en: 'final action *a*', zh: '最终动作 *a*' } },
      y: { domain: ({ top }) => [0, top], label: { en: 'share', zh: '占比' } },
      ratio: 3.4,
      narrow: 1.5,
    },
  },
  handles: [
    {
      stage: 'scores',
      label: { en: 'Top of the false bump: its height', zh: '假包的顶：它的高度' },
      role: 'critic',
      y: 'height',
      at: ({ scores }) => [landing.bump.centre, scores.top],
    },
  ],
  notes: [
    ...peaks.map((mu, i) => ({
      key: `peak${i + 1}`,
      stage: 'landings' as const,
      role: 'ink' as const,
      label: '',
      at: ({ top }: Model) => [mu, (i % 2 ? 0.84 : 0.93) * top] as const,
      value: (m: Model) => m.peaks[i]!,
      format: percent,
    })),
    { key: 'beyond', stage: 'landings', role: 'ink', label: '', at: ({ top }) => [3.3, 0.93 * top], value: (m) => m.fooled, format: percent },
  ],
  readouts: [
    { items: [{ key: 'landed', label: { en: 'landed', zh: '已落' }, value: (m) => m.landed, format: fixed(0) }] },
    { items: [{ key: 'mean', label: { en: 'mean action', zh: '平均动作' }, value: (m) => m.mean }] },
    { items: [{ key: 'fooled', label: { en: 'fooled (beyond 2)', zh: '受骗（越过 2）' }, value: (m) => m.fooled, format: percent }] },
    { role: 'truth', items: [{ key: 'return', label: { en: 'mean true return', zh: '真实回报均值' }, value: (m) => m.trueReturn }] },
    { role: 'critic', items: [{ key: 'critic', label: { en: 'mean critic *Q*', zh: '评论家 *Q* 均值' }, value: (m) => m.critic }] },
  ],
  actions: [newSeed],
  note: {
    en: 'Three equal peaks of standard deviation 0.04 at −2, 0 and 1; 50 Euler steps. Grey: where the unguided flow lands. BPTT differentiates the remaining Euler steps, as a program would: it takes 25 times the steps of the others, on this page, too. The dashed stem is the height of the bump. Percentages in the picture: landings within 0.35 of a peak, and beyond 2.',
    zh: '三个等高的峰在 −2、0、1，标准差 0.04；50 个欧拉步。灰：无引导的流落在哪里。BPTT 像程序那样，对余下的欧拉步求导：步数是别人的 25 倍，在这一页上也是。虚线立柱是假包的高度。图中百分数：离某个峰不到 0.35 的落点，以及越过 2 的落点。',
  },
  draw({ model, pens: { scores, landings } }) {
    scores.rect([FOOLED, -Infinity], [Infinity, Infinity], { role: 'critic', alpha: 0.08 });
    peaks.forEach((mu) => scores.vertical(mu, { role: 'data', dash: [], width: 6, alpha: 0.25 }));
    scores.horizontal(0, { role: 'muted', width: 0.75, dash: [] });
    scores.line(model.scores.stem, { role: 'critic', width: 1, dash: [3, 3] });
    scores.line(trueReturn, { role: 'truth' });
    scores.line(model.scores.curve, { role: 'critic' });
    scores.text([2.7, 6.7], { en: '*Q*, with a bump', zh: '*Q*，带一个假包' }, { role: 'critic', align: 'right', dy: 4 });
    scores.text([2.7, -2.9], { en: 'true return', zh: '真实回报' }, { role: 'truth', dy: 22, align: 'right' });

    landings.rect([FOOLED, -Infinity], [Infinity, Infinity], { role: 'critic', alpha: 0.08 });
    landings.area(data, { role: 'data', alpha: 0.35 });
    landings.area(model.bars, { role: model.guide, alpha: 0.55 });
    landings.line(model.bars, { role: model.guide, dash: [], width: 1.5 });
  },
});
