/**
 * The search box's language, as far as typing it needs: where the caret stands, what could come
 * next. The server reads queries; this never refuses one.
 *
 *     tool:bash -outcome:success cost>0.5 "no such file"
 */

export interface Word {
  readonly from: number;
  readonly to: number;
  readonly isNegated: boolean;
  /** null: a text to look for in messages */
  readonly field: string | null;
  readonly operator: string;
  /** without quotes */
  readonly value: string;
}

export interface Completion {
  /** what it replaces */
  readonly from: number;
  readonly to: number;
  readonly text: string;
  readonly label: string;
  readonly hint: string;
}

export interface Known {
  /** field -> kind of its values, as `/meta` tells */
  readonly fields: Readonly<Record<string, string>>;
  /** field -> values and how often, as `/facets` tells */
  readonly values: Readonly<Record<string, readonly { value: string; count: number }[]>>;
}

const WORD = /(-)?(?:([A-Za-z_]+)(:|>=|<=|>|<))?("(?:[^"\\]|\\.)*"?|[^\s"]*)/y;
const MOST = 12;

export function words(text: string): Word[] {
  const found: Word[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at]!)) {
      at++;
      continue;
    }
    WORD.lastIndex = at;
    const [whole = "", minus, field, operator, value = ""] = WORD.exec(text) ?? [];
    const to = at + Math.max(whole.length, 1);
    found.push({
      from: at,
      to,
      isNegated: minus !== undefined,
      field: field?.toLowerCase() ?? null,
      operator: operator ?? "",
      value: unquoted(value),
    });
    at = to;
  }
  return found;
}

/** What may stand where the caret is; the most fitting first. */
export function completions(text: string, caret: number, known: Known): Completion[] {
  const word = words(text.slice(0, caret)).find(({ to }) => to === caret) ?? null;
  if (word === null) return fieldsLike("", caret, caret, "", known);
  if (word.field === null) {
    const minus = word.isNegated ? "-" : "";
    return word.value === "" && !word.isNegated
      ? []
      : fieldsLike(word.value, word.from, caret, minus, known);
  }
  if (word.operator !== ":") return [];
  const wanted = word.value.toLowerCase();
  return (known.values[word.field] ?? [])
    .filter(({ value }) => value.toLowerCase().includes(wanted))
    .slice(0, MOST)
    .map(({ value, count }) => ({
      from: word.from,
      to: caret,
      text: `${word.isNegated ? "-" : ""}${word.field}:${quoted(value)} `,
      label: value,
      hint: `${count}`,
    }));
}

function fieldsLike(
  start: string,
  from: number,
  to: number,
  minus: string,
  known: Known,
): Completion[] {
  return Object.entries(known.fields)
    .filter(([name]) => name.startsWith(start.toLowerCase()))
    .slice(0, 20)
    .map(([name, kind]) => {
      const isNumber = kind === "number" || kind === "seconds";
      const operator = isNumber ? ">" : ":";
      return { from, to, text: `${minus}${name}${operator}`, label: name + operator, hint: kind };
    });
}

/** As the language writes a value: in quotes where it would be read otherwise. */
export function quoted(value: string): string {
  if (value !== "" && !/[\s"\\]/.test(value)) return value;
  return `"${value.replace(/(["\\])/g, "\\$1")}"`;
}

function unquoted(value: string): string {
  if (!value.startsWith('"')) return value;
  const isClosed = value.length > 1 && value.endsWith('"');
  return value.slice(1, isClosed ? -1 : undefined).replace(/\\(.)/gs, "$1");
}
