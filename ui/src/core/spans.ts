/**
 * The spans of one trajectory as typed arrays, in tree order.
 *
 * A *row* is a place in depth-first order: parents before children, siblings by start, then as they
 * came. All arrays below are by row, so that a subtree is the range [row, end[row]) and what is
 * collapsed is skipped by one addition. `seq` leads back to the order of arrival in the run, which is
 * how the API numbers spans; of a large run not all are loaded.
 *
 * What a stranger sent is not trusted to be a tree: a parent that is missing makes a root, and so
 * does a parent that would close a cycle.
 */

/** Few spans have it: `v[k]` is the value of the one at place `i[k]` of the columns. */
export interface Sparse {
  readonly i: readonly number[];
  readonly v: readonly number[];
}

/** What arrives, column by column, in order of arrival; `/spans` of the API says more. */
export interface Columns {
  readonly n: number;
  /** how many the run has */
  readonly total: number;
  /** the number of each, in order of arrival in the run; null: 0, 1, 2 ... */
  readonly row: readonly number[] | null;
  /** texts that the columns of the same name point at; -1 there is unknown */
  readonly dict: {
    readonly name: readonly string[];
    readonly svc: readonly string[];
    readonly kind: readonly string[];
    readonly tool: readonly string[];
    readonly model: readonly string[];
    readonly agent: readonly string[];
    readonly err: readonly string[];
  };
  /** number of the one above; -1: none */
  readonly parent: readonly number[];
  /** µs after the run's start */
  readonly start: readonly number[];
  /** µs; -1: has not ended */
  readonly dur: readonly number[];
  /** -1: a wrapper, no step */
  readonly step: readonly number[];
  readonly name: readonly number[];
  readonly svc: readonly number[];
  readonly kind: readonly number[];
  readonly tool: readonly number[];
  readonly model: readonly number[];
  readonly agent: readonly number[];
  /** failed spans, and why as place in `dict.err` */
  readonly err: Sparse;
  readonly tin: Sparse;
  readonly tout: Sparse;
  readonly cost: Sparse;
  readonly flag: Sparse;
  /** how many spans below are left out */
  readonly more: Sparse;
}

export interface Labels {
  readonly values: readonly string[];
  readonly codes: Int32Array;
}

export interface Spans {
  readonly n: number;
  /** how many the run has, loaded or not */
  readonly nOfRun: number;
  /** by row: its number in order of arrival */
  readonly seq: Int32Array;
  /** by number: row; -1 where it is not loaded */
  readonly rowOf: Int32Array;
  readonly parent: Int32Array;
  readonly depth: Int32Array;
  /** by row: first row after the subtree */
  readonly end: Int32Array;
  readonly start: Float64Array;
  /** by row: when it ended; for an open span, when the last of its subtree was seen */
  readonly stop: Float64Array;
  readonly isOpen: Uint8Array;
  readonly step: Int32Array;
  readonly hasError: Uint8Array;
  readonly hasFlag: Uint8Array;
  /** NaN: unknown */
  readonly inputTokens: Float64Array;
  readonly outputTokens: Float64Array;
  readonly costUsd: Float64Array;
  /** how many spans below were not sent; NaN: none */
  readonly leftOut: Float64Array;
  readonly name: Labels;
  readonly kind: Labels;
  readonly tool: Labels;
  readonly model: Labels;
  readonly agent: Labels;
  readonly service: Labels;
  /** of failed spans */
  readonly errors: ReadonlyMap<number, string>;
  /** when the last span ended, µs */
  readonly total: number;
}

export function toSpans(columns: Columns): Spans {
  const { n } = columns;
  const placeOf = columns.row === null ? null : places(columns.row, columns.total);
  const told = placeOf ? columns.parent.map((number) => placeOf[number] ?? -1) : columns.parent;
  const above = withoutCycles(told, n);
  const order = preOrder(above, columns.start, n);
  const rowAt = new Int32Array(n);
  const seq = new Int32Array(n);
  const rowOf = new Int32Array(Math.max(columns.total, n)).fill(-1);
  for (let row = 0; row < n; row++) {
    const at = order[row]!;
    rowAt[at] = row;
    seq[row] = columns.row?.[at] ?? at;
    rowOf[seq[row]!] = row;
  }

  const parent = new Int32Array(n);
  const depth = new Int32Array(n);
  const start = new Float64Array(n);
  const stop = new Float64Array(n);
  const isOpen = new Uint8Array(n);
  const step = new Int32Array(n);
  for (let row = 0; row < n; row++) {
    const at = order[row]!;
    parent[row] = above[at]! < 0 ? -1 : rowAt[above[at]!]!;
    depth[row] = parent[row]! < 0 ? 0 : depth[parent[row]!]! + 1;
    start[row] = columns.start[at]!;
    const duration = columns.dur[at]!;
    isOpen[row] = duration < 0 ? 1 : 0;
    stop[row] = start[row]! + Math.max(duration, 0);
    step[row] = columns.step[at] ?? -1;
  }
  const end = subtreeEnds(parent, n);
  let total = 0;
  for (let row = n - 1; row >= 0; row--) {
    const above = parent[row]!;
    if (above >= 0 && isOpen[above]) stop[above] = Math.max(stop[above]!, stop[row]!);
    total = Math.max(total, stop[row]!);
  }
  const labels = (field: "name" | "svc" | "kind" | "tool" | "model" | "agent"): Labels => {
    const codes = new Int32Array(n).fill(-1);
    for (let row = 0; row < n; row++) codes[row] = columns[field][order[row]!] ?? -1;
    return { values: columns.dict[field], codes };
  };
  const numbers = (sparse: Sparse): Float64Array => {
    const values = new Float64Array(n).fill(Number.NaN);
    sparse.i.forEach((at, k) => {
      const row = rowAt[at];
      if (row !== undefined) values[row] = sparse.v[k] ?? Number.NaN;
    });
    return values;
  };
  const marks = (sparse: Sparse): Uint8Array => {
    const found = new Uint8Array(n);
    for (const at of sparse.i) if (at >= 0 && at < n) found[rowAt[at]!] = 1;
    return found;
  };
  return {
    n,
    nOfRun: Math.max(columns.total, n),
    seq,
    rowOf,
    parent,
    depth,
    end,
    start,
    stop,
    isOpen,
    step,
    total,
    hasError: marks(columns.err),
    hasFlag: marks(columns.flag),
    inputTokens: numbers(columns.tin),
    outputTokens: numbers(columns.tout),
    costUsd: numbers(columns.cost),
    leftOut: numbers(columns.more),
    name: labels("name"),
    kind: labels("kind"),
    tool: labels("tool"),
    model: labels("model"),
    agent: labels("agent"),
    service: labels("svc"),
    errors: reasons(columns, rowAt),
  };
}

/** Steps with a span that failed, in order. */
export function errorSteps(spans: Spans): number[] {
  const found = new Set<number>();
  for (let row = 0; row < spans.n; row++)
    if (spans.hasError[row] === 1 && spans.step[row]! >= 0) found.add(spans.step[row]!);
  return [...found].sort((a, b) => a - b);
}

export function labelOf(labels: Labels, row: number): string | null {
  return labels.values[labels.codes[row] ?? -1] ?? null;
}

function places(numbers: readonly number[], total: number): Int32Array {
  const found = new Int32Array(total).fill(-1);
  numbers.forEach((number, at) => {
    found[number] = at;
  });
  return found;
}

function reasons(columns: Columns, rowAt: Int32Array): Map<number, string> {
  const found = new Map<number, string>();
  columns.err.i.forEach((at, k) => {
    const text = columns.dict.err[columns.err.v[k]!];
    if (text !== undefined && rowAt[at] !== undefined) found.set(rowAt[at], text);
  });
  return found;
}

/** Parents, -1 for none; of every cycle one span becomes a root. */
function withoutCycles(told: readonly number[], n: number): Int32Array {
  const parent = new Int32Array(n);
  for (let at = 0; at < n; at++) {
    const above = told[at] ?? -1;
    parent[at] = above >= 0 && above < n && above !== at ? above : -1;
  }
  const walk = new Int32Array(n); // 0: not walked; else the number of the walk that came by first
  for (let at = 0; at < n; at++) {
    let here = at;
    while (here >= 0 && walk[here] === 0) {
      walk[here] = at + 1;
      const above = parent[here]!;
      if (above >= 0 && walk[above] === at + 1) parent[here] = -1;
      here = parent[here]!;
    }
  }
  return parent;
}

function preOrder(parent: Int32Array, start: readonly number[], n: number): Int32Array {
  const byStart = Int32Array.from({ length: n }, (_, at) => at).sort(
    (a, b) => start[a]! - start[b]! || a - b,
  );
  // Children as linked lists; filled backwards, they come out in order.
  const first = new Int32Array(n + 1).fill(-1);
  const next = new Int32Array(n).fill(-1);
  for (let i = n - 1; i >= 0; i--) {
    const at = byStart[i]!;
    const above = parent[at]! < 0 ? n : parent[at]!;
    next[at] = first[above]!;
    first[above] = at;
  }
  const order = new Int32Array(n);
  const stack: number[] = [];
  let row = 0;
  let here = first[n]!;
  while (here >= 0 || stack.length > 0) {
    if (here < 0) {
      here = next[stack.pop()!]!;
      continue;
    }
    order[row++] = here;
    stack.push(here);
    here = first[here]!;
  }
  return order;
}

function subtreeEnds(parent: Int32Array, n: number): Int32Array {
  const end = Int32Array.from({ length: n }, (_, row) => row + 1);
  for (let row = n - 1; row >= 0; row--) {
    const above = parent[row]!;
    if (above >= 0 && end[above]! < end[row]!) end[above] = end[row]!;
  }
  return end;
}
