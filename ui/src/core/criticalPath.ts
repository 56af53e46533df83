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
  const children = latestFirst(spans);
  const path: Segment[] = [];
  const stack: Frame[] = [{ row: -1, from: 0, to: spans.total, at: spans.total, next: 0 }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!;
    const child = nextOnPath(spans, children[top.row + 1] ?? [], top);
    const to = child < 0 ? top.from : Math.min(spans.stop[child]!, top.to);
    if (top.row >= 0 && to < top.at) path.push({ row: top.row, from: to, to: top.at });
    if (child < 0) {
      stack.pop();
      continue;
    }
    const from = Math.max(spans.start[child]!, top.from);
    top.at = from;
    stack.push({ row: child, from, to, at: to, next: 0 });
  }
  return path.reverse();
}

/** By row: µs on the path. */
export function timeOnPath(spans: Spans, path: readonly Segment[]): Float64Array {
  const time = new Float64Array(spans.n);
  for (const { row, from, to } of path) time[row] = time[row]! + (to - from);
  return time;
}

function nextOnPath(spans: Spans, children: readonly number[], top: Frame): number {
  while (top.next < children.length) {
    const child = children[top.next++]!;
    const to = Math.min(spans.stop[child]!, top.to);
    if (to <= top.at && Math.max(spans.start[child]!, top.from) < to) return child;
  }
  return -1;
}

/** Children of row - 1, so that the run's are first; those that finished last come first. */
function latestFirst(spans: Spans): number[][] {
  const children: number[][] = Array.from({ length: spans.n + 1 }, () => []);
  for (let row = 0; row < spans.n; row++) children[spans.parent[row]! + 1]!.push(row);
  for (const siblings of children) {
    siblings.sort((a, b) => spans.stop[b]! - spans.stop[a]! || a - b);
  }
  return children;
}
