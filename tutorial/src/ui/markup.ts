/** The little markup of labels, for HTML and for canvas: `*a*` italic, `a_t` or `a_{max}` subscript. */

export interface Run {
  text: string;
  italic: boolean;
  sub: boolean;
}

export function runs(source: string): Run[] {
  let italic = false;
  const parts = source.split(/(\*|_\{[^}]*\}|_.)/u);
  return parts.flatMap((part): Run[] => {
    if (part === '*') {
      italic = !italic;
      return [];
    }
    if (part.startsWith('_')) return [{ text: part.replace(/^_\{?|\}$/g, ''), italic, sub: true }];
    return part ? [{ text: part, italic, sub: false }] : [];
  });
}

/** As DOM nodes. */
export const inline = (source: string): Node[] =>
  runs(source).map(({ text, italic, sub }) => {
    let node: Node = document.createTextNode(text);
    for (const name of [sub && 'sub', italic && 'i']) {
      if (!name) continue;
      const wrapper = document.createElement(name);
      wrapper.append(node);
      node = wrapper;
    }
    return node;
  });

/** As plain text, for names that only a screen reader says. */
export const plain = (source: string): string =>
  runs(source)
    .map(({ text, sub }) => (sub ? ` ${text}` : text))
    .join('');
