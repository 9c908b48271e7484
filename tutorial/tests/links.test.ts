/** Links that somebody cut, or made up, still lead to a page. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { demos } from '../src/demos';
import d4 from '../src/demos/d4';
import { chosenLang } from '../src/ui/i18n';
import { splitLink, stateOf } from '../src/ui/urlState';

describe('a link', () => {
  test.each(['#%', '#100%', '#%E0%A4%A', '#d4?w=4%'])('%s, cut in the middle, is read as it stands', (hash) => {
    expect(splitLink(hash).id).toBe(hash.slice(1).split('?')[0]);
  });

  test('what cannot be read stays at its default, the rest counts', () => {
    const { id, query } = splitLink('#d4?seed=3&w=4%');
    expect(id).toBe('d4');
    expect(stateOf(d4, query!)).toEqual({ ...d4.defaults, seed: 3 });
  });

  test('an encoded link is decoded', () => {
    expect(splitLink('#d4%3Fw=4')).toEqual({ id: 'd4', query: 'w=4' });
  });
});

describe('a word that points at a thing in a picture', () => {
  test.each(['en', 'zh'])('%s: is a mark of its demo, and every mark has a word', (lang) => {
    const text = readFileSync(new URL(`../content/${lang}.md`, import.meta.url), 'utf8');
    const used = [...text.matchAll(/\]\(#(d\d+):(\w+)\)/g)].map(([, id, mark]) => `${id}:${mark}`);
    const marks = demos.flatMap(({ id, marks, compute, defaults }) => {
      const model = compute(defaults);
      for (const [name, { at }] of Object.entries(marks ?? {}) as [string, { at: (m: unknown, s: unknown) => unknown }][]) expect(at(model, defaults), `${id}:${name}`).toBeDefined();
      return Object.keys(marks ?? {}).map((mark) => `${id}:${mark}`);
    });
    expect([...new Set(used)].sort()).toEqual(marks.sort());
  });
});

describe('the language', () => {
  test.each(['toString', 'constructor', '__proto__', '', 'fr', 'EN'])('?lang=%s is none that there is', (asked) => {
    expect(chosenLang(`?lang=${asked}`, ['de'])).toBe('en');
    expect(chosenLang(`?lang=${asked}`, ['zh-CN'])).toBe('zh');
  });

  test('is the one asked for, then the reader’s first', () => {
    expect(chosenLang('?lang=zh', ['en'])).toBe('zh');
    expect(chosenLang('', ['zh-TW', 'en'])).toBe('zh');
    expect(chosenLang('', ['en', 'zh'])).toBe('en');
    expect(chosenLang('', [])).toBe('en');
  });
});
