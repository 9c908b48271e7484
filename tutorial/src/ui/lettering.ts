/** Texts in pictures: written once, then copied, because writing them is a third of what a redraw costs. */

import { runs } from './markup';

const FONT = 'ui-sans-serif, system-ui, sans-serif';
/** Around the text, for its halo, in pixels of the page. */
const PAD = 4;
/** Above and below the line on which letters stand, in sizes of the text. */
const [ABOVE, BELOW] = [1.1, 0.6];
/** Two languages and two themes have fewer; readers who zoom leave some behind. */
const ENOUGH = 400;

interface Lettering {
  image: HTMLCanvasElement;
  /** Of the text alone. */
  width: number;
}

const known = new Map<string, Lettering>();

function write(text: string, size: number, colour: string, halo: string, ratio: number): Lettering {
  const image = document.createElement('canvas');
  const ctx = image.getContext('2d')!;
  const parts = runs(text).map((run) => {
    const font = `${run.italic ? 'italic ' : ''}500 ${run.sub ? 0.75 * size : size}px ${FONT}`;
    ctx.font = font;
    return { ...run, font, width: ctx.measureText(run.text).width };
  });
  const width = parts.reduce((sum, part) => sum + part.width, 0);
  image.width = Math.ceil((width + 2 * PAD) * ratio);
  image.height = Math.ceil(((ABOVE + BELOW) * size + 2 * PAD) * ratio);
  ctx.scale(ratio, ratio);
  ctx.strokeStyle = halo;
  ctx.fillStyle = colour;
  ctx.lineWidth = 4;
  ctx.lineJoin = 'round';
  for (const stroke of ['strokeText', 'fillText'] as const) {
    let x = PAD;
    for (const part of parts) {
      ctx.font = part.font;
      ctx[stroke](part.text, x, PAD + ABOVE * size + (part.sub ? 0.25 * size : 0));
      x += part.width;
    }
  }
  return { image, width };
}

/** Puts a text, with a halo so that it can be read on anything, where its first letter stands at x, or its middle, or its end. */
export function letter(
  ctx: CanvasRenderingContext2D,
  { text, size, colour, halo, align }: { text: string; size: number; colour: string; halo: string; align: 'left' | 'center' | 'right' },
  x: number,
  y: number,
): void {
  const ratio = devicePixelRatio;
  const key = [text, size, colour, halo, ratio].join('\n');
  let one = known.get(key);
  if (!one) {
    if (known.size >= ENOUGH) known.clear();
    known.set(key, (one = write(text, size, colour, halo, ratio)));
  }
  const { image, width } = one;
  const left = x - { left: 0, center: 0.5, right: 1 }[align] * width - PAD;
  // On whole pixels of the screen, where a copy is as sharp as what it copies.
  const sharp = (length: number) => Math.round(length * ratio) / ratio;
  ctx.globalAlpha = 1;
  ctx.drawImage(image, sharp(left), sharp(y - PAD - ABOVE * size), image.width / ratio, image.height / ratio);
}
