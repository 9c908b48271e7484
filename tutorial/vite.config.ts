import { readFileSync, writeFileSync } from 'node:fs';
import type { Plugin } from 'vite';
import { viteSingleFile } from 'vite-plugin-singlefile';
import { defineConfig } from 'vitest/config';
import { render, type Lang } from './plugins/content.ts';
import { resultsHtml } from './plugins/results.ts';

const LANGS: Lang[] = ['en', 'zh'];
const TAGS: Record<Lang, string> = { en: 'en', zh: 'zh-Hans' };
const text = (lang: Lang) => new URL(`content/${lang}.md`, import.meta.url);

const page = (lang: Lang) => render(readFileSync(text(lang), 'utf8'), resultsHtml(lang), lang);

/** Where the page will be; without it, its links to itself are relative, and those who show previews find no picture. */
const PLACE = process.env.TUTORIAL_URL ?? '';
const PAGES: Record<Lang, string> = { en: 'index.html', zh: 'zh.html' };
const ABOUT: Record<Lang, string> = {
  en: "From what a flow model is to why a critic's gradient can steer an action while it takes shape: an explorable page whose every arrow is computed, with a trained network in the browser.",
  zh: '从流模型是什么，讲到评论家的梯度为什么能在动作成形途中扶它一把：每支箭头都是算出来的，最后在浏览器里运行训练好的网络。',
};
const about = (lang: Lang) =>
  [
    `<meta name="description" content="${ABOUT[lang]}" />`,
    `<meta property="og:title" content="${page(lang).title}" />`,
    `<meta property="og:description" content="${ABOUT[lang]}" />`,
    `<meta property="og:locale" content="${{ en: 'en', zh: 'zh_CN' }[lang]}" />`,
    `<meta vite-ignore property="og:image" content="${PLACE}hero.png" />`,
    '<meta name="twitter:card" content="summary_large_image" />',
    ...(PLACE ? [`<link vite-ignore rel="canonical" href="${PLACE}${PAGES[lang]}" />`] : []),
    ...LANGS.map((other) => `<link vite-ignore rel="alternate" hreflang="${TAGS[other]}" href="${PLACE}${PAGES[other]}" />`),
  ].join('\n    ');

/** The page in one language, readable as it stands; the other language is inert text that the script asks for. */
function content(): Plugin {
  const inert = (lang: Lang, { title, html }: ReturnType<typeof page>) =>
    `<script type="text/html" id="content-${lang}" data-title="${title}">\n${html}</script>`;
  const fill = (html: string, lang: Lang, other: Lang) =>
    html
      .replace(/<html lang="[^"]*">/, `<html lang="${TAGS[lang]}">`)
      .replace(/<title>[^<]*<\/title>/, () => `<title>${page(lang).title}</title>`)
      .replace('<!-- about -->', () => `<!-- about -->${about(lang)}<!-- end of about -->`)
      .replace('<!-- text -->', () => `<!-- text -->${page(lang).html}<!-- end of text -->`)
      .replace('<!-- other -->', () => inert(other, page(other)));
  return {
    name: 'content',
    configureServer: ({ watcher, ws }) => {
      watcher.add(LANGS.map((lang) => text(lang).pathname)).on('change', (path) => {
        if (path.endsWith('.md')) ws.send({ type: 'full-reload' });
      });
    },
    transformIndexHtml: { order: 'pre', handler: (html) => fill(html, 'en', 'zh') },
    /** The same page with the languages exchanged. */
    writeBundle: () => {
      const english = readFileSync(new URL('dist/index.html', import.meta.url), 'utf8');
      const bare = english
        .replace(/<!-- about -->[^]*<!-- end of about -->/, () => '<!-- about -->')
        .replace(/<!-- text -->[^]*<!-- end of text -->/, () => '<!-- text -->')
        .replace(/<script type="text\/html" id="content-zh"[^]*?<\/script>/, () => '<!-- other -->');
      writeFileSync(new URL('dist/zh.html', import.meta.url), fill(bare, 'zh', 'en').replaceAll(' vite-ignore', ''));
    },
  };
}

/** Trained policies as text in the page, parsed when asked for; in place of the first `qgf tutorial --policy RUN` puts another one. */
const POLICIES = ['policy', 'medium3', 'large5', 'cube'];
function policies(): Plugin {
  const text = (name: string) => readFileSync(new URL(`src/assets/${name}.json`, import.meta.url), 'utf8').trim();
  const slots = () => POLICIES.map((name) => `<script type="application/json" id="${name}">${text(name)}</script>`).join('\n    ');
  return { name: 'policies', transformIndexHtml: { order: 'pre', handler: (html) => html.replace('<!-- policies -->', slots) } };
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
  plugins: [content(), policies(), katexFonts(), viteSingleFile({ removeViteModuleLoader: true })],
  build: { assetsInlineLimit: Infinity, target: 'es2022' },
  server: { fs: { allow: ['..'] } },
  test: { include: ['tests/**/*.test.ts'], testTimeout: 60_000 },
});
