/**
 * Prints the page's size, the main thread's CPU time until its first demo is drawn, and the CPU time of a redraw of every
 * demo, or of those named: `npm run bench -- d11`. CPU time, not time: the machine may have other things to do. Build first.
 */

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { chromium } from '@playwright/test';
import { launchOptions } from '../e2e/launch.mjs';

const BUDGET = { kilobytes: 300, ready: 0.8, redraw: 8 };
const CHANGES = 60;
const page = new URL('../dist/index.html', import.meta.url);

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const report = (name, value, unit, budget) =>
  console.log(`${name.padEnd(28)}${value.toFixed(1).padStart(8)} ${unit}${value > budget ? `   over the budget of ${budget}` : ''}`);

const text = readFileSync(page, 'utf8');
const bare = text
  .replace(/url\((["']?)data:font\/woff2;base64,[^)]*\1\)/g, 'url()')
  .replace(/(<script type="application\/json" id="\w+">)[^<]*/g, '$1');
report('size, gzip', gzipSync(text).length / 1000, 'kB', Infinity);
report('without fonts and weights', gzipSync(bare).length / 1000, 'kB', BUDGET.kilobytes);

const browser = await chromium.launch(launchOptions);

/** Seconds of CPU that a tab's main thread has used since it was opened. */
async function meter(tab) {
  const client = await tab.context().newCDPSession(tab);
  await client.send('Performance.enable', { timeDomain: 'threadTicks' });
  return async () => {
    const { metrics } = await client.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration').value;
  };
}

const ready = [];
for (let i = 0; i < 3; i++) {
  const tab = await browser.newPage({ reducedMotion: 'reduce' });
  const cpu = await meter(tab);
  await tab.goto(`${page.href}#d1`, { waitUntil: 'commit' });
  await tab.waitForFunction(() => performance.getEntriesByName('drawn d1').length > 0, undefined, { polling: 20 });
  ready.push(await cpu());
  await tab.close();
}
report('CPU until the hero is drawn', median(ready), 's', BUDGET.ready);

const tab = await browser.newPage({ reducedMotion: 'reduce', viewport: { width: 1200, height: 1000 } });
const cpu = await meter(tab);
await tab.goto(page.href);
await tab.waitForTimeout(2500);
const named = process.argv.slice(2);
const all = await tab.$$eval('figure.demo', (figures) => figures.map(({ id }) => id));
for (const id of named.length ? named : all) {
  const count = await tab.locator(`#${id}`).evaluate((figure) => figure.querySelectorAll('.handle, input[type=range]').length);
  for (let which = 0; which < count; which++) {
    /** Moves one control so many times, with a redraw after each. */
    const move = (times) =>
      tab.locator(`#${id}`).evaluate(
        (figure, [which, times]) => {
          const control = figure.querySelectorAll('.handle, input[type=range]')[which];
          for (let i = 0; i < times; i++) {
            if (control.matches('.handle')) {
              control.dispatchEvent(new KeyboardEvent('keydown', { key: i % 40 < 20 ? 'ArrowLeft' : 'ArrowRight', bubbles: true }));
            } else {
              control.value = Number(control.min) + ((Number(control.max) - Number(control.min)) * ((i * 7) % 50)) / 50;
              control.dispatchEvent(new Event('input', { bubbles: true }));
            }
            figure.dispatchEvent(new Event('redraw'));
          }
          return control.name ?? control.dataset.keys;
        },
        [which, times],
      );
    const name = await move(10);
    const before = await cpu();
    await move(CHANGES);
    report(`${id}, redraw after ${name}`, (1000 * ((await cpu()) - before)) / CHANGES, 'ms', BUDGET.redraw);
  }
}
await browser.close();
