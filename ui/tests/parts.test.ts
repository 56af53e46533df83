import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { joined, leftOutOnTop, nextBelow } from "../src/core/parts";
import { type Columns, labelOf, type Spans, toSpans } from "../src/core/spans";
import { columnsOf, type Made } from "./runs";

const MOST = 3;

/** What a server sends that sends few at once: the least deep first, then by number. */
function asked(made: readonly Made[], under: number | null, from: number): Columns {
  const above = (at: number): number[] => {
    const parent = made[at]!.parent ?? -1;
    return parent < 0 ? [] : [parent, ...above(parent)];
  };
  const isWanted = (at: number) => {
    if (under === null) return true;
    const way = [at, ...above(at), -1];
    const place = way.indexOf(under);
    return place > 0 && way[place - 1]! >= from;
  };
  const wanted = made.map((_, at) => at).filter(isWanted);
  const top = wanted.sort((a, b) => above(a).length - above(b).length || a - b).slice(0, MOST);
  const row = top.sort((a, b) => a - b);
  const hidden = made.map((_, at) => at).filter((at) => !row.includes(at));
  const left = row.map(
    (shown) => hidden.filter((at) => above(at).find((one) => row.includes(one)) === shown).length,
  );
  const names = row.map((at) => ({ ...made[at]!, name: `${at}` }));
  return {
    ...columnsOf(names),
    total: made.length,
    row,
    more: {
      i: left.flatMap((count, i) => (count > 0 ? [i] : [])),
      v: left.filter((count) => count > 0),
    },
  };
}

/** Trees whose children may have come before their parents. */
const anyTree = fc
  .array(fc.nat(100), { maxLength: 24 })
  .chain((picks) =>
    fc.tuple(
      fc.constant(picks),
      fc.shuffledSubarray(
        picks.map((_, i) => i),
        { minLength: picks.length },
      ),
    ),
  )
  .map(([picks, places]) => {
    const made: Made[] = picks.map(() => ({ start: 0, dur: 1 }));
    picks.forEach((pick, i) => {
      const parent = i === 0 || pick % 5 === 0 ? -1 : places[pick % i]!;
      made[places[i]!] = { parent, start: i, dur: 1 };
    });
    return made;
  });

describe("a run that comes in parts", () => {
  it("is the whole run once all that was left out is asked for", () => {
    fc.assert(
      fc.property(anyTree, (made) => {
        const first = asked(made, null, 0);
        const parts: { under: number; columns: Columns }[] = [];
        let spans: Spans = toSpans(joined(first, parts));
        for (let turn = 0; turn <= made.length; turn++) {
          const row = spans.leftOut.findIndex((left) => left > 0);
          if (row < 0 && leftOutOnTop(spans) === 0) break;
          const { under, from } = nextBelow(spans, row);
          parts.push({ under, columns: asked(made, under, from) });
          spans = toSpans(joined(first, parts));
        }

        const whole = toSpans(columnsOf(made.map((one, at) => ({ ...one, name: `${at}` }))));
        expect([...spans.seq]).toEqual([...whole.seq]);
        expect([...spans.depth]).toEqual([...whole.depth]);
        expect([...spans.rowOf]).toEqual([...whole.rowOf]);
        expect([...spans.seq].map((_, row) => labelOf(spans.name, row))).toEqual(
          [...whole.seq].map((_, row) => labelOf(whole.name, row)),
        );
      }),
    );
  });
});
