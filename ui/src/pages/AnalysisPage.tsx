import { useIsFetching, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type AnalysisSummary, type Facets, get, type Meta } from "../api/client";
import { type Address, useAddress } from "../frame/address";
import { useKeys } from "../frame/keys";
import { failure } from "../frame/reach";
import { ActiveFilters } from "../parts/ActiveFilters";
import { Panel, pageHref } from "../parts/analysis/Panel";
import { Problem } from "../parts/Problem";
import { SearchBox } from "../parts/SearchBox";
import { DASHBOARDS, type Dashboard } from "./dashboards";
import { filtersOf, NOTHING } from "./filters";
import "../styles/analysis.css";

/** What many runs tell together: of those that the filters choose, as in the list. */
export default function AnalysisPage({ name }: { name: string }) {
  const address = useAddress();
  const dashboard = DASHBOARDS.find((one) => one.name === name);
  useKeys([
    { keys: ["/"], label: "Search", run: () => document.getElementById("search")?.focus() },
  ]);
  if (!dashboard)
    return (
      <main id="main" className="page note">
        <h1>There is no such analysis</h1>
        <p>
          <Link href={pageHref(DASHBOARDS[0]!.name, address)}>{DASHBOARDS[0]!.title}</Link>
        </p>
      </main>
    );
  return <Shown dashboard={dashboard} address={address} />;
}

function Shown({ dashboard, address }: { dashboard: Dashboard; address: Address }) {
  const filters = filtersOf(address);
  const meta = useQuery({
    queryKey: ["meta"],
    queryFn: ({ signal }) => get<Meta>("/meta", {}, signal),
  });
  const facets = useQuery({
    queryKey: ["names", filters],
    queryFn: ({ signal }) =>
      get<Facets>("/facets", { ...filters, fields: "agent,outcome,tool,model,task" }, signal),
  });
  const summary = useQuery({
    queryKey: ["analysis", null, filters],
    queryFn: ({ signal }) => get<AnalysisSummary>("/analysis", filters, signal),
  });
  const failed = failure(summary);
  const isBad = summary.error && "status" in summary.error && summary.error.status === 400;
  return (
    <main id="main" className="analysis page">
      <title>{`${dashboard.title} · otel-traj`}</title>
      <div className="bar">
        <SearchBox
          value={address.get("q") ?? ""}
          fields={meta.data?.fields ?? {}}
          facets={facets.data?.facets ?? {}}
          error={isBad ? summary.error.message : null}
          onChange={(q) => address.set({ q })}
        />
      </div>
      <ActiveFilters address={address} />
      <nav className="tabs" aria-label="Analyses">
        {DASHBOARDS.map(({ name, title }) => (
          <Link
            key={name}
            href={pageHref(name, address)}
            aria-current={name === dashboard.name ? "page" : undefined}
          >
            {title}
          </Link>
        ))}
      </nav>
      <div className="board">
        <h1>{dashboard.title}</h1>
        <p className="asks">{dashboard.asks}.</p>
        {summary.data && <Figures summary={summary.data} address={address} />}
        {failed && !isBad && <Problem error={failed} onRetry={() => void summary.refetch()} />}
        {summary.data?.n_runs === 0 ? (
          <NoRuns address={address} isEmpty={meta.data?.n_trajectories === 0} />
        ) : (
          !isBad && (
            <>
              <Progress dashboard={dashboard} />
              {dashboard.analyses.map((name) => (
                <Panel key={name} name={name} filters={filters} address={address} />
              ))}
            </>
          )
        )}
      </div>
    </main>
  );
}

function Progress({ dashboard }: { dashboard: Dashboard }) {
  const n = dashboard.analyses.length;
  const nAsked = useIsFetching({
    queryKey: ["analysis"],
    predicate: ({ queryKey: [, name] }) => dashboard.analyses.includes(name as string),
  });
  return (
    <p className="muted progress" role="status">
      {nAsked === 0 ? "" : `${n - nAsked} of ${n} answered`}
    </p>
  );
}

function Figures({ summary, address }: { summary: AnalysisSummary; address: Address }) {
  const query = address.at.toString();
  return (
    <dl className="figures">
      {summary.figures.map(({ name, figure, made_of }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <strong>{figure}</strong> <span>{made_of}</span>
          </dd>
        </div>
      ))}
      <div>
        <dt>which</dt>
        <dd>
          <Link href={query === "" ? "/t" : `/t?${query}`}>these runs as a list</Link>
        </dd>
      </div>
    </dl>
  );
}

function NoRuns({ address, isEmpty }: { address: Address; isEmpty: boolean }) {
  return (
    <div className="empty">
      <h2>{isEmpty ? "Nothing is recorded yet" : "No run matches"}</h2>
      {isEmpty ? (
        <p>
          <Link href="/t">How to record a first run</Link>
        </p>
      ) : (
        <button type="button" onClick={() => address.set(NOTHING)}>
          Analyse all runs
        </button>
      )}
    </div>
  );
}
