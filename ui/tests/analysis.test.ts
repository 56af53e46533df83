import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnalysisAnswer } from "../src/api/client";
import { at, byWeek, listHref, placeHref, Reader, scaleOf, ticks } from "../src/core/analysis";
import { words } from "../src/core/query";

function answerOf(names: readonly string[], ...rows: readonly (readonly unknown[])[]) {
  return {
    columns: names.map((name) => ({ name })),
    rows: rows.map((values) => ({ values, texts: values.map((value) => String(value ?? "–")) })),
  } as unknown as AnalysisAnswer;
}

describe("the list behind a mark", () => {
  test("keeps the filters of the page and adds those of the row", () => {
    const page = new URLSearchParams("agent=coder&q=cost>1");

    expect(listHref(page, { task: "a & b", tool: ["bash"] })).toBe(
      "/t?agent=coder&q=cost%3E1&task=a+%26+b&tool=bash",
    );
  });

  test("asks for several tools in the query, as a facet takes any of its values", () => {
    const href = listHref(new URLSearchParams("q=cost>1"), { tool: ["read file", 'say "x"'] });

    const asked = new URLSearchParams(href.slice("/t?".length)).get("q")!;
    expect(words(asked).map(({ value }) => value)).toEqual(["1", "read file", 'say "x"']);
  });

  test("never leaves the time range of the page", () => {
    const page = new URLSearchParams("since=2026-11-18&until=2026-11-20");

    expect(listHref(page, { since: "2026-11-16", until: "2026-11-23" })).toBe(
      "/t?since=2026-11-18&until=2026-11-20",
    );
  });

  test("of a row that says nothing is that of the page", () => {
    expect(listHref(new URLSearchParams(), {})).toBe("/t");
  });

  test("leads to the step, else to the span, else to the run, whatever the id", () => {
    expect(placeHref({ trajectory_id: "a/b", step: 0, span_id: "s" })).toBe("/t/a%2Fb?step=0");
    expect(placeHref({ trajectory_id: "a", step: null, span_id: "s" })).toBe("/t/a?span=s");
    expect(placeHref({ trajectory_id: "a", step: null, span_id: null })).toBe("/t/a");
  });
});

describe("a scale", () => {
  test("of shares and differences is the same for every answer; others end at the greatest", () => {
    expect(scaleOf("share", [0.1])).toEqual({ low: 0, high: 1 });
    expect(scaleOf("difference", [0.1])).toEqual({ low: -1, high: 1 });
    expect(scaleOf("usd", [2, null, 8])).toEqual({ low: 0, high: 8 });
    expect(scaleOf("n", [null, 0])).toEqual({ low: 0, high: 1 });
  });

  test("holds every value", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (value) => {
        const place = at({ low: -1, high: 1 }, value);
        expect(place >= 0 && place <= 1).toBe(true);
      }),
    );
  });

  test("has at most six round ticks from 0 to its end", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1e12, noNaN: true }), (high) => {
        const found = ticks(high);
        expect(found[0]).toBe(0);
        expect(found.length).toBeGreaterThan(1);
        expect(found.length).toBeLessThanOrEqual(6);
        expect(found.at(-1)!).toBeLessThanOrEqual(high * 1.0001);
      }),
    );
  });
});

describe("weeks", () => {
  const names = ["agent_name", "week", "n_runs", "success_rate"];

  test("in which nothing ran stand between those in which something did", () => {
    const told = byWeek(
      answerOf(names, ["coder", "2026-11-30", 3, 0.5], ["coder", "2026-11-16", 2, null]),
      6,
    );

    expect(told.weeks).toEqual(["2026-11-16", "2026-11-23", "2026-11-30"]);
    expect([...told.rows.get("coder")!.keys()]).toEqual(["2026-11-30", "2026-11-16"]);
    expect(told.nLeftOut).toBe(0);
  });

  test("are drawn of the agents with most runs; what is left out is counted", () => {
    const told = byWeek(
      answerOf(
        names,
        ["rare", "2026-11-16", 1, 1],
        ["often", "2026-11-16", 9, 1],
        ["often", null, 5, 1],
      ),
      1,
    );

    expect(told.agents).toEqual(["often"]);
    expect(told.nLeftOut).toBe(2);
  });
});

test("what is unknown reads as unknown, never as 0", () => {
  const answer = answerOf(["rate", "name"], [null, null]);
  const read = new Reader(answer);
  const row = answer.rows[0]!;

  expect(read.number(row, "rate")).toBeNull();
  expect(read.raw(row, "name")).toBeNull();
  expect(read.text(row, "rate")).toBe("–");
  expect(read.number(row, "no such column")).toBeNull();
});
