/** How the density of a_t narrows from noise to data: the backdrop of every action-time plane. */

import { grid, type Grid } from './grid';
import type { Mixture } from './mixture';
import type { Point } from './vector';

/** p_t(a) sigma_t over actions and times 0 to 1; sigma_t takes out that narrow peaks are tall. */
export const funnel = (mixture: Mixture, actions: Point, nx = 120, ny = 60): Grid =>
  grid(([a, t]) => Math.exp(mixture.logProb([a!], t!)) * mixture.sigma(t!), actions, [0, 1], nx, ny);
