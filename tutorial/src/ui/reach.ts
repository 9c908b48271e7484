/** What is wider than its place can be scrolled: such a thing fades at its edge and is a stop for the Tab key. Others are not. */

import { attribute, type Text } from './i18n';

const NAMES: Record<string, Text> = {
  formula: { en: 'Formula, scrolls sideways', zh: '公式，可左右滚动' },
  table: { en: 'Table, scrolls sideways', zh: '表格，可左右滚动' },
  code: { en: 'Code, scrolls sideways', zh: '代码，可左右滚动' },
};

function mark(element: HTMLElement): void {
  const wide = element.scrollWidth > element.clientWidth + 1;
  if (wide === element.hasAttribute('data-wide')) return;
  element.toggleAttribute('data-wide', wide);
  for (const name of ['tabindex', 'role', 'aria-label']) if (!wide) element.removeAttribute(name);
  if (!wide) return;
  element.tabIndex = 0;
  element.setAttribute('role', 'group');
  attribute(element, 'aria-label', NAMES[element.matches('pre') ? 'code' : element.classList[0]!]!);
}

const watcher = new ResizeObserver((entries) => entries.forEach(({ target }) => mark(target as HTMLElement)));
let watched: HTMLElement[] = [];

/** Watches the formulas, tables and listings below `root`, and nothing watched before. */
export function watchWidths(root: HTMLElement): void {
  watcher.disconnect();
  watched = [...root.querySelectorAll<HTMLElement>('.formula, .table, pre')];
  watched.forEach((element) => watcher.observe(element));
  // A font that arrives widens what is in a box, and not the box.
  document.fonts.onloadingdone = () => watched.forEach(mark);
}

/** A swipe that only passes over a slider scrolls the page; what it changed on the way is put back. */
export function passable(input: HTMLInputElement, put: (value: number) => void): void {
  let before: number | undefined;
  input.addEventListener('touchstart', () => (before = input.valueAsNumber), { passive: true, capture: true });
  const cancelled = () => {
    if (before !== undefined) put(before);
    before = undefined;
  };
  input.addEventListener('pointercancel', cancelled);
  input.addEventListener('touchcancel', cancelled);
  input.addEventListener('touchend', () => (before = undefined));
}
