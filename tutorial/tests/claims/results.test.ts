/** What sections 9 and 10 say about the project's own measurements is what `docs/results` holds. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { resultsHtml, studies, table, type Result } from '../../plugins/results';

const all = studies();
const study = (id: string) => all.find((one) => one.id === id)!;
const of = (id: string, method: string): Result => study(id).methods.get(method)!;
const ours = ({ methods }: (typeof all)[number]) => (methods.get('qgf') ?? methods.get('qgf default'))!;
const apart = (a: Result, b: Result) => a.low > b.high || b.low > a.high;
const texts = ['en', 'zh'].map((lang) => readFileSync(new URL(`../../content/${lang}.md`, import.meta.url), 'utf8'));
/** The bullet below the results that opens with a word, in both languages, quotes these means, rounded. */
const quotes = (openings: readonly [string, string], ...results: Result[]) => {
  openings.forEach((opening, i) => {
    const line = texts[i]!.split('\n').find((one) => one.startsWith(`- **${opening}`))!;
    for (const { mean } of results) expect(line).toContain(String(Math.round(mean)));
  });
};

describe('our own results', () => {
  test('there are nine studies, eight of which tuned QGF', () => {
    expect(all).toHaveLength(9);
    expect(all.filter(({ methods }) => methods.get('qgf')?.tuned)).toHaveLength(8);
  });

  test('OOD: far ahead on puzzle-3x3 by its mean, higher in four more, apart in none', () => {
    const higher = all.filter((one) => one.methods.get('ood')!.mean > ours(one).mean);
    expect(higher.map(({ id }) => id).sort()).toEqual(['cube-single-default', 'pointmaze-giant', 'pointmaze-medium-short', 'puzzle-3x3', 'scene']);
    expect(higher.filter((one) => apart(one.methods.get('ood')!, ours(one))).map(({ id }) => id)).toEqual([]);
    const lead = (id: string) => of(id, 'ood').mean - ours(study(id)).mean;
    for (const { id } of higher) if (id !== 'puzzle-3x3') expect(lead(id)).toBeLessThan(lead('puzzle-3x3') / 2);
    expect(study('puzzle-3x3').seeds).toBe(1);
    quotes(['OOD', 'OOD'], of('puzzle-3x3', 'ood'), of('puzzle-3x3', 'qgf'));
  });

  test('best-of-N leads puzzle-3x3 and the goals of pointmaze', () => {
    const best = [...study('puzzle-3x3').methods].reduce((a, b) => (b[1].mean > a[1].mean ? b : a));
    expect(best[0]).toBe('none best-of-16');
    expect(of('goals-pointmaze-medium', 'none best-of-4').mean).toBeGreaterThan(of('goals-pointmaze-medium', 'qgf').mean);
    quotes(['Best-of-N', 'best-of-N'], best[1], of('goals-pointmaze-medium', 'none best-of-4'), of('goals-pointmaze-medium', 'qgf'));
    quotes(['Best-of-N', 'best-of-N'], of('cube-single', 'none best-of-4'), of('cube-single', 'none best-of-16'), of('cube-single', 'qgf'));
  });

  test('QGF-Jacobian is ahead with little data, behind on cube-single', () => {
    const [short, cube] = ['pointmaze-medium-short', 'cube-single'].map((id) => ['jacobian', 'qgf'].map((method) => of(id, method)));
    expect(short![0]!.mean).toBeGreaterThan(short![1]!.mean);
    expect(cube![0]!.mean).toBeLessThan(cube![1]!.mean);
    quotes(['The Jacobian', '雅可比'], ...short!, ...cube!);
  });

  test('tuned is only QGF on scene and puzzle-3x3, nothing on the plain cube-single', () => {
    const tuned = (id: string) => [...study(id).methods].flatMap(([method, result]) => (result.tuned ? [method] : []));
    expect(tuned('scene')).toEqual(['qgf']);
    expect(tuned('puzzle-3x3')).toEqual(['qgf']);
    expect(tuned('cube-single-default')).toEqual([]);
    expect(tuned('cube-single')).toContain('bptt');
  });

  test('the default loses more than six points only with the goals of cube-single', () => {
    const loss = (id: string) => of(id, 'qgf').mean - of(id, 'qgf default').mean;
    const far = all.filter(({ id, methods }) => methods.has('qgf') && loss(id) > 6).map(({ id }) => id);
    expect(far).toEqual(['goals-cube-single']);
    quotes(['Tuning', '调参'], of('goals-cube-single', 'qgf'), of('goals-cube-single', 'qgf default'));
  });

  test('tuning chose strength 0.5 or 1; the raw weights behind it lie 150 times apart', () => {
    const runs = all.flatMap(({ id }) => table(readFileSync(new URL(`../../../docs/results/${id}/results.csv`, import.meta.url), 'utf8')));
    const tuned = runs.filter(({ method, split }) => method === 'qgf' && split === 'held-out');
    expect(new Set(tuned.map(({ strength }) => strength))).toEqual(new Set(['0.5', '1']));
    const weights = tuned.map(({ raw_weight }) => Number(raw_weight)).sort((a, b) => a - b);
    expect(weights[0]).toBeCloseTo(0.011, 3);
    expect(weights.at(-1)).toBeCloseTo(1.7, 1);
    expect(weights.at(-1)! / weights[0]!).toBeCloseTo(153, 0);
  });

  test('are shown in both languages, rounded, with what was tuned', () => {
    const [en, zh] = [resultsHtml('en'), resultsHtml('zh')];
    expect(en.match(/<caption>/g)).toHaveLength(9);
    expect(zh).toContain('随机方向');
    expect(zh).not.toMatch(/random|strength|tasks/);
    expect(en).toMatch(/data-study="puzzle-3x3".*?>QGF<.*?data-tuned.*?>25 <small>\[17, 34\]/s);
    expect(en).toMatch(/data-study="scene".*?>OOD<\/th><td><span class="range" style="--low: 55\.25; --mean: 65; --high: 73\.64; color: var\(--ood\)"><\/span>/s);
  });
});
