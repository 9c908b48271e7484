import { describe, expect, it } from 'vitest';
import { after, nextShown } from '../src/core/film';
import { demos } from '../src/demos';
import { tidy, type AnyState, type Params } from '../src/ui/params';
import { reelOf } from '../src/ui/reel';

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

describe.each(demos.map((demo) => [demo.id, demo] as const))('a step of the film of %s', (_, demo) => {
  const params: Params = demo.params;
  const reel = reelOf(params, demo.film);
  it.skipIf(!reel)('shows something else wherever it was paused', () => {
    const { at, to, steps, shows } = reel!;
    for (let i = 0; i <= 997; i++) {
      const place = i / 997;
      const paused: AnyState = tidy(params, { ...demo.defaults, ...to(place) });
      for (const by of [1, -1] as const) {
        const next = nextShown(by, (u) => shows(paused, u), at(paused), place, steps(paused));
        if (next > 0 && next < 1) expect(shows(paused, next)).not.toBeCloseTo(at(paused), 9);
      }
    }
  });
});
