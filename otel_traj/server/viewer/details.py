"""One span: what was received of it, and its messages as they are understood."""
# ruff: noqa: S608 - what is put into this SQL are our own texts

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import duckdb

from otel_traj import semconv
from otel_traj.dialects.messages import as_text, decode, to_json
from otel_traj.model import LogRecord, SpanRecord, Step, Trajectory
from otel_traj.server.viewer import course, spans
from otel_traj.server.viewer.answers import Event, Link, LogLine, SpanDetail
from otel_traj.server.viewer.problems import NotThereError
from otel_traj.server.viewer.reading import Reader, iso
from otel_traj.server.viewer.texts import Texts
from otel_traj.store import rows as stored_rows
from otel_traj_exporters.current_names import in_place

_US: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MESSAGES: Final = (
    (semconv.SYSTEM_INSTRUCTIONS, "system"),
    (semconv.INPUT_MESSAGES, "user"),
    (semconv.OUTPUT_MESSAGES, "assistant"),
)
"""Attribute of messages, and who speaks where it does not say."""


class _Span(NamedTuple):
    """A span as it was received, as it reads in current names, and its log records."""

    record: SpanRecord
    read: SpanRecord
    logs: list[LogRecord]


def detail(reader: Reader, trajectory_id: str, named: str, texts: Texts) -> SpanDetail:
    """A span of a trajectory.

    Args:
        reader: Reads and redacts it.
        trajectory_id: Whose span it is.
        named: Its id, or the number of its row.
        texts: Cuts what is long, and keeps it whole.

    Raises:
        TrajectoryNotFoundError: There is no such trajectory.
        NotThereError: It has no such span.
    """
    run = reader.header(trajectory_id)
    found = spans.read(reader, trajectory_id)
    row = found.number_of(named)
    if row is None:
        raise NotThereError(f"This run has no span {named!r}")
    key = found.ids[row]
    steps = course.read(reader, trajectory_id, lambda it: it.of_span(*key))
    told = _received(reader, run, key, found.step(row), steps)
    return _detail(run, found, row, told, steps, texts)


def _received(
    reader: Reader, run: Trajectory, key: tuple[str, str], step: int | None, steps: Iterable[Step]
) -> _Span:
    """A span and its log records, redacted."""

    def ask(cursor: duckdb.DuckDBPyConnection) -> tuple[list[SpanRecord], list[LogRecord]]:
        own = {"trace": key[0], "span": key[1]}
        where = "where trace_id = $trace and span_id = $span"
        found = cursor.sql(f'select * exclude ("date") from stored.spans {where}', params=own)
        records = stored_rows.span_records(found.to_arrow_table())
        logs = cursor.sql(
            f'select * exclude ("date") from stored.logs {where} order by time_ns', params=own
        )
        return records, stored_rows.log_records(logs.to_arrow_table())

    records, logs = reader.read(ask)
    if not records:  # it has only started
        records = [s for s in spans.open_spans(reader, [key[0]]) if s.span_id == key[1]]
    if not records:
        raise NotThereError(f"Span {key[1]!r} is not stored any more")
    step_of = {key: step}
    [read] = in_place(records[:1], logs, steps, step_of) if records[0].end_ns else records[:1]
    redact = reader.redaction.record
    return _Span(redact(records[0]), redact(read), [redact(log) for log in logs])


def _detail(
    run: Trajectory,
    found: spans.Rows,
    row: int,
    told: _Span,
    steps: Iterable[Step],
    texts: Texts,
) -> SpanDetail:
    span = told.record
    begin_us = (run.start_time - _EPOCH) // _US
    start_us = span.start_ns // 1000
    system, asked, answered = (
        texts.messages(name, _messages(told.read.attributes.get(attribute), role))
        for name, (attribute, role) in zip(("system", "input", "output"), _MESSAGES, strict=True)
    )
    arguments, result = (
        texts.text(name, as_text(told.read.attributes.get(attribute)))
        for name, attribute in (
            ("arguments", semconv.TOOL_CALL_ARGUMENTS),
            ("result", semconv.TOOL_CALL_RESULT),
        )
    )
    return {
        "row": row,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "parent_row": found.above(row),
        "name": span.name,
        "kind": span.kind,
        "status": span.status,
        "status_message": texts.text("status_message", span.status_message),
        "start_time": iso(_EPOCH + start_us * _US),
        "start_us": start_us - begin_us,
        "duration_us": None if span.end_ns is None else span.end_ns // 1000 - start_us,
        "service": as_text(span.resource.get(semconv.SERVICE_NAME)),
        "scope_name": span.scope_name,
        "scope_version": span.scope_version,
        "schema_url": span.schema_url,
        "trace_state": span.trace_state,
        "steps": [step.step for step in steps],
        "system": system,
        "input": asked,
        "output": answered,
        "arguments": arguments,
        "result": result,
        "attributes": texts.attributes("attributes", span.attributes),
        "resource": texts.attributes("resource", span.resource),
        "scope_attributes": texts.attributes("scope", span.scope_attributes),
        "events": [_event(texts, i, event, begin_us) for i, event in enumerate(span.events)],
        "links": [_link(texts, i, link) for i, link in enumerate(span.links)],
        "logs": [_log(texts, i, log, begin_us) for i, log in enumerate(told.logs)],
        "dropped_attributes": span.dropped_attributes,
        "dropped_events": span.dropped_events,
        "dropped_links": span.dropped_links,
    }


def _messages(told: Any, role: str) -> str | None:
    """Messages of an attribute in canonical form."""
    return None if told is None else to_json(decode(told, role))


def _event(texts: Texts, i: int, event: Any, begin_us: int) -> Event:
    return {
        "name": event.name,
        "at_us": event.time_ns // 1000 - begin_us,
        "attributes": texts.attributes(f"events.{i}", event.attributes),
    }


def _link(texts: Texts, i: int, link: Any) -> Link:
    return {
        "trace_id": link.trace_id,
        "span_id": link.span_id,
        "attributes": texts.attributes(f"links.{i}", link.attributes),
    }


def _log(texts: Texts, i: int, log: LogRecord, begin_us: int) -> LogLine:
    at_ns = log.time_ns or log.observed_ns
    return {
        "at_us": at_ns // 1000 - begin_us if at_ns else None,
        "event_name": log.event_name,
        "severity": log.severity,
        "body": texts.json(f"logs.{i}", log.body),
        "attributes": texts.attributes(f"logs.{i}.attributes", log.attributes),
    }
