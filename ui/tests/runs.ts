/** Runs for tests: made by hand from tuples, or by fast-check from any parents, cycles included. */

import fc from "fast-check";
import type { Columns } from "../src/core/spans";

export interface Made {
  parent?: number;
  start: number;
  dur: number;
  name?: string;
  isFailed?: boolean;
  cost?: number;
  step?: number;
}

export function columnsOf(made: readonly Made[]): Columns {
  const names = [...new Set(made.map(({ name }) => name ?? "span"))];
  const none = made.map(() => -1);
  const sparse = (of: (one: Made) => number | undefined) => ({
    i: made.flatMap((one, at) => (of(one) === undefined ? [] : [at])),
    v: made.flatMap((one) => of(one) ?? []),
  });
  return {
    n: made.length,
    total: made.length,
    row: null,
    dict: { name: names, svc: [], kind: [], tool: [], model: [], agent: [], err: ["ValueError"] },
    parent: made.map(({ parent }) => parent ?? -1),
    start: made.map(({ start }) => start),
    dur: made.map(({ dur }) => dur),
    step: made.map(({ step }) => step ?? -1),
    name: made.map(({ name }) => names.indexOf(name ?? "span")),
    svc: none,
    kind: none,
    tool: none,
    model: none,
    agent: none,
    err: sparse(({ isFailed }) => (isFailed ? 0 : undefined)),
    tin: { i: [], v: [] },
    tout: { i: [], v: [] },
    cost: sparse(({ cost }) => cost),
    flag: { i: [], v: [] },
    more: { i: [], v: [] },
  };
}

export const anyRun: fc.Arbitrary<Made[]> = fc.array(
  fc.record({
    parent: fc.integer({ min: -2, max: 25 }),
    start: fc.integer({ min: 0, max: 50 }),
    dur: fc.integer({ min: -1, max: 40 }),
    cost: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
    isFailed: fc.boolean(),
  }),
  { maxLength: 20 },
);
