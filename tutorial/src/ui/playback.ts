/** Restart, back, play, step and scrub: the demo's place on the page's clock. */

import { nextShown } from '../core/film';
import { pause, play, reducedMotion } from './clock';
import { html, svg } from './dom';
import { attribute, lang, onLang, t, type Text } from './i18n';
import type { AnyState } from './params';
import { passable } from './reach';
import type { Reel } from './reel';

const ICONS = {
  restart: 'M4,3V15M15,3L7,9L15,15Z',
  back: 'M13,3L5,9L13,15Z',
  play: 'M5,2L15,9L5,16Z',
  pause: 'M6,3V15M12,3V15',
  step: 'M5,3L13,9L5,15ZM15,3V15',
} as const;

const NAMES: Record<keyof typeof ICONS, Text> = {
  restart: { en: 'Restart', zh: '从头开始' },
  back: { en: 'One step back', zh: '后退一步' },
  play: { en: 'Play', zh: '播放' },
  pause: { en: 'Pause', zh: '暂停' },
  step: { en: 'One step', zh: '前进一步' },
};

const icon = (name: keyof typeof ICONS) =>
  svg('svg', { viewBox: '0 0 18 18', width: 18, height: 18, 'aria-hidden': 'true' }, svg('path', { d: ICONS[name] }));

export interface Playback {
  element: HTMLElement;
  sync(state: AnyState): void;
  /** Off screen nothing moves; `enough` of it is seen to begin by itself. */
  visible(yes: boolean, enough: boolean): void;
  /** The last frame, for paper; `false` goes back to where it was. */
  finish(yes: boolean): void;
  stop(): void;
  restart(): void;
}

export function playback(
  film: Reel,
  state: () => AnyState,
  /** A change by hand, and one by the clock. */
  set: (patch: AnyState) => void,
  drift: (patch: AnyState) => void,
  linked: () => boolean,
): Playback {
  const { steps } = film;
  const now = () => film.at(state());
  let [running, seen, started] = [false, false, false];
  let kept = 1;
  /** The film's own place: parameters that it moves may be too coarse, or too far off, to say it. */
  let place = 0;

  const tick = (seconds: number) => {
    place += seconds / film.seconds;
    if (place >= 1) {
      if (film.loop) place %= 1;
      else run(false);
    }
    drift(film.to(Math.min(place, 1)));
  };
  const run = (yes: boolean) => {
    if (yes && !running) place = now() >= 1 ? 0 : now();
    running = yes;
    element.toggleAttribute('data-playing', running);
    if (running && seen) play(tick);
    else pause(tick);
    toggle.replaceChildren(icon(running ? 'pause' : 'play'));
    nameToggle();
  };
  const seek = (value: number) => {
    run(false);
    place = value;
    set(film.to(Math.min(Math.max(value, 0), 1)));
  };
  const hop = (by: 1 | -1) => seek(nextShown(by, (place) => film.shows(state(), place), now(), place, steps(state())));
  const restart = () => {
    set(film.to(0));
    run(!reducedMotion());
  };
  const press = (name: keyof typeof ICONS, click: () => void) => {
    const element = attribute(html('button', { type: 'button', class: 'icon', 'data-press': name }, icon(name)), 'aria-label', NAMES[name]);
    element.addEventListener('click', click);
    return element;
  };

  const toggle = press('play', () => {
    run(!running);
    if (!running) set({});
  });
  const nameToggle = () => toggle.setAttribute('aria-label', t(NAMES[running ? 'pause' : 'play']));
  onLang(nameToggle);
  const scrub = attribute(html('input', { type: 'range', min: 0, max: 1, step: 'any', name: 'film' }), 'aria-label', { en: 'Progress', zh: '进度' });
  scrub.addEventListener('input', () => seek(scrub.valueAsNumber));
  passable(scrub, seek);
  scrub.addEventListener('keydown', (event) => {
    const by = ({ ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 } as const)[event.key];
    if (by === undefined) return;
    for (let i = 0; i < (event.shiftKey ? 10 : 1); i++) hop(by);
    event.preventDefault();
  });
  const output = html('output', { 'data-key': 'film-control', 'aria-live': 'off' });
  const element = html(
    'div',
    { class: 'playback' },
    press('restart', restart),
    press('back', () => hop(-1)),
    toggle,
    press('step', () => hop(1)),
    scrub,
    output,
  );

  return {
    element,
    sync(state) {
      const value = film.at(state);
      const [step, total] = [Math.floor(value * steps(state) + 1e-4), steps(state)];
      const said = lang() === 'zh' ? `第 ${step} 步，共 ${total} 步` : `step ${step} of ${total}`;
      scrub.value = String(value);
      scrub.setAttribute('aria-valuetext', said);
      scrub.style.setProperty('--fill', `${100 * value}%`);
      output.textContent = `${step} / ${total}`;
    },
    visible(yes, enough) {
      seen = yes;
      if (enough && !started) {
        started = true;
        if (film.autoplay && !reducedMotion() && !linked()) return run(true);
      }
      if (running && seen) play(tick);
      else pause(tick);
    },
    finish(yes) {
      if (!film.playhead || film.loop) return;
      if (yes) kept = now();
      drift(film.to(yes ? 1 : kept));
    },
    stop: () => run(false),
    restart,
  };
}
