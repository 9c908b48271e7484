/** Links that bring back a demo's exact state: `#d4?guide=ood&w=4`. Values at their defaults are left out. */

import type { AnyDemo } from './demo';
import { parse, type AnyState, type Params } from './params';

export function linkOf(demo: AnyDemo, state: AnyState): string {
  const changed = Object.entries(state).filter(([key, value]) => value !== demo.defaults[key]);
  const query = new URLSearchParams(changed.map(([key, value]) => [key, String(value)])).toString();
  return `#${demo.id}${query && `?${query}`}`;
}

/** The text as percent-encoding means it; as it stands where a link was cut in the middle of that. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The id in a link, and the query behind it if there is one. */
export function splitLink(hash: string): { id: string; query: string | undefined } {
  const [id = '', query] = decoded(hash.slice(1)).split('?', 2);
  return { id, query };
}

/** The state that a link's query asks for; what it does not name, or cannot name, stays at its default. */
export function stateOf(demo: AnyDemo, query: string): AnyState {
  const params: Params = demo.params;
  const state: Record<string, AnyState[string]> = { ...demo.defaults };
  for (const [key, text] of new URLSearchParams(query)) {
    const value = Object.hasOwn(params, key) ? parse(params[key]!, text) : undefined;
    if (value !== undefined) state[key] = value;
  }
  return state;
}

/** Writes the link into the address bar. Browsers count such writes: it waits for the hand to rest. */
let timer = 0;
export function remember(link: string): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => history.replaceState(null, '', link), 300);
}

/** The address bar shows the link that was followed, and not what was to be written there a moment ago. */
export function follows(link: string): void {
  clearTimeout(timer);
  if (location.href !== link) history.replaceState(null, '', link);
}

export function setSearch(key: string, value: string): void {
  const url = new URL(location.href);
  url.searchParams.set(key, value);
  history.replaceState(null, '', url);
}
