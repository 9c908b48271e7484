import 'katex/dist/katex.min.css';
import './style.css';
import { demos } from './demos';
import { mount } from './ui/mount';
import { shell } from './ui/shell';

shell(new Map(demos.map((demo) => [demo.id, mount(demo)])));
performance.mark('ready');
