/** Writes the pictures of the repository's README from the built page: docs/images/hero.png and teaser.png. */

import { chromium } from '@playwright/test';
import { launchOptions } from './e2e/launch.mjs';

const PICTURES = { hero: 'd1', teaser: 'd2' };
const page = new URL('dist/index.html', import.meta.url).href;

const browser = await chromium.launch(launchOptions);
const tab = await browser.newPage({ viewport: { width: 1280, height: 1000 }, colorScheme: 'light', reducedMotion: 'reduce' });
await tab.goto(`${page}?lang=en`);
// The figure alone, as wide as the README shows it.
await tab.addStyleTag({ content: '.demo { width: 1200px; margin: 0; padding: 0; border: 0 } .handle .halo { display: none }' });
for (const [name, id] of Object.entries(PICTURES)) {
  const stages = tab.locator(`#${id} .stages`);
  await stages.scrollIntoViewIfNeeded();
  await tab.locator(`#${id}`).dispatchEvent('redraw');
  await stages.screenshot({ path: new URL(`../docs/images/${name}.png`, import.meta.url).pathname });
}
await browser.close();
