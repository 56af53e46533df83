"""What is written as OTLP is read back as it was, in both encodings; any other reader agrees."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from otel_traj import otlp, semconv, wal
from otel_traj.model import LogRecord, SpanRecord
from otel_traj.testing import logs, spans
from tests import corpus

Encode = Callable[[Sequence[Any]], list[Any]]


def traces_as_protobuf(records: Sequence[SpanRecord]) -> list[Any]:
    return [*otlp.records_from_protobuf(otlp.traces_to_protobuf(records), "traces")]


def traces_as_json(records: Sequence[SpanRecord]) -> list[Any]:
    message = json.loads(json.dumps(otlp.traces_to_json(records), allow_nan=False))
    return [*otlp.records_from_json(message)]


def logs_as_protobuf(records: Sequence[LogRecord]) -> list[Any]:
    return [*otlp.records_from_protobuf(otlp.logs_to_protobuf(records), "logs")]


def logs_as_json(records: Sequence[LogRecord]) -> list[Any]:
    message = json.loads(json.dumps(otlp.logs_to_json(records), allow_nan=False))
    return [*otlp.records_from_json(message)]


def lines(records: Sequence[SpanRecord | LogRecord]) -> bytes:
    """Records in a form in which NaN equals itself and True is not 1."""
    return wal.encode(records)


# --- what OTLP cannot hold is left out of the records, as another way of saying the same ----------


def holdable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {holdable(key): holdable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [holdable(item) for item in value]
    return value


def as_told(record: Any) -> Any:
    """The record as OTLP holds it: text is UTF-8, empty is absent, no time before 1970."""
    fields: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(record)):
        value = getattr(record, name)
        if name in ("events", "links"):
            value = tuple(map(as_told, value))
        elif name.endswith("_ns"):
            value = None if value is None else max(value, 0)
        elif name.endswith("_id"):
            value = None if value is not None and not value.strip("0") else value
        else:
            value = holdable(value)
        fields[name] = value
    return dataclasses.replace(record, **fields)


def span_as_told(span: SpanRecord) -> SpanRecord:
    told: SpanRecord = as_told(span)
    optional = ("status_message", "scope_name", "scope_version", "schema_url", "trace_state")
    absent: dict[str, Any] = {name: getattr(told, name) or None for name in optional}
    return dataclasses.replace(
        told,
        start_seq=None,
        flags=told.flags or None,
        end_ns=told.end_ns or told.start_ns,
        **absent,
    )


def log_as_told(log: LogRecord) -> LogRecord:
    told: LogRecord = as_told(log)
    optional = ("time_ns", "observed_ns", "severity", "scope_name")
    absent: dict[str, Any] = {name: getattr(told, name) or None for name in optional}
    name = told.event_name or told.attributes.get(semconv.EVENT_NAME)
    return dataclasses.replace(told, **absent, event_name=name if isinstance(name, str) else None)


def ended(span: SpanRecord) -> SpanRecord:
    """The span with an end, and ids that name something: all zero is none."""
    return dataclasses.replace(
        span,
        trace_id=f"1{span.trace_id[1:]}",
        span_id=f"1{span.span_id[1:]}",
        end_ns=span.end_ns or 0,
        links=tuple(
            dataclasses.replace(link, trace_id=span.trace_id[:-1] + "1", span_id="2" * 16)
            for link in span.links
        ),
    )


@pytest.mark.parametrize("through", [traces_as_protobuf, traces_as_json])
@given(given=st.lists(spans().map(ended), max_size=3))
def test_spans_come_back_as_they_were(through: Encode, given: list[SpanRecord]) -> None:
    told = [span_as_told(span) for span in given]

    assert lines(through(told)) == lines(told)


@pytest.mark.parametrize("through", [logs_as_protobuf, logs_as_json])
@given(given=st.lists(logs(), max_size=3))
def test_logs_come_back_as_they_were(through: Encode, given: list[LogRecord]) -> None:
    told = [log_as_told(log) for log in given]

    assert lines(through(told)) == lines(told)


@given(given=st.lists(spans().map(ended), max_size=3))
def test_a_span_of_which_only_the_head_is_read_is_the_same_span(given: list[SpanRecord]) -> None:
    request = otlp.traces_to_protobuf(given)
    heads = list(otlp.received_spans(request))
    records = list(map(otlp.record_of, heads))

    assert records == list(otlp.records_from_protobuf(request, "traces"))
    for head, record in zip(heads, records, strict=True):
        assert (head.trace_id, head.span_id) == (record.trace_id, record.span_id)
        assert head.parent_span_id == record.parent_span_id
        assert (head.start_ns, head.end_ns) == (record.start_ns, record.end_ns)
        assert head.is_local_root == record.is_local_root


def test_spans_without_ids_are_read_whole() -> None:
    message = TracesData.FromString(
        otlp.traces_to_protobuf([SpanRecord("a" * 32, "b" * 16, None, "n", 1, 2)])
    )
    message.resource_spans[0].scope_spans[0].spans[0].span_id = b""
    request = message.SerializeToString()

    assert list(otlp.received_spans(request)) == list(otlp.records_from_protobuf(request, "traces"))


@pytest.mark.parametrize("run", corpus.runs(corpus.SHIPPED), ids=lambda run: run.name)
def test_recorded_runs_come_back_exactly(run: Any) -> None:
    spans, logs = corpus.records(run)

    assert traces_as_protobuf(spans) == traces_as_json(spans) == list(spans)
    assert logs_as_protobuf(logs) == logs_as_json(logs) == list(logs)


def test_both_encodings_are_one_message() -> None:
    spans, _ = corpus.records(corpus.runs(corpus.SHIPPED)[0])
    # A generic reader of protobuf's JSON takes ids for base64, so it is shown these as zeros.
    text = json.dumps(otlp.traces_to_json(spans))
    binary = TracesData.FromString(otlp.traces_to_protobuf(spans))

    parsed = json_format.Parse(text, TracesData())

    for message in (parsed, binary):
        for group in message.resource_spans:
            for span in (span for part in group.scope_spans for span in part.spans):
                span.trace_id = span.span_id = span.parent_span_id = b""
    assert parsed == binary


def test_a_span_that_runs_is_left_out() -> None:
    running = SpanRecord("1" * 32, "2" * 16, None, "chat", start_ns=1, end_ns=None)

    assert traces_as_json([running]) == traces_as_protobuf([running]) == []


def test_what_no_value_of_otlp_can_hold_is_text() -> None:
    span = SpanRecord("1" * 32, "2" * 16, None, "chat", 1, 2, attributes={"big": 2**70, "set": {1}})

    [told] = traces_as_protobuf([span])

    assert told.attributes == {"big": str(2**70), "set": "{1}"}
