/** What a demo is: a record. `src/demos/dN.ts` exports one by default; everything else follows from it. */

import type { Point } from '../core/vector';
import type { Text } from './i18n';
import { defaultsOf, type Params, type State, type When } from './params';
import type { Pen } from './pen';
import type { Role } from './roles';

export interface Axis<M> {
  domain: Point | ((model: M) => Point);
  label?: Text;
  ticks?: readonly number[];
  /** Logarithmic beyond +-symlog, linear within. */
  symlog?: number;
  /** No line, ticks or numbers. */
  hidden?: boolean;
}

/** One panel: a canvas with scales. */
export interface StageSpec<M> {
  /** What the picture shows, for those who do not see it. */
  label: Text;
  /** A heading above the panel. */
  title?: Text;
  x: Axis<M>;
  y: Axis<M>;
  /** Width over height of the plotting area. */
  ratio: number;
  /** The same on a narrow screen. */
  narrow?: number;
  /** One unit is as long on x as on y: the x domain widens or narrows around its centre until it is. */
  equal?: boolean;
}

/** A draggable point, tied to number parameters. */
export interface HandleSpec<S, M, Stage> {
  stage: Stage | readonly Stage[];
  label: Text;
  role: Role;
  /** The parameters that it moves. */
  x?: keyof S & string;
  y?: keyof S & string;
  /** Where it is; default: at its parameters. */
  at?: (model: M, state: S) => Point;
  /** Shown only while parameters have these values. */
  when?: When;
}

interface Reading<S, M> {
  key: string;
  label: Text;
  value: (model: M, state: S) => number | Text;
  /** How a number is written; default two digits. */
  format?: (value: number) => string;
}

/** Numbers below the picture, in a card that may carry the look of a role. */
export interface ReadoutSpec<S, M> {
  label?: Text;
  role?: Role;
  items: readonly Reading<S, M>[];
}

/** A number inside the picture; hidden while `at` is undefined. */
export interface NoteSpec<S, M, Stage> extends Reading<S, M> {
  stage: Stage;
  role: Role;
  at: (model: M, state: S) => Point | undefined;
}

/** A place in a picture; none while `at` is undefined. */
export interface MarkSpec<S, M, Stage> {
  stage: Stage;
  at: (model: M, state: S) => Point | undefined;
}

/** A film that moves parameters which have controls of their own. */
export interface Film<S> {
  seconds: number;
  /** Presses of Step from beginning to end. */
  steps: number;
  loop?: boolean;
  /** Where the film is in a state, 0 to 1, and the values that it gives the parameters there. */
  at: (state: S) => number;
  to: (u: number) => Partial<S>;
}

/** The film in which one number runs through its range, or a part of it. */
export function sweep<K extends string>(key: K, [from, to]: Point, seconds: number, steps = 50): Film<Readonly<Record<K, number>>> {
  return {
    seconds,
    steps,
    at: (state) => Math.min(Math.max((state[key] - from) / (to - from), 0), 1),
    to: (u) => ({ [key]: from + u * (to - from) }) as Readonly<Record<K, number>>,
  };
}

export interface FileSpec<S> {
  label: Text;
  hint: Text;
  command: string;
  /** Said when it was taken. */
  done: Text;
  take: (text: string) => Partial<S>;
}

export interface View<S, M, Stage extends string> {
  state: S;
  model: M;
  pens: Readonly<Record<Stage, Pen>>;
  /** The element that `body` returned. */
  body: HTMLElement | undefined;
}

export interface DemoSpec<P extends Params, M, Stage extends string, S = State<P>> {
  id: string;
  title: Text;
  /** What the reader must know to read the picture honestly; shown below it. */
  note?: Text;
  params: P;
  /** Everything that is shown, from the state alone. Pure. */
  compute: (state: S) => M;
  stages: Readonly<Record<Stage, StageSpec<NoInfer<M>>>>;
  /** The page's first screen: as wide as the window, the title laid upon it. */
  hero?: boolean;
  /** The body stands beside the picture where there is room. */
  beside?: boolean;
  /** Things in the picture that words of the text point at, `[the spike](#d6:left)`, and the other way round. */
  marks?: Readonly<Record<string, MarkSpec<S, NoInfer<M>, NoInfer<Stage>>>>;
  /** Panels side by side on a wide screen, and on a narrow one; default 1. */
  columns?: { wide: number; narrow: number };
  handles?: readonly HandleSpec<S, NoInfer<M>, NoInfer<Stage>>[];
  readouts?: readonly ReadoutSpec<S, NoInfer<M>>[];
  notes?: readonly NoteSpec<S, NoInfer<M>, NoInfer<Stage>>[];
  /** Buttons; `restart` plays the film from its beginning. */
  actions?: readonly { label: Text; run: (state: S) => Partial<S>; restart?: boolean }[];
  /** What Play moves, in a demo without a playhead. */
  film?: Film<NoInfer<S>>;
  /** What a change by hand brings with it, from the state before. */
  along?: (patch: Partial<S>, before: S) => Partial<S>;
  /** A picture that is not a stage, built once; `set` changes the state. */
  body?: (set: (patch: Partial<S>) => void) => HTMLElement;
  /** A file of the reader's own: `take` gives the change that its text makes, or throws a Refusal. `command` writes such a file. */
  file?: FileSpec<S>;
  draw: (view: View<S, NoInfer<M>, NoInfer<Stage>>) => void;
}

export type Demo<P extends Params = Params, M = unknown, Stage extends string = string, S = State<P>> = DemoSpec<P, M, Stage, S> & {
  defaults: S;
};

export function defineDemo<P extends Params, M, Stage extends string = never>(spec: DemoSpec<P, M, Stage>): Demo<P, M, Stage> {
  return { ...spec, defaults: defaultsOf(spec.params) };
}

/** A demo of any kind, as the page handles it: its parameters say what its state may hold. */
export type AnyDemo = Demo<any, any, any, any>;
