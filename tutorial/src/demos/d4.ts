import table from '../assets/race.json';
import { histogram } from '../core/histogram';
import { criticOf, FOOLED, landing } from '../core/landing';
import { memo } from '../core/memo';
import { BUMPS, fromRow, PUSHES, RACERS, rain, STEPS, WEIGHTS, type Bump, type Outcome, type Racer, type Table } from '../core/race';
import { linspace, type Point } from '../core/vector';
import { defineDemo } from '../ui/demo';
import type { Text } from '../ui/i18n';
import { GUIDE_NAMES } from '../ui/guides';
import { choice, fixed, newSeed, number, percent, playhead, seed, type State } from '../ui/params';
import type { Pen } from '../ui/pen';

const DOMAIN: Point = [-3, 4.5];
const BIN = 0.15;
/** Particles in a lane; following the chain at every step is 25 times the work, so that lane gets fewer. */
const PARTICLES = 80;
const DEAR = 20;
/** The first particle leaves at time 0, the last after this share of the film. */
const STAGGER = 0.55;
const TAIL = 5;

const outcomes = table as unknown as Table;
const peaks = landing.mixture.means.map(([mu]) => mu!);
const curve = (f: (a: number) => number): Point[] => linspace(...DOMAIN, 160).map((a) => [a, f(a)]);

/** Lane 0 is the scores, the others the guides. A lane is one unit high: bins below BINS, above them time falls from 1 to 0. */
const LANES = RACERS.length + 1;
const BINS = 0.36;
const floor = (lane: number): number => LANES - 1 - lane;
/** Scores between -17 and 11 fill lane 0. */
const raised = (score: number): number => floor(0) + (score + 17) / 28;

/** Of 2,000 particles: the row of the table at the weight, or at the push. */
const outcomeOf = (guide: Racer, equal: string, w: number, push: number, bump: Bump): Outcome | undefined => {
  const rows = outcomes[bump];
  if (guide === 'none') return fromRow(rows.weight.none![0]!);
  const [list, at] = equal === 'push' ? [rows.push[guide], PUSHES.indexOf(push)] : [rows.weight[guide], WEIGHTS.indexOf(w)];
  return list && fromRow(list[at]!);
};

/** True return against weight or push, a line a guide. */
const linesOf = memo((equal: string, bump: Bump) =>
  RACERS.flatMap((guide) => {
    if (guide === 'none') return [];
    const rows = (equal === 'push' ? outcomes[bump].push[guide] : outcomes[bump].weight[guide])?.map(fromRow);
    return rows ? [{ guide, line: rows.map((one): Point => [equal === 'push' ? one.push : one.w, one.trueReturn]) }] : [];
  }),
);

/** A lane's particles; each lane remembers its own, for the film. */
const falls = Object.fromEntries(
  RACERS.map((guide) => [guide, memo((w: number, bump: Bump, seed: number) => rain(guide, w, bump, seed, guide === 'bptt' ? DEAR : PARTICLES))]),
) as Record<Racer, (w: number, bump: Bump, seed: number) => ReturnType<typeof rain>>;

const scores = memo((bump: Bump) => {
  const critic = criticOf(BUMPS[bump] * landing.bump.height);
  return curve((a) => raised(critic.value([a])));
});
const trueReturn = curve((a) => raised(landing.trueReturn([a])));
/** What an unguided flow would fill, as shares of the same bins. */
const data = histogram(
  linspace(0.0005, 0.9995, 1000).map((u) => landing.mixture.quantile(u, 1)),
  DOMAIN,
  BIN,
);

const params = {
  w: number({ label: { en: 'Weight *w*', zh: '权重 *w*' }, value: 4, min: 0, max: 12, step: 0.25, when: { equal: 'weight' } }),
  push: number({ label: { en: 'Push ∫|*w g*| d*t*', zh: '推力 ∫|*w g*| d*t*' }, value: 3.75, min: 0.25, max: 8, step: 0.25, when: { equal: 'push' } }),
  equal: choice({ label: { en: 'Everybody gets', zh: '人人' }, value: 'weight', options: { weight: { en: 'equal weight', zh: '权重相等' }, push: { en: 'equal push', zh: '推力相等' } } }),
  bump: choice({ label: { en: 'The false bump', zh: '虚高的鼓包' }, value: 'full', options: { full: { en: 'full', zh: '全高' }, half: { en: 'half', zh: '一半' }, flat: { en: 'none', zh: '没有' } } }),
  seed: seed(),
  time: playhead({ value: 1, seconds: 6, steps: 50 }),
  // The setting before the last switch, which stays as a ghost.
  wasEqual: choice({ label: { en: 'Before: everybody got', zh: '此前人人' }, value: 'no', options: { no: '', weight: '', push: '' }, hidden: true }),
  wasBump: choice({ label: { en: 'Before: the false bump', zh: '此前的鼓包' }, value: 'full', options: { full: '', half: '', flat: '' }, hidden: true }),
  wasW: number({ label: { en: 'Before: weight', zh: '此前的权重' }, value: 4, min: 0, max: 12, step: 0.25, slider: false }),
  wasPush: number({ label: { en: 'Before: push', zh: '此前的推力' }, value: 3.75, min: 0.25, max: 8, step: 0.25, slider: false }),
};

/** Where each guide's particles landed under the setting before: bins of a lane, unraised. */
const ghosts = memo((equal: string, w: number, push: number, bump: Bump, seed: number) =>
  RACERS.map((guide) => {
    const outcome = equal === 'no' || guide === 'none' ? undefined : outcomeOf(guide, equal, w, push, bump);
    if (!outcome) return { bars: [] };
    const { paths, n } = rain(guide, outcome.w, bump, seed, guide === 'bptt' ? DEAR : PARTICLES);
    const ends = Array.from({ length: n }, (_, p) => paths[p * (STEPS + 1) + STEPS]!);
    return { bars: histogram(ends, DOMAIN, BIN) };
  }),
);

function compute({ w, push, equal, bump, seed, time, wasEqual, wasBump, wasW, wasPush }: State<typeof params>) {
  const lanes = RACERS.map((guide, i) => {
    const outcome = outcomeOf(guide, equal, w, push, bump);
    if (!outcome) return { guide, outcome, drops: [], tails: [], bars: [] };
    const { paths, n } = falls[guide](outcome.w, bump, seed);
    const [drops, tails]: [Point[], Point[][]] = [[], []];
    const landed: number[] = [];
    for (let p = 0; p < n; p++) {
      const step = Math.floor(((time - (STAGGER * p) / n) / (1 - STAGGER)) * STEPS + 1e-6);
      if (step < 0) continue;
      const at = (k: number): Point => [paths[p * (STEPS + 1) + k]!, floor(i + 1) + 1 - (1 - BINS) * (k / STEPS)];
      if (step >= STEPS) landed.push(at(STEPS)[0]);
      else {
        drops.push(at(step));
        tails.push(Array.from({ length: Math.min(step, TAIL) + 1 }, (_, j) => at(step - j)));
      }
    }
    const raise = ([x, share]: Point): Point => [x, floor(i + 1) + Math.min((share * landed.length) / n, 0.62) * (BINS / 0.62)];
    return { guide, outcome, drops, tails, bars: histogram(landed, DOMAIN, BIN).map(raise) };
  });
  return {
    scores: scores(bump),
    lanes,
    by: Object.fromEntries(lanes.map(({ guide, outcome }) => [guide, outcome])) as Record<Racer, Outcome | undefined>,
    ghosts: ghosts(wasEqual, wasW, wasPush, wasBump, seed).map(({ bars }, i) => bars.map(([x, share]): Point => [x, floor(i + 1) + Math.min(share, 0.62) * (BINS / 0.62)])),
    lines: linesOf(equal, bump),
    equal,
    at: equal === 'push' ? push : w,
  };
}
type Model = ReturnType<typeof compute>;

const MISSING: Text = '—';
const SHORT = { ...GUIDE_NAMES, jacobian: 'QGF-J' };
const card = (guide: Racer) => ({
  role: guide,
  label: GUIDE_NAMES[guide],
  items: (
    [
      ['fooled', { en: 'fooled', zh: '上当' }, percent],
      ['mean', { en: 'lands at', zh: '平均落点' }, fixed(2)],
      ['trueReturn', { en: 'true return', zh: '真实回报' }, fixed(2)],
      ['critic', { en: 'critic', zh: '评论家打分' }, fixed(1)],
      ['push', { en: 'push', zh: '推力' }, fixed(2)],
    ] as const
  ).map(([key, label, format]) => ({ key: `${guide}-${key}`, label, value: (m: Model) => m.by[guide]?.[key] ?? MISSING, format })),
});

/** Peaks of the data, and the region of those who were fooled. */
function ground(pen: Pen): void {
  pen.rect([FOOLED, -Infinity], [Infinity, Infinity], { role: 'critic', alpha: 0.07 });
  peaks.forEach((mu) => pen.vertical(mu, { role: 'data', dash: [], width: 5, alpha: 0.16 }));
}

export default defineDemo({
  id: 'd4',
  title: { en: 'A race under a false promise', zh: '虚高许诺下的赛跑' },
  params,
  compute,
  along: ({ equal, bump }, before) =>
    (equal ?? before.equal) === before.equal && (bump ?? before.bump) === before.bump
      ? {}
      : { wasEqual: before.equal, wasBump: before.bump, wasW: before.w, wasPush: before.push },
  stages: {
    race: {
      label: {
        en: 'On top the scores of an action: the true return, a parabola with its top at 1, and the critic, with a tall bump around 3.3. Below, one lane for each guidance: particles rain from noise into bins.',
        zh: '最上面是动作的分数：真实回报是顶点在 1 的抛物线，评论家在 3.3 附近多出一个高高的鼓包。下面每种引导一条赛道：粒子从噪声落进格子。',
      },
      x: { domain: DOMAIN, ticks: [-3, -2, -1, 0, 1, 2, 3, 4], label: { en: 'action *a*', zh: '动作 *a*' } },
      y: { domain: [0, LANES], hidden: true },
      ratio: 1.55,
      narrow: 1.02,
    },
    curve: {
      title: { en: 'True return of 2,000 particles', zh: '2,000 个粒子的真实回报' },
      label: { en: 'True return against the weight or the push, one line for each guidance.', zh: '真实回报随权重或推力的变化，每种引导一条线。' },
      x: { domain: ({ equal }) => (equal === 'push' ? [0, 8] : [0, 12]), label: { en: 'weight, or push', zh: '权重或推力' } },
      y: { domain: [-4.4, 0.3], ticks: [-4, -3, -2, -1, 0] },
      ratio: 3.6,
      narrow: 1.9,
    },
  },
  marks: {
    bump: { stage: 'race', at: ({ scores }) => scores.find(([a]) => a > 3.05) },
  },
  handles: [
    { stage: 'curve', label: { en: 'Weight', zh: '权重' }, role: 'ink', x: 'w', at: ({ at }) => [at, -4.1], when: { equal: 'weight' } },
    { stage: 'curve', label: { en: 'Push', zh: '推力' }, role: 'ink', x: 'push', at: ({ at }) => [at, -4.1], when: { equal: 'push' } },
  ],
  notes: RACERS.map((guide, i) => ({
    key: `lane-${guide}`,
    stage: 'race' as const,
    role: guide,
    label: { en: 'fooled', zh: '上当' },
    at: ({ by }: Model): Point | undefined => (by[guide] ? [3.1, floor(i + 1) + 0.78] : undefined),
    value: (m: Model) => m.by[guide]!.fooled,
    format: percent,
  })),
  readouts: RACERS.map(card),
  actions: [{ ...newSeed, restart: true }],
  note: {
    en: 'Three equal peaks of standard deviation 0.04 at −2, 0 and 1; 50 Euler steps. In every lane noise rains from above and lands in bins; grey: where the unguided flow lands; dotted: where they landed before the last switch; shaded: beyond 2, fooled. The rain is of 80 particles, of 20 for BPTT, which differentiates the remaining steps as a program would. Numbers and lines are of 2,000 particles of seed 1. Push: the mean over particles of ∫|*w g*| d*t*; at equal push everybody gets the weight that pushes so much. BPTT has no place there: the few particles on a watershed carry its mean.',
    zh: '三个等高的峰在 −2、0、1，标准差 0.04；50 个欧拉步。每条赛道里，噪声从上方落进格子；灰：无引导的流落在哪里；虚线：上次切换之前落在哪里；涂色：越过 2，即上当。雨里有 80 个粒子，BPTT 只有 20 个，它按离散步求导（程序里就是这样）。数字和曲线属于种子 1 的 2,000 个粒子。推力：∫|*w g*| d*t* 对粒子的均值；推力相等时，各家取恰好推这么多的权重。BPTT 不参加：它的均值全由分水岭上的几个粒子决定。',
  },
  draw({ model, pens: { race, curve: plot } }) {
    ground(race);
    race.line(trueReturn, { role: 'truth', width: 1.5 });
    race.line(model.scores, { role: 'critic' });
    race.text([2.15, raised(6)], '*Q*', { role: 'critic', align: 'right', dy: 4 });
    race.text([-2.9, raised(-4)], { en: 'true return', zh: '真实回报' }, { role: 'truth', size: 12 });
    model.lanes.forEach(({ guide, outcome, drops, tails, bars }, i) => {
      const base = floor(i + 1);
      race.horizontal(base + 1, { role: 'muted', width: 0.75, dash: [], alpha: 0.5 });
      race.area(data.map(([x, share]): Point => [x, base + Math.min(share, 0.62) * (BINS / 0.62)]), { role: 'data', alpha: 0.3, base });
      if (bars.length) {
        race.area(bars, { role: guide, alpha: 0.6, base });
        race.lines(tails, { role: guide, dash: [], width: 1, alpha: 0.45 });
        race.dots(drops, { role: guide, size: 14 });
      }
      if (model.ghosts[i]!.length) race.line(model.ghosts[i]!, { role: guide, dash: [2, 2], width: 1.25 });
      const name = SHORT[guide];
      race.text([-2.9, base + 0.72], name, { role: guide });
      if (!outcome) race.text([0, base + 0.5], { en: 'no equal push', zh: '推力无法相等' }, { role: guide, align: 'center', size: 12 });
    });

    plot.horizontal(0, { role: 'muted', width: 0.75, dash: [] });
    plot.vertical(model.at, { role: 'ink', width: 1, dash: [2, 3] });
    for (const { guide, line } of model.lines) plot.line(line, { role: guide });
    for (const { guide } of model.lines) {
      const outcome = model.by[guide];
      if (outcome) plot.dots([[model.at, outcome.trueReturn]], { role: guide, size: 55 });
    }
  },
});
