"""What of a request is stored; and that a store can hold whatever is."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_traj import otlp, wal
from otel_traj.errors import InputError
from otel_traj.model import LogRecord, SpanRecord
from otel_traj.otlp import Signal
from otel_traj.redaction import Redaction
from otel_traj.server.requests import Checked, Encoding, check, redacted
from otel_traj.store import sealing
from tests.server.mutations import mutated
from tests.store.runs import run

LOG = LogRecord("01" * 16, "02" * 8, 5, 6, "an.event", "INFO", {"text": "said"}, {"n": 1})


def traces() -> bytes:
    return otlp.traces_to_protobuf(run(1))


def traces_json() -> dict[str, Any]:
    return otlp.traces_to_json(run(1))


def spans_of(body: bytes, encoding: Encoding = "protobuf") -> list[SpanRecord]:
    records = (
        otlp.records_from_protobuf(body, "traces")
        if encoding == "protobuf"
        else otlp.records_from_json(json.loads(body))
    )
    return [record for record in records if isinstance(record, SpanRecord)]


def test_a_good_request_is_stored_as_it_came() -> None:
    body = traces()
    as_json = json.dumps(traces_json(), indent=1).encode()

    checked = [check(body, "traces", "protobuf"), check(b"\n" + as_json, "traces", "json")]

    assert checked == [Checked(body, "otlp-traces", 4), Checked(as_json, "otlp-traces", 4)]


def test_logs_are_stored_as_they_came() -> None:
    body = otlp.logs_to_protobuf([LOG])
    as_json = json.dumps(otlp.logs_to_json([LOG])).encode()

    checked = [check(body, "logs", "protobuf"), check(as_json, "logs", "json")]

    assert checked == [Checked(body, "otlp-logs", 1), Checked(as_json, "otlp-logs", 1)]


@pytest.mark.parametrize(("body", "encoding"), [(b"", "protobuf"), (b"{}", "json")])
def test_an_empty_request_is_good_and_nothing_is_stored(body: bytes, encoding: Encoding) -> None:
    assert check(body, "traces", encoding) == Checked(b"", "otlp-traces", 0)


SPAN_FLAWS = [
    ("traceId", "01" * 15, "an invalid trace id"),
    ("traceId", "00" * 16, "an invalid trace id"),
    ("traceId", "xy" * 16, "an invalid trace id"),
    ("spanId", "", "an invalid span id"),
    ("spanId", "00" * 8, "an invalid span id"),
    ("parentSpanId", "01", "an invalid parent span id"),
    ("startTimeUnixNano", "0", "an invalid time"),
    ("startTimeUnixNano", str(2**63), "an invalid time"),
    ("endTimeUnixNano", str(2**64 - 1), "an invalid time"),
    ("events", [{"timeUnixNano": str(2**63), "name": "e"}], "an event of an invalid time"),
]


@pytest.mark.parametrize(("field", "value", "flaw"), SPAN_FLAWS)
def test_a_flawed_span_is_taken_out_of_json_and_counted(field: str, value: Any, flaw: str) -> None:
    message = traces_json()
    message["resourceSpans"][0]["scopeSpans"][0]["spans"][1][field] = value

    checked = check(json.dumps(message).encode(), "traces", "json")

    assert (checked.accepted, checked.rejected, checked.reason) == (3, 1, f"1 with {flaw}")
    assert spans_of(checked.body, "json") == [span for i, span in enumerate(run(1)) if i != 1]


@pytest.mark.parametrize(("field", "value", "flaw"), SPAN_FLAWS)
def test_a_flawed_span_is_taken_out_of_protobuf_and_counted(
    field: str, value: Any, flaw: str
) -> None:
    message = otlp.parsed(traces(), "traces")
    span = message.resource_spans[0].scope_spans[0].spans[1]
    _set(span, field, value)

    checked = check(message.SerializeToString(), "traces", "protobuf")

    assert (checked.accepted, checked.rejected, checked.reason) == (3, 1, f"1 with {flaw}")
    assert spans_of(checked.body) == [span for i, span in enumerate(run(1)) if i != 1]


def _set(span: Any, field: str, value: Any) -> None:
    if field == "events":
        span.events.add(time_unix_nano=2**63, name="e")
    elif field.endswith("Id"):
        raw = b"\1" * 3 if value.startswith("xy") else bytes.fromhex(value)
        setattr(
            span, {"traceId": "trace_id", "spanId": "span_id"}.get(field, "parent_span_id"), raw
        )
    else:
        name = "start_time_unix_nano" if field.startswith("start") else "end_time_unix_nano"
        setattr(span, name, int(value))


def test_flaws_of_several_kinds_are_all_told() -> None:
    message = otlp.parsed(traces(), "traces")
    first, second, third, _ = message.resource_spans[0].scope_spans[0].spans
    first.trace_id = second.trace_id = b""
    third.start_time_unix_nano = 0

    checked = check(message.SerializeToString(), "traces", "protobuf")

    assert checked.reason == "2 with an invalid trace id; 1 with an invalid time"


def test_a_request_of_flawed_spans_alone_stores_nothing() -> None:
    message = otlp.parsed(traces(), "traces")
    for span in message.resource_spans[0].scope_spans[0].spans:
        span.span_id = b"\1"

    checked = check(message.SerializeToString(), "traces", "protobuf")

    assert (checked.body, checked.accepted, checked.rejected) == (b"", 0, 4)


@pytest.mark.parametrize("field", ["trace_id", "span_id"])
def test_a_log_may_lack_ids_but_have_no_wrong_ones(field: str) -> None:
    message = otlp.parsed(otlp.logs_to_protobuf([LOG, LOG]), "logs")
    first, second = message.resource_logs[0].scope_logs[0].log_records
    setattr(first, field, b"")
    setattr(second, field, b"\1\2\3")

    checked = check(message.SerializeToString(), "logs", "protobuf")

    flaw = field.replace("_", " ")
    assert (checked.accepted, checked.rejected) == (1, 1)
    assert checked.reason == f"1 with an invalid {flaw}"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"\xff\xff", "protobuf"),
        (b"{}", "protobuf"),
        (b"", "json"),
        (b"[]", "json"),
        (b'"text"', "json"),
        (b'{"resourceLogs": []}', "json"),
        (b'{"resourceSpans": 5}', "json"),
        (b'{"resourceSpans": [5]}', "json"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [5]}]}]}', "json"),
        ('{"resourceSpans": []}'.encode("utf-16"), "json"),
        (b'{"resourceSpans": []' + b"[" * 100_000, "json"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": NaN', "json"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, encoding: Encoding) -> None:
    with pytest.raises(InputError):
        check(body, "traces", encoding)


@pytest.mark.parametrize(
    "field",
    [
        {"name": 5},
        {"traceState": 7},
        {"status": {"message": 5}},
        {"status": 5},
        {"attributes": [{"key": 5, "value": {"intValue": 1}}]},
        {"attributes": [{"key": "k", "value": {"intValue": 1e400}}]},
        {"attributes": [{"key": "k", "value": {"noSuchValue": 1}}]},
        {"startTimeUnixNano": 1e400},
        {"startTimeUnixNano": "soon"},
        {"events": 5},
    ],
)
def test_json_with_fields_of_other_types_is_refused(field: dict[str, Any]) -> None:
    message = traces_json()
    message["resourceSpans"][0]["scopeSpans"][0]["spans"][0].update(field)

    with pytest.raises(InputError):
        check(json.dumps(message).encode(), "traces", "json")


@pytest.mark.parametrize("depth", [2_000, 20_000])
def test_json_that_is_nested_too_deeply_is_refused(depth: int) -> None:
    """Python before 3.12 cannot decode it; later ones can, but not read what they decoded.

    How deep is too deep differs: 3.14 reads 400, which earlier ones do not.
    """
    value = '{"arrayValue":{"values":[' * depth + "]}}" * depth
    message = json.dumps(traces_json()).replace('"attributes": [', _ATTRIBUTE + "ATTRIBUTE}, ", 1)

    with pytest.raises(InputError, match=r"nested too deeply|recursion"):
        check(message.replace("ATTRIBUTE", value).encode(), "traces", "json")


_ATTRIBUTE = '"attributes": [{"key": "deep", "value": '


def test_protobuf_that_begins_like_json_is_stored_so_that_it_is_read_as_protobuf() -> None:
    group_15 = b"\x7b\x7c"  # begin and end of a group that OTLP does not have
    assert group_15.startswith(b"{")

    checked = check(group_15 + traces(), "traces", "protobuf")

    assert (checked.body, checked.accepted) == (traces(), 4)


KEY = "sk-ant-api03-" + "x" * 20


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_what_is_redacted_is_stored_without_it(encoding: Encoding) -> None:
    spans = run(1, note=f"use {KEY}")
    as_json = json.dumps(otlp.traces_to_json(spans)).encode()
    body = as_json if encoding == "json" else otlp.traces_to_protobuf(spans)
    redaction = Redaction()

    stored = redacted(check(body, "traces", encoding), "traces", encoding, redaction)

    assert (stored.kind, stored.accepted) == ("json", 4)
    assert list(wal.decode(stored.body)) == [redaction.record(span) for span in spans]
    assert KEY.encode() not in stored.body


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_where_nothing_is_redacted_the_request_is_stored_as_it_came(encoding: Encoding) -> None:
    body = traces() if encoding == "protobuf" else json.dumps(traces_json()).encode()
    checked = check(body, "traces", encoding)

    assert redacted(checked, "traces", encoding, Redaction()) is checked


def requests_of(seed: int) -> Iterator[tuple[bytes, Signal, Encoding]]:
    """Mutations of real requests in both encodings."""
    chance = random.Random(seed)
    originals: list[tuple[bytes, Signal, Encoding]] = [
        (traces(), "traces", "protobuf"),
        (otlp.logs_to_protobuf([LOG]), "logs", "protobuf"),
        (json.dumps(traces_json()).encode(), "traces", "json"),
        (json.dumps(otlp.logs_to_json([LOG])).encode(), "logs", "json"),
    ]
    for body, signal, encoding in originals:
        for _ in range(250):
            yield mutated(body, encoding, chance), signal, encoding


def test_whatever_is_accepted_of_mutated_requests_becomes_rows(tmp_path: Path) -> None:
    wal.initialise(tmp_path)
    writer = wal.WalWriter(tmp_path, durability="os")
    accepted = refused = 0
    for body, signal, encoding in requests_of(seed=7):
        try:
            checked = check(body, signal, encoding)
        except InputError:
            refused += 1
            continue
        if checked.body:
            accepted += checked.accepted
            writer.append(checked.body, checked.kind)
    writer.close()

    report = sealing.seal(tmp_path)

    assert accepted > 200
    assert refused > 200
    assert report.rejected == 0
    assert report.spans + report.logs + report.duplicates == accepted
