/** What the page as a whole must do. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from './open';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

for (const lang of ['en', 'zh']) {
  test.describe(lang, () => {
    test.describe('on a phone', () => {
      test.use({ viewport: { width: 375, height: 740 } });
      test('nothing scrolls sideways', async ({ open }) => {
        const page = await open('', lang);
        await page.evaluate(() => document.querySelectorAll('figure').forEach((figure) => figure.dispatchEvent(new Event('redraw'))));
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375);
      });
    });

    for (const theme of ['light', 'dark'] as const) {
      test.describe(theme, () => {
        test.use({ colorScheme: theme });
        test('axe finds nothing serious', async ({ open }) => {
          const page = await open('', lang);
          await page.waitForFunction(() => !document.querySelector('.handle:not([aria-valuenow])'));
          await page.evaluate(axe);
          const violations = await page.evaluate(async () => {
            const { axe } = window as unknown as { axe: typeof import('axe-core') };
            const { violations } = await axe.run(document, { resultTypes: ['violations'] });
            return violations
              .filter(({ impact }) => impact === 'serious' || impact === 'critical')
              .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(' | ')}`);
          });
          expect(violations).toEqual([]);
        });
      });
    }

    test('a link in the text leads to a demo', async ({ open }) => {
      const page = await open('', lang);
      await page.locator('main a[href="#d2"]').click();
      await expect(page.locator('#d2')).toBeInViewport();
    });
  });
}

test.describe('reduced motion', () => {
  test.use({ contextOptions: { reducedMotion: 'reduce' } });
  test('nothing plays by itself; Step works', async ({ open }) => {
    const page = await open();
    for (const bar of await page.locator('.playback').all()) {
      await bar.scrollIntoViewIfNeeded();
      await page.waitForTimeout(150);
      await expect(bar).not.toHaveAttribute('data-playing');
      const scrub = bar.locator('input');
      const before = Number(await scrub.inputValue());
      await bar.locator('[data-press=restart]').click();
      await expect.poll(async () => Number(await scrub.inputValue())).toBe(0);
      await expect(bar).not.toHaveAttribute('data-playing');
      await bar.locator('[data-press=step]').click();
      await expect.poll(async () => Number(await scrub.inputValue())).toBeGreaterThan(0);
      expect(before).toBe(1);
    }
  });
});

test.describe('the browser speaks Chinese', () => {
  test.use({ locale: 'zh-CN' });
  test('and so does the page', async ({ open }) => {
    const page = await open();
    await page.goto(page.url().replace(/\?.*/, ''));
    await expect(page.locator('html')).toHaveAttribute('lang', 'zh-Hans');
  });
});

test('the theme switch changes the colours', async ({ open }) => {
  const page = await open();
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await background();
  await page.locator('.theme').click();
  expect(await background()).not.toBe(before);
});

test('off screen nothing plays', async ({ open }) => {
  const page = await open();
  const scrub = page.locator('#d1 .playback input');
  await page.locator('#d1').scrollIntoViewIfNeeded();
  await page.locator('#d1 [data-press=restart]').click();
  await expect.poll(async () => Number(await scrub.inputValue())).toBeGreaterThan(0);
  await page.evaluate(() => scrollTo({ top: document.body.scrollHeight, behavior: 'instant' }));
  await page.waitForTimeout(200);
  const value = await scrub.inputValue();
  await page.waitForTimeout(200);
  expect(await scrub.inputValue()).toBe(value);
});
