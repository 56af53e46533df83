"""Jaeger's remote storage API: what a Jaeger relies on, and what version 1.76 never asks for.

A real one asks in tests/jaeger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from otel_traj import otlp
from otel_traj.model import SpanRecord
from otel_traj.redaction import choose
from otel_traj.server.jaeger import storage
from otel_traj.server.jaeger.messages import message
from otel_traj.server.jaeger.reading import Reader
from otel_traj.server.jaeger.storage import CHUNK_BYTES
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.listeners import Address, GrpcListener
from otel_traj.store import TrajectoryStore
from tests.server.serving import Serving, ask, listening, serving
from tests.store.runs import START_NS, run, span, trace_id

pytestmark = pytest.mark.slow

STORAGE: Final = ("--jaeger-storage", "127.0.0.1:0")
BIG: Final = [
    dataclasses.replace(span(5, position, None, "big"), attributes={"text": "x" * 40_000})
    for position in range(200)
]
HUGE: Final = dataclasses.replace(
    span(6, 0, None, "huge"), attributes={"text": "x" * 3_000_000, "note": "short"}
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Two small runs, a trace of several chunks, and a span that is larger than a chunk."""
    store = tmp_path_factory.mktemp("served") / "traces"
    failed = dataclasses.replace(span(2, 9, 42, "late"), status="ERROR")
    TrajectoryStore.create(store).append([*run(1), *run(2), failed, *BIG, HUGE])
    off = ("--otlp-grpc", "off", "--otlp-http", "off")
    with serving(store, *off, "--jaeger-http", "127.0.0.1:0", *STORAGE) as running:
        yield running


def call(service: Serving, method: str, request: bytes, *, token: str = "") -> list[bytes]:
    """What a method answers, message by message."""
    options = [("grpc.max_receive_message_length", 64 * 2**20)]
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    name = f"/jaeger.storage.v2.{method}"
    with grpc.insecure_channel(service.addresses["storage"], options) as channel:
        # A stream of one looks as a unary answer does on the wire.
        return list(channel.unary_stream(name)(request, metadata=metadata, timeout=30))


def query(**fields: Any) -> bytes:
    """A search."""
    asked = message("TraceQueryParameters")(search_depth=10, **fields)
    found: bytes = message("FindTracesRequest")(query=asked).SerializeToString()
    return found


def traces_of(chunk: bytes) -> set[str]:
    """The traces of which a chunk holds spans."""
    return {record.trace_id for record in spans_of(chunk)}


def spans_of(chunk: bytes) -> list[SpanRecord]:
    records = otlp.records_from_protobuf(chunk, "traces")
    return [record for record in records if isinstance(record, SpanRecord)]


# --- chunks ------------------------------------------------------------------------------------


def test_a_chunk_is_of_one_trace_and_the_chunks_of_a_trace_follow_one_another(
    service: Serving,
) -> None:
    chunks = call(service, "TraceReader/FindTraces", query(service_name="shop"))

    holds = [traces_of(chunk) for chunk in chunks]
    assert [len(traces) for traces in holds] == [1] * len(chunks)
    order = [traces.pop() for traces in holds]
    assert list(dict.fromkeys(order)) == [trace_id(number) for number in (6, 5, 2, 1)]
    assert order == sorted(order, reverse=True)


def test_a_chunk_is_smaller_than_clients_take(service: Serving) -> None:
    chunks = call(service, "TraceReader/FindTraces", query(service_name="shop"))

    assert max(map(len, chunks)) <= CHUNK_BYTES
    big = [chunk for chunk in chunks if traces_of(chunk) == {trace_id(5)}]
    assert len(big) == 4
    assert [s.span_id for chunk in big for s in spans_of(chunk)] == [s.span_id for s in BIG]


def test_of_a_span_that_is_larger_than_a_chunk_the_texts_are_cut(service: Serving) -> None:
    chunks = call(service, "TraceReader/FindTraces", query(service_name="shop"))

    [huge] = [span for chunk in chunks for span in spans_of(chunk) if span.name == "huge"]
    assert huge.attributes["text"].startswith("x" * 1_000_000)
    assert huge.attributes["text"].endswith(" more characters)")
    assert huge.attributes["note"] == "short"


def test_traces_by_id_come_in_the_order_of_their_ids_and_who_is_not_there_is_left_out(
    service: Serving,
) -> None:
    wanted = [message("GetTraceParams")(trace_id=bytes.fromhex(trace_id(n))) for n in (2, 77, 1)]
    request = message("GetTracesRequest")(query=wanted).SerializeToString()

    chunks = call(service, "TraceReader/GetTraces", request)

    assert [traces_of(chunk) for chunk in chunks] == [{trace_id(2)}, {trace_id(1)}]
    assert sum(
        len(s.spans) for g in TracesData.FromString(chunks[1]).resource_spans for s in g.scope_spans
    ) == len(run(1))


def test_a_search_that_finds_nothing_sends_nothing(service: Serving) -> None:
    for method in ("FindTraces", "FindTraceSummaries"):
        assert call(service, f"TraceReader/{method}", query(service_name="nobody")) == []


# --- what 1.76 never asks for ------------------------------------------------------------------


def fields(body: bytes) -> list[tuple[int, int, Any]]:
    """Number, wire type and value of each field, as they are on the wire."""
    unknown: Any = UnknownFieldSet(message("GetServicesRequest").FromString(body))
    return [(field.field_number, field.wire_type, field.data) for field in unknown]


def test_summaries_are_on_the_wire_as_jaeger_describes_them(service: Serving) -> None:
    asked = query(service_name="shop", operation_name="late")

    [answer] = call(service, "TraceReader/FindTraceSummaries", asked)

    [(number, _, summary)] = fields(answer)
    start_ns = START_NS + 2 * 10**9
    varint, fixed64, text = 0, 1, 2
    assert number == 1
    assert fields(summary) == [
        (1, text, bytes.fromhex(trace_id(2))),
        (2, text, b"shop"),
        (3, text, b"invoke_agent clerk"),
        (4, fixed64, start_ns),
        (5, fixed64, start_ns + 10 * 10**6),
        (6, varint, len(run(2)) + 1),
        (7, varint, 1),
        (8, varint, 1),
        (9, text, summary[-len(b"\n\x04shop\x10\x05\x18\x01") :]),
    ]
    assert fields(fields(summary)[-1][2]) == [
        (1, text, b"shop"),
        (2, varint, len(run(2)) + 1),
        (3, varint, 1),
    ]


def test_it_says_that_a_search_needs_no_service_and_holds_of_one_span(service: Serving) -> None:
    [answer] = call(service, "Capabilities/GetCapabilities", b"")

    assert answer == b"\x0a\x04\x08\x01\x10\x01"
    chunks = call(service, "TraceReader/FindTraces", query())
    assert {trace for chunk in chunks for trace in traces_of(chunk)} == {
        trace_id(number) for number in (1, 2, 5, 6)
    }


def test_fields_of_a_newer_jaeger_are_passed_over(service: Serving) -> None:
    pagination = b"\x52\x02\x08\x05"  # field 10 of the query: pages of five
    inner = message("TraceQueryParameters")(service_name="shop", search_depth=1)
    body = inner.SerializeToString() + pagination
    request = b"\x0a" + bytes([len(body)]) + body

    [answer] = call(service, "TraceReader/FindTraceIDs", request)

    found = message("FindTraceIDsResponse").FromString(answer)
    assert [each.trace_id.hex() for each in found.trace_ids] == [trace_id(6)]


def test_values_of_attributes_may_have_any_type(service: Serving) -> None:
    pair = message("KeyValue")(key="gen_ai.usage.input_tokens", value={"int_value": 10})

    [answer] = call(service, "TraceReader/FindTraceIDs", query(attributes=[pair]))

    found = message("FindTraceIDsResponse").FromString(answer)
    assert [each.trace_id.hex() for each in found.trace_ids] == [trace_id(2), trace_id(1)]


def test_both_apis_find_the_same(service: Serving) -> None:
    [answer] = call(service, "TraceReader/FindTraceIDs", query(service_name="shop"))
    http = ask(service.addresses["Jaeger"], "GET", "/api/traces?service=shop&limit=10", b"")

    found = message("FindTraceIDsResponse").FromString(answer)
    told = [trace["traceID"] for trace in json.loads(http.body)["data"]]
    assert [each.trace_id.hex() for each in found.trace_ids] == told


# --- who may ask -------------------------------------------------------------------------------


def test_who_shows_no_token_is_told_nothing(tmp_path: Path) -> None:
    store = tmp_path / "traces"
    TrajectoryStore.create(store).append(run(1))
    methods = ("TraceReader/GetServices", "TraceReader/FindTraces", "Capabilities/GetCapabilities")
    with serving(store, *STORAGE, OTEL_TRAJ_TOKEN="abc") as service:
        for method in methods:
            for token in ("", "abd"):
                with pytest.raises(grpc.RpcError) as refused:
                    call(service, method, b"", token=token)

                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert call(service, method, b"", token="abc")


def test_what_cannot_be_answered_is_refused(service: Serving) -> None:
    asked = message("TraceQueryParameters")(search_depth=-1)
    request = message("FindTracesRequest")(query=asked).SerializeToString()

    with pytest.raises(grpc.RpcError) as refused:
        call(service, "TraceReader/FindTraces", request)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "number of traces" in str(refused.value.details())


def test_connections_beyond_the_limit_are_cut(tmp_path: Path) -> None:
    async def start() -> GrpcListener:
        reader = Reader(tmp_path, choose())
        server = storage.server(reader, Threads(), lambda _: True, connections=5)
        return await GrpcListener.start(server, Address("127.0.0.1", 0), None)

    with listening(start) as address, contextlib.ExitStack() as all_:
        host, port = address.split(":")
        crowd = [
            all_.enter_context(socket.create_connection((host, int(port)), timeout=20))
            for _ in range(12)
        ]

        for connection in crowd[5:]:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
