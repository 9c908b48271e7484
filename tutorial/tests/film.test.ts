import { describe, expect, it } from 'vitest';
import { after } from '../src/core/film';

const rounded = (place: number) => Math.round(place * 100) / 100;

describe('one step of a film', () => {
  it('changes what is shown wherever it was paused, both ways', () => {
    for (let i = 1; i < 4_000; i++) {
      const place = i / 4_001;
      const shown = rounded(place);
      if (shown < 1) expect(rounded(after(shown, place, 50))).toBeGreaterThan(shown);
      if (shown > 0) expect(rounded(-after(-shown, -place, 50))).toBeLessThan(shown);
    }
  });

  it('never stands still where the parameters are coarser than a step', () => {
    let place = 0;
    for (let i = 1; i <= 20; i++) expect((place = after(Math.round(place * 30) / 30, place, 20))).toBeCloseTo(i / 20, 12);
  });

  it('goes on from a parameter that was set by hand', () => {
    expect(after(0.8, 0.1, 10)).toBeCloseTo(0.9, 12);
    expect(-after(-0.8, -0.1, 10)).toBeCloseTo(0.7, 12);
  });
});
