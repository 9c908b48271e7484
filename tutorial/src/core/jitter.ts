/** How far a sampled curve jumps when its argument moves a little. */

import type { Point } from './vector';

/** The largest |g(a') - g(a)| over all pairs of samples with |a' - a| <= reach; samples sorted by a. One pass. */
export function worstJitter(curve: readonly Point[], reach: number): number {
  const [highs, lows]: [number[], number[]] = [[], []];
  let [start, highHead, lowHead, worst] = [0, 0, 0, 0];
  const g = (i: number) => curve[i]![1];
  for (let end = 0; end < curve.length; end++) {
    while (highs.length > highHead && g(highs.at(-1)!) <= g(end)) highs.pop();
    while (lows.length > lowHead && g(lows.at(-1)!) >= g(end)) lows.pop();
    highs.push(end);
    lows.push(end);
    while (curve[end]![0] - curve[start]![0] > reach) start++;
    while (highs[highHead]! < start) highHead++;
    while (lows[lowHead]! < start) lowHead++;
    worst = Math.max(worst, g(highs[highHead]!) - g(lows[lowHead]!));
  }
  return worst;
}

/** The largest |g(a') - g(at)| over the samples with |a' - at| <= reach. */
export function jitterAt(curve: readonly Point[], [at, g]: Point, reach: number): number {
  let worst = 0;
  for (const [a, value] of curve) if (Math.abs(a - at) <= reach) worst = Math.max(worst, Math.abs(value - g));
  return worst;
}
