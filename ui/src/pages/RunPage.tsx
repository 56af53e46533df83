import { useInfiniteQuery, useQueries, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { flushSync } from "react-dom";
import { Link, useLocation } from "wouter";
import {
  ApiError,
  type Found,
  get,
  type Meta,
  type RunHeader,
  runPath,
  type SpanColumns,
  url,
} from "../api/client";
import type { AxisMode, Window } from "../core/axis";
import { cost, count, counted, duration, moment } from "../core/format";
import { oneLine } from "../core/hostile";
import { joined, type Part } from "../core/parts";
import { errorSteps, toSpans } from "../core/spans";
import { useAddress } from "../frame/address";
import { hrefHere } from "../frame/location";
import { useKeys } from "../frame/keys";
import { failure } from "../frame/reach";
import { comparePath } from "../parts/CompareLink";
import { Annotate } from "../parts/Annotate";
import { type Chosen, Detail, Facts } from "../parts/Detail";
import { DoctorPanel } from "../parts/DoctorPanel";
import { Files } from "../parts/Files";
import { FollowedRun } from "../parts/FollowedRun";
import { JsonTree } from "../parts/Json";
import { Menu } from "../parts/Menu";
import { Minimap } from "../parts/Minimap";
import { Outline } from "../parts/Outline";
import { Outcome } from "../parts/Outcome";
import { Loading, Problem } from "../parts/Problem";
import { Steps } from "../parts/Steps";
import { Text } from "../parts/Text";
import { Transcript, transcriptOf } from "../parts/Transcript";
import { CopyButton } from "../parts/Value";
import { Waterfall } from "../parts/Waterfall";
import type { Json } from "../core/json";

const VIEWS = ["transcript", "waterfall", "steps", "files", "raw"] as const;
type View = (typeof VIEWS)[number];

/** Message search asks the server; so long after the last key. */
const PAUSE_MS = 250;

export function RunPage({ id }: { id: string }) {
  const address = useAddress();
  const [, go] = useLocation();
  const view = VIEWS.find((one) => one === address.get("view")) ?? "transcript";
  const span = address.get("span");
  const step = numberOf(address.get("step"));
  const find = address.get("find") ?? "";
  const range = rangeOf(address.get("from"), address.get("to"));
  const mode =
    (["follow", "fit", "full"] as const).find((one) => one === address.get("axis")) ?? "follow";

  const header = useQuery({
    queryKey: ["run", id],
    queryFn: ({ signal }) => get<RunHeader>(runPath(id), {}, signal),
  });
  const failed = failure(header);
  const columns = useQuery({
    queryKey: ["spans", id],
    queryFn: ({ signal }) => get<SpanColumns>(`${runPath(id)}/spans`, {}, signal),
    enabled: !failed,
    structuralSharing: false, // hundreds of thousands of numbers
  });
  const [anchor, setAnchor] = useState(step);
  // Its view shows it; it is asked for here so that it does not wait for the header.
  const reading = useInfiniteQuery({
    ...transcriptOf(id, null, anchor),
    enabled: view === "transcript" && !failed,
    notifyOnChangeProps: ["isPending"],
  });
  const meta = useQuery({
    queryKey: ["meta"],
    queryFn: ({ signal }) => get<Meta>("/meta", {}, signal),
  });
  const below = useBelow(id);
  // What is read comes first: its outline and map take tens of thousands of spans apart.
  const isReading = view === "transcript";
  const isRead = useAfterPaint(!isReading || !reading.isPending);
  const told = isReading && !isRead ? undefined : columns.data;
  const spans = useMemo(
    () => (told ? toSpans(joined(told, below.parts)) : null),
    [told, below.parts],
  );
  const errors = useMemo(() => (spans ? errorSteps(spans) : []), [spans]);
  const inMessages = useFound(id, find, view === "waterfall");

  // A span is named by its id in the address; its row is known once it was clicked or loaded.
  const [rowOf, setRowOf] = useState<ReadonlyMap<string, number>>(new Map());
  const selectedRow = useMemo(() => {
    if (!spans) return -1;
    if (span === null) return step < 0 ? -1 : spans.step.indexOf(step);
    const arrival = rowOf.get(span) ?? (span.length < 16 ? numberOf(span) : -1);
    return arrival < 0 ? -1 : (spans.rowOf[arrival] ?? -1);
  }, [spans, span, step, rowOf]);

  const setView = (next: View) => address.set({ view: next === "transcript" ? null : next });
  const chooseStep = (next: number) => address.set({ step: String(next), span: null }, "replace");
  const chooseSpan = (next: string) => address.set({ span: next, step: null }, "replace");
  const chooseRow = (row: number) => chooseSpan(String(spans!.seq[row]!));
  const close = () => address.set({ span: null, step: null }, "replace");
  const chosen: Chosen | null = span !== null ? { span } : step >= 0 ? { step } : null;

  useKeys([
    ...VIEWS.map((one, i) => ({
      keys: [String(i + 1)],
      label: `View: ${one}`,
      run: () => setView(one),
    })),
    {
      keys: ["/"],
      label: "Find in the run",
      run: () => {
        // At once: the next key is already text.
        if (view !== "waterfall") flushSync(() => setView("waterfall"));
        document.getElementById("find")?.focus();
      },
    },
    {
      keys: ["."],
      label: "Copy the link to what is shown",
      run: () => void navigator.clipboard.writeText(hrefHere()),
    },
    { keys: ["Escape"], label: "Close the details", run: close, isAlways: true },
    { keys: ["u"], label: "Back to the runs", run: () => go("/t") },
  ]);

  if (failed) {
    const isGone = failed instanceof ApiError && failed.status === 404;
    return (
      <main id="main" className="page">
        <title>Not found · otel-traj</title>
        <h1 className="sr">Run</h1>
        <Problem error={failed} onRetry={() => void header.refetch()}>
          {isGone && (
            <p>
              <Link href="/t">All runs</Link>
            </p>
          )}
        </Problem>
      </main>
    );
  }
  const it = header.data;
  if (!it) {
    return (
      <main id="main" className="page">
        <Loading what="the run" />
      </main>
    );
  }
  const task = oneLine(it.task_id ?? it.task ?? it.user_input ?? it.trajectory_id);
  return (
    <main id="main" className="run-page page">
      <title>{`${task.slice(0, 60)} · otel-traj`}</title>
      <Head it={it} task={task} features={meta.data?.features ?? []} />
      <FollowedRun id={id} run={it} />
      {spans && spans.n > 0 && (
        <Minimap
          spans={spans}
          window={range}
          onRange={(next) =>
            address.set(
              next
                ? { from: String(next.from), to: String(next.to), view: "waterfall" }
                : { from: null, to: null },
            )
          }
          onPoint={(at) => {
            const row = stepAt(spans.start, spans.step, at);
            if (row >= 0) chooseStep(spans.step[row]!);
          }}
        />
      )}
      <div className="tabs views" role="tablist" aria-label="Views">
        {VIEWS.map((one, i) => (
          <button
            key={one}
            type="button"
            role="tab"
            id={`tab-${one}`}
            aria-selected={view === one}
            aria-controls="view"
            onClick={() => setView(one)}
          >
            <kbd aria-hidden="true">{i + 1}</kbd> {one}
          </button>
        ))}
      </div>
      <div className={`split${chosen ? " has-detail" : ""}`}>
        <div id="view" className="view" role="tabpanel" aria-labelledby={`tab-${view}`}>
          {view === "transcript" && (
            <div className="reading">
              {spans && spans.n > 0 && (
                <Outline
                  spans={spans}
                  selected={stepOf(step, spans, selectedRow)}
                  onSelect={chooseStep}
                />
              )}
              {!spans && !columns.isError && <div className="outline" aria-hidden="true" />}
              <Transcript
                run={id}
                selected={stepOf(step, spans, selectedRow)}
                anchor={anchor}
                errors={errors}
                onSelect={chooseStep}
                onAnchor={setAnchor}
              />
            </div>
          )}
          {view === "steps" && (
            <Steps run={id} selected={stepOf(step, spans, selectedRow)} onSelect={chooseStep} />
          )}
          {view === "files" && (
            <Files
              run={id}
              path={address.get("path")}
              step={numberOf(address.get("change"))}
              onChoose={(path, change) =>
                address.set({ path, change: change < 0 ? null : String(change) }, "replace")
              }
              onStep={chooseStep}
            />
          )}
          {view === "raw" && <Raw it={it} isRedacted={meta.data?.is_redacted ?? false} />}
          {view === "waterfall" &&
            (failure(columns) ? (
              <Problem error={columns.error} onRetry={() => void columns.refetch()} />
            ) : !spans ? (
              <Loading what="spans" />
            ) : spans.n === 0 ? (
              <div className="empty">
                <h2>Its spans are not kept any more</h2>
                <p>The transcript and the steps are.</p>
              </div>
            ) : (
              <Waterfall
                spans={spans}
                below={below}
                selected={selectedRow}
                find={find}
                inMessages={inMessages}
                mode={mode}
                range={range}
                onSelect={chooseRow}
                onMode={(next: AxisMode) =>
                  address.set(
                    { axis: next === "follow" ? null : next, from: null, to: null },
                    "replace",
                  )
                }
                onRange={(next) =>
                  address.set(
                    {
                      from: next && String(Math.round(next.from)),
                      to: next && String(Math.round(next.to)),
                    },
                    "replace",
                  )
                }
                onFind={(text) => address.set({ find: text }, "replace")}
              />
            ))}
        </div>
        {chosen && (
          <Detail
            run={id}
            chosen={chosen}
            onSpan={chooseSpan}
            onStep={chooseStep}
            onNamed={(name, row) => {
              setRowOf((known) => new Map(known).set(name, row));
              if (name !== span) chooseSpan(name);
            }}
            onClose={close}
          />
        )}
      </div>
    </main>
  );
}

function Head({
  it,
  task,
  features,
}: {
  it: RunHeader;
  task: string;
  features: readonly string[];
}) {
  const facts = [
    counted(it.n_steps, "step"),
    counted(it.n_tools, "tool call"),
    it.n_errors ? counted(it.n_errors, "error") : null,
    it.input_tokens === null ? null : `${count(it.input_tokens)}→${count(it.output_tokens)} tokens`,
    it.cost_usd === null ? null : cost(it.cost_usd),
    duration(it.duration_s === null ? null : it.duration_s * 1e6),
  ].filter((fact) => fact !== null);
  const nFlags = it.flags.reduce((sum, { flags }) => sum + flags.length, 0);
  const failure =
    [it.error_type, it.error_message].filter(Boolean).join(": ") || it.failure_rationale;
  return (
    <header className="run-head">
      <div className="run-title">
        <Outcome outcome={it.outcome} source={it.outcome_source} />
        <h1 title={task}>
          {it.agent_name && (
            <span className="muted">
              <Text text={it.agent_name} /> ·{" "}
            </span>
          )}
          <bdi>{task}</bdi>
        </h1>
        <span className="grow" />
        <CopyButton text={hrefHere()} of="what is shown" name="copy link" />
        <Link
          href={comparePath(it.trajectory_id)}
          className="button"
          title="With the nearest success of this task"
        >
          Compare
        </Link>
        {features.includes("export") && (
          <Menu label="Export">
            <ul>
              {Object.entries(EXPORTS).map(([format, name]) => (
                <li key={format}>
                  <a
                    href={url(`/export/${encodeURIComponent(it.trajectory_id)}`, { format })}
                    download
                  >
                    {name}
                  </a>
                </li>
              ))}
            </ul>
          </Menu>
        )}
        <Annotate run={it.trajectory_id} />
        <Menu
          isWide
          label={
            <>Doctor{it.coverage.grade && <span className="grade"> {it.coverage.grade}</span>}</>
          }
        >
          <DoctorPanel run={it.trajectory_id} header={it} />
        </Menu>
      </div>
      <p className="run-facts">
        <span>{facts.join(" · ")}</span>
        {it.reward !== null && <span>reward {it.reward}</span>}
        {nFlags > 0 && <span className="warn">⚑ {counted(nFlags, "flag")}</span>}
        <span className="muted">{moment(it.start_time, new Date())}</span>
        {it.status !== "completed" && <span className="muted">{it.status}</span>}
        {it.related.slice(0, 6).map((other) => (
          <Link
            key={`${other.how}-${other.trajectory_id}`}
            href={`/t/${encodeURIComponent(other.trajectory_id)}`}
          >
            {other.relation ?? HOW[other.how]}
          </Link>
        ))}
      </p>
      {failure && (
        <p className="banner failed">
          ✗ <Text text={failure} />
        </p>
      )}
    </header>
  );
}

const EXPORTS: Readonly<Record<string, string>> = {
  html: "One page of HTML, to share",
  chrome: "Chrome trace, for Perfetto",
  otlp: "OTLP, as JSON",
  jaeger: "Jaeger, as JSON",
};

const HOW: Readonly<Record<string, string>> = {
  parent: "made from",
  child: "made of it",
  conversation: "same conversation",
  task: "same task",
};

function Raw({ it, isRedacted }: { it: RunHeader; isRedacted: boolean }) {
  const text = useMemo(() => JSON.stringify(it, null, 1), [it]);
  return (
    <div className="scroll raw">
      <Facts
        of={[
          ["trajectory", it.trajectory_id],
          ["traces", it.trace_ids.join(", ")],
          ["service", it.service],
          ["conversation", it.conversation_id],
          ["session", it.session_id],
          ["user", it.user_id],
          ["models", it.models.join(", ")],
          ["tools", it.tools.join(", ")],
          ["prompt version", it.prompt_version],
          ["variant", it.variant_id],
        ]}
      />
      <p className="muted">
        Attributes, events, links and logs stand with each span: choose one in the waterfall.
        {isRedacted && " Secrets are replaced in all that is shown and exported."}
      </p>
      <p>
        <CopyButton text={text} of="the run as JSON" name="copy all" />{" "}
        <a href={url(runPath(it.trajectory_id))} download={`${it.trajectory_id}.json`}>
          save
        </a>
      </p>
      <JsonTree value={it as unknown as Json} label="The run" />
    </div>
  );
}

interface Below {
  readonly parts: readonly Part[];
  /** numbers of rows of which more is being loaded; -1 is the run itself */
  readonly loading: ReadonlySet<number>;
  readonly error: Error | null;
  readonly load: (wanted: { under: number; from: number }) => void;
}

/** Of a run with too many spans for one answer: what is below some rows, as it is asked for. */
/** From when something is on screen for the first time. */
function useAfterPaint(isDrawn: boolean): boolean {
  const [isPainted, setPainted] = useState(false);
  useEffect(() => {
    if (!isDrawn || isPainted) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const frame = requestAnimationFrame(() => (timer = setTimeout(() => setPainted(true))));
    return () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
    };
  }, [isDrawn, isPainted]);
  return isPainted;
}

function useBelow(id: string): Below {
  const [wanted, setWanted] = useState<readonly { under: number; from: number }[]>([]);
  const combine = useCallback(
    (found: UseQueryResult<SpanColumns>[]) => ({
      parts: wanted.flatMap(({ under }, i) => {
        const columns = found[i]?.data;
        return columns ? [{ under, columns }] : [];
      }),
      loading: new Set(wanted.flatMap(({ under }, i) => (found[i]?.isLoading ? [under] : []))),
      error: found.find((one) => one.isError)?.error ?? null,
    }),
    [wanted],
  );
  const found = useQueries({
    queries: wanted.map((asked) => ({
      queryKey: ["spans", id, asked.under, asked.from],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        get<SpanColumns>(`${runPath(id)}/spans`, asked, signal),
      staleTime: Number.POSITIVE_INFINITY,
      structuralSharing: false,
    })),
    combine,
  });
  const load = useCallback((asked: { under: number; from: number }) => {
    setWanted((now) =>
      now.some(({ under, from }) => under === asked.under && from === asked.from)
        ? now
        : [...now, asked],
    );
  }, []);
  return { ...found, load };
}

/** Rows, by arrival, with a text in their messages; null until the server has said. */
function useFound(id: string, text: string, isAsked: boolean): readonly number[] | null {
  const [asked, setAsked] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const found = useQuery({
    queryKey: ["find", id, asked],
    queryFn: ({ signal }) => get<Found>("/find", { id, q: asked.trim() }, signal),
    enabled: isAsked && asked.trim().length > 1,
  });
  return useMemo(
    () => found.data?.matches.flatMap(({ row }) => (row === null ? [] : [row])) ?? null,
    [found.data],
  );
}

function numberOf(text: string | null): number {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : -1;
}

function rangeOf(from: string | null, to: string | null): Window | null {
  const [low, high] = [Number(from ?? Number.NaN), Number(to ?? Number.NaN)];
  return low >= 0 && high > low ? { from: low, to: high } : null;
}

/** The step that is chosen, also where its span is. */
function stepOf(step: number, spans: { step: Int32Array } | null, row: number): number {
  return step >= 0 || !spans || row < 0 ? step : spans.step[row]!;
}

/** The row of the step that began last before a time. */
function stepAt(start: Float64Array, steps: Int32Array, at: number): number {
  let found = -1;
  for (let row = 0; row < start.length; row++) {
    if (steps[row]! < 0 || start[row]! > at) continue;
    if (found < 0 || start[row]! >= start[found]!) found = row;
  }
  return found;
}
