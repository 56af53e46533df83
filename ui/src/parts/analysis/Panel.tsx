import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { Link } from "wouter";
import { type AnalysisAnswer, get, type Parameters } from "../../api/client";
import { listHref, Reader } from "../../core/analysis";
import type { Address } from "../../frame/address";
import { failure } from "../../frame/reach";
import { NEEDS } from "../../pages/dashboards";
import { Problem } from "../Problem";
import { Text } from "../Text";
import { Bars } from "./Bars";
import { Coded, Label, useBadges } from "./badges";
import { Flow } from "./Flow";
import { Lines } from "./Lines";
import { Endings, Times } from "./Stacks";
import { Places, Table } from "./Table";

const ROWS = 200;
const CHARTS: Readonly<Record<string, typeof Bars>> = {
  outcomes: Endings,
  latency: Times,
  drift: Lines,
  process_map: Flow,
};

interface Props {
  readonly name: string;
  readonly filters: Parameters;
  readonly address: Address;
}

export function analysisKey(name: string, filters: Parameters) {
  return ["analysis", name, filters] as const;
}

/** One analysis: what it says, drawn, as a table, and how it was counted. */
export function Panel({ name, filters, address }: Props) {
  const client = useQueryClient();
  const queryKey = analysisKey(name, filters);
  const asked = useQuery({
    queryKey,
    queryFn: ({ signal }) =>
      get<AnalysisAnswer>(`/analysis/${name}`, { ...filters, limit: ROWS }, signal),
  });
  const answer = asked.data;
  const failed = failure(asked);
  const isStopped = asked.isPending && asked.fetchStatus === "idle";
  return (
    <section className="panel" aria-labelledby={`title-${name}`} aria-busy={asked.isFetching}>
      <h2 id={`title-${name}`}>{answer?.title ?? name.replaceAll("_", " ")}</h2>
      {answer && (
        <p className="asks">
          <Coded text={answer.sentence} />
        </p>
      )}
      {failed ? (
        <Problem error={failed} onRetry={() => void asked.refetch()} />
      ) : isStopped ? (
        <p>
          Stopped.{" "}
          <button type="button" onClick={() => void asked.refetch()}>
            Count again
          </button>
        </p>
      ) : !answer ? (
        <Counting onStop={() => void client.cancelQueries({ queryKey })} />
      ) : answer.n === 0 ? (
        <Nothing answer={answer} filters={filters} address={address} />
      ) : (
        <>
          <Findings answer={answer} address={address} />
          <Chart answer={answer} address={address} />
          <Table answer={answer} address={address} />
        </>
      )}
      {answer && <Counted answer={answer} address={address} />}
    </section>
  );
}

function Chart({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const Drawn = CHARTS[answer.name] ?? Bars;
  return <Drawn answer={answer} address={address} />;
}

/** What is going on while nothing is there, and a way out of it. */
function Counting({ onStop }: { onStop: () => void }) {
  const [s, setS] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setS((before) => before + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <p className="loading" role="status">
      Counting … {s > 1 && <span aria-hidden="true">{s} s </span>}
      <button type="button" onClick={onStop}>
        Stop
      </button>
    </p>
  );
}

function Findings({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const badges = useBadges(answer);
  const read = new Reader(answer);
  const said = answer.rows.filter((row) => row.said !== null).slice(0, answer.findings);
  return (
    <>
      {answer.verdict !== null && (
        <p className="verdict">
          <Text text={`${answer.verdict}.`} />
        </p>
      )}
      {said.length > 0 && (
        <ul className="findings">
          {said.map((row, i) => {
            const badge = badges.get(read.raw(row, "label") ?? "");
            return (
              <li key={`${i}`}>
                <Text text={row.said ?? ""} />{" "}
                {badge && row.needed && <Label badge={badge} needed={row.needed} />}{" "}
                <Link href={listHref(address.at, row.only)} aria-label={`Runs of finding ${i + 1}`}>
                  runs
                </Link>{" "}
                <Places places={row.places} />
              </li>
            );
          })}
        </ul>
      )}
      {answer.labels.length > 0 && (
        <dl className="labels">
          {answer.labels.map((badge) => (
            <div key={badge.label}>
              <dt>
                <Label badge={badge} /> {badge.n}
              </dt>
              <dd>
                <Coded text={badge.meaning} />
              </dd>
            </div>
          ))}
        </dl>
      )}
    </>
  );
}

/** Nothing to count: what it would count, and what would have to be recorded. */
function Nothing({ answer, filters, address }: { answer: AnalysisAnswer } & Omit<Props, "name">) {
  const needs = NEEDS[answer.name] ?? [];
  const coverage = useQuery({
    queryKey: analysisKey("coverage", filters),
    queryFn: ({ signal }) =>
      get<AnalysisAnswer>("/analysis/coverage", { ...filters, limit: ROWS }, signal),
    enabled: needs.length > 0,
  });
  const read = coverage.data && new Reader(coverage.data);
  const missing = (coverage.data?.rows ?? []).filter(
    (row) =>
      needs.includes(read!.text(row, "what")) && row.said !== null && read!.raw(row, "remedy"),
  );
  return (
    <div className="nothing">
      <p>
        <strong>There is nothing to tell.</strong>{" "}
        {answer.units && (
          <>
            What it counts: <Coded text={answer.units} />.
          </>
        )}
      </p>
      {missing.length > 0 && (
        <ul>
          {missing.slice(0, 4).map((row, i) => (
            <li key={`${i}`}>
              <Text text={row.said ?? ""} />
            </li>
          ))}
        </ul>
      )}
      <p>
        <Link href={pageHref("record", address)}>What to record to know more</Link>
      </p>
    </div>
  );
}

export function pageHref(dashboard: string, address: Address): string {
  const query = address.at.toString();
  return `/analysis/${dashboard}${query === "" ? "" : `?${query}`}`;
}

/** How the figures came about: what is a row, what was counted, and the query. */
function Counted({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const isFiltered = [...address.at.keys()].length > 0;
  return (
    <details className="counted">
      <summary>How this was counted</summary>
      <Fact name="A row">
        <Coded text={answer.grain} />
      </Fact>
      {answer.units && (
        <Fact name="Counted">
          <Coded text={answer.units} />
        </Fact>
      )}
      <Fact name="On the command line">
        <code>otel-traj analyze {answer.name}</code>
      </Fact>
      {answer.labels.length > 0 && (
        <Fact name="Labels">the query counts; a test within tasks puts the labels on its rows</Fact>
      )}
      {isFiltered && (
        <Fact name="Filters">
          this page counted only the runs that match them; the query here counts all
        </Fact>
      )}
      <p>
        <Link href={`/sql?q=${encodeURIComponent(answer.sql)}`}>Open in SQL</Link>
      </p>
      <pre tabIndex={0}>{answer.sql}</pre>
    </details>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <p>
      <span className="muted">{name}:</span> {children}
    </p>
  );
}
