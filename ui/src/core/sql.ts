/** Results of the SQL console, as the page shows them. */

export type Cell = string | number | boolean | null;

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly is_number: boolean;
}

export interface Result {
  readonly columns: readonly Column[];
  /** by column, then row */
  readonly values: readonly (readonly Cell[])[];
  readonly n_rows: number;
}

/** A place in code points as one in UTF-16 units, as browsers count. */
export function unitsBefore(text: string, at: number): number {
  let units = 0;
  for (const character of text) {
    if (at-- <= 0) break;
    units += character.length;
  }
  return units;
}

/** Line and column of a place, both from 1. */
export function lineAndColumn(text: string, at: number): [number, number] {
  const before = text.slice(0, at).split("\n");
  return [before.length, before.at(-1)!.length + 1];
}

/** Which column names runs; -1 if none does. */
export function runColumn({ columns }: Result): number {
  const exact = columns.findIndex((column) => column.name === "trajectory_id");
  return exact >= 0 ? exact : columns.findIndex((column) => /_trajectory_id$/.test(column.name));
}

/** Where the run of a row is, and its step if the row tells one. */
export function runHref(result: Result, row: number): string | null {
  const id = result.values[runColumn(result)]?.[row];
  if (typeof id !== "string" || id === "") return null;
  const step = result.values[result.columns.findIndex(({ name }) => name === "step")]?.[row];
  const at = typeof step === "number" ? `?step=${step}` : "";
  return `/t/${encodeURIComponent(id)}${at}`;
}

/** Ids of all runs of a result, each once, in order. */
export function runsOf(result: Result): string[] {
  const ids = result.values[runColumn(result)] ?? [];
  return [...new Set(ids.filter((id) => typeof id === "string" && id !== ""))] as string[];
}

export interface Point {
  readonly label: string;
  /** null where there is no number */
  readonly value: number | null;
}

/** Rows as points: what they are called (by their number where `x` is -1), and how much they are. */
export function points(result: Result, x: number, y: number): Point[] {
  return Array.from({ length: result.n_rows }, (_, row) => ({
    label: x < 0 ? String(row + 1) : shown(result.values[x]?.[row] ?? null),
    value: number(result.values[y]?.[row] ?? null),
  }));
}

/** What is drawn where nobody chose: the first numbers over the first that are none. */
export function axes({ columns }: Result): { x: number; y: number } {
  const y = columns.findIndex((column) => column.is_number);
  const x = columns.findIndex((column) => !column.is_number);
  return { x: x >= 0 ? x : columns.findIndex((_, at) => at !== y), y };
}

export function shown(cell: Cell): string {
  return cell === null ? "NULL" : String(cell);
}

function number(cell: Cell): number | null {
  if (cell === null || cell === "") return null;
  const value = Number(cell);
  return Number.isFinite(value) ? value : null;
}

/** A name as SQL writes it. */
export function identifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
