/** Which rows are seen, and what a subtree adds up to. */

import type { Spans } from "./spans";

/** Rows that no collapsed row hides, in order. */
export function visibleRows(spans: Spans, collapsed: ReadonlySet<number>): Int32Array {
  const rows = new Int32Array(spans.n);
  let count = 0;
  for (let row = 0; row < spans.n; row = collapsed.has(row) ? spans.end[row]! : row + 1) {
    rows[count++] = row;
  }
  return rows.subarray(0, count);
}

/** Place of a row among visible ones, or of the nearest one above it. `visible` ascends. */
export function placeOf(visible: Int32Array, row: number): number {
  let low = 0;
  let high = visible.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (visible[middle]! <= row) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, 0);
}

/** What must be open for a row to be seen. */
export function ancestors(spans: Spans, row: number): number[] {
  const found: number[] = [];
  for (let above = spans.parent[row]!; above >= 0; above = spans.parent[above]!) found.push(above);
  return found;
}

export function isLeaf(spans: Spans, row: number): boolean {
  return spans.end[row] === row + 1;
}

/** Every row that has children, from a depth on. */
export function branches(spans: Spans, fromDepth = 0): Set<number> {
  const found = new Set<number>();
  for (let row = 0; row < spans.n; row++) {
    if (!isLeaf(spans, row) && spans.depth[row]! >= fromDepth) found.add(row);
  }
  return found;
}

/** By row: the sum over its subtree, itself included; NaN where nothing in it is known. */
export function subtreeSums(spans: Spans, own: Float64Array): Float64Array {
  const sums = own.slice();
  for (let row = spans.n - 1; row >= 0; row--) {
    const above = spans.parent[row]!;
    if (above < 0 || Number.isNaN(sums[row]!)) continue;
    sums[above] = Number.isNaN(sums[above]!) ? sums[row]! : sums[above]! + sums[row]!;
  }
  return sums;
}

/** By row: how many of its subtree, itself included, are marked. */
export function subtreeCounts(spans: Spans, marks: Uint8Array): Int32Array {
  const counts = Int32Array.from(marks);
  for (let row = spans.n - 1; row >= 0; row--) {
    const above = spans.parent[row]!;
    if (above >= 0) counts[above] = counts[above]! + counts[row]!;
  }
  return counts;
}

/** The next marked row after (or, backwards, before) a row, around the end; -1 where none is. */
export function nextMarked(marks: Uint8Array, from: number, direction: 1 | -1): number {
  const n = marks.length;
  for (let i = 1; i <= n; i++) {
    const row = (((from + direction * i) % n) + n) % n;
    if (marks[row]) return row;
  }
  return -1;
}

/** How deep a row is drawn: beyond this, indentation would push names off the screen. */
export const DEEPEST_INDENT = 16;
