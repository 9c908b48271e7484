/** Shares of `values` in bins of the given width, centred on multiples of it, as a stepped outline [x, share]. */

import type { Point } from './vector';

export function histogram(values: readonly number[], [from, to]: Point, width: number): Point[] {
  const first = Math.round(from / width);
  const counts = new Array<number>(Math.round(to / width) - first + 1).fill(0);
  for (const value of values) {
    const bin = Math.round(value / width) - first;
    if (bin >= 0 && bin < counts.length) counts[bin]!++;
  }
  return counts.flatMap((count, i): Point[] => {
    const share = values.length ? count / values.length : 0;
    const left = (first + i - 0.5) * width;
    return [
      [left, share],
      [left + width, share],
    ];
  });
}
