/** A camera that looks along its own -z: where in its square picture a point of the room is. */

import type { Point, Vec } from './vector';

export interface Camera {
  place: number[];
  /** Its axes as the columns of a 3 x 3 matrix, row by row. */
  turn: number[];
  /** Opening angle, in degrees. */
  angle: number;
}

/** From 0 to 1, to the right and up. */
export function inPicture({ place, turn, angle }: Camera, at: Vec): Point {
  const from = at.map((x, i) => x - place[i]!);
  const axis = (k: number) => from.reduce((sum, x, i) => sum + x * turn[3 * i + k]!, 0);
  const scale = 0.5 / (Math.tan((angle * Math.PI) / 360) * -axis(2));
  return [0.5 + scale * axis(0), 0.5 + scale * axis(1)];
}
