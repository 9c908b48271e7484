/** The narrow-peak world, and how an action comes about in it. D4 and D5 both walk here, so that they end at the same place. */

import { euler } from './flow';
import { estimators, type Guide } from './guidance';
import { memo } from './memo';
import { sample, type Trace } from './sampling';
import type { Vec } from './vector';
import { bumpy, world, type Critic } from './world';

export const landing = world('landing');

/** The critic with a bump of another height. */
export const criticOf = (height: number): Critic => bumpy(landing.best, { ...landing.bump, height });

/** A guided walk that ends beyond this has believed the bump. */
export const FOOLED = 2;

const asked = memo((steps: number) => estimators(euler(steps)));

/** The guided path from a0. BPTT differentiates the Euler steps that remain, as a program would. */
export const walk = (guide: Guide, w: number, a0: Vec, steps = landing.steps, critic = landing.critic): Trace =>
  sample(landing.mixture, critic, a0, asked(steps)[guide], w, steps);
