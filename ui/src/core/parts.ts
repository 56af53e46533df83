/** Runs of more spans than one answer holds: from the top down, and what is below when asked for. */

import type { Columns, Sparse, Spans } from "./spans";

/** Spans below a row; -1 is the run itself. */
export interface Part {
  readonly under: number;
  readonly columns: Columns;
}

const WORDS = ["name", "svc", "kind", "tool", "model", "agent"] as const;

/** The columns of the top with those of the parts below it, as if they had come at once. */
export function joined(top: Columns, parts: readonly Part[]): Columns {
  if (parts.length === 0) return top;
  const all = [top, ...parts.map(({ columns }) => columns)];
  const flat = (of: (one: Columns) => readonly number[]) => all.flatMap((one) => of(one));
  const begin: number[] = [];
  let n = 0;
  for (const one of all) {
    begin.push(n);
    n += one.n;
  }
  const sparse = (of: (one: Columns) => Sparse): Sparse => ({
    i: all.flatMap((one, k) => of(one).i.map((at) => at + begin[k]!)),
    v: all.flatMap((one) => of(one).v),
  });
  const words = Object.fromEntries(WORDS.map((field) => [field, oneList(all, field)])) as Record<
    (typeof WORDS)[number],
    { values: string[]; codes: number[] }
  >;
  const reasons = oneList(
    all.map((one) => ({ dict: one.dict, err: one.err.v })),
    "err",
  );
  return {
    ...top,
    n,
    dict: {
      name: words.name.values,
      svc: words.svc.values,
      kind: words.kind.values,
      tool: words.tool.values,
      model: words.model.values,
      agent: words.agent.values,
      err: reasons.values,
    },
    row: flat(numbers),
    parent: flat(({ parent }) => parent),
    // Each part counts from the same moment: the run's start.
    start: flat(({ start }) => start),
    dur: flat(({ dur }) => dur),
    step: flat(({ step }) => step),
    name: words.name.codes,
    svc: words.svc.codes,
    kind: words.kind.codes,
    tool: words.tool.codes,
    model: words.model.codes,
    agent: words.agent.codes,
    err: { i: sparse(({ err }) => err).i, v: reasons.codes },
    tin: sparse(({ tin }) => tin),
    tout: sparse(({ tout }) => tout),
    cost: sparse((one) => one.cost),
    flag: sparse(({ flag }) => flag),
    more: stillLeftOut(
      sparse(({ more }) => more),
      flat(numbers),
      parts,
    ),
  };
}

/** What to ask for to get more of what is below a row: the first of its children not loaded. */
export function nextBelow(spans: Spans, row: number): { under: number; from: number } {
  let from = 0;
  const end = row < 0 ? spans.n : spans.end[row]!;
  for (let child = row + 1; child < end; child = spans.end[child]!) {
    from = Math.max(from, spans.seq[child]! + 1);
  }
  return { under: row < 0 ? -1 : spans.seq[row]!, from };
}

/** How many spans of a run are below nothing that is loaded. */
export function leftOutOnTop(spans: Spans): number {
  let known = spans.n;
  for (const left of spans.leftOut) if (!Number.isNaN(left)) known += left;
  return spans.nOfRun - known;
}

function numbers({ row, n }: Columns): readonly number[] {
  return row ?? Array.from({ length: n }, (_, at) => at);
}

/** What was told to be left out, less what came since. */
function stillLeftOut(told: Sparse, number: readonly number[], parts: readonly Part[]): Sparse {
  const came = new Map<number, number>();
  for (const { under, columns } of parts) {
    const known = columns.n + columns.more.v.reduce((sum, left) => sum + left, 0);
    came.set(under, (came.get(under) ?? 0) + known);
  }
  const left = told.i.map((at, k) => told.v[k]! - (came.get(number[at]!) ?? 0));
  return {
    i: told.i.filter((_, k) => left[k]! > 0),
    v: left.filter((count) => count > 0),
  };
}

/** The texts of several lists in one, and what points at them. */
function oneList<F extends string>(
  all: readonly ({ readonly dict: Readonly<Record<F, readonly string[]>> } & Readonly<
    Record<F, readonly number[]>
  >)[],
  field: F,
): { values: string[]; codes: number[] } {
  const place = new Map<string, number>();
  const codes: number[] = [];
  for (const one of all) {
    const moved = one.dict[field].map((text) => {
      if (!place.has(text)) place.set(text, place.size);
      return place.get(text)!;
    });
    for (const code of one[field]) codes.push(code < 0 ? -1 : moved[code]!);
  }
  return { values: [...place.keys()], codes };
}
