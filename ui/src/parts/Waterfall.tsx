import { memo, useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import {
  type AxisMode,
  fitWindow,
  followWindow,
  fullWindow,
  panned,
  ticks,
  type Window,
  zoomed,
} from "../core/axis";
import { criticalPath, drawnSegments, type Segment } from "../core/criticalPath";
import { cost, count, counted, duration } from "../core/format";
import { oneLine } from "../core/hostile";
import { familyOf, signOf } from "../core/kinds";
import { leftOutOnTop, nextBelow } from "../core/parts";
import {
  ancestors,
  branches,
  DEEPEST_INDENT,
  isLeaf,
  nextMarked,
  placeOf,
  subtreeCounts,
  subtreeSums,
  visibleRows,
} from "../core/rows";
import { count as countMarks, matches } from "../core/search";
import { labelOf, type Spans } from "../core/spans";
import { useFixedRows } from "../frame/fixedRows";
import { useKeys } from "../frame/keys";
import { useIsNarrow } from "../frame/media";
import { useSettings } from "../frame/settings";

const INDENT = 14;
/** A bar is never narrower, or what is short could not be seen; in percent. */
const NARROWEST = 0.25;
/** So far apart are parts of the critical path that are told apart, on any screen. */
const PIXELS = 200;

interface Props {
  readonly spans: Spans;
  /** of a run that is not loaded whole: numbers of rows that more is loaded of, and the way to it */
  readonly below: {
    readonly loading: ReadonlySet<number>;
    readonly error: Error | null;
    readonly load: (wanted: { under: number; from: number }) => void;
  };
  readonly selected: number;
  readonly find: string;
  /** by arrival: spans with the text in their messages, as far as the server has said */
  readonly inMessages: readonly number[] | null;
  readonly mode: AxisMode;
  /** chosen by hand; overrules the mode */
  readonly range: Window | null;
  readonly onSelect: (row: number) => void;
  readonly onMode: (mode: AxisMode) => void;
  readonly onRange: (range: Window | null) => void;
  readonly onFind: (text: string) => void;
}

/** Spans as a tree beside their bars. Only rows on screen are drawn. */
export function Waterfall(props: Props) {
  const { spans, selected, find, inMessages, mode, range, onSelect, onMode, onRange } = props;
  const [collapsed, setCollapsed] = useState<ReadonlySet<number>>(new Set());
  const [hasPath, setPath] = useState(true);
  const [isSum, setSum] = useState(true);
  const visible = useMemo(() => visibleRows(spans, collapsed), [spans, collapsed]);
  const found = useMemo(() => matches(spans, find, inMessages), [spans, find, inMessages]);
  // After the first rows: of 100,000 spans it takes longer than they do.
  const settled = useDeferredValue(spans, null);
  const path = useMemo(() => (settled === spans ? byRow(criticalPath(spans)) : NO_PATH), [settled]);
  const sums = useMemo(() => subtreeSums(spans, spans.costUsd), [spans]);
  const errors = useMemo(() => subtreeCounts(spans, spans.hasError), [spans]);
  const hasCost = useMemo(() => spans.costUsd.some((value) => !Number.isNaN(value)), [spans]);

  const box = useRef<HTMLDivElement>(null);
  const isNarrow = useIsNarrow();
  const { density } = useSettings();
  const height = isNarrow ? 40 : density === "compact" ? 24 : 30;
  const rows = useFixedRows(box, visible.length, height);
  const whole = fullWindow(spans);
  const shown =
    range ??
    (mode === "full"
      ? whole
      : mode === "fit"
        ? fitWindow(spans)
        : followWindow(spans, visible, rows.first, rows.last));

  // What is selected from elsewhere is shown: opened, and scrolled to.
  useEffect(() => {
    if (selected < 0) return;
    const hidden = ancestors(spans, selected).filter((row) => collapsed.has(row));
    if (hidden.length > 0) {
      setCollapsed(new Set([...collapsed].filter((row) => !hidden.includes(row))));
      return;
    }
    rows.show(placeOf(visible, selected));
  }, [selected, spans, visible, height]);

  const place = selected < 0 ? -1 : placeOf(visible, selected);
  const go = (to: number) => {
    const row = visible[Math.min(Math.max(to, 0), visible.length - 1)];
    if (row !== undefined) onSelect(row);
  };
  const fold = useCallback((row: number, isFolded: boolean) => {
    setCollapsed((now) => {
      const next = new Set(now);
      if (isFolded) next.add(row);
      else next.delete(row);
      return next;
    });
  }, []);
  const choose = useLatest(onSelect);
  const { below } = props;
  const load = useLatest((row: number) => below.load(nextBelow(spans, row)));
  const nOnTop = useMemo(() => leftOutOnTop(spans), [spans]);
  const jump = (marks: Uint8Array, direction: 1 | -1) => {
    const row = nextMarked(marks, Math.max(selected, 0), direction);
    if (row >= 0) onSelect(row);
  };
  const onPage = Math.max(rows.last - rows.first - 1, 1);
  const left = () => {
    if (selected < 0) return;
    if (!isLeaf(spans, selected) && !collapsed.has(selected)) fold(selected, true);
    else if (spans.parent[selected]! >= 0) onSelect(spans.parent[selected]!);
  };
  const right = () => {
    if (selected < 0) return;
    if (collapsed.has(selected)) fold(selected, false);
    else if (isLeaf(spans, selected) && spans.leftOut[selected]! > 0) load(selected);
    else if (!isLeaf(spans, selected)) go(place + 1);
  };
  useKeys([
    { keys: ["j", "ArrowDown"], label: "Next span", run: () => go(place + 1) },
    { keys: ["k", "ArrowUp"], label: "Span before", run: () => go(place - 1) },
    { keys: ["h", "ArrowLeft"], label: "Fold, or to the parent", run: left },
    { keys: ["l", "ArrowRight"], label: "Unfold, or to the first child", run: right },
    { keys: ["Home"], label: "First span", run: () => go(0), isAlways: true },
    { keys: ["End"], label: "Last span", run: () => go(visible.length - 1), isAlways: true },
    { keys: ["PageDown"], label: "Down a page", run: () => go(place + onPage), isAlways: true },
    { keys: ["PageUp"], label: "Up a page", run: () => go(place - onPage), isAlways: true },
    { keys: ["e"], label: "Next error", run: () => jump(spans.hasError, 1) },
    { keys: ["E"], label: "Error before", run: () => jump(spans.hasError, -1) },
    { keys: ["n"], label: "Next match", run: () => jump(found, 1) },
    { keys: ["N"], label: "Match before", run: () => jump(found, -1) },
    {
      keys: ["z"],
      label: "Zoom to the span",
      run: () => {
        if (selected < 0) return;
        const [from, to] = [spans.start[selected]!, spans.stop[selected]!];
        const margin = Math.max((to - from) * 0.05, 500);
        onRange({ from: Math.max(from - margin, 0), to: Math.min(to + margin, whole.to) });
      },
    },
    { keys: ["f"], label: "Time axis follows the rows", run: () => onMode("follow") },
    { keys: ["0"], label: "Time axis: the whole run", run: () => onMode("full") },
    { keys: ["+", "="], label: "Zoom in", run: () => onRange(zoomed(shown, 0.5, 0.5, whole)) },
    { keys: ["-"], label: "Zoom out", run: () => onRange(zoomed(shown, 2, 0.5, whole)) },
    { keys: ["a"], label: "Earlier", run: () => onRange(panned(shown, -0.25, whole)) },
    { keys: ["d"], label: "Later", run: () => onRange(panned(shown, 0.25, whole)) },
  ]);

  // Zoom with Ctrl and the wheel about the pointer; React's own listener could not hold it back.
  const head = useRef<HTMLDivElement>(null);
  const now = useRef({ shown, whole, onRange });
  now.current = { shown, whole, onRange };
  useEffect(() => {
    const element = box.current!;
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const axis = head.current!.getBoundingClientRect();
      const about = Math.min(Math.max((event.clientX - axis.left) / axis.width, 0), 1);
      const { shown, whole, onRange } = now.current;
      onRange(zoomed(shown, event.deltaY > 0 ? 1.25 : 0.8, about, whole));
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, []);

  const nFound = find ? countMarks(found) : 0;
  return (
    <div className="waterfall">
      <div className="view-tools" role="toolbar" aria-label="Waterfall">
        <fieldset className="axis">
          <legend className="sr">Time axis</legend>
          {(["follow", "fit", "full"] as const).map((one) => (
            <label key={one} title={AXES[one]}>
              <input
                type="radio"
                name="axis"
                checked={range === null && mode === one}
                onChange={() => onMode(one)}
              />
              {one}
            </label>
          ))}
        </fieldset>
        {range && (
          <button type="button" onClick={() => onRange(null)}>
            {duration(range.to - range.from)} chosen ×
          </button>
        )}
        <button
          type="button"
          aria-pressed={collapsed.size > 0}
          onClick={() => setCollapsed(collapsed.size > 0 ? new Set() : foldable(spans))}
        >
          {collapsed.size > 0 ? "Unfold all" : "Fold all"}
        </button>
        <label>
          <input type="checkbox" checked={hasPath} onChange={() => setPath(!hasPath)} /> critical
          path
        </label>
        {hasCost && (
          <label title="Of each span with all below it, or of the span alone">
            <input type="checkbox" checked={isSum} onChange={() => setSum(!isSum)} /> sums of
            subtrees
          </label>
        )}
        {spans.n < spans.nOfRun && (
          <span className="muted" role="status">
            {count(spans.n)} of {counted(spans.nOfRun, "span")} loaded
            {below.loading.size > 0 && " · loading …"}
            {below.error && <span className="failed"> · {below.error.message}</span>}
          </span>
        )}
        {nOnTop > 0 && (
          <button type="button" className="link" onClick={() => load(-1)}>
            load {count(nOnTop)} more at the top
          </button>
        )}
        <span className="grow" />
        <FindBox
          text={find}
          found={nFound}
          onFind={props.onFind}
          onNext={(by) => jump(found, by)}
        />
      </div>
      <div
        className={`tree${hasCost ? " has-cost" : ""}`}
        role="treegrid"
        aria-label="Spans"
        aria-rowcount={visible.length + 1}
        aria-activedescendant={selected >= 0 ? `span-${selected}` : undefined}
        tabIndex={0}
      >
        <div className="span-row head" role="row" aria-rowindex={1}>
          {hasCost && (
            <span role="columnheader" className="span-cost">
              {isSum ? "Σ cost" : "cost"}
            </span>
          )}
          <span role="columnheader" className="span-name">
            Span
          </span>
          <span role="columnheader" className="span-bars" ref={head} aria-label="Time">
            {ticks(shown, isNarrow ? 3 : 6).map((at) => (
              <span key={at} className="tick" style={{ left: `${percent(at, shown)}%` }}>
                {duration(at)}
              </span>
            ))}
          </span>
        </div>
        <div className="scroll" ref={box} role="rowgroup">
          <div className="sizer" style={{ height: rows.total }}>
            {rows.drawn.map(({ place, slot }) => {
              const row = visible[place]!;
              return (
                <SpanRow
                  key={slot}
                  spans={spans}
                  row={row}
                  place={place}
                  height={height}
                  from={shown.from}
                  to={shown.to}
                  isSelected={row === selected}
                  isFound={found[row] === 1}
                  isCollapsed={collapsed.has(row)}
                  nErrors={errors[row]!}
                  cost={hasCost ? (isSum ? sums[row]! : spans.costUsd[row]!) : null}
                  path={hasPath ? path.get(row) : undefined}
                  onSelect={choose}
                  onFold={fold}
                  onLoad={load}
                />
              );
            })}
          </div>
        </div>
      </div>
    </div>
  );
}

const NO_PATH: ReadonlyMap<number, readonly Segment[]> = new Map();

/** The same function all along that calls the newest one: what is drawn stays as it is. */
function useLatest<T>(run: (value: T) => void): (value: T) => void {
  const newest = useRef(run);
  newest.current = run;
  return useCallback((value: T) => newest.current(value), []);
}

const AXES: Readonly<Record<AxisMode, string>> = {
  follow: "The time that the rows on screen cover",
  fit: "From the first step to the last",
  full: "The whole run",
};

interface RowProps {
  readonly spans: Spans;
  readonly row: number;
  readonly place: number;
  readonly height: number;
  readonly from: number;
  readonly to: number;
  readonly isSelected: boolean;
  readonly isFound: boolean;
  readonly isCollapsed: boolean;
  readonly nErrors: number;
  readonly cost: number | null;
  readonly path: readonly Segment[] | undefined;
  readonly onSelect: (row: number) => void;
  readonly onFold: (row: number, isFolded: boolean) => void;
  readonly onLoad: (row: number) => void;
}

const SpanRow = memo(function SpanRow(props: RowProps) {
  const { spans, row, isSelected, isCollapsed } = props;
  return (
    <div
      id={`span-${row}`}
      className={`span-row${isSelected ? " here" : ""}${props.isFound ? " found" : ""}`}
      role="row"
      aria-level={spans.depth[row]! + 1}
      aria-rowindex={props.place + 2}
      aria-expanded={isLeaf(spans, row) ? undefined : !isCollapsed}
      aria-selected={isSelected}
      style={{ top: props.place * props.height, height: props.height }}
      onClick={() => props.onSelect(row)}
    >
      {props.cost !== null && (
        <span role="gridcell" className="span-cost">
          {Number.isNaN(props.cost) ? "" : cost(props.cost)}
        </span>
      )}
      <Name
        spans={spans}
        row={row}
        isCollapsed={isCollapsed}
        nErrors={props.nErrors}
        onFold={props.onFold}
        onLoad={props.onLoad}
      />
      <Bar spans={spans} row={row} from={props.from} to={props.to} path={props.path} />
    </div>
  );
});

/** What a row is; stays as it is while only the time axis moves. */
const Name = memo(function Name(
  props: Pick<RowProps, "spans" | "row" | "isCollapsed" | "nErrors" | "onFold" | "onLoad">,
) {
  const { spans, row, isCollapsed } = props;
  const kind = labelOf(spans.kind, row);
  const name = oneLine(labelOf(spans.name, row) ?? "");
  const about = oneLine(labelOf(spans.tool, row) ?? labelOf(spans.model, row) ?? "");
  const error = spans.errors.get(row);
  const depth = spans.depth[row]!;
  const hasChildren = !isLeaf(spans, row);
  return (
    <span
      role="gridcell"
      className="span-name"
      style={{ paddingLeft: Math.min(depth, DEEPEST_INDENT) * INDENT }}
    >
      <button
        type="button"
        tabIndex={-1}
        className="fold"
        aria-hidden={!hasChildren}
        aria-label={hasChildren ? (isCollapsed ? "Unfold" : "Fold") : undefined}
        disabled={!hasChildren}
        onClick={(event) => {
          event.stopPropagation();
          props.onFold(row, !isCollapsed);
        }}
      >
        {hasChildren ? (isCollapsed ? "▸" : "▾") : ""}
      </button>
      {depth > DEEPEST_INDENT && <span className="muted deep">{depth}</span>}
      <span
        className={`kind ${familyOf(kind)}`}
        title={kind ?? ""}
        aria-label={kind ?? ""}
        role="img"
      >
        {signOf(kind)}
      </span>
      <span className="span-title" title={about ? `${name} · ${about}` : name}>
        <bdi>{name || "(no name)"}</bdi>
        {about && !name.includes(about) && <span className="muted"> {about}</span>}
      </span>
      {error !== undefined ? (
        <span className="failed badge" title={oneLine(error)}>
          ✗<span className="sr"> failed: {oneLine(error)}</span>
        </span>
      ) : (
        isCollapsed && props.nErrors > 0 && <span className="failed badge">✗ {props.nErrors}</span>
      )}
      {spans.hasFlag[row] === 1 && (
        <span className="badge warn" title="A security flag">
          ⚑<span className="sr"> security flag</span>
        </span>
      )}
      {isCollapsed && <span className="muted badge">+{count(spans.end[row]! - row - 1)}</span>}
      {!Number.isNaN(spans.leftOut[row]!) && (
        <button
          type="button"
          tabIndex={-1}
          className="link badge"
          onClick={(event) => {
            event.stopPropagation();
            props.onLoad(row);
          }}
        >
          load {count(spans.leftOut[row]!)} more
        </button>
      )}
    </span>
  );
});

/** When a row was, on the time axis. */
const Bar = memo(function Bar(props: Pick<RowProps, "spans" | "row" | "from" | "to" | "path">) {
  const { spans, row, from, to, path } = props;
  const shown = { from, to };
  const [start, stop] = [spans.start[row]!, spans.stop[row]!];
  const length = duration(stop - start);
  const [left, right] = [clamp(percent(start, shown)), clamp(percent(stop, shown))];
  const isFailed = spans.hasError[row] === 1;
  return (
    <span role="gridcell" className="span-bars" title={`${length}, from ${duration(start)}`}>
      <span
        className={`span-bar ${familyOf(labelOf(spans.kind, row))}${isFailed ? " bad" : ""}${spans.isOpen[row] ? " open" : ""}`}
        style={{ left: `${left}%`, width: `${Math.max(right - left, NARROWEST)}%` }}
      />
      {path &&
        drawnSegments(path, shown, PIXELS).map((part) => (
          <span
            key={part.from}
            className="critical"
            style={{
              left: `${clamp(percent(part.from, shown))}%`,
              width: `${Math.max(clamp(percent(part.to, shown)) - clamp(percent(part.from, shown)), 0)}%`,
            }}
          />
        ))}
      <span
        className="span-length"
        style={left < 70 ? { left: `${right}%` } : { right: `${100 - left}%` }}
      >
        {length}
      </span>
    </span>
  );
});

export function FindBox(props: {
  text: string;
  found: number;
  onFind: (text: string) => void;
  onNext: (by: 1 | -1) => void;
}) {
  const [text, setText] = useState(props.text);
  const input = useRef<HTMLInputElement>(null);
  // What is being typed is newer than what the address has.
  useEffect(() => {
    if (document.activeElement !== input.current) setText(props.text);
  }, [props.text]);
  return (
    <span className="find">
      <input
        ref={input}
        id="find"
        type="text"
        aria-label="Find in the run"
        placeholder="find"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          props.onFind(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") props.onNext(event.shiftKey ? -1 : 1);
          else if (event.key === "Escape") event.currentTarget.blur();
          else return;
          event.preventDefault();
        }}
      />
      <span className="muted" role="status">
        {props.text && `${count(props.found)} found`}
      </span>
    </span>
  );
}

/** All but the roots; these too where nothing else can be folded. */
function foldable(spans: Spans): Set<number> {
  const below = branches(spans, 1);
  return below.size > 0 ? below : branches(spans);
}

function byRow(path: readonly Segment[]): Map<number, Segment[]> {
  const found = new Map<number, Segment[]>();
  for (const segment of path) {
    const known = found.get(segment.row);
    if (known) known.push(segment);
    else found.set(segment.row, [segment]);
  }
  return found;
}

function percent(at: number, window: Window): number {
  return (100 * (at - window.from)) / Math.max(window.to - window.from, 1e-9);
}

function clamp(share: number): number {
  return Math.min(Math.max(share, 0), 100);
}
