import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useId, useState } from "react";
import {
  type Attribute,
  get,
  runPath,
  type SpanDetail,
  type StepDetail,
  type Text as Told,
} from "../api/client";
import { cost, count, duration, moment } from "../core/format";
import type { Json } from "../core/json";
import { failure } from "../frame/reach";
import { JsonTree } from "./Json";
import { Messages } from "./Messages";
import { Loading, Problem } from "./Problem";
import { Text } from "./Text";
import { CopyButton, Value } from "./Value";

export type Chosen = { readonly step: number } | { readonly span: string };

interface Props {
  readonly run: string;
  readonly chosen: Chosen;
  readonly onSpan: (span: string) => void;
  readonly onStep: (step: number) => void;
  /** the id and row of a span that was asked for by its number */
  readonly onNamed?: (id: string, row: number) => void;
  readonly onClose: () => void;
}

/** All of one step or span, beside the view that it was chosen in. */
export function Detail(props: Props) {
  return (
    <aside className="detail" aria-label="Details">
      <button
        type="button"
        className="close"
        aria-label="Close the details"
        onClick={props.onClose}
      >
        ×
      </button>
      {"step" in props.chosen ? (
        <StepOf {...props} step={props.chosen.step} />
      ) : (
        <SpanOf {...props} span={props.chosen.span} />
      )}
    </aside>
  );
}

function StepOf({ run, step, onSpan, onStep }: Props & { step: number }) {
  const base = `${runPath(run)}/steps/${step}`;
  const found = useQuery({
    queryKey: ["step", run, step],
    queryFn: ({ signal }) => get<StepDetail>(base, {}, signal),
  });
  const failed = failure(found);
  if (failed) return <Problem error={failed} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Loading what={`step ${step}`} />;
  const it = found.data;
  const texts = Object.entries(it.texts).filter(([name]) => !HIDDEN.has(name));
  return (
    <>
      <h2>
        Step {it.step} <span className="muted">{it.kind}</span> <Text text={it.action ?? ""} />
      </h2>
      <Facts
        of={[
          ["status", <State key="s" status={it.status} error={it.error_type} />],
          ["agent", it.agent_name],
          ["model", it.model],
          ["time", duration(it.duration_us)],
          ["first token", it.ttft_us === null ? null : duration(it.ttft_us)],
          [
            "tokens",
            it.input_tokens === null
              ? null
              : `${count(it.input_tokens)} in, ${count(it.output_tokens)} out`,
          ],
          ["of those cached", it.cache_read_tokens === null ? null : count(it.cache_read_tokens)],
          [
            "cost",
            it.cost_usd === null
              ? null
              : `${cost(it.cost_usd)}${it.cost_source ? ` (${it.cost_source})` : ""}`,
          ],
          ["reward", it.reward === null ? null : `${it.reward}, so far ${it.cumulative_reward}`],
          [
            "tests passed",
            it.test_pass_rate === null ? null : `${Math.round(it.test_pass_rate * 100)} %`,
          ],
          ["flags", it.security_flags.length ? `⚑ ${it.security_flags.join(", ")}` : null],
          ["effect", it.effect],
          ["grade", it.grade && `${it.grade}${it.grade_reason ? `: ${it.grade_reason}` : ""}`],
          ["concluded, not told", it.inferred.length ? it.inferred.join(", ") : null],
        ]}
      />
      <p>
        <button type="button" className="link" onClick={() => onSpan(it.span_id)}>
          Show its span
        </button>
      </p>
      <Parts
        parts={[
          [
            "Messages",
            it.new_messages.length + it.output.length > 0 && (
              <Messages messages={[...it.new_messages, ...it.output]} base={base} />
            ),
          ],
          [
            "Texts",
            texts.length > 0 &&
              texts.map(([name, text]) => (
                <Named key={name} name={NAMES[name] ?? name} text={text} base={base} />
              )),
          ],
          [
            "Calls",
            it.calls.length > 0 && (
              <ul className="calls">
                {it.calls.map((call, i) => (
                  <li key={call.id ?? `${i}`}>
                    → <Text text={call.name ?? "?"} />{" "}
                    {call.step === null ? (
                      <span className="muted">no step is known that ran it</span>
                    ) : (
                      <button type="button" className="link" onClick={() => onStep(call.step!)}>
                        step {call.step}
                      </button>
                    )}
                    {call.arguments && (
                      <Value value={call.arguments} label="arguments" base={base} as="json" />
                    )}
                  </li>
                ))}
              </ul>
            ),
          ],
          [
            "Said of it",
            it.verdicts.length > 0 && (
              <JsonTree value={it.verdicts as unknown as Json} label="What was said of it" />
            ),
          ],
          [
            "Merged",
            it.merged_spans.length > 0 && (
              <JsonTree
                value={it.merged_spans as unknown as Json}
                label="Spans that told of it too"
              />
            ),
          ],
        ]}
      />
    </>
  );
}

/** Columns that the messages tell already. */
const HIDDEN = new Set(["new_messages", "output", "tool_calls"]);
const NAMES: Readonly<Record<string, string>> = {
  model_saw: "what the model saw of it",
  output_text: "answer",
  error_message: "error",
};

function SpanOf({ run, span, onSpan, onStep, onNamed }: Props & { span: string }) {
  const base = `${runPath(run)}/spans/${encodeURIComponent(span)}`;
  const found = useQuery({
    queryKey: ["span", run, span],
    queryFn: ({ signal }) => get<SpanDetail>(base, {}, signal),
  });
  const it = found.data;
  useEffect(() => {
    if (it) onNamed?.(it.span_id, it.row);
  }, [it]);
  const failed = failure(found);
  if (failed) return <Problem error={failed} onRetry={() => void found.refetch()} />;
  if (!it) return <Loading what="the span" />;
  const told = [...it.system, ...it.input, ...it.output];
  return (
    <>
      <h2>
        <Text text={it.name} /> <span className="muted">{it.kind}</span>
      </h2>
      <Facts
        of={[
          [
            "status",
            <State key="s" status={it.status === "ERROR" ? "error" : "ok"} error={null} />,
          ],
          ["began", it.start_time && moment(it.start_time, new Date())],
          ["after", duration(it.start_us)],
          ["time", it.duration_us === null ? "still open" : duration(it.duration_us)],
          ["service", it.service],
          ["scope", it.scope_name && `${it.scope_name} ${it.scope_version ?? ""}`],
          ["span id", it.span_id],
          ["trace id", it.trace_id],
          [
            "dropped",
            it.dropped_attributes + it.dropped_events + it.dropped_links > 0
              ? `${it.dropped_attributes} attributes, ${it.dropped_events} events, ${it.dropped_links} links`
              : null,
          ],
        ]}
      />
      {it.status_message && (
        <div className="failed">
          <Value value={it.status_message} label="status message" base={base} as="text" />
        </div>
      )}
      <p className="links">
        {it.steps.map((step) => (
          <button key={step} type="button" className="link" onClick={() => onStep(step)}>
            step {step}
          </button>
        ))}
        {it.parent_span_id && (
          <button
            type="button"
            className="link"
            disabled={it.parent_row === null}
            onClick={() => onSpan(it.parent_span_id!)}
          >
            {it.parent_row === null ? "its parent never came" : "parent"}
          </button>
        )}
      </p>
      <Parts
        parts={[
          ["Messages", told.length > 0 && <Messages messages={told} base={base} />],
          [
            "Tool",
            (it.arguments ?? it.result) !== null && (
              <>
                {it.arguments && <Named name="arguments" text={it.arguments} base={base} />}
                {it.result && <Named name="result" text={it.result} base={base} />}
              </>
            ),
          ],
          ["Attributes", <Attributes key="a" of={it.attributes} base={base} />],
          [
            "Events",
            it.events.length + it.logs.length > 0 && (
              <>
                {it.events.map((event, i) => (
                  <section key={`e${i}`}>
                    <h4>
                      <Text text={event.name} />{" "}
                      <span className="muted">{duration(event.at_us)}</span>
                    </h4>
                    <Attributes of={event.attributes} base={base} />
                  </section>
                ))}
                {it.logs.map((log, i) => (
                  <section key={`l${i}`}>
                    <h4>
                      <Text text={log.event_name ?? "log"} />{" "}
                      <span className="muted">
                        {log.severity} {duration(log.at_us)}
                      </span>
                    </h4>
                    {log.body && <Value value={log.body} label="body" base={base} as="json" />}
                    <Attributes of={log.attributes} base={base} />
                  </section>
                ))}
              </>
            ),
          ],
          [
            "Links",
            it.links.length > 0 &&
              it.links.map((link, i) => (
                <section key={`${i}`}>
                  <code>
                    {link.trace_id} {link.span_id}
                  </code>
                  <Attributes of={link.attributes} base={base} />
                </section>
              )),
          ],
          [
            "Resource",
            <Attributes key="r" of={[...it.resource, ...it.scope_attributes]} base={base} />,
          ],
          [
            "JSON",
            <div key="j">
              <CopyButton
                text={JSON.stringify(it, null, 1)}
                of="the span as JSON"
                name="copy all"
              />
              <JsonTree value={it as unknown as Json} label={it.name} />
            </div>,
          ],
        ]}
      />
    </>
  );
}

function State({ status, error }: { status: string; error: string | null }) {
  if (status === "ok") return <span className="outcome success">✓ ok</span>;
  return (
    <span className="failed">
      ✗ {status} {error && <Text text={error} />}
    </span>
  );
}

export function Facts({ of }: { of: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {of.map(([name, value]) =>
        value === null || value === undefined || value === "" ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{typeof value === "string" ? <Text text={value} /> : value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

function Named({ name, text, base }: { name: string; text: Told; base: string }) {
  return (
    <section>
      <h4>{name}</h4>
      <Value value={text} label={name} base={base} as={PROSE.has(name) ? "markdown" : "json"} />
    </section>
  );
}

const PROSE = new Set(["answer", "reasoning"]);

function Attributes({ of, base }: { of: readonly Attribute[]; base: string }) {
  if (of.length === 0) return <p className="muted">none</p>;
  return (
    <dl className="attributes">
      {of.map((attribute) => (
        <div key={attribute.key}>
          <dt>
            <Text text={attribute.key} /> <span className="muted">{attribute.type}</span>
          </dt>
          <dd>
            <Value value={attribute.value} label={attribute.key} base={base} as="json" />
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Tabs of those parts that hold something. */
function Parts({ parts }: { parts: readonly (readonly [string, ReactNode])[] }) {
  const there = parts.filter(([, content]) => content);
  const [wanted, setWanted] = useState<string | null>(null);
  const id = useId();
  const open = there.find(([name]) => name === wanted) ?? there[0];
  if (!open) return <p className="muted">Nothing more is recorded.</p>;
  return (
    <>
      <div className="tabs" role="tablist" aria-label="Details">
        {there.map(([name]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`${id}-${name}`}
            aria-selected={name === open[0]}
            aria-controls={`${id}-panel`}
            onClick={() => setWanted(name)}
          >
            {name}
          </button>
        ))}
      </div>
      <div id={`${id}-panel`} role="tabpanel" tabIndex={0} aria-labelledby={`${id}-${open[0]}`}>
        {open[1]}
      </div>
    </>
  );
}
