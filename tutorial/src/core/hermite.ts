/** A smooth function through points whose slopes are known. */

export interface Knot {
  x: number;
  y: number;
  slope: number;
}

/** The cubic through neighbouring knots, with their slopes; a straight line beyond the ends. Knots sorted by x. */
export function hermite(knots: readonly Knot[]): (x: number) => number {
  return (x) => {
    let [low, high] = [0, knots.length - 1];
    if (x <= knots[low]!.x || x >= knots[high]!.x) {
      const end = knots[x <= knots[low]!.x ? low : high]!;
      return end.y + end.slope * (x - end.x);
    }
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (knots[middle]!.x <= x) low = middle;
      else high = middle;
    }
    const [p, q] = [knots[low]!, knots[high]!];
    const h = q.x - p.x;
    const u = (x - p.x) / h;
    return p.y + u * u * (3 - 2 * u) * (q.y - p.y) + h * u * (1 - u) * ((1 - u) * p.slope - u * q.slope);
  };
}
