/** The numbers of a demo: cards below the picture, notes within it, and a quiet voice for those who listen. */

import type { NoteSpec, ReadoutSpec } from './demo';
import { html } from './dom';
import { label, lang, onLang, t } from './i18n';
import { plain } from './markup';
import { fixed, type AnyState } from './params';
import { swatch } from './roles';
import type { Stage } from './stage';

type Reading = ReadoutSpec<AnyState, unknown>['items'][number];

const show = (reading: Reading, model: unknown, state: AnyState): string => {
  const value = reading.value(model, state);
  return typeof value === 'number' ? (reading.format ?? fixed(2))(value) : plain(t(value));
};

const PATIENCE = 700;

export interface Readouts {
  element: HTMLElement;
  update(model: unknown, state: AnyState): void;
  /** Says aloud, once the hand rests, what has changed. */
  announce(): void;
}

export function readouts(specs: readonly ReadoutSpec<AnyState, unknown>[]): Readouts {
  const shown: { name: () => string; reading: Reading; output: HTMLOutputElement; said: string }[] = [];
  const cards = specs.map(({ label: heading, role, items }) => {
    const marks = role ? [swatch(role)] : [];
    const rows = items.map((reading) => {
      const output = html('output', { 'data-key': reading.key, 'aria-live': 'off' });
      const name = () => [heading, reading.label].map((text) => (text ? plain(t(text)) : '')).join(' ').trim();
      shown.push({ name, reading, output, said: '' });
      const title = html('span', {}, ...(heading ? [] : marks), label(html('span'), reading.label));
      return html('div', { class: 'reading' }, title, output);
    });
    const title = heading ? [html('h4', {}, ...marks, label(html('span'), heading))] : [];
    return html('div', { class: 'card' }, ...title, ...rows);
  });
  const voice = html('p', { class: 'voice', role: 'status' });
  onLang(() => {
    voice.textContent = '';
    for (const item of shown) item.said = '';
  });
  let timer = 0;
  const speak = () => {
    const changed = shown.filter(({ output, said }) => output.textContent !== said);
    for (const item of changed) item.said = item.output.textContent;
    voice.textContent = changed.map(({ name, said }) => `${name()} ${said}`).join(lang() === 'zh' ? '；' : '; ');
  };
  return {
    element: html('div', { class: 'readouts' }, ...cards, voice),
    update(model, state) {
      for (const item of shown) {
        const text = show(item.reading, model, state);
        if (item.output.textContent !== text) item.output.textContent = text;
        // What stands there before anything was changed needs no saying.
        if (item.said === '') item.said = text;
      }
    },
    announce() {
      clearTimeout(timer);
      timer = window.setTimeout(speak, PATIENCE);
    },
  };
}

/** A number inside the picture. Returns the function that keeps it right. */
export function note(spec: NoteSpec<AnyState, unknown, string>, stage: Stage): (model: unknown, state: AnyState) => void {
  const output = html('output', { 'data-key': spec.key, 'aria-live': 'off', style: `color: var(--${spec.role})` });
  stage.notes.append(output);
  return (model, state) => {
    const at = spec.at(model, state);
    output.hidden = at === undefined;
    if (!at) return;
    const [x, y] = stage.place(at);
    output.style.translate = `${x}px ${y}px`;
    output.textContent = `${plain(t(spec.label))} ${show(spec, model, state)}`.trim();
  };
}
