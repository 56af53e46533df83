/**
 * Markdown as a tree of blocks, read in one pass over lines. What models write: headings, lists,
 * code, quotes, tables, emphasis, links. HTML is text, images are links: nothing is fetched.
 */

export type Inline =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "code"; readonly text: string }
  | { readonly kind: "strong" | "em"; readonly parts: readonly Inline[] }
  | { readonly kind: "link"; readonly href: string; readonly parts: readonly Inline[] };

export type Block =
  | { readonly kind: "paragraph"; readonly parts: readonly Inline[] }
  | { readonly kind: "heading"; readonly level: number; readonly parts: readonly Inline[] }
  | { readonly kind: "code"; readonly language: string; readonly text: string }
  | { readonly kind: "quote"; readonly blocks: readonly Block[] }
  | {
      readonly kind: "list";
      readonly isOrdered: boolean;
      readonly start: number;
      readonly items: readonly (readonly Block[])[];
    }
  | { readonly kind: "table"; readonly rows: readonly (readonly (readonly Inline[])[])[] }
  | { readonly kind: "rule" };

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|(\d{1,9})[.)])\s+(.*)$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const DEEPEST = 8;

export function blocks(text: string, depth = 0): Block[] {
  const lines = text.split("\n");
  const found: Block[] = [];
  let at = 0;
  const take = (holds: (line: string) => boolean): string[] => {
    const from = at;
    while (at < lines.length && holds(lines[at]!)) at++;
    return lines.slice(from, at);
  };
  while (at < lines.length) {
    const line = lines[at]!;
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    if (line.trim() === "") {
      at++;
    } else if (fence) {
      at++;
      const isEnd = (l: string) => l.trim().startsWith(fence[1]!) && /^\s*[`~]+\s*$/.test(l);
      found.push({ kind: "code", language: fence[2]!, text: take((l) => !isEnd(l)).join("\n") });
      at++;
    } else if (heading) {
      at++;
      found.push({ kind: "heading", level: heading[1]!.length, parts: inline(heading[2]!) });
    } else if (RULE.test(line)) {
      at++;
      found.push({ kind: "rule" });
    } else if (QUOTE.test(line) && depth < DEEPEST) {
      const inner = take((l) => QUOTE.test(l)).map((l) => l.replace(QUOTE, ""));
      found.push({ kind: "quote", blocks: blocks(inner.join("\n"), depth + 1) });
    } else if (ITEM.test(line) && depth < DEEPEST) {
      const isOrdered = ITEM.exec(line)![3] !== undefined;
      const start = Number(ITEM.exec(line)![3] ?? 1);
      const items: Block[][] = [];
      while (at < lines.length) {
        const item = ITEM.exec(lines[at]!);
        if (!item || (item[3] !== undefined) !== isOrdered) break;
        const indent = lines[at]!.length - item[4]!.length;
        at++;
        // What is indented below belongs to the item; an empty line only if such a line follows.
        const rest = take(
          (l) =>
            (l.startsWith(" ".repeat(Math.min(indent, 2))) && l.trim() !== "") ||
            (l.trim() === "" && (lines[at + 1] ?? "").startsWith(" ".repeat(indent))),
        );
        const inner = [item[4]!, ...rest.map((l) => withoutIndent(l, indent))];
        items.push(blocks(inner.join("\n"), depth + 1));
      }
      found.push({ kind: "list", isOrdered, start, items });
    } else if (
      line.includes("|") &&
      DIVIDER.test(lines[at + 1] ?? "") &&
      lines[at + 1]!.includes("-")
    ) {
      const head = line;
      at += 2;
      const rows = [head, ...take((l) => l.includes("|"))].map((l) => cells(l).map(inline));
      found.push({ kind: "table", rows });
    } else {
      const paragraph = [line];
      at++;
      paragraph.push(...take((l) => l.trim() !== "" && !startsBlock(l)));
      found.push({ kind: "paragraph", parts: inline(paragraph.join("\n")) });
    }
  }
  return found;
}

/** Where a link may lead: to the web. What else there is (javascript:, data:, file:) is text. */
export function safeHref(href: string): string | null {
  if (!/^https?:\/\//i.test(href)) return null;
  try {
    return new URL(href).href;
  } catch {
    return null;
  }
}

const INLINE =
  /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|!?\[([^\]\n]{0,500})\]\(([^()\s]{1,2000})\)|(\*\*|__)(?=\S)([\s\S]{1,2000}?\S)\5|(?<![\w*])(\*|_)(?=\S)([^*_\n]{1,500}?\S|\S)\7(?![\w*])|(https?:\/\/[^\s<>()"'`]{1,2000})/g;

export function inline(text: string, depth = 0): Inline[] {
  if (depth > DEEPEST) return [{ kind: "text", text }];
  const found: Inline[] = [];
  let from = 0;
  const plain = (to: number) => {
    if (to > from) found.push({ kind: "text", text: text.slice(from, to) });
  };
  for (const hit of text.matchAll(INLINE)) {
    const [whole, , code, label, target, , strong, , em, bare] = hit;
    const href = safeHref(target ?? bare ?? "");
    if ((target !== undefined || bare !== undefined) && href === null) continue;
    plain(hit.index);
    from = hit.index + whole.length;
    if (code !== undefined) found.push({ kind: "code", text: code.replace(/^ (.*) $/s, "$1") });
    else if (strong !== undefined) found.push({ kind: "strong", parts: inline(strong, depth + 1) });
    else if (em !== undefined) found.push({ kind: "em", parts: inline(em, depth + 1) });
    else {
      const parts: Inline[] = [{ kind: "text", text: label || bare || (target ?? "") }];
      found.push({ kind: "link", href: href!, parts });
    }
  }
  plain(text.length);
  return found;
}

function startsBlock(line: string): boolean {
  return (
    FENCE.test(line) || HEADING.test(line) || QUOTE.test(line) || ITEM.test(line) || RULE.test(line)
  );
}

function withoutIndent(line: string, indent: number): string {
  return line.slice(Math.min(indent, line.length - line.trimStart().length));
}

function cells(line: string): string[] {
  return line
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());
}
