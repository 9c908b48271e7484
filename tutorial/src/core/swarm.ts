/** Many walks from one place, cloned and guided: computed once for the policy that the page ships with, because they take seconds. */

import type { Policy } from './policy';
import type { Point } from './vector';
import { Walk } from './walk';

/** Chunks after which an episode ends, reached or not. */
export const DECISIONS = 160;
export const CROWD = 20;
/** Where the swarms start: the maze's own start, and a place near its middle. */
export const STARTS = { start: [0, 0], middle: [8, 8] } as const satisfies Record<string, Point>;
export type Start = keyof typeof STARTS;
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
  swarms: Record<Start, Swarm>;
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

/** Takes half a minute: `npm run tables` writes it to src/assets/swarm.json. */
export const swarmTable = (policy: Policy, weights: string): SwarmTable => ({
  policy: nameOf(weights),
  swarms: Object.fromEntries(Object.entries(STARTS).map(([name, start]) => [name, swarmOf(policy, start)])) as SwarmTable['swarms'],
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
