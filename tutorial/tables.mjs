/** Writes what takes minutes: src/assets/race.json (D4: 2,000 particles at every weight and push) , survey.json (D12: 1,000 states)
 * and swarm.json (D11: 200 walks). */

import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'vite';

const asset = (name) => new URL(`src/assets/${name}.json`, import.meta.url);
const server = await createServer({ configFile: false, server: { middlewareMode: true, ws: false }, appType: 'custom' });
const load = (name) => server.ssrLoadModule(`/src/core/${name}.ts`);
const wanted = process.argv.slice(2);
const write = async (name, make) => {
  if (wanted.length === 0 || wanted.includes(name)) writeFileSync(asset(name), `${JSON.stringify(await make())}\n`);
};

await write('survey', async () => {
  const [{ Policy }, { survey }] = [await load('policy'), await load('learned')];
  const policy = new Policy(JSON.parse(readFileSync(asset('policy'), 'utf8')));
  return Array.from({ length: 10 }, (_, k) => survey(policy, k));
});
await write('swarm', async () => {
  const [{ Policy }, { STARTS, swarmTable }] = [await load('policy'), await load('swarm')];
  return Object.entries(STARTS).map(([name, starts]) => swarmTable(new Policy(JSON.parse(readFileSync(asset(name), 'utf8'))), starts));
});
await write('race', async () => (await load('race')).raceTable());
await server.close();
