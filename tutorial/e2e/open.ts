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

export const test = base.extend<{ open: (link?: string, lang?: string) => Promise<Page> }>({
  open: async ({ page }, use) => {
    const complaints: string[] = [];
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await use(async (link = '', lang = 'en') => {
      await page.goto('about:blank');
      await page.goto(`${PAGE}?lang=${lang}${link}`);
      await page.waitForFunction(() => performance.getEntriesByName('ready').length > 0 && !document.documentElement.matches('.later'));
      return page;
    });
    expect(complaints).toEqual([]);
  },
});

export { expect };

/** The link that the demo offers to copy. */
export async function linkOf(figure: Locator): Promise<string> {
  await figure.locator('.tools button').first().click();
  return figure.page().evaluate(() => location.hash);
}

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
