/** The TypeScript mirror agrees with the Python library (`fixtures.py` writes what Python answers). */

import { describe, expect, test } from 'vitest';
import { ESTIMATORS, estimators, type Guide } from '../src/core/guidance';
import { carryBack, euler, rollout } from '../src/core/flow';
import { Mixture } from '../src/core/mixture';
import { ndtr } from '../src/core/normal';
import { noise, rng } from '../src/core/rng';
import { sample } from '../src/core/sampling';
import { mean } from '../src/core/vector';
import { bumpy, world, type Critic } from '../src/core/world';
import fixtures from './fixtures.json';

type Nested = number | readonly Nested[];

function agree(ours: Nested, theirs: Nested, tolerance = 1e-9): void {
  const [a, b] = [[ours].flat(3) as number[], [theirs].flat(3) as number[]];
  expect(a.length).toBe(b.length);
  a.forEach((x, i) => expect(Math.abs(x - b[i]!), `${x} against ${b[i]}`).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(b[i]!))));
}

test('ndtr keeps its relative accuracy far into the tail', () => {
  for (const [z, p] of fixtures.ndtr as [number, number][]) agree(ndtr(z) / p, 1, 1e-12);
});

const CRITICS: Record<string, Critic> = {
  landing: world('landing').critic,
  gradients: world('gradients').critic,
  plane: bumpy(0.5, { height: 2, centre: 1.5, width: 0.6 }),
};

describe.each(['landing', 'gradients', 'plane'] as const)('%s', (name) => {
  const fixture = fixtures[name];
  const mixture = new Mixture(fixture.mixture.means, fixture.mixture.weights, fixture.mixture.std);
  const critic = CRITICS[name]!;

  test('mixture', () => {
    for (const p of fixture.mixture.points) {
      agree(mixture.responsibilities(p.a, p.t), p.responsibilities);
      agree(mixture.velocity(p.a, p.t), p.velocity);
      agree(mixture.clean(p.a, p.t), p.clean);
      agree(mixture.jacobian(p.a, p.t), p.jacobian);
      agree(mixture.velocityJacobian(p.a, p.t), p.velocity_jacobian);
      agree(mixture.logProb(p.a, p.t), p.log_prob);
      if ('cdf' in p) agree(mixture.cdf(p.a[0]!, p.t), p.cdf as number);
      // Deep in a gap between peaks F is flat to the last bit, and every point of the gap is as good an answer.
      if ('ode' in p && p.log_prob > -30) {
        agree(mixture.quantileOf(p.a[0]!, p.t, 0.3), p.quantile_of as number);
        agree(mixture.ode(p.a[0]!, p.t), p.ode as number);
        agree(mixture.odeDerivative(p.a[0]!, p.t), p.ode_derivative as number);
      }
    }
  });

  test('critic', () => {
    for (const [a, q] of fixture.critic as [number[], number, number][]) {
      agree(critic.value(a), q);
      const h = 1e-5;
      a.forEach((_, i) => {
        const nudged = (k: number) => a.map((x, j) => (j === i ? x + k : x));
        agree(critic.gradient(a)[i]!, (critic.value(nudged(h)) - critic.value(nudged(-h))) / (2 * h), 1e-7);
      });
    }
  });

  /** Every estimator's answer in a row of the fixture. */
  const answers = (row: object) => Object.entries(row).filter(([name]) => name in ESTIMATORS) as [Guide, Nested][];

  test('estimators on a grid of Euler steps', () => {
    const ours = estimators(euler(fixtures.steps));
    for (const row of fixture.euler) {
      for (const [guide, theirs] of answers(row)) agree(ours[guide](mixture, critic, row.a, row.t), theirs);
    }
  });

  test('samples', () => {
    for (const row of [...fixture.samples, ...('exact_samples' in fixture ? fixture.exact_samples : [])]) {
      for (const [guide, theirs] of answers(row)) {
        const trace = sample(mixture, critic, row.a0, ESTIMATORS[guide], fixtures.weight, fixtures.steps);
        agree([...trace.steps.map((s) => s.a), trace.end], theirs);
      }
    }
  });

  test('estimators with the exact ODE', () => {
    for (const row of 'exact' in fixture ? fixture.exact : []) {
      for (const [guide, theirs] of answers(row)) agree(ESTIMATORS[guide](mixture, critic, row.a, row.t), theirs);
    }
  });
});

test('the scalar chain of Euler steps is the general one', () => {
  const { mixture, critic } = world('gradients');
  for (const t of [0, 0.33, 0.9]) {
    const path = rollout(mixture, [-0.4], t, 20);
    const end = path.at(-1)!.a;
    agree(euler(20)(mixture, [-0.4], t).end, end, 1e-12);
    agree(euler(20)(mixture, [-0.4], t).pullback(critic.gradient(end)), carryBack(mixture, path, critic.gradient(end))[0]!, 1e-12);
  }
});

test('true return', () => {
  for (const name of ['landing', 'gradients'] as const) {
    for (const [a, , value] of fixtures[name].critic as [number[], number, number][]) agree(world(name).trueReturn(a), value);
  }
});

test('quantiles invert the distribution function', () => {
  const { mixture } = world('landing');
  for (const t of [0, 0.4, 1]) for (const u of [1e-6, 0.2, 0.5, 0.9, 0.9999]) agree(mixture.cdf(mixture.quantile(u, t), t), u);
});

test('random numbers: the seed decides, neighbouring seeds differ, normals are normal', () => {
  expect(noise(3, 5, 2)).toEqual(noise(3, 5, 2));
  const draws = noise(1, 20000, 1).flat();
  agree(mean(draws), 0, 0.03);
  agree(mean(draws.map((x) => x * x)), 1, 0.03);
  const other = noise(2, 20000, 1).flat();
  for (const lag of [0, 1, 2]) agree(mean(draws.slice(lag).map((x, i) => x * other[i]!)), 0, 0.03);
  const u = rng(7);
  expect(Array.from({ length: 1000 }, u.uniform).every((x) => x >= 0 && x < 1)).toBe(true);
});
