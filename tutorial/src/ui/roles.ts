/** What a colour means. Each role also has its own dash and marker, so that colour never stands alone. */

import {
  symbol,
  symbolCircle,
  symbolDiamond,
  symbolSquare,
  symbolStar,
  symbolTriangle,
  type SymbolType,
} from 'd3-shape';
import { svg } from './dom';

interface Look {
  dash: number[];
  marker: SymbolType;
  width: number;
}

const look = (dash: number[], marker: SymbolType = symbolCircle, width = 1.75): Look => ({ dash, marker, width });

export const ROLES = {
  /** Orange: the noisy action a_t, and the OOD gradient that asks there. */
  ood: look([8, 4], symbolCircle),
  /** Cyan: the one-step estimate a1_hat, and QGF, which asks there. */
  qgf: look([], symbolDiamond, 2.5),
  /** Purple: the flow's own exact answer: where the ODE ends, and QGF-Jacobian, which keeps the exact J. */
  jacobian: look([10, 3, 2, 3], symbolSquare),
  /** Red: BPTT, the gradient through the whole chain. */
  bptt: look([4, 2], symbolTriangle, 1.5),
  /** No guidance. */
  none: look([1.5, 3], symbolCircle),
  /** The critic Q. */
  critic: look([], symbolStar, 2),
  /** The true return, or the best action. */
  truth: look([6, 4], symbolStar),
  /** The data and their density. */
  data: look([], symbolCircle, 1.5),
  ink: look([]),
  muted: look([], symbolCircle, 1),
  /** The figure's background. */
  paper: look([]),
} satisfies Record<string, Look>;

export type Role = keyof typeof ROLES;

export type Palette = Record<Role, string>;

/** The role's marker as an SVG path around the origin. */
export const markerPath = (role: Role, size: number): string => symbol(ROLES[role].marker, size)()!;

/** A little line with the role's dash and marker, for legends. */
export function swatch(role: Role): SVGSVGElement {
  const { dash, width } = ROLES[role];
  return svg(
    'svg',
    { class: 'swatch', viewBox: '-14 -6 28 12', width: 28, height: 12, 'aria-hidden': 'true', style: `color: var(--${role})` },
    svg('path', { d: 'M-14,0H14', stroke: 'currentColor', 'stroke-width': width, 'stroke-dasharray': dash.join(' ') }),
    svg('path', { d: markerPath(role, 50), fill: 'currentColor' }),
  );
}

/** The colours of the theme that the page wears at the moment. */
export function palette(): Palette {
  const probe = document.body.appendChild(document.createElement('span'));
  probe.style.setProperty('forced-color-adjust', 'none');
  const colour = (role: string) => {
    probe.style.color = `var(--${role})`;
    return getComputedStyle(probe).color;
  };
  const colours = Object.fromEntries(Object.keys(ROLES).map((role) => [role, colour(role)])) as Palette;
  probe.remove();
  return colours;
}
