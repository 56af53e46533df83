/** The last steps that ended anywhere, newest first, each once. */

import type { LiveStep } from "../api/client";

export const LONGEST = 200;

export interface Tail {
  readonly rows: readonly LiveStep[];
  /** steps that came and are shown no more, or never were */
  readonly n_left_out: number;
}

export const NOTHING: Tail = { rows: [], n_left_out: 0 };

/** A step that is told again replaces what was known of it, where it stands. */
export function followed(tail: Tail, told: readonly LiveStep[], n_skipped: number): Tail {
  const byKey = new Map(tail.rows.toReversed().map((step) => [keyOf(step), step]));
  for (const step of told) byKey.set(keyOf(step), step);
  const rows = [...byKey.values()].reverse();
  const n_over = Math.max(0, rows.length - LONGEST);
  return {
    rows: n_over > 0 ? rows.slice(0, LONGEST) : rows,
    n_left_out: tail.n_left_out + n_skipped + n_over,
  };
}

export function keyOf(step: LiveStep): string {
  return JSON.stringify([
    step.trajectory_id,
    step.trace_id,
    step.span_id,
    step.tool_call_id,
    step.kind,
  ]);
}
