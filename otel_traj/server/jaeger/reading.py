"""Traces of a store as Jaeger shows them: which there are, and their spans in current names.

A span keeps its ids, name, times and status as it was sent; its attributes are those of the
current GenAI conventions whatever dialect it spoke, redacted like all that leaves a store. Spans
that have not ended are not shown.
"""
# ruff: noqa: S608 - what is put into this SQL are our own texts and quoted ids

from __future__ import annotations

import dataclasses
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb
import pyarrow as pa

from otel_traj import semconv
from otel_traj.errors import StoreDamagedError
from otel_traj.model import SpanRecord
from otel_traj.redaction import Redaction
from otel_traj.server.jaeger import searching
from otel_traj.server.jaeger.asked import ServiceFrom, TraceQuery
from otel_traj.store import rows, snapshot, views
from otel_traj_exporters.current_names import (
    UNREAD_STEP_COLUMNS,
    in_place,
    traces_in_other_words,
)

_T = TypeVar("_T")

MEMORY_LIMIT: Final = "1GB"
"""What all questions under way may use in the engine, which shares a process with the receiver."""

_SPANS_AT_ONCE: Final = 20_000
"""Traces are fetched in pages of about so many spans; bounds memory."""

_MOST_AT_ONCE: Final = 20
"""And of so many traces, so that the first ones are there soon."""

_GROWTH: Final = 4
"""How many times more candidates are looked at when those before were not enough."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace with its ended spans in order of start."""

    trace_id: str
    spans: list[SpanRecord]


@dataclass(frozen=True, slots=True)
class Operation:
    """A name that spans of a service have, and their kind: `internal`, `server`, `client` ..."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """How many spans of a trace are of a service."""

    name: str
    n_spans: int
    n_errors: int


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A trace without its spans. Times are Unix nanoseconds."""

    trace_id: str
    root_service: str
    root_operation: str
    start_ns: int
    end_ns: int
    n_spans: int
    n_errors: int
    n_orphans: int
    services: tuple[ServiceSummary, ...]


@dataclass(frozen=True, slots=True)
class Dependency:
    """Spans of one service were called so often by spans of another."""

    parent: str
    child: str
    n_calls: int


@dataclass(frozen=True, slots=True)
class _Place:
    """On which days the spans of a trace are, and how many."""

    trace_id: str
    dates: tuple[str, ...]
    n_spans: int


class Reader:
    """Reads the newest snapshot of a store; what is not sealed yet comes with the next one.

    Safe to share between threads.
    """

    def __init__(self, store: Path, redaction: Redaction) -> None:
        """Read a store.

        Args:
            store: Its folder.
            redaction: What is replaced on the way out.
        """
        self._store = store
        self._redaction = redaction
        self._mutex = threading.Lock()  # protects the engine
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._engine_is_of = -1

    def services(self, by: ServiceFrom = "service") -> list[str]:
        """Names of all services, sorted."""

        def ask(cursor: duckdb.DuckDBPyConnection) -> list[str]:
            found = cursor.execute(
                f"select distinct shown_service from ({searching.spans(by)}) order by 1"
            )
            return [name for (name,) in found.fetchall()]

        return self._read(ask)

    def operations(
        self, service: str | None, kind: str | None = None, by: ServiceFrom = "service"
    ) -> list[Operation]:
        """What spans of a service are called, sorted.

        Args:
            service: Its name; None for all.
            kind: Only spans of this kind, in lower case; None for all.
            by: What counts as service.
        """

        def ask(cursor: duckdb.DuckDBPyConnection) -> list[Operation]:
            found = cursor.execute(
                # A span of no kind counts as internal, says OTLP.
                "select distinct name, lower(coalesce(nullif(kind, 'UNSPECIFIED'), 'INTERNAL'))"
                f" as shown_kind from ({searching.spans(by)})"
                " where ($service is null or shown_service = $service)"
                " and ($kind is null or shown_kind = $kind) order by all",
                {"service": service, "kind": kind},
            )
            return [Operation(*row) for row in found.fetchall()]

        return self._read(ask)

    def trace(self, trace_id: str, by: ServiceFrom = "service") -> Trace | None:
        """One trace; None where the store has no ended span of it."""
        return self._read(lambda cursor: next(self._traces(cursor, [trace_id], by), None))

    def found(self, query: TraceQuery, by: ServiceFrom = "service") -> list[str]:
        """Ids of the traces that a query looks for, those with the newest such span first."""
        return self._read(lambda cursor: self._found(cursor, query, by))

    def find(self, query: TraceQuery, by: ServiceFrom = "service") -> Iterator[Trace]:
        """The traces that a query looks for, in the order of `found`; read page by page.

        Raises:
            StoreDamagedError: A file cannot be read, or somebody erased what is being read.
        """
        cursor, _ = self._cursor()
        if searching.decided_later(query.tags):
            yield from self._decided(cursor, query, by)
        else:
            yield from self._traces(cursor, self._found(cursor, query, by), by)

    def summaries(self, query: TraceQuery, by: ServiceFrom = "service") -> list[TraceSummary]:
        """The same traces without their spans."""

        def ask(cursor: duckdb.DuckDBPyConnection) -> list[TraceSummary]:
            found = self._found(cursor, query, by)
            places = self._places(cursor, found)
            if not places:
                return []
            summaries = cursor.execute(
                _SUMMARIES.format(spans=f"{searching.spans(by)} where {_at(places, 's.')}")
            )
            by_id = {row[0]: _summary(*row) for row in summaries.fetchall()}
            return [by_id[trace_id] for trace_id in found if trace_id in by_id]

        return self._read(ask)

    def dependencies(
        self, start_ns: int, end_ns: int, by: ServiceFrom = "service"
    ) -> list[Dependency]:
        """How often services called each other, by spans that began in a range of Unix ns."""

        def ask(cursor: duckdb.DuckDBPyConnection) -> list[Dependency]:
            found = cursor.execute(
                f"with span as (select trace_id, span_id, parent_span_id, start_ns, shown_service"
                f" from ({searching.spans(by)}))"
                " select p.shown_service, c.shown_service, count(*) from span c join span p"
                " on p.trace_id = c.trace_id and p.span_id = c.parent_span_id"
                " where c.start_ns between $start and $end group by all order by all",
                {"start": start_ns, "end": end_ns},
            )
            return [Dependency(*row) for row in found.fetchall()]

        return self._read(ask)

    # --- how it is read ------------------------------------------------------------------------

    def _read(self, ask: Callable[[duckdb.DuckDBPyConnection], _T]) -> _T:
        """An answer from one snapshot; from the next one where files of the first were erased."""
        while True:
            cursor, n = self._cursor()
            try:
                with views.reading_files(self._store):
                    return ask(cursor)
            except StoreDamagedError:
                if snapshot.numbers(self._store)[-1:] == [n]:
                    raise

    def _cursor(self) -> tuple[duckdb.DuckDBPyConnection, int]:
        """A cursor on the newest snapshot, and its number."""
        with self._mutex:
            n = (snapshot.numbers(self._store) or [0])[-1]
            if self._engine is None or self._engine_is_of != n:
                current = snapshot.newest(self._store)
                engine = views.connect_for_sealing(self._store, current)
                engine.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
                self._engine, self._engine_is_of = engine, current.n
            return self._engine.cursor(), self._engine_is_of

    def _found(
        self, cursor: duckdb.DuckDBPyConnection, query: TraceQuery, by: ServiceFrom
    ) -> list[str]:
        if searching.decided_later(query.tags):
            return [trace.trace_id for trace in self._decided(cursor, query, by)]
        return next(self._candidates(cursor, query, by), [])

    def _decided(
        self, cursor: duckdb.DuckDBPyConnection, query: TraceQuery, by: ServiceFrom
    ) -> Iterator[Trace]:
        """The traces that a query looks for, where that is only seen on what is shown of them."""
        tags = searching.decided_later(query.tags)
        n_found = 0
        for trace_ids in self._candidates(cursor, query, by):
            span_ids = self._matching(cursor, query, trace_ids, by)
            for trace in self._traces(cursor, trace_ids, by):
                own = span_ids[trace.trace_id]
                if any(span.span_id in own and searching.shows(span, tags) for span in trace.spans):
                    yield trace
                    n_found += 1
                    if n_found == query.limit:
                        return

    def _candidates(
        self, cursor: duckdb.DuckDBPyConnection, query: TraceQuery, by: ServiceFrom
    ) -> Iterator[list[str]]:
        """Ids of the traces with a span for which all holds that SQL can tell, the newest first.

        As many as are wanted, and then ever more.
        """
        condition = searching.condition(query)
        sql = (
            f"select s.trace_id from ({searching.spans(by)}) s where {condition.sql}"
            " group by s.trace_id order by max(s.start_ns) desc, s.trace_id"
        )
        offset, n = 0, query.limit
        while True:
            with views.reading_files(self._store):
                found = cursor.execute(
                    f"{sql} limit {n} offset {offset}", condition.parameters
                ).fetchall()
            yield [trace_id for (trace_id,) in found]
            if len(found) < n:
                return
            offset, n = offset + n, n * _GROWTH

    def _matching(
        self,
        cursor: duckdb.DuckDBPyConnection,
        query: TraceQuery,
        trace_ids: Sequence[str],
        by: ServiceFrom,
    ) -> dict[str, set[str]]:
        """Of some traces the spans for which all holds that SQL can tell."""
        places = self._places(cursor, trace_ids)
        if not places:
            return {}
        condition = searching.condition(query)
        with views.reading_files(self._store):
            found = cursor.execute(
                f"select s.trace_id, s.span_id from ({searching.spans(by)}) s"
                f" where {_at(places, 's.')} and {condition.sql}",
                condition.parameters,
            ).fetchall()
        matching: dict[str, set[str]] = defaultdict(set)
        for trace_id, span_id in found:
            matching[trace_id].add(span_id)
        return matching

    def _traces(
        self, cursor: duckdb.DuckDBPyConnection, trace_ids: Sequence[str], by: ServiceFrom
    ) -> Iterator[Trace]:
        """The traces that there are, in the order of their ids; page by page."""
        for some in _in_parts(trace_ids, _MOST_AT_ONCE):
            with views.reading_files(self._store):
                places = self._places(cursor, some)
            for page in _pages(places):
                with views.reading_files(self._store):
                    spans = self._spans(cursor, page, by)
                for place in page:
                    yield Trace(place.trace_id, spans[place.trace_id])

    def _places(self, cursor: duckdb.DuckDBPyConnection, trace_ids: Sequence[str]) -> list[_Place]:
        """Where these traces are, in the order of their ids; those that there are not, left out."""
        if not trace_ids:
            return []
        found = cursor.execute(
            'select trace_id, list(distinct "date"), count(*) from stored.spans'
            f" where trace_id in ({_quoted(trace_ids)}) group by trace_id"
        ).fetchall()
        by_id = {trace_id: _Place(trace_id, tuple(dates), n) for trace_id, dates, n in found}
        return [by_id[trace_id] for trace_id in dict.fromkeys(trace_ids) if trace_id in by_id]

    def _spans(
        self, cursor: duckdb.DuckDBPyConnection, page: Sequence[_Place], by: ServiceFrom
    ) -> dict[str, list[SpanRecord]]:
        """Trace -> its spans as they are emitted."""

        def table(sql: str) -> pa.Table:
            return cursor.sql(sql).to_arrow_table()

        found = table(
            f"select * from ({searching.spans(by)}) s where {_at(page, 's.')}"
            " order by start_ns, span_id"
        )
        services = dict(
            zip(
                zip(found["trace_id"].to_pylist(), found["span_id"].to_pylist(), strict=True),
                found["shown_service"].to_pylist(),
                strict=True,
            )
        )
        spans = rows.span_records(found)
        logs = rows.log_records(table(f"from stored.logs where {_at(page)}"))
        other = traces_in_other_words(spans, logs)
        shown = [span for span in spans if span.trace_id not in other]
        if other:
            members = table(
                f"from live.trajectory_spans where trace_id in ({_quoted(other)})"
            ).to_pylist()
            steps = table(_steps_of(members)).to_pylist() if members else []
            shown += in_place(
                (span for span in spans if span.trace_id in other),
                logs,
                map(rows.step, steps),
                {(row["trace_id"], row["span_id"]): row["step"] for row in members},
            )
        of_trace: dict[str, list[SpanRecord]] = defaultdict(list)
        for span in shown:
            of_trace[span.trace_id].append(self._shown(span, services[span.trace_id, span.span_id]))
        return of_trace

    def _shown(self, span: SpanRecord, service: str) -> SpanRecord:
        span = self._redaction.record(span)
        if span.resource.get(semconv.SERVICE_NAME) == service:
            return span
        resource = {**span.resource, semconv.SERVICE_NAME: service}
        return dataclasses.replace(span, resource=resource)


def _steps_of(members: Iterable[dict[str, Any]]) -> str:
    """SQL for the steps of some members of trajectories."""
    places = {(row["trajectory_id"], row["date"]) for row in members}
    unread = ", ".join(f"null as {name}" for name in UNREAD_STEP_COLUMNS)
    return (
        f"select * replace ({unread}) from live.steps"
        f' where "date" in ({_quoted({date for _, date in places})})'
        f" and trajectory_id in ({_quoted({trajectory_id for trajectory_id, _ in places})})"
    )


def _at(places: Iterable[_Place], prefix: str = "") -> str:
    """SQL for: a row of one of these traces."""
    listed = [*places]
    # The day is told in words: a file of another one is not opened then.
    dates = _quoted({date for place in listed for date in place.dates})
    return (
        f'{prefix}"date" in ({dates})'
        f" and {prefix}trace_id in ({_quoted(place.trace_id for place in listed)})"
    )


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(map(views.quoted, sorted(texts)))


def _pages(places: Iterable[_Place]) -> Iterator[list[_Place]]:
    """The places in parts of about `_SPANS_AT_ONCE` spans; a trace stays whole."""
    page: list[_Place] = []
    for place in places:
        if page and sum(p.n_spans for p in page) + place.n_spans > _SPANS_AT_ONCE:
            yield page
            page = []
        page.append(place)
    if page:
        yield page


def _in_parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[at : at + size] for at in range(0, len(items), size))


# --- summaries ---------------------------------------------------------------------------------

# The root is the first span without a parent, else the first whose parent never came.
_SUMMARIES: Final = """
with span as (
    select trace_id, span_id, parent_span_id, name, status = 'ERROR' as is_error, start_ns, end_ns,
        shown_service as service
    from ({spans})
), placed as (
    select c.*, c.parent_span_id is not null and p.span_id is null as is_orphan
    from span c left join span p on p.trace_id = c.trace_id and p.span_id = c.parent_span_id
), service as (
    select trace_id, list(row(service, n_spans, n_errors) order by service) as services from (
        select trace_id, service, count(*) as n_spans, count_if(is_error) as n_errors
        from span group by all
    ) group by trace_id
)
select trace_id, any_value(services),
    arg_min(service, row(is_orphan, start_ns)) filter (parent_span_id is null or is_orphan),
    arg_min(name, row(is_orphan, start_ns)) filter (parent_span_id is null or is_orphan),
    min(start_ns), max(greatest(start_ns, coalesce(end_ns, 0))), count(*)::bigint,
    count_if(is_error)::bigint, count_if(is_orphan)::bigint
from placed join service using (trace_id) group by trace_id
"""


def _summary(
    trace_id: str,
    services: Sequence[Any],
    root_service: str | None,
    root_operation: str | None,
    *counts: int,
) -> TraceSummary:
    start_ns, end_ns, n_spans, n_errors, n_orphans = counts
    return TraceSummary(
        trace_id=trace_id,
        root_service=root_service or "",
        root_operation=root_operation or "",
        start_ns=start_ns,
        end_ns=end_ns,
        n_spans=n_spans,
        n_errors=n_errors,
        n_orphans=n_orphans,
        services=tuple(
            ServiceSummary(*(part.values() if isinstance(part, dict) else part))
            for part in services
        ),
    )
