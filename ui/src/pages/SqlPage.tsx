import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { ApiError, get, post, type SqlResult, type SqlSchema } from "../api/client";
import { duration, exact } from "../core/format";
import { axes, lineAndColumn, runsOf, unitsBefore } from "../core/sql";
import { useAddress } from "../frame/address";
import { Menu } from "../parts/Menu";
import { Named } from "../parts/Named";
import { Loading, Problem } from "../parts/Problem";
import { Chart } from "../parts/sql/Chart";
import type { EditorHandle } from "../parts/sql/Editor";
import { EXAMPLES } from "../parts/sql/examples";
import { Rows } from "../parts/sql/Rows";
import { Schema } from "../parts/sql/Schema";
import "../styles/sql.css";

const Editor = lazy(() => import("../parts/sql/Editor"));

const LIMITS = [100, 1_000, 10_000];
const MOST_RUNS = 100;
const FILES = {
  CSV: ["text/csv", "csv"],
  Parquet: ["application/vnd.apache.parquet", "parquet"],
  Arrow: ["application/vnd.apache.arrow.stream", "arrows"],
} as const;

interface Asked {
  readonly sql: string;
  readonly result?: SqlResult;
  readonly error?: unknown;
  /** as the asker waited, ms */
  readonly took?: number;
}

export default function SqlPage() {
  const address = useAddress();
  const schema = useQuery({
    queryKey: ["sql", "schema"],
    queryFn: ({ signal }) => get<SqlSchema>("/sql/schema", {}, signal),
    staleTime: Infinity,
  });
  const [text, setText] = useState(() => address.get("q") ?? "");
  const [asked, setAsked] = useState<Asked | null>(null);
  const [hasSchema, setSchema] = useState(false);
  const editor = useRef<EditorHandle>(null);
  const running = useRunning();
  const limit = LIMITS.find((each) => String(each) === address.get("limit")) ?? 1_000;

  // Back and forward: what the address says is written, and not run.
  const inAddress = address.get("q") ?? "";
  const lastRun = useRef(inAddress);
  useEffect(() => {
    if (inAddress === lastRun.current) return;
    lastRun.current = inAddress;
    editor.current?.replace(inAddress);
    setAsked(null);
  }, [inAddress]);

  const run = async () => {
    const sql = text;
    if (sql.trim() === "" || running.since !== null) return;
    lastRun.current = sql;
    address.set({ q: sql, x: null, y: null });
    const begun = performance.now();
    const told = await running.begin((id, signal) =>
      post("/sql", { sql, limit, id, timeout_ms: schema.data?.most_ms ?? 10_000 }, { signal })
        .then(async (answer) => ({ result: (await answer.json()) as SqlResult }))
        .catch((error: unknown) => ({ error })),
    );
    setAsked({ sql, ...told, took: performance.now() - begun });
  };
  const write = (sql: string) => {
    editor.current?.replace(sql);
    setAsked(null);
  };

  const problem = asked?.error instanceof ApiError ? asked.error : null;
  const at = problem?.at != null && asked ? unitsBefore(asked.sql, problem.at) : null;
  return (
    <main id="main" className="sql page">
      <title>SQL · otel-traj</title>
      <h1 className="sr">SQL</h1>
      <aside
        className={hasSchema ? "sql-schema shown" : "sql-schema"}
        aria-label="Views and columns"
      >
        {schema.data && (
          <Schema views={schema.data.views} onInsert={(name) => editor.current?.insert(name)} />
        )}
        {schema.isError && <Problem error={schema.error} onRetry={() => void schema.refetch()} />}
      </aside>
      <div className="sql-main">
        <Suspense fallback={<Loading what="the editor" />}>
          <Editor
            initial={text}
            views={schema.data?.views ?? NO_VIEWS}
            error={asked?.sql === text ? at : null}
            onChange={setText}
            onRun={() => void run()}
            onCancel={running.cancel}
            handle={editor}
          />
        </Suspense>
        <div className="bar sql-bar">
          <button
            type="button"
            className="primary"
            disabled={running.since !== null || text.trim() === ""}
            onClick={() => void run()}
            aria-keyshortcuts="Control+Enter"
          >
            Run <kbd>Ctrl Enter</kbd>
          </button>
          {running.since !== null && (
            <button type="button" onClick={running.cancel}>
              Cancel
            </button>
          )}
          <label>
            Rows{" "}
            <select
              value={limit}
              onChange={(event) => address.set({ limit: event.target.value }, "replace")}
            >
              {LIMITS.map((each) => (
                <option key={each} value={each}>
                  {exact(each)}
                </option>
              ))}
            </select>
          </label>
          <Queries text={text} onChoose={write} />
          <Downloads sql={text} />
          <button
            type="button"
            className="narrow-only"
            aria-expanded={hasSchema}
            onClick={() => setSchema(!hasSchema)}
          >
            Columns
          </button>
          <Status asked={asked} since={running.since} />
        </div>
        {!asked && running.since === null && (
          <Begin
            hasText={text.trim() !== ""}
            isLink={inAddress !== "" && inAddress === text}
            onChoose={write}
          />
        )}
        {asked?.error !== undefined && (
          <Problem error={asked.error}>
            {at !== null && (
              <p className="muted">
                Line {lineAndColumn(asked.sql, at)[0]}, column {lineAndColumn(asked.sql, at)[1]}
              </p>
            )}
          </Problem>
        )}
        {asked?.result && <Answer result={asked.result} />}
      </div>
    </main>
  );
}

const NO_VIEWS: SqlSchema["views"] = [];

/** One query at a time: since when it runs, and how to stop it. */
function useRunning() {
  const [since, setSince] = useState<number | null>(null);
  const now = useRef<{ id: string; abort: AbortController } | null>(null);
  const leave = () => now.current?.abort.abort();
  useEffect(() => leave, []);
  const begin = async <T,>(ask: (id: string, signal: AbortSignal) => Promise<T>): Promise<T> => {
    const abort = new AbortController();
    // Beyond this machine and without TLS browsers have no randomUUID.
    const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(36)).join(
      "-",
    );
    now.current = { id, abort };
    setSince(performance.now());
    try {
      return await ask(id, abort.signal);
    } finally {
      now.current = null;
      setSince(null);
    }
  };
  const cancel = () => {
    if (!now.current) return;
    // Where that fails, going away stops it too.
    void post("/sql/cancel", { id: now.current.id }).catch(leave);
  };
  return { since, begin, cancel };
}

function Status({ asked, since }: { asked: Asked | null; since: number | null }) {
  const [now, setNow] = useState(0);
  useEffect(() => {
    if (since === null) return;
    setNow(since);
    const timer = setInterval(() => setNow(performance.now()), 100);
    return () => clearInterval(timer);
  }, [since]);
  const result = asked?.result;
  return (
    <p className="sql-status">
      {since !== null && <span aria-hidden="true">{((now - since) / 1000).toFixed(1)} s</span>}
      <span role="status">
        {since !== null
          ? "Running …"
          : result
            ? `${rowsOf(result)} in ${duration((asked.took ?? 0) * 1000)}`
            : ""}
      </span>
    </p>
  );
}

function rowsOf(result: SqlResult): string {
  const n = `${exact(result.n_rows)} ${result.n_rows === 1 ? "row" : "rows"}`;
  if (result.limited_by === "rows") return `First ${n} of more`;
  if (result.limited_by === "bytes") return `First ${n} of more (so many fit in 8 MB)`;
  return n;
}

function Begin(props: { hasText: boolean; isLink: boolean; onChoose: (sql: string) => void }) {
  if (props.isLink)
    return (
      <p className="note" role="status">
        This query came with the address. It has not been run: read it, then run it with{" "}
        <kbd>Ctrl Enter</kbd>.
      </p>
    );
  return (
    <section className="sql-begin" aria-label="Examples">
      <p className="muted">
        One SELECT over the views beside. Nothing is ever written.
        {!props.hasText && " To begin with:"}
      </p>
      {!props.hasText && (
        <ul>
          {EXAMPLES.map(({ title, sql }) => (
            <li key={title}>
              <button type="button" className="link" onClick={() => props.onChoose(sql)}>
                {title}
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Saved under a name in this browser, and examples. */
function Queries({ text, onChoose }: { text: string; onChoose: (sql: string) => void }) {
  return (
    <Menu label="Queries">
      <h2>Saved</h2>
      <Named kind="queries" what="query" now={() => (text.trim() === "" ? null : text)}>
        {(name, sql) => (
          <button type="button" className="link" onClick={() => onChoose(sql)}>
            {name}
          </button>
        )}
      </Named>
      <h2>Examples</h2>
      <ul>
        {EXAMPLES.map(({ title, sql }) => (
          <li key={title}>
            <button type="button" className="link" onClick={() => onChoose(sql)}>
              {title}
            </button>
          </li>
        ))}
      </ul>
    </Menu>
  );
}

/** All rows of the query as it stands, as a file. */
function Downloads({ sql }: { sql: string }) {
  const [state, setState] = useState<{ busy?: string; error?: string }>({});
  const download = async (name: keyof typeof FILES) => {
    const [accept, ending] = FILES[name];
    setState({ busy: name });
    try {
      const answer = await post("/sql", { sql, timeout_ms: 60_000 }, { accept });
      const address = URL.createObjectURL(await answer.blob());
      const link = document.createElement("a");
      link.href = address;
      link.download = `query.${ending}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      setState({});
    } catch (error) {
      setState({ error: error instanceof Error ? error.message : String(error) });
    }
  };
  return (
    <Menu label="Download">
      <p className="muted">Asks again, for all rows.</p>
      <ul>
        {(Object.keys(FILES) as (keyof typeof FILES)[]).map((name) => (
          <li key={name}>
            <button
              type="button"
              disabled={sql.trim() === "" || state.busy !== undefined}
              onClick={() => void download(name)}
            >
              {state.busy === name ? `${name} …` : name}
            </button>
          </li>
        ))}
      </ul>
      {state.error && (
        <p className="failed" role="alert">
          {state.error}
        </p>
      )}
    </Menu>
  );
}

function Answer({ result }: { result: SqlResult }) {
  const address = useAddress();
  const isChart = address.get("view") === "chart";
  const chosen = (name: "x" | "y") => {
    const at = Number(address.get(name) ?? NaN);
    return Number.isInteger(at) && at < result.columns.length ? at : axes(result)[name];
  };
  const ids = runsOf(result);
  const list = new URLSearchParams(ids.slice(0, MOST_RUNS).map((id) => ["id", id]));
  return (
    <section className="sql-answer" aria-label="Answer">
      <div className="sql-tools">
        <div role="group" aria-label="Show as">
          <button
            type="button"
            aria-pressed={!isChart}
            onClick={() => address.set({ view: null }, "replace")}
          >
            Table
          </button>
          <button
            type="button"
            aria-pressed={isChart}
            onClick={() => address.set({ view: "chart" }, "replace")}
          >
            Chart
          </button>
        </div>
        {ids.length > 0 && (
          <Link href={`/t?${list}`}>
            {ids.length > MOST_RUNS
              ? `Open the first ${MOST_RUNS} of ${exact(ids.length)} runs as a list`
              : `Open ${exact(ids.length)} ${ids.length === 1 ? "run" : "runs"} as a list`}
          </Link>
        )}
      </div>
      {result.n_rows === 0 ? (
        <p className="note">The query is well, and no row answers it: loosen what it asks for.</p>
      ) : isChart ? (
        <Chart
          result={result}
          kind={address.get("chart") === "line" ? "line" : "bar"}
          x={chosen("x")}
          y={chosen("y")}
          onChange={({ x, y, kind }) =>
            address.set(
              {
                ...(x !== undefined && { x: String(x) }),
                ...(y !== undefined && { y: String(y) }),
                ...(kind !== undefined && { chart: kind }),
              },
              "replace",
            )
          }
        />
      ) : (
        <Rows result={result} />
      )}
    </section>
  );
}
