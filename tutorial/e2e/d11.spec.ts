/** What only D11 does in a browser. */

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from './open';

test('an episode starts where the state is, and plays', async ({ open }) => {
  const page = await open('#d11');
  await page.emulateMedia({ reducedMotion: 'no-preference' });
  const figure = page.locator('#d11');
  const scrub = figure.locator('.playback input');
  const steps = figure.locator('[data-key=cloned-steps]');
  await figure.locator('.handle').press('Shift+ArrowRight');
  await figure.getByRole('button', { name: 'Start an episode here' }).click();
  await expect.poll(async () => Number(await scrub.inputValue())).toBeLessThan(0.5);
  await expect.poll(async () => Number(await steps.textContent())).toBeGreaterThan(10);
  await figure.locator('[data-press=play]').click();
  await figure.locator('.tools button').first().click();
  expect(page.url()).toContain('startX=10');
});

test('a file of the reader\'s own is opened, or refused in a line', async ({ open }) => {
  const figure = (await open('#d11')).locator('#d11');
  const status = figure.locator('.picker .status');
  const choose = async (text: string) => {
    const chooser = figure.page().waitForEvent('filechooser');
    await figure.locator('.picker button').click();
    await (await chooser).setFiles({ name: 'policy.json', mimeType: 'application/json', buffer: Buffer.from(text) });
  };
  const good = readFileSync(new URL('../src/assets/large5.json', import.meta.url), 'utf8');
  await choose(good.slice(0, 1000));
  await expect(status).toHaveText('Refused: the file is not JSON, or only a part of it.');
  await choose(good.replace('"mean"', '"middle"'));
  await expect(status).toContainText('“mean” is missing');
  await choose(good);
  await expect(status).toHaveText('It runs now.');
  await expect(figure.locator('[data-key=dataset]')).toContainText('pointmaze-large');
});

test('the page runs the policy that stands in its one slot', async ({ open }, info) => {
  const page = await open('#d11');
  const difference = async () => Number((await page.locator('#d11 [data-key=difference]').textContent())!.replace('−', '-'));
  await expect.poll(difference, { timeout: 20_000 }).toBeLessThan(1e-5);
  const [before, policy, after, ...more] = readFileSync(new URL('../dist/index.html', import.meta.url), 'utf8').split(
    /(?<=<script type="application\/json" id="policy">)([^<]*)(?=<\/script>)/,
  ) as [string, string, string];
  expect(more).toEqual([]);
  const other = JSON.parse(policy) as { mean: number[] };
  other.mean[0]! += 1;
  const path = info.outputPath('page.html');
  writeFileSync(path, before + JSON.stringify(other) + after);
  await page.goto(`file://${path}#d11`);
  await expect.poll(difference, { timeout: 20_000 }).toBeGreaterThan(1e-3);
});
