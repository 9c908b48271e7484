/** Where a density is low: between its peaks, and beyond them. */

import { linspace, type Point } from './vector';

/** `near`: enough density; `gap`: too little, but between places that have enough; `outside`: beyond all of them. */
export type Zone = 'near' | 'gap' | 'outside';

export interface Zones {
  /** Intervals with enough density, from left to right. */
  near: Point[];
  of: (x: number) => Zone;
}

/** The places where `density` reaches `low`, on an interval that holds them all. */
export function zones(density: (x: number) => number, low: number, from: number, to: number): Zones {
  const xs = linspace(from, to, 2000);
  const above = xs.map((x) => density(x) >= low);
  /** Between xs[i - 1] and xs[i], by halving. */
  const border = (i: number): number => {
    let [a, b] = [xs[i - 1]!, xs[i]!];
    for (let k = 0; k < 40; k++) {
      const middle = (a + b) / 2;
      if (density(middle) >= low === above[i]) b = middle;
      else a = middle;
    }
    return b;
  };
  const borders = xs.flatMap((_, i) => (i > 0 && above[i] !== above[i - 1] ? [border(i)] : []));
  const near = borders.flatMap((x, i): Point[] => (i % 2 ? [] : [[x, borders[i + 1]!]]));
  const [first, last] = [near[0]![0], near.at(-1)![1]];
  return { near, of: (x) => (density(x) >= low ? 'near' : x > first && x < last ? 'gap' : 'outside') };
}
