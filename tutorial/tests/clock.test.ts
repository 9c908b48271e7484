import { expect, test, vi } from 'vitest';

test('a frame that began before it was asked for takes no time back', async () => {
  const frames: FrameRequestCallback[] = [];
  vi.stubGlobal('requestAnimationFrame', (frame: FrameRequestCallback) => frames.push(frame));
  vi.stubGlobal('performance', { now: () => 1000 });
  const { pause, play } = await import('../src/ui/clock');
  const seen: number[] = [];
  const tick = (seconds: number) => void seen.push(seconds);
  play(tick);
  for (const began of [996, 1012, 2000]) frames.shift()!(began);
  pause(tick);
  vi.unstubAllGlobals();
  expect(seen).toEqual([0, 0.016, 0.1]);
});
