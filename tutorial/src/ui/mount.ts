/** Puts a demo on the page: its figure, and the loop from a change of state to the picture. */

import { invalidate, pause, play, reducedMotion } from './clock';
import { button, controls } from './controls';
import type { AnyDemo, DemoSpec, HandleSpec, MarkSpec, NoteSpec, ReadoutSpec, StageSpec } from './demo';
import { html } from './dom';
import { handle, type Handle } from './handle';
import { marks } from './marks';
import { label, onLang, t, type Text } from './i18n';
import { snap, tidy, type AnyState, type NumberParam, type Params } from './params';
import type { Pen } from './pen';
import { picker } from './picker';
import { playback } from './playback';
import { note, readouts } from './readouts';
import { reelOf } from './reel';
import { Stage } from './stage';
import { colours, onTheme } from './theme';
import { linkOf, remember, splitLink, stateOf } from './urlState';

export interface Mounted {
  figure: HTMLElement;
  /** Brings back the state of a link's query. */
  restore(query: string): void;
  /** Rings one of its marks, or none. */
  point(mark: string | undefined): void;
}

const ENOUGH = 0.6;
/** A glide from state to state takes this long, in seconds. */
const GLIDE = 0.4;

const COPY = { en: 'Copy link', zh: '复制链接' };
const COPIED = { en: 'Copied', zh: '已复制' };
const IN_BAR = { en: 'It is in the address bar', zh: '链接在地址栏里' };

/** `number`: its place among the demos of the text. */
export function mount(demo: AnyDemo, number: number): Mounted {
  const params: Params = demo.params;
  const here = splitLink(location.hash);
  let linked = here.id === demo.id && here.query !== undefined;
  let state: AnyState = linked ? stateOf(demo, here.query!) : demo.defaults;
  let onScreen = false;
  let drawn = false;

  const change = (patch: AnyState) => {
    state = { ...state, ...patch };
    if (onScreen) invalidate(redraw);
  };
  let gliding: ((seconds: number) => void) | undefined;
  const land = () => {
    if (gliding) pause(gliding);
    gliding = undefined;
  };
  /** What cannot be passed through in between: the old picture fades instead. */
  const leaps = (next: AnyState) => Object.keys(next).some((key) => next[key] !== state[key] && leap(key));
  const leap = (key: string) => !['number', 'playhead'].includes(params[key]!.kind) || (params[key] as NumberParam).jumps === true;
  const fade = (next: AnyState) => {
    if (onScreen && drawn && !reducedMotion() && leaps(next)) stages.forEach(([, one]) => one.leave());
  };
  /** A change by the reader's hand. */
  const set = (patch: AnyState) => {
    land();
    const next = tidy(params, { ...state, ...patch, ...demo.along?.(patch, state) });
    fade(next);
    change(next);
    numbers.announce();
    remember(linkOf(demo, state));
  };
  /** To a whole new state, in a moment: numbers glide, the rest changes at once. */
  const glide = (target: AnyState) => {
    land();
    if (!onScreen || !drawn || reducedMotion()) {
      state = target;
      redraw();
      return;
    }
    fade(target);
    const from = state;
    let spent = 0;
    gliding = (seconds) => {
      spent += seconds;
      const u = Math.min(spent / GLIDE, 1);
      const share = u * u * (3 - 2 * u);
      const between = (key: string) => (leap(key) ? target[key]! : snap(params[key]!, Number(from[key]) + share * (Number(target[key]) - Number(from[key]))));
      if (u === 1) land();
      change(Object.fromEntries(Object.keys(target).map((key) => [key, between(key)])));
    };
    play(gliding);
  };

  const stages = Object.entries<StageSpec<unknown>>(demo.stages).map(([name, spec]) => [name, new Stage(spec, () => onScreen && redraw(), demo.hero)] as const);
  const stage = (name: string) => stages.find(([known]) => known === name)![1];
  const handles = ((demo.handles ?? []) as HandleSpec<AnyState, unknown, string>[]).flatMap((spec) =>
    [spec.stage].flat().map((name, i, all) => handle(spec, params, stage(name), () => state, set, all.length > 1 ? i + 1 : undefined)),
  );
  // A tap places the nearest handle, for those who cannot drag.
  for (const [, { element }] of stages) {
    element.querySelector('.plot')!.addEventListener('click', (event) => {
      const near = handles.filter(({ within }) => within(element)).map((one) => [one.distance(event as PointerEvent), one] as const);
      const [, nearest] = near.reduce((best, other) => (other[0] < best[0] ? other : best), [Infinity, undefined] as const as readonly [number, Handle | undefined]);
      nearest?.place(event as PointerEvent);
    });
  }
  const notes = ((demo.notes ?? []) as NoteSpec<AnyState, unknown, string>[]).map((spec) => note(spec, stage(spec.stage)));
  const pointed = marks(demo.id, (demo.marks ?? {}) as Record<string, MarkSpec<AnyState, unknown, string>>, stage);
  const numbers = readouts((demo.readouts ?? []) as ReadoutSpec<AnyState, unknown>[]);
  const panel = controls(demo.id, params, set);
  const reel = reelOf(params, demo.film);
  const film = reel && playback(reel, () => state, set, change, () => linked);
  const body: HTMLElement | undefined = demo.body?.(set);

  const actions = (demo.actions ?? []) as NonNullable<DemoSpec<Params, unknown, string, AnyState>['actions']>;
  const buttons = actions.map(({ label, run, restart }) =>
    button(label, () => {
      set(run(state) as AnyState);
      if (restart && film) film.restart();
    }),
  );
  const reset = button({ en: 'Reset', zh: '重置' }, () => {
    if (film) film.stop();
    glide(demo.defaults);
    remember(linkOf(demo, demo.defaults));
  });
  const copy = button(COPY, () => {
    const link = new URL(linkOf(demo, tidy(params, state)), location.href).href;
    history.replaceState(null, '', link);
    const say = (text: Text) => {
      copied.textContent = t(text);
      window.setTimeout(() => (copied.textContent = ''), 3000);
    };
    // Outside https and this machine there is no clipboard; the address bar holds the link in any case.
    const written = navigator.clipboard?.writeText(link) ?? Promise.reject(new Error('no clipboard'));
    written.then(
      () => say(COPIED),
      () => say(IN_BAR),
    );
  });
  const copied = html('span', { class: 'copied', role: 'status' });

  // The first of all stands before the sections and not within one.
  const heading = html('h3', { id: `${demo.id}-title`, ...(demo.hero && { 'aria-level': 2 }) }, html('span', { class: 'tag' }, String(number)), label(html('span'), demo.title));
  const head = html('div', { class: 'head' }, heading, html('div', { class: 'tools' }, copied, copy, reset));
  const tries = html('div', { class: 'try' });
  const figure = html(
    'figure',
    { class: ['demo', ...(demo.hero ? ['hero'] : []), ...(demo.beside ? ['beside'] : [])].join(' '), id: demo.id, tabindex: -1, 'aria-labelledby': `${demo.id}-title` },
    ...(demo.hero ? [] : [head, tries]),
    ...(body ? [body] : []),
    html('div', { class: 'stages', 'data-pin': demo.hero ? 'no' : stages.length === 1 || (demo.columns?.narrow ?? 1) > 1 ? 'all' : 'first', style: `--wide: ${demo.columns?.wide ?? 1}; --narrow: ${demo.columns?.narrow ?? 1}` }, ...stages.map(([, { element }]) => element)),
    ...(film ? [film.element] : []),
    html('div', { class: 'controls' }, ...panel.elements, ...(buttons.length ? [html('div', { class: 'buttons' }, ...buttons)] : []), ...(demo.file ? [picker(demo.file, set)] : [])),
    ...(demo.hero ? [tries, head] : []),
    html('div', { class: 'notices' }),
    numbers.element,
    ...(demo.note ? [label(html('figcaption'), demo.note)] : []),
  );

  function redraw(): void {
    const model: unknown = demo.compute(state);
    const pens = Object.fromEntries(stages.map(([name, stage]) => [name, stage.prepare(model, colours())])) as Record<string, Pen>;
    const picture = () => demo.draw({ state, model, pens, body });
    Object.values(pens).reduceRight((inner, pen) => () => pen.draw(inner), picture)();
    handles.forEach((handle) => handle.update(model, state));
    notes.forEach((update) => update(model, state));
    pointed.update(model, state);
    numbers.update(model, state);
    panel.sync(state);
    if (film) film.sync(state);
    if (!drawn) performance.mark(`drawn ${demo.id}`);
    drawn = true;
  }

  new IntersectionObserver(
    ([entry]) => {
      onScreen = entry!.isIntersecting;
      if (onScreen) invalidate(redraw);
      if (film) film.visible(onScreen, false);
    },
    { rootMargin: '100px' },
  ).observe(figure);
  // Drawn for the first time a window's height before it comes.
  const ahead = new IntersectionObserver(
    ([entry]) => {
      if (!entry!.isIntersecting) return;
      ahead.disconnect();
      if (!drawn) invalidate(redraw);
    },
    { rootMargin: '100% 0px' },
  );
  ahead.observe(figure);
  // A film begins when most of its picture is seen, or most of the window is filled by it.
  const pictures = figure.querySelector('.stages')!;
  new IntersectionObserver(
    ([entry]) => {
      const { intersectionRatio, intersectionRect, rootBounds } = entry!;
      if (film && (intersectionRatio >= ENOUGH || intersectionRect.height >= ENOUGH * (rootBounds?.height ?? Infinity))) film.visible(true, true);
    },
    { threshold: [0.2, 0.4, ENOUGH, 0.8] },
  ).observe(pictures);
  onLang(() => onScreen && invalidate(redraw));
  onTheme(() => onScreen && invalidate(redraw));
  // Draws at once, on screen or not: for paper, and for whoever measures.
  figure.addEventListener('redraw', redraw);
  for (const [event, yes] of [['beforeprint', true], ['afterprint', false]] as const) {
    figure.addEventListener(event, () => {
      if (film) film.finish(yes);
      stages.forEach(([, one]) => one.fit());
      redraw();
    });
  }

  return {
    figure,
    point: pointed.ring,
    restore(query) {
      linked = true;
      const target = stateOf(demo, query);
      // A film that loops goes on, unless the link asks for a frame of it.
      const loops = reel?.playhead && reel.loop && !Object.keys(reel.to(0)).some((key) => new URLSearchParams(query).has(key));
      if (film && !loops) film.stop();
      glide(loops ? { ...target, ...reel.to(reel.at(state)) } : target);
    },
  };
}
