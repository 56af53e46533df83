"""What a batch of records has that the store does not have yet, each record once.

Of several accounts of one span the first one wins: the stored one, else the first of the batch. The
others are dropped, and those that tell another thing counted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias, TypeVar

from otel_traj import semconv, wal
from otel_traj.model import Annotation, LogRecord, SpanRecord
from otel_traj.otlp import Span, record_of
from otel_traj.store import rows
from otel_traj.store.days import Between, Days, around
from otel_traj.store.intake import Intake
from otel_traj.store.stored import Stored
from otel_traj.store.traces import LiveTrace

_T = TypeVar("_T")
_Key: TypeAlias = "tuple[str, str]"

_LATE_EVENTS: Final = frozenset({semconv.EVENT_EVALUATION, semconv.EVENT_REVISION})
"""Log events that may be told of a run days after it; others come when their spans do."""


class News:
    """The records of a batch that are new.

    Attributes:
        days: Where in the store there may be more of what they tell of.
        known: Trace -> ids of the spans that were stored before this batch.
        dates: Trace -> partition, for the traces of the batch that were stored before.
        n_duplicates: Records that were stored, or came twice.
        n_conflicts: Those of them that are spans and tell another thing than the one that won.
    """

    def __init__(
        self, stored: Stored, intake: Intake, open_traces: Iterable[LiveTrace] = ()
    ) -> None:
        """Compare a batch with the store."""
        running = {trace.state.trace_id: trace.date for trace in open_traces}
        self.days = around(_times(intake)).and_on(running.values())
        self._look_up_traces(stored, intake, running.keys())
        self.spans: list[Span] = []
        self.n_conflicts = 0
        self._take_spans(stored, intake.spans)
        ended = {(span.trace_id, span.span_id) for span in self.spans}
        self.starts = [
            s
            for s in intake.starts
            if (s.trace_id, s.span_id) not in ended
            and s.span_id not in self.known.get(s.trace_id, ())
        ]
        self.logs = _new_logs(stored, intake.logs, self.days)
        self.annotations = new_annotations(stored, intake.annotations)
        n_given = len(intake.spans) + len(intake.logs) + len(intake.annotations)
        n_new = len(self.spans) + len(self.logs) + len(self.annotations)
        self.n_duplicates = n_given - n_new

    def _look_up_traces(self, stored: Stored, intake: Intake, running: Collection[str]) -> None:
        """Find the stored traces that the batch goes on with; `days` grows by theirs."""
        touched = {span.trace_id for span in (*intake.spans, *intake.starts)}
        told = {log.trace_id for log in intake.logs if log.trace_id} - touched
        self.known = stored.span_ids(touched, self.days)
        self.dates = stored.dates({*self.known, *told}, self.days)
        if not stored.is_all("spans", self.days):
            torn = self._torn(intake) - set(running)
            late = {
                log.trace_id
                for log in intake.logs
                if log.trace_id in told and log.event_name in _LATE_EVENTS
            }
            far = (torn | late) - self.dates.keys()
            dates = stored.dates(far)
            self.known |= stored.span_ids(dates.keys() & touched, Days().and_on(dates.values()))
            self.dates |= dates
        self.days = self.days.and_on(self.dates.values())

    def _torn(self, intake: Intake) -> set[str]:
        """Traces with a span whose parent neither came with it nor is stored around its time."""
        spans = (*intake.spans, *intake.starts)
        there = {(span.trace_id, span.span_id) for span in spans}
        return {
            span.trace_id
            for span in spans
            if span.parent_span_id
            and (span.trace_id, span.parent_span_id) not in there
            and span.parent_span_id not in self.known.get(span.trace_id, ())
        }

    def _take_spans(self, stored: Stored, spans: Iterable[Span]) -> None:
        first: dict[_Key, Span] = {}
        again: dict[_Key, list[SpanRecord]] = defaultdict(list)
        for span in spans:
            key = (span.trace_id, span.span_id)
            if span.span_id in self.known.get(span.trace_id, ()):
                again[key].append(record_of(span))
            elif key not in first:
                first[key] = span
            elif (one := record_of(first[key])) != (other := record_of(span)):
                self.n_conflicts += _told(one) != _told(other)
        self.spans = list(first.values())
        if again:
            given = rows.spans_table([span for same in again.values() for span in same])
            differing = stored.told_otherwise(given, self.days)
            for winner in {(span.trace_id, span.span_id): span for span in differing}.values():
                told = _told(winner)
                rivals = again[winner.trace_id, winner.span_id]
                self.n_conflicts += sum(_told(span) != told for span in rivals)


def _told(span: SpanRecord) -> Any:
    """What a span tells, whatever the order of its keys; not who sent it, nor how it came."""
    return json.loads(wal.encode([replace(span, resource={}, start_seq=None)]))


def _times(intake: Intake) -> Iterator[tuple[int, int]]:
    """When the spans and logs of a batch happened, Unix nanoseconds."""
    for span in (*intake.spans, *intake.starts):
        yield span.start_ns, span.start_ns if span.end_ns is None else span.end_ns
    for log in intake.logs:
        when = log.time_ns or log.observed_ns
        if when is not None:
            yield when, when


def _new_logs(stored: Stored, logs: Sequence[LogRecord], days: Days) -> list[LogRecord]:
    if not logs:
        return []
    digests = [rows.log_digest(row) for row in rows.logs_table(logs).to_pylist()]
    known_rows = stored.log_rows({log.trace_id for log in logs if log.trace_id}, days)
    known_rows += stored.traceless_log_rows(
        {log.time_ns for log in logs if log.trace_id is None and log.time_ns is not None}, days
    )
    known = {rows.log_digest(row) for row in known_rows}
    return _first_of_each(zip(digests, logs, strict=True), known)


def new_annotations(stored: Stored, annotations: Iterable[Annotation]) -> list[Annotation]:
    """Those that are not stored, each once."""
    keyed = [(annotation.annotation_id, annotation) for annotation in annotations]
    if not keyed:
        return []
    times = [rows.to_us(annotation.created) for _, annotation in keyed]
    known = stored.annotation_ids([key for key, _ in keyed], Between(min(times), max(times)))
    return _first_of_each(keyed, known)


def _first_of_each(keyed: Iterable[tuple[Any, _T]], known: Collection[Any]) -> list[_T]:
    """Values whose key is not known, the first one of each key."""
    seen = set(known)
    first = []
    for key, value in keyed:
        if key not in seen:
            seen.add(key)
            first.append(value)
    return first
