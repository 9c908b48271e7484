/** Markdown with formulas and demo slots, to HTML, at build time. The conventions are in the README. */

import katex from 'katex';
import createMarkdown, { type MarkdownIt, type Token } from 'markdown-it';
import cjkFriendly from 'markdown-it-cjk-friendly';
import { glossary, glossaryHtml } from './glossary.ts';

export type Lang = 'en' | 'zh';

export interface Page {
  title: string;
  html: string;
  /** Level and text of every heading below the title, with the id it has on the page. */
  headings: { level: number; id: string; text: string }[];
  demos: string[];
  formulas: { tex: string; display: boolean }[];
}

const SLOT = /^::(demo|results|glossary|fold|end)\{([^}]*)\}$/;
const CALLOUTS = { try: /^(Try\.|动手试。)$/, notice: /^(Notice\.|留意。)$/ };

/** A formula of few symbols is not broken between lines. */
const isShort = (tex: string): boolean => tex.replace(/\\(mathbb|mathcal|mathrm|left|right|hat|tfrac|,|;|\|)|[{}^_\\$ ]/g, '').length <= 26;
/** No line breaks here. */
const GLUE = '\u2060';

/** Statements side by side are formulas of their own, so that they stand below one another where it is narrow. */
const pieces = (tex: string): string[] => tex.split(/\\qquad|(?=\\quad\\Longrightarrow)/);

const { escapeHtml } = createMarkdown().utils;

const formula = (tex: string, display: boolean) =>
  katex.renderToString(tex, { displayMode: display, throwOnError: true, strict: 'ignore' });

/** `$tex$` within a line; `\$` is a dollar. */
function inlineMath(md: MarkdownIt): void {
  md.inline.ruler.after('escape', 'math', (state, silent) => {
    if (state.src[state.pos] !== '$') return false;
    const match = /^\$((?:[^$\\\n]|\\.|\n(?!\n))+?)\$/.exec(state.src.slice(state.pos));
    if (!match) return false;
    if (!silent) state.push('math', '', 0).content = match[1]!;
    state.pos += match[0].length;
    return true;
  });
  md.renderer.rules.math = (tokens, i) => {
    const { content, meta } = tokens[i]!;
    const { before, after } = meta as Around;
    const parts = [before, formula(content, false), escapeHtml(after)].filter((part) => part !== '');
    return isShort(content) ? `<span class="unbroken">${parts.join('')}</span>` : parts.join(GLUE);
  };
}

/** `$$` on its own line, the formula, `$$` on its own line; or `$$tex$$` on one line. */
function displayMath(md: MarkdownIt): void {
  md.block.ruler.before(
    'fence',
    'display',
    (state, start, end, silent) => {
      const line = (n: number) => state.src.slice(state.bMarks[n]! + state.tShift[n]!, state.eMarks[n]!).trim();
      if (!line(start).startsWith('$$')) return false;
      if (silent) return true;
      const lines = [line(start).slice(2)];
      let next = start + 1;
      while (!lines.at(-1)!.endsWith('$$') && next < end) lines.push(line(next++));
      if (!lines.at(-1)!.endsWith('$$')) throw new Error(`a formula does not end: ${lines[0] || lines[1]}`);
      state.push('display', '', 0).content = lines.join('\n').slice(0, -2).trim();
      state.line = next;
      return true;
    },
    { alt: ['paragraph', 'blockquote', 'list'] },
  );
  md.renderer.rules.display = (tokens, i) =>
    `<div class="formula">${pieces(tokens[i]!.content).map((tex) => formula(tex, true)).join('')}</div>\n`;
}

/** `::demo{d4}` on its own line becomes the place where the demo is mounted; what is between `::fold{Title}` and `::end{}` is folded. */
function slots(md: MarkdownIt): void {
  md.block.ruler.before(
    'paragraph',
    'slot',
    (state, start, _end, silent) => {
      const match = SLOT.exec(state.src.slice(state.bMarks[start]! + state.tShift[start]!, state.eMarks[start]!).trim());
      if (!match) return false;
      if (!silent) state.push(match[1]!, '', 0).content = match[2]!;
      state.line = start + 1;
      return true;
    },
    { alt: ['paragraph'] },
  );
  md.renderer.rules.demo = (tokens, i) => `<div class="slot" data-demo="${tokens[i]!.content}"></div>\n`;
  md.renderer.rules.fold = (tokens, i) => `<details class="fold"><summary>${escapeHtml(tokens[i]!.content)}</summary>\n`;
  md.renderer.rules.end = () => '</details>\n';
}

/** A blockquote that opens with a bold "Try." or "Notice." gets that class. */
function callouts(md: MarkdownIt): void {
  md.core.ruler.push('callouts', ({ tokens }) => {
    tokens.forEach((token, i) => {
      if (token.type !== 'blockquote_open') return;
      const first = tokens[i + 2]?.children?.filter((child) => child.content).at(0)?.content ?? '';
      for (const [name, pattern] of Object.entries(CALLOUTS)) if (pattern.test(first)) token.attrSet('class', `callout ${name}`);
    });
  });
}

/** The corner of a table that is left empty is no heading. */
function corners(md: MarkdownIt): void {
  md.core.ruler.push('corners', ({ tokens }) => {
    tokens.forEach((token, i) => {
      if (token.type === 'th_open' && tokens[i + 1]!.content === '') token.tag = tokens[i + 2]!.tag = 'td';
    });
  });
}

/** Headings get the same ids in every language: s1, s2, ..., and s7-1, s7-2, ... below a section. */
function headingIds(tokens: Token[]): Page['headings'] {
  const headings: Page['headings'] = [];
  let [section, part] = [0, 0];
  tokens.forEach((token, i) => {
    if (token.type !== 'heading_open' || token.tag === 'h1') return;
    if (token.tag === 'h2') [section, part] = [section + 1, 0];
    else part++;
    const id = token.tag === 'h2' ? `s${section}` : `s${section}-${part}`;
    token.attrSet('id', id);
    headings.push({ level: Number(token.tag[1]), id, text: tokens[i + 1]!.content });
  });
  return headings;
}

const CJK = '[\\u3000-\\u303f\\u3400-\\u9fff\\uff00-\\uffef]';
const BROKEN_LINE = new RegExp(`(${CJK})\\n(?=${CJK})`, 'g');

/** The formulas and what stands around them: no line begins with a comma, none ends with an opening bracket. */
type Around = Record<'before' | 'after', string>;
const CLOSING = /^[，。、；：！？）」』”,.;:!?)\]’]+/;
const OPENING = /[（「『“(]+$/;
function punctuation(md: MarkdownIt): void {
  md.core.ruler.push('punctuation', ({ tokens }) => {
    for (const { children } of tokens) {
      children?.forEach((token, i) => {
        if (token.type !== 'math') return;
        const [before, after] = [children[i - 1], children[i + 1]];
        const around: Around = { before: '', after: '' };
        if (before?.type === 'text') before.content = before.content.replace(OPENING, (found) => ((around.before = found), ''));
        if (after?.type === 'text') after.content = after.content.replace(CLOSING, (found) => ((around.after = found), ''));
        token.meta = around;
      });
    }
  });
}

/** A preset is a button: what closes the sentence or the list item behind it stays on its line. */
function presets(md: MarkdownIt): void {
  md.core.ruler.push('presets', (state) => {
    const raw = (content: string) => Object.assign(new state.Token('html_inline', '', 0), { content });
    for (const { children } of state.tokens) {
      for (let end = (children?.length ?? 0) - 1; end > 0; end--) {
        const after = children![end + 1];
        if (children![end]!.type !== 'link_close' || after?.type !== 'text') continue;
        const start = children!.findLastIndex(({ type }, i) => i < end && type === 'link_open');
        const mark = CLOSING.exec(after.content)?.[0];
        if (!mark || !/^#d\d+\?/.test(String(children![start]!.attrGet('href') ?? ''))) continue;
        after.content = after.content.slice(mark.length);
        children!.splice(end + 1, 0, raw(`${escapeHtml(mark)}</span>`));
        children!.splice(start, 0, raw('<span class="unbroken">'));
      }
    }
  });
}

/** How long the text takes to read: 220 words or 380 Chinese characters a minute. */
function minutes(markdown: string): number {
  const text = markdown.replace(/\$\$[^]*?\$\$|```[^]*?```|^\|.*$/gm, '');
  const characters = text.match(/[\u3400-\u9fff]/g)?.length ?? 0;
  const words = text.replace(/[\u3400-\u9fff]/g, ' ').match(/\S*[A-Za-z]\S*/g)?.length ?? 0;
  return Math.round((words / 220 + characters / 380) / 5) * 5;
}

/** `{minutes}` becomes the time that the text takes, `::results{}` on its own line becomes `results`, the project's own measurements. */
export function render(source: string, results = '', lang?: Lang): Page {
  const markdown = source.replace('{minutes}', String(minutes(source)));
  const md = createMarkdown({ html: false }).use(cjkFriendly).use(inlineMath).use(displayMath).use(slots).use(callouts).use(corners).use(punctuation).use(presets);
  if (lang) glossary(md, lang);
  md.renderer.rules.results = () => results;
  md.renderer.rules.glossary = () => (lang ? glossaryHtml(lang) : '');
  md.renderer.rules.table_open = () => '<div class="table"><table>\n';
  md.renderer.rules.table_close = () => '</table></div>\n';
  const tokens = md.parse(markdown.replace(BROKEN_LINE, '$1'), {});
  const all = tokens.flatMap((token) => [token, ...(token.children ?? [])]);
  return {
    title: tokens[tokens.findIndex((token) => token.tag === 'h1') + 1]?.content ?? '',
    headings: headingIds(tokens),
    demos: all.filter((token) => token.type === 'demo').map((token) => token.content),
    formulas: all
      .filter((token) => token.type === 'math' || token.type === 'display')
      .map((token) => ({ tex: token.content, display: token.type === 'display' })),
    html: md.renderer.render(tokens, md.options, {}),
  };
}
