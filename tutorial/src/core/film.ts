/** Where the steps of a film lie. */

/**
 * The place of the next of `n` steps after what is shown and after the film's own place. Parameters are coarser than the film and
 * round up as well as down: both have to be left behind, unless the film is elsewhere because a parameter was set by hand.
 */
export function after(shown: number, place: number, n: number): number {
  const at = Math.abs(shown - place) < 0.5 / n ? Math.max(shown, place) : shown;
  return (Math.floor(at * n + 1e-4) + 1) / n;
}

/** The next such place forwards (by = 1) or backwards (-1) that shows something else: a step may be rounded away. `shows` says what a place shows. */
export function nextShown(by: 1 | -1, shows: (place: number) => number, shown: number, place: number, n: number): number {
  let at = by * after(by * shown, by * place, n);
  while (at > 0 && at < 1 && Math.abs(shows(at) - shown) < 1e-9) at = by * after(by * at, by * at, n);
  return at;
}
