/** Singular values of a 2 x 2 matrix, in closed form. */

import type { Mat, Vec } from './vector';

export interface Axis {
  /** The magnification, >= 0. */
  sigma: number;
  /** The unit push that it magnifies. */
  from: Vec;
  /** The unit direction in which that push comes out. */
  to: Vec;
}

const unit = (angle: number): Vec => [Math.cos(angle), Math.sin(angle)];

/** M = sum_k sigma_k to_k from_k^T, largest first. */
export function svd2(m: Mat): [Axis, Axis] {
  const [a, b, c, d] = m.flat() as [number, number, number, number];
  const [e, f, g, h] = [(a + d) / 2, (a - d) / 2, (c + b) / 2, (c - b) / 2];
  const [turning, mirroring] = [Math.hypot(e, h), Math.hypot(f, g)];
  const [sum, difference] = [Math.atan2(h, e), Math.atan2(g, f)];
  const [before, after] = [(difference - sum) / 2, (difference + sum) / 2];
  const small = turning - mirroring;
  return [
    { sigma: turning + mirroring, from: unit(before), to: unit(after) },
    { sigma: Math.abs(small), from: unit(before + Math.PI / 2), to: unit(after + (small < 0 ? -1 : 1) * (Math.PI / 2)) },
  ];
}
