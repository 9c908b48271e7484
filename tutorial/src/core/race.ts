/** The false bump put to the test: how every guide fares at every weight, and at every push. */

import type { Guide } from './guidance';
import { criticOf, FOOLED, landing } from './landing';
import { Cloud } from './rain';
import { noise } from './rng';
import { linspace, mean } from './vector';

export const RACERS = ['none', 'ood', 'bptt', 'jacobian', 'qgf'] as const satisfies readonly Guide[];
export type Racer = (typeof RACERS)[number];
/** BPTT has no place among equal pushes: the few particles on a watershed carry its mean. */
export const PUSHERS = ['ood', 'jacobian', 'qgf'] as const satisfies readonly Racer[];

/** The bump as high as in the world, half as high, and none. */
export const BUMPS = { full: 1, half: 0.5, flat: 0 } as const;
export type Bump = keyof typeof BUMPS;

export const WEIGHTS = linspace(0, 12, 49);
export const PUSHES = linspace(0.25, 8, 32);
/** Particles behind each row of the table, and their seed. */
const COUNT = 2000;
const SEED = 1;

const cloud = new Cloud(landing);

/** Its slope as a plain function: it is asked millions of times. */
function slopeOf(bump: Bump): (x: number) => number {
  const { best } = landing;
  const { height, centre, width } = landing.bump;
  const [tall, narrow] = [BUMPS[bump] * height, 1 / width ** 2];
  return (x) => -2 * (x - best) - (x - centre) * narrow * tall * Math.exp(-0.5 * narrow * (x - centre) ** 2);
}
const slopes = { full: slopeOf('full'), half: slopeOf('half'), flat: slopeOf('flat') };

/** `count` particles of a seed under a guide. */
export const rain = (guide: Racer, w: number, bump: Bump, seed: number, count: number) =>
  cloud.run(guide, w, noise(seed, count, 1).map(([a]) => a!), slopes[bump]);

export const STEPS = cloud.steps;

/** How a guide fares. */
export interface Outcome {
  w: number;
  /** The mean of the integral of |w g| over t. */
  push: number;
  mean: number;
  fooled: number;
  trueReturn: number;
  critic: number;
}

/** Of many particles. */
export function outcome(guide: Racer, w: number, bump: Bump, count = COUNT): Outcome {
  const { paths, push, n } = rain(guide, w, bump, SEED, count);
  const ends = Array.from({ length: n }, (_, i) => paths[i * (STEPS + 1) + STEPS]!);
  const critic = criticOf(BUMPS[bump] * landing.bump.height);
  return {
    w,
    push,
    mean: mean(ends),
    fooled: mean(ends.map((a) => (a > FOOLED ? 1 : 0))),
    trueReturn: mean(ends.map((a) => landing.trueReturn([a]))),
    critic: mean(ends.map((a) => critic.value([a]))),
  };
}

/** The weight at which a guide pushes so much, by halving; the push grows with the weight up to there. */
export function weightFor(guide: (typeof PUSHERS)[number], push: number, bump: Bump): number {
  let [low, high] = [0, 1];
  while (outcome(guide, high, bump, 500).push < push) high *= 2;
  for (let i = 0; i < 24; i++) {
    const w = (low + high) / 2;
    if (outcome(guide, w, bump).push < push) low = w;
    else high = w;
  }
  return (low + high) / 2;
}

const FIELDS = ['w', 'push', 'mean', 'fooled', 'trueReturn', 'critic'] as const;
type Row = readonly number[];
/** Per bump and guide, a row for every weight and one for every push. */
export type Table = Record<Bump, Record<'weight' | 'push', Partial<Record<Racer, Row[]>>>>;

const short = (x: number): number => Number(x.toPrecision(5));
const row = (one: Outcome): Row => FIELDS.map((field) => short(one[field]));
export const fromRow = (numbers: Row): Outcome => Object.fromEntries(FIELDS.map((field, i) => [field, numbers[i]!])) as unknown as Outcome;

/** Takes minutes: `npm run tables` writes it to src/assets/race.json. */
export const raceTable = (): Table =>
  Object.fromEntries(
    (Object.keys(BUMPS) as Bump[]).map((bump) => [
      bump,
      {
        weight: Object.fromEntries(RACERS.map((guide) => [guide, (guide === 'none' ? [0] : WEIGHTS).map((w) => row(outcome(guide, w, bump)))])),
        push: Object.fromEntries(PUSHERS.map((guide) => [guide, PUSHES.map((push) => row(outcome(guide, weightFor(guide, push, bump), bump)))])),
      },
    ]),
  ) as Table;
