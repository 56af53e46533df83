import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  delta,
  findRow,
  isDifference,
  keyOf,
  nextDifference,
  type Opcode,
  rowsOf,
  totals,
} from "../src/core/compare";

/** Opcodes of runs of one kind each, one after another. */
const opcodes = fc
  .array(fc.tuple(fc.constantFrom("same", "minor", "changed", "only_a", "only_b"), fc.nat(5)))
  .map((parts) => {
    let [a, b] = [0, 0];
    return parts.map(([op, more]): Opcode => {
      const n = op === "minor" || op === "changed" ? 1 : more + 1;
      const [a0, b0] = [a, b];
      a += op === "only_b" ? 0 : n;
      b += op === "only_a" ? 0 : n;
      return { op, a0, a1: a, b0, b1: b, what: [] };
    });
  });
const NONE = new Set<number>();

describe("rows of two runs side by side", () => {
  test("every step of both is in one row, folded or not", () => {
    fc.assert(
      fc.property(opcodes, (given) => {
        const rows = rowsOf(given, NONE);
        for (const side of ["a", "b"] as const) {
          const seen = rows.flatMap((row) =>
            row.op === "fold"
              ? Array.from({ length: row.n }, (_, i) => row[side] + i)
              : row[side] === null
                ? []
                : [row[side]],
          );
          const end = given.at(-1)?.[side === "a" ? "a1" : "b1"] ?? 0;
          expect(seen).toEqual(Array.from({ length: end }, (_, i) => i));
        }
      }),
    );
  });

  test("what the address names is never hidden in a fold", () => {
    fc.assert(
      fc.property(opcodes, (given) => {
        const all = rowsOf(given, new Set(given.keys()));
        for (const row of all) {
          if (row.op === "fold") throw new Error("all of them were unfolded");
          const key = keyOf(row);
          const rows = rowsOf(given, NONE, key);
          expect(rows[findRow(rows, key)]).toEqual(row);
        }
      }),
    );
  });

  test("differences are walked through in both directions", () => {
    fc.assert(
      fc.property(opcodes, (given) => {
        const rows = rowsOf(given, NONE);
        const wanted = rows.flatMap((row, i) => (isDifference(row) ? [i] : []));
        const walked = (by: 1 | -1) => {
          const found: number[] = [];
          let at = by > 0 ? -1 : rows.length;
          while ((at = nextDifference(rows, at, by)) >= 0) found.push(at);
          return found;
        };
        expect(walked(1)).toEqual(wanted);
        expect(walked(-1)).toEqual(wanted.reverse());
      }),
    );
  });

  test("a key that names no row finds none", () => {
    const rows = rowsOf([{ op: "only_b", a0: 0, a1: 0, b0: 0, b1: 1, what: [] }], NONE);
    expect(findRow(rows, "b0")).toBe(0);
    for (const key of [null, "", "0", "b1", "b0b", "1e9", "<b>"]) {
      expect(findRow(rows, key)).toBe(-1);
    }
  });

  test("totals count steps, not opcodes", () => {
    const given: Opcode[] = [
      { op: "same", a0: 0, a1: 7, b0: 0, b1: 7, what: [] },
      { op: "only_b", a0: 7, a1: 7, b0: 7, b1: 9, what: [] },
    ];
    expect(totals(given)).toEqual({ same: 7, minor: 0, changed: 0, only_a: 0, only_b: 2 });
  });
});

test("a difference has its sign, and what is not known none", () => {
  expect([-3, 0, 2, null].map((n) => delta(n, String))).toEqual(["−3", "±0", "+2", "–"]);
});
