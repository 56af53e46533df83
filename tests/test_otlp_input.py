"""OTLP as strangers write it: missing ids, old names, values at the edges, and what is no OTLP."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.errors import InputError
from otel_traj.model import LogRecord, SpanRecord
from otel_traj.otlp import records_from_json, records_from_protobuf

SPAN = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "n", "startTimeUnixNano": "5"}


def spans_of(*spans: dict[str, Any], key: str = "scopeSpans") -> list[SpanRecord]:
    message = {"resourceSpans": [{"resource": {}, key: [{"spans": list(spans)}]}]}
    return [record for record in records_from_json(message) if isinstance(record, SpanRecord)]


def attribute(value: dict[str, Any]) -> Any:
    (span,) = spans_of({**SPAN, "attributes": [{"key": "k", "value": value}]})
    return span.attributes["k"]


def test_a_span_without_ids_gets_some_from_its_content_and_says_so() -> None:
    bare = {"name": "n", "startTimeUnixNano": "5"}

    first, again = spans_of(bare, bare)
    (other,) = spans_of({**bare, "name": "m"})

    assert first == again  # sent twice it still counts once
    assert (len(first.trace_id), len(first.span_id)) == (32, 16)
    assert other.span_id != first.span_id
    assert first.attributes[semconv.REPAIRED] == ["trace_id", "span_id"]


def test_ids_of_zeros_are_none() -> None:
    (span,) = spans_of({**SPAN, "parentSpanId": "0" * 16})

    assert span.parent_span_id is None
    assert span.is_local_root


def test_ids_may_be_base64_and_in_capitals() -> None:
    raw = bytes(range(16))
    encoded = base64.b64encode(raw).decode()

    assert spans_of({**SPAN, "traceId": encoded})[0].trace_id == raw.hex()
    assert spans_of({**SPAN, "traceId": "AB" * 16})[0].trace_id == "ab" * 16


def test_a_span_without_an_end_lasted_no_time() -> None:
    assert spans_of(SPAN)[0].end_ns == 5


def test_names_of_earlier_versions_are_read() -> None:
    assert len(spans_of(SPAN, key="instrumentationLibrarySpans")) == 1


@pytest.mark.parametrize(
    ("kind", "expected"), [(3, "CLIENT"), ("SPAN_KIND_SERVER", "SERVER"), (99, "UNSPECIFIED")]
)
def test_kinds_are_numbers_or_names(kind: Any, expected: str) -> None:
    assert spans_of({**SPAN, "kind": kind})[0].kind == expected


def test_values_at_the_edges_keep_their_type() -> None:
    assert attribute({"intValue": "9223372036854775807"}) == 2**63 - 1
    assert attribute({"intValue": -(2**63)}) == -(2**63)
    assert str(attribute({"doubleValue": "NaN"})) == "nan"
    assert attribute({"doubleValue": "-Infinity"}) == float("-inf")
    assert attribute({"bytesValue": "AAE="}) == b"\x00\x01"
    assert attribute({"boolValue": False}) is False
    assert attribute({"stringValue": ""}) == ""
    assert attribute({}) is None
    nested = {"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {}}}]}}
    assert attribute(nested) == {"a": []}


def test_the_name_of_an_event_is_its_field_or_its_attribute() -> None:
    named = {"eventName": "a"}
    older = {"attributes": [{"key": "event.name", "value": {"stringValue": "b"}}]}
    message = {"resourceLogs": [{"scopeLogs": [{"logRecords": [named, older, {}]}]}]}

    names = [r.event_name for r in records_from_json(message) if isinstance(r, LogRecord)]

    assert names == ["a", "b", None]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"spans": []},
        {"resourceSpans": 1},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{**SPAN, "traceId": "xyz"}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{**SPAN, "startTimeUnixNano": "soon"}]}]}]},
    ],
)
def test_what_is_no_otlp_is_a_clear_error(message: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="OTLP"):
        list(records_from_json(message))


def test_bytes_that_are_no_message_are_a_clear_error() -> None:
    with pytest.raises(InputError, match="Not an OTLP traces message"):
        list(records_from_protobuf(b"\xff\xff\xff", "traces"))
