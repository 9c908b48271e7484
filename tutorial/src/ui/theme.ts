/** Light or dark: the system's choice until the reader makes one. */

import { html } from './dom';
import { attribute } from './i18n';
import { palette, type Palette } from './roles';

type Theme = 'light' | 'dark';

const listeners = new Set<() => void>();
let known: Palette | undefined;

/** The colours to draw with. */
export const colours = (): Palette => (known ??= palette());

export const onTheme = (listener: () => void): unknown => listeners.add(listener);

function changed(): void {
  known = undefined;
  listeners.forEach((listener) => listener());
}

const KEY = 'qgf-theme';
/** Pages from disk and private windows may have no storage. */
function stored(): Theme | undefined {
  try {
    const known = localStorage.getItem(KEY);
    return known === 'light' || known === 'dark' ? known : undefined;
  } catch {
    return undefined;
  }
}
function store(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Then it lasts as long as the page.
  }
}

/** The theme on screen. */
const theme = (): Theme =>
  (document.documentElement.dataset.theme as Theme | undefined) ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');

/** Wears `next`, or the system's choice again, and returns what was worn by choice before. */
export function wear(next: Theme | undefined): Theme | undefined {
  const { dataset } = document.documentElement;
  const before = dataset.theme as Theme | undefined;
  if (next) dataset.theme = next;
  else delete dataset.theme;
  changed();
  return before;
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);

export function themeButton(): HTMLButtonElement {
  const button = attribute(html('button', { type: 'button', class: 'theme' }), 'aria-label', { en: 'Light or dark', zh: '切换明暗' });
  button.addEventListener('click', () => {
    const next: Theme = theme() === 'dark' ? 'light' : 'dark';
    wear(next);
    store(next);
  });
  const known = stored();
  if (known) wear(known);
  return button;
}
