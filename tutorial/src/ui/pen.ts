/** Draws on a stage in the demo's own coordinates. Everything is clipped to the plotting area; texts come last, on top. */

import { contours } from 'd3-contour';
import { area, symbol } from 'd3-shape';
import type { Grid } from '../core/grid';
import type { Point } from '../core/vector';
import { t, type Text } from './i18n';
import { letter } from './lettering';
import { ROLES, type Palette, type Role } from './roles';

export interface Style {
  role: Role;
  alpha?: number;
  width?: number;
  /** Overrides the role's dash; [] is solid. */
  dash?: number[];
}

export interface TextStyle {
  role?: Role;
  align?: 'left' | 'center' | 'right';
  /** Offset in pixels. */
  dx?: number;
  dy?: number;
  size?: number;
}

export interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
}

type ScaleOf = (value: number) => number;

/** Bands in a grid's own cell coordinates; the same values are contoured once. */
const bands = new WeakMap<Grid['values'], Map<string, Path2D[]>>();

function contourPaths({ nx, ny, values }: Grid, levels: number, lowest: number): Path2D[] {
  const known = bands.get(values) ?? new Map<string, Path2D[]>();
  bands.set(values, known);
  const key = `${levels} ${lowest}`;
  let paths = known.get(key);
  if (!paths) {
    const low = Math.max(values.reduce((a, b) => Math.min(a, b)), lowest);
    const high = values.reduce((a, b) => Math.max(a, b));
    const thresholds = Array.from({ length: levels }, (_, i) => low + ((i + 1) / (levels + 1)) * (high - low));
    paths = contours().size([nx, ny]).thresholds(thresholds)(values).map(({ coordinates }) => {
      const path = new Path2D();
      for (const ring of coordinates.flat()) {
        ring.forEach(([x, y], i) => (i ? path.lineTo(x!, y!) : path.moveTo(x!, y!)));
        path.closePath();
      }
      return path;
    });
    known.set(key, paths);
  }
  return paths;
}

/** Lines that are the same in many frames (`kept`): traced once for a scale. */
const keptLines = new WeakMap<readonly (readonly Point[])[], { scale: string; path: Path2D }>();

export class Pen {
  private readonly texts: (() => void)[] = [];

  constructor(
    private readonly ctx: CanvasRenderingContext2D,
    readonly x: ScaleOf,
    readonly y: ScaleOf,
    /** The plotting area, in pixels. */
    readonly frame: Frame,
    private readonly colours: Palette,
  ) {}

  /** Draws what `picture` asks for. */
  draw(picture: () => void): void {
    const { ctx, frame } = this;
    this.texts.length = 0;
    ctx.save();
    ctx.beginPath();
    ctx.rect(frame.left, frame.top, frame.width, frame.height);
    ctx.clip();
    ctx.lineJoin = 'round';
    picture();
    ctx.restore();
    this.texts.forEach((write) => write());
  }

  /** A line through the points. */
  line(points: readonly Point[], style: Style): void {
    this.stroke(style, () => this.path(points));
  }

  /** Many separate lines in one stroke. */
  lines(many: readonly (readonly Point[])[], style: Style & { kept?: boolean }): void {
    if (!style.kept) return this.stroke(style, () => many.forEach((points) => this.path(points)));
    const scale = [this.x(0), this.x(1), this.y(0), this.y(1)].join();
    let known = keptLines.get(many);
    if (known?.scale !== scale) {
      const path = new Path2D();
      many.forEach((points) => this.path(points, path));
      keptLines.set(many, (known = { scale, path }));
    }
    this.stroke(style, () => undefined, known.path);
  }

  /** The surface between the points and a base line. */
  area(points: readonly Point[], style: Style & { base?: number }): void {
    this.fill(style, () =>
      area<Point>(([x]) => this.x(x), this.y(style.base ?? 0), ([, y]) => this.y(y)).context(this.ctx)(points),
    );
  }

  /** A rectangle from corner to corner; infinite corners reach the frame. */
  rect([x0, y0]: Point, [x1, y1]: Point, style: Style): void {
    const { left, top, width, height } = this.frame;
    const px = (x: number) => (Number.isFinite(x) ? this.x(x) : x < 0 ? left : left + width);
    const py = (y: number) => (Number.isFinite(y) ? this.y(y) : y < 0 ? top + height : top);
    this.fill(style, () => this.ctx.rect(px(x0), py(y0), px(x1) - px(x0), py(y1) - py(y0)));
  }

  /** A line across the frame at x. */
  vertical(x: number, style: Style): void {
    const { top, height } = this.frame;
    this.stroke(style, () => {
      this.ctx.moveTo(this.x(x), top);
      this.ctx.lineTo(this.x(x), top + height);
    });
  }

  /** A line across the frame at y. */
  horizontal(y: number, style: Style): void {
    const { left, width } = this.frame;
    this.stroke(style, () => {
      this.ctx.moveTo(left, this.y(y));
      this.ctx.lineTo(left + width, this.y(y));
    });
  }

  /** One of the pictures that stand side by side in a strip, over the whole frame. */
  picture(strip: CanvasImageSource & { width: number; height: number }, k: number): void {
    const { left, top, width, height } = this.frame;
    this.ctx.globalAlpha = 1;
    this.ctx.drawImage(strip, k * strip.height, 0, strip.height, strip.height, left, top, width, height);
  }

  /** The role's marker at every point; `size` is its area in square pixels. */
  dots(points: readonly Point[], style: Style & { size?: number }): void {
    const { ctx } = this;
    const marker = symbol(ROLES[style.role].marker, style.size ?? 30).context(ctx);
    const each = () => {
      for (const [x, y] of points) {
        ctx.translate(this.x(x), this.y(y));
        marker();
        ctx.translate(-this.x(x), -this.y(y));
      }
    };
    this.fill(style, each);
  }

  /** A disc of a radius on the x axis. */
  disc([x, y]: Point, radius: number, style: Style): void {
    this.fill(style, () => this.ctx.arc(this.x(x), this.y(y), Math.abs(this.x(x + radius) - this.x(x)), 0, 2 * Math.PI));
  }

  /** An arrow between two points; its head keeps its size. */
  arrow(from: Point, to: Point, style: Style): void {
    const [x0, y0, x1, y1] = [this.x(from[0]), this.y(from[1]), this.x(to[0]), this.y(to[1])];
    const length = Math.hypot(x1 - x0, y1 - y0);
    if (length < 0.5) return;
    const width = style.width ?? ROLES[style.role].width;
    const head = Math.min(5 + 2 * width, length);
    const [ux, uy] = [(x1 - x0) / length, (y1 - y0) / length];
    const [bx, by] = [x1 - head * ux, y1 - head * uy];
    this.stroke({ dash: [], ...style }, () => {
      this.ctx.moveTo(x0, y0);
      this.ctx.lineTo(bx + 0.3 * head * ux, by + 0.3 * head * uy);
    });
    this.fill(style, () => {
      this.ctx.moveTo(x1, y1);
      this.ctx.lineTo(bx - 0.42 * head * uy, by + 0.42 * head * ux);
      this.ctx.lineTo(bx + 0.42 * head * uy, by - 0.42 * head * ux);
      this.ctx.closePath();
    });
  }

  /** A grid as stacked translucent bands (`alpha` each) above the value `lowest`, with hairlines between them. */
  field(grid: Grid, style: Style & { levels?: number; lines?: number; lowest?: number }): void {
    const { nx, ny, x, y } = grid;
    const [left, bottom] = [this.x(x[0]), this.y(y[0])];
    const toPixels = new DOMMatrix([(this.x(x[1]) - left) / nx, 0, 0, (this.y(y[1]) - bottom) / ny, left, bottom]);
    for (const cells of contourPaths(grid, style.levels ?? 9, style.lowest ?? -Infinity)) {
      const path = new Path2D();
      path.addPath(cells, toPixels);
      this.fill({ ...style, alpha: style.alpha ?? 0.06 }, () => undefined, path);
      this.stroke({ ...style, width: 0.75, alpha: style.lines ?? 0.25 }, () => undefined, path);
    }
  }

  /** A label at a point, with a halo so that it can be read on anything. */
  text(at: Point, text: Text, { role = 'ink', align = 'left', dx = 0, dy = 0, size = 13 }: TextStyle = {}): void {
    const [colour, halo] = [this.colours[role], this.colours.paper];
    this.texts.push(() => letter(this.ctx, { text: t(text), size, colour, halo, align }, this.x(at[0]) + dx, this.y(at[1]) + dy));
  }

  /** Points that fall into the pixel of the one before are left out: strokes are what costs most. */
  private path(points: readonly Point[], onto: CanvasRenderingContext2D | Path2D = this.ctx): void {
    let [px, py] = [Infinity, Infinity];
    points.forEach(([x, y], i) => {
      const [nx, ny] = [this.x(x), this.y(y)];
      if (i > 0 && i < points.length - 1 && Math.abs(nx - px) < 0.7 && Math.abs(ny - py) < 0.7) return;
      if (i === 0) onto.moveTo(nx, ny);
      else onto.lineTo(nx, ny);
      [px, py] = [nx, ny];
    });
  }

  private stroke(style: Style, trace: () => void, path?: Path2D): void {
    const { ctx } = this;
    const { dash, width } = ROLES[style.role];
    ctx.globalAlpha = style.alpha ?? 1;
    ctx.strokeStyle = this.colours[style.role];
    ctx.lineWidth = style.width ?? width;
    ctx.setLineDash(style.dash ?? dash);
    ctx.beginPath();
    trace();
    if (path) ctx.stroke(path);
    else ctx.stroke();
  }

  private fill(style: Style, trace: () => void, path?: Path2D): void {
    const { ctx } = this;
    ctx.globalAlpha = style.alpha ?? 1;
    ctx.fillStyle = this.colours[style.role];
    ctx.beginPath();
    trace();
    if (path) ctx.fill(path);
    else ctx.fill();
  }
}
