/** Smooth functions on a square from few values. */

import { grid, type Grid } from './grid';

/** n points from -1 to 1, denser towards the ends: through values there a polynomial does not oscillate. */
const nodes = (n: number): number[] => Array.from({ length: n }, (_, i) => -Math.cos((Math.PI * i) / (n - 1)));

/** How much the value at each node counts at x (Lagrange's polynomials). */
const weightsAt = (at: readonly number[], x: number): number[] =>
  at.map((node, j) => at.reduce((product, other, i) => (i === j ? product : (product * (x - other)) / (node - other)), 1));

/** f on [-1, 1]^2, asked at n x n points only, as a grid of `cells` x `cells`. */
export function chebyshevGrid(n: number, cells: number): (f: (x: number, y: number) => number) => Grid {
  const at = nodes(n);
  const weights = Array.from({ length: cells }, (_, i) => weightsAt(at, ((i + 0.5) / cells) * 2 - 1));
  const cell = (x: number) => weights[Math.round(((x + 1) / 2) * cells - 0.5)]!;
  return (f) => {
    const known = at.map((y) => at.map((x) => f(x, y)));
    const value = ([x, y]: readonly number[]) => {
      const [along, up] = [cell(x!), cell(y!)];
      return known.reduce((sum, row, j) => sum + up[j]! * row.reduce((inner, q, i) => inner + along[i]! * q, 0), 0);
    };
    return grid(value, [-1, 1], [-1, 1], cells);
  };
}
