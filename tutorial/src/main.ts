import 'katex/dist/katex.min.css';
import './style.css';
import { demos } from './demos';
import { idle, layOutSlowly } from './ui/later';
import { mount } from './ui/mount';
import { shell } from './ui/shell';

/** The teaser stands on the page a second time, where it can be read. */
const again = demos.filter(({ id }) => id === 'd2').map((demo) => ({ ...demo, id: 'd2again' }));
/** Demos are numbered in the order of the text. */
const order = [...document.querySelectorAll<HTMLElement>('#page .slot')].map(({ dataset }) => dataset.demo!);
const numberOf = (id: string): number => order.indexOf(id.replace('again', '')) + 1;
const mounted = [...demos, ...again].map((demo) => [demo.id, mount(demo, numberOf(demo.id))] as const);
shell(new Map(mounted));
performance.mark('ready');

/** Draws what is not on screen yet, one demo after the other, so that its numbers are there for whoever does not look. */
function drawRest([first, ...rest]: HTMLElement[]): void {
  if (!first) return;
  first.dispatchEvent(new Event('redraw'));
  idle(() => drawRest(rest));
}
const figures = mounted.map(([, { figure }]) => figure);
setTimeout(() => idle(() => layOutSlowly(document.querySelector('#page')!, () => drawRest(figures))), 200);
