/** Colours in which pictures write can be read on their paper, in light and dark: 4.5 to 1 (WCAG 2.2, 1.4.3). Every text has a halo of paper. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ROLES } from '../src/ui/roles';

const css = readFileSync(new URL('../src/style.css', import.meta.url), 'utf8');
const pair = (name: string): [string, string] => {
  const [, light, dark] = new RegExp(`--${name}: light-dark\\((#[0-9a-f]{6}), (#[0-9a-f]{6})\\)`).exec(css)!;
  return [light!, dark!];
};

/** Relative luminance of an sRGB colour. */
const luminance = (hex: string): number => {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const x = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a: string, b: string): number => {
  const [low, high] = [luminance(a), luminance(b)].toSorted((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
};

test('black on white is 21 to 1', () => expect(contrast('#000000', '#ffffff')).toBeCloseTo(21, 10));

// Nothing is written in the colour of the data, and paper is what is written on.
const written = Object.keys(ROLES).filter((role) => !['data', 'paper'].includes(role));
test.each(written)('%s', (role) => {
  const [paper, colour] = [pair('paper'), pair(role)];
  for (const k of [0, 1] as const) expect(contrast(colour[k], paper[k])).toBeGreaterThanOrEqual(4.5);
});
