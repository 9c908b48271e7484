import { describe, expect, test } from 'vitest';
import { turn } from '../../src/core/angles';
import { sub, type Point } from '../../src/core/vector';
import demo, { type Shaft } from '../../src/demos/d2';

const at = (patch: Partial<typeof demo.defaults>) => demo.compute({ ...demo.defaults, ...patch });
const vector = ({ from, to }: Shaft) => sub(to, from);

/** The peak turned by 90 degrees around a point. */
const turned = ([cx, cy]: Point) => {
  const { x, y } = demo.defaults;
  return { x: cx - (y - cy), y: cy + (x - cx) };
};
const off = (angle: number) => Math.abs(angle - 90);

describe('D2', () => {
  const rest = at({});

  test('BPTT scatters more than five times as much as QGF', () => {
    expect(rest.bptt.spread).toBeGreaterThan(5 * rest.qgf.spread);
  });

  test("QGF's arrow is the same vector at the estimate and at the noisy action", () => {
    const [there, here] = [vector(rest.qgf.end), vector(rest.qgf.carried)];
    expect(rest.qgf.carried.from).toEqual(rest.a);
    there.forEach((x, i) => expect(Math.abs(x - here[i]!)).toBeLessThan(1e-12));
  });

  test('turn the peak and the trustworthy arrows follow; the distrusted one does not', () => {
    const aroundEnd = at(turned(rest.flow.end));
    expect(off(turn(vector(rest.bptt.end), vector(aroundEnd.bptt.end)))).toBeLessThan(5);
    const aroundGuess = at(turned(rest.qgf.end.from));
    expect(off(turn(vector(rest.qgf.end), vector(aroundGuess.qgf.end)))).toBeLessThan(5);
    for (const other of [aroundEnd, aroundGuess]) {
      expect(Math.abs(turn(vector(rest.ood.arrow), vector(other.ood.arrow)))).toBeLessThan(5);
    }
  });

  test('the page says that panel 3 is a model', () => {
    const { en, zh } = demo.note as { en: string; zh: string };
    expect(en).toMatch(/trust.*fixed wrong field/s);
    expect(zh).toMatch(/trust.*固定的错误场/s);
  });

  test("the carried arrow really is the chain's transposed Jacobian: shaking a_t moves it", () => {
    const fan = rest.bptt.fan.map(vector);
    expect(fan.some((v) => Math.abs(turn(fan[0]!, v)) > 60)).toBe(true);
  });
});
