import { describe, expect, test } from 'vitest';
import { ESTIMATORS } from '../../src/core/guidance';
import { sample } from '../../src/core/sampling';
import { world } from '../../src/core/world';
import demo, { ARROWS, EXAMPLE, LIGHTS, LINES, PARTS } from '../../src/demos/d10';

const wide = world('gradients');
const at = (part: number) => demo.compute({ part, hop: 0 });
const code = Object.values(LINES).map((line) => line.code);
const v = (a: number, t: number) => wide.mixture.velocity([a], t)[0]!;
const gradQ = (a: number) => wide.critic.gradient([a])[0]!;

/** The three lines of code on the page, run as they stand. */
const pass = new Function('a', 't', 'w', 'T', 'v', 'grad_Q', `let a1_hat, g; ${code.join('; ')}; return { a1_hat, g, a };`) as (
  ...inputs: unknown[]
) => { a1_hat: number; g: number; a: number };

describe('D10', () => {
  test('no way leads from one box of training to the other', () => {
    const boxes = ['clone', 'td'];
    for (const from of boxes) {
      const reached = new Set([from]);
      for (let i = 0; i < ARROWS.length; i++) for (const arrow of ARROWS) if (reached.has(arrow.from)) reached.add(arrow.to);
      expect(boxes.filter((box) => reached.has(box))).toEqual([from]);
      expect(reached.has('action')).toBe(true);
    }
  });

  test("each line lights itself and the network that it asks, and a network the lines that ask it", () => {
    const network = { guess: 'clone', ask: 'td', step: 'clone' } as const;
    for (const [line, box] of Object.entries(network) as [keyof typeof network, 'clone' | 'td'][]) {
      const lit = at(PARTS.indexOf(line) + 1).lit;
      expect(lit).toContain(line);
      expect(lit).toContain(box);
      expect(lit).not.toContain(box === 'td' ? 'clone' : 'td');
      expect(LIGHTS[box]).toContain(line);
      // What is lit is what the formula and the code name.
      expect(LINES[line].code.includes('grad_Q')).toBe(box === 'td');
      expect(LINES[line].code.includes('v(a, t)')).toBe(box === 'clone');
      const formula = LINES[line].formula.flat().join('');
      expect(formula.includes('*Q*_φ')).toBe(box === 'td');
      expect(formula.includes('*v*_θ')).toBe(box === 'clone');
    }
  });

  test('the code on the page, run as it stands, is the sampler', () => {
    const [w, T, a0] = [1.5, 50, -0.2];
    const { steps, end } = sample(wide.mixture, wide.critic, [a0], ESTIMATORS.qgf, w, T);
    let a = a0;
    steps.forEach((step, k) => {
      const one = pass(a, k / T, w, T, v, gradQ);
      expect(Math.abs(one.g - step.g[0]!)).toBeLessThan(1e-10);
      a = one.a;
    });
    expect(Math.abs(a - end[0]!)).toBeLessThan(1e-10);
  });

  test('the numbers that the token shows are that code, run line by line', () => {
    const { a0, w, T } = EXAMPLE;
    let a = a0;
    for (let k = 0; k < T; k++) {
      const one = pass(a, k / T, w, T, v, gradQ);
      const [guessed, asked, stepped] = [1, 2, 3].map((line) => demo.compute({ part: 3, hop: 3 * k + line })) as [ReturnType<typeof at>, ReturnType<typeof at>, ReturnType<typeof at>];
      expect([guessed.g, guessed.next, asked.next]).toEqual([undefined, undefined, undefined]);
      expect(guessed.a).toBeCloseTo(a, 12);
      expect(guessed.guess).toBeCloseTo(one.a1_hat, 12);
      expect(asked.g).toBeCloseTo(one.g, 12);
      expect(stepped.next).toBeCloseTo(one.a, 12);
      a = one.a;
    }
  });

  test('the three formulas are those of the text', () => {
    expect(LINES.guess.formula.flat().join('')).toContain('(1 − *t*)');
    expect(LINES.step.formula.flat().join('')).toContain('*w g*');
    expect(code).toHaveLength(3);
  });
});
