/** A plane through the space of actions: where the samples of a flow lie, and the two directions in which they differ most. */

import type { Numbers } from './network';
import type { Point } from './vector';

export interface Plane {
  centre: Numbers;
  /** Unit vectors, and the samples' standard deviation along each. */
  along: readonly [Numbers, Numbers];
  spread: Point;
  /** The share of the samples' variance that lies in the plane. */
  share: number;
}

function dot(a: Numbers, b: Numbers): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
const TURNS = 300;

/** The matrix of products of `rows`, row by row: their covariance, times their number. */
function products(rows: readonly Numbers[]): Numbers[] {
  const d = rows[0]!.length;
  const sums = Array.from({ length: d }, () => new Float64Array(d));
  for (const row of rows) for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) sums[i]![j]! += row[i]! * row[j]!;
  return sums;
}

/** The direction of the largest variance in `rows`, which have mean 0, by power iteration; its largest number is positive. */
function principal(rows: readonly Numbers[]): Numbers {
  const matrix = products(rows);
  const d = matrix.length;
  let u: Numbers = Float64Array.from({ length: d }, (_, i) => 1 + i / d);
  for (let turn = 0; turn < TURNS; turn++) {
    const next = new Float64Array(d);
    for (let i = 0; i < d; i++) next[i] = dot(matrix[i]!, u);
    const length = Math.sqrt(dot(next, next));
    if (length === 0) break;
    for (let i = 0; i < d; i++) next[i]! /= length;
    u = next;
  }
  const largest = u.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best));
  return largest < 0 ? u.map((x) => -x) : u;
}

export function planeOf(samples: readonly Numbers[]): Plane {
  const n = samples.length;
  const centre = samples[0]!.map((_, i) => samples.reduce((sum, a) => sum + a[i]!, 0) / n);
  const rows = samples.map((a) => a.map((x, i) => x - centre[i]!));
  const first = principal(rows);
  const rest = rows.map((row) => {
    const along = dot(row, first);
    return row.map((x, i) => x - along * first[i]!);
  });
  const second = principal(rest);
  const variance = (u: Numbers) => rows.reduce((sum, row) => sum + dot(row, u) ** 2, 0) / n;
  const whole = rows.reduce((sum, row) => sum + dot(row, row), 0) / n;
  const [one, other] = [variance(first), variance(second)];
  return { centre, along: [first, second], spread: [Math.sqrt(one), Math.sqrt(other)], share: (one + other) / whole };
}

/** Where an action lies on the plane, in standard deviations from its centre. */
export const project = ({ centre, along, spread }: Plane, a: Numbers): Point => {
  const from = a.map((x, i) => x - centre[i]!);
  return [dot(from, along[0]) / spread[0], dot(from, along[1]) / spread[1]];
};

/** A displacement on the plane, in the same unit. */
export const projectPush = ({ along, spread }: Plane, push: Numbers): Point => [dot(push, along[0]) / spread[0], dot(push, along[1]) / spread[1]];

/** The action at a point of the plane. */
export const lift = ({ centre, along, spread }: Plane, [x, y]: Point): Numbers =>
  centre.map((c, i) => c + x * spread[0] * along[0][i]! + y * spread[1] * along[1][i]!);
