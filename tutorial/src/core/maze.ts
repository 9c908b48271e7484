/** OGBench's point mazes, approximately: a ball that moves by its action and slides along walls. */

import type { Point, Vec } from './vector';

export interface MazeSpec {
  /** Rows of 0 and 1; cell (i, j) is centred at (j, i) unit - offset. */
  walls: string[];
  unit: number;
  offset: number[];
  goal: number[];
  /** Of the goal. */
  radius: number;
}

/** How far an action of 1 moves the ball in one step, and the ball's radius. */
const STRIDE = 0.2;
const BALL = 0.7;

const CORNERS = [[-1, -1], [-1, 1], [1, -1], [1, 1]] as const;

const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

export class Maze {
  readonly walls: Point[];
  readonly free: Point[];
  readonly goal: Point;
  readonly radius: number;
  /** Half a cell. */
  readonly half: number;
  /** The middle of the maze and half its width and height. */
  readonly centre: Point;
  readonly reach: Point;

  constructor({ walls, unit, offset, goal, radius }: MazeSpec) {
    const cells = (kind: string) =>
      walls.flatMap((row, i) => [...row].flatMap((cell, j): Point[] => (cell === kind ? [[j * unit - offset[0]!, i * unit - offset[1]!]] : [])));
    this.walls = cells('1');
    this.free = cells('0');
    this.goal = [goal[0]!, goal[1]!];
    this.radius = radius;
    this.half = unit / 2;
    const [columns, rows] = [walls[0]!.length, walls.length];
    this.centre = [((columns - 1) * unit) / 2 - offset[0]!, ((rows - 1) * unit) / 2 - offset[1]!];
    this.reach = [(columns * unit) / 2, (rows * unit) / 2];
  }

  private isWall([x, y]: Point): boolean {
    return this.walls.some(([wx, wy]) => wx === x && wy === y);
  }

  /** The nearest place where the ball touches no wall: into the nearest free cell, then away from its walls and corners. */
  settle([x, y]: Point): Point {
    const { half } = this;
    const outside = ([cx, cy]: Point) => Math.hypot(Math.max(Math.abs(x - cx) - half, 0), Math.max(Math.abs(y - cy) - half, 0));
    const cell = this.free.reduce((best, other) => (outside(other) < outside(best) ? other : best));
    const beside = (dx: number, dy: number) => this.isWall([cell[0] + 2 * half * dx, cell[1] + 2 * half * dy]);
    const room = (dx: number, dy: number) => half - (beside(dx, dy) ? BALL : 0);
    const at = [clamp(x, cell[0] - room(-1, 0), cell[0] + room(1, 0)), clamp(y, cell[1] - room(0, -1), cell[1] + room(0, 1))] as const;
    for (const [dx, dy] of CORNERS) {
      const corner: Point = [cell[0] + half * dx, cell[1] + half * dy];
      const [ax, ay] = [at[0] - corner[0], at[1] - corner[1]];
      const distance = Math.hypot(ax, ay);
      if (distance >= BALL || !beside(dx, dy)) continue;
      const [ux, uy] = distance > 0 ? [ax / distance, ay / distance] : [-dx * Math.SQRT1_2, -dy * Math.SQRT1_2];
      return [corner[0] + BALL * ux, corner[1] + BALL * uy];
    }
    return at;
  }

  /** Where the ball is after an action. */
  step([x, y]: Point, [ax, ay]: Vec): Point {
    return this.settle([x + STRIDE * ax!, y + STRIDE * ay!]);
  }

  arrived([x, y]: Point): boolean {
    return Math.hypot(x - this.goal[0], y - this.goal[1]) <= this.radius;
  }
}
