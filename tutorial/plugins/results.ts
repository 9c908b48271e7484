/** The project's own measurements, read from `docs/results` and `docs/studies`, as rows of dots with intervals. */

import { existsSync, readFileSync } from 'node:fs';
import type { Lang } from './content.ts';

type Text = Record<Lang, string>;
const same = (name: string): Text => ({ en: name, zh: name });

/** The studies that are shown, with the name of what was studied. */
const STUDIES: Record<string, Text> = {
  'pointmaze-medium': same('pointmaze-medium'),
  'pointmaze-medium-short': { en: 'pointmaze-medium, little data', zh: 'pointmaze-medium，数据少' },
  'pointmaze-giant': same('pointmaze-giant'),
  'cube-single': same('cube-single'),
  'cube-single-default': { en: 'cube-single, nothing tuned', zh: 'cube-single，一律不调' },
  scene: same('scene'),
  'puzzle-3x3': same('puzzle-3x3'),
  'goals-pointmaze-medium': { en: 'pointmaze-medium, goals', zh: 'pointmaze-medium，目标条件' },
  'goals-cube-single': { en: 'cube-single, goals', zh: 'cube-single，目标条件' },
};

/** What is compared, in the order of the rows, with its name and the colour of its role. */
const METHODS: Record<string, { name: Text; role: string }> = {
  none: { name: { en: 'cloned policy', zh: '克隆策略' }, role: 'none' },
  placebo: { name: { en: 'random direction', zh: '随机方向' }, role: 'none' },
  'none best-of-4': { name: same('best-of-4'), role: 'truth' },
  'none best-of-16': { name: same('best-of-16'), role: 'truth' },
  ood: { name: same('OOD'), role: 'ood' },
  bptt: { name: same('BPTT'), role: 'bptt' },
  chain: { name: same('QGF-chain'), role: 'ink' },
  jacobian: { name: same('QGF-Jacobian'), role: 'jacobian' },
  qgf: { name: same('QGF'), role: 'qgf' },
  'qgf default': { name: { en: 'QGF, strength 1', zh: 'QGF，强度 1' }, role: 'qgf' },
  'qgf best-of-4': { name: same('QGF + best-of-4'), role: 'qgf' },
  gradstep: { name: same('GradStep'), role: 'muted' },
  robustq: { name: same('RobustQ'), role: 'muted' },
  cfgrl: { name: same('CFGRL'), role: 'muted' },
};

const HEADERS = {
  method: { en: 'Method', zh: '方法' },
  success: { en: 'Success, 0 to 100 %', zh: '成功率，0 到 100%' },
  mean: { en: 'Mean and 95 % interval', zh: '均值与 95% 区间' },
  tuned: { en: 'tuned', zh: '调过' },
};

/** One method in one study: success in per cent. */
export interface Result {
  mean: number;
  low: number;
  high: number;
  /** Its strength was chosen on other episodes. */
  tuned: boolean;
}

export interface Study {
  id: string;
  tasks: number;
  seeds: number;
  methods: ReadonlyMap<string, Result>;
}

const DOCS = new URL('../../docs/', import.meta.url);
const text = (path: string): string => readFileSync(new URL(path, DOCS), 'utf8');

/** A comma-separated table without quotes, as records. */
export function table(csv: string): Record<string, string>[] {
  const [head, ...rows] = csv.trim().split(/\r?\n/).map((line) => line.split(','));
  return rows.map((row) => Object.fromEntries(head!.map((name, i) => [name, row[i]!])));
}

/** The methods of a study's description that have several strengths to choose from. */
function tunedIn(toml: string): Set<string> {
  const tuned = new Set<string>();
  let method = '';
  for (const line of toml.split('\n')) {
    const section = /^\[(.*)\]\s*$/.exec(line);
    if (section) method = /^method\."?([^"]*)"?$/.exec(section[1]!)?.[1] ?? '';
    else if (method && /^strength\s*=\s*\[/.test(line)) tuned.add(method);
  }
  return tuned;
}

/** Every study that is there. */
export function studies(): Study[] {
  const there = Object.keys(STUDIES).filter((id) => existsSync(new URL(`results/${id}/aggregate.csv`, DOCS)));
  return there.map((id) => {
    const rows = table(text(`results/${id}/aggregate.csv`));
    const tuned = tunedIn(text(`studies/${id}.toml`));
    const result = (row: Record<string, string>): Result => ({
      mean: Number(row.mean),
      low: Number(row.mean_low),
      high: Number(row.mean_high),
      tuned: tuned.has(row.method!),
    });
    return { id, tasks: Number(rows[0]!.tasks), seeds: Number(rows[0]!.runs), methods: new Map(rows.map((row) => [row.method!, result(row)])) };
  });
}

const whole = (value: number): string => String(Math.round(value));

function row(method: string, { mean, low, high, tuned }: Result, lang: Lang): string {
  const { name, role } = METHODS[method]!;
  const mark = tuned ? ` data-tuned title="${HEADERS.tuned[lang]}"` : '';
  const range = `<span class="range" style="--low: ${low}; --mean: ${mean}; --high: ${high}; color: var(--${role})"${mark}></span>`;
  return `<tr><th scope="row">${name[lang]}</th><td>${range}</td><td>${whole(mean)} <small>[${whole(low)}, ${whole(high)}]</small></td></tr>`;
}

function card({ id, tasks, seeds, methods }: Study, lang: Lang): string {
  const rows = Object.keys(METHODS).flatMap((method) => (methods.has(method) ? [row(method, methods.get(method)!, lang)] : []));
  const size = lang === 'zh' ? `${tasks} 个任务 × ${seeds} 个种子` : `${tasks} tasks × ${seeds} ${seeds === 1 ? 'seed' : 'seeds'}`;
  const head = [HEADERS.method, HEADERS.success, HEADERS.mean].map((header) => `<th scope="col">${header[lang]}</th>`).join('');
  return (
    `<table class="study" data-study="${id}"><caption>${STUDIES[id]![lang]} <small>${size}</small></caption>` +
    `<thead><tr>${head}</tr></thead><tbody>${rows.join('')}</tbody></table>`
  );
}

/** All studies as tables beside one another. */
export const resultsHtml = (lang: Lang, all = studies()): string => `<div class="studies">\n${all.map((study) => card(study, lang)).join('\n')}\n</div>\n`;
