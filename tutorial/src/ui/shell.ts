/** The page around the demos: title bar, contents, the text in one of two languages, links. */

import { html } from './dom';
import { attribute, chosenLang, label, LANGS, lang, onLang, setLang, t, type Lang, type Text } from './i18n';
import { layOut } from './later';
import type { Mounted } from './mount';
import { themeButton, wear } from './theme';
import { watchWidths } from './reach';
import { explainTerms } from './terms';
import { follows, setSearch, splitLink } from './urlState';

const CONTENTS: Text = { en: 'Contents', zh: '目录' };
const page = document.querySelector<HTMLElement>('#page')!;

/** What is read: the block a third down the window. It is placed by pixels if it is a demo, whose picture keeps its size, by a share if it is text. */
function reading(): { block: number; scrolled: number } {
  const blocks = [...page.children];
  const block = Math.max(0, blocks.findIndex((element) => element.getBoundingClientRect().bottom > innerHeight / 3));
  return { block, scrolled: blocks[block] ? -blocks[block].getBoundingClientRect().top / unitOf(blocks[block]) : 0 };
}
const unitOf = (block: Element): number => (block.matches('.slot') ? 1 : Math.max(block.getBoundingClientRect().height, 1));

function goTo({ block, scrolled }: ReturnType<typeof reading>): void {
  const element = page.children[Math.min(block, page.children.length - 1)];
  if (!element) return;
  scrollBy({ top: element.getBoundingClientRect().top + scrolled * unitOf(element), behavior: 'instant' });
}

/** The text and the title of either language: the one that the page was written in, and the inert one, parsed when asked for. */
const written: Lang = document.documentElement.lang.startsWith('zh') ? 'zh' : 'en';
const other = document.querySelector<HTMLElement>('script[type="text/html"]')!;
const texts = { [written]: { html: page.innerHTML, title: document.title } } as Record<Lang, { html: string; title: string }>;
texts[written === 'en' ? 'zh' : 'en'] = { html: other.textContent, title: other.dataset.title! };
let shown = written;

/** Words that point at a thing in a picture ring it while they are pointed at or focused. */
function pointOut(demos: Map<string, Mounted>): void {
  for (const words of page.querySelectorAll<HTMLAnchorElement>('a[href*=":"][href^="#d"]')) {
    const [id, mark] = words.hash.slice(1).split(':') as [string, string];
    words.classList.add('pointer');
    for (const event of ['pointerenter', 'focus']) words.addEventListener(event, () => demos.get(id)?.point(mark));
    for (const event of ['pointerleave', 'blur']) words.addEventListener(event, () => demos.get(id)?.point(undefined));
  }
}

function showText(demos: Map<string, Mounted>): void {
  const { html, title } = texts[lang()];
  if (shown !== lang()) {
    layOut();
    page.innerHTML = html;
  }
  shown = lang();
  for (const slot of page.querySelectorAll<HTMLElement>('.slot')) {
    const demo = demos.get(slot.dataset.demo!);
    if (!demo) continue;
    slot.append(demo.figure);
    // Classes, not :has(), which would be asked anew at every frame.
    const first = demo.figure.matches('.hero');
    slot.classList.toggle('first', first);
    if (first) page.classList.add('opens');
    // What to try stands above the picture, within the figure.
    const before = slot.previousElementSibling;
    if (before?.matches('.callout.try')) demo.figure.querySelector('.try')!.replaceChildren(before);
    // What to notice stands beside it.
    const after = slot.nextElementSibling;
    if (after?.matches('.callout.notice')) demo.figure.querySelector('.notices')!.replaceChildren(after);
  }
  pointOut(demos);
  document.title = title;
  watchWidths(page);
}

function showContents(...lists: HTMLElement[]): void {
  const headings = [...page.querySelectorAll('h2')];
  for (const list of lists) list.replaceChildren(...headings.map((heading) => html('li', {}, html('a', { href: `#${heading.id}` }, heading.textContent))));
}

const mark = (items: Element[], current: number) =>
  items.forEach(({ firstElementChild: link }, i) => (i === current ? link!.setAttribute('aria-current', 'location') : link!.removeAttribute('aria-current')));

/** Where the reader is: the section's name in the bar, which opens the contents, its mark in them, and how far the page is read. */
function whereabouts(lists: readonly HTMLElement[]): HTMLElement[] {
  const links = html('ol');
  const popover = attribute(html('nav', { class: 'sections', id: 'sections', popover: true }, links), 'aria-label', CONTENTS);
  links.addEventListener('click', () => popover.hidePopover());
  const name = html('span');
  const here = html('button', { type: 'button', class: 'here', popovertarget: 'sections' }, name);
  const read = html('span', { class: 'read', 'aria-hidden': 'true' });
  const look = () => {
    const headings = [...page.querySelectorAll('h2')];
    const current = headings.findLastIndex((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
    const text = headings[current]?.textContent ?? t(CONTENTS);
    if (name.textContent !== text) name.textContent = text;
    for (const list of [...lists, links]) mark([...list.children], current);
    const whole = document.documentElement.scrollHeight - innerHeight;
    read.style.scale = `${Math.min(scrollY / Math.max(whole, 1), 1)} 1`;
  };
  let waiting = false;
  addEventListener(
    'scroll',
    () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        look();
      });
    },
    { passive: true },
  );
  onLang(() => {
    showContents(links);
    look();
  });
  return [here, popover, read];
}

/** Follows the link in the address bar: to a heading, or to a demo and the state it asks for. */
function follow(demos: Map<string, Mounted>): void {
  const { id: whole, query } = splitLink(location.hash);
  // A word that points at a thing in a picture leads there.
  const id = whole.split(':')[0]!;
  const demo = demos.get(id);
  if (demo && query !== undefined) demo.restore(query);
  // A preset is clicked beside the picture: where most of it is in sight, the page stays.
  const picture = demo?.figure.querySelector('.stages')?.getBoundingClientRect();
  const sighted = picture && query !== undefined && picture.top > 0 && picture.top < innerHeight / 2;
  const place = document.getElementById(id);
  if (place && !demo?.figure.matches('.hero')) layOut();
  const fold = place?.closest('details');
  if (fold) fold.open = true;
  if (!sighted) place?.scrollIntoView();
}

export function shell(demos: Map<string, Mounted>): void {
  const switches = (Object.keys(LANGS) as Lang[]).map((choice) => {
    const button = html('button', { type: 'button', lang: LANGS[choice].tag }, LANGS[choice].name);
    button.addEventListener('click', () => {
      const place = reading();
      setLang(choice);
      goTo(place);
      setSearch('lang', choice);
    });
    onLang(() => button.setAttribute('aria-pressed', String(lang() === choice)));
    return button;
  });
  const languages = attribute(html('div', { class: 'languages', role: 'group' }, ...switches), 'aria-label', { en: 'Language', zh: '语言' });
  const home = label(html('a', { href: '#page', class: 'home' }), { en: 'Q-Guided Flow', zh: 'Q 引导流' });
  const skip = label(html('a', { href: '#page', class: 'skip' }), { en: 'Skip to the text', zh: '跳到正文' });
  const list = html('ol');
  attribute(document.querySelector('.contents')!, 'aria-label', CONTENTS).append(label(html('p'), CONTENTS), list);
  // On a wide screen the contents stand beside the text, below the hero.
  const hero = [...demos.values()].find(({ figure }) => figure.matches('.hero'))?.figure;
  if (hero) new ResizeObserver(() => document.documentElement.style.setProperty('--hero', `${hero.offsetHeight}px`)).observe(hero);

  onLang(() => {
    showText(demos);
    showContents(list);
  });
  const [here, sections, read] = whereabouts([list]) as [HTMLElement, HTMLElement, HTMLElement];
  document.querySelector('.bar')!.append(skip, home, here, languages, themeButton(), sections, read);
  explainTerms(page);
  setLang(chosenLang(location.search, written === 'zh' ? ['zh'] : navigator.languages));
  follow(demos);
  addEventListener('hashchange', ({ newURL }) => {
    follows(newURL);
    follow(demos);
  });

  let worn: ReturnType<typeof wear>;
  let folds: HTMLDetailsElement[] = [];
  addEventListener('beforeprint', () => {
    layOut();
    worn = wear('light');
    document.documentElement.dataset.paper = '';
    folds = [...page.querySelectorAll<HTMLDetailsElement>('details:not([open])')];
    for (const fold of folds) fold.open = true;
    demos.forEach(({ figure }) => figure.dispatchEvent(new Event('beforeprint')));
  });
  addEventListener('afterprint', () => {
    delete document.documentElement.dataset.paper;
    for (const fold of folds) fold.open = false;
    wear(worn);
    demos.forEach(({ figure }) => figure.dispatchEvent(new Event('afterprint')));
  });
}

