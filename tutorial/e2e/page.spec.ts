/** What the page as a whole must do. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from '@playwright/test';
import { expect, test } from './open';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds in the page as it is. It does not take MathML for text: to it, a table's heading that is a formula is empty. */
const violations = (page: Page): Promise<string[]> =>
  page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import('axe-core') };
    const { violations } = await axe.run(document, { resultTypes: ['violations'], rules: { 'empty-table-header': { enabled: false } } });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(' | ')}`);
  });

/** What is wider than its place, and neither fades nor can be reached by the Tab key. */
const cut = (page: Page): Promise<string[]> =>
  page.$$eval('.formula, .table, pre', (elements) =>
    elements
      .filter((element) => element.scrollWidth > element.clientWidth + 1 !== ((element as HTMLElement).tabIndex === 0 && element.hasAttribute('data-wide')))
      .map((element) => element.textContent.slice(0, 60)),
  );

/** What a finger is to hit and is smaller than 44 pixels. */
const tiny = (page: Page): Promise<string[]> =>
  page.$$eval('button, summary, input[type=range], .segments label, .checkbox, .callout.try a:not(.term), .handle:not([hidden]) .reach', (elements) =>
    elements.flatMap((element) => {
      const { width, height } = element.getBoundingClientRect();
      return width === 0 || Math.min(width, height) > 43.5 ? [] : [`${element.outerHTML.slice(0, 80)}: ${Math.round(width)} x ${Math.round(height)}`];
    }),
  );

/** The demos whose picture is not in sight beside their last control: neither short enough nor pinned. */
const apart = (page: Page): Promise<string[]> =>
  page.$$eval('figure.demo', (figures) =>
    figures.flatMap((figure) => {
      const stages = figure.querySelector('.stages')!;
      const pinned = stages.getAttribute('data-pin') === 'all' ? stages : stages.firstElementChild;
      const controls = [...figure.querySelectorAll('.playback, .controls')].map((one) => one.getBoundingClientRect()).filter(({ height }) => height > 0);
      if (!pinned || !controls.length) return [];
      const picture = pinned.getBoundingClientRect();
      const free = innerHeight - document.querySelector('.bar')!.getBoundingClientRect().height;
      const whole = Math.max(...controls.map(({ bottom }) => bottom)) - picture.top;
      const stuck = getComputedStyle(pinned).position === 'sticky' && picture.height < 0.75 * free;
      return whole <= free || stuck ? [] : [`${figure.id}: ${Math.round(whole)} of ${Math.round(free)}, picture ${Math.round(picture.height)}`];
    }),
  );

for (const lang of ['en', 'zh']) {
  test.describe(lang, () => {
    test.use({ viewport: { width: 375, height: 740 }, colorScheme: 'dark' });
    test('nothing scrolls sideways on a phone; axe finds nothing there in the dark, in forced colours, nor on a desk in the light', async ({ open }) => {
      test.setTimeout(120_000);
      const page = await open('', lang);
      await page.evaluate(() => document.querySelectorAll('details').forEach((fold) => (fold.open = true)));
      await page.evaluate(() => document.querySelectorAll('figure').forEach((figure) => figure.dispatchEvent(new Event('redraw'))));
      await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375);
      await expect.poll(() => cut(page)).toEqual([]);
      await expect.poll(() => apart(page)).toEqual([]);
      expect(await tiny(page)).toEqual([]);
      expect(await page.$$eval('input[type=range]', (inputs) => inputs.filter((input) => !(input as HTMLInputElement).labels!.length && !input.ariaLabel).length)).toBe(0);
      expect(await page.$$eval('.slider input', (inputs) => inputs.filter((input) => (input as HTMLInputElement).labels!.length !== 1).length)).toBe(0);
      await page.evaluate(axe);
      expect(await violations(page), 'phone, dark').toEqual([]);
      await page.emulateMedia({ forcedColors: 'active' });
      expect(await violations(page), 'phone, forced colours').toEqual([]);
      await page.emulateMedia({ forcedColors: 'none' });
      await page.setViewportSize({ width: 1200, height: 1000 });
      await page.emulateMedia({ colorScheme: 'light' });
      expect(await violations(page), 'desk, light').toEqual([]);
      await page.locator('main a[href^="#d4?"]').first().click();
      await expect(page.locator('#d4')).toBeInViewport();
    });
  });
}

test('a link that was cut, or asks for a language that there is not, gives a page', async ({ open }) => {
  for (const [lang, hash] of [['en', '#%'], ['en', '#d4?w=4%'], ['toString', ''], ['constructor', '#%E0%A4%A']] as const) {
    const page = await open(hash, lang);
    await expect(page.locator('html')).toHaveAttribute('lang', 'en');
    expect((await page.locator('main').innerText()).length).toBeGreaterThan(20_000);
    expect(await page.locator('figure h3').first().innerText()).not.toBe('');
  }
});

test('under reduced motion nothing plays by itself; Step works', async ({ open }) => {
  const page = await open();
  for (const bar of await page.locator('.playback').all()) {
    await bar.scrollIntoViewIfNeeded();
    await page.waitForTimeout(150);
    await expect(bar).not.toHaveAttribute('data-playing');
    const scrub = bar.locator('input');
    await bar.locator('[data-press=restart]').click();
    await expect.poll(async () => Number(await scrub.inputValue())).toBe(0);
    await expect(bar).not.toHaveAttribute('data-playing');
    await bar.locator('[data-press=step]').click();
    await expect.poll(async () => Number(await scrub.inputValue())).toBeGreaterThan(0);
  }
});

test.describe('the browser speaks Chinese', () => {
  test.use({ locale: 'zh-CN' });
  test('and so does the page', async ({ open }) => {
    const page = await open();
    await page.goto(page.url().replace(/\?.*/, ''));
    await expect(page.locator('html')).toHaveAttribute('lang', 'zh-Hans');
  });
});

test('the theme switch changes the colours, for the next visit, too', async ({ open }) => {
  const page = await open();
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await background();
  await page.locator('.theme').click();
  const after = await background();
  expect(after).not.toBe(before);
  await page.reload();
  expect(await background()).toBe(after);
});

test('what is said aloud is what changed; a link is said to be copied when it was', async ({ open }) => {
  const page = await open('#d3?');
  const figure = page.locator('#d3');
  const [voice, said] = [figure.locator('.voice'), figure.locator('.tools [role=status]')];
  const slider = figure.locator('.slider input').last();
  await slider.press('ArrowRight');
  await expect(voice).toContainText('−0.59');
  expect((await voice.textContent())!.split('; ').length).toBeLessThan(await figure.locator('.readouts output').count());

  for (const [works, words] of [[false, 'It is in the address bar'], [true, 'Copied']] as const) {
    await page.evaluate((works) => {
      const writeText = () => (works ? Promise.resolve() : Promise.reject(new Error('refused')));
      Object.defineProperty(navigator, 'clipboard', { configurable: true, value: { writeText } });
    }, works);
    await figure.locator('.tools button').first().click();
    await expect(said).toHaveText(words);
  }
});

test('off screen nothing plays', async ({ open }) => {
  const page = await open();
  await page.emulateMedia({ reducedMotion: 'no-preference' });
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

test.describe('by finger', () => {
  test.use({ viewport: { width: 375, height: 740 }, hasTouch: true });
  test('a tap places a handle; a swipe over a slider scrolls and changes nothing', async ({ open }) => {
    const page = await open('#d1?');
    // The tap first: after the swipe the page may still glide, and a tap would only stop it.
    const plot = page.locator('#d1 .plot').first();
    await plot.evaluate((element) => element.scrollIntoView({ block: 'center', behavior: 'instant' }));
    const knob = page.locator('#d1 .handle').first();
    const before = await knob.getAttribute('aria-valuetext');
    const picture = (await plot.boundingBox())!;
    await page.touchscreen.tap(picture.x + 0.3 * picture.width, picture.y + 0.6 * picture.height);
    await expect(knob).not.toHaveAttribute('aria-valuetext', before!);

    const slider = page.locator('#d1 .slider input').first();
    await slider.evaluate((element) => element.scrollIntoView({ block: 'center', behavior: 'instant' }));
    const [value, top] = [await slider.inputValue(), await page.evaluate(() => scrollY)];
    const box = (await slider.boundingBox())!;
    const client = await page.context().newCDPSession(page);
    const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', y?: number) =>
      client.send('Input.dispatchTouchEvent', { type, touchPoints: y === undefined ? [] : [{ x: box.x + 0.8 * box.width, y }] });
    const middle = box.y + box.height / 2;
    await touch('touchStart', middle);
    for (let i = 1; i <= 10; i++) await touch('touchMove', middle - 20 * i);
    await touch('touchEnd');
    await expect.poll(() => page.evaluate(() => scrollY)).toBeGreaterThan(top + 100);
    expect(await slider.inputValue()).toBe(value);
  });
});

test('the bar names the section that is read, opens the contents and shows how far one is; terms have cards, words point', async ({ open }) => {
  const page = await open('#s4');
  await page.setViewportSize({ width: 375, height: 740 });
  await page.evaluate(() => document.querySelector('#s4')!.scrollIntoView({ behavior: 'instant' }));
  const here = page.locator('.here');
  await expect(here).toContainText('4. Where');
  await here.click();
  await page.locator('#sections a').nth(6).click();
  await expect(page.locator('#sections')).toBeHidden();
  await expect(here).toContainText('7. Three rings');
  await expect(page.locator('.contents a[aria-current]')).toHaveText(/^7/);

  // Words of the text have cards, or point at things in pictures.
  await page.locator('a.term[href="#term-jacobian"]').nth(1).focus();
  await expect(page.locator('.meaning')).toContainText('partial derivatives');
  await page.locator('#d3').dispatchEvent('redraw');
  await page.locator('a[href="#d3:clean"]').focus();
  await expect(page.locator('.meaning')).toBeHidden();
  await expect(page.locator('#d3 .mark[visibility=visible]')).toHaveCount(1);
});

test.describe('without JavaScript', () => {
  test.use({ javaScriptEnabled: false });
  for (const [file, lang] of [['index', 'en'], ['zh', 'zh-Hans']] as const) {
    test(`${file}.html holds its whole text`, async ({ page }) => {
      await page.goto(new URL(`../dist/${file}.html`, import.meta.url).href);
      await expect(page.locator('html')).toHaveAttribute('lang', lang);
      expect(await page.locator('main h2').count()).toBe(10);
      expect((await page.locator('main').innerText()).length).toBeGreaterThan(20_000);
      await expect(page.locator('.noscript')).toBeVisible();
      expect(await page.locator('link[rel=alternate]').evaluateAll((links) => links.map((link) => link.getAttribute('hreflang')))).toEqual(['en', 'zh-Hans']);
      expect(/[\u4e00-\u9fff]/.test((await page.locator('meta[property="og:description"]').getAttribute('content'))!)).toBe(lang !== 'en');
      await expect(page.locator('meta[property="og:image"]')).toHaveAttribute('content', /hero\.png$/);
    });
  }
});
