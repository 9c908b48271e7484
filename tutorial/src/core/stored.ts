/** The trained policies that the page ships with: text in the page, read when asked for; where there is no page, files. */

import { Policy, type PolicyFile } from './policy';

const files =
  import.meta.env.MODE === 'test' ? import.meta.glob<string>('../assets/{policy,medium3,large5,cube}.json', { query: '?raw', import: 'default', eager: true }) : {};

export const stored = <File>(name: string): File => JSON.parse(files[`../assets/${name}.json`] ?? document.getElementById(name)!.textContent) as File;

const known = new Map<string, Policy>();

/** The mazes' policies by name: `policy` is the one whose place in the page `qgf tutorial --policy RUN` fills, `own` the reader's. */
export function policyOf(name: string): Policy {
  if (name === 'own') return known.get(name) ?? policyOf('policy');
  const policy = known.get(name) ?? new Policy(stored<PolicyFile>(name));
  known.set(name, policy);
  return policy;
}

export const takeOwn = (policy: Policy): void => void known.set('own', policy);
