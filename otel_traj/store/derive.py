"""One batch of records against one snapshot -> the rows and the open traces of the next one.

Nothing here writes: the sealer puts the rows into files and commits them, a reader of a folder that
it may not write keeps them in memory. A span or log that is stored already is dropped, so the same
records twice are the same rows once; a span that comes late makes a new revision of its trajectory.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from otel_traj.assembly import (
    WINDOW_NS,
    Alone,
    OpenTrace,
    Placed,
    Relations,
    connected,
    placed,
    resource_key,
)
from otel_traj.model import Annotation, Assembly, LogRecord, SpanRecord, Step
from otel_traj.otlp import Span, record_of
from otel_traj.store import columns, memory, prices, rows, values
from otel_traj.store.columns import Stretch
from otel_traj.store.days import Days, day
from otel_traj.store.intake import Intake
from otel_traj.store.news import News, new_annotations
from otel_traj.store.prices import Price
from otel_traj.store.stored import LiveTrajectory, Stored
from otel_traj.store.traces import LiveTrace
from otel_traj.store.workers import Commit, Workers, in_pieces, received_rows

_log = logging.getLogger("otel_traj.store")
_T = TypeVar("_T")
_SpanT = TypeVar("_SpanT", bound=Span)

_Told: TypeAlias = "tuple[list[Span], list[LogRecord]]"
"""The spans and logs of one trace."""


@dataclass(slots=True)
class Batch:
    """What a commit adds: rows in file order, and the traces that go on.

    Attributes:
        tables: Table -> date -> logs, annotations, and which rows are dead.
        members: The same of spans and of what they mean: stretches of columns, values of `model`.
        rev: Revision of those values.
    """

    tables: dict[str, dict[str, pa.Table]] = field(default_factory=dict)
    members: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    rev: int | None = None
    open: dict[str, LiveTrace] = field(default_factory=dict)
    n_spans: int = 0
    n_logs: int = 0
    n_annotations: int = 0
    n_duplicates: int = 0
    n_conflicts: int = 0
    n_late: int = 0
    trajectory_ids: tuple[str, ...] = ()
    failed_traces: tuple[str, ...] = ()

    @property
    def has_rows(self) -> bool:
        """Whether it adds any row."""
        return any(self.tables.values()) or any(self.members.values())

    def files(self) -> Iterator[tuple[str, str, int, Iterator[pa.Table]]]:
        """Table, date, number of rows, and the rows in parts, of each file to be written."""
        for table, by_date in self.tables.items():
            for date, received in by_date.items():
                yield table, date, received.num_rows, iter((received,))
        for table, members_by_date in self.members.items():
            for date, members in members_by_date.items():
                parts = columns.tables_of(table, members, rev=self.rev)
                yield table, date, columns.count(members), parts


def derive(
    stored: Stored,
    open_traces: dict[str, LiveTrace],
    intake: Intake,
    *,
    n: int,
    now: float,
    is_final: bool = False,
    price: Price,
    workers: Workers | None = None,
) -> Batch:
    """Rows and open traces of snapshot `n`, the one after `stored`.

    Args:
        stored: The current snapshot.
        open_traces: Its open traces; changed in place.
        intake: What came since.
        n: Number of the snapshot to be, and revision of what is derived.
        now: Seconds since 1970.
        is_final: Nothing more comes for traces without a running span: the end of an import.
        price: Costs of model calls that recorded none.
        workers: Who derives beside this process if there is much to do; None is nobody.
    """
    news = News(stored, intake, open_traces.values())
    lifecycle = _Lifecycle(stored, open_traces, intake, news, now=now, is_final=is_final)
    commit = Commit(n, datetime.fromtimestamp(now, UTC), price)
    derivation = _Derivation(stored, news, lifecycle, commit, workers or Workers(0))
    return _Writer(stored, news, lifecycle, derivation, commit).batch()


def rederive(
    stored: Stored,
    open_traces: dict[str, LiveTrace],
    trace_ids: Collection[str],
    *,
    n: int,
    now: float,
    price: Price,
    is_closed: bool,
) -> Batch:
    """Rows of stored traces by the rules of today; the batch has nothing that was received.

    Args:
        stored: The current snapshot.
        open_traces: Its open traces; they stay open.
        trace_ids: The traces.
        n: Revision of what is derived.
        now: Seconds since 1970.
        price: Costs of model calls that recorded none.
        is_closed: No other trace can be part of their runs, or of the trajectories that they are
            part of now, so none is looked for.
    """
    news = News(stored, Intake())
    dates = stored.dates(trace_ids)
    due = _Due(open_traces, due=set(trace_ids), settled=set(trace_ids), dates=dates)
    for trace_id in due.due & open_traces.keys():
        due.dates[trace_id] = open_traces[trace_id].date
        due.pending += open_traces[trace_id].pending
    costs = stored.costs(trace_ids)

    def price_then(step: Step) -> tuple[float, str] | None:
        """What a call cost does not change with a price list."""
        key = (step.trace_id, step.span_id, step.input_tokens, step.output_tokens)
        return costs.get(key) or price(step)

    commit = Commit(n, datetime.fromtimestamp(now, UTC), price_then)
    derivation = _Derivation(stored, news, due, commit, Workers(0), is_closed=is_closed)
    return _Writer(stored, news, due, derivation, commit).batch()


@dataclass(slots=True)
class _Due:
    """Which traces to derive now, and as running or as over.

    Attributes:
        open: Trace id -> those that go on.
        first_seen: Traces of which nothing was known before this batch.
        due: Traces to derive now.
        settled: Traces that were over before this batch.
        late_spans: Keys of new spans of such traces.
        dates: Trace -> partition, for the traces of this batch.
        dropped: Trace -> spans that its process lost.
        pending: Spans that only started, of the traces to derive.
    """

    open: dict[str, LiveTrace]
    first_seen: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    late_spans: set[tuple[str, str]] = field(default_factory=set)
    dates: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    pending: list[SpanRecord] = field(default_factory=list)


class _Lifecycle(_Due):
    """What is due after a batch of records."""

    def __init__(
        self,
        stored: Stored,
        open_traces: dict[str, LiveTrace],
        intake: Intake,
        news: News,
        *,
        now: float,
        is_final: bool,
    ) -> None:
        super().__init__(open_traces, dates=dict(news.dates))
        spans, starts = _by_trace(news.spans), _by_trace(news.starts)
        for trace_id in spans.keys() | starts.keys():
            self._take_spans(
                trace_id,
                spans.get(trace_id, []),
                starts.get(trace_id, []),
                is_stored=trace_id in news.known,
                writers=intake.writers.get(trace_id, ()),
                now=now,
            )
        self._take_logs({log.trace_id for log in news.logs if log.trace_id})
        self._take_closes(stored, intake)
        self._decide(intake, now=now, is_final=is_final)

    def _take_spans(
        self,
        trace_id: str,
        spans: Sequence[Span],
        starts: Sequence[SpanRecord],
        *,
        is_stored: bool,
        writers: Iterable[str],
        now: float,
    ) -> None:
        trace = self.open.get(trace_id)
        if trace is None and is_stored:
            self.settled.add(trace_id)
        if trace is None and is_stored and not starts:
            self.due.add(trace_id)
            self.late_spans.update((trace_id, span.span_id) for span in spans)
            return
        if trace is None:
            if not is_stored:
                self.first_seen.add(trace_id)
            first_ns = min(span.start_ns for span in (*spans, *starts))
            date = self.dates.setdefault(trace_id, day(first_ns))
            trace = self.open[trace_id] = LiveTrace(OpenTrace(trace_id, now), date)
        for span in spans:
            trace.state.end(span.span_id, now, is_local_root=span.is_local_root)
        for span in starts:
            trace.state.start(span, now)
        trace.n_spans += len(spans)
        trace.writers.update(writers)
        trace.is_touched = True

    def _take_logs(self, trace_ids: set[str]) -> None:
        """A log of a trace that is over is as late as a span; one of a trace to come waits."""
        for trace_id in trace_ids & self.open.keys():
            self.open[trace_id].is_touched = True
        late = (trace_ids & self.dates.keys()) - self.open.keys()
        self.settled.update(late)
        self.due.update(late)

    def _take_closes(self, stored: Stored, intake: Intake) -> None:
        for close in intake.closes:
            for trace_id in close.trace_ids:
                trace = self.open.get(trace_id)
                if trace is not None:
                    trace.is_closed = trace.is_touched = True
                    trace.dropped_spans += close.dropped_spans
                elif close.dropped_spans:
                    self.dropped[trace_id] = self.dropped.get(trace_id, 0) + close.dropped_spans
        self.dates.update(stored.dates(self.dropped.keys() - self.dates.keys()))
        late = self.dropped.keys() & self.dates.keys()
        self.settled.update(late)
        self.due.update(late)

    def _decide(self, intake: Intake, *, now: float, is_final: bool) -> None:
        for trace_id, trace in list(self.open.items()):
            self.dates[trace_id] = trace.date
            is_unread = not trace.writers.isdisjoint(intake.unread)
            is_orphaned = trace.writers.isdisjoint(intake.alive) and not is_unread
            is_over = trace.is_over(now, is_orphaned=is_orphaned)
            if is_over or (is_final and not trace.state.open_spans):
                del self.open[trace_id]
                self.dropped[trace_id] = self.dropped.get(trace_id, 0) + trace.dropped_spans
            elif not trace.is_due(now, is_orphaned=is_orphaned, is_unread=is_unread):
                continue
            self.due.add(trace_id)
            self.pending += trace.pending
            trace.n_derived = trace.n_spans


class _Derivation:
    """The trajectories of all traces that are due, and the rows that they replace."""

    def __init__(
        self,
        stored: Stored,
        news: News,
        lifecycle: _Due,
        commit: Commit,
        workers: Workers,
        *,
        is_closed: bool = False,
    ) -> None:
        self._stored = stored
        self._news = _by_trace(news.spans)
        self._new_logs = news.logs
        self._lifecycle = lifecycle
        self._commit = commit
        self._workers = workers
        self._is_closed = is_closed
        self._days = news.days.and_on(lifecycle.dates[trace_id] for trace_id in lifecycle.due)
        self.assemblies: list[Assembly] = []
        self.superseded: list[LiveTrajectory] = []
        self.received: dict[str, Stretch] = {}
        self.failed: set[str] = set()
        self._given_ids: set[str] = set()
        if lifecycle.due:
            self._run()

    def _run(self) -> None:
        due = self._lifecycle.due
        traces = self._load(due)
        old = self._members(self._may_be_stored(due))
        alone = self._each_alone(traces, _known_ids(old))
        related_traces = set() if self._is_closed else self._related(due, alone.values())
        old = self._members(self._may_be_stored(due) | related_traces) if related_traces else old
        trace_ids = due.union(related_traces, *(row.trace_ids for row in old))
        self._lifecycle.dates.update(self._dates(trace_ids - self._lifecycle.dates.keys()))
        more = self._load(trace_ids - due)
        known_ids = _known_ids(old)
        alone |= self._each_alone(more, known_ids)
        found = self._together(traces | more, alone, known_ids)
        before = {(row.trajectory_id, frozenset(row.trace_ids)) for row in old}
        changed = [
            a
            for a in found
            # Traces that were only looked at may be cut or joined in another way than before.
            if due.intersection(a.trajectory.trace_ids) or _cut_of(a) not in before
        ]
        changed_traces = due.union(*(a.trajectory.trace_ids for a in changed)) - self.failed
        self.superseded = [row for row in old if changed_traces.intersection(row.trace_ids)]
        taken = self._taken_ids(changed)
        unique = _with_unique_ids(changed, taken)
        heirs = _heirs(unique, self.superseded)
        whole = [self._with_history(a, heirs[a.trajectory.trajectory_id]) for a in unique]
        used = taken.union(heirs)
        self.assemblies = [_without_aliases(a, used) for a in whole]

    def _taken_ids(self, changed: Iterable[Assembly]) -> set[str]:
        """Ids that live rows keep, of those that the new rows want.

        One that a program gave may be anybody's; one that was made of a trace is only that trace's.
        """
        wanted = {i for a in changed for i in (a.trajectory.trajectory_id, *a.trajectory.aliases)}
        given = wanted & self._given_ids
        dead = {row.trajectory_id for row in self.superseded}
        taken = {
            *self._stored.dates_of_trajectories(given),
            *self._stored.dates_of_trajectories(wanted - given, self._days),
        }
        return taken - dead

    def _dates(self, trace_ids: set[str]) -> dict[str, str]:
        """Trace -> partition, of those that are stored; they lie near, or anywhere."""
        found = self._stored.dates(trace_ids, self._days)
        if not self._stored.is_all("spans", self._days):
            found |= self._stored.dates(trace_ids - found.keys())
            self._days = self._days.and_on(found.values())
        return found

    def _load(self, trace_ids: set[str]) -> dict[str, _Told]:
        """All spans and logs of those traces that have spans: stored, new, and only started."""
        traces: dict[str, _Told] = {}
        stored, too_large = self._stored.spans_that_fit(
            self._may_be_stored(trace_ids), self._days, most_bytes=memory.for_one_run()
        )
        for trace_id in too_large - self.failed:
            _log.warning("Cannot derive trace %s; its spans are kept: it is too large", trace_id)
        self.failed |= too_large
        new = (span for t, own in self._news.items() if t in trace_ids for span in own)
        pending = (span for span in self._lifecycle.pending if span.trace_id in trace_ids)
        for span in (*stored, *new, *pending):
            if span.trace_id not in self.failed:
                traces.setdefault(span.trace_id, ([], []))[0].append(span)
        # Events may be told of a run long after it, and be here before its spans.
        logs = self._stored.logs(trace_ids, self._days.onwards())
        for log in (*logs, *self._new_logs):
            if log.trace_id in traces:
                traces[log.trace_id][1].append(log)
        return traces

    def _may_be_stored(self, trace_ids: set[str]) -> set[str]:
        """Leaves out what needs no looking for, which in an import is nearly all."""
        return trace_ids - self._lifecycle.first_seen

    def _members(self, trace_ids: set[str]) -> list[LiveTrajectory]:
        """Live trajectories of these traces and of all traces joined with them.

        One that was stitched lies where the earliest of its traces does.
        """
        where: Days | None = self._days
        while True:
            members = self._stored.trajectories_of(trace_ids, where)
            found = {trace_id for row in members for trace_id in row.trace_ids}
            if where is not None and (trace_ids & self._lifecycle.settled) - found:
                where = None
            elif found <= trace_ids:
                return members
            trace_ids |= found

    def _related(self, due: set[str], alone: Iterable[Alone]) -> set[str]:
        """Stored traces that may belong to one run with a trace that is due."""
        if not self._stored.has("spans"):
            return set()
        relations = [trace.relations for trace in alone]
        linked = set().union(*(relation.trace_ids for relation in relations)) - due
        responses = set().union(*(relation.response_ids for relation in relations))
        calls = set().union(*(relation.call_ids for relation in relations))
        runs = set().union(*(relation.run_ids for relation in relations))
        found = set(self._dates(linked))
        found |= self._stored.traces_with_responses(responses, self._days)
        found |= self._stored.traces_with_tool_calls(runs, self._days, are_first=False)
        found |= self._stored.traces_with_tool_calls(calls - runs, self._days, are_first=True)
        found |= self._stored.traces_linking_to(due, self._days)
        found |= self._near([relation for relation in relations if relation.may_stitch])
        return found - due

    def _near(self, rootless: list[Relations]) -> set[str]:
        """Traces of the same process within the window of one that has no root of its own."""
        if not rootless:
            return set()
        windows: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for relation in rootless:
            window = (relation.start_ns - WINDOW_NS, relation.end_ns + WINDOW_NS)
            windows[relation.resource].append(window)
        calls = self._stored.calls_that_ask_or_answer(
            min(low for own in windows.values() for low, _ in own),
            max(high for own in windows.values() for _, high in own),
            self._days,
        )
        key_of = functools.cache(_resource_key)
        return {
            trace_id
            for trace_id, resource, start_ns in calls
            if any(low <= start_ns <= high for low, high in windows.get(key_of(resource), ()))
        }

    def _each_alone(self, traces: dict[str, _Told], known_ids: dict[str, str]) -> dict[str, Alone]:
        """Trace -> what it tells by itself; those that assembly cannot take are left out."""
        pieces = in_pieces(traces, self._news, known_ids, self._lifecycle.open, self._commit)
        found: dict[str, Alone] = {}
        for done in self._workers.derive(pieces):
            found |= done.found
            self.received |= done.received
            self._given_ids |= done.given_ids
            for trace_id, why in done.failed.items():
                _log.warning("Cannot derive trace %s; its spans are kept: %s", trace_id, why)
                self.failed.add(trace_id)
        return found

    def _together(
        self, traces: dict[str, _Told], alone: dict[str, Alone], known_ids: dict[str, str]
    ) -> list[Assembly]:
        """The trajectories of all traces, by start: connected traces derived as one."""
        found: list[Placed] = []
        for group in connected({trace_id: trace.relations for trace_id, trace in alone.items()}):
            if len(group) == 1:
                found += alone[group[0]].found
                continue
            try:
                as_one = placed(
                    [record_of(span) for trace_id in group for span in traces[trace_id][0]],
                    [log for trace_id in group for log in traces[trace_id][1]],
                    known_ids=known_ids,
                    open_traces=self._lifecycle.open,
                )
                found += [(place, prices.apply(a, self._commit.price)) for place, a in as_one]
            except Exception:  # spans are strangers' data
                _log.warning("Cannot derive %d traces as one", len(group), exc_info=True)
                found += [one for trace_id in group for one in alone[trace_id].found]
        return [assembly for _, assembly in sorted(found, key=lambda one: one[0])]

    def _with_history(self, assembly: Assembly, before: Sequence[LiveTrajectory]) -> Assembly:
        """The header with what only the rows before it and the lifecycle know."""
        trajectory = assembly.trajectory
        late = self._lifecycle.late_spans
        n_late = len(late.intersection(columns.span_keys(assembly))) if late else 0
        dropped = sum(self._lifecycle.dropped.get(trace_id, 0) for trace_id in trajectory.trace_ids)
        aliases = dict.fromkeys(
            (*trajectory.aliases, *(i for row in before for i in (row.trajectory_id, *row.aliases)))
        )
        aliases.pop(trajectory.trajectory_id, None)
        return _with_header(
            assembly,
            aliases=tuple(aliases),
            n_late=n_late + sum(row.n_late for row in before),
            n_dropped_spans=dropped + sum(row.n_dropped_spans for row in before),
        )


class _Writer:
    """Puts everything into tables, by partition and in the order of each table."""

    def __init__(
        self,
        stored: Stored,
        news: News,
        lifecycle: _Due,
        derivation: _Derivation,
        commit: Commit,
    ) -> None:
        self._stored = stored
        self._news = news
        self._lifecycle = lifecycle
        self._derivation = derivation
        self._commit = commit

    def batch(self) -> Batch:
        batch = Batch(
            members={"spans": self._spans(), **self._derived()},
            rev=self._commit.n,
            open=self._lifecycle.open,
            n_spans=len(self._news.spans),
            n_logs=len(self._news.logs),
            n_duplicates=self._news.n_duplicates,
            n_conflicts=self._news.n_conflicts,
            n_late=len(self._lifecycle.late_spans),
            trajectory_ids=tuple(a.trajectory.trajectory_id for a in self._derivation.assemblies),
            failed_traces=tuple(sorted(self._derivation.failed)),
        )
        annotations = self._annotations()
        batch.n_annotations = len(annotations)
        batch.tables = {
            "logs": self._logs(),
            "annotations": self._annotation_tables(annotations),
            "superseded": superseded_tables(self._derivation.superseded),
        }
        return batch

    def _spans(self) -> dict[str, list[Any]]:
        new = _by_trace(self._news.spans)
        starts = {trace_id: min(span.start_ns for span in own) for trace_id, own in new.items()}
        for assembly in self._derivation.assemblies:
            start_ns = rows.to_us(assembly.trajectory.start_time) * 1000
            starts.update((t, start_ns) for t in assembly.trajectory.trace_ids if t in starts)
        received = self._derivation.received
        not_due = {trace_id: own for trace_id, own in new.items() if trace_id not in received}
        received |= received_rows(not_due, self._commit)
        ordered = sorted(new, key=lambda trace_id: (starts[trace_id], trace_id))
        return {
            date: [received[trace_id] for trace_id in group]
            for date, group in _grouped(ordered, lambda t: self._lifecycle.dates[t])
        }

    def _logs(self) -> dict[str, pa.Table]:
        dates = self._lifecycle.dates
        ordered = sorted(self._news.logs, key=lambda log: (log.trace_id or "", log.time_ns or 0))
        return {
            date: rows.logs_table(logs)
            for date, logs in _grouped(
                ordered,
                lambda log: (
                    dates.get(log.trace_id or "")
                    or day(log.time_ns or log.observed_ns or rows.to_us(self._commit.time) * 1000)
                ),
            )
        }

    def _derived(self) -> dict[str, dict[str, list[Any]]]:
        ordered = sorted(
            self._derivation.assemblies,
            key=lambda a: (a.trajectory.start_time, a.trajectory.trajectory_id),
        )
        tables: dict[str, dict[str, list[Any]]] = defaultdict(dict)
        for date, group in _grouped(ordered, self._date):
            tables["trajectories"][date] = [a.trajectory for a in group]
            for name in columns.MEMBERS:
                members = [one for a in group for one in columns.members_of(name, a)]
                if members:
                    tables[name][date] = members
        return tables

    def _date(self, assembly: Assembly) -> str:
        dates = self._lifecycle.dates
        return min(dates[trace_id] for trace_id in assembly.trajectory.trace_ids)

    def _annotations(self) -> list[Annotation]:
        """What was annotated, and what the runs of this batch say of themselves."""
        told = [a for assembly in self._derivation.assemblies for a in assembly.annotations]
        known = {annotation.annotation_id for annotation in self._news.annotations}
        return self._news.annotations + [
            a for a in new_annotations(self._stored, told) if a.annotation_id not in known
        ]

    def _annotation_tables(self, annotations: list[Annotation]) -> dict[str, pa.Table]:
        dates = {a.trajectory.trajectory_id: self._date(a) for a in self._derivation.assemblies}
        ids = {a.trajectory_id for a in annotations if a.trajectory_id} - dates.keys()
        dates.update(self._stored.dates_of_trajectories(ids))
        ordered = sorted(annotations, key=lambda a: (rows.to_us(a.created), a.annotation_id))
        return {
            date: rows.annotations_table(group)
            for date, group in _grouped(
                ordered,
                lambda a: dates.get(a.trajectory_id or "") or day(rows.to_us(a.created) * 1000),
            )
        }


def superseded_tables(dead: Iterable[LiveTrajectory]) -> dict[str, pa.Table]:
    """Rows that make others dead, by partition."""
    ordered = sorted(dead, key=lambda row: (row.trajectory_id, row.rev))
    return {
        date: rows.table(
            "superseded", [{"trajectory_id": r.trajectory_id, "rev": r.rev} for r in group]
        )
        for date, group in _grouped(ordered, lambda row: row.date)
    }


def _by_trace(spans: Iterable[_SpanT]) -> dict[str, list[_SpanT]]:
    groups: dict[str, list[_SpanT]] = defaultdict(list)
    for span in spans:
        groups[span.trace_id].append(span)
    return groups


def _grouped(ordered: Iterable[_T], date_of: Callable[[_T], str]) -> Iterable[tuple[str, list[_T]]]:
    """Members by date, dates ascending, order within a date kept."""
    groups: dict[str, list[_T]] = defaultdict(list)
    for member in ordered:
        groups[date_of(member)].append(member)
    return sorted(groups.items())


def _resource_key(resource: str) -> str:
    span = SpanRecord("", "", None, "", 0, 0, resource=values.loads(resource))
    return resource_key(span)


def _known_ids(old: Iterable[LiveTrajectory]) -> dict[str, str]:
    """Trace -> id of its live trajectory, the oldest one where it has several."""
    known: dict[str, str] = {}
    for row in old:
        for trace_id in row.trace_ids:
            known.setdefault(trace_id, row.trajectory_id)
    return known


def _cut_of(assembly: Assembly) -> tuple[str, frozenset[str]]:
    """Which traces a trajectory is made of, under which id."""
    return assembly.trajectory.trajectory_id, frozenset(assembly.trajectory.trace_ids)


def _with_unique_ids(assemblies: Iterable[Assembly], taken: Collection[str]) -> list[Assembly]:
    """Runs that want one id, by an earlier joining or by their program, are trajectories apart.

    The later gets the id that it would have alone, or a suffix.
    """
    used = set(taken)
    unique = []
    for assembly in assemblies:
        wanted = (assembly.trajectory.trajectory_id, *assembly.trajectory.aliases)
        suffixed = f"{wanted[0]}-{_short_hash(assembly)}"
        trajectory_id = next((i for i in wanted if i not in used), suffixed)
        used.add(trajectory_id)
        unique.append(_renamed(assembly, trajectory_id))
    return unique


def _short_hash(assembly: Assembly) -> str:
    """Tells runs apart that have one id; the same whenever they are derived."""
    told = f"{assembly.trajectory.trace_ids[0]}{assembly.trajectory.root_span_id}"
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _without_aliases(assembly: Assembly, used: Collection[str]) -> Assembly:
    """An id that is somebody's own is nobody's alias."""
    aliases = tuple(alias for alias in assembly.trajectory.aliases if alias not in used)
    return _with_header(assembly, aliases=aliases)


def _with_header(assembly: Assembly, **told: Any) -> Assembly:
    """The same rows, the header telling this; mostly it does already."""
    header = assembly.trajectory
    if all(getattr(header, name) == value for name, value in told.items()):
        return assembly
    return replace(assembly, trajectory=replace(header, **told))


def _heirs(
    assemblies: Sequence[Assembly], superseded: Iterable[LiveTrajectory]
) -> dict[str, list[LiveTrajectory]]:
    """New trajectory -> the rows whose place it takes: its own, and those whose id goes."""
    heirs: dict[str, list[LiveTrajectory]] = {a.trajectory.trajectory_id: [] for a in assemblies}
    first_of: dict[str, int] = {}
    for index, assembly in enumerate(assemblies):
        for trace_id in assembly.trajectory.trace_ids:
            first_of.setdefault(trace_id, index)
    for row in superseded:
        fitting = [first_of[trace_id] for trace_id in row.trace_ids if trace_id in first_of]
        if row.trajectory_id in heirs:
            heirs[row.trajectory_id].append(row)
        elif fitting:
            heirs[assemblies[min(fitting)].trajectory.trajectory_id].append(row)
    return heirs


def _renamed(assembly: Assembly, trajectory_id: str) -> Assembly:
    """The same rows under this id."""
    old = assembly.trajectory
    if old.trajectory_id == trajectory_id:
        return assembly
    renamed = columns.under_id(assembly, trajectory_id)
    return replace(
        renamed,
        annotations=tuple(
            replace(a, trajectory_id=trajectory_id) if a.trajectory_id == old.trajectory_id else a
            for a in assembly.annotations
        ),
    )
