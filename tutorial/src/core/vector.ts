/** Small dense vectors and matrices; an action is a Vec, a Jacobian a Mat (rows of Vecs). */

export type Vec = readonly number[];
export type Point = readonly [x: number, y: number];
export type Mat = readonly Vec[];

/** a + k b, the Euler step. A loop, not a map: it runs tens of thousands of times for one picture. */
export function addScaled(a: Vec, k: number, b: Vec): Vec {
  const out = a.slice();
  for (let i = 0; i < a.length; i++) out[i] = a[i]! + k * b[i]!;
  return out;
}
export const add = (a: Vec, b: Vec): Vec => addScaled(a, 1, b);
export const sub = (a: Vec, b: Vec): Vec => addScaled(a, -1, b);
export const scale = (k: number, a: Vec): Vec => a.map((x) => k * x);
export const dot = (a: Vec, b: Vec): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
export const norm = (a: Vec): number => Math.hypot(...a);

/** M^T a */
export const transposeTimes = (m: Mat, a: Vec): Vec => m[0]!.map((_, j) => m.reduce((sum, row, i) => sum + row[j]! * a[i]!, 0));

export const mean = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
};

/** A plane vector as a point to draw. */
export const point = (a: Vec): Point => [a[0]!, a[1]!];

/** n numbers from `from` to `to`, both included. */
export const linspace = (from: number, to: number, n: number): number[] =>
  Array.from({ length: n }, (_, i) => from + ((to - from) * i) / (n - 1));
