/** JSON as rows: only what is open is walked, so that a value of megabytes costs what is seen. */

export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface JsonRow {
  /** where it is, as a key for what is open: `/messages/0/text` */
  readonly path: string;
  readonly depth: number;
  /** null: the value itself, or an element of a list */
  readonly key: string | null;
  readonly value: Json;
  /** how many it holds; null for what holds nothing */
  readonly size: number | null;
  readonly isOpen: boolean;
}

/** What is seen with some paths open; `""` is the value itself. */
export function jsonRows(value: Json, open: ReadonlySet<string>): JsonRow[] {
  const rows: JsonRow[] = [];
  const stack: { path: string; depth: number; key: string | null; value: Json }[] = [
    { path: "", depth: 0, key: null, value },
  ];
  while (stack.length > 0) {
    const top = stack.pop()!;
    const parts = partsOf(top.value);
    const isOpen = parts !== null && open.has(top.path);
    rows.push({ ...top, size: parts === null ? null : parts.length, isOpen });
    if (!isOpen) continue;
    for (let i = parts.length - 1; i >= 0; i--) {
      const [key, part] = parts[i]!;
      const path = `${top.path}/${key.replace(/~/g, "~0").replace(/\//g, "~1")}`;
      stack.push({ path, depth: top.depth + 1, key, value: part });
    }
  }
  return rows;
}

/** One level open: what a reader wants to see first. */
export function openAtFirst(): Set<string> {
  return new Set([""]);
}

/** A text that is JSON of an object or a list, read; else null. */
export function readJson(text: string): Json | null {
  const start = text.trimStart()[0];
  if (start !== "{" && start !== "[") return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
}

function partsOf(value: Json): [string, Json][] | null {
  if (Array.isArray(value)) return value.map((part: Json, i) => [String(i), part]);
  return value !== null && typeof value === "object" ? Object.entries(value) : null;
}
