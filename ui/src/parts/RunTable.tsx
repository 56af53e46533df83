import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import type { Run } from "../api/client";
import { cost, count, duration, exact, moment } from "../core/format";
import { oneLine } from "../core/hostile";
import { useKeys } from "../frame/keys";
import { useIsNarrow } from "../frame/media";
import { useSettings } from "../frame/settings";
import { Outcome } from "./Outcome";

interface Column {
  readonly name: string;
  readonly label: string;
  readonly sort?: string;
  readonly isNumber?: boolean;
}

const COLUMNS: readonly Column[] = [
  { name: "select", label: "" },
  { name: "start", label: "Start", sort: "start" },
  { name: "agent", label: "Agent", sort: "agent" },
  { name: "task", label: "Task", sort: "task" },
  { name: "outcome", label: "Outcome", sort: "outcome" },
  { name: "steps", label: "Steps", sort: "steps", isNumber: true },
  { name: "tools", label: "Tools", sort: "tools", isNumber: true },
  { name: "errors", label: "Errors", sort: "errors", isNumber: true },
  { name: "tokens", label: "Tokens", sort: "tokens", isNumber: true },
  { name: "cost", label: "Cost", sort: "cost", isNumber: true },
  { name: "dur", label: "Time", sort: "dur", isNumber: true },
];

interface Props {
  readonly rows: readonly Run[];
  readonly total: number;
  readonly sort: string;
  readonly selected: ReadonlySet<string>;
  readonly hasMore: boolean;
  readonly isLoading: boolean;
  readonly onMore: () => void;
  readonly onSort: (sort: string) => void;
  readonly onToggle: (id: string) => void;
  readonly onOpen: (id: string) => void;
}

/** Runs, of which only those on screen are drawn; more are asked for when the end comes near. */
export function RunTable(props: Props) {
  const { rows, total, hasMore, isLoading, onMore } = props;
  const box = useRef<HTMLDivElement>(null);
  const isNarrow = useIsNarrow();
  const { density } = useSettings();
  const [at, setAt] = useState(-1);
  const height = isNarrow ? 84 : density === "compact" ? 44 : 56;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => height,
    overscan: 8,
  });
  useEffect(() => virtual.measure(), [height, virtual]);
  const drawn = virtual.getVirtualItems();
  const last = drawn.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasMore && !isLoading && last >= rows.length - 20) onMore();
  }, [hasMore, isLoading, last, rows.length, onMore]);

  const move = (by: number) => {
    const next = Math.min(Math.max(at + by, 0), rows.length - 1);
    setAt(next);
    virtual.scrollToIndex(next);
  };
  const here = () => rows[at];
  useKeys([
    { keys: ["j", "ArrowDown"], label: "Next run", run: () => move(1) },
    { keys: ["k", "ArrowUp"], label: "Run before", run: () => move(-1) },
    {
      keys: ["Enter"],
      label: "Open the run",
      run: () => here() && props.onOpen(here()!.trajectory_id),
    },
    {
      keys: ["x"],
      label: "Select the run",
      run: () => here() && props.onToggle(here()!.trajectory_id),
    },
  ]);

  return (
    <div className="runs" role="grid" aria-label="Runs" aria-rowcount={total + 1}>
      <div className="run head" role="row" aria-rowindex={1}>
        {COLUMNS.map((column) => (
          <Head key={column.name} column={column} sort={props.sort} onSort={props.onSort} />
        ))}
      </div>
      <div className="scroll" ref={box} tabIndex={0} role="rowgroup" aria-label="Rows">
        <div className="sizer" style={{ height: virtual.getTotalSize() }}>
          {drawn.map(({ index, start }) => (
            <Row
              key={rows[index]!.trajectory_id}
              run={rows[index]!}
              index={index}
              top={start}
              height={height}
              isHere={index === at}
              isSelected={props.selected.has(rows[index]!.trajectory_id)}
              onToggle={props.onToggle}
            />
          ))}
        </div>
      </div>
      {isLoading && (
        <p className="more" role="status">
          Loading more …
        </p>
      )}
    </div>
  );
}

function Head(props: { column: Column; sort: string; onSort: (sort: string) => void }) {
  const { column, sort, onSort } = props;
  const className = `cell ${column.name}${column.isNumber ? " number" : ""}`;
  if (!column.sort) {
    return (
      <span className={className} role="columnheader">
        <span className="sr">Selected</span>
      </span>
    );
  }
  const isUp = sort === column.sort;
  const isDown = sort === `-${column.sort}`;
  return (
    <span
      className={className}
      role="columnheader"
      aria-sort={isUp ? "ascending" : isDown ? "descending" : "none"}
    >
      <button type="button" onClick={() => onSort(isDown ? column.sort! : `-${column.sort}`)}>
        {column.label}
        <span aria-hidden="true">{isUp ? " ↑" : isDown ? " ↓" : ""}</span>
      </button>
    </span>
  );
}

function Row(props: {
  run: Run;
  index: number;
  top: number;
  height: number;
  isHere: boolean;
  isSelected: boolean;
  onToggle: (id: string) => void;
}) {
  const { run, isHere, isSelected } = props;
  const task = oneLine(run.task_id ?? run.task ?? run.user_input ?? "");
  const below = preview(run, task);
  const id = run.trajectory_id;
  const tokens =
    run.input_tokens === null && run.output_tokens === null
      ? null
      : (run.input_tokens ?? 0) + (run.output_tokens ?? 0);
  return (
    <div
      className={`run row${isHere ? " here" : ""}${isSelected ? " selected" : ""}`}
      role="row"
      aria-rowindex={props.index + 2}
      aria-selected={isSelected}
      style={{ transform: `translateY(${props.top}px)`, height: props.height }}
    >
      <span className="cell select" role="gridcell">
        <input
          type="checkbox"
          checked={isSelected}
          aria-label={`Select ${task || id}`}
          onChange={() => props.onToggle(id)}
        />
      </span>
      <span className="cell start" role="gridcell" title={run.start_time ?? ""}>
        {moment(run.start_time, new Date())}
      </span>
      <span className="cell agent" role="gridcell" title={oneLine(run.agent_name ?? "")}>
        <bdi>{oneLine(run.agent_name ?? run.service ?? "–")}</bdi>
      </span>
      <span className="cell task" role="gridcell">
        <Link href={`/t/${encodeURIComponent(id)}`} title={task}>
          <bdi>{task || id}</bdi>
        </Link>
        {below && (
          <span className={`preview${below.isError ? " failed" : ""}`}>
            <bdi>{below.text}</bdi>
          </span>
        )}
      </span>
      <span className="cell outcome-cell" role="gridcell">
        <Outcome outcome={run.outcome} source={run.outcome_source} />
        {run.status !== "completed" && run.status !== run.outcome && (
          <span className="muted status"> {run.status}</span>
        )}
      </span>
      <Number name="steps" label="steps" text={count(run.n_steps)} />
      <Number name="tools" label="tools" text={count(run.n_tools)} />
      <Number
        name={`errors${run.n_errors ? " failed" : ""}`}
        label="errors"
        text={run.n_errors === 0 ? "0" : count(run.n_errors)}
      />
      <Number
        name="tokens"
        label="tokens"
        text={count(tokens)}
        {...(tokens === null ? {} : { title: exact(tokens) })}
      />
      <Number name="cost" label="" text={cost(run.cost_usd)} />
      <Number
        name="dur"
        label=""
        text={duration(run.duration_s === null ? null : run.duration_s * 1e6)}
      />
    </div>
  );
}

function Number(props: { name: string; label: string; text: string; title?: string }) {
  return (
    <span className={`cell number ${props.name}`} role="gridcell" title={props.title}>
      {props.text}
      {props.label && <span className="unit"> {props.label}</span>}
    </span>
  );
}

/** The second line: why it failed, else what was asked or answered. */
function preview(run: Run, task: string): { text: string; isError: boolean } | null {
  const error = [run.error_type, run.error_message].filter(Boolean).join(": ");
  if (error) return { text: oneLine(error), isError: true };
  const text = [run.user_input, run.final_answer]
    .map((t) => oneLine(t ?? ""))
    .find((t) => t && t !== task);
  return text ? { text, isError: false } : null;
}
