import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { type Diff, type FileOfStep, type Files as Changes, get, runPath } from "../api/client";
import { type DiffLine, diffLines } from "../core/diff";
import { oneLine } from "../core/hostile";
import { failure } from "../frame/reach";
import { Loading, Problem } from "./Problem";
import { Text } from "./Text";

const STEP = 1000;

interface Props {
  readonly run: string;
  readonly path: string | null;
  /** -1: from the first change to the last */
  readonly step: number;
  readonly onChoose: (path: string, step: number) => void;
  readonly onStep: (step: number) => void;
}

/** Files that the run changed, step by step and in all. */
export function Files({ run, path, step, onChoose, onStep }: Props) {
  const found = useQuery({
    queryKey: ["files", run],
    queryFn: ({ signal }) => get<Changes>(`${runPath(run)}/files`, {}, signal),
  });
  const byPath = useMemo(() => {
    const grouped = new Map<string, FileOfStep[]>();
    for (const row of found.data?.rows ?? []) {
      grouped.set(row.path, [...(grouped.get(row.path) ?? []), row]);
    }
    return [...grouped].sort(([a], [b]) => (a < b ? -1 : 1));
  }, [found.data]);
  const failed = failure(found);
  if (failed) return <Problem error={failed} onRetry={() => void found.refetch()} />;
  if (found.isPending) return <Loading what="files" />;
  if (byPath.length === 0) {
    return (
      <div className="empty">
        <h2>No change of a file is recorded</h2>
        <p>
          Tell of them where the agent writes: <code>call.file_diff(path, before, after)</code>{" "}
          within <code>otel_traj.tool_call(…)</code>.
        </p>
      </div>
    );
  }
  const chosen = byPath.find(([name]) => name === path) ?? byPath[0]!;
  return (
    <div className="files">
      <nav className="file-list" aria-label="Files that were changed">
        <ul>
          {byPath.map(([name, changes]) => (
            <li key={name}>
              <button
                type="button"
                aria-current={name === chosen[0] ? "true" : undefined}
                onClick={() => onChoose(name, -1)}
                title={oneLine(name)}
              >
                <span className="path">
                  <Text text={name} />
                </span>
                <span className="muted">
                  {WORDS[changes.at(-1)!.change]} · {sum(changes)}
                </span>
              </button>
            </li>
          ))}
        </ul>
      </nav>
      <section className="file-diff" aria-label={oneLine(chosen[0])}>
        <h2>
          <Text text={chosen[0]} />
        </h2>
        <div className="step-choice" role="group" aria-label="Which change">
          <button type="button" aria-pressed={step < 0} onClick={() => onChoose(chosen[0], -1)}>
            First to last
          </button>
          {chosen[1].map((change) => (
            <button
              key={change.step}
              type="button"
              aria-pressed={step === change.step}
              onClick={() => onChoose(chosen[0], change.step)}
            >
              step {change.step} <span className="muted">{sum([change])}</span>
            </button>
          ))}
          {step >= 0 && (
            <button type="button" className="link" onClick={() => onStep(step)}>
              the step itself
            </button>
          )}
        </div>
        <DiffOf
          run={run}
          path={chosen[0]}
          step={chosen[1].some((c) => c.step === step) ? step : -1}
        />
      </section>
    </div>
  );
}

const WORDS: Readonly<Record<FileOfStep["change"], string>> = {
  added: "new",
  changed: "changed",
  deleted: "deleted",
};

function sum(changes: readonly FileOfStep[]): string {
  const known = changes.filter(({ added }) => added !== null);
  if (known.length === 0)
    return changes.some(({ is_binary }) => is_binary) ? "binary" : "size unknown";
  const total = (of: "added" | "removed") =>
    known.reduce((all, change) => all + (change[of] ?? 0), 0);
  return `+${total("added")} −${total("removed")}`;
}

function DiffOf({ run, path, step }: { run: string; path: string; step: number }) {
  const found = useQuery({
    queryKey: ["diff", run, path, step],
    queryFn: ({ signal }) =>
      get<Diff>(
        `${runPath(run)}/files/${encodeURIComponent(path)}/diff`,
        { step: step < 0 ? null : step },
        signal,
      ),
  });
  const [most, setMost] = useState(STEP);
  const lines = useMemo(() => diffLines(found.data?.hunks ?? []), [found.data]);
  const failed = failure(found);
  if (failed) return <Problem error={failed} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Loading what="the change" />;
  if (lines.length === 0)
    return <p className="muted">{found.data.why ?? "Nothing changed in the end."}</p>;
  return (
    <>
      <table className="diff" aria-label="Lines that changed">
        <tbody>
          {lines.slice(0, most).map((line, i) => (
            <Line key={`${i}`} line={line} />
          ))}
        </tbody>
      </table>
      {lines.length > most && (
        <button type="button" onClick={() => setMost(most + STEP * 5)}>
          {lines.length - most} lines more
        </button>
      )}
      {found.data.is_cut && <p className="muted">There is more than is shown here.</p>}
    </>
  );
}

const SIGNS = { same: " ", added: "+", removed: "−", hunk: "", note: "" } as const;

export function Line({ line }: { line: DiffLine }) {
  return (
    <tr className={line.kind}>
      <td className="no">{line.before}</td>
      <td className="no">{line.after}</td>
      <td className="sign-cell">
        {SIGNS[line.kind]}
        {line.kind === "added" && <span className="sr">added</span>}
        {line.kind === "removed" && <span className="sr">removed</span>}
      </td>
      <td className="line">
        <Text text={line.text} />
      </td>
    </tr>
  );
}
