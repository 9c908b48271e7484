/** Many walks from one place, cloned and guided: computed once for the policies that the page ships with, because they take seconds. */

import type { Policy } from './policy';
import type { Point } from './vector';
import { Walk } from './walk';

/** Chunks after which an episode ends, reached or not. */
export const DECISIONS = 160;
export const CROWD = 20;
/** Chunks that a walker's tail is long. */
const TAIL = 8;
/** Where the swarms of each policy start: where its task does, and somewhere else. */
export const STARTS: Readonly<Record<string, { readonly start: Point; readonly middle?: Point }>> = {
  policy: { start: [0, 0], middle: [8, 8] },
  medium3: { start: [8, 16], middle: [20, 20] },
  large5: { start: [0, 0] },
};
export type Start = 'start' | 'middle';
/** Guided by QGF with this strength; seeds as the page's own walks have them. */
export const STRENGTH = 1;
const GRAIN = 0.05;

/** One walk: whether and after how many steps it arrived, and where it was after every chunk, in twentieths, as differences. */
interface Trail {
  arrived: number | null;
  moves: number[];
}
export type Swarm = Record<'cloned' | 'guided', Trail[]>;
export interface SwarmTable {
  /** Names the policy: the first letters of its weights. */
  policy: string;
  starts: { readonly start: Point; readonly middle?: Point };
  swarms: { start: Swarm; middle?: Swarm };
}

export const nameOf = (weights: string): string => weights.slice(0, 40);

export function walkOf(policy: Policy, which: 'cloned' | 'guided', start: Point, k: number): Walk {
  return which === 'cloned' ? new Walk(policy, start, 'none', 0, k + 1) : new Walk(policy, start, 'qgf', policy.weight(STRENGTH), k + 1001);
}

function trail(walk: Walk, horizon: number): Trail {
  const { path, arrived } = walk.upTo(DECISIONS);
  const places = path.filter((_, i) => i % horizon === 0 || i === path.length - 1).map((at) => at.map((x) => Math.round(x / GRAIN)) as [number, number]);
  return {
    arrived: arrived ? path.length - 1 : null,
    moves: places.flatMap(([x, y], i) => (i ? [x - places[i - 1]![0], y - places[i - 1]![1]] : [x, y])),
  };
}

const both = <T>(make: (which: 'cloned' | 'guided') => T): Record<'cloned' | 'guided', T> => ({ cloned: make('cloned'), guided: make('guided') });

export const swarmOf = (policy: Policy, start: Point, count = CROWD): Swarm =>
  both((which) => Array.from({ length: count }, (_, k) => trail(walkOf(policy, which, start, k), policy.horizon)));

/** Takes a minute: `npm run tables` writes them to src/assets/swarm.json. */
export const swarmTable = (policy: Policy, starts: SwarmTable['starts']): SwarmTable => ({
  policy: nameOf(policy.weights),
  starts,
  swarms: { start: swarmOf(policy, starts.start), ...(starts.middle ? { middle: swarmOf(policy, starts.middle) } : {}) },
});

/** Where a walk was after every chunk. */
export function placesOf({ moves }: Trail): Point[] {
  const places: Point[] = [];
  let [x, y] = [0, 0];
  for (let i = 0; i < moves.length; i += 2) {
    x += moves[i]!;
    y += moves[i + 1]!;
    places.push([x * GRAIN, y * GRAIN]);
  }
  return places;
}

/** A group of walkers as it is drawn. */
export interface Walkers {
  paths: readonly (readonly Point[])[];
  heads: Point[];
  arrived: number;
  of: number;
  steps: number;
}

/** A part of a swarm when so many chunks have been chosen, which may be a fraction. */
export function walkersOf(trails: readonly { places: readonly Point[]; arrived: number }[], decisions: number, horizon: number): Walkers {
  const k = Math.floor(decisions);
  const heads = trails.map(({ places }): Point => {
    const [from, to] = [places[Math.min(k, places.length - 1)]!, places[Math.min(k + 1, places.length - 1)]!];
    return [from[0] + (decisions - k) * (to[0] - from[0]), from[1] + (decisions - k) * (to[1] - from[1])];
  });
  return {
    paths: trails.map(({ places }, i) => [...places.slice(Math.max(0, Math.min(k, places.length - 1) - TAIL), k + 1), heads[i]!]),
    heads,
    arrived: trails.filter(({ arrived }) => arrived <= decisions * horizon).length,
    of: trails.length,
    steps: Math.round(decisions * horizon),
  };
}
