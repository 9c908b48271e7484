import { defineConfig } from '@playwright/test';
import { launchOptions } from './e2e/launch.mjs';

export default defineConfig({
  testDir: 'e2e',
  workers: 2,
  fullyParallel: true,
  timeout: 60_000,
  retries: 1,
  reporter: 'list',
  // Still, unless a test asks for motion: without a graphics card every frame of a film is drawn by the processor.
  use: { viewport: { width: 1200, height: 1000 }, contextOptions: { reducedMotion: 'reduce' }, launchOptions },
});
