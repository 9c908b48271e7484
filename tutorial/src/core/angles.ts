/** Directions in the plane, in degrees. */

import type { Vec } from './vector';

const DEGREES = 180 / Math.PI;

export const direction = ([x, y]: Vec): number => Math.atan2(y!, x!) * DEGREES;

/** From one direction to another the short way, -180 to 180. */
export const turn = (from: Vec, to: Vec): number => {
  const difference = direction(to) - direction(from);
  return difference - 360 * Math.round(difference / 360);
};

/** Circular standard deviation of the directions of many vectors: sqrt(-2 log R), R the length of their mean unit vector. */
export function spread(vectors: readonly Vec[]): number {
  let [x, y] = [0, 0];
  for (const v of vectors) {
    const length = Math.hypot(v[0]!, v[1]!);
    x += v[0]! / length;
    y += v[1]! / length;
  }
  return Math.sqrt(-2 * Math.log(Math.min(Math.hypot(x, y) / vectors.length, 1))) * DEGREES;
}
