import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link } from "wouter";
import type { SqlResult } from "../../api/client";
import { exact } from "../../core/format";
import { oneLine } from "../../core/hostile";
import { type Cell, runColumn, runHref } from "../../core/sql";
import { Text } from "../Text";

const HEIGHT = 28;
const PREVIEW = 200;
const SAMPLE = 100;
const CHARACTER = 8;

interface Place {
  readonly row: number;
  readonly column: number;
}

/** Rows of a result, of which only those on screen are drawn. */
export function Rows({ result }: { result: SqlResult }) {
  const box = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<Place | null>(null);
  useEffect(() => setOpen(null), [result]);
  const virtual = useVirtualizer({
    count: result.n_rows,
    getScrollElement: () => box.current,
    estimateSize: () => HEIGHT,
    overscan: 12,
  });
  const { template, width } = useMemo(() => layout(result), [result]);
  const grid = { gridTemplateColumns: template };
  const ids = runColumn(result);
  return (
    <>
      <div
        className="sql-rows"
        role="table"
        aria-label="Result"
        aria-rowcount={result.n_rows + 1}
        aria-colcount={result.columns.length}
        ref={box}
        tabIndex={0}
      >
        <div role="rowgroup" className="head" style={{ minWidth: width }}>
          <div role="row" aria-rowindex={1} style={grid}>
            <span role="columnheader" className="number">
              #
            </span>
            {result.columns.map((column, at) => (
              <span
                key={at}
                role="columnheader"
                className={column.is_number ? "number" : ""}
                title={`${oneLine(column.name)}: ${column.type}`}
              >
                <bdi>{oneLine(column.name)}</bdi>
              </span>
            ))}
          </div>
        </div>
        <div
          role="rowgroup"
          className="sizer"
          style={{ height: virtual.getTotalSize(), minWidth: width }}
        >
          {virtual.getVirtualItems().map(({ index, start }) => (
            <div
              key={index}
              role="row"
              aria-rowindex={index + 2}
              className="line"
              style={{ ...grid, transform: `translateY(${start}px)` }}
            >
              <span role="rowheader" className="number muted">
                {exact(index + 1)}
              </span>
              {result.columns.map((column, at) => (
                <span key={at} role="cell" className={column.is_number ? "number" : ""}>
                  <Value
                    cell={result.values[at]![index]!}
                    href={at === ids ? runHref(result, index) : null}
                    onOpen={() => setOpen({ row: index, column: at })}
                  />
                </span>
              ))}
            </div>
          ))}
        </div>
      </div>
      {open && <Whole result={result} at={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function Value(props: { cell: Cell; href: string | null; onOpen: () => void }) {
  const { cell, href } = props;
  if (cell === null) return <span className="sql-null">NULL</span>;
  if (cell === "") return <span className="sql-null">empty text</span>;
  if (typeof cell !== "string") return <>{String(cell)}</>;
  const preview = oneLine(cell.slice(0, PREVIEW));
  if (href) return <Link href={href}>{preview}</Link>;
  // What does not show whole, or not as it is, can be opened.
  if (cell.length <= 24 && preview === cell) return <bdi>{preview}</bdi>;
  return (
    <button type="button" className="sql-open" onClick={props.onOpen} title="Show all of it">
      <bdi>{preview}</bdi>
    </button>
  );
}

function Whole(props: { result: SqlResult; at: Place; onClose: () => void }) {
  const { row, column } = props.at;
  const cut = props.result.cut.find((one) => one.row === row && one.column === column);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [row, column]);
  return (
    <section className="sql-whole" aria-label="One value">
      <h2 ref={heading} tabIndex={-1}>
        Row {exact(row + 1)}, <Text text={props.result.columns[column]!.name} />
        <button type="button" onClick={props.onClose}>
          Close
        </button>
      </h2>
      {cut && (
        <p className="muted">
          The beginning of {exact(cut.length)} characters; a download has all of them.
        </p>
      )}
      <pre tabIndex={0}>
        <Text text={String(props.result.values[column]![row])} />
      </pre>
    </section>
  );
}

/** Columns of a grid in px, by what the first rows hold; the last one takes what is left. */
function layout(result: SqlResult): { template: string; width: number } {
  const of = result.columns.map(({ name }, at) => {
    const longest = result.values[at]!.slice(0, SAMPLE).reduce<number>(
      (most, cell) => Math.max(most, cell === null ? 4 : String(cell).length),
      name.length + 2, // it is bold
    );
    return 18 + CHARACTER * Math.min(Math.max(longest, 4), 40);
  });
  const all = [24 + CHARACTER * String(result.n_rows).length, ...of];
  const last = all.pop()!;
  return {
    template: [...all.map((px) => `${px}px`), `minmax(${last}px, 1fr)`].join(" "),
    width: all.reduce((sum, px) => sum + px, last),
  };
}
