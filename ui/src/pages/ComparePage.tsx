import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { Link, useLocation } from "wouter";
import { ApiError, type Comparison, get, type Nearest, type Run } from "../api/client";
import { delta, keyOf, totals } from "../core/compare";
import { cost, count, counted, duration, moment, percent } from "../core/format";
import { oneLine } from "../core/hostile";
import { useAddress } from "../frame/address";
import { useKeys } from "../frame/keys";
import { hrefHere } from "../frame/location";
import { failure } from "../frame/reach";
import { comparePath } from "../parts/CompareLink";
import { Menu } from "../parts/Menu";
import { Outcome } from "../parts/Outcome";
import { Loading, Problem } from "../parts/Problem";
import { SideBySide } from "../parts/SideBySide";
import { Text } from "../parts/Text";
import { CopyButton } from "../parts/Value";
import "../styles/compare.css";

/** Two runs side by side; without the second, the nearest success of the first one's task. */
export default function ComparePage({ a, b }: { a: string; b: string | null }) {
  return b === null ? <WithNearest a={a} /> : <Compared a={a} b={b} key={`${a} ${b}`} />;
}

function WithNearest({ a }: { a: string }) {
  const [, go] = useLocation();
  const found = useQuery({
    queryKey: ["nearest", a],
    queryFn: ({ signal }) => get<Nearest>("/compare/nearest", { id: a }, signal),
  });
  const nearest = found.data?.trajectory_id ?? null;
  useEffect(() => {
    if (nearest !== null) go(comparePath(a, nearest), { replace: true });
  }, [nearest]);
  const failed = failure(found);
  if (failed) {
    return <Failed error={failed} onRetry={() => void found.refetch()} />;
  }
  if (!found.data || nearest !== null) {
    return (
      <Frame title="Compare">
        <Loading what="the nearest success" />
      </Frame>
    );
  }
  return (
    <Frame title="Compare">
      <h1 className="sr">Compare</h1>
      <div className="empty">
        <h2>There is no success to compare it with</h2>
        <p>{found.data.why}.</p>
        <p>
          A run is a success once it, an evaluation, or somebody later says so:{" "}
          <code>otel-traj annotate ID --outcome success</code>. Or select any two runs in the{" "}
          <Link href="/t">list</Link> with <kbd>x</kbd> and compare them with <kbd>c</kbd>.
        </p>
        <p>
          <Link href={`/t/${encodeURIComponent(a)}`}>Back to the run</Link>
        </p>
      </div>
    </Frame>
  );
}

function Compared({ a, b }: { a: string; b: string }) {
  const address = useAddress();
  const [, go] = useLocation();
  const found = useQuery({
    queryKey: ["compare", a, b],
    queryFn: ({ signal }) => get<Comparison>("/compare", { a, b }, signal),
  });
  useKeys([
    { keys: ["u"], label: "Back to the runs", run: () => go("/t") },
    { keys: ["s"], label: "Swap A and B", run: () => go(comparePath(b, a)) },
    {
      keys: ["."],
      label: "Copy the link to what is shown",
      run: () => void navigator.clipboard.writeText(hrefHere()),
    },
  ]);
  const failed = failure(found);
  if (failed) {
    return <Failed error={failed} onRetry={() => void found.refetch()} />;
  }
  const it = found.data;
  if (!it) {
    return (
      <Frame title="Compare">
        <Loading what="the comparison" />
      </Frame>
    );
  }
  const open = address.get("step");
  const setOpen = (key: string | null) => address.set({ step: key }, "replace");
  const divergence = it.divergence && keyOf(it.divergence);
  return (
    <Frame title={`${taskOf(it.a)} · compare`}>
      <header className="compare-head">
        <div className="run-title">
          <h1>Compare</h1>
          <span className="muted">{percent(it.similarity)} of what they do is alike</span>
          <span className="grow" />
          <CopyButton text={hrefHere()} of="what is shown" name="copy link" />
          <Link href={comparePath(b, a)} className="button">
            Swap
          </Link>
        </div>
        <div className="both">
          <Side name="A" run={it.a} />
          <Side name="B" run={it.b} />
        </div>
        {it.divergence ? (
          <p className="banner divergence">
            <button type="button" onClick={() => setOpen(divergence)}>
              First divergence:{" "}
              {it.divergence.a === null
                ? `step ${it.divergence.b} of B`
                : `step ${it.divergence.a}`}
            </button>{" "}
            <strong>{CAUSES[it.divergence.cause] ?? it.divergence.cause}</strong>{" "}
            <Text text={it.divergence.why} />.
          </p>
        ) : (
          <p className="banner same">
            Both did the same, and the same came of it. Only words, times or costs may differ.
          </p>
        )}
        <Deltas it={it} />
        {!it.is_cheapest && (
          <p className="muted">
            These runs differ so much that they were laid side by side piece by piece: there may be
            a better way.
          </p>
        )}
      </header>
      {it.opcodes.length === 0 ? (
        <div className="empty">
          <h2>Neither run has a step</h2>
          <p>
            What is missing of them, and which setting would record it, is told under{" "}
            <Link href={`/t/${encodeURIComponent(a)}`}>Doctor of the run</Link>.
          </p>
        </div>
      ) : (
        <SideBySide
          a={a}
          b={b}
          opcodes={it.opcodes}
          open={open}
          divergence={divergence}
          onOpen={setOpen}
        />
      )}
    </Frame>
  );
}

const CAUSES: Readonly<Record<string, string>> = {
  input: "other input",
  prompt: "other instructions",
  tools: "other tools offered",
  model: "another model",
  parameters: "other parameters",
  context: "other context",
  messages: "other messages",
  tool_result: "a tool answered otherwise",
  model_error: "a failed model call",
  nondeterminism: "the model answered otherwise",
  ordering: "another order",
  code: "the agent did otherwise",
  end: "one ended",
  unknown: "cause unknown",
};

function Frame({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main id="main" className="compare-page page">
      <title>{`${title} · otel-traj`}</title>
      {children}
    </main>
  );
}

function Failed({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const isGone = error instanceof ApiError && error.status === 404;
  return (
    <Frame title="Not found">
      <h1 className="sr">Compare</h1>
      <Problem error={error} onRetry={onRetry}>
        {isGone && (
          <p>
            <Link href="/t">All runs</Link>
          </p>
        )}
      </Problem>
    </Frame>
  );
}

function taskOf(run: Run): string {
  return oneLine(run.task_id ?? run.task ?? run.user_input ?? run.trajectory_id).slice(0, 60);
}

function Side({ name, run }: { name: string; run: Run }) {
  return (
    <section className="side-head" aria-label={`Run ${name}`}>
      <h2>
        <span className="letter">{name}</span>{" "}
        <Link href={`/t/${encodeURIComponent(run.trajectory_id)}`} title={taskOf(run)}>
          <bdi>{taskOf(run)}</bdi>
        </Link>
      </h2>
      <p>
        <Outcome outcome={run.outcome} source={run.outcome_source} />{" "}
        <span className="muted">
          <Text text={run.agent_name ?? run.service ?? ""} /> {moment(run.start_time, new Date())}
        </span>
      </p>
    </section>
  );
}

function Deltas({ it }: { it: Comparison }) {
  const { a, b, deltas } = it;
  const micros = (s: number | null) => (s === null ? null : Math.round(s * 1e6));
  const rows: [string, string, string, string][] = [
    [
      "time",
      duration(micros(a.duration_s)),
      duration(micros(b.duration_s)),
      delta(micros(deltas.duration_s), duration),
    ],
    ["cost", cost(a.cost_usd), cost(b.cost_usd), delta(deltas.cost_usd, cost)],
    ["tokens in", count(a.input_tokens), count(b.input_tokens), delta(deltas.input_tokens, count)],
    [
      "tokens out",
      count(a.output_tokens),
      count(b.output_tokens),
      delta(deltas.output_tokens, count),
    ],
    ["steps", count(a.n_steps), count(b.n_steps), delta(deltas.n_steps, count)],
    ["tool calls", count(a.n_tools), count(b.n_tools), delta(deltas.n_tools, count)],
    ["errors", count(a.n_errors), count(b.n_errors), delta(deltas.n_errors, count)],
    ["reward", number(a.reward), number(b.reward), delta(deltas.reward, number)],
  ];
  const shown = rows.filter(([, one, other]) => one !== "–" || other !== "–");
  const n = totals(it.opcodes);
  const differing = it.files.filter(({ is_same }) => !is_same);
  return (
    <div className="compare-facts">
      <div className="scroll" tabIndex={0} role="region" aria-label="Figures of both">
        <table className="deltas">
          <caption className="sr">What B has more of than A</caption>
          <thead>
            <tr>
              <td />
              {shown.map(([name]) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {(["A", "B", "Δ"] as const).map((side, i) => (
              <tr key={side} className={side === "Δ" ? "delta" : undefined}>
                <th scope="row">{side}</th>
                {shown.map((row) => (
                  <td key={row[0]}>{row[i + 1]}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="counts">
        <span>= {counted(n.same, "step")} the same</span>
        {n.minor > 0 && <span>≈ {n.minor} in words or figures</span>}
        {n.changed > 0 && <span>~ {n.changed} changed</span>}
        {n.only_a > 0 && <span>− {n.only_a} only in A</span>}
        {n.only_b > 0 && <span>+ {n.only_b} only in B</span>}
        {it.files.length > 0 && (
          <Menu isWide label={`Files: ${differing.length} of ${it.files.length} differ`}>
            <ul className="final-files">
              {it.files.map((file) => (
                <li key={file.path}>
                  <bdi className="path">{oneLine(file.path)}</bdi>
                  <span className="muted">{fate(file)}</span>
                </li>
              ))}
            </ul>
          </Menu>
        )}
      </p>
      {it.named.length > 0 && (
        <dl className="named">
          {it.named.map(({ name, a: one, b: other }) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <Text text={one ?? "not told"} /> <span aria-label="in B">→</span>{" "}
                <Text text={other ?? "not told"} />
              </dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}

function number(n: number | null): string {
  return n === null ? "–" : String(Math.round(n * 1000) / 1000);
}

function fate(file: Comparison["files"][number]): string {
  if (file.is_same) return "the same in the end";
  if (!file.is_in_b) return "only A changed it";
  if (!file.is_in_a) return "only B changed it";
  return "differs in the end";
}
