/** A demo's parameters: what a control shows, what a link may hold, how far a handle goes. */

import { lang, type Text } from './i18n';

/** Values of parameters. */
export type When = Readonly<Record<string, string | number | boolean>>;
export const holds = (when: When | undefined, state: AnyState): boolean => !when || Object.entries(when).every(([key, value]) => state[key] === value);

interface Common {
  label: Text;
}

export interface NumberParam extends Common {
  kind: 'number';
  value: number;
  min: number;
  max: number;
  /** Values are multiples of it above `min`; an arrow key moves by one step, with Shift or Page keys by ten. */
  step: number;
  /** How the value is written; default: with the digits of the step. */
  show?: (value: number) => string;
  /** False for a value that only a handle or a button changes. */
  slider?: boolean;
  /** Shown only while other parameters have these values. */
  when?: When;
  /** Values in between mean nothing: a seed. */
  jumps?: boolean;
}

export interface ChoiceParam<K extends string = string> extends Common {
  kind: 'choice';
  value: K;
  options: Readonly<Record<K, Text>>;
  /** True for a value that only a button changes. */
  hidden?: boolean;
}

export interface ToggleParam extends Common {
  kind: 'toggle';
  value: boolean;
}

/** How far the demo's film has run, 0 to 1; at most one in a demo. */
export interface PlayheadParam extends Common {
  kind: 'playhead';
  value: number;
  /** Length of the film. */
  seconds: number;
  /** How many presses of Step it takes; or the name of the number parameter that says so. */
  steps: number | string;
  loop?: boolean;
  /** Start when first seen, unless motion is unwanted or a link asked for a certain frame. */
  autoplay?: boolean;
}

export type Param = NumberParam | ChoiceParam | ToggleParam | PlayheadParam;
export type Params = Readonly<Record<string, Param>>;
export type Value = number | string | boolean;
export type AnyState = Readonly<Record<string, Value>>;

type ValueOf<P> = P extends { kind: 'choice'; options: Readonly<Record<infer K, Text>> } ? K : P extends { kind: 'toggle' } ? boolean : number;
export type State<P> = { readonly [K in keyof P]: ValueOf<P[K]> };

export const number = (spec: Omit<NumberParam, 'kind'>): NumberParam => ({ kind: 'number', ...spec });
export const choice = <K extends string>(spec: { label: Text; value: NoInfer<K>; options: Readonly<Record<K, Text>>; hidden?: boolean }): ChoiceParam<K> => ({
  kind: 'choice',
  ...spec,
});
export const toggle = (spec: Omit<ToggleParam, 'kind'>): ToggleParam => ({ kind: 'toggle', ...spec });
export const playhead = (spec: Omit<PlayheadParam, 'kind' | 'label'>): PlayheadParam => ({
  kind: 'playhead',
  label: { en: 'Progress', zh: '进度' },
  ...spec,
});

/** A seed; give the demo `newSeed` among its actions. */
export const seed = (value = 1): NumberParam =>
  number({ label: { en: 'Seed', zh: '随机种子' }, value, min: 1, max: 999, step: 1, slider: false, jumps: true });
export const newSeed = {
  label: { en: 'New seed', zh: '换一个种子' },
  run: (state: { seed: number }) => ({ seed: (state.seed % 999) + 1 }),
};

export const defaultsOf = <P extends Params>(params: P): State<P> =>
  Object.fromEntries(Object.entries(params).map(([key, param]) => [key, param.value])) as State<P>;

const decimals = (step: number): number => Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));

/** The nearest value that the parameter can take. */
export function snap(param: Param, value: Value): Value {
  switch (param.kind) {
    case 'number': {
      const steps = Math.round((Number(value) - param.min) / param.step);
      const snapped = Number((param.min + steps * param.step).toFixed(decimals(param.step) + 2));
      return Math.min(Math.max(snapped, param.min), param.max);
    }
    case 'playhead':
      return Number(Math.min(Math.max(Number(value), 0), 1).toFixed(6));
    default:
      return value;
  }
}

/** A state whose every value is one that its parameter can take. */
export const tidy = (params: Params, state: AnyState): AnyState => Object.fromEntries(Object.entries(state).map(([key, value]) => [key, snap(params[key]!, value)]));

/** The value that a link writes as `text`; undefined if it means nothing here. */
export function parse(param: Param, text: string): Value | undefined {
  switch (param.kind) {
    case 'toggle':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'choice':
      return Object.hasOwn(param.options, text) ? text : undefined;
    default:
      return text.trim() !== '' && Number.isFinite(Number(text)) ? snap(param, Number(text)) : undefined;
  }
}

/** Numbers with a true minus sign. */
export const fixed = (digits: number) => (value: number): string => {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace('-', '') : text).replace('-', '−');
};
/** About three digits that matter, however large the number. */
export const compact = (value: number): string => fixed(Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : Math.abs(value) >= 0.9995 ? 2 : 3)(value);
/** With a space in English, without one in Chinese. */
export const percent = (value: number): string => `${fixed(0)(100 * value)}${lang() === 'zh' ? '' : ' '}%`;

export const showNumber = (param: NumberParam, value: number): string => (param.show ?? fixed(decimals(param.step)))(value);
