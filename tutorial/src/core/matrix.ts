/** Small square matrices of any size. */

import type { Mat } from './vector';

/** Eigenvalues of a symmetric matrix, largest first, by Jacobi's rotations. */
export function eigenvalues(symmetric: Mat): number[] {
  const m = symmetric.map((row) => row.slice());
  const n = m.length;
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const apq = m[p]![q]!;
        off += apq * apq;
        if (Math.abs(apq) < 1e-300) continue;
        const theta = (m[q]![q]! - m[p]![p]!) / (2 * apq);
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        for (let k = 0; k < n; k++) [m[k]![p], m[k]![q]] = [c * m[k]![p]! - s * m[k]![q]!, s * m[k]![p]! + c * m[k]![q]!];
        for (let k = 0; k < n; k++) [m[p]![k], m[q]![k]] = [c * m[p]![k]! - s * m[q]![k]!, s * m[p]![k]! + c * m[q]![k]!];
      }
    }
    if (off < 1e-22) break;
  }
  return m.map((row, i) => row[i]!).sort((a, b) => b - a);
}

/** Singular values, largest first. */
export const singularValues = (m: Mat): number[] =>
  eigenvalues(m.map((_, i) => m.map((__, j) => m.reduce((sum, row) => sum + row[i]! * row[j]!, 0)))).map((x) => Math.sqrt(Math.max(x, 0)));

const frobenius = (m: Mat): number => Math.sqrt(m.reduce((sum, row) => sum + row.reduce((inner, x) => inner + x * x, 0), 0));

/** |M - M^T| / |M|: 0 for a symmetric matrix, sqrt(2) on average for one without any symmetry. */
export const asymmetry = (m: Mat): number => frobenius(m.map((row, i) => row.map((x, j) => x - m[j]![i]!))) / frobenius(m);
