/** Words of the text and things in a picture that point at one another: a ring around the thing, a ground under the words. */

import type { MarkSpec } from './demo';
import { svg } from './dom';
import type { AnyState } from './params';
import type { Stage } from './stage';

const REACH = 22;

export interface Marks {
  update(model: unknown, state: AnyState): void;
  /** Rings a thing, or none. */
  ring(name: string | undefined): void;
}

/** The words that point at a thing. */
const wordsFor = (link: string): HTMLElement[] => [...document.querySelectorAll<HTMLElement>(`a[href="#${link}"]`)];

export function marks(id: string, specs: Readonly<Record<string, MarkSpec<AnyState, unknown, string>>>, stage: (name: string) => Stage): Marks {
  const places = new Map<string, readonly [number, number]>();
  let ringed: string | undefined;
  const rings = new Map(
    Object.entries(specs).map(([name, spec]) => {
      const ring = svg('circle', { class: 'mark', r: 17, visibility: 'hidden' });
      stage(spec.stage).overlay.prepend(ring);
      return [name, ring] as const;
    }),
  );
  const show = () =>
    rings.forEach((ring, name) => {
      const place = places.get(name);
      ring.setAttribute('visibility', name === ringed && place ? 'visible' : 'hidden');
      if (place) ring.setAttribute('transform', `translate(${place[0]} ${place[1]})`);
    });
  let near: string | undefined;
  const approach = (name: string | undefined) => {
    if (name === near) return;
    if (near) for (const words of wordsFor(`${id}:${near}`)) delete words.dataset.pointed;
    near = name;
    if (near) for (const words of wordsFor(`${id}:${near}`)) words.dataset.pointed = '';
  };
  for (const used of new Set(Object.values(specs).map((spec) => spec.stage))) {
    const plot = stage(used).element.querySelector<HTMLElement>('.plot')!;
    plot.addEventListener('pointermove', ({ clientX, clientY }) => {
      const box = plot.getBoundingClientRect();
      const close = ([name, spec]: [string, MarkSpec<AnyState, unknown, string>]) => {
        const place = places.get(name);
        return spec.stage === used && place !== undefined && Math.hypot(clientX - box.left - place[0], clientY - box.top - place[1]) < REACH;
      };
      approach(Object.entries(specs).find(close)?.[0]);
    });
    plot.addEventListener('pointerleave', () => approach(undefined));
  }
  return {
    update(model, state) {
      for (const [name, spec] of Object.entries(specs)) {
        const at = spec.at(model, state);
        if (at) places.set(name, stage(spec.stage).place(at));
        else places.delete(name);
      }
      show();
    },
    ring(name) {
      ringed = name;
      show();
    },
  };
}
