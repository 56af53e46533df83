"""Jaeger's JSON: OpenTelemetry's own facts go back into their fields, the rest stays as sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from otel_traj import importers
from otel_traj.importers import Reading
from otel_traj.model import SpanEvent, SpanLink, SpanRecord

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
START_US = 1_700_000_000_123_456


def tag(key: str, value: Any, kind: str = "string") -> dict[str, Any]:
    return {"key": key, "type": kind, "value": value}


def span(**changes: Any) -> dict[str, Any]:
    return {
        "traceID": TRACE,
        "spanID": "00f067aa0ba902b7",
        "operationName": "chat",
        "references": [],
        "startTime": START_US,
        "duration": 1_500,
        "tags": [],
        "logs": [],
        "processID": "p1",
        **changes,
    }


def answer(*spans: dict[str, Any]) -> dict[str, Any]:
    process = {"serviceName": "helper", "tags": [tag("service.namespace", "shop")]}
    return {
        "data": [{"traceID": TRACE, "spans": list(spans), "processes": {"p1": process}}],
        "total": 0,
        "errors": None,
    }


def read(content: Any, tmp_path: Path, indent: int | None = None) -> tuple[Reading, list[Any]]:
    (tmp_path / "file").write_text(json.dumps(content, indent=indent))
    (reading,) = importers.readings(tmp_path / "file")
    return reading, list(reading)


def read_span(content: dict[str, Any], tmp_path: Path) -> SpanRecord:
    _, (record,) = read(answer(content), tmp_path)
    assert isinstance(record, SpanRecord)
    return record


@pytest.mark.parametrize("indent", [None, 4])
def test_a_query_answer_gives_its_spans(indent: int | None, tmp_path: Path) -> None:
    reading, (record,) = read(answer(span()), tmp_path, indent)

    assert (reading.format, reading.n_spans, reading.flaws) == ("Jaeger JSON", 1, [])
    assert record == SpanRecord(
        trace_id=TRACE,
        span_id="00f067aa0ba902b7",
        parent_span_id=None,
        name="chat",
        start_ns=START_US * 1_000,
        end_ns=(START_US + 1_500) * 1_000,
        kind="UNSPECIFIED",
        resource={"service.name": "helper", "service.namespace": "shop"},
    )


def test_one_trace_alone_and_processes_inside_the_spans_are_read_too(tmp_path: Path) -> None:
    inline = span(process={"serviceName": "helper", "tags": []}, processID=None)

    _, (record,) = read({"traceID": TRACE, "spans": [inline]}, tmp_path)

    assert record.resource == {"service.name": "helper"}


def test_tags_keep_their_types(tmp_path: Path) -> None:
    record = read_span(
        span(
            tags=[
                tag("text", "42"),
                tag("flag", True, "bool"),
                tag("flag as text", "false", "bool"),
                tag("count", 3776, "int64"),
                tag("count as text", "9007199254740993", "int64"),
                tag("share", 0.5, "float64"),
                tag("share as text", "0.5", "float64"),
                tag("raw", "AAE=", "binary"),
            ]
        ),
        tmp_path,
    )

    assert record.attributes == {
        "text": "42",
        "flag": True,
        "flag as text": False,
        "count": 3776,
        "count as text": 9007199254740993,
        "share": 0.5,
        "share as text": 0.5,
        "raw": b"\x00\x01",
    }


def test_what_opentelemetry_has_fields_for_is_taken_out_of_the_tags(tmp_path: Path) -> None:
    record = read_span(
        span(
            tags=[
                tag("span.kind", "client"),
                tag("otel.status_code", "ERROR"),
                tag("otel.status_description", "no such model"),
                tag("error", True, "bool"),
                tag("otel.scope.name", "gcp.vertex.agent"),
                tag("otel.scope.version", "1.22.1"),
                tag("w3c.tracestate", "a=1"),
                tag("gen_ai.system", "openai"),
            ]
        ),
        tmp_path,
    )

    assert (record.kind, record.status, record.status_message) == (
        "CLIENT",
        "ERROR",
        "no such model",
    )
    assert (record.scope_name, record.scope_version) == ("gcp.vertex.agent", "1.22.1")
    assert record.trace_state == "a=1"
    assert record.attributes == {"gen_ai.system": "openai"}


def test_the_scope_under_its_older_name_is_read(tmp_path: Path) -> None:
    tags = [tag("otel.library.name", "openai"), tag("otel.library.version", "1")]
    record = read_span(span(tags=tags), tmp_path)

    assert (record.scope_name, record.scope_version) == ("openai", "1")


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ([], "UNSET"),
        ([tag("otel.status_code", "OK")], "OK"),
        ([tag("error", "true")], "ERROR"),
        ([tag("error", False, "bool")], "UNSET"),
        ([tag("error", "what the agent calls its error")], "UNSET"),
    ],
)
def test_the_status_of_a_span(tags: list[dict[str, Any]], status: str, tmp_path: Path) -> None:
    assert read_span(span(tags=tags), tmp_path).status == status


def reference(kind: str, span_id: str, trace_id: str = TRACE) -> dict[str, Any]:
    return {"refType": kind, "traceID": trace_id, "spanID": span_id}


def test_a_span_is_the_child_of_one_and_linked_to_the_others(tmp_path: Path) -> None:
    record = read_span(
        span(
            references=[
                reference("FOLLOWS_FROM", "1" * 16),
                reference("CHILD_OF", "2" * 16, "f" * 32),
                reference("CHILD_OF", "3" * 16),
            ]
        ),
        tmp_path,
    )

    assert record.parent_span_id == "3" * 16
    assert record.links == (
        SpanLink(TRACE, "1" * 16, {"opentracing.ref_type": "follows_from"}),
        SpanLink("f" * 32, "2" * 16, {"opentracing.ref_type": "child_of"}),
    )


def test_what_a_span_follows_from_is_its_parent_where_it_has_no_other(tmp_path: Path) -> None:
    record = read_span(span(references=[reference("FOLLOWS_FROM", "1" * 16)]), tmp_path)

    assert (record.parent_span_id, record.links) == ("1" * 16, ())


def test_logs_become_events(tmp_path: Path) -> None:
    fields = [tag("event", "exception"), tag("exception.type", "ValueError")]
    record = read_span(span(logs=[{"timestamp": START_US, "fields": fields}]), tmp_path)

    assert record.events == (
        SpanEvent(START_US * 1_000, "exception", {"exception.type": "ValueError"}),
    )


def test_short_ids_are_padded_alike_in_spans_and_references(tmp_path: Path) -> None:
    short = "b7ad6b7169203331"
    record = read_span(
        span(traceID=short, spanID="1", references=[reference("CHILD_OF", "2", short)]), tmp_path
    )

    assert record.trace_id == "0" * 16 + short
    assert (record.span_id, record.parent_span_id) == ("0" * 15 + "1", "0" * 15 + "2")


def test_a_broken_span_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    broken = span(tags=[tag("count", "many", "int64")])
    reading, found = read(answer(span(), broken, span(spanID="1")), tmp_path)

    assert len(found) == 2
    assert reading.is_damaged
    (flaw,) = map(str, reading.flaws)
    assert flaw.startswith("line 1, trace 1, span 2: Not valid Jaeger JSON: ValueError: ")
