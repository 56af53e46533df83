import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitWindow, followWindow, fullWindow, panned, ticks, zoomed } from "../src/core/axis";
import { BUSY, EMPTY, FAILED, minimap } from "../src/core/minimap";
import { visibleRows } from "../src/core/rows";
import { toSpans } from "../src/core/spans";
import { count, matches } from "../src/core/search";
import { anyRun, columnsOf } from "./runs";

const HOUR = 3600e6;
const LONG = toSpans(
  columnsOf([
    { start: 0, dur: 2 * HOUR, name: "agent" },
    { parent: 0, start: HOUR, dur: 2e6, name: "chat gpt", step: 1 },
    { parent: 0, start: HOUR + 3e6, dur: 1e6, name: "Bash", step: 2, isFailed: true },
  ]),
);
const ROWS = visibleRows(LONG, new Set());

describe("the axis", () => {
  it("in full is the whole run", () => {
    expect(fullWindow(LONG)).toEqual({ from: 0, to: 2 * HOUR });
  });

  it("that fits leaves out the silence round the steps", () => {
    const { from, to } = fitWindow(LONG);

    expect(to - from).toBeLessThan(5e6);
    expect(from).toBeLessThanOrEqual(HOUR);
    expect(to).toBeGreaterThanOrEqual(HOUR + 4e6);
  });

  it("that follows covers the rows on screen, not the wrapper round them", () => {
    const all = followWindow(LONG, ROWS, 0, 2);
    const last = followWindow(LONG, ROWS, 2, 2);

    expect(all.to - all.from).toBeLessThan(5e6);
    expect(last.to - last.from).toBeLessThan(1.1e6);
  });

  it("never leaves the run, however it is zoomed and moved", () => {
    const moves = fc.array(
      fc.tuple(fc.double({ min: 0.01, max: 9 }), fc.double({ min: -3, max: 3 })),
    );
    fc.assert(
      fc.property(moves, (steps) => {
        const whole = fullWindow(LONG);
        let window = whole;
        for (const [factor, by] of steps.filter((s) => !s.some(Number.isNaN))) {
          window = panned(zoomed(window, factor, 0.3, whole), by, whole);
          expect(window.from).toBeGreaterThanOrEqual(0);
          expect(window.to).toBeLessThanOrEqual(whole.to + 1e-3);
          expect(window.to - window.from).toBeGreaterThan(999);
        }
      }),
    );
  });

  it("has round ticks", () => {
    expect(ticks({ from: 0, to: 60e6 }, 6)).toEqual([0, 10e6, 20e6, 30e6, 40e6, 50e6, 60e6]);
    expect(ticks({ from: 0, to: 0 }, 6)).toEqual([]);
  });
});

describe("the minimap", () => {
  it("has a lane for each depth; what failed is seen even where it is shorter than a pixel", () => {
    const { lanes, cells } = minimap(LONG, 4, 8);

    expect(lanes).toBe(2);
    expect([...cells]).toEqual([BUSY, BUSY, BUSY, BUSY, EMPTY, EMPTY, FAILED, EMPTY]);
  });

  it("puts every span somewhere", () => {
    fc.assert(
      fc.property(anyRun, fc.integer({ min: 1, max: 40 }), (made, width) => {
        const spans = toSpans(columnsOf(made));
        const { cells, lanes } = minimap(spans, width, 3);

        expect(cells.length).toBe(width * lanes);
        const depths = new Set([...spans.depth].map((depth) => Math.min(depth, 2)));
        for (const lane of depths) {
          expect(Math.max(...cells.slice(lane * width, (lane + 1) * width))).toBeGreaterThan(0);
        }
      }),
    );
  });
});

describe("search", () => {
  it("finds names whatever their case", () => {
    expect([...matches(LONG, "bash ")]).toEqual([0, 0, 1]);
    expect(count(matches(LONG, "a"))).toBe(3);
    expect(count(matches(LONG, " "))).toBe(0);
  });
});
