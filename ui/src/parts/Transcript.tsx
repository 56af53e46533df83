import { infiniteQueryOptions, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import {
  get,
  type Piece,
  runPath,
  type StepDetail,
  type Text as Told,
  type Transcript as Page,
  type TranscriptAgent,
  type TranscriptStep,
} from "../api/client";
import { cost, count, counted, duration } from "../core/format";
import { familyOf, signOf } from "../core/kinds";
import { useKeys } from "../frame/keys";
import { failure } from "../frame/reach";
import { Loading, Problem } from "./Problem";
import { Text } from "./Text";
import { Media, Value } from "./Value";

const FIRST_PAGE = 100;
const LARGEST_PAGE = 1000;
/** How near to the end of what is loaded more is asked for, in items. */
const NEAR_END = 20;
const GUESS = 120;

interface Props {
  readonly run: string;
  /** -1: none */
  readonly selected: number;
  /** the step about which it is loaded; -1: from the top */
  readonly anchor: number;
  /** steps that failed, in order; those that are loaded are known here */
  readonly errors: readonly number[];
  readonly onSelect: (step: number) => void;
  readonly onAnchor: (step: number) => void;
}

/** The agent's loop in order: what it was asked, thought, did and got. */
export function Transcript({ run, selected, anchor, errors, onSelect, onAnchor }: Props) {
  const pages = useInfiniteQuery(transcriptOf(run, null, anchor));
  const items = useMemo(() => pages.data?.pages.flatMap((page) => page.items) ?? [], [pages.data]);
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => GUESS,
    getItemKey: (index) => firstStep(items[index]!),
    overscan: 4,
  });
  const drawn = virtual.getVirtualItems();
  const last = drawn.at(-1)?.index ?? 0;
  const wanted = selected >= 0 ? placeOfStep(items, selected) : -1;
  const isLoaded = wanted >= 0 && !isAfter(pages.data?.pages.at(-1), selected);
  const isFar = selected >= 0 && selected !== anchor && items.length > 0 && !isLoaded;
  useEffect(() => {
    if (isFar) onAnchor(selected);
  }, [isFar, selected]);

  // Until the step that is wanted is in sight, what is on screen says nothing of where one reads.
  const [shown, setShown] = useState(-1);
  useEffect(() => {
    if (!isLoaded) return;
    virtual.scrollToIndex(wanted, { align: "auto" });
    const frame = requestAnimationFrame(() => setShown(selected));
    return () => cancelAnimationFrame(frame);
  }, [selected, isLoaded]);
  const { isFetchingNextPage, isFetchingPreviousPage, fetchNextPage } = pages;
  // What failed is not asked for in a loop.
  const isReading = !pages.isError && (!isLoaded || shown === selected);
  const wantsMore = isReading && pages.hasNextPage && last >= items.length - NEAR_END;
  useEffect(() => {
    if (wantsMore && !isFetchingNextPage && !isFetchingPreviousPage) void fetchNextPage();
  }, [wantsMore, isFetchingNextPage, isFetchingPreviousPage, fetchNextPage]);

  // What is loaded above pushes down what one reads: it is looked for again.
  const top = items[0] && firstStep(items[0]);
  const topBefore = useRef(top);
  useLayoutEffect(() => {
    const before = topBefore.current;
    topBefore.current = top;
    if (top === undefined || before === undefined || top >= before) return;
    const place = items.findIndex((item) => firstStep(item) === before);
    if (place >= 0) virtual.scrollToIndex(place, { align: "start" });
  }, [top]);

  const previous = pages.data?.pages[0]?.previous ?? null;
  const go = (by: number) => {
    const at = wanted + by;
    if (at < 0 && previous !== null) return onSelect(previous - 1);
    const next = items[Math.min(Math.max(at, 0), items.length - 1)];
    if (next) onSelect(firstStep(next));
  };
  const error = (by: 1 | -1) => {
    const loaded = items.filter((it) => it.step?.status === "error" || it.agent?.n_errors);
    const steps = [...new Set([...errors, ...loaded.map(firstStep)])].sort((a, b) => a - b);
    const next =
      by > 0 ? steps.find((one) => one > selected) : steps.findLast((one) => one < selected);
    if (next !== undefined) onSelect(next);
  };
  useKeys([
    { keys: ["j", "ArrowDown", "]"], label: "Next step", run: () => go(1) },
    { keys: ["k", "ArrowUp", "["], label: "Step before", run: () => go(-1) },
    { keys: ["e"], label: "Next error", run: () => error(1) },
    { keys: ["E"], label: "Error before", run: () => error(-1) },
  ]);

  const failed = failure(pages);
  if (failed) return <Problem error={failed} onRetry={() => void pages.refetch()} />;
  if (pages.isPending) return <Loading what="the transcript" />;
  if (items.length === 0) {
    return (
      <div className="empty">
        <h2>No step was found in this run</h2>
        <p>
          Its spans are in the waterfall. Steps come of spans that tell of model calls, tools and
          agents; the doctor says what is missing.
        </p>
      </div>
    );
  }
  const isBare = items.every(({ step }) => step !== null && isWithoutContent(step));
  return (
    <div className="scroll transcript" ref={box} tabIndex={0} role="feed" aria-label="Transcript">
      {isBare && (
        <p className="note muted">
          What was asked and answered is not recorded: the instrumentation left it out. The doctor
          says how to switch it on.
        </p>
      )}
      {previous !== null && (
        <button
          type="button"
          className="earlier"
          disabled={isFetchingPreviousPage}
          onClick={() => void pages.fetchPreviousPage()}
        >
          Earlier steps, before #{previous}
        </button>
      )}
      <div className="sizer" style={{ height: virtual.getTotalSize() }}>
        {drawn.map(({ index, start, key }) => {
          const item = items[index]!;
          const turn = item.step?.turn ?? null;
          const before = items[index - 1]?.step?.turn ?? null;
          return (
            <div
              key={key}
              ref={virtual.measureElement}
              data-index={index}
              className="item"
              style={{ transform: `translateY(${start}px)` }}
            >
              {turn !== null && turn !== before && <p className="turn">Turn {turn}</p>}
              {item.step && (
                <StepCard
                  run={run}
                  step={item.step}
                  isHere={item.step.step === selected}
                  onSelect={onSelect}
                />
              )}
              {item.agent && (
                <AgentCard
                  run={run}
                  agent={item.agent}
                  selected={selected}
                  onSelect={onSelect}
                  depth={0}
                />
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** The loop of one agent, or of the one at the top, page by page, from a step on both ways. */
export function transcriptOf(run: string, agent: string | null, anchor: number) {
  // Few at first, which are soon there; then more.
  const limitOf = (pages: readonly Page[]) =>
    Math.min(FIRST_PAGE * 2 ** pages.length, LARGEST_PAGE);
  const begin: PageAsked = { around: anchor < 0 ? null : anchor, limit: FIRST_PAGE };
  return infiniteQueryOptions({
    queryKey: ["transcript", run, agent, anchor],
    queryFn: ({ pageParam, signal }) =>
      get<Page>(`${runPath(run)}/transcript`, { agent, ...pageParam }, signal),
    initialPageParam: begin,
    getNextPageParam: ({ next }, pages): PageAsked | null =>
      next === null ? null : { cursor: next, limit: limitOf(pages) },
    getPreviousPageParam: ({ previous }, pages): PageAsked | null =>
      previous === null ? null : { before: previous, limit: limitOf(pages) },
  });
}

type PageAsked = {
  readonly [place in "around" | "cursor" | "before"]?: number | null;
} & { readonly limit: number };

type Item = Page["items"][number];

function firstStep(item: Item): number {
  return item.step?.step ?? item.agent!.first_step;
}

/** The item that shows a step, itself or folded; -1 where none does. */
function placeOfStep(items: readonly Item[], step: number): number {
  let found = -1;
  items.forEach((item, i) => {
    if (firstStep(item) <= step) found = i;
  });
  return found;
}

/** Whether a step comes after a page and is not loaded yet. */
function isAfter(page: Page | undefined, step: number): boolean {
  return page !== undefined && page.next !== null && step >= page.next;
}

/** Whether nothing is known of a step but that it was. */
function isWithoutContent(step: TranscriptStep): boolean {
  return step.pieces.length === 0 && step.calls.length === 0;
}

const StepCard = memo(function StepCard(props: {
  run: string;
  step: TranscriptStep;
  isHere: boolean;
  onSelect: (step: number) => void;
}) {
  const { run, step, isHere, onSelect } = props;
  const isFailed = step.status === "error" || step.status === "aborted";
  const name = step.kind === "llm" ? (step.model ?? "model") : (step.action ?? step.kind);
  return (
    <article
      className={`step ${familyOf(step.kind)} ${step.kind}${isHere ? " here" : ""}${isFailed ? " bad" : ""}${isWithoutContent(step) ? " bare" : ""}`}
      aria-current={isHere ? "step" : undefined}
    >
      <header>
        <button type="button" className="step-name" onClick={() => onSelect(step.step)}>
          <span className="muted number">#{step.step}</span>
          <span className={`kind ${familyOf(step.kind)}`} role="img" aria-label={step.kind}>
            {signOf(step.kind)}
          </span>
          <strong>
            <Text text={step.kind === "user" ? "user" : name} />
          </strong>
        </button>
        {step.agent_name && step.kind === "llm" && (
          <span className="muted agent-name">
            <Text text={step.agent_name} />
          </span>
        )}
        {step.status !== "ok" && (
          <span className="failed">
            ✗ {step.status} {step.error_type && <Text text={step.error_type} />}
          </span>
        )}
        {step.security_flags.map((flag) => (
          <span key={flag} className="warn">
            ⚑ <Text text={flag} />
          </span>
        ))}
        <span className="grow" />
        <Totals step={step} />
      </header>
      <Pieces run={run} step={step.step} pieces={step.pieces} />
      {step.calls.length > 0 && (
        <ul className="calls">
          {step.calls.map((call, i) => (
            <li key={call.id ?? `${i}`}>
              <span className="arrow">→ </span>
              {call.step === null ? (
                <span title="No step is known that ran it">
                  <Text text={call.name ?? "?"} /> <span className="muted">(not run)</span>
                </span>
              ) : (
                <button type="button" className="link" onClick={() => onSelect(call.step!)}>
                  <Text text={call.name ?? "?"} /> #{call.step}
                </button>
              )}{" "}
              {call.arguments && (
                <code className="arguments">
                  <Text text={call.arguments.text} />
                </code>
              )}
            </li>
          ))}
        </ul>
      )}
    </article>
  );
});

function Totals({ step }: { step: TranscriptStep }) {
  const tokens =
    step.input_tokens === null && step.output_tokens === null
      ? null
      : `${count(step.input_tokens)}→${count(step.output_tokens)} tok`;
  const facts = [
    step.reward === null ? null : `reward ${step.reward}`,
    step.test_pass_rate === null ? null : `tests ${Math.round(step.test_pass_rate * 100)} %`,
    step.n_files > 0 ? counted(step.n_files, "file") : null,
    tokens,
    step.cost_usd === null ? null : cost(step.cost_usd),
    step.duration_us === null ? null : duration(step.duration_us),
  ].filter((fact) => fact !== null);
  return <span className="muted totals">{facts.join(" · ")}</span>;
}

const LABELS: Readonly<Record<Piece["label"], string>> = {
  system: "system",
  user: "",
  reasoning: "reasoning",
  answer: "",
  arguments: "→",
  query: "→",
  result: "←",
  model_saw: "the model saw",
  observation: "observed",
  error: "✗",
};

function Pieces({ run, step, pieces }: { run: string; step: number; pieces: readonly Piece[] }) {
  const [isWhole, setWhole] = useState(false);
  const base = `${runPath(run)}/steps/${step}`;
  const detail = useQuery({
    queryKey: ["step", run, step],
    queryFn: ({ signal }) => get<StepDetail>(base, {}, signal),
    enabled: isWhole,
  });
  const isCut = pieces.some((piece) => piece.text?.key);
  return (
    <>
      {pieces.map((piece, i) => {
        const whole = isWhole && piece.text?.key ? detail.data?.texts[piece.text.key] : undefined;
        return (
          <div key={`${i}`} className={`piece ${piece.label}`}>
            {LABELS[piece.label] && <span className="piece-label">{LABELS[piece.label]}</span>}
            {piece.media && <Media media={piece.media} base={base} />}
            {piece.text &&
              (whole ? (
                <Value value={whole} label={piece.label} base={base} as={shapeOf(piece)} />
              ) : (
                <Preview piece={piece} text={piece.text} base={base} />
              ))}
          </div>
        );
      })}
      {isCut && (
        <p className="piece-more">
          <button type="button" className="link" onClick={() => setWhole(!isWhole)}>
            {isWhole ? "less" : "more"}
          </button>
          {isWhole && detail.isFetching && <span className="muted"> loading …</span>}
          {isWhole && detail.isError && (
            <span className="failed"> {String(detail.error.message)}</span>
          )}
        </p>
      )}
    </>
  );
}

function shapeOf(piece: Piece): "json" | "markdown" | "text" {
  if (piece.is_json) return "json";
  return piece.label === "answer" || piece.label === "reasoning" ? "markdown" : "text";
}

/** What is cut off is no JSON and no whole markdown: it is shown as it is. */
function Preview({ piece, text, base }: { piece: Piece; text: Told; base: string }) {
  const isWhole = text.key === null;
  if (isWhole && shapeOf(piece) === "markdown") {
    return <Value value={text} label={piece.label} base={base} as="markdown" />;
  }
  return (
    <pre className="plain">
      <Text text={text.text} />
      {!isWhole && <span className="muted"> … {count(text.length - text.text.length)} more</span>}
    </pre>
  );
}

/** A sub-agent: folded to what it was asked and what it answered. */
function AgentCard(props: {
  run: string;
  agent: TranscriptAgent;
  selected: number;
  depth: number;
  onSelect: (step: number) => void;
}) {
  const { run, agent, selected, depth, onSelect } = props;
  const isInside = selected >= agent.first_step && selected <= agent.last_step;
  const [isOpen, setOpen] = useState(isInside);
  useEffect(() => {
    if (isInside) setOpen(true);
  }, [isInside]);
  return (
    <article className={`step agent sub${isInside && !isOpen ? " here" : ""}`}>
      <header>
        <button
          type="button"
          className="step-name"
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        >
          <span aria-hidden="true">{isOpen ? "▾" : "▸"}</span>
          <span className="kind agent" aria-hidden="true">
            ◆
          </span>
          <strong>
            <Text text={agent.agent_name ?? agent.agent_path} />
          </strong>
        </button>
        <span className="muted">
          {counted(agent.n_steps, "step")}, #{agent.first_step} to #{agent.last_step}
        </span>
        {agent.n_errors > 0 && <span className="failed">✗ {counted(agent.n_errors, "error")}</span>}
        <span className="grow" />
        <span className="muted totals">
          {[
            agent.cost_usd === null ? null : cost(agent.cost_usd),
            agent.duration_us === null ? null : duration(agent.duration_us),
          ]
            .filter((fact) => fact !== null)
            .join(" · ")}
        </span>
      </header>
      {isOpen ? (
        <AgentSteps run={run} agent={agent} selected={selected} onSelect={onSelect} depth={depth} />
      ) : (
        <>
          {agent.first && (
            <div className="piece">
              <span className="piece-label">first</span>
              <p className="clamped">
                <Text text={agent.first.text} />
              </p>
            </div>
          )}
          {agent.last && (
            <div className="piece">
              <span className="piece-label">last</span>
              <p className="clamped">
                <Text text={agent.last.text} />
              </p>
            </div>
          )}
        </>
      )}
    </article>
  );
}

function AgentSteps(props: {
  run: string;
  agent: TranscriptAgent;
  selected: number;
  depth: number;
  onSelect: (step: number) => void;
}) {
  const { run, agent, selected, depth, onSelect } = props;
  const isInside = selected >= agent.first_step && selected <= agent.last_step;
  const [anchor] = useState(isInside ? selected : -1);
  const pages = useInfiniteQuery(transcriptOf(run, agent.agent_path, anchor));
  const failed = failure(pages);
  if (failed) return <Problem error={failed} onRetry={() => void pages.refetch()} />;
  if (!pages.data) return <Loading what="its steps" />;
  return (
    <div className="inner">
      {pages.hasPreviousPage && (
        <button type="button" onClick={() => void pages.fetchPreviousPage()}>
          Its steps before
        </button>
      )}
      {pages.data.pages
        .flatMap((page) => page.items)
        .map((item) =>
          item.step ? (
            <StepCard
              key={item.step.step}
              run={run}
              step={item.step}
              isHere={item.step.step === selected}
              onSelect={onSelect}
            />
          ) : (
            <AgentCard
              key={item.agent!.agent_path}
              run={run}
              agent={item.agent!}
              selected={selected}
              onSelect={onSelect}
              depth={depth + 1}
            />
          ),
        )}
      {pages.hasNextPage && (
        <button type="button" onClick={() => void pages.fetchNextPage()}>
          More of its steps
        </button>
      )}
    </div>
  );
}
