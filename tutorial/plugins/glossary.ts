/** Marks the first occurrence of every term in a section, and writes the list of all terms. */

import type { MarkdownIt, Token } from 'markdown-it';
import { GLOSSARY } from '../content/glossary.ts';
import type { Lang } from './content.ts';

/** Names of a language, longest first, so that "QGF-Jacobian" is not taken for "QGF". */
const namesOf = (lang: Lang) =>
  GLOSSARY.flatMap(({ id, [lang]: { names } }) => names.map((name) => ({ id, name }))).sort((a, b) => b.name.length - a.name.length);

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** One pattern for all names; a word of letters must stand alone. */
function patternOf(lang: Lang): RegExp {
  const one = ({ name }: { name: string }) => (/^[\x20-\x7e–’]+$/.test(name) ? `(?<![A-Za-z-])${escaped(name)}(?![A-Za-z])(?!-[A-Za-z])` : escaped(name));
  return new RegExp(namesOf(lang).map(one).join('|'), 'g');
}

const SKIPPED = new Set(['heading_open', 'th_open']);

export function glossary(md: MarkdownIt, lang: Lang): void {
  const ids = new Map(namesOf(lang).map(({ id, name }) => [name, id]));
  const pattern = patternOf(lang);
  md.core.ruler.push('terms', (state) => {
    let seen = new Set<string>();
    let opened = '';
    for (const token of state.tokens) {
      if (token.type === 'heading_open' && token.tag === 'h2') seen = new Set();
      if (/_open$/.test(token.type)) opened = token.type;
      if (!token.children || SKIPPED.has(opened)) continue;
      let inLink = 0;
      token.children = token.children.flatMap((child): Token[] => {
        if (child.type === 'link_open') inLink++;
        if (child.type === 'link_close') inLink--;
        if (child.type !== 'text' || inLink) return [child];
        const parts: Token[] = [];
        let at = 0;
        for (const match of child.content.matchAll(pattern)) {
          const id = ids.get(match[0])!;
          if (seen.has(id)) continue;
          seen.add(id);
          const text = new state.Token('text', '', 0);
          text.content = child.content.slice(at, match.index);
          const [open, name, close] = [new state.Token('link_open', 'a', 1), new state.Token('text', '', 0), new state.Token('link_close', 'a', -1)];
          open.attrSet('href', `#term-${id}`);
          open.attrSet('class', 'term');
          name.content = match[0];
          parts.push(text, open, name, close);
          at = match.index + match[0].length;
        }
        if (!parts.length) return [child];
        const rest = new state.Token('text', '', 0);
        rest.content = child.content.slice(at);
        return [...parts, rest];
      });
    }
  });
}

export const glossaryHtml = (lang: Lang): string =>
  `<dl class="glossary">\n${GLOSSARY.map(({ id, [lang]: { names, text } }) => `<dt id="term-${id}">${names[0]!.replaceAll('$', '')}</dt><dd>${text}</dd>`).join('\n')}\n</dl>\n`;
