/**
 * Which time a width of pixels shows.
 *
 * - full: the whole run
 * - fit:  the run without the long silences before and after what happened
 * - follow: what the rows on screen cover; without it every bar of a long run is a sliver
 */

import type { Spans } from "./spans";

export type AxisMode = "follow" | "fit" | "full";

/** µs since the run's start */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** Nothing narrower can be asked for: 1 ms of wall time, or the run where that is shorter. */
const NARROWEST = 1000;
const MARGIN = 0.02;

export function fullWindow(spans: Spans): Window {
  return { from: 0, to: Math.max(spans.total, 1) };
}

/** From the first step's start to the last one's end; the whole run where no span is a step. */
export function fitWindow(spans: Spans): Window {
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  for (let row = 0; row < spans.n; row++) {
    if (spans.step[row]! < 0) continue;
    from = Math.min(from, spans.start[row]!);
    to = Math.max(to, spans.stop[row]!);
  }
  return to > from ? withMargin({ from, to }, fullWindow(spans)) : fullWindow(spans);
}

/**
 * What the rows [first, last] of the visible ones cover. A wrapper that also covers much else would
 * stretch it to the whole run again: a row counts with its own bar only if it has no child on
 * screen, else with the part that its children on screen cover.
 */
export function followWindow(
  spans: Spans,
  visible: Int32Array,
  first: number,
  last: number,
): Window {
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  for (let place = first; place <= last && place < visible.length; place++) {
    const row = visible[place]!;
    const next = visible[place + 1];
    const isOpenAbove = next !== undefined && place < last && spans.parent[next] === row;
    if (isOpenAbove) continue;
    // What is folded, or goes on below the screen, would show its whole length.
    from = Math.min(from, spans.start[row]!);
    const goesOn = place === last && next !== undefined && spans.parent[next] === row;
    if (!goesOn) to = Math.max(to, spans.stop[row]!);
  }
  if (to <= from) return fullWindow(spans);
  return withMargin({ from, to }, fullWindow(spans));
}

/** Zoom about a fraction of the width; factor below 1 shows less time. */
export function zoomed(window: Window, factor: number, about: number, whole: Window): Window {
  const length = window.to - window.from;
  const wanted = Math.min(
    Math.max(length * factor, Math.min(NARROWEST, whole.to - whole.from)),
    whole.to - whole.from,
  );
  const from = window.from + (length - wanted) * about;
  return inside({ from, to: from + wanted }, whole);
}

export function panned(window: Window, fraction: number, whole: Window): Window {
  const by = (window.to - window.from) * fraction;
  return inside({ from: window.from + by, to: window.to + by }, whole);
}

/** About `count` round times in a window, for lines and labels. */
export function ticks(window: Window, count: number): number[] {
  const length = window.to - window.from;
  if (!(length > 0)) return [];
  const step = roundStep(length / count);
  const found: number[] = [];
  for (let i = Math.ceil(window.from / step); i * step <= window.to; i++) found.push(i * step);
  return found;
}

const SECOND = 1e6;
const ROUND = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];

function roundStep(atLeast: number): number {
  if (atLeast >= SECOND) {
    const seconds = atLeast / SECOND;
    return (ROUND.find((round) => round >= seconds) ?? Math.ceil(seconds / 86400) * 86400) * SECOND;
  }
  const power = 10 ** Math.floor(Math.log10(Math.max(atLeast, 1)));
  return [1, 2, 5, 10].map((round) => round * power).find((round) => round >= atLeast)!;
}

function withMargin(window: Window, whole: Window): Window {
  const margin = Math.max((window.to - window.from) * MARGIN, 1);
  return inside({ from: window.from - margin, to: window.to + margin }, whole, true);
}

function inside(window: Window, whole: Window, mayShrink = false): Window {
  const length = window.to - window.from;
  if (mayShrink) {
    return { from: Math.max(window.from, whole.from), to: Math.min(window.to, whole.to) };
  }
  const from = Math.min(Math.max(window.from, whole.from), Math.max(whole.to - length, whole.from));
  return { from, to: Math.min(from + length, whole.to) };
}
