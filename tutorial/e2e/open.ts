/** Opens the built page from disk and watches its console. */

import { readdirSync, readFileSync } from 'node:fs';
import { expect, test as base, type Locator, type Page } from '@playwright/test';

const PAGE = new URL('../dist/index.html', import.meta.url).href;

export const DEMOS = readdirSync(new URL('../src/demos', import.meta.url))
  .map((file) => /^(d\d+)\.ts$/.exec(file)?.[1])
  .filter((id) => id !== undefined)
  .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));

/** Whether the demo's record has this part. */
export const has = (id: string, part: 'handles:' | 'plays'): boolean =>
  (part === 'plays' ? /playhead\(|film: / : /handles:/).test(readFileSync(new URL(`../src/demos/${id}.ts`, import.meta.url), 'utf8'));

type Open = (link?: string, lang?: string) => Promise<Page>;

/** Loads the page, and has it do at once what it does when it has nothing else to do. */
async function load(page: Page, link: string, lang: string): Promise<Page> {
  await page.goto('about:blank');
  await page.goto(`${PAGE}?lang=${lang}${link}`);
  await page.waitForFunction(() => performance.getEntriesByName('ready').length > 0);
  await page.evaluate(() => document.documentElement.classList.remove('later'));
  return page;
}

/** What a page complains of from now on. */
function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  return complaints;
}

interface Shared {
  page: Page;
  complaints: string[];
}

/**
 * `open` loads the page in a tab of the test's own; `follow` follows a link in an English page that a worker's tests share, and `reload`
 * loads that one anew: to load the page costs more than most of what is tried on it.
 */
export const test = base.extend<{ open: Open; follow: Open; reload: Open }, { shared: Shared }>({
  shared: [
    async ({ browser }, use) => {
      const page = await browser.newPage({ viewport: { width: 1200, height: 1000 }, reducedMotion: 'reduce', hasTouch: true });
      await use({ page, complaints: complaintsOf(page) });
      await page.close();
    },
    { scope: 'worker' },
  ],
  open: async ({ page }, use) => {
    const complaints = complaintsOf(page);
    await use((link = '', lang = 'en') => load(page, link, lang));
    expect(complaints).toEqual([]);
  },
  reload: async ({ shared: { page } }, use) => use((link = '', lang = 'en') => load(page, link, lang)),
  follow: async ({ shared: { page, complaints }, reload }, use) => {
    complaints.length = 0;
    await use(async (link = '') => {
      if (!page.url().includes('?lang=en')) return reload(link);
      await page.evaluate(
        (link) =>
          new Promise<void>((done) => {
            if (location.hash === link) history.replaceState(null, '', '#');
            addEventListener('hashchange', () => done(), { once: true });
            location.hash = link;
          }),
        link,
      );
      return page;
    });
    expect(complaints).toEqual([]);
  },
});

export { expect };

/** The link that the demo offers to copy. */
export async function linkOf(figure: Locator): Promise<string> {
  await figure.locator('.tools button').first().dispatchEvent('click');
  return figure.page().evaluate(() => location.hash);
}

/** Back to the defaults. */
export const reset = (figure: Locator): Promise<void> => figure.locator('.tools button').last().dispatchEvent('click');

/** Everything that the demo says in numbers, after a redraw. */
export const numbersOf = (figure: Locator): Promise<Record<string, string>> =>
  figure.evaluate((element) => {
    element.dispatchEvent(new Event('redraw'));
    const outputs = [...element.querySelectorAll<HTMLOutputElement>('output[data-key]')].filter((output) => !output.hidden);
    return Object.fromEntries(outputs.map((output) => [output.dataset.key!, output.textContent]));
  });

/** Makes `count` random changes to a demo's controls inside the page; returns what it showed that is no number. */
export const shake = (figure: Locator, count: number, seed: number): Promise<string[]> =>
  figure.evaluate(
    (element, [count, seed]) => {
      let counter = seed!;
      const random = () => {
        counter = (Math.imul(counter, 1664525) + 1013904223) >>> 0;
        return counter / 2 ** 32;
      };
      const controls = [...element.querySelectorAll<HTMLElement>('input, .handle, .buttons button, .playback button, [data-shake]')];
      const keys = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'PageUp', 'PageDown', 'Home', 'End'];
      const bad: string[] = [];
      for (let i = 0; i < count!; i++) {
        const control = controls[Math.floor(random() * controls.length)]!;
        if (control instanceof HTMLInputElement && control.type === 'range') {
          control.value = String(Number(control.min) + random() * (Number(control.max) - Number(control.min)));
          control.dispatchEvent(new Event('input', { bubbles: true }));
        } else if (control.classList.contains('handle')) {
          const key = keys[Math.floor(random() * keys.length)]!;
          control.dispatchEvent(new KeyboardEvent('keydown', { key, shiftKey: random() < 0.5, bubbles: true, cancelable: true }));
        } else control.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }));
        element.dispatchEvent(new Event('redraw'));
        for (const output of element.querySelectorAll('output')) {
          if (/NaN|Infinity|undefined|∞/.test(output.textContent)) bad.push(`${(output as HTMLOutputElement).dataset.key}: ${output.textContent}`);
        }
        for (const svg of element.querySelectorAll('.handle')) if (/NaN|Infinity/.test(svg.getAttribute('transform') ?? '')) bad.push('handle');
      }
      element.querySelector<HTMLElement>('[data-playing] [data-press=play]')?.click();
      return bad;
    },
    [count, seed],
  );
