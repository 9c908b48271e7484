/** A button that takes a file of the reader's own; what is wrong with it is said in a line beside it. */

import { Refusal } from '../core/reading';
import { button } from './controls';
import type { FileSpec } from './demo';
import { html } from './dom';
import { label, onLang, t, type Text } from './i18n';

export function picker<S>({ label: name, hint, command, done, take }: FileSpec<S>, set: (patch: Partial<S>) => void): HTMLElement {
  const status = html('span', { class: 'status', role: 'status' });
  let said: Text = '';
  onLang(() => (status.textContent = t(said)));
  const say = (text: Text) => {
    said = text;
    status.textContent = t(text);
  };
  const input = html('input', { type: 'file', accept: '.json,application/json' });
  input.addEventListener('change', async () => {
    const [file] = input.files!;
    input.value = '';
    if (!file) return;
    try {
      set(take(await file.text()));
      say(done);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      say(error.text);
    }
  });
  return html('div', { class: 'picker' }, button(name, () => input.click()), html('span', { class: 'hint' }, label(html('span'), hint), ' ', html('code', {}, command)), status);
}
