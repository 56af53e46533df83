/** Two runs side by side, as rows: what is the same is folded until somebody wants to see it. */

import { UNKNOWN } from "./format";

export interface Opcode {
  readonly op: "same" | "minor" | "changed" | "only_a" | "only_b";
  readonly a0: number;
  readonly a1: number;
  readonly b0: number;
  readonly b1: number;
  readonly what: readonly string[];
}

export interface PairRow {
  readonly op: Opcode["op"];
  /** steps; null where there is none on that side */
  readonly a: number | null;
  readonly b: number | null;
  readonly what: readonly string[];
}

/** Steps that are the same, in one row. */
export interface FoldRow {
  readonly op: "fold";
  /** which opcode it is, to unfold it */
  readonly opcode: number;
  readonly a: number;
  readonly b: number;
  readonly n: number;
}

export type Row = PairRow | FoldRow;

/** Fewer than these are shown as they are: a fold would save nothing. */
const FOLDED_FROM = 3;

/**
 * @param unfolded opcodes whose steps are wanted
 * @param key a row that must not be hidden in a fold
 */
export function rowsOf(
  opcodes: readonly Opcode[],
  unfolded: ReadonlySet<number>,
  key: string | null = null,
): Row[] {
  const wanted = stepOf(key);
  return opcodes.flatMap((it, opcode): Row[] => {
    const n = Math.max(it.a1 - it.a0, it.b1 - it.b0);
    const isWanted = wanted !== null && wanted.isA && wanted.n >= it.a0 && wanted.n < it.a1;
    if (it.op === "same" && n >= FOLDED_FROM && !isWanted && !unfolded.has(opcode)) {
      return [{ op: "fold", opcode, a: it.a0, b: it.b0, n }];
    }
    return Array.from({ length: n }, (_, i) => ({
      op: it.op,
      a: it.a0 + i < it.a1 ? it.a0 + i : null,
      b: it.b0 + i < it.b1 ? it.b0 + i : null,
      what: it.what,
    }));
  });
}

/** What the address calls a row: the step of A, or `b` and the step of B where it is alone. */
export function keyOf(row: { readonly a: number | null; readonly b: number | null }): string {
  return row.a === null ? `b${row.b}` : `${row.a}`;
}

function stepOf(key: string | null): { n: number; isA: boolean } | null {
  const found = key?.match(/^(b?)(\d{1,9})$/);
  return found ? { n: Number(found[2]), isA: found[1] === "" } : null;
}

/** The row of a key; -1 where there is none. */
export function findRow(rows: readonly Row[], key: string | null): number {
  return key === null ? -1 : rows.findIndex((row) => row.op !== "fold" && keyOf(row) === key);
}

export function isDifference(row: Row): boolean {
  return row.op !== "fold" && row.op !== "same";
}

/** The next row that differs, in a direction; -1 where there is none. */
export function nextDifference(rows: readonly Row[], at: number, by: 1 | -1): number {
  for (let i = at + by; i >= 0 && i < rows.length; i += by) {
    if (isDifference(rows[i]!)) return i;
  }
  return -1;
}

/** How many steps differ, of each kind. */
export function totals(opcodes: readonly Opcode[]): Record<Opcode["op"], number> {
  const found = { same: 0, minor: 0, changed: 0, only_a: 0, only_b: 0 };
  for (const it of opcodes) found[it.op] += Math.max(it.a1 - it.a0, it.b1 - it.b0);
  return found;
}

/** How much more, with its sign: `+1.2 s`, `−3`, `±0`. */
export function delta(more: number | null, write: (n: number) => string): string {
  if (more === null) return UNKNOWN;
  if (more === 0) return "±0";
  return `${more > 0 ? "+" : "−"}${write(Math.abs(more))}`;
}
