import 'katex/dist/katex.min.css';
import './style.css';
import { demos } from './demos';
import { layOutSlowly } from './ui/later';
import { mount } from './ui/mount';
import { shell } from './ui/shell';

/** The teaser stands on the page a second time, where it can be read. */
const again = demos.filter(({ id }) => id === 'd2').map((demo) => ({ ...demo, id: 'd2again' }));
/** Demos are numbered in the order of the text. */
const order = [...document.querySelectorAll<HTMLElement>('#page .slot')].map(({ dataset }) => dataset.demo!);
const numberOf = (id: string): number => order.indexOf(id.replace('again', '')) + 1;
shell(new Map([...demos, ...again].map((demo) => [demo.id, mount(demo, numberOf(demo.id))] as const)));
performance.mark('ready');

setTimeout(() => layOutSlowly(document.querySelector('#page')!), 200);
