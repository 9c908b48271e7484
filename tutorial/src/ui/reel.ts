/** A demo's film, whether it moves a playhead or parameters that have controls of their own. */

import type { Film } from './demo';
import { tidy, type AnyState, type NumberParam, type Params, type PlayheadParam } from './params';

/** What a film is to its buttons: that of a playhead ends in its last frame on paper, and may begin by itself. */
export interface Reel extends Omit<Film<AnyState>, 'steps' | 'to'> {
  to: (u: number) => AnyState;
  steps: (state: AnyState) => number;
  /** Where the film seems to be, once it was brought to a place and its parameters rounded. */
  shows: (state: AnyState, u: number) => number;
  playhead: boolean;
  autoplay?: boolean;
}

export function reelOf(params: Params, film: Film<AnyState> | undefined): Reel | undefined {
  const rounded = (state: AnyState, patch: AnyState) => tidy(params, { ...state, ...patch });
  if (film) {
    const to = film.to as Reel['to'];
    return { ...film, to, steps: () => film.steps, shows: (state, u) => film.at(rounded(state, to(u))), playhead: false };
  }
  const key = Object.keys(params).find((key) => params[key]!.kind === 'playhead');
  if (!key) return undefined;
  const param = params[key] as PlayheadParam;
  const at = (state: AnyState) => Number(state[key]);
  return {
    ...param,
    playhead: true,
    at,
    to: (u) => ({ [key]: u }),
    shows: (state, u) => at(rounded(state, { [key]: u })),
    steps: (of) => (typeof param.steps === 'number' ? param.steps : Number(of[param.steps] ?? (params[param.steps] as NumberParam).value)),
  };
}
