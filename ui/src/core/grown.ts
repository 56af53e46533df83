/** The columns of a run that goes on: what came later takes its place behind what was there. */

import type { Columns, Sparse } from "./spans";

export interface Told extends Columns {
  /** µs since 1970 */
  readonly t0: number;
  /** rows that have ended, and stay as they are */
  readonly next: number;
  readonly total: number;
}

export interface Later {
  /** all rows from this one on are replaced */
  readonly since: number;
  readonly spans: Told;
  /** rows before it whose parent is one of the new ones */
  readonly above: Sparse;
}

const WORDS = ["name", "svc", "kind", "tool", "model", "agent"] as const;
const NUMBERS = ["tin", "tout", "cost", "flag"] as const;

/** Null where the two do not join, and all must be asked for again. */
export function grown<T extends Told>(known: T, { since, spans, above }: Later): T | null {
  const isPart = known.row !== null || known.more.i.length > 0 || spans.more.i.length > 0;
  if (isPart || since > known.n) return null;
  const earlier = known.t0 - spans.t0;
  const dict = { ...known.dict };
  const codes = (field: keyof Columns["dict"]): number[] => {
    const [texts, places] = joined(known.dict[field], spans.dict[field]);
    dict[field] = texts;
    return places;
  };
  const words = Object.fromEntries(
    WORDS.map((field) => {
      const places = codes(field);
      const later = spans[field].map((at) => (at < 0 ? -1 : places[at]!));
      return [field, [...known[field].slice(0, since), ...later]];
    }),
  );
  const errors = codes("err");
  const start = known.start.slice(0, since);
  const parent = [...known.parent.slice(0, since), ...spans.parent];
  above.i.forEach((row, k) => (parent[row] = above.v[k]!));
  return {
    ...spans,
    ...words,
    ...Object.fromEntries(NUMBERS.map((name) => [name, behind(known[name], spans[name], since)])),
    err: behind(known.err, { i: spans.err.i, v: spans.err.v.map((at) => errors[at]!) }, since),
    n: since + spans.n,
    row: null,
    dict,
    parent,
    start: [...(earlier === 0 ? start : start.map((at) => at + earlier)), ...spans.start],
    dur: [...known.dur.slice(0, since), ...spans.dur],
    step: [...known.step.slice(0, since), ...spans.step],
  } as unknown as T;
}

/** The texts of both, each once, and where those of the second are now. */
function joined(known: readonly string[], later: readonly string[]): [string[], number[]] {
  const texts = [...known];
  const place = new Map(texts.map((text, at) => [text, at]));
  const places = later.map((text) => {
    const at = place.get(text) ?? texts.push(text) - 1;
    place.set(text, at);
    return at;
  });
  return [texts, places];
}

function behind(known: Sparse, later: Sparse, since: number): Sparse {
  const end = known.i.findIndex((row) => row >= since);
  const n = end < 0 ? known.i.length : end;
  return {
    i: [...known.i.slice(0, n), ...later.i.map((at) => at + since)],
    v: [...known.v.slice(0, n), ...later.v],
  };
}
