/**
 * Writes the pictures of the repository's README from the built page: docs/images/hero.png and teaser.png, and hero.webp and
 * race.webp, which move: `npm run pictures`, or with some of these names. WebP takes Python with Pillow (PYTHON names it).
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from '@playwright/test';
import { launchOptions } from './e2e/launch.mjs';

const PICTURES = { hero: 'd1', teaser: 'd2' };
/** Films: from which demo, how many frames of what length, and whether the last one stays for a while. */
const LOOPS = {
  hero: { id: 'd1', width: 860, height: 620, frames: 110, milliseconds: 90, hold: false },
  race: { id: 'd4', width: 780, height: 1000, frames: 50, milliseconds: 80, hold: true },
};
const page = new URL('dist/index.html', import.meta.url).href;
const image = (name) => fileURLToPath(new URL(`../docs/images/${name}`, import.meta.url));
const wanted = process.argv.slice(2);
const asked = (name) => wanted.length === 0 || wanted.includes(name);

const browser = await chromium.launch(launchOptions);

/** A demo's figure alone, so wide. */
async function figureOf(id, width, height = 1000) {
  const tab = await browser.newPage({ viewport: { width: Math.max(width + 80, 760), height }, colorScheme: 'light', reducedMotion: 'reduce' });
  await tab.goto(`${page}?lang=en#${id}`);
  await tab.addStyleTag({
    content: `#${id} { width: ${width}px; margin: 0; padding: 0; border: 0 } #${id} .stages { position: static; padding: 0 ${id === 'd1' ? 0 : 12}px } .handle .halo, .bar { display: none }`,
  });
  const stages = tab.locator(`#${id} .stages`);
  await stages.scrollIntoViewIfNeeded();
  await tab.waitForTimeout(300);
  return { tab, stages };
}

for (const [name, id] of Object.entries(PICTURES)) {
  if (!asked(`${name}.png`)) continue;
  const { tab, stages } = await figureOf(id, 1200);
  await tab.locator(`#${id}`).dispatchEvent('redraw');
  await stages.screenshot({ path: image(`${name}.png`) });
  await tab.close();
}
for (const [name, { id, width, height, frames, milliseconds, hold }] of Object.entries(LOOPS)) {
  if (!asked(`${name}.webp`)) continue;
  const { tab, stages } = await figureOf(id, width, height);
  const folder = mkdtempSync(join(tmpdir(), 'frames-'));
  for (let k = 0; k < frames; k++) {
    await tab.locator(`#${id}`).evaluate((figure, place) => {
      const scrub = figure.querySelector('.playback input');
      scrub.value = String(place);
      scrub.dispatchEvent(new Event('input', { bubbles: true }));
      figure.dispatchEvent(new Event('redraw'));
    }, k / (hold ? frames - 1 : frames));
    await stages.screenshot({ path: join(folder, `${String(k).padStart(4, '0')}.png`) });
  }
  const python = process.env.PYTHON ?? 'python3';
  execFileSync(python, [fileURLToPath(new URL('loop.py', import.meta.url)), folder, image(`${name}.webp`), String(milliseconds), ...(hold ? ['--hold'] : [])]);
  rmSync(folder, { recursive: true });
  await tab.close();
}
await browser.close();
