/** Terms of the text: pointing at one, or reaching it by keyboard, shows its meaning on a card. */

import { html } from './dom';

const GAP = 6;
const name = html('strong');
const text = html('span');
const card = html('div', { class: 'meaning', id: 'meaning', role: 'tooltip', popover: 'manual' }, name, text);

const termOf = ({ target }: Event): HTMLAnchorElement | null => (target instanceof Element ? target.closest<HTMLAnchorElement>('a.term') : null);

function show(term: HTMLAnchorElement): void {
  const entry = document.getElementById(term.hash.slice(1));
  if (!entry) return;
  name.textContent = entry.textContent;
  text.textContent = entry.nextElementSibling!.textContent;
  card.showPopover();
  term.setAttribute('aria-describedby', card.id);
  const [at, { width, height }] = [term.getClientRects()[0]!, card.getBoundingClientRect()];
  const below = at.bottom + GAP + height < innerHeight;
  card.style.left = `${Math.max(Math.min(at.left, document.documentElement.clientWidth - width - 16), 16)}px`;
  card.style.top = `${below ? at.bottom + GAP : at.top - GAP - height}px`;
}

function hide(term: HTMLAnchorElement): void {
  term.removeAttribute('aria-describedby');
  card.hidePopover();
}

/** Watches all terms below `root`, those that come later included. */
export function explainTerms(root: HTMLElement): void {
  document.body.append(card);
  for (const [event, act] of [['pointerover', show], ['focusin', show], ['pointerout', hide], ['focusout', hide]] as const) {
    root.addEventListener(event, (happened) => {
      const term = termOf(happened);
      if (term) act(term);
    });
  }
  addEventListener('keydown', ({ key }) => key === 'Escape' && card.hidePopover());
  addEventListener('scroll', () => card.hidePopover(), { passive: true });
}
