"""The same spans asked for three ways give the same answers: our API over our store, a real Jaeger
over our store, and a real Jaeger over its own memory that was sent the spans over OTLP."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from otel_traj import otlp
from otel_traj.model import SpanEvent, SpanLink, SpanRecord
from otel_traj.store import open_store
from tests import corpus
from tests.collector.running import free_address
from tests.jaeger.running import IN_MEMORY, documented, get, jaeger, needs_jaeger
from tests.server.serving import ask, serving, wait_for

pytestmark = [pytest.mark.slow, needs_jaeger]

WARNINGS: Final = "@jaeger@warnings"
"""Attribute that Jaeger adds, of a parent that is not there."""

TRANSLATED: Final = {"tags", "logs"}
"""What differs of a span of another dialect: we show its attributes in current names."""


ODD_ID: Final = f"{0xABC << 64:032x}"


def odd(number: int, service: str, **fields: Any) -> SpanRecord:
    """A span of no agent, with whatever OTLP can carry."""
    start_ns = 1_795_300_000_000_000_000 + number * 10**9
    return SpanRecord(
        **{
            "trace_id": ODD_ID,
            "span_id": f"{number:016x}",
            "parent_span_id": None,
            "name": f"odd {number}",
            "start_ns": start_ns,
            "end_ns": start_ns + (10 - 2 * number) * 10**9 + 1_234,
            "resource": {"service.name": service, "host.name": "h-1", "cpus": 4},
            **fields,
        }
    )


ODD: Final = (
    odd(1, "front", kind="SERVER", status="OK", trace_state="a=b"),
    odd(
        2,
        "front",
        parent_span_id=f"{1:016x}",
        kind="CLIENT",
        status="ERROR",
        status_message="it broke",
        scope_name="lib",
        scope_version="1.2",
        scope_attributes={"scope.attribute": "x"},
        attributes={
            "a.text": "täxt <&>",
            "a.flag": True,
            "an.integer": 2**53 + 1,
            "a.number": 0.25,
            "a.whole.number": 3.0,
            "a.list": ["x", "y"],
            "bytes": b"\x00\x01",
        },
    ),
    odd(
        3,
        "back",
        parent_span_id=f"{2:016x}",
        kind="SERVER",
        links=(SpanLink(f"{0xDEF << 64:032x}", f"{9:016x}", {"why": "because"}),),
        events=(SpanEvent(1_795_300_003_000_000_000, "retried", {"attempt": 2}),),
    ),
    odd(4, "back", parent_span_id=f"{99:016x}", kind="PRODUCER"),
)
RUNS: Final = {
    **{folder.name: corpus.records(folder) for folder in corpus.runs(corpus.SHIPPED)},
    "odd": (ODD, ()),
}
IN_ORDER: Final = sorted(RUNS, key=lambda name: min(span.start_ns for span in RUNS[name][0]))
ALL_SPANS: Final = [span for spans, _ in RUNS.values() for span in spans]
RANGE: Final = {
    "start": min(span.start_ns for span in ALL_SPANS) // 1000,
    "end": max(span.start_ns for span in ALL_SPANS) // 1000 + 1,
}


@dataclass(frozen=True)
class Ways:
    """`HOST:PORT` of each."""

    ours: str
    jaeger: str
    memory: str

    def ask(self, path: str, **parameters: object) -> list[tuple[int, Any]]:
        """The answers of all three."""
        return [get(way, path, **parameters) for way in (self.ours, self.jaeger, self.memory)]


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """All three, with the same spans, which came in order of start."""
    store = tmp_path_factory.mktemp("ours") / "traces"
    receiver = free_address()
    port = {"--jaeger-http": "127.0.0.1:0", "--jaeger-storage": "127.0.0.1:0"}
    with (
        serving(store, *(part for pair in port.items() for part in pair)) as service,
        jaeger(
            tmp_path_factory.mktemp("jaeger"), *documented(service.addresses["storage"])
        ) as remote,
        jaeger(
            tmp_path_factory.mktemp("memory"),
            IN_MEMORY,
            f"receivers::otlp::protocols::http::endpoint={receiver}",
        ) as memory,
    ):
        for name in IN_ORDER:
            spans, logs = RUNS[name]
            for address in (service.addresses["OTLP/HTTP"], receiver):
                ask(address, "POST", "/v1/traces", otlp.traces_to_protobuf(spans))
            if logs:
                service.post("/v1/logs", otlp.logs_to_protobuf(logs))
        wait_for(lambda: _counted(store) == len(ALL_SPANS))
        wait_for(lambda: all(len(found(way)) == len(RUNS) for way in (service_of(service), memory)))
        yield Ways(service_of(service), remote, memory)


def service_of(service: Any) -> str:
    """Where its query API is."""
    return str(service.addresses["Jaeger"])


def _counted(store: Path) -> int:
    [(n,)] = open_store(store).sql("select count(*) from spans").fetchall()
    return int(n)


def found(address: str, **parameters: object) -> list[str]:
    """Ids of the traces that a search finds in each service, in its order."""
    status, services = get(address, "/api/services")
    assert status == 200
    ids: list[str] = []
    for service in sorted(services["data"] or ()):
        asked = {**RANGE, "service": service, "limit": 20, **parameters}
        status, answer = get(address, "/api/traces", **asked)
        assert status == 200, answer
        ids += [trace["traceID"] for trace in answer["data"]]
    return list(dict.fromkeys(ids))


def unordered(answer: Any) -> Any:
    """The same with lists sorted that Jaeger gives in any order."""
    return sorted(answer, key=lambda item: json.dumps(item, sort_keys=True))


# --- services and operations -------------------------------------------------------------------


def test_services_are_the_same(ways: Ways) -> None:
    ours, through, memory = ways.ask("/api/services")

    assert ours[1]["data"] == ["back", "front", "orders-demo"]
    assert [unordered(a[1]["data"]) for a in (through, memory)] == [ours[1]["data"]] * 2
    assert {answer[1]["total"] for answer in (ours, through, memory)} == {3}


@pytest.mark.parametrize("service", ["back", "front", "orders-demo", "nobody"])
@pytest.mark.parametrize("kind", ["", "client", "server", "internal"])
def test_operations_are_the_same(ways: Ways, service: str, kind: str) -> None:
    ours, through, memory = ways.ask("/api/operations", service=service, spanKind=kind)

    expected = unordered(ours[1]["data"])
    assert [unordered(answer[1]["data"] or []) for answer in (through, memory)] == [expected] * 2


def test_names_of_operations_are_the_same(ways: Ways) -> None:
    answers = ways.ask("/api/services/orders-demo/operations")

    ours, through, memory = (sorted(answer[1]["data"]) for answer in answers)
    assert ours == through == memory
    assert "execute_tool issue_refund" in ours


def test_the_newer_lists_are_the_same(ways: Ways) -> None:
    ours, through, memory = (
        (unordered(services[1]["services"]), unordered(operations[1]["operations"]))
        for services, operations in zip(
            ways.ask("/api/v3/services"),
            ways.ask("/api/v3/operations", service="front"),
            strict=True,
        )
    )

    assert ours == through == memory
    assert ours[1] == [
        {"name": "odd 1", "spanKind": "server"},
        {"name": "odd 2", "spanKind": "client"},
    ]


def test_calls_between_services_are_the_same(ways: Ways) -> None:
    end = RANGE["end"] // 1000 + 60_000

    ours, through, memory = ways.ask("/api/dependencies", endTs=end, lookback=10**9)

    expected = unordered(ours[1]["data"])
    assert {"parent": "front", "child": "back", "callCount": 1} in expected
    assert [unordered(answer[1]["data"]) for answer in (through, memory)] == [expected] * 2


# --- search ------------------------------------------------------------------------------------


FILTERS: Final[dict[str, dict[str, object]]] = {
    "everything": {},
    "the newest two": {"limit": 2},
    "an operation": {"operation": "chat gpt-4o-mini"},
    "at least so long": {"minDuration": "100ms"},
    "at most so long": {"maxDuration": "1ms"},
    "a range of durations": {"minDuration": "30ms", "maxDuration": "0.04s"},
    "from a moment on": {"start": RANGE["end"] - 30_000_000},
    "up to a moment": {"end": RANGE["start"] + 30_000_000},
    "a text": {"tags": json.dumps({"a.text": "täxt <&>"})},
    "a flag": {"tags": json.dumps({"a.flag": "true"})},
    "an integer": {"tags": json.dumps({"an.integer": str(2**53 + 1)})},
    "a number": {"tags": json.dumps({"a.number": "0.25"})},
    "a whole number": {"tags": json.dumps({"a.whole.number": "3"})},
    "a list": {"tags": json.dumps({"a.list": '["x","y"]'})},
    "a column": {"tags": json.dumps({"gen_ai.tool.name": "issue_refund"})},
    "a number in a column": {"tags": json.dumps({"gen_ai.usage.output_tokens": "48"})},
    "of the resource": {"tags": json.dumps({"host.name": "h-1"})},
    "of the scope": {"tags": json.dumps({"scope.attribute": "x"})},
    "of an event": {"tags": json.dumps({"attempt": "2"})},
    "several of one span": {"tags": json.dumps({"a.flag": "true", "a.number": "0.25"})},
    "in the older spelling": {"tag": "a.flag:true"},
    "of two spans, of none both": {"tags": json.dumps({"a.flag": "true", "attempt": "2"})},
    "a key that nobody has": {"tags": json.dumps({"nobody": "x"})},
    "a value that nobody has": {"tags": json.dumps({"a.text": "t"})},
}
NONE: Final = {name for name in FILTERS if "nobody" in name or "none" in name}


@pytest.mark.parametrize("name", FILTERS)
def test_a_search_finds_the_same(ways: Ways, name: str) -> None:
    ours, through, memory = (
        found(way, **FILTERS[name]) for way in (ways.ours, ways.jaeger, ways.memory)
    )

    assert ours == through == memory
    assert bool(ours) == (name not in NONE)
    if name != "everything":
        assert len(ours) < len(RUNS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("error", "true"),
        ("span.kind", "producer"),
        ("otel.status_code", "ERROR"),
        ("otel.status_description", "it broke"),
        ("otel.scope.name", "lib"),
        ("otel.scope.version", "1.2"),
        ("w3c.tracestate", "a=b"),
    ],
)
def test_what_jaeger_only_shows_can_be_searched_for_as_well(
    ways: Ways, key: str, value: str
) -> None:
    """Its memory finds none of these (`error` finds what went well, in 1.76)."""
    tags = json.dumps({key: value})

    ours, through = (found(way, tags=tags) for way in (ways.ours, ways.jaeger))

    assert ours == through
    assert ODD_ID in ours
    assert len(ours) < len(RUNS)


def test_a_search_in_the_newer_api_finds_the_same_spans(ways: Ways) -> None:
    asked = {
        "query.service_name": "front",
        "query.start_time_min": "2026-01-01T00:00:00Z",
        "query.start_time_max": "2027-01-01T00:00:00.000000001Z",
        "query.duration_min": "1ms",
        "query.num_traces": 5,
    }

    ours, through, memory = (_records([a]) for a in ways.ask("/api/v3/traces", **asked))

    assert ours == through == memory
    assert len(ours) == len(ODD)


# --- one trace ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_a_trace_is_the_same(ways: Ways, name: str) -> None:
    for trace_id in {span.trace_id for span in RUNS[name][0]}:
        answers = ways.ask(f"/api/traces/{trace_id}")

        assert [status for status, _ in answers] == [200] * 3
        ours, through, memory = (_comparable(answer["data"]) for _, answer in answers)
        assert ours == through
        if name == "odd" or "otel-genai" in name:
            assert ours == memory
        assert _without(ours, TRANSLATED) == _without(memory, TRANSLATED)


@pytest.mark.parametrize("name", RUNS)
def test_a_trace_in_the_newer_api_is_the_same(ways: Ways, name: str) -> None:
    for trace_id in {span.trace_id for span in RUNS[name][0]}:
        ours, through, memory = (
            _records([answer]) for answer in ways.ask(f"/api/v3/traces/{trace_id}")
        )

        assert ours == through
        if name == "odd" or "otel-genai" in name:
            assert ours == memory


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/traces/" + "0" * 31 + "1", 404),
        ("/api/traces/zz", 400),
        ("/api/v3/traces/" + "0" * 31 + "1", 404),
        ("/api/v3/traces/zz", 400),
        ("/api/v3/traces", 400),
        ("/api/operations", 400),
        ("/api/traces?service=front&minDuration=5", 400),
        ("/api/traces?service=front&minDuration=5s&maxDuration=4s", 400),
        ("/api/traces?service=front&tags=[", 400),
        ("/api/traces?service=front&tag=nothing", 400),
        ("/api/traces?service=front&start=yesterday", 400),
        ("/api/traces?service=front&limit=many", 400),
    ],
)
def test_what_cannot_be_answered_is_refused_in_the_same_form(
    ways: Ways, path: str, status: int
) -> None:
    answers = ways.ask(path)

    assert [told for told, _ in answers] == [status] * 3
    ours, through, memory = (_without_text(answer) for _, answer in answers)
    assert ours == through == memory


def test_the_first_zeros_of_an_id_may_be_left_out(ways: Ways) -> None:
    ours, through, memory = ways.ask(f"/api/traces/{ODD_ID.lstrip('0')}")

    assert {status for status, _ in (ours, through, memory)} == {200}


# --- what is truly unordered -------------------------------------------------------------------


def _comparable(traces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Traces with their processes in the spans, which stand in any order.

    Of warnings only that there are: Jaeger's memory keeps those of earlier answers.
    """
    comparable = []
    for trace in traces:
        processes = trace["processes"]
        spans = [
            {
                **span,
                "process": processes[span["processID"]],
                "processID": None,
                "warnings": bool(span["warnings"]),
            }
            for span in trace["spans"]
        ]
        spans.sort(key=lambda span: str(span["spanID"]))
        comparable.append({"spans": spans, "warnings": trace["warnings"]})
    return comparable


def _without(traces: Iterable[dict[str, Any]], fields: set[str]) -> list[Any]:
    return [
        [{key: value for key, value in span.items() if key not in fields} for span in t["spans"]]
        for t in traces
    ]


def _records(answers: Iterable[tuple[int, Any]]) -> list[SpanRecord]:
    """The spans of answers, without the warnings that Jaeger puts in; the schema that they claim to
    follow is lost in Jaeger's memory.
    """
    return sorted(
        (
            dataclasses.replace(
                record,
                schema_url=None,
                attributes={k: v for k, v in record.attributes.items() if k != WARNINGS},
            )
            for _, answer in answers
            for record in otlp.records_from_json(answer["result"])
            if isinstance(record, SpanRecord)
        ),
        key=lambda span: span.span_id,
    )


def _without_text(answer: dict[str, Any]) -> Any:
    """A refusal without its words."""
    return json.loads(re.sub(r'"(msg|message)": "(\\.|[^"\\])*"', r'"\1": ""', json.dumps(answer)))
