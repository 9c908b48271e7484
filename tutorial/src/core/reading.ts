/** Reads a policy of the reader's own, and says in a line why it cannot. */

import { GUIDES } from './guidance';
import { Policy, type PolicyFile } from './policy';

export class Refusal extends Error {
  constructor(readonly text: Readonly<Record<'en' | 'zh', string>>) {
    super(text.en);
  }
}

/** How far its networks may be from what Python answered, written into the file beside them. */
const CLOSE = 1e-3;
const LARGEST = 20e6;

type Check = (x: unknown) => boolean;
const isNumber: Check = (x) => typeof x === 'number' && Number.isFinite(x);
const isPositive: Check = (x) => isNumber(x) && (x as number) > 0;
const isText: Check = (x) => typeof x === 'string';
const isCount: Check = (x) => Number.isInteger(x) && (x as number) > 0;
const isNumbers = (n?: number): Check => (x) => Array.isArray(x) && (n === undefined || x.length === n) && x.every(isNumber);
const shape = (fields: Record<string, Check>): Check => (x) => typeof x === 'object' && x !== null && Object.entries(fields).every(([key, check]) => check((x as Record<string, unknown>)[key]));
const isWalls: Check = (x) =>
  Array.isArray(x) && x.length > 2 && x.length < 100 && x.every((row) => typeof row === 'string' && /^[01]{3,99}$/.test(row) && row.length === x[0].length) && x.join('').includes('0');

/** A network from `ins` numbers to `outs`, with as many weights as its sizes say: halves in base64. */
const isNet = (ins: number, outs: number): Check => (x) => {
  const { sizes, data } = x as { sizes: number[]; data: string };
  if (!shape({ sizes: isNumbers(), data: isText })(x) || !sizes.every(isCount) || sizes.length < 2 || sizes.length > 12) return false;
  const numbers = sizes.slice(1).reduce((sum, out, k) => sum + (sizes[k]! + 1) * out, 0);
  return sizes[0] === ins && sizes.at(-1) === outs && /^[A-Za-z0-9+/]*={0,2}$/.test(data) && data.length === Math.ceil((2 * numbers) / 3) * 4;
};

const PARTS: Record<string, (d: number) => Check> = {
  dataset: () => isText,
  updates: () => isNumber,
  date: () => (x) => x === undefined || /^\d{4}-\d\d-\d\d$/.test(String(x)),
  mean: () => isNumbers(2),
  std: () => (x) => isNumbers(2)(x) && (x as number[]).every(isPositive),
  limits: () => (x) => x === undefined || isNumbers(2)(x),
  calibration: () => shape({ sigma: isPositive, grad_norm: isPositive }),
  maze: () => shape({ walls: isWalls, unit: isPositive, offset: isNumbers(2), goal: isNumbers(2), radius: isPositive }),
  flow: (d) => isNet(2 + d + 9, d),
  critics: (d) => (x) => Array.isArray(x) && x.length > 0 && x.length < 12 && x.every(isNet(2 + d, 1)),
  checks: (d) => (x) =>
    Array.isArray(x) && x.length > 0 && x.every(shape({ obs: isNumbers(2), noise: isNumbers(d), strength: isNumber, ends: shape(Object.fromEntries(GUIDES.map((guide) => [guide, isNumbers(d)]))) })),
};

/** The policy that the text of a file holds. Throws a Refusal. */
export function readPolicy(text: string): Policy {
  if (text.length > LARGEST) throw new Refusal({ en: 'Refused: the file is larger than 20 MB.', zh: '没有采用：文件超过 20 MB。' });
  let file: PolicyFile;
  try {
    file = JSON.parse(text) as PolicyFile;
  } catch {
    throw new Refusal({ en: 'Refused: the file is not JSON, or only a part of it.', zh: '没有采用：文件不是 JSON，或者不完整。' });
  }
  if (!shape({ horizon: isCount })(file)) throw refused('horizon');
  for (const [part, check] of Object.entries(PARTS)) if (!check(2 * file.horizon)((file as unknown as Record<string, unknown>)[part])) throw refused(part);
  const policy = new Policy(file);
  const difference = policy.difference();
  if (!(difference < CLOSE)) {
    throw new Refusal({ en: `Refused: these weights answer otherwise here than the file says, by ${difference.toPrecision(2)}.`, zh: `没有采用：这些权重在这里的回答与文件所写相差 ${difference.toPrecision(2)}。` });
  }
  return policy;
}

const refused = (part: string): Refusal =>
  new Refusal({ en: `Refused: “${part}” is missing or not what a pointmaze policy has there.`, zh: `没有采用：「${part}」缺失，或不是点迷宫策略应有的内容。` });
