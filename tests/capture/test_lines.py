"""A span recorded here is the span that OTLP would have brought, and costs no record on the way."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otel_traj import otlp, semconv, wal
from otel_traj.capture.lines import Lines, log_record, span_record
from otel_traj.model import SpanRecord
from otel_traj.redaction import Redaction

REMOTE = SpanContext(
    0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("k", "v")])
)


class Keep(SpanProcessor):
    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def rich_spans() -> list[ReadableSpan]:
    """Spans with every field that the SDK has, and with none."""
    keep = Keep()
    provider = TracerProvider(
        resource=Resource({"service.name": "agent", "n": 1, "tags": ["a", "b"]}),
        span_limits=SpanLimits(max_span_attributes=6, max_events=2, max_links=1),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(keep)
    tracer = provider.get_tracer("lib", "2.1", "https://example.org/schema", {"scope": True})
    parent = set_span_in_context(NonRecordingSpan(REMOTE))
    span = tracer.start_span(
        "chat \u00fc \ud800",
        context=parent,
        kind=SpanKind.CLIENT,
        links=[Link(REMOTE, {"why": "retry"}), Link(REMOTE)],
        attributes={"dropped": 0, "text": '\u00e4\n"', "flag": True, "n": -(2**63), "x": 0.1},
    )
    span.set_attribute("list", ["a", "b"])
    span.set_attribute("nested", {"a": [1, {"b": b"\x00\xff"}]})
    for n in range(3):
        span.add_event("event", {"n": n}, timestamp=n + 1)
    span.set_status(Status(StatusCode.ERROR, "broken"))
    span.end()
    with provider.get_tracer("").start_as_current_span("plain"):
        pass
    return keep.ended


@pytest.mark.parametrize("n", [0, 1])
def test_span_equals_the_one_that_comes_through_otlp(n: int) -> None:
    span = rich_spans()[n]
    span._name = span.name.replace("\ud800", "")  # which protobuf cannot tell

    (through_otlp,) = otlp.records_from_protobuf(encode_spans([span]).SerializeToString(), "traces")

    assert list(wal.decode(Lines(Redaction()).of_span(span, None))) == [through_otlp]


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("is_open", [False, True])
def test_fast_line_is_the_line_of_the_record(n: int, is_open: bool) -> None:
    span = rich_spans()[n]

    line = Lines(Redaction()).of_span(span, 7, is_open=is_open)

    assert line == wal.encode([_listed(span_record(span, 7, is_open=is_open))])


def _listed(record: SpanRecord) -> Any:
    return next(wal.decode(wal.encode([record])))


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["$f", "$b64"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=4))
def test_fast_line_means_the_same_whatever_the_attributes(attributes: dict[str, Any]) -> None:
    span = ReadableSpan(
        "s", context=REMOTE, resource=Resource({}), attributes=attributes, start_time=1, end_time=2
    )

    line = Lines(Redaction()).of_span(span, 0)

    assert repr([*wal.decode(line)]) == repr([_listed(span_record(span, 0))])


def test_log_equals_the_one_that_comes_through_otlp() -> None:
    kept: list[Any] = []

    class KeepLogs(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            kept.append(log_record)

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    provider = LoggerProvider(resource=Resource({"service.name": "agent"}), shutdown_on_exit=False)
    provider.add_log_record_processor(KeepLogs())
    logger = provider.get_logger("lib", "1")
    context = set_span_in_context(NonRecordingSpan(REMOTE))
    body: Any = {"role": "user", "parts": [{"n": 1, "b": b"\x01"}, None, 0.5]}
    logger.emit(timestamp=5, context=context, body=body, attributes={"a": ["x"]}, event_name="e")
    logger.emit(severity_text="WARN", attributes={semconv.EVENT_NAME: "old"})

    for log in kept:
        (through_otlp,) = otlp.records_from_protobuf(encode_logs([log]).SerializeToString(), "logs")
        (ours,) = wal.decode(Lines(Redaction()).of_log(log))
        assert ours == through_otlp
        assert wal.encode([log_record(log)]) == wal.encode([ours])


@pytest.mark.parametrize("context", [None, SpanContext(0, 0, is_remote=False)])
def test_span_without_ids_gets_some_and_tells_so(context: SpanContext | None) -> None:
    span = ReadableSpan("by hand", context=context, attributes={"a": 1})

    (record,) = wal.decode(Lines(Redaction()).of_span(span, None))

    assert isinstance(record, SpanRecord)
    assert len(record.trace_id) == 32
    assert len(record.span_id) == 16
    assert record.attributes == {"a": 1, semconv.REPAIRED: ["trace_id", "span_id"]}
    assert (record.start_ns, record.end_ns) == (0, 0)


def test_values_that_json_has_not_survive() -> None:
    attributes: dict[str, Any] = {
        "nan": math.nan,
        "inf": [math.inf, -math.inf],
        "edges": [-(2**63), 2**63 - 1],
        "bytes": b"\xff\xfe",
        "surrogate": "\udcff",
        "large": "x" * 10_000_000,
    }
    span = ReadableSpan("s", context=REMOTE, attributes=attributes, start_time=2, end_time=1)

    (record,) = wal.decode(Lines(Redaction()).of_span(span, None))

    assert isinstance(record, SpanRecord)
    assert repr(record.attributes) == repr(attributes)
    assert (record.start_ns, record.end_ns) == (2, 1)
