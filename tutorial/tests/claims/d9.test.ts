import { describe, expect, test } from 'vitest';
import { gradient } from '../../src/core/curves';
import { linspace } from '../../src/core/vector';
import { world } from '../../src/core/world';
import demo, { morph } from '../../src/demos/d9';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const wide = world('gradients');

describe('D9', () => {
  test.each([0.6, 0.75, 0.85])('in the worst case red is above purple and purple above cyan at t = %s', (t) => {
    const { worst } = at({ t });
    expect(worst.bptt).toBeGreaterThan(worst.jacobian);
    expect(worst.jacobian).toBeGreaterThan(worst.qgf);
  });

  test('purple is J times cyan', () => {
    for (const t of [0, 0.3, 0.75, 0.85, 1]) {
      const { g, factor } = at({ t });
      g.jacobian.forEach(([a, value], i) => {
        expect(g.qgf[i]![0]).toBe(a);
        expect(factor.jacobian[i]![0]).toBe(a);
        expect(Math.abs(value - wide.mixture.jacobian([a], t)[0]![0]! * g.qgf[i]![1])).toBeLessThan(1e-10);
      });
      for (const a of [-2, -0.76, -0.6, 0, 0.4, 1.3]) {
        const { probe } = at({ t, a });
        expect(Math.abs(probe.jacobian.g - probe.jacobian.factor * probe.qgf.g)).toBeLessThan(1e-10);
      }
    }
  });

  test('every layer is the gradient of its name', () => {
    for (const t of [0.2, 0.75]) {
      for (const a of linspace(-2, 1.4, 30)) {
        const { probe } = at({ t, a });
        for (const layer of ['bptt', 'jacobian', 'qgf'] as const) {
          const known = gradient(wide, layer, a, t);
          expect(Math.abs(probe[layer].g - known)).toBeLessThan(1e-9 * Math.max(1, Math.abs(known)));
        }
      }
    }
  });

  test('at t = 1 all factors are one and all gradients agree', () => {
    for (const a of [-2, -1, -0.3, 0.5, 1.2]) {
      const { bptt, jacobian, qgf } = at({ t: 1, a }).probe;
      for (const layer of [bptt, jacobian]) {
        expect(layer.factor).toBeCloseTo(1, 9);
        expect(layer.g).toBeCloseTo(qgf.g, 8);
      }
    }
    const { worst } = at({ t: 1 });
    expect(worst.jacobian).toBeCloseTo(worst.qgf, 8);
  });

  test('J vanishes at t = 0, is one at t = 1, and is largest near t = 0.8, where it is 5.6', () => {
    expect(at({ t: 0 }).peaks.jacobian[1]).toBe(0);
    expect(at({ t: 1 }).peaks.jacobian[1]).toBeCloseTo(1, 12);
    const tops = linspace(0, 1, 101).map((t) => [t, at({ t: Math.round(100 * t) / 100 }).peaks.jacobian[1]] as const);
    const [t, top] = tops.reduce((best, p) => (p[1] > best[1] ? p : best));
    expect(Math.abs(t - 0.8)).toBeLessThan(0.03);
    expect(top).toBeCloseTo(5.6, 1);
  });

  test('J is never negative', () => {
    for (const t of linspace(0, 1, 21)) for (const [, value] of at({ t }).factor.jacobian) expect(value).toBeGreaterThanOrEqual(0);
  });

  test('the table in the text, for QGF-Jacobian', () => {
    const table = { 0.25: 0.0267, 0.5: 0.317, 0.6: 0.716, 0.75: 2.59, 0.85: 3.41, 0.95: 0.733 };
    for (const [t, jitter] of Object.entries(table)) expect(Math.abs(at({ t: Number(t) }).worst.jacobian / jitter - 1)).toBeLessThan(0.005);
  });

  test('peeling shows one layer after the other', () => {
    expect(at({ peel: 0 }).whole).toEqual(['bptt']);
    expect(at({ peel: 1 }).whole).toEqual(['bptt', 'jacobian']);
    expect(at({ peel: 2 }).whole).toEqual(['bptt', 'jacobian', 'qgf']);
    for (const peel of [0, 1, 2]) expect(at({ peel }).turning).toBeUndefined();
  });

  test('on its way a layer lies between the one before and itself', () => {
    const { turning, whole, g } = at({ peel: 1.5 });
    expect(whole).toEqual(['bptt', 'jacobian']);
    expect(turning!.role).toBe('qgf');
    turning!.g.forEach(([a, value], i) => {
      const [from, to] = [g.jacobian[i]![1], g.qgf[i]![1]];
      expect(a).toBe(g.jacobian[i]![0]);
      expect(value).toBeGreaterThanOrEqual(Math.min(from, to) - 1e-9);
      expect(value).toBeLessThanOrEqual(Math.max(from, to) + 1e-9);
    });
    expect(morph(g.bptt, g.jacobian, 0, 1).every(([, y], i) => Math.abs(y - g.bptt[i]![1]) < 1e-6 * Math.max(1, Math.abs(y)))).toBe(true);
  });

  test('the page says that an exact flow says nothing about learned networks', () => {
    const { en, zh } = demo.note as { en: string; zh: string };
    expect(en).toMatch(/exact flow.*nothing here shows.*trained network/s);
    expect(zh).toMatch(/精确的.*训练出来的网络.*看不出来/s);
  });
});
