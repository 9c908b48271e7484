/** How far a sampled curve jumps when its argument moves a little. */

import type { Point } from './vector';

/** The largest |g(a') - g(a)| over all pairs of points of the polyline with |a' - a| <= reach; points sorted by a. One pass. */
export function worstJitter(curve: readonly Point[], reach: number): number {
  const [highs, lows]: [number[], number[]] = [[], []];
  let [start, highHead, lowHead, worst] = [0, 0, 0, 0];
  const a = (i: number) => curve[i]![0];
  const g = (i: number) => curve[i]![1];
  const between = (i: number, at: number) => g(i) + ((at - a(i)) / (a(i + 1) - a(i))) * (g(i + 1) - g(i));
  const consider = (jump: number) => {
    if (jump > worst) worst = jump;
  };
  for (let end = 0; end < curve.length; end++) {
    while (highs.length > highHead && g(highs.at(-1)!) <= g(end)) highs.pop();
    while (lows.length > lowHead && g(lows.at(-1)!) >= g(end)) lows.pop();
    highs.push(end);
    lows.push(end);
    for (; a(end) - a(start) > reach; start++) consider(Math.abs(between(end - 1, a(start) + reach) - g(start)));
    if (start > 0) consider(Math.abs(between(start - 1, a(end) - reach) - g(end)));
    while (highs[highHead]! < start) highHead++;
    while (lows[lowHead]! < start) lowHead++;
    consider(g(highs[highHead]!) - g(lows[lowHead]!));
  }
  return worst;
}

/** The largest |g(a') - g(at)| over the samples with |a' - at| <= reach. */
export function jitterAt(curve: readonly Point[], [at, g]: Point, reach: number): number {
  let worst = 0;
  for (const [a, value] of curve) if (Math.abs(a - at) <= reach) worst = Math.max(worst, Math.abs(value - g));
  return worst;
}
