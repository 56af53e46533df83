import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useLocation } from "wouter";
import { type Facets, get, type Meta, type RunPage, type Seen } from "../api/client";
import { exact } from "../core/format";
import { type Address, useAddress } from "../frame/address";
import { useKeys } from "../frame/keys";
import { failure } from "../frame/reach";
import { ActiveFilters } from "../parts/ActiveFilters";
import { CompareSelected } from "../parts/CompareLink";
import { FacetPanel } from "../parts/FacetPanel";
import { Histogram } from "../parts/Histogram";
import { Loading, Problem } from "../parts/Problem";
import { RunTable } from "../parts/RunTable";
import { SavedViews } from "../parts/SavedViews";
import { SearchBox } from "../parts/SearchBox";
import { active, FACETS, filtersOf, NEWEST_FIRST, NOTHING, RANGES } from "./filters";

const PAGE = 100;
/** How soon an answer that is of a part of the store is asked for again. */
const AGAIN_MS = 500;

export function ListPage() {
  const address = useAddress();
  const [, go] = useLocation();
  const filters = filtersOf(address);
  const sort = address.get("sort") ?? NEWEST_FIRST;
  const selected = useMemo(() => new Set(address.all("sel")), [address]);
  const [hasFacets, setFacets] = useState(false);

  const meta = useQuery({
    queryKey: ["meta"],
    queryFn: ({ signal }) => get<Meta>("/meta", {}, signal),
  });
  const runs = useInfiniteQuery({
    queryKey: ["runs", filters, sort],
    queryFn: ({ pageParam, signal }) =>
      get<RunPage>("/trajectories", { ...filters, sort, limit: PAGE, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.data?.pages[0]?.seen ? AGAIN_MS : false),
  });
  const facets = useQuery({
    queryKey: ["facets", filters],
    queryFn: ({ signal }) =>
      get<Facets>(
        "/facets",
        { ...filters, fields: [...FACETS, "start", ...RANGES].join(",") },
        signal,
      ),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.data?.seen ? AGAIN_MS : false),
  });
  const rows = useMemo(() => runs.data?.pages.flatMap((page) => page.rows) ?? [], [runs.data]);
  const total = runs.data?.pages[0]?.total;
  const failed = failure(runs);
  const seen = runs.data?.pages[0]?.seen ?? null;

  const toggle = (id: string) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    address.set({ sel: [...next] }, "replace");
  };
  useKeys([
    { keys: ["/"], label: "Search", run: () => document.getElementById("search")?.focus() },
    {
      keys: ["Escape"],
      label: "Clear the selection",
      run: () => address.set({ sel: null }, "replace"),
      isAlways: true,
    },
  ]);

  const isEmptyStore = meta.data?.n_trajectories === 0;
  const isFiltered = active(address).length > 0 || address.get("q") !== null;
  return (
    <main id="main" className="list page">
      <title>Runs · otel-traj</title>
      <h1 className="sr">Runs</h1>
      <div className="bar">
        <SearchBox
          value={address.get("q") ?? ""}
          fields={meta.data?.fields ?? {}}
          facets={facets.data?.facets ?? {}}
          error={problemOfQuery(runs.error)}
          onChange={(q) => address.set({ q })}
        />
        <SavedViews address={address} />
        <button
          type="button"
          className="narrow-only"
          aria-expanded={hasFacets}
          onClick={() => setFacets(!hasFacets)}
        >
          Filters
        </button>
      </div>
      <ActiveFilters address={address}>
        <button type="button" onClick={() => address.set({ ...NOTHING, q: address.get("q") })}>
          Clear all
        </button>
      </ActiveFilters>
      <div className="columns">
        <aside className={hasFacets ? "facets shown" : "facets"} aria-label="Filters">
          {facets.data && <FacetPanel facets={facets.data} address={address} />}
          {failure(facets) && !failed && (
            <Problem error={facets.error} onRetry={() => void facets.refetch()} />
          )}
        </aside>
        <section className="results" aria-label="Runs" aria-busy={runs.isFetching}>
          {facets.data?.histograms.start && total !== 0 && (
            <Histogram
              histogram={facets.data.histograms.start}
              onChoose={(since, until) => address.set({ since, until })}
            />
          )}
          <p className="found" role="status">
            {total !== undefined && (
              <span>
                <strong>{exact(total)}</strong> {total === 1 ? "run" : "runs"}
                {isFiltered && meta.data && ` of ${exact(meta.data.n_trajectories)}`}
              </span>
            )}
            {seen && <StillReading seen={seen} />}
            {selected.size > 0 && (
              <span className="selection">
                {selected.size} selected
                <CompareSelected selected={selected} />
                <button type="button" onClick={() => address.set({ sel: null }, "replace")}>
                  Clear
                </button>
              </span>
            )}
          </p>
          {problemOfQuery(runs.error) && rows.length === 0 ? (
            <Unreadable address={address} />
          ) : failed && rows.length === 0 ? (
            <Problem error={failed} onRetry={() => void runs.refetch()}>
              {isFiltered && (
                <button type="button" onClick={() => address.set(NOTHING)}>
                  Clear all filters
                </button>
              )}
            </Problem>
          ) : runs.isPending ? (
            <Loading what="runs" />
          ) : isEmptyStore ? (
            <NothingRecorded store={meta.data?.store ?? "traces"} />
          ) : rows.length === 0 && seen ? (
            <Loading what="older runs" />
          ) : rows.length === 0 ? (
            <NothingFound address={address} />
          ) : (
            <RunTable
              rows={rows}
              total={total ?? rows.length}
              sort={sort}
              selected={selected}
              hasMore={runs.hasNextPage && !runs.isError}
              isLoading={runs.isFetchingNextPage}
              onMore={() => void runs.fetchNextPage()}
              onSort={(by) => address.set({ sort: by === NEWEST_FIRST ? null : by })}
              onToggle={toggle}
              onOpen={(id) => go(`/t/${encodeURIComponent(id)}`)}
            />
          )}
          {failed && rows.length > 0 && (
            <Problem error={failed} onRetry={() => void runs.refetch()} />
          )}
        </section>
      </div>
    </main>
  );
}

/** A query that cannot be read is told where it is typed. */
function problemOfQuery(error: unknown): string | null {
  return error instanceof Error && "status" in error && error.status === 400 ? error.message : null;
}

/** The answer is of the newest runs so far; it is asked for again until it is of all. */
function StillReading({ seen }: { seen: Seen }) {
  return (
    <span className="muted still-reading">
      <progress value={seen.runs} max={seen.of} aria-label="Runs looked at" />
      so far: {exact(seen.runs)} of about {exact(seen.of)} runs looked at
      {seen.since && `, all since ${seen.since}`}
    </span>
  );
}

/** Why it cannot be read is told under the box where it is typed. */
function Unreadable({ address }: { address: Address }) {
  return (
    <div className="empty">
      <h2>This search cannot be read</h2>
      <p>Under the search box stands what would be.</p>
      <button type="button" onClick={() => address.set(NOTHING)}>
        Show all runs
      </button>
    </div>
  );
}

function NothingFound({ address }: { address: Address }) {
  return (
    <div className="empty">
      <h2>No run matches</h2>
      <p>Take a filter away, or search for less.</p>
      <button type="button" onClick={() => address.set(NOTHING)}>
        Show all runs
      </button>
    </div>
  );
}

function NothingRecorded({ store }: { store: string }) {
  return (
    <div className="empty">
      <h2>Nothing is recorded yet</h2>
      <p>
        The store is <code>{store}</code>. Record a first run from Python:
      </p>
      <pre>
        {`import otel_traj

otel_traj.instrument(${JSON.stringify(store)})
with otel_traj.trajectory(task="first"):
    ...   # your agent`}
      </pre>
      <p>
        Or, for a look without an agent, key or network: <code>otel-traj demo --store {store}</code>
      </p>
      <button type="button" onClick={() => window.location.reload()}>
        Look again
      </button>
    </div>
  );
}
