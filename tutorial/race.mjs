/** Writes src/assets/race.json: what demo D4 says of 2,000 particles, at every weight and every push. */

import { writeFileSync } from 'node:fs';
import { createServer } from 'vite';

const server = await createServer({ configFile: false, server: { middlewareMode: true, ws: false }, appType: 'custom' });
const { raceTable } = await server.ssrLoadModule('/src/core/race.ts');
writeFileSync(new URL('src/assets/race.json', import.meta.url), `${JSON.stringify(raceTable())}\n`);
await server.close();
