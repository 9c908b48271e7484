/** What every demo must do in a browser. */

import type { Locator, Page } from '@playwright/test';
import { DEMOS, expect, has, linkOf, numbersOf, reset, shake, test } from './open';

type Drag = (page: Page, from: [number, number], to: [number, number]) => Promise<void>;

const byMouse: Drag = async (page, from, to) => {
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move((from[0] + to[0]) / 2, (from[1] + to[1]) / 2);
  await page.mouse.move(...to);
  await page.mouse.up();
};

const byTouch: Drag = async (page, from, to) => {
  const client = await page.context().newCDPSession(page);
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', points: [number, number][]) =>
    client.send('Input.dispatchTouchEvent', { type, touchPoints: points.map(([x, y]) => ({ x, y })) });
  await touch('touchStart', [from]);
  await touch('touchMove', [[(from[0] + to[0]) / 2, (from[1] + to[1]) / 2]]);
  await touch('touchMove', [to]);
  await touch('touchEnd', []);
};

/** Drags the first handle towards the middle of its stage and returns the link to the state that results. */
async function dragged(figure: Locator, drag: Drag): Promise<string> {
  const page = figure.page();
  await reset(figure);
  const knob = figure.locator('.handle').first();
  await knob.evaluate((element) => element.scrollIntoView({ block: 'center' }));
  const box = (await knob.locator('.knob').boundingBox())!;
  const stage = (await figure.locator('.plot').first().boundingBox())!;
  const from: [number, number] = [box.x + box.width / 2, box.y + box.height / 2];
  const right = from[0] < stage.x + stage.width / 2 ? 1 : -1;
  const down = from[1] < stage.y + stage.height / 2 ? 1 : -1;
  await drag(page, from, [from[0] + 50 * right, from[1] + 30 * down]);
  return linkOf(figure);
}

/** The values of a handle's parameters, as it tells a screen reader. */
const valuesOf = (knob: Locator): Promise<number[]> =>
  knob.evaluate((element) =>
    [...element.getAttribute('aria-valuetext')!.matchAll(/([−-]?\d+(?:\.\d+)?)(?=,|，|$)/g)].map(([text]) => Number(text.replace('−', '-'))),
  );

/** Moves a handle to the values by arrow keys. */
async function typeTo(knob: Locator, goal: number[]): Promise<void> {
  const page = knob.page();
  await knob.focus();
  for (const [axis, [plus, minus]] of ([['ArrowRight', 'ArrowLeft'], ['ArrowUp', 'ArrowDown']] as const).slice(0, goal.length).entries()) {
    const read = async () => {
      await knob.evaluate((element) => element.closest('figure')!.dispatchEvent(new Event('redraw')));
      return (await valuesOf(knob))[axis]!;
    };
    const before = await read();
    const key = goal[axis]! > before ? plus : minus;
    if (Math.abs(goal[axis]! - before) < 1e-9) continue;
    await page.keyboard.press(key);
    const step = Math.abs((await read()) - before);
    const presses = Math.round(Math.abs(goal[axis]! - before) / step) - 1;
    for (let i = 0; i < Math.floor(presses / 10); i++) await page.keyboard.press(`Shift+${key}`);
    for (let i = 0; i < presses % 10; i++) await page.keyboard.press(key);
    await read();
  }
}

const digits = (numbers: Record<string, string>): string => Object.values(numbers).join().replace(/[^\d.−]/g, '');

async function plays(figure: Locator): Promise<void> {
  const press = (name: string) => figure.locator(`[data-press=${name}]`);
  const scrub = figure.locator('.playback input');
  const value = async () => Number(await scrub.inputValue());
  await scrub.scrollIntoViewIfNeeded();
  await press('restart').click();
  await expect.poll(value).toBeGreaterThan(0.02);
  await press('play').click();
  await figure.page().waitForTimeout(60);
  const paused = await value();
  await figure.page().waitForTimeout(150);
  expect(await value()).toBe(paused);
  await press('step').click();
  await expect.poll(value).toBeGreaterThan(paused);
  const stepped = await value();
  await press('back').click();
  await expect.poll(value).toBeLessThan(stepped);
}

/**
 * Links to these load the page anew: the first screen, a playhead, parameters that play, a picture that is not a stage, and films
 * that loop, which go on where they are when a link is followed within the page, as those to others are.
 */
const LOADED = ['d1', 'd2', 'd4', 'd9', 'd10', 'd15'];

for (const id of DEMOS) {
  test.describe(id, () => {
    test('is played, dragged, shaken, linked to and translated', async ({ follow, reload }) => {
      test.setTimeout(180_000);
      const page = await follow(`#${id}?`);
      const figure = page.locator(`#${id}`);
      if (has(id, 'plays')) {
        await page.emulateMedia({ reducedMotion: 'no-preference' });
        await test.step('plays, pauses and steps', () => plays(figure));
        await page.emulateMedia({ reducedMotion: 'reduce' });
      }
      if (has(id, 'handles:')) {
        await test.step('mouse, touch and keys reach the same value', async () => {
          const knob = figure.locator('.handle').first();
          await reset(figure);
          await numbersOf(figure);
          const start = await valuesOf(knob);
          const link = await dragged(figure, byMouse);
          const goal = await valuesOf(knob);
          expect(goal).not.toEqual(start);
          expect(await dragged(figure, byTouch)).toBe(link);
          await reset(figure);
          await typeTo(knob, goal);
          expect(await linkOf(figure)).toBe(link);
        });
      }

      await test.step('survives 500 random changes', async () => expect(await shake(figure, 500, 3)).toEqual([]));

      const link = await linkOf(figure);
      const numbers = await numbersOf(figure);
      await test.step('the language switch keeps state and place', async () => {
        const top = () => figure.evaluate((element) => element.getBoundingClientRect().top);
        await figure.evaluate((element) => element.scrollIntoView());
        const before = await top();
        const title = await figure.locator('h3').textContent();
        // Not click(), which scrolls to where the sticky bar would be without sticking.
        const chinese = (await page.getByRole('button', { name: '中文' }).boundingBox())!;
        await page.mouse.click(chinese.x + chinese.width / 2, chinese.y + chinese.height / 2);
        await expect(page.locator('html')).toHaveAttribute('lang', 'zh-Hans');
        expect(await figure.locator('h3').textContent()).not.toBe(title);
        expect(Math.abs((await top()) - before)).toBeLessThan(40);
        expect(digits(await numbersOf(figure))).toBe(digits(numbers));
        expect(await linkOf(figure)).toBe(link);
      });

      await test.step('and 100 more in Chinese', async () => expect(await shake(figure, 100, 4)).toEqual([]));

      await test.step('back in English a link restores the exact state', async () => {
        await page.getByRole('button', { name: 'EN', exact: true }).dispatchEvent('click');
        const again = (await (LOADED.includes(id) ? reload : follow)(link)).locator(`#${id}`);
        await expect(again).toBeInViewport();
        expect(await numbersOf(again)).toEqual(numbers);
        expect(await linkOf(again)).toBe(link);
      });
    });
  });
}
