/**
 * A run at a glance: one lane per depth, one cell per pixel column. A lane per span would turn the
 * thousand sequential steps of an agent into a thin diagonal.
 */

import type { Spans } from "./spans";

export const EMPTY = 0;
export const BUSY = 1;
export const FLAGGED = 2;
export const FAILED = 3;

export interface Minimap {
  readonly width: number;
  readonly lanes: number;
  /** lane by lane: the gravest thing that happened in that time at that depth */
  readonly cells: Uint8Array;
}

/** @param width in pixels. @param most lanes; what is deeper shares the last one. */
export function minimap(spans: Spans, width: number, most: number): Minimap {
  let deepest = -1;
  for (let row = 0; row < spans.n; row++) deepest = Math.max(deepest, spans.depth[row]!);
  const lanes = Math.min(deepest + 1, most);
  const cells = new Uint8Array(width * lanes);
  const scale = width / Math.max(spans.total, 1);
  for (let row = 0; row < spans.n; row++) {
    const lane = Math.min(spans.depth[row]!, lanes - 1);
    const mark = spans.hasError[row] ? FAILED : spans.hasFlag[row] ? FLAGGED : BUSY;
    const from = Math.min(Math.floor(spans.start[row]! * scale), width - 1);
    const to = Math.min(Math.max(Math.ceil(spans.stop[row]! * scale), from + 1), width);
    for (let x = Math.max(from, 0); x < to; x++) {
      const cell = lane * width + x;
      if (cells[cell]! < mark) cells[cell] = mark;
    }
  }
  return { width, lanes, cells };
}
