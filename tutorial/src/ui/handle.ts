/** A point that is dragged by pointer, touch or arrow keys; to a screen reader, a slider. */

import type { Point } from '../core/vector';
import type { HandleSpec } from './demo';
import { svg } from './dom';
import { attribute, lang, t } from './i18n';
import { plain } from './markup';
import { holds, showNumber, type AnyState, type NumberParam, type Params } from './params';
import { markerPath } from './roles';
import type { Stage } from './stage';

export interface Handle {
  /** Follows the state. */
  update(model: unknown, state: AnyState): void;
  /** Whether it lives in this element and is to be seen. */
  within(element: HTMLElement): boolean;
  /** From a pointer, in pixels; along the one way it can move if there is only one. */
  distance(event: PointerEvent): number;
  /** Moves under a pointer. */
  place(event: PointerEvent): void;
}

const COARSE = 10;
const KEYS: Record<string, Point> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowDown: [0, -1],
  ArrowUp: [0, 1],
  PageDown: [0, -COARSE],
  PageUp: [0, COARSE],
};

export function handle(
  spec: HandleSpec<AnyState, unknown, string>,
  params: Params,
  stage: Stage,
  state: () => AnyState,
  set: (patch: AnyState) => void,
  /** Of several with the same name. */
  ordinal?: number,
): Handle {
  const keys = [spec.x, spec.y].filter((key) => key !== undefined);
  const param = (key: string) => params[key] as NumberParam;
  const [first] = keys as [string];
  const knob = svg(
    'g',
    {
      class: 'handle',
      role: 'slider',
      tabindex: 0,
      style: `color: var(--${spec.role})`,
      'aria-valuemin': param(first).min,
      'aria-valuemax': param(first).max,
      'aria-orientation': spec.x ? 'horizontal' : 'vertical',
      'data-keys': keys.join(' '),
    },
    svg('circle', { class: 'reach', r: 22 }),
    svg('circle', { class: 'halo', r: 13 }),
    svg('path', { class: 'knob', d: markerPath(spec.role, 150) }),
  );
  const name = typeof spec.label === 'string' ? { en: spec.label, zh: spec.label } : spec.label;
  attribute(knob, 'aria-label', ordinal ? { en: `${name.en}, panel ${ordinal}`, zh: `${name.zh}，第 ${ordinal} 格` } : name);
  stage.overlay.append(knob);

  const point = (): Point => [spec.x ? Number(state()[spec.x]) : 0, spec.y ? Number(state()[spec.y]) : 0];
  const moveTo = ([x, y]: Point) => set({ ...(spec.x && { [spec.x]: x }), ...(spec.y && { [spec.y]: y }) });

  let grip: Point | undefined;
  knob.addEventListener('pointerdown', (event) => {
    const [x, y] = stage.locate(event);
    const [hx, hy] = point();
    grip = [hx - x, hy - y];
    knob.setPointerCapture(event.pointerId);
    knob.focus({ preventScroll: true });
    event.preventDefault();
  });
  // touch-action does not reach shapes in an SVG: without this a finger scrolls the page.
  knob.addEventListener('touchstart', (event) => event.preventDefault(), { passive: false });
  const follow = (event: PointerEvent) => {
    if (!grip) return;
    const [x, y] = stage.locate(event);
    moveTo([x + grip[0], y + grip[1]]);
  };
  knob.addEventListener('pointermove', follow);
  knob.addEventListener('pointerup', (event) => {
    follow(event);
    grip = undefined;
  });
  knob.addEventListener('pointercancel', () => (grip = undefined));
  // The click that ends a drag is no tap on the picture.
  knob.addEventListener('click', (event) => event.stopPropagation());

  knob.addEventListener('keydown', (event) => {
    const [x, y] = point();
    const direction = KEYS[event.key];
    if (direction) {
      // With one parameter every arrow moves it; Page keys move the vertical one if there are two.
      const along = keys.length === 1 ? direction[0] + direction[1] : 0;
      const [dx, dy] = keys.length === 1 ? [along, along] : direction;
      const pace = event.shiftKey ? COARSE : 1;
      const step = (key: string | undefined) => (key ? param(key).step * pace : 0);
      moveTo([x + dx * step(spec.x), y + dy * step(spec.y)]);
    } else if (event.key === 'Home') set({ [first]: param(first).min });
    else if (event.key === 'End') set({ [first]: param(first).max });
    else return;
    event.preventDefault();
  });

  let pixels: Point = [0, 0];
  return {
    within: (element) => element.contains(knob) && !knob.hasAttribute('hidden'),
    distance(event) {
      const box = stage.overlay.getBoundingClientRect();
      const [dx, dy] = [event.clientX - box.left - pixels[0], event.clientY - box.top - pixels[1]];
      return Math.hypot(spec.x ? dx : 0, spec.y ? dy : 0);
    },
    place: (event) => moveTo(stage.locate(event)),
    update(model, state) {
      knob.toggleAttribute('hidden', !holds(spec.when, state));
      const at = spec.at ? spec.at(model, state) : point();
      const [x, y] = (pixels = stage.place(at));
      knob.setAttribute('transform', `translate(${x} ${y})`);
      const named = keys.map((key) => `${plain(t(param(key).label))} ${showNumber(param(key), Number(state[key]))}`);
      knob.setAttribute('aria-valuenow', String(state[first]));
      knob.setAttribute('aria-valuetext', named.join(lang() === 'zh' ? '，' : ', '));
    },
  };
}
