/** Finds rows by text: names, tools, models and agents. Messages are searched by the server. */

import type { Labels, Spans } from "./spans";

/**
 * By row: 1 where any label has the text, whatever its case; all 0 for no text.
 * @param inMessages by arrival: where else it was found
 */
export function matches(
  spans: Spans,
  text: string,
  inMessages: readonly number[] | null = null,
): Uint8Array {
  const found = new Uint8Array(spans.n);
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return found;
  for (const labels of [spans.name, spans.tool, spans.model, spans.agent, spans.kind]) {
    mark(found, labels, wanted);
  }
  for (const number of inMessages ?? []) {
    const row = spans.rowOf[number] ?? -1;
    if (row >= 0) found[row] = 1;
  }
  return found;
}

export function count(marks: Uint8Array): number {
  let sum = 0;
  for (const mark of marks) sum += mark;
  return sum;
}

/** Each text is looked at once, however many spans have it. */
function mark(found: Uint8Array, labels: Labels, wanted: string): void {
  const has = labels.values.map((value) => value.toLowerCase().includes(wanted));
  if (!has.includes(true)) return;
  for (let row = 0; row < found.length; row++) {
    const code = labels.codes[row]!;
    if (code >= 0 && has[code]) found[row] = 1;
  }
}
