import 'katex/dist/katex.min.css';
import './style.css';
import { demos } from './demos';
import { mount } from './ui/mount';
import { shell } from './ui/shell';

const mounted = demos.map((demo) => [demo.id, mount(demo)] as const);
shell(new Map(mounted));
performance.mark('ready');

/** Draws what is not on screen yet, one demo after the other, so that its numbers are there for whoever does not look. */
function drawRest([first, ...rest]: HTMLElement[]): void {
  if (!first) return;
  first.dispatchEvent(new Event('redraw'));
  setTimeout(drawRest, 20, rest);
}
setTimeout(drawRest, 200, mounted.map(([, { figure }]) => figure));
