/** Where the steps of a film lie. */

/**
 * The place of the next of `n` steps after what is shown and after the film's own place. Parameters are coarser than the film and
 * round up as well as down: both have to be left behind, unless the film is elsewhere because a parameter was set by hand.
 */
export function after(shown: number, place: number, n: number): number {
  const at = Math.abs(shown - place) < 0.5 / n ? Math.max(shown, place) : shown;
  return (Math.floor(at * n + 1e-4) + 1) / n;
}
