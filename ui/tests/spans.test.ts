import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { criticalPath, drawnSegments, timeOnPath } from "../src/core/criticalPath";
import {
  ancestors,
  branches,
  nextMarked,
  placeOf,
  subtreeCounts,
  subtreeSums,
  visibleRows,
} from "../src/core/rows";
import { labelOf, toSpans } from "../src/core/spans";
import { anyRun, columnsOf } from "./runs";

const AGENT = columnsOf([
  // as they came: children before their parent, the later one first
  { parent: 3, start: 60, dur: 30, name: "grep", cost: 3 },
  { parent: 3, start: 10, dur: 40, name: "chat", cost: 2 },
  { parent: 1, start: 20, dur: 10, name: "http", isFailed: true },
  { start: 0, dur: 100, name: "agent" },
]);

describe("a run", () => {
  it("is in tree order, whatever the order of arrival", () => {
    const spans = toSpans(AGENT);

    expect([...spans.seq].map((_, row) => labelOf(spans.name, row))).toEqual([
      "agent",
      "chat",
      "http",
      "grep",
    ]);
    expect([...spans.depth]).toEqual([0, 1, 2, 1]);
    expect([...spans.end]).toEqual([4, 3, 3, 4]);
    expect([...spans.errors]).toEqual([[2, "ValueError"]]);
  });

  it("is a forest with every span once, whatever the parents say", () => {
    fc.assert(
      fc.property(anyRun, (made) => {
        const spans = toSpans(columnsOf(made));

        expect([...spans.seq].sort((a, b) => a - b)).toEqual(made.map((_, at) => at));
        for (let row = 0; row < spans.n; row++) {
          const above = spans.parent[row]!;
          expect(above).toBeLessThan(row);
          expect(spans.depth[row]).toBe(ancestors(spans, row).length);
          const told = made[spans.seq[row]!]!.parent!;
          if (above >= 0) expect(spans.seq[above]).toBe(told);
        }
      }),
    );
  });

  it("keeps the parent of all spans but one of a cycle", () => {
    const spans = toSpans(
      columnsOf([
        { parent: 2, start: 0, dur: 1 },
        { parent: 0, start: 1, dur: 1 },
        { parent: 1, start: 2, dur: 1 },
      ]),
    );

    expect([...spans.depth]).toEqual([0, 1, 2]);
  });

  it("shows an open span as long as what is known below it", () => {
    const spans = toSpans(
      columnsOf([
        { start: 5, dur: -1 },
        { parent: 0, start: 10, dur: 7 },
      ]),
    );

    expect([...spans.stop]).toEqual([17, 17]);
    expect(spans.total).toBe(17);
  });
});

describe("rows", () => {
  it("below a collapsed one are not seen, and are exactly those with it above them", () => {
    fc.assert(
      fc.property(anyRun, fc.array(fc.nat(20)), (made, folded) => {
        const spans = toSpans(columnsOf(made));
        const collapsed = new Set(folded);

        const seen = new Set(visibleRows(spans, collapsed));

        for (let row = 0; row < spans.n; row++) {
          expect(seen.has(row)).toBe(!ancestors(spans, row).some((above) => collapsed.has(above)));
        }
      }),
    );
  });

  it("that are hidden are found at the nearest one above them", () => {
    const spans = toSpans(AGENT);
    const visible = visibleRows(spans, new Set([1]));

    expect([0, 1, 2, 3].map((row) => visible[placeOf(visible, row)])).toEqual([0, 1, 1, 3]);
  });

  it("sum over their subtree as adding up by hand does; nothing known is not 0", () => {
    fc.assert(
      fc.property(anyRun, (made) => {
        const spans = toSpans(columnsOf(made));

        const sums = subtreeSums(spans, spans.costUsd);
        const errors = subtreeCounts(spans, spans.hasError);

        for (let row = 0; row < spans.n; row++) {
          const own = [...spans.costUsd].slice(row, spans.end[row]).filter((n) => !Number.isNaN(n));
          expect(sums[row]).toBe(own.length ? own.reduce((a, b) => a + b) : Number.NaN);
          const failed = [...spans.hasError].slice(row, spans.end[row]).filter(Boolean);
          expect(errors[row]).toBe(failed.length);
        }
      }),
    );
  });

  it("that are marked are visited in turn, around the end", () => {
    const marks = Uint8Array.from([0, 1, 0, 1]);

    expect([0, 1, 3].map((row) => nextMarked(marks, row, 1))).toEqual([1, 3, 1]);
    expect([0, 1, 3].map((row) => nextMarked(marks, row, -1))).toEqual([3, 3, 1]);
    expect(nextMarked(new Uint8Array(4), 0, 1)).toBe(-1);
  });

  it("that can be folded are those with children", () => {
    expect([...branches(toSpans(AGENT))]).toEqual([0, 1]);
    expect([...branches(toSpans(AGENT), 1)]).toEqual([1]);
  });
});

describe("the critical path", () => {
  it("goes from the end back through what finished last", () => {
    const spans = toSpans(AGENT);

    expect(criticalPath(spans)).toEqual([
      { row: 0, from: 0, to: 10 },
      { row: 1, from: 10, to: 20 },
      { row: 2, from: 20, to: 30 },
      { row: 1, from: 30, to: 50 },
      { row: 0, from: 50, to: 60 },
      { row: 3, from: 60, to: 90 },
      { row: 0, from: 90, to: 100 },
    ]);
  });

  it("leaves out what ran beside it", () => {
    const spans = toSpans(
      columnsOf([
        { start: 0, dur: 100 },
        { parent: 0, start: 10, dur: 80 },
        { parent: 0, start: 20, dur: 50 },
        { parent: 0, start: 2, dur: 8 },
      ]),
    );

    expect([...timeOnPath(spans, criticalPath(spans))]).toEqual([12, 8, 80, 0]);
  });

  it("never overlaps, stays within its spans, and covers every root that is alone", () => {
    fc.assert(
      fc.property(anyRun, (made) => {
        const spans = toSpans(columnsOf(made));

        const path = criticalPath(spans);

        path.forEach(({ row, from, to }, i) => {
          expect(from).toBeLessThan(to);
          expect(from).toBeGreaterThanOrEqual(spans.start[row]!);
          expect(to).toBeLessThanOrEqual(spans.stop[row]!);
          if (i > 0) expect(path[i - 1]!.to).toBeLessThanOrEqual(from);
        });
        if ([...spans.depth].filter((depth) => depth === 0).length === 1) {
          const time = path.reduce((sum, { from, to }) => sum + to - from, 0);
          expect(time).toBe(spans.stop[0]! - spans.start[0]!);
        }
      }),
    );
  });

  it("is drawn with as many parts of a row as can be told apart", () => {
    const of = (from: number, to: number) => ({ row: 0, from, to });
    const parts = [of(0, 5), of(10, 20), of(20.5, 30), of(50, 60), of(200, 210)];

    expect(drawnSegments(parts, { from: 8, to: 108 }, 100)).toEqual([of(10, 30), of(50, 60)]);
    expect(drawnSegments(parts, { from: 0, to: 1000 }, 10)).toEqual([of(0, 60), of(200, 210)]);
  });

  it("of a run deeper than any call stack is found", () => {
    const n = 50_000;
    const made = Array.from({ length: n }, (_, at) => ({ parent: at - 1, start: at, dur: n - at }));
    const spans = toSpans(columnsOf(made));

    expect(criticalPath(spans).length).toBe(n);
    expect(visibleRows(spans, new Set()).length).toBe(n);
  });
});
