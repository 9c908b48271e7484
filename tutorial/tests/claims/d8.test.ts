import { describe, expect, test } from 'vitest';
import { world } from '../../src/core/world';
import { linspace } from '../../src/core/vector';
import demo from '../../src/demos/d8';
import { snap } from '../../src/ui/params';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const STEPS = ['10', '20', '50', '100', '200', '400'] as const;
const left = (patch: Partial<typeof demo.defaults>) => at(patch).chain.sheds[0]!;

describe('D8', () => {
  test('at rest the start sits on the left watershed and the two paths part', () => {
    const { start, ends } = at({});
    expect(start).toBe(left({}).at);
    expect(ends[0]).toBeLessThan(-1.5);
    expect(ends[1]).toBeGreaterThan(-0.5);
  });

  test.each([-2, -1.2, -0.442, -0.44, 0, 0.446, 1.3])('the ratio becomes the product along the chain as epsilon falls to 1e-7, from %s', (a) => {
    const { ratio, chain } = at({ a, logEps: -7 });
    expect(Math.abs(ratio / chain.here - 1)).toBeLessThan(0.01);
  });

  test('in a basin the ratio is below 2', () => {
    for (const steps of ['50', '400'] as const) {
      const { sheds } = at({ steps }).chain;
      for (const width of ['wide', 'narrow'] as const) {
        for (const a of linspace(-2.5, 2.5, 101)) {
          if (sheds.some((shed) => Math.abs(shed.at - a) < 0.1)) continue;
          const { ratio, chain } = at({ width, steps, a, logEps: -3 });
          expect(ratio).toBeLessThan(2);
          expect(chain.here).toBeLessThan(2);
        }
      }
    }
  });

  test('at the left watershed 50 steps amplify more than a hundredfold; at the right one only by 2.3', () => {
    const { sheds } = at({ steps: '50' }).chain;
    expect(sheds[0]!.amplification).toBeGreaterThan(100);
    expect(sheds[0]!.amplification).toBeCloseTo(358, -1);
    expect(sheds[1]!.amplification).toBeCloseTo(2.34, 1);
  });

  test('the product grows with the number of steps towards the exact 1,019; 20 steps reach 130', () => {
    const products = STEPS.map((steps) => left({ steps }).amplification);
    products.slice(1).forEach((product, i) => expect(product).toBeGreaterThan(products[i]!));
    const exact = at({}).exact.sheds.map(({ amplification }) => amplification);
    expect(exact[0]).toBeCloseTo(1019, 0);
    expect(exact[1]).toBeCloseTo(2.5, 1);
    expect(products[1]).toBeCloseTo(130, -1);
    expect(products.at(-1)! / exact[0]!).toBeGreaterThan(0.8);
    const { mixture } = world('gradients');
    const long = 4000;
    let [low, high] = [-1, 0];
    for (let i = 0; i < 50; i++) {
      const a = (low + high) / 2;
      if (mixture.eulerChain(a, 0, 1 / long, long).end < -1) low = a;
      else high = a;
    }
    expect(mixture.eulerChain(low, 0, 1 / long, long).derivative / exact[0]!).toBeGreaterThan(0.98);
  });

  test('away from the watersheds the product is p0 / p1 for large N', () => {
    for (const a of [-1.5, 0, 1.2]) {
      const { chain, exact } = at({ a, steps: '400' });
      expect(Math.abs(chain.here / exact.here - 1)).toBeLessThan(0.02);
    }
  });

  test("the exact watershed is at -0.4307; a chain's own lies a little off, and the nearer the longer it is", () => {
    expect(at({}).exact.sheds[0]!.at).toBeCloseTo(-0.4307, 4);
    const off = STEPS.map((steps) => Math.abs(left({ steps }).at + 0.4307));
    off.slice(1).forEach((distance, i) => expect(distance).toBeLessThan(off[i]!));
    expect(left({ steps: '50' }).at).toBeCloseTo(-0.4421, 4);
  });

  test.each([-1, -2, -3, -4])('with narrow peaks the ratio stops within a fifth of 2/epsilon at epsilon = 10^%s', (logEps) => {
    const { ratio, ceiling, chain } = at({ width: 'narrow', logEps });
    expect(ceiling).toBeCloseTo(2 / 10 ** logEps, 6);
    expect(ratio / ceiling).toBeGreaterThan(0.8);
    expect(ratio / ceiling).toBeLessThan(1);
    expect(chain.here).toBeGreaterThan(100 * ratio);
  });

  test('with wide peaks it stops clearly below, since the paths end on the slopes of the peaks', () => {
    const { ratio, ceiling } = at({ logEps: -1 });
    expect(ceiling).toBeCloseTo(20, 12);
    expect(ratio).toBeCloseTo(11.7, 1);
    for (const logEps of [-0.5, -1, -2, -3, -6]) expect(at({ logEps }).ratio).toBeLessThan(at({ logEps }).ceiling);
  });

  test('how deep the valley is decides: narrow peaks', () => {
    const [deep, shallow] = at({ width: 'narrow' }).exact.sheds;
    expect(Math.log10(deep!.amplification)).toBeCloseTo(134.45, 1);
    expect(Math.log10(shallow!.amplification)).toBeCloseTo(32.67, 1);
    expect(Math.log10(left({ width: 'narrow' }).amplification)).toBeCloseTo(13.5, 0);
  });

  test('the drawn ratio is the ratio', () => {
    for (const logEps of [-0.5, -1, -2, -4]) {
      const { ratios } = at({ logEps });
      const { mixture } = world('gradients');
      const eps = 10 ** logEps;
      const end = (a: number) => mixture.eulerChain(a, 0, 1 / 50, 50).end;
      for (const [x, value] of ratios.filter((_, i) => i % 11 === 0)) {
        const known = (end(x + eps / 2) - end(x - eps / 2)) / eps;
        expect(Math.abs(value / known - 1)).toBeLessThan(0.05);
      }
    }
  });

  test('the buttons take the start onto the watersheds of any chain', () => {
    for (const width of ['wide', 'narrow'] as const) {
      for (const steps of STEPS) {
        demo.actions!.forEach(({ run }, k) => {
          const patch = run({ ...demo.defaults, width, steps });
          const model = at({ width, steps, a: Number(snap(demo.params.a, patch.a!)) });
          expect(model.start).toBe(model.chain.sheds[k]!.at);
        });
      }
    }
  });

  test('the page says that the ratio stops', () => {
    const { en, zh } = demo.note as { en: string; zh: string };
    expect(en).toMatch(/2\/\*ε\*/);
    expect(zh).toMatch(/2\/\*ε\*/);
  });
});
