/** Both languages are equals: same sections, same demos in the same places, same formulas. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { render } from '../plugins/content';

const page = (lang: string) => render(readFileSync(new URL(`../content/${lang}.md`, import.meta.url), 'utf8'));
const [en, zh] = [page('en'), page('zh')];

/** A formula without the words in it. */
const symbols = (tex: string) => tex.replace(/\\(text|mathrm|textbf)\{[^}]*\}/g, '').replace(/\s+/g, '');
const blocks = (html: string) => [...html.matchAll(/^<(h\d|p|ul|ol|blockquote|pre|details|\/details|div class="\w+")/gm)].map(([, tag]) => tag);

describe('English and Chinese', () => {
  test('have the same headings', () => {
    expect(zh.headings.map(({ id }) => id)).toEqual(en.headings.map(({ id }) => id));
    expect(en.headings.filter(({ level }) => level === 2)).toHaveLength(10);
  });

  test('show the same demos in the same places', () => {
    expect(zh.demos).toEqual(en.demos);
    expect(new Set(en.demos).size).toBe(en.demos.length);
    expect(blocks(zh.html)).toEqual(blocks(en.html));
  });

  test('display the same formulas', () => {
    const displayed = ({ formulas }: typeof en) => formulas.filter(({ display }) => display).map(({ tex }) => symbols(tex));
    expect(displayed(zh)).toEqual(displayed(en));
  });

  test('use the same symbols in the text', () => {
    const used = ({ formulas }: typeof en) => [...new Set(formulas.map(({ tex }) => symbols(tex)))].sort();
    expect(used(zh)).toEqual(used(en));
  });
});

describe('the markdown', () => {
  test('formulas, demos, callouts', () => {
    const { html, demos, formulas } = render('# T\n\n## A\n\nLet $a_t$.\n\n$$\nx^2\n$$\n\n::demo{d4}\n\n> **留意。** 中文\n> 断行\n');
    expect(demos).toEqual(['d4']);
    expect(formulas).toEqual([
      { tex: 'a_t', display: false },
      { tex: 'x^2', display: true },
    ]);
    expect(html).toContain('<h2 id="s1">');
    expect(html).toContain('class="callout notice"');
    expect(html).toContain('data-demo="d4"');
  });

  test('results stand where the text wants them', () => {
    expect(render('before\n\n::results{}\n\nafter', '<p>ours</p>\n').html).toBe('<p>before</p>\n<p>ours</p>\n<p>after</p>\n');
    expect(render('before\n\n::results{}\n\nafter').html).toBe('<p>before</p>\n<p>after</p>\n');
  });

  test('no line begins with the comma behind a formula, or ends with the bracket before it', () => {
    const { html } = render('甲（$a$）；乙 $t=0.8$，丙');
    expect(html).toMatch(/甲<span class="unbroken">（<span.*<\/span>）；<\/span>乙/);
    expect(html).toMatch(/<span class="unbroken"><span.*<\/span>，<\/span>丙/);
    const long = render('甲 $\\mathbb{E}[Q(s,a_1)\\mid a_t=a]=\\log Z(s)+Q(s,\\hat a_1)+Q(s,a_t)$，乙').html;
    expect(long).not.toContain('unbroken');
    expect(long).toMatch(/\u2060，乙/);
  });

  test('a Chinese line break leaves no space', () => {
    expect(render('甲乙\n丙丁').html).toContain('甲乙丙丁');
    expect(render('left\nright').html).toContain('left\nright');
  });

  test('bold next to Chinese punctuation', () => {
    expect(render('**「引导」**一词').html).toContain('<strong>');
  });

  test('an unfinished formula is an error', () => {
    expect(() => render('$$\nx')).toThrow(/does not end/);
  });
});
