/** The page's one clock: everything that moves ticks here, and everything that changed is drawn here, once a frame. */

type Tick = (seconds: number) => void;

const playing = new Set<Tick>();
const dirty = new Set<() => void>();
let scheduled = false;
let last = 0;

function frame(now: number): void {
  scheduled = false;
  // A frame may have begun before it was asked for.
  const elapsed = Math.min(Math.max((now - last) / 1000, 0), 0.1);
  last = now;
  playing.forEach((tick) => tick(elapsed));
  const draws = [...dirty];
  dirty.clear();
  draws.forEach((draw) => draw());
  if (playing.size > 0) schedule();
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(frame);
}

export function play(tick: Tick): void {
  if (playing.size === 0) last = performance.now();
  playing.add(tick);
  schedule();
}

export const pause = (tick: Tick): boolean => playing.delete(tick);

/** Runs `draw` in the next frame, once however often it is asked for. */
export function invalidate(draw: () => void): void {
  dirty.add(draw);
  schedule();
}

export const reducedMotion = (): boolean => matchMedia('(prefers-reduced-motion: reduce)').matches;
