/** Two languages as equals: every text is a pair, and every element that shows one follows the switch. */

import { inline, plain } from './markup';

export type Lang = 'en' | 'zh';
export const LANGS: Record<Lang, { name: string; tag: string }> = {
  en: { name: 'EN', tag: 'en' },
  zh: { name: '中文', tag: 'zh-Hans' },
};

/** A text in both languages. Markup: `*a*` italic, `a_t` or `a_{max}` subscript. A name that needs no translation is a string. */
export type Text = Readonly<Record<Lang, string>> | string;

/** The language that a page's query asks for, or else the first of the reader's own that there is. */
export function chosenLang(search: string, own: readonly string[]): Lang {
  const asked = new URLSearchParams(search).get('lang');
  if (asked !== null && Object.hasOwn(LANGS, asked)) return asked as Lang;
  return own[0]?.startsWith('zh') ? 'zh' : 'en';
}

let current: Lang = 'en';
const listeners = new Set<() => void>();

export const lang = (): Lang => current;
export const t = (text: Text): string => (typeof text === 'string' ? text : text[current]);

export function setLang(next: Lang): void {
  current = next;
  document.documentElement.lang = LANGS[next].tag;
  listeners.forEach((listener) => listener());
}

/** Calls `show` now and after every switch of language. */
export function onLang(show: () => void): void {
  listeners.add(show);
  show();
}

/** Keeps the content of `element` showing `text`. */
export function label<E extends HTMLElement>(element: E, text: Text): E {
  onLang(() => element.replaceChildren(...inline(t(text))));
  return element;
}

/** Keeps an attribute of `element` showing `text`, without its markup. */
export function attribute<E extends Element>(element: E, name: string, text: Text): E {
  onLang(() => element.setAttribute(name, plain(t(text))));
  return element;
}
