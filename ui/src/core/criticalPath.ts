/**
 * What a run waited for: from its end backwards, always the child that finished last.
 *
 * A span is on the path for as long as none of its children is. Children are clipped into their
 * parent; one that ran beside what is on the path already is not on it. Roots count as children of
 * the run. Iterative: runs are deep and long enough to exhaust the call stack.
 */

import type { Spans } from "./spans";

/** Part of a span during which the run waited for it; µs. */
export interface Segment {
  readonly row: number;
  readonly from: number;
  readonly to: number;
}

interface Frame {
  /** -1: the run */
  readonly row: number;
  readonly from: number;
  readonly to: number;
  /** how far back in time it has been walked */
  at: number;
  /** the next child to look at */
  next: number;
}

/** The critical path of a run, first part first. */
export function criticalPath(spans: Spans): Segment[] {
  const { first, rows } = latestFirst(spans);
  const path: Segment[] = [];
  const stack: Frame[] = [{ row: -1, from: 0, to: spans.total, at: spans.total, next: 0 }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!;
    const child = nextOnPath(spans, rows, first[top.row + 2]!, top);
    const to = child < 0 ? top.from : Math.min(spans.stop[child]!, top.to);
    if (top.row >= 0 && to < top.at) path.push({ row: top.row, from: to, to: top.at });
    if (child < 0) {
      stack.pop();
      continue;
    }
    const from = Math.max(spans.start[child]!, top.from);
    top.at = from;
    stack.push({ row: child, from, to, at: to, next: first[child + 1]! });
  }
  return path.reverse();
}

/** By row: µs on the path. */
export function timeOnPath(spans: Spans, path: readonly Segment[]): Float64Array {
  const time = new Float64Array(spans.n);
  for (const { row, from, to } of path) time[row] = time[row]! + (to - from);
  return time;
}

/**
 * What of one row's segments can be told apart where a window is `width` px wide: parts outside are
 * left out, parts less than a pixel from each other are one. A wrapper of a thousand steps has as
 * many segments.
 * @param segments of one row, first part first
 */
export function drawnSegments(
  segments: readonly Segment[],
  window: { readonly from: number; readonly to: number },
  width: number,
): Segment[] {
  const pixel = (window.to - window.from) / Math.max(width, 1);
  const found: Segment[] = [];
  for (const segment of segments) {
    if (segment.to < window.from) continue;
    if (segment.from > window.to) break;
    const last = found.at(-1);
    if (last && segment.from - last.to < pixel)
      found[found.length - 1] = { ...last, to: segment.to };
    else found.push(segment);
  }
  return found;
}

function nextOnPath(spans: Spans, rows: Int32Array, end: number, top: Frame): number {
  while (top.next < end) {
    const child = rows[top.next++]!;
    const to = Math.min(spans.stop[child]!, top.to);
    if (to <= top.at && Math.max(spans.start[child]!, top.from) < to) return child;
  }
  return -1;
}

/**
 * All rows, siblings side by side: those of a row are rows[first[row + 1]] up to the next one's;
 * the run's own stand first. Those that finished last come first.
 */
function latestFirst(spans: Spans): { first: Int32Array; rows: Int32Array } {
  const first = new Int32Array(spans.n + 2);
  for (let row = 0; row < spans.n; row++) first[spans.parent[row]! + 2]!++;
  for (let i = 1; i < first.length; i++) first[i] = first[i]! + first[i - 1]!;
  const byStop = Int32Array.from({ length: spans.n }, (_, row) => row).sort(
    (a, b) => spans.stop[b]! - spans.stop[a]! || a - b,
  );
  const rows = new Int32Array(spans.n);
  const next = first.slice();
  for (const row of byStop) rows[next[spans.parent[row]! + 1]!++] = row;
  return { first, rows };
}
