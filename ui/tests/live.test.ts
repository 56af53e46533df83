import { describe, expect, it } from "vitest";
import type { LiveStep } from "../src/api/client";
import { grown, type Told } from "../src/core/grown";
import { followed, LONGEST, NOTHING } from "../src/core/tail";

function columns(part: Partial<Told> & Pick<Told, "n">): Told {
  const none = Array.from({ length: part.n }, () => -1);
  const few = { i: [], v: [] };
  return {
    t0: 1000,
    row: null,
    next: part.n,
    total: part.n,
    dict: { name: [], svc: [], kind: [], tool: [], model: [], agent: [], err: [] },
    parent: none,
    start: none,
    dur: none,
    step: none,
    name: none,
    svc: none,
    kind: none,
    tool: none,
    model: none,
    agent: none,
    err: few,
    tin: few,
    tout: few,
    cost: few,
    flag: few,
    more: few,
    ...part,
  };
}

const words = (name: string[], err: string[] = []) => ({ ...columns({ n: 0 }).dict, name, err });

describe("a run that grows", () => {
  // A tool has ended below an agent that goes on.
  const known = columns({
    n: 2,
    next: 1,
    dict: words(["tool", "agent"], ["timeout"]),
    parent: [1, -1],
    start: [500, 0],
    dur: [10, -1],
    name: [0, 1],
    err: { i: [0], v: [0] },
    cost: { i: [0], v: [0.5] },
  });
  // A second tool has ended, and it turns out that the agent began earlier.
  const later = {
    since: 1,
    spans: columns({
      n: 2,
      next: 2,
      t0: 900,
      dict: words(["agent", "search"], ["refused"]),
      parent: [2, -1],
      start: [700, 0],
      dur: [20, -1],
      name: [1, 0],
      err: { i: [0], v: [0] },
      cost: { i: [0], v: [0.25] },
    }),
    above: { i: [0], v: [2] },
  };

  it("is what it would be if it were read at once", () => {
    expect(grown(known, later)).toEqual({
      ...columns({
        n: 3,
        next: 2,
        total: 2,
        t0: 900,
        dict: words(["tool", "agent", "search"], ["timeout", "refused"]),
        parent: [2, 2, -1],
        start: [600, 700, 0],
        dur: [10, 20, -1],
        name: [0, 2, 1],
        err: { i: [0, 1], v: [0, 1] },
        cost: { i: [0, 1], v: [0.5, 0.25] },
      }),
      row: null,
    });
  });

  it("is the same when it is told twice", () => {
    const once = grown(known, later)!;
    expect(grown(once, later)).toEqual(once);
  });

  it("is asked for again where something is missing, or was left out", () => {
    expect(grown(known, { ...later, since: 3 })).toBeNull();
    expect(grown({ ...known, more: { i: [0], v: [9] } }, later)).toBeNull();
  });
});

describe("the tail", () => {
  const step = (n: number, more: Partial<LiveStep> = {}) =>
    ({ trajectory_id: "a", step: n, trace_id: "t", span_id: String(n), ...more }) as LiveStep;
  const numbers = (rows: readonly LiveStep[]) => rows.map((one) => one.step);

  it("has the newest first, and each once", () => {
    const tail = followed(NOTHING, [step(1), step(2)], 0);
    const again = followed(tail, [step(1, { status: "error" }), step(3)], 0);
    expect(numbers(again.rows)).toEqual([3, 2, 1]);
    expect(again.rows[2]!.status).toBe("error");
  });

  it("ends somewhere, and tells how many it left out", () => {
    const many = Array.from({ length: LONGEST + 7 }, (_, n) => step(n));
    const tail = followed(NOTHING, many, 5);
    expect(tail.rows.length).toBe(LONGEST);
    expect(tail.rows[0]!.step).toBe(LONGEST + 6);
    expect(tail.n_left_out).toBe(12);
  });
});
