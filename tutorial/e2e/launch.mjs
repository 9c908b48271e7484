/** How the browser is started, for the tests and the benchmark. */

import { execFileSync } from 'node:child_process';

export const launchOptions = {
  /** The system's chromium; CHROMIUM names another one. */
  executablePath: process.env.CHROMIUM ?? execFileSync('sh', ['-c', 'command -v chromium']).toString().trim(),
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
};
