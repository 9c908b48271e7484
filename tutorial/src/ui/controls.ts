/** The controls below a demo, one for each parameter that is not left to a handle. */

import { html } from './dom';
import { label, type Text } from './i18n';
import { holds, showNumber, type AnyState, type ChoiceParam, type NumberParam, type Params, type ToggleParam, type Value } from './params';
import { passable } from './reach';
import { ROLES, swatch, type Role } from './roles';

/** Shows `value` in the control. */
type Sync = (value: Value, state: AnyState) => void;
type Change = (value: Value) => void;
type Control = readonly [HTMLElement, Sync];

export function button(text: Text, click: () => void): HTMLButtonElement {
  const element = label(html('button', { type: 'button' }), text);
  element.addEventListener('click', click);
  return element;
}

function slider(key: string, param: NumberParam, change: Change): Control {
  const input = html('input', { type: 'range', min: param.min, max: param.max, step: param.step, name: key });
  const output = html('output', { 'data-key': `${key}-control`, 'aria-live': 'off' });
  input.addEventListener('input', () => change(input.valueAsNumber));
  passable(input, change);
  input.addEventListener('keydown', (event) => {
    if (!event.shiftKey || !event.key.startsWith('Arrow')) return;
    const sign = event.key === 'ArrowRight' || event.key === 'ArrowUp' ? 1 : -1;
    change(input.valueAsNumber + sign * 10 * param.step);
    event.preventDefault();
  });
  const element = html('label', { class: 'slider' }, label(html('span'), param.label), input, output);
  const sync: Sync = (value, state) => {
    element.hidden = !holds(param.when, state);
    const shown = showNumber(param, Number(value));
    input.value = String(value);
    input.setAttribute('aria-valuetext', shown);
    input.style.setProperty('--fill', `${(100 * (Number(value) - param.min)) / (param.max - param.min)}%`);
    output.textContent = shown;
  };
  return [element, sync];
}

function segments(id: string, key: string, param: ChoiceParam, change: Change): Control {
  const inputs = Object.entries(param.options).map(([value, text]) => {
    const input = html('input', { type: 'radio', name: `${id}-${key}`, value });
    input.addEventListener('change', () => change(value));
    const marks = value in ROLES ? [swatch(value as Role)] : [];
    return { input, element: html('label', {}, input, ...marks, label(html('span'), text)) };
  });
  const set = html('fieldset', { class: 'segments' }, label(html('legend'), param.label), ...inputs.map(({ element }) => element));
  return [set, (value) => inputs.forEach(({ input }) => (input.checked = input.value === value))];
}

function checkbox(key: string, param: ToggleParam, change: Change): Control {
  const input = html('input', { type: 'checkbox', name: key });
  input.addEventListener('change', () => change(input.checked));
  return [html('label', { class: 'checkbox' }, input, label(html('span'), param.label)), (value) => (input.checked = value === true)];
}

function control(id: string, key: string, params: Params, change: Change): Control | undefined {
  const param = params[key]!;
  switch (param.kind) {
    case 'number':
      return param.slider === false ? undefined : slider(key, param, change);
    case 'choice':
      return param.hidden ? undefined : segments(id, key, param, change);
    case 'toggle':
      return checkbox(key, param, change);
    case 'playhead':
      return undefined;
  }
}

/** All of a demo's controls, and a function that shows a state in them. */
export function controls(id: string, params: Params, set: (patch: AnyState) => void): { elements: HTMLElement[]; sync: (state: AnyState) => void } {
  const elements: HTMLElement[] = [];
  const syncs: [string, Sync][] = [];
  for (const key of Object.keys(params)) {
    const made = control(id, key, params, (value) => set({ [key]: value }));
    if (!made) continue;
    elements.push(made[0]);
    syncs.push([key, made[1]]);
  }
  return { elements, sync: (state) => syncs.forEach(([key, sync]) => sync(state[key]!, state)) };
}
