import { describe, expect, test } from 'vitest';
import table from '../../src/assets/race.json';
import { landing, walk } from '../../src/core/landing';
import { fromRow, outcome, PUSHES, rain, STEPS, weightFor, WEIGHTS, type Racer, type Table } from '../../src/core/race';
import { noise } from '../../src/core/rng';
import demo from '../../src/demos/d4';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const by = (patch: Partial<typeof demo.defaults>) => at(patch).by as Record<Racer, NonNullable<ReturnType<typeof at>['by'][Racer]>>;
const known = table as unknown as Table;

describe('D4, 2,000 particles', () => {
  test('the committed table is what the page computes', () => {
    const close = (guide: Racer, w: number, row: readonly number[], bump: 'full' | 'half' = 'full') => {
      const now = outcome(guide, w, bump);
      for (const [key, value] of Object.entries(fromRow(row))) if (key !== 'w') expect(now[key as 'push']).toBeCloseTo(value, Math.abs(value) > 10 ? 2 : 3);
    };
    const k = WEIGHTS.indexOf(4);
    close('none', 0, known.full.weight.none![0]!);
    for (const guide of ['ood', 'bptt', 'jacobian', 'qgf'] as const) close(guide, 4, known.full.weight[guide]![k]!);
    close('ood', 4, known.half.weight.ood![k]!, 'half');
    for (const guide of ['jacobian', 'qgf'] as const) {
      expect(fromRow(known.full.push[guide]![PUSHES.indexOf(3.75)]!).w).toBeCloseTo(weightFor(guide, 3.75, 'full'), 2);
    }
  });

  test('the fast particles take the steps of the sampler', () => {
    const starts = noise(1, 30, 1);
    for (const guide of ['none', 'ood', 'bptt', 'jacobian', 'qgf'] as const) {
      const { paths } = rain(guide, 4, 'full', 1, 30);
      starts.forEach((a0, i) => expect(paths[i * (STEPS + 1) + STEPS]).toBeCloseTo(walk(guide, 4, a0).end[0]!, 10));
    }
  });

  test('unguided: a third at each peak, and a return of -3.4', () => {
    const { paths, n } = rain('none', 0, 'full', 1, 2000);
    const ends = Array.from({ length: n }, (_, i) => paths[i * (STEPS + 1) + STEPS]!);
    for (const [mu] of landing.mixture.means) expect(Math.abs(ends.filter((a) => Math.abs(a - mu!) < 0.35).length / n - 1 / 3)).toBeLessThan(0.04);
    expect(Math.abs(by({}).none.trueReturn + 3.4)).toBeLessThan(0.3);
    for (const guide of ['ood', 'bptt', 'jacobian', 'qgf'] as const) expect(by({ w: 0 })[guide].mean).toBeCloseTo(by({}).none.mean, 6);
  });

  test('w = 4: OOD is exploited, QGF is not', () => {
    const { ood, qgf } = by({ w: 4 });
    expect(ood.mean).toBeCloseTo(2.86, 2);
    expect(ood.trueReturn).toBeCloseTo(-3.48, 2);
    expect(ood.critic).toBeCloseTo(6.7, 1);
    expect(ood.critic).toBeGreaterThan(qgf.critic);
    expect(ood.fooled).toBe(1);
    expect(qgf.mean).toBeCloseTo(1.32, 2);
    expect(qgf.fooled).toBe(0);
    expect(qgf.trueReturn).toBeGreaterThan(-0.3);
  });

  test('the turn comes between w = 3 and w = 4; at w = 1 the two hardly differ; beyond 8 OOD is thrown about', () => {
    expect(by({ w: 2 }).ood.fooled).toBeCloseTo(0.08, 2);
    expect(by({ w: 3 }).ood.fooled).toBeCloseTo(0.14, 2);
    expect(by({ w: 1 }).ood.trueReturn).toBeCloseTo(by({ w: 1 }).qgf.trueReturn, 1);
    expect(by({ w: 10 }).ood.fooled).toBeLessThan(0.4);
    expect(by({ w: 4, bump: 'half' }).ood.fooled).toBe(0);
  });

  test('QGF has an edge too: 1.05, 1.41, the first at 8, all at 10', () => {
    expect(by({ w: 1 }).qgf.mean).toBeCloseTo(1.05, 2);
    expect(by({ w: 5 }).qgf.mean).toBeCloseTo(1.41, 2);
    expect(by({ w: 7.75 }).qgf.fooled).toBe(0);
    expect(by({ w: 8 }).qgf.fooled).toBeGreaterThan(0);
    expect(by({ w: 10 }).qgf.fooled).toBe(1);
  });

  test('at equal weight QGF-Jacobian is the safest', () => {
    const { bptt, jacobian, qgf } = by({ w: 4 });
    expect([jacobian, qgf, bptt].map(({ trueReturn }) => Number(trueReturn.toFixed(2)))).toEqual([-0.01, -0.1, -0.34]);
    expect([jacobian, qgf].map(({ push }) => Number(push.toFixed(2)))).toEqual([1.42, 3.65]);
    expect(by({ w: 10 }).jacobian.mean).toBeCloseTo(1.21, 2);
  });

  test('at equal push QGF is, from about 2 on', () => {
    for (const push of PUSHES.filter((one) => one >= 2)) {
      const { ood, jacobian, qgf } = by({ equal: 'push', push });
      for (const one of [ood, jacobian, qgf]) expect(Math.abs(one.push / push - 1)).toBeLessThan(0.02);
      expect(qgf.trueReturn).toBeGreaterThan(jacobian.trueReturn);
      expect(qgf.trueReturn).toBeGreaterThan(ood.trueReturn);
    }
    const [less, more] = [by({ equal: 'push', push: 3.75 }), by({ equal: 'push', push: 5 })];
    expect([less.qgf, less.jacobian].map(({ trueReturn }) => Number(trueReturn.toFixed(2)))).toEqual([-0.11, -0.42]);
    expect([more.qgf, more.jacobian].map(({ fooled }) => fooled)).toEqual([0, 1]);
    expect(more.bptt).toBeUndefined();
  });

  test("BPTT's mean is ragged: a particle flung from a watershed", () => {
    const returns = WEIGHTS.filter((w) => w >= 2 && w <= 5).map((w) => by({ w }).bptt.trueReturn);
    expect(Math.min(...returns)).toBeLessThan(-5);
    expect(returns.filter((one) => one > -0.6).length).toBeGreaterThan(3);
  });

  test('the film lets all particles land', () => {
    expect(at({ time: 0 }).lanes.every(({ bars, drops }) => drops.length <= 1 && bars.every(([, y]) => y === Math.round(y)))).toBe(true);
    expect(at({ time: 1 }).lanes.every(({ drops }) => drops.length === 0)).toBe(true);
    const { drops } = at({ time: 0.5 }).lanes[1]!;
    expect(drops.length).toBeGreaterThan(20);
  });

  test('after a switch the landings before it stay as a ghost, whatever is done to the weight', () => {
    const before = { ...demo.defaults, equal: 'push' as const, push: 5 };
    const after = { ...before, equal: 'weight' as const, ...demo.along!({ equal: 'weight' }, before) };
    const then = demo.compute(before);
    const { ghosts } = demo.compute({ ...after, w: 1, time: 0 });
    then.lanes.forEach(({ guide, bars }, i) => expect(ghosts[i]).toEqual(guide === 'none' ? [] : bars));
    expect(demo.along!({ w: 3 }, before)).toEqual({});
    expect(demo.compute(demo.defaults).ghosts.flat()).toEqual([]);
  });
});
