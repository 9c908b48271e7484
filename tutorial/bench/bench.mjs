/**
 * Prints the page's size, the time until its first demo can be used, and the median redraw of every demo, or of those
 * named: `npm run bench -- d11`. Build first.
 */

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { chromium } from '@playwright/test';
import { launchOptions } from '../e2e/launch.mjs';

const BUDGET = { kilobytes: 220, ready: 1000, redraw: 8 };
const CHANGES = 60;
const page = new URL('../dist/index.html', import.meta.url);

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const report = (name, value, unit, budget) =>
  console.log(`${name.padEnd(28)}${value.toFixed(1).padStart(8)} ${unit}${value > budget ? `   over the budget of ${budget}` : ''}`);

const text = readFileSync(page, 'utf8');
const bare = text
  .replace(/url\((["']?)data:font\/woff2;base64,[^)]*\1\)/g, 'url()')
  .replace(/(<script type="application\/json" id="policy">)[^<]*/, '$1');
report('size, gzip', gzipSync(text).length / 1000, 'kB', Infinity);
report('without fonts and weights', gzipSync(bare).length / 1000, 'kB', BUDGET.kilobytes);

const browser = await chromium.launch(launchOptions);
const ready = [];
for (let i = 0; i < 5; i++) {
  const tab = await browser.newPage({ reducedMotion: 'reduce' });
  await tab.goto(`${page.href}#d1`);
  await tab.waitForFunction(() => document.querySelector('#d1 [data-key="nearest"]')?.textContent !== '');
  ready.push(await tab.evaluate(() => performance.getEntriesByName('drawn d1')[0].startTime));
  await tab.close();
}
report('first demo interactive', median(ready), 'ms', BUDGET.ready);

const tab = await browser.newPage({ reducedMotion: 'reduce', viewport: { width: 1200, height: 1000 } });
await tab.goto(page.href);
await tab.waitForTimeout(1500);
const named = process.argv.slice(2);
const all = await tab.$$eval('figure.demo', (figures) => figures.map(({ id }) => id));
for (const id of named.length ? named : all) {
  /** For every slider and handle, the times of its changes. */
  const times = await tab.locator(`#${id}`).evaluate((figure, changes) => {
    const move = (control, i) => {
      if (control.matches('.handle')) {
        const key = i % 40 < 20 ? 'ArrowLeft' : 'ArrowRight';
        return control.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
      }
      control.value = Number(control.min) + ((Number(control.max) - Number(control.min)) * ((i * 7) % 50)) / 50;
      control.dispatchEvent(new Event('input', { bubbles: true }));
    };
    const time = (control) =>
      Array.from({ length: changes }, (_, i) => {
        move(control, i);
        const start = performance.now();
        figure.dispatchEvent(new Event('redraw'));
        return performance.now() - start;
      });
    const controls = [...figure.querySelectorAll('.handle, input[type=range]')];
    return controls.map((control) => [control.name ?? control.dataset.keys, time(control)]);
  }, CHANGES);
  for (const [name, samples] of times) report(`${id}, redraw after ${name}`, median(samples), 'ms', BUDGET.redraw);
}
await browser.close();
