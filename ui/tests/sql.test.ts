import { describe, expect, test } from "vitest";
import {
  axes,
  identifier,
  lineAndColumn,
  points,
  type Result,
  runHref,
  runsOf,
  unitsBefore,
} from "../src/core/sql";

const of = (columns: [string, boolean][], ...rows: Result["values"][number][]): Result => ({
  columns: columns.map(([name, is_number]) => ({ name, type: "", is_number })),
  values: columns.map((_, at) => rows.map((row) => row[at]!)),
  n_rows: rows.length,
});

describe("places", () => {
  test("are counted as the browser counts, whatever stands before", () => {
    expect(unitsBefore("select '🙂', x", 12)).toBe(13);
    expect(unitsBefore("abc", 0)).toBe(0);
    expect(unitsBefore("abc", 99)).toBe(3);
  });

  test("have a line and a column from 1", () => {
    expect(lineAndColumn("select\n  nme", 9)).toEqual([2, 3]);
    expect(lineAndColumn("", 0)).toEqual([1, 1]);
  });
});

describe("runs of a result", () => {
  const steps = of(
    [
      ["step", true],
      ["trajectory_id", false],
    ],
    [3, "a/b"],
    [null, "c"],
    [4, null],
    [5, "c"],
  );

  test("are named once each, in order", () => {
    expect(runsOf(steps)).toEqual(["a/b", "c"]);
    expect(runsOf(of([["n", true]], [1]))).toEqual([]);
  });

  test("are linked, with their step where the row tells one", () => {
    expect([0, 1, 2].map((row) => runHref(steps, row))).toEqual(["/t/a%2Fb?step=3", "/t/c", null]);
  });

  test("may be told under the name of a relative", () => {
    expect(runsOf(of([["parent_trajectory_id", false]], ["p"]))).toEqual(["p"]);
  });
});

describe("what is drawn", () => {
  test("is the first numbers over the first that are none", () => {
    const told = of(
      [
        ["n", true],
        ["kind", false],
      ],
      [1, "a"],
    );
    expect(axes(told)).toEqual({ x: 1, y: 0 });
    const alone = of([["n", true]], [5]);
    expect(axes(alone)).toEqual({ x: -1, y: 0 });
    expect(points(alone, -1, 0)).toEqual([{ label: "1", value: 5 }]);
  });

  test("has no value where there is none, which is not 0", () => {
    const told = of(
      [
        ["kind", false],
        ["n", true],
      ],
      ["a", 1],
      [null, null],
      ["c", "NaN"],
      ["d", "9007199254740993"],
      ["e", ""],
    );
    expect(points(told, 0, 1)).toEqual([
      { label: "a", value: 1 },
      { label: "NULL", value: null },
      { label: "c", value: null },
      { label: "d", value: 9007199254740992 },
      { label: "e", value: null },
    ]);
  });
});

test("names are quoted where SQL needs it", () => {
  expect(["n_steps", "Weird", 'a"b'].map(identifier)).toEqual(["n_steps", '"Weird"', '"a""b"']);
});
