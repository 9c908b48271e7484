/** Every `dN.ts` in this folder, in order. */

import type { AnyDemo } from '../ui/demo';

const files = import.meta.glob<AnyDemo>('./d*.ts', { eager: true, import: 'default' });

export const demos: AnyDemo[] = Object.values(files).sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));
