/** Answers of analyses: their columns by name, where their marks stand, and which runs they lead to. */

import type { AnalysisAnswer, AnalysisRow } from "../api/client";
import { quoted } from "./query";

export type Column = AnalysisAnswer["columns"][number];
export type Only = AnalysisRow["only"];
export type Place = AnalysisRow["places"][number];

/** Reads columns of an answer by name. */
export class Reader {
  readonly #places: ReadonlyMap<string, number>;

  constructor(answer: AnalysisAnswer) {
    this.#places = new Map(answer.columns.map((column, place) => [column.name, place]));
  }

  /** The number in a column; null where it is unknown, and where there is no such column. */
  number(row: AnalysisRow, name: string | null): number | null {
    const value = this.#value(row, name);
    return typeof value === "number" ? value : null;
  }

  /** As people read it; "" where there is no such column. */
  text(row: AnalysisRow, name: string): string {
    const place = this.#places.get(name);
    return place === undefined ? "" : (row.texts[place] ?? "");
  }

  /** The text as recorded; null where it is unknown. */
  raw(row: AnalysisRow, name: string): string | null {
    const value = this.#value(row, name);
    return typeof value === "string" ? value : null;
  }

  #value(row: AnalysisRow, name: string | null): unknown {
    const place = name === null ? undefined : this.#places.get(name);
    return place === undefined ? null : row.values[place];
  }
}

/** Where values stand on a line from 0 to 1. */
export interface Scale {
  readonly low: number;
  readonly high: number;
}

/** Shares go from 0 to 1 and differences from -1 to 1; what else there is, to the greatest. */
export function scaleOf(unit: Column["unit"], values: readonly (number | null)[]): Scale {
  if (unit === "difference") return { low: -1, high: 1 };
  if (unit === "share") return { low: 0, high: 1 };
  const known = values.filter((value) => value !== null);
  return { low: 0, high: Math.max(...known, 0) || 1 };
}

export function at(scale: Scale, value: number): number {
  return Math.min(Math.max((value - scale.low) / (scale.high - scale.low), 0), 1);
}

/**
 * The list with the runs a row speaks of: the filters of the page and those of the row.
 *
 * Several tools must all be there, which only the query says; a facet takes any of its values.
 */
export function listHref(page: URLSearchParams, only: Only): string {
  const asked = new URLSearchParams(page);
  const { tool = [], ...others } = only;
  for (const [name, value] of Object.entries(others)) asked.set(name, later(page, name, value));
  const terms = tool.map((name) => `tool:${quoted(name)}`);
  if (tool.length === 1 && !page.has("tool")) asked.set("tool", tool[0]!);
  else if (terms.length > 0) asked.set("q", [page.get("q") ?? "", ...terms].join(" ").trim());
  const query = asked.toString();
  return query === "" ? "/t" : `/t?${query}`;
}

/** A time range of a row never reaches beyond that of the page. */
function later(page: URLSearchParams, name: string, value: string): string {
  const set = page.get(name);
  if (set === null || set === "") return value;
  if (name === "since") return set > value ? set : value;
  if (name === "until") return set < value ? set : value;
  return value;
}

/** The step that a row speaks of, or its run. */
export function placeHref({ trajectory_id, step, span_id }: Place): string {
  const run = `/t/${encodeURIComponent(trajectory_id)}`;
  if (step !== null) return `${run}?step=${step}`;
  return span_id === null ? run : `${run}?span=${encodeURIComponent(span_id)}`;
}

/** A line of a chart over weeks: an agent, and its values; null is unknown, and a gap. */
export interface Series {
  readonly name: string;
  readonly points: readonly { readonly row: AnalysisRow; readonly y: number | null }[];
}

export interface Weeks {
  /** Mondays, ISO, the first one first, with those between in which nothing ran */
  readonly weeks: readonly string[];
  readonly agents: readonly string[];
  /** agent -> week -> row */
  readonly rows: ReadonlyMap<string, ReadonlyMap<string, AnalysisRow>>;
  /** rows whose week is unknown, or whose agent is not drawn */
  readonly nLeftOut: number;
}

const WEEK_MS = 7 * 86_400_000;
const MOST_WEEKS = 520;

/** Rows of an agent and week each, the most frequent agents first. */
export function byWeek(answer: AnalysisAnswer, mostAgents: number): Weeks {
  const read = new Reader(answer);
  const rows = new Map<string, Map<string, AnalysisRow>>();
  const weights = new Map<string, number>();
  for (const row of answer.rows) {
    const week = read.raw(row, "week");
    if (week === null) continue;
    const agent = read.text(row, "agent_name");
    rows.set(agent, (rows.get(agent) ?? new Map()).set(week, row));
    weights.set(agent, (weights.get(agent) ?? 0) + (read.number(row, "n_runs") ?? 0));
  }
  const agents = [...rows.keys()]
    .sort((a, b) => weights.get(b)! - weights.get(a)!)
    .slice(0, mostAgents);
  const drawn = agents.flatMap((agent) => [...rows.get(agent)!.keys()]).sort();
  const nDrawn = drawn.length;
  return {
    weeks: nDrawn === 0 ? [] : mondays(drawn[0]!, drawn[nDrawn - 1]!),
    agents,
    rows,
    nLeftOut: answer.rows.length - nDrawn,
  };
}

function mondays(first: string, last: string): string[] {
  const found: string[] = [];
  const end = Date.parse(last);
  const begin = Math.max(Date.parse(first), end - MOST_WEEKS * WEEK_MS);
  for (let ms = begin; ms <= end; ms += WEEK_MS)
    found.push(new Date(ms).toISOString().slice(0, 10));
  return found;
}

/** Round numbers for an axis from 0: at most five. */
export function ticks(high: number): number[] {
  const raw = high / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw) ?? raw;
  const found: number[] = [];
  for (let i = 0; i * step <= high * 1.0001; i++) found.push(i * step);
  return found;
}
