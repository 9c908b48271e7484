/** Episodes in a maze: chunks of actions, open loop, until the goal is reached. */

import type { Guide } from './guidance';
import type { Policy } from './policy';
import { rng } from './rng';
import type { Point } from './vector';

/** A walk that is computed as far as it has been asked for. */
export class Walk {
  /** Where the ball was after every step. */
  private readonly path: Point[];
  private readonly normal: () => number;
  private arrivedAt = Infinity;

  constructor(
    private readonly policy: Policy,
    start: Point,
    private readonly guide: Guide,
    private readonly weight: number,
    seed: number,
  ) {
    this.path = [policy.maze.settle(start)];
    this.normal = rng(seed).normal;
  }

  /** The path of the first `decisions` chunks. */
  upTo(decisions: number): { path: readonly Point[]; arrived: boolean } {
    const { policy, path } = this;
    const steps = decisions * policy.horizon;
    while (path.length <= steps && this.arrivedAt === Infinity) this.decide();
    return { path: path.slice(0, steps + 1), arrived: this.arrivedAt <= steps };
  }

  private decide(): void {
    const { maze, d } = this.policy;
    const noise = Float64Array.from({ length: d }, this.normal);
    const { action } = this.policy.at(this.path.at(-1)!).denoise(noise, this.guide, this.weight);
    for (let i = 0; i < d; i += 2) {
      this.path.push(maze.step(this.path.at(-1)!, [action[i]!, action[i + 1]!]));
      if (maze.arrived(this.path.at(-1)!)) {
        this.arrivedAt = this.path.length - 1;
        return;
      }
    }
  }
}
