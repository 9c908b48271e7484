/** Every term of the text is defined, in both languages, and every definition is of use. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { GLOSSARY } from '../content/glossary';
import { render } from '../plugins/content';

const LANGS = ['en', 'zh'] as const;
const source = (lang: string) => readFileSync(new URL(`../content/${lang}.md`, import.meta.url), 'utf8');
/** Names that are no terms: of this page, its package and panels, of files and of families of tasks. */
const PLAIN = new Set(['Q-Guided', 'JSON', 'MIT', 'ODE', 'BC', 'LICENCE', 'RUN', 'BibTeX', 'QGF', 'JavaScript', 'TD']);

describe.each(LANGS)('%s', (lang) => {
  const { html } = render(source(lang), '', lang);
  const linked = new Set([...html.matchAll(/<a href="#term-([\w-]+)" class="term"/g)].map(([, id]) => id!));

  test('every term that is defined occurs in the text, and every mark has its definition', () => {
    expect([...linked].sort()).toEqual(GLOSSARY.map(({ id }) => id).sort());
    for (const id of linked) expect(html.match(new RegExp(`<dt id="term-${id}">`, 'g'))).toHaveLength(1);
  });

  test('every abbreviation and every name of a method is defined', () => {
    const known = new Set(GLOSSARY.flatMap((term) => term[lang].names));
    const text = source(lang).replace(/```[^]*?```|\$\$[^]*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|::\w+\{[^}]*\}/g, ' ');
    const found = new Set(text.match(/(?<![A-Za-z-])[A-Z]+[a-z]*[A-Z]+[A-Za-z]*(-[A-Z][a-z]+)?(\+BC)?/g));
    expect([...found].filter((name) => !known.has(name) && !PLAIN.has(name))).toEqual([]);
  });

  test('a term is marked once in a section, not within links or headings', () => {
    for (const section of html.split('<h2')) {
      const marks = [...section.split('<dl')[0]!.matchAll(/href="#term-([\w-]+)"/g)].map(([, id]) => id);
      expect(new Set(marks).size).toBe(marks.length);
    }
    expect(html).not.toMatch(/<h[1-3][^>]*>[^\n]*class="term"/);
    expect(html).not.toMatch(/<a [^>]*>[^<]*<a /);
  });
});

test('both languages define the same terms, each in one short text', () => {
  expect(new Set(GLOSSARY.map(({ id }) => id)).size).toBe(GLOSSARY.length);
  for (const { en, zh } of GLOSSARY) {
    expect(en.text.length).toBeLessThan(240);
    expect(zh.text.length).toBeLessThan(120);
    expect(en.text).toMatch(/\.$/);
    expect(zh.text).toMatch(/。$/);
  }
});
