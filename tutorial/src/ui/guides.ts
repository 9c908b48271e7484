/** The names of the guidance kinds, for segments and cards; each is also a role. */

export const GUIDE_NAMES = {
  none: { en: 'none', zh: '无引导' },
  ood: 'OOD',
  bptt: 'BPTT',
  jacobian: 'QGF-Jacobian',
  qgf: 'QGF',
} as const;
