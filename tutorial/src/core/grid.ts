/** A function sampled on a regular grid, ready to be contoured. */

import type { Vec } from './vector';

export interface Grid {
  nx: number;
  ny: number;
  x: readonly [number, number];
  y: readonly [number, number];
  /** Row by row from y[0], at the centres of the cells. */
  values: number[];
}

export function grid(f: (a: Vec) => number, x: Grid['x'], y: Grid['y'], nx = 48, ny = nx): Grid {
  const values = new Array<number>(nx * ny);
  for (let j = 0; j < ny; j++) {
    for (let i = 0; i < nx; i++) {
      values[j * nx + i] = f([x[0] + ((i + 0.5) / nx) * (x[1] - x[0]), y[0] + ((j + 0.5) / ny) * (y[1] - y[0])]);
    }
  }
  return { nx, ny, x, y, values };
}

/** The same landscape, moved. It shares its values, so it need not be contoured again. */
export const moved = ({ x, y, ...rest }: Grid, [dx, dy]: Vec): Grid => ({
  ...rest,
  x: [x[0] + dx!, x[1] + dx!],
  y: [y[0] + dy!, y[1] + dy!],
});
