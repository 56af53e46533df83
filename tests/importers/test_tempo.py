"""Tempo's JSON is OTLP under a key of its own, with older names inside."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from otel_traj import importers
from otel_traj.model import SpanRecord

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
START_NS = 1_777_555_053_780_274_700


def span(**changes: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "call_llm",
        "kind": "SPAN_KIND_CLIENT",
        "startTimeUnixNano": START_NS,
        "endTimeUnixNano": START_NS + 1,
        "attributes": [{"key": "gen_ai.system", "value": {"stringValue": "openai"}}],
        "status": {"code": 0, "message": ""},
        **changes,
    }


def batch(*spans: dict[str, Any]) -> dict[str, Any]:
    service = {"key": "service.name", "value": {"stringValue": "helper"}}
    library = {"name": "gcp.vertex.agent", "version": "1.0"}
    group = {"instrumentationLibrary": library, "spans": list(spans)}
    return {"resource": {"attributes": [service]}, "instrumentationLibrarySpans": [group]}


EXPECTED = SpanRecord(
    trace_id=TRACE,
    span_id=SPAN,
    parent_span_id=None,
    name="call_llm",
    start_ns=START_NS,
    end_ns=START_NS + 1,
    kind="CLIENT",
    attributes={"gen_ai.system": "openai"},
    resource={"service.name": "helper"},
    scope_name="gcp.vertex.agent",
    scope_version="1.0",
)


def in_base64(hex_id: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_id)).decode()


@pytest.mark.parametrize(
    "content",
    [
        {"batches": [batch(span())]},
        {"trace": {"batches": [batch(span())]}},
        {"trace": {"resourceSpans": [batch(span())]}, "status": "complete"},
        {"batches": [batch(span(traceId=in_base64(TRACE), spanId=in_base64(SPAN)))]},
        {"resourceSpans": [batch(span())]},
    ],
)
def test_every_form_of_an_export_gives_the_same_span(content: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(json.dumps(content))

    assert list(importers.read(tmp_path / "file")) == [EXPECTED]


def test_the_format_is_named_and_a_broken_batch_spoils_no_other(tmp_path: Path) -> None:
    content = {"batches": [batch(span(traceId="no id")), batch(span())]}
    (tmp_path / "file").write_text(json.dumps(content))

    (reading,) = importers.readings(tmp_path / "file")

    assert list(reading) == [EXPECTED]
    assert reading.format == "Tempo JSON"
    assert [flaw.place for flaw in reading.flaws] == ["line 1, batch 1"]


def test_ids_of_another_length_become_ids_that_still_find_each_other(tmp_path: Path) -> None:
    long = "e661b435ae4f4e708348f5e2"
    content = {"batches": [batch(span(spanId=long), span(parentSpanId=long))]}
    (tmp_path / "file").write_text(json.dumps(content))

    parent, child = (r for r in importers.read(tmp_path / "file") if isinstance(r, SpanRecord))

    assert len(parent.span_id) == 16
    assert child.parent_span_id == parent.span_id
