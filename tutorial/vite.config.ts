import { readFileSync } from 'node:fs';
import type { Plugin } from 'vite';
import { viteSingleFile } from 'vite-plugin-singlefile';
import { defineConfig } from 'vitest/config';
import { render, type Lang } from './plugins/content.ts';
import { resultsHtml } from './plugins/results.ts';

const LANGS: Lang[] = ['en', 'zh'];
const text = (lang: Lang) => new URL(`content/${lang}.md`, import.meta.url);

/** Both languages as templates in the page; the script puts one of them on stage. */
function content(): Plugin {
  const template = (lang: Lang) => {
    const page = render(readFileSync(text(lang), 'utf8'), resultsHtml(lang));
    return `<template id="content-${lang}" data-title="${page.title}">\n${page.html}</template>`;
  };
  return {
    name: 'content',
    configureServer: ({ watcher, ws }) => {
      watcher.add(LANGS.map((lang) => text(lang).pathname)).on('change', (path) => {
        if (path.endsWith('.md')) ws.send({ type: 'full-reload' });
      });
    },
    transformIndexHtml: { order: 'pre', handler: (html) => html.replace('<!-- content -->', () => LANGS.map(template).join('\n')) },
  };
}

/** The trained policy as text in the page, where `qgf tutorial --policy RUN` puts another one. */
function policy(): Plugin {
  const file = new URL('src/assets/policy.json', import.meta.url);
  const slot = () => `<script type="application/json" id="policy">${readFileSync(file, 'utf8').trim()}</script>`;
  return { name: 'policy', transformIndexHtml: { order: 'pre', handler: (html) => html.replace('<!-- policy -->', slot) } };
}

/** Of KaTeX's fonts keep the modern format and the families that the text uses. */
function katexFonts(): Plugin {
  const unused = /@font-face\{[^}]*KaTeX_(Fraktur|SansSerif|Script|Typewriter)[^}]*\}/g;
  const legacy = /,url\([^)]*\) format\("(woff|truetype)"\)/g;
  return {
    name: 'katex-fonts',
    enforce: 'pre',
    transform: (code, id) => (id.includes('katex.min.css') ? code.replace(unused, '').replace(legacy, '') : undefined),
  };
}

export default defineConfig({
  plugins: [content(), policy(), katexFonts(), viteSingleFile({ removeViteModuleLoader: true })],
  build: { assetsInlineLimit: Infinity, target: 'es2022' },
  server: { fs: { allow: ['..'] } },
  test: { include: ['tests/**/*.test.ts'], testTimeout: 60_000 },
});
