"""Spans that an SDK dumped itself, of Python and of JavaScript."""

import dataclasses
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, StatusCode

from otel_traj import importers
from otel_traj.importers import Reading
from otel_traj.importers.times import iso_ns
from otel_traj.model import SpanEvent, SpanLink, SpanRecord

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
START = "2026-04-28T22:09:22.714980123Z"
START_NS = 1_777_414_162_714_980_123


def read(content: str, tmp_path: Path) -> tuple[Reading, list[SpanRecord]]:
    (tmp_path / "file").write_text(content)
    (reading,) = importers.readings(tmp_path / "file")
    return reading, [record for record in reading if isinstance(record, SpanRecord)]


# --- Python -------------------------------------------------------------------------------------


def line(**changes: Any) -> str:
    span = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": "",
        "trace_state": "",
        "name": "response",
        "kind": "SPAN_KIND_CLIENT",
        "start_time": START,
        "end_time": START,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "resource": {"attributes": {"service.name": "helper"}},
        "scope": {"name": "openai-agents-sdk", "version": "0.14.4"},
        "attributes": {"openinference.span.kind": "LLM", "llm.token_count.prompt": 317},
    }
    return json.dumps({**span, **changes}) + "\n"


def test_a_line_is_a_span(tmp_path: Path) -> None:
    reading, (span,) = read(line(), tmp_path)

    assert reading.format == "SDK spans"
    assert span == SpanRecord(
        trace_id=TRACE,
        span_id=SPAN,
        parent_span_id=None,
        name="response",
        start_ns=START_NS,
        end_ns=START_NS,
        kind="CLIENT",
        status="OK",
        attributes={"openinference.span.kind": "LLM", "llm.token_count.prompt": 317},
        resource={"service.name": "helper"},
        scope_name="openai-agents-sdk",
        scope_version="0.14.4",
    )


def recorded() -> list[ReadableSpan]:
    """An agent's span, linked to itself, and a failed one below it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "helper"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("agent", kind=SpanKind.SERVER) as agent:
        link = Link(agent.get_span_context(), {"why": "again"})
        with tracer.start_as_current_span("chat", links=[link]) as chat:
            chat.set_attribute("gen_ai.request.model", "gpt-5")
            chat.add_event("said", {"n": 1}, timestamp=START_NS // 1000 * 1000)
            chat.set_status(StatusCode.ERROR, "no such model")
    return list(exporter.get_finished_spans())


@pytest.mark.parametrize("indent", [None, 4])
def test_what_the_sdks_own_to_json_writes_is_read_back(indent: int | None, tmp_path: Path) -> None:
    chat, agent = recorded()

    _, (found, above) = read("\n".join(s.to_json(indent=indent) for s in (chat, agent)), tmp_path)

    assert chat.context
    assert agent.context
    trace_id, agent_id = f"{chat.context.trace_id:032x}", f"{agent.context.span_id:016x}"
    assert (found.trace_id, found.parent_span_id) == (trace_id, agent_id)
    assert (found.status, found.status_message) == ("ERROR", "no such model")
    assert found.attributes == {"gen_ai.request.model": "gpt-5"}
    assert found.events == (SpanEvent(START_NS // 1000 * 1000, "said", {"n": 1}),)
    assert found.links == (SpanLink(trace_id, agent_id, {"why": "again"}),)
    # The SDK writes microseconds, rounded through a float.
    assert abs(found.start_ns - (chat.start_time or 0)) <= 1000
    assert abs((found.end_ns or 0) - (chat.end_time or 0)) <= 1000
    assert (above.kind, above.span_id, above.resource["service.name"]) == (
        "SERVER",
        agent_id,
        "helper",
    )


def test_a_span_that_has_not_ended_stays_open(tmp_path: Path) -> None:
    _, (span,) = read(line(end_time=None), tmp_path)

    assert span.is_open


def test_ids_that_are_none_of_opentelemetrys_are_made_into_some(tmp_path: Path) -> None:
    parent, other = "e661b435ae4f4e708348f5e2", "e661b435ae4f4e70ffffffff"
    run = str(uuid.UUID(int=7))
    lines = [
        line(trace_id=run, span_id=parent),
        line(trace_id=run, span_id=other, parent_span_id=parent),
    ]

    _, (above, below) = read("".join(lines), tmp_path)

    assert (len(above.trace_id), len(above.span_id)) == (32, 16)
    assert below.trace_id == above.trace_id
    assert below.parent_span_id == above.span_id != below.span_id


def test_a_torn_line_does_not_take_the_next_ones_with_it(tmp_path: Path) -> None:
    reading, found = read(line()[:200] + "\n" + line(span_id="1" * 16) + line(), tmp_path)

    assert [span.span_id for span in found] == ["1" * 16, SPAN]
    assert [(flaw.kind, flaw.place) for flaw in reading.flaws] == [("damaged", "line 1")]


def test_a_span_with_no_time_is_damage_with_its_place(tmp_path: Path) -> None:
    reading, found = read(line() + line(start_time="yesterday"), tmp_path)

    assert len(found) == 1
    assert [str(flaw) for flaw in reading.flaws] == [
        "line 2: Not valid SDK spans: ValueError: Invalid isoformat string: 'yesterday'"
    ]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5", 1_500_000_000),
        ("1970-01-01T02:00:00.000000001+02:00", 1),
        ("1969-12-31T23:59:59.25Z", -750_000_000),
        ("2026-04-28 22:09:22.714980123999+00:00", START_NS),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert iso_ns(text) == ns


# --- JavaScript ---------------------------------------------------------------------------------


def js(**changes: Any) -> dict[str, Any]:
    return {
        "name": "ai.generateText.doGenerate",
        "spanContext": {"traceId": TRACE, "spanId": SPAN, "traceFlags": 1},
        "attributes": {"ai.operationId": "ai.generateText.doGenerate"},
        "status": {"code": 0},
        "startTime": [1_770_131_992, 242_000_001],
        "endTime": [1_770_131_994, 21_415_667],
        "events": [],
        **changes,
    }


EXPECTED = SpanRecord(
    trace_id=TRACE,
    span_id=SPAN,
    parent_span_id=None,
    name="ai.generateText.doGenerate",
    start_ns=1_770_131_992_242_000_001,
    end_ns=1_770_131_994_021_415_667,
    attributes={"ai.operationId": "ai.generateText.doGenerate"},
    flags=1,
)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([js()], indent=2),
        json.dumps(js()) + "\n",
        json.dumps([js()]),
        json.dumps([js(startTime="2026-02-03T15:19:52.242000001Z")]),
        json.dumps([js(_spanContext=js()["spanContext"], spanContext=None)]),
    ],
)
def test_a_dump_gives_its_spans(content: str, tmp_path: Path) -> None:
    reading, found = read(content, tmp_path)

    assert reading.format == "JavaScript SDK spans"
    assert found == [EXPECTED]


PARENT = "1" * 16
NAMED = dataclasses.replace(
    EXPECTED,
    parent_span_id=PARENT,
    kind="CLIENT",
    status="ERROR",
    status_message="quota",
    scope_name="ai",
    scope_version="6",
    resource={"service.name": "helper"},
    events=(SpanEvent(1_770_131_993_000_000_005, "ai.stream.firstChunk", {"ms": 4}),),
    links=(SpanLink(TRACE, PARENT, {"why": "again"}),),
)


@pytest.mark.parametrize(
    "names",
    [
        {"parentSpanId": PARENT, "instrumentationLibrary": {"name": "ai", "version": "6"}},
        {
            "parentSpanContext": {"traceId": TRACE, "spanId": PARENT},
            "instrumentationScope": {"name": "ai", "version": "6"},
        },
    ],
    ids=["version 1", "version 2"],
)
def test_both_versions_names_are_read(names: dict[str, Any], tmp_path: Path) -> None:
    span = js(
        kind=2,
        status={"code": 2, "message": "quota"},
        resource={"attributes": {"service.name": "helper"}},
        events=[
            {
                "name": "ai.stream.firstChunk",
                "time": [1_770_131_993, 5],
                "attributes": {"ms": 4},
            }
        ],
        links=[{"context": {"traceId": TRACE, "spanId": PARENT}, "attributes": {"why": "again"}}],
        **names,
    )

    _, found = read(json.dumps(span), tmp_path)

    assert found == [NAMED]


def test_milliseconds_are_times_too(tmp_path: Path) -> None:
    _, (span,) = read(json.dumps(js(startTime=1_770_131_992_242, endTime=None)), tmp_path)

    assert span.start_ns == span.end_ns == 1_770_131_992_242_000_000


def test_one_file_may_hold_several_formats(tmp_path: Path) -> None:
    reading, found = read(line() + json.dumps(js(name="other")) + "\n", tmp_path)

    assert [span.name for span in found] == ["response", "other"]
    assert (reading.format, reading.flaws) == ("SDK spans", [])
