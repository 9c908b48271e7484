/** What holds for every demo: pure, finite, bilingual, restorable from its link. */

import { describe, expect, test } from 'vitest';
import { rng } from '../src/core/rng';
import { demos } from '../src/demos';
import { snap, type AnyState, type Params } from '../src/ui/params';
import { linkOf, splitLink, stateOf } from '../src/ui/urlState';

function randomState(params: Params, uniform: () => number): AnyState {
  return Object.fromEntries(
    Object.entries(params).map(([key, param]) => {
      switch (param.kind) {
        case 'number':
          return [key, snap(param, param.min + uniform() * (param.max - param.min))];
        case 'choice': {
          const options = Object.keys(param.options);
          return [key, options[Math.floor(uniform() * options.length)]!];
        }
        case 'toggle':
          return [key, uniform() < 0.5];
        case 'playhead':
          return [key, snap(param, uniform())];
      }
    }),
  );
}

/** The first number that is not finite, with the way to it. */
function notFinite(value: unknown, path = ''): string | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : path;
  if (value === null || typeof value !== 'object') return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const found = notFinite(inner, `${path}.${key}`);
    if (found) return found;
  }
  return undefined;
}

/** Every text that lacks one of its languages. */
function unpaired(value: unknown): unknown[] {
  if (value === null || typeof value !== 'object') return [];
  if ('en' in value || 'zh' in value) {
    const { en, zh } = value as { en?: string; zh?: string };
    return en && zh ? [] : [value];
  }
  return Object.values(value).flatMap(unpaired);
}

describe.each(demos.map((demo) => [demo.id, demo] as const))('%s', (id, demo) => {
  const { uniform } = rng(11);
  const states = [demo.defaults as AnyState, ...Array.from({ length: 25 }, () => randomState(demo.params, uniform))];

  test('its defaults are values that its controls can take', () => {
    for (const [key, value] of Object.entries(demo.defaults as AnyState)) expect(snap(demo.params[key], value)).toBe(value);
  });

  test('compute is finite everywhere, and pure', () => {
    const first = JSON.stringify(demo.compute(states[0]));
    for (const state of states) {
      const before = JSON.stringify(state);
      const model: unknown = demo.compute(state);
      expect(notFinite(model), `${linkOf(demo, state)}`).toBeUndefined();
      expect(JSON.stringify(state)).toBe(before);
    }
    expect(JSON.stringify(demo.compute(states[0]))).toBe(first);
  });

  test('a link brings back the exact state', () => {
    for (const state of states) {
      const link = splitLink(linkOf(demo, state));
      expect(link.id).toBe(id);
      expect(stateOf(demo, link.query ?? '')).toEqual(state);
    }
  });

  test('a link with nonsense in it does no harm', () => {
    const nonsense = Object.keys(demo.params).map((key) => `${key}=`).join('&');
    expect(stateOf(demo, `${nonsense}&__proto__=1&unknown=2`)).toEqual(demo.defaults);
    for (const key of Object.keys(demo.params)) {
      const state = stateOf(demo, `${key}=1e999`);
      expect(notFinite(state)).toBeUndefined();
    }
  });

  test('every text is there in both languages', () => {
    expect(unpaired({ ...demo, compute: null, draw: null })).toEqual([]);
  });
});
