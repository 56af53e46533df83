import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef } from "react";
import { get, runPath, type StepPage, type StepRow } from "../api/client";
import { cost, count, duration } from "../core/format";
import { oneLine } from "../core/hostile";
import { familyOf, signOf } from "../core/kinds";
import { useKeys } from "../frame/keys";
import { useIsNarrow } from "../frame/media";
import { failure } from "../frame/reach";
import { Loading, Problem } from "./Problem";
import { RewardPlot } from "./RewardPlot";

const PAGE = 1000;

interface Props {
  readonly run: string;
  readonly selected: number;
  readonly onSelect: (step: number) => void;
}

/** One line a step: action, reward, files, flags, error, tests, tokens, cost and time. */
export function Steps({ run, selected, onSelect }: Props) {
  const pages = useInfiniteQuery({
    queryKey: ["steps", run],
    queryFn: ({ pageParam, signal }) =>
      get<StepPage>(
        `${runPath(run)}/steps`,
        { from: pageParam === 0 ? null : pageParam, limit: PAGE },
        signal,
      ),
    initialPageParam: 0,
    getNextPageParam: (page) => page.next,
  });
  const rows = useMemo(() => pages.data?.pages.flatMap((page) => page.rows) ?? [], [pages.data]);
  const { hasNextPage, isFetchingNextPage, isError, fetchNextPage } = pages;
  // The plot and the way to any step want them all; a line is small.
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && !isError) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, isError, fetchNextPage, rows.length]);

  const box = useRef<HTMLDivElement>(null);
  const isNarrow = useIsNarrow();
  const height = isNarrow ? 52 : 30;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => height,
    overscan: 8,
  });
  useEffect(() => virtual.measure(), [height, virtual]);
  const at = rows.findIndex(({ step }) => step === selected);
  useEffect(() => {
    if (at >= 0) virtual.scrollToIndex(at, { align: "auto" });
  }, [at]);
  const go = (to: number) => {
    const row = rows[Math.min(Math.max(to, 0), rows.length - 1)];
    if (row) onSelect(row.step);
  };
  const error = (by: 1 | -1) => {
    for (let i = at + by; i >= 0 && i < rows.length; i += by) {
      if (rows[i]!.status === "error") return go(i);
    }
  };
  useKeys([
    { keys: ["j", "ArrowDown", "]"], label: "Next step", run: () => go(at + 1) },
    { keys: ["k", "ArrowUp", "["], label: "Step before", run: () => go(at - 1) },
    { keys: ["e"], label: "Next error", run: () => error(1) },
    { keys: ["E"], label: "Error before", run: () => error(-1) },
  ]);
  const failed = failure(pages);
  if (failed) return <Problem error={failed} onRetry={() => void pages.refetch()} />;
  if (pages.isPending) return <Loading what="steps" />;
  const has = {
    reward: rows.some((row) => row.reward !== null || row.cumulative_reward !== null),
    files: rows.some((row) => row.n_files > 0),
    tests: rows.some((row) => row.test_pass_rate !== null),
    cost: rows.some((row) => row.cost_usd !== null),
  };
  return (
    <div className="steps">
      {has.reward && <RewardPlot rows={rows} selected={selected} onSelect={onSelect} />}
      <div className="step-table" role="grid" aria-label="Steps" aria-rowcount={rows.length + 1}>
        <div className="step-row head" role="row" aria-rowindex={1}>
          <span role="columnheader" className="no">
            #
          </span>
          <span role="columnheader" className="what">
            Action
          </span>
          <span role="columnheader" className="why">
            What it said
          </span>
          {has.reward && <span role="columnheader">Reward</span>}
          {has.files && <span role="columnheader">Files</span>}
          {has.tests && <span role="columnheader">Tests</span>}
          <span role="columnheader">Tokens</span>
          {has.cost && <span role="columnheader">Cost</span>}
          <span role="columnheader">Time</span>
        </div>
        <div className="scroll" ref={box} role="rowgroup" tabIndex={0} aria-label="Rows">
          <div className="sizer" style={{ height: virtual.getTotalSize() }}>
            {virtual.getVirtualItems().map(({ index, start }) => (
              <Line
                key={rows[index]!.step}
                row={rows[index]!}
                has={has}
                index={index}
                isHere={index === at}
                top={start}
                height={height}
                onSelect={onSelect}
              />
            ))}
          </div>
        </div>
      </div>
    </div>
  );
}

function Line(props: {
  row: StepRow;
  has: { reward: boolean; files: boolean; tests: boolean; cost: boolean };
  index: number;
  isHere: boolean;
  top: number;
  height: number;
  onSelect: (step: number) => void;
}) {
  const { row, has } = props;
  const isFailed = row.status === "error";
  const said = isFailed
    ? [row.error_type, row.error_message].filter(Boolean).join(": ")
    : (row.preview ?? "");
  return (
    <div
      className={`step-row${props.isHere ? " here" : ""}`}
      role="row"
      aria-rowindex={props.index + 2}
      aria-selected={props.isHere}
      style={{ transform: `translateY(${props.top}px)`, height: props.height }}
      onClick={() => props.onSelect(row.step)}
    >
      <span role="gridcell" className="no muted">
        {row.step}
      </span>
      <span role="gridcell" className="what" style={{ paddingLeft: depthOf(row) * 12 }}>
        <span className={`kind ${familyOf(row.kind)}`} role="img" aria-label={row.kind}>
          {signOf(row.kind)}
        </span>{" "}
        <bdi>{oneLine(row.action ?? row.kind)}</bdi>
      </span>
      <span
        role="gridcell"
        className={`why${isFailed ? " failed" : " muted"}`}
        title={oneLine(said)}
      >
        {isFailed && "✗ "}
        {row.security_flags.length > 0 && (
          <span className="warn">⚑ {row.security_flags.map(oneLine).join(", ")} </span>
        )}
        <bdi>{oneLine(said)}</bdi>
      </span>
      {has.reward && (
        <span role="gridcell" className="number">
          {row.reward === null ? "" : round(row.reward)}
          {row.cumulative_reward !== null && (
            <span className="muted"> Σ {round(row.cumulative_reward)}</span>
          )}
        </span>
      )}
      {has.files && (
        <span role="gridcell" className="number">
          {row.n_files > 0 && `${row.n_files} +${row.added ?? "?"} −${row.removed ?? "?"}`}
        </span>
      )}
      {has.tests && (
        <span role="gridcell" className="number">
          {row.test_pass_rate !== null && `${Math.round(row.test_pass_rate * 100)} %`}
        </span>
      )}
      <span role="gridcell" className="number">
        {row.input_tokens === null && row.output_tokens === null
          ? ""
          : `${count(row.input_tokens)}→${count(row.output_tokens)}`}
      </span>
      {has.cost && (
        <span role="gridcell" className="number">
          {row.cost_usd === null ? "" : cost(row.cost_usd)}
        </span>
      )}
      <span role="gridcell" className="number">
        {duration(row.duration_us)}
      </span>
    </div>
  );
}

function depthOf(row: StepRow): number {
  return Math.min((row.agent_path ?? "").split("/").length - 1, 6);
}

function round(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
