import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link } from "wouter";
import { type ComparedText, get, type StepComparison } from "../api/client";
import type { PairRow } from "../core/compare";
import { diffLines } from "../core/diff";
import { counted } from "../core/format";
import { failure } from "../frame/reach";
import { Line } from "./Files";
import { Loading, Problem } from "./Problem";
import { Text } from "./Text";

/** So many lines of a text are drawn; the next ones on demand. */
const STEP = 300;

interface Props {
  readonly a: string;
  readonly b: string;
  readonly row: PairRow;
}

/** What differs in two steps: arguments, results, texts, messages, files, line by line. */
export function StepDifference({ a, b, row }: Props) {
  const found = useQuery({
    queryKey: ["compare", a, b, row.a, row.b],
    queryFn: ({ signal }) =>
      get<StepComparison>("/compare/step", { a, b, step_a: row.a, step_b: row.b }, signal),
  });
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!found.data) return;
    // Once the list has made room for it.
    const frame = requestAnimationFrame(() => box.current?.scrollIntoView({ block: "nearest" }));
    return () => cancelAnimationFrame(frame);
  }, [found.data]);
  const failed = failure(found);
  if (failed) return <Problem error={failed} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Loading what="the difference" />;
  const { texts, n_same } = found.data;
  const differing = texts.filter(({ change }) => change !== "SAME");
  const same = texts.filter(({ change }) => change === "SAME");
  return (
    <div className="step-difference" ref={box}>
      <p className="links">
        {row.a !== null && <Link href={stepPath(a, row.a)}>Step {row.a} in A</Link>}
        {row.b !== null && <Link href={stepPath(b, row.b)}>Step {row.b} in B</Link>}
        {differing.length > 0 && n_same > 0 && (
          <span className="muted">{counted(n_same, "other text")} the same</span>
        )}
      </p>
      {differing.map((text, i) => (
        <Compared key={i} text={text} />
      ))}
      {differing.length === 0 && (
        <p className="muted">
          {same.length === 0
            ? "No text is recorded on either side."
            : `The same on both sides: ${same.map(nameOf).join(", ")}.`}
        </p>
      )}
    </div>
  );
}

function Compared({ text }: { text: ComparedText }) {
  const [most, setMost] = useState(STEP);
  const lines = useMemo(() => diffLines(text.hunks), [text.hunks]);
  return (
    <section className="compared">
      <h3>
        <Text text={nameOf(text)} /> <span className="muted">{CHANGES[text.change]}</span>{" "}
        <span className="muted">
          +{text.added} −{text.removed} lines
        </span>
      </h3>
      {lines.length > 0 ? (
        <table className="diff" aria-label={`Lines of ${nameOf(text)}`}>
          <tbody>
            {lines.slice(0, most).map((line, i) => (
              <Line key={i} line={line} />
            ))}
          </tbody>
        </table>
      ) : (
        <p className="muted">Nothing of it is recorded.</p>
      )}
      {lines.length > most && (
        <button type="button" onClick={() => setMost(most + STEP * 5)}>
          {lines.length - most} lines more
        </button>
      )}
      {text.is_cut && (
        <p className="muted">There is more than is compared here: open the step in A or B.</p>
      )}
    </section>
  );
}

const CHANGES: Readonly<Record<ComparedText["change"], string>> = {
  SAME: "the same",
  CHANGED: "changed",
  TRUNCATED: "truncated: B is the beginning of A",
  INJECTED: "only in B",
  DROPPED: "only in A",
};

const NAMES: Readonly<Record<string, string>> = {
  model_saw: "what the model saw of it",
  output_text: "answer",
  error_message: "error",
  tool_calls: "tools asked for",
};

function nameOf({ kind, name }: ComparedText): string {
  if (kind === "message") return `message of ${name}`;
  return kind === "file" ? `file ${name}` : (NAMES[name] ?? name);
}

function stepPath(run: string, step: number): string {
  return `/t/${encodeURIComponent(run)}?step=${step}`;
}
