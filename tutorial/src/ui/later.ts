/** The first picture comes first: what the style sheet's `.later` has left is done when there is nothing else to do. */

const idle = (run: () => void): unknown => ('requestIdleCallback' in window ? requestIdleCallback(run, { timeout: 2000 }) : setTimeout(run, 50));

const root = document.documentElement;
const SOME = 12;

/** Lays out the rest of the page at once: for whoever wants to go there. */
export const layOut = (): void => root.classList.remove('later');

/** Lays out the page a few blocks at a time. */
export function layOutSlowly(page: HTMLElement): void {
  const blocks = [...page.children];
  const some = () => {
    blocks.splice(0, SOME).forEach((block) => block.classList.add('laid'));
    if (blocks.length > 0 && root.matches('.later')) idle(some);
    else layOut();
  };
  idle(some);
}
