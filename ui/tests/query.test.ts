import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { completions, quoted, words } from "../src/core/query";

const KNOWN = {
  fields: { tool: "text", task: "text", cost: "number" },
  values: {
    tool: [
      { value: "bash", count: 7 },
      { value: "read file", count: 2 },
    ],
  },
};

describe("the search box", () => {
  it("reads words, fields, negations and quotes", () => {
    expect(
      words('tool:bash -outcome:success cost>=0.5 "no such"').map((w) => [
        w.isNegated,
        w.field,
        w.operator,
        w.value,
      ]),
    ).toEqual([
      [false, "tool", ":", "bash"],
      [true, "outcome", ":", "success"],
      [false, "cost", ">=", "0.5"],
      [false, null, "", "no such"],
    ]);
  });

  it("completes fields and then their values, in quotes where they need them", () => {
    const at = (text: string) => completions(text, text.length, KNOWN).map(({ text }) => text);

    expect(at("t")).toEqual(["tool:", "task:"]);
    expect(at("x -c")).toEqual(["-cost>"]);
    expect(at("tool:re")).toEqual(['tool:"read file" ']);
    expect(at("-tool:b")).toEqual(["-tool:bash "]);
    expect(at("")).toEqual(["tool:", "task:", "cost>"]);
    expect(at("cost>")).toEqual([]);
  });

  it("reads back every value that it writes", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (value) => {
        expect(words(`tool:${quoted(value)}`).map((word) => word.value)).toEqual([value]);
      }),
    );
  });

  it("takes any text, and no character twice", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        let last = 0;
        for (const { from, to } of words(text)) {
          expect(from).toBeGreaterThanOrEqual(last);
          expect(to).toBeGreaterThan(from);
          last = to;
        }
        expect(last).toBeLessThanOrEqual(text.length);
      }),
    );
  });
});
