/** One panel: axes in an SVG below, a sharp canvas for the picture, handles in an SVG above, and outputs for numbers in it. */

import { scaleLinear, scaleSymlog, type ScaleContinuousNumeric } from 'd3-scale';
import type { Axis, StageSpec } from './demo';
import { html, svg } from './dom';
import { attribute, label, t } from './i18n';
import { runs } from './markup';
import { fixed } from './params';
import { Pen, type Frame } from './pen';
import type { Palette } from './roles';

const NARROW = 400;
/** The share of the window's height that a hero takes: its slider is to be seen, too. */
const TALL = { wide: 0.72, narrow: 0.62 };

type Scale = ScaleContinuousNumeric<number, number>;

const scaleOf = <M>(axis: Axis<M>, model: M, range: [number, number]): Scale =>
  (axis.symlog ? scaleSymlog().constant(axis.symlog) : scaleLinear())
    .domain(typeof axis.domain === 'function' ? axis.domain(model) : axis.domain)
    .range(range);

/** As few digits as tell the ticks apart. */
const tickText = (value: number, ticks: readonly number[]): string => {
  const digits = [0, 1, 2, 3].find((d) => ticks.every((tick) => Math.abs(tick - Number(tick.toFixed(d))) < 1e-9)) ?? 3;
  return fixed(digits)(value);
};

const svgText = (source: string, attributes: Record<string, string | number>): SVGTextElement => {
  let raised = false;
  const parts = runs(source).map(({ text, italic, sub }) => {
    const part = svg('tspan', { 'font-style': italic ? 'italic' : 'normal', 'font-size': sub ? '75%' : '100%', dy: sub ? 3 : raised ? -3 : 0 });
    raised = sub;
    part.textContent = text;
    return part;
  });
  return svg('text', attributes, ...parts);
};

export class Stage<M = unknown> {
  readonly element: HTMLElement;
  /** Where handles live. */
  readonly overlay = svg('svg', { class: 'overlay' });
  readonly notes = html('div', { class: 'notes' });
  private readonly canvas = html('canvas', { role: 'img' });
  private readonly axes = svg('svg', { class: 'axes', 'aria-hidden': 'true' });
  private x: Scale = scaleLinear();
  private y: Scale = scaleLinear();
  private frame: Frame = { left: 0, top: 0, width: 0, height: 0 };
  private small = false;
  private drawnAxes = '';

  constructor(
    private readonly spec: StageSpec<M>,
    resized: () => void,
    /** As high as most of the window, in place of the ratio. */
    private readonly tall = false,
  ) {
    attribute(this.canvas, 'aria-label', spec.label);
    const plot = html('div', { class: 'plot' }, this.axes, this.canvas, this.overlay, this.notes);
    this.element = html('div', { class: 'stage' }, ...(spec.title ? [label(html('h4'), spec.title)] : []), plot);
    new ResizeObserver(() => {
      if (this.fit()) resized();
    }).observe(plot);
  }

  /** Gives the canvas the size that its place allows. True if that changed it, and so cleared it. */
  fit(): boolean {
    const { spec, canvas } = this;
    const width = Math.max(canvas.parentElement!.clientWidth, 120);
    const small = width < NARROW;
    const left = spec.y.hidden ? 1 : spec.y.label && !small ? 54 : 40;
    const bottom = spec.x.hidden ? 1 : spec.x.label ? 44 : 26;
    const top = spec.y.hidden ? 1 : spec.y.label && small ? 26 : 8;
    const inner = width - left - (spec.x.hidden ? 1 : 12);
    const height = this.tall ? Math.max(Math.round((small ? TALL.narrow : TALL.wide) * document.documentElement.clientHeight), 300) : Math.round(inner / ((small && spec.narrow) || spec.ratio)) + top + bottom;
    this.small = small;
    this.frame = { left, top, width: inner, height: height - top - bottom };
    const [pixelWidth, pixelHeight] = [width, height].map((length) => Math.round(length * devicePixelRatio)) as [number, number];
    if (canvas.width === pixelWidth && canvas.height === pixelHeight) return false;
    canvas.width = pixelWidth;
    canvas.height = pixelHeight;
    canvas.style.height = `${height}px`;
    for (const layer of [this.axes, this.overlay]) layer.setAttribute('viewBox', `0 0 ${width} ${height}`);
    return true;
  }

  /** Updates scales and axes, and returns a pen on a clean sheet. */
  prepare(model: M, colours: Palette): Pen {
    if (this.frame.width === 0) this.fit();
    const { spec, canvas, frame } = this;
    this.x = scaleOf(spec.x, model, [frame.left, frame.left + frame.width]);
    this.y = scaleOf(spec.y, model, [frame.top + frame.height, frame.top]);
    if (spec.equal) this.equalise();
    this.drawAxes();
    const ctx = canvas.getContext('2d')!;
    ctx.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    return new Pen(ctx, this.x, this.y, frame, colours);
  }

  /** The picture that is there fades away over the one that comes. */
  leave(): void {
    const { canvas } = this;
    canvas.parentElement!.querySelector('.ghost')?.remove();
    if (canvas.width === 0 || this.frame.width === 0) return;
    const ghost = html('canvas', { class: 'ghost', 'aria-hidden': 'true', width: canvas.width, height: canvas.height, style: canvas.style.cssText });
    ghost.getContext('2d')!.drawImage(canvas, 0, 0);
    canvas.after(ghost);
    ghost.animate([{ opacity: 1 }, { opacity: 0 }], 350).onfinish = () => ghost.remove();
  }

  /** Pixels of a point. */
  place([x, y]: readonly [number, number]): readonly [number, number] {
    return [this.x(x), this.y(y)];
  }

  /** The point under a pointer. */
  locate(event: PointerEvent): readonly [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [this.x.invert(event.clientX - box.left), this.y.invert(event.clientY - box.top)];
  }

  /** Makes units equally long: x widens or narrows. A hero shows all of both, and leaves room for the title, beside or above. */
  private equalise(): void {
    const { frame, tall } = this;
    const [x0, x1] = this.x.domain() as [number, number];
    const [y0, y1] = this.y.domain() as [number, number];
    const half = (Math.abs(y1 - y0) * frame.width) / frame.height / 2;
    if (tall && half < (x1 - x0) / 2) {
      const up = ((x1 - x0) * frame.height) / frame.width / 2;
      const centre = (y0 + y1) / 2 + 0.14 * up;
      this.y.domain([centre - up, centre + up]);
    } else {
      const centre = (x0 + x1) / 2 - (tall ? 0.45 * (half - (x1 - x0) / 2) : 0);
      this.x.domain([centre - half, centre + half]);
    }
  }

  private drawAxes(): void {
    const { spec, frame, small } = this;
    const { left, top, width, height } = frame;
    const xTicks = spec.x.hidden ? [] : (spec.x.ticks ?? this.x.ticks(small ? 5 : 9));
    const yTicks = spec.y.hidden ? [] : (spec.y.ticks ?? this.y.ticks(small ? 4 : 6));
    const key = JSON.stringify([frame, this.x.domain(), this.y.domain(), xTicks, yTicks, document.documentElement.lang]);
    if (key === this.drawnAxes) return;
    this.drawnAxes = key;
    const bottom = top + height;
    const parts: SVGElement[] = [svg('rect', { class: 'frame', x: left, y: top, width, height })];
    for (const tick of xTicks) {
      parts.push(
        svg('line', { class: 'grid', x1: this.x(tick), x2: this.x(tick), y1: top, y2: bottom }),
        svgText(tickText(tick, xTicks), { x: this.x(tick), y: bottom + 16, 'text-anchor': 'middle' }),
      );
    }
    for (const tick of yTicks) {
      parts.push(
        svg('line', { class: 'grid', x1: left, x2: left + width, y1: this.y(tick), y2: this.y(tick) }),
        svgText(tickText(tick, yTicks), { x: left - 7, y: this.y(tick) + 4, 'text-anchor': 'end' }),
      );
    }
    if (spec.x.label && !spec.x.hidden) {
      parts.push(svgText(t(spec.x.label), { class: 'name', x: left + width / 2, y: bottom + 36, 'text-anchor': 'middle' }));
    }
    if (spec.y.label && !spec.y.hidden) {
      const [x, y] = small ? [left, top - 10] : [14, top + height / 2];
      const turned: Record<string, string | number> = small ? {} : { 'text-anchor': 'middle', transform: `rotate(-90 ${x} ${y})` };
      parts.push(svgText(t(spec.y.label), { class: 'name', x, y, ...turned }));
    }
    this.axes.replaceChildren(...parts);
  }
}
