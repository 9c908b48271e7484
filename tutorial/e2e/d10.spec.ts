/** D10: pointing at a line, or reaching it by keyboard, lights it and the network that it asks. */

import { expect, test } from './open';

test('d10 lights what is pointed at or focused', async ({ open }) => {
  const page = await open('#d10');
  const part = (name: string) => page.locator(`#d10 [data-part=${name}]`);
  await part('ask').hover();
  await expect(part('ask')).toHaveAttribute('aria-pressed', 'true');
  await expect(part('td')).toHaveAttribute('data-lit');
  await expect(part('q')).toHaveAttribute('data-lit');
  await expect(part('clone')).not.toHaveAttribute('data-lit');
  await part('ask').focus();
  await page.keyboard.press('Tab');
  await expect(part('step')).toBeFocused();
  await expect(part('step')).toHaveAttribute('aria-pressed', 'true');
  await expect(part('clone')).toHaveAttribute('data-lit');
  await expect(part('td')).not.toHaveAttribute('data-lit');
});
