import { useQueries } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { get, runPath, type StepPage, type StepRow } from "../api/client";
import {
  findRow,
  type FoldRow,
  keyOf,
  nextDifference,
  type Opcode,
  type PairRow,
  type Row,
  rowsOf,
} from "../core/compare";
import { counted, duration } from "../core/format";
import { oneLine } from "../core/hostile";
import { familyOf, signOf } from "../core/kinds";
import { useKeys } from "../frame/keys";
import { useIsNarrow } from "../frame/media";
import { StepDifference } from "./StepDifference";

/** Lines of steps are asked for by pages of so many, and only where they are looked at. */
const PAGE = 100;

interface Props {
  readonly a: string;
  readonly b: string;
  readonly opcodes: readonly Opcode[];
  /** key of the row that is open */
  readonly open: string | null;
  /** key of the first divergence */
  readonly divergence: string | null;
  readonly onOpen: (key: string | null) => void;
}

/** The steps of two runs, of which only the rows on screen are drawn. */
export function SideBySide({ a, b, opcodes, open, divergence, onOpen }: Props) {
  const [unfolded, setUnfolded] = useState<ReadonlySet<number>>(new Set());
  const rows = useMemo(() => rowsOf(opcodes, unfolded, open), [opcodes, unfolded, open]);
  const at = useMemo(() => findRow(rows, open), [rows, open]);
  const box = useRef<HTMLDivElement>(null);
  const isNarrow = useIsNarrow();
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: (index) => (rows[index]!.op === "fold" ? 34 : isNarrow ? 72 : 36),
    getItemKey: (index) => {
      const row = rows[index]!;
      return row.op === "fold" ? `fold ${row.opcode}` : keyOf(row);
    },
    overscan: 6,
  });
  const drawn = virtual.getVirtualItems();
  const lines = useLines(
    { a, b },
    drawn.map(({ index }) => rows[index]!),
  );
  useEffect(() => {
    if (at >= 0) virtual.scrollToIndex(at, { align: "auto" });
  }, [at]);

  const openRow = (index: number) => {
    const row = rows[index];
    if (!row) return;
    if (row.op === "fold") setUnfolded(new Set(unfolded).add(row.opcode));
    else onOpen(index === at ? null : keyOf(row));
  };
  const move = (by: 1 | -1) => {
    let to = at + by;
    while (rows[to]?.op === "fold") to += by;
    if (rows[to]) openRow(to);
  };
  const toDifference = (by: 1 | -1) => {
    const to = nextDifference(rows, at < 0 && by < 0 ? rows.length : at, by);
    if (to >= 0) openRow(to);
  };
  useKeys([
    { keys: ["n"], label: "Next difference", run: () => toDifference(1) },
    { keys: ["p", "N"], label: "Difference before", run: () => toDifference(-1) },
    { keys: ["j", "ArrowDown", "]"], label: "Next step", run: () => move(1) },
    { keys: ["k", "ArrowUp", "["], label: "Step before", run: () => move(-1) },
    {
      keys: ["f"],
      label: "First divergence",
      run: () => divergence !== null && onOpen(divergence),
    },
    { keys: ["Escape"], label: "Close the step", run: () => onOpen(null), isAlways: true },
  ]);

  return (
    <div className="side-by-side">
      <div className="pair head" aria-hidden="true">
        <span className="mark" />
        <span>A</span>
        <span>B</span>
      </div>
      <div className="scroll" ref={box} tabIndex={0} role="list" aria-label="Steps side by side">
        <div className="sizer" style={{ height: virtual.getTotalSize() }}>
          {drawn.map(({ index, start, key }) => {
            const row = rows[index]!;
            return (
              <div
                key={key}
                ref={virtual.measureElement}
                data-index={index}
                role="listitem"
                aria-setsize={rows.length}
                aria-posinset={index + 1}
                className="placed"
                style={{ transform: `translateY(${start}px)` }}
              >
                {row.op === "fold" ? (
                  <Fold row={row} onOpen={() => openRow(index)} />
                ) : (
                  <Pair
                    row={row}
                    a={row.a === null ? null : (lines.a.get(row.a) ?? LOADING)}
                    b={row.b === null ? null : (lines.b.get(row.b) ?? LOADING)}
                    isOpen={index === at}
                    isDivergence={keyOf(row) === divergence}
                    onOpen={() => openRow(index)}
                  />
                )}
                {row.op !== "fold" && index === at && <StepDifference a={a} b={b} row={row} />}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

const LOADING = "loading";
type Side = StepRow | typeof LOADING | null;

function Fold({ row, onOpen }: { row: FoldRow; onOpen: () => void }) {
  return (
    <button type="button" className="fold" aria-expanded="false" onClick={onOpen}>
      <span aria-hidden="true">=</span> {counted(row.n, "step")} the same
      <span className="muted">
        {" "}
        A {row.a}–{row.a + row.n - 1}, B {row.b}–{row.b + row.n - 1}
      </span>
    </button>
  );
}

const MARKS: Readonly<Record<Opcode["op"], { sign: string; word: string }>> = {
  same: { sign: "=", word: "the same" },
  minor: { sign: "≈", word: "the same was done" },
  changed: { sign: "~", word: "differs" },
  only_a: { sign: "−", word: "only in A" },
  only_b: { sign: "+", word: "only in B" },
};

function Pair(props: {
  row: PairRow;
  a: Side;
  b: Side;
  isOpen: boolean;
  isDivergence: boolean;
  onOpen: () => void;
}) {
  const { row, isOpen, isDivergence } = props;
  const mark = MARKS[row.op];
  const what = row.what.map((it) => WORDS[it] ?? it).join(", ");
  return (
    <button
      type="button"
      className={`pair ${row.op}${isOpen ? " here" : ""}`}
      aria-expanded={isOpen}
      onClick={props.onOpen}
    >
      <span className="mark" title={what || mark.word}>
        <span aria-hidden="true">{mark.sign}</span>
        <span className="sr">{mark.word}</span>
      </span>
      <StepLine of={props.a} side="A" />
      <StepLine of={props.b} side="B" />
      {(what || isDivergence) && (
        <span className="what muted">
          {isDivergence && <span className="first">first divergence</span>}
          {what}
        </span>
      )}
    </button>
  );
}

const WORDS: Readonly<Record<string, string>> = {
  calls: "tools asked for",
  system: "instructions",
  tools: "tools offered",
};

function StepLine({ of, side }: { of: Side; side: string }) {
  if (of === null) return <span className="side none" />;
  if (of === LOADING) return <span className="side muted">…</span>;
  const isFailed = of.status === "error";
  const said = isFailed
    ? [of.error_type, of.error_message].filter(Boolean).join(": ")
    : (of.preview ?? "");
  return (
    <span className="side">
      <span className="no muted">
        <span className="sr">{side} </span>
        {of.step}
      </span>
      <span className={`kind ${familyOf(of.kind)}`} role="img" aria-label={of.kind}>
        {signOf(of.kind)}
      </span>
      <bdi className="action">{oneLine(of.action ?? of.kind)}</bdi>
      <span className={`said ${isFailed ? "failed" : "muted"}`}>
        {isFailed && "✗ "}
        <bdi>{oneLine(said)}</bdi>
      </span>
      <span className="time muted">{duration(of.duration_us)}</span>
    </span>
  );
}

/** The lines of those steps that are drawn, by their numbers. */
function useLines(runs: { a: string; b: string }, rows: readonly Row[]) {
  const wanted = (["a", "b"] as const).flatMap((side) => {
    const pages = new Set<number>();
    for (const row of rows) {
      if (row.op !== "fold" && row[side] !== null) pages.add(Math.floor(row[side] / PAGE));
    }
    return [...pages].sort((x, y) => x - y).map((page) => ({ side, page }));
  });
  return useQueries({
    queries: wanted.map(({ side, page }) => ({
      queryKey: ["lines", runs[side], page],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        get<StepPage>(
          `${runPath(runs[side])}/steps`,
          { from: page === 0 ? null : page * PAGE, limit: PAGE },
          signal,
        ),
    })),
    combine: (answers) => {
      const found = { a: new Map<number, StepRow>(), b: new Map<number, StepRow>() };
      answers.forEach(({ data }, i) => {
        for (const row of data?.rows ?? []) found[wanted[i]!.side].set(row.step, row);
      });
      return found;
    },
  });
}
