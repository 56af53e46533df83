"""Jaeger's remote storage API over gRPC: a Jaeger server reads our store as if it were its own.

Of a trace many chunks may be sent: they follow one another, none holds spans of two traces and none
is empty, as Jaeger wants it. Nothing is written here; spans come in over OTLP.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import duckdb
import grpc  # type: ignore[import-untyped]

from otel_traj import otlp
from otel_traj.errors import InputError, StoreError
from otel_traj.model import SpanRecord
from otel_traj.server.jaeger import legacy
from otel_traj.server.jaeger.asked import DEFAULT_LIMIT, ServiceFrom, TraceQuery
from otel_traj.server.jaeger.cutting import cut
from otel_traj.server.jaeger.messages import PACKAGE, message
from otel_traj.server.jaeger.reading import Reader, Trace, TraceSummary
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.listeners import grpc_options

_log = logging.getLogger("otel_traj.server")
_T = TypeVar("_T")

CHUNK_BYTES: Final = 2_500_000
"""Clients take messages of 4 MiB unless they are told otherwise."""

_SPANS_OF_PIECE: Final = 64

_CALLS: Final = 64
"""So many at a time; each may hold a page of traces."""


def server(
    reader: Reader,
    threads: Threads,
    is_known: Callable[[str | None], bool],
    service_from: ServiceFrom = "service",
    *,
    connections: int,
) -> Any:
    """A `grpc.aio` server that answers from a store; it listens nowhere yet.

    Args:
        reader: Reads it.
        threads: What it reads on.
        is_known: Whether the metadata `authorization` shows what is asked for.
        service_from: What counts as service.
        connections: How many at a time.
    """
    made = grpc.aio.server(
        maximum_concurrent_rpcs=_CALLS,
        options=[("grpc.so_reuseport", 0), *grpc_options(connections)],
    )
    made.add_generic_rpc_handlers(_Storage(reader, threads, is_known, service_from).handlers())
    return made


class _Storage:
    def __init__(
        self,
        reader: Reader,
        threads: Threads,
        is_known: Callable[[str | None], bool],
        service_from: ServiceFrom,
    ) -> None:
        self._reader = reader
        self._threads = threads
        self._is_known = is_known
        self._by: ServiceFrom = service_from

    def handlers(self) -> list[Any]:
        """One handler for each service."""
        services: dict[str, dict[str, Any]] = {
            "TraceReader": {
                "GetTraces": self._stream("GetTracesRequest", self._get_traces),
                "GetServices": self._unary("GetServicesRequest", self._get_services),
                "GetOperations": self._unary("GetOperationsRequest", self._get_operations),
                "FindTraces": self._stream("FindTracesRequest", self._find_traces),
                "FindTraceIDs": self._unary("FindTracesRequest", self._find_trace_ids),
                "FindTraceSummaries": self._stream("FindTracesRequest", self._find_summaries),
            },
            "DependencyReader": {
                "GetDependencies": self._unary("GetDependenciesRequest", self._get_dependencies)
            },
            "Capabilities": {
                "GetCapabilities": self._unary("GetCapabilitiesRequest", _capabilities)
            },
        }
        return [
            grpc.method_handlers_generic_handler(f"{PACKAGE}.{name}", methods)
            for name, methods in services.items()
        ]

    def _unary(self, request: str, answer: Callable[[Any], Any]) -> Any:
        async def handle(asked: Any, context: Any) -> bytes:
            return await self._guarded(context, self._threads.call(lambda: _bytes(answer(asked))))

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=message(request).FromString
        )

    def _stream(self, request: str, answer: Callable[[Any], Iterator[bytes]]) -> Any:
        async def handle(asked: Any, context: Any) -> AsyncIterator[bytes]:
            chunks = answer(asked)
            while chunk := await self._guarded(context, self._threads.call(next, chunks, b"")):
                yield chunk

        return grpc.unary_stream_rpc_method_handler(
            handle, request_deserializer=message(request).FromString
        )

    async def _guarded(self, context: Any, answer: Awaitable[_T]) -> _T:
        """The answer to who may have it; errors with the code that says whose fault it is."""
        metadata = dict(context.invocation_metadata() or ())
        if not self._is_known(metadata.get("authorization")):
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "Send the header 'Authorization: Bearer TOKEN'"
            )
        try:
            return await answer
        except InputError as error:
            code, told = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except (StoreError, duckdb.Error) as error:
            _log.warning("Remote storage: %s", error)
            code, told = grpc.StatusCode.INTERNAL, str(error)
        raise await context.abort(code, told)

    # --- on a thread ---------------------------------------------------------------------------

    def _get_traces(self, asked: Any) -> Iterator[bytes]:
        for one in asked.query:
            trace = self._reader.trace(one.trace_id.hex().zfill(32), self._by)
            yield from _chunks([trace] if trace else [])

    def _find_traces(self, asked: Any) -> Iterator[bytes]:
        yield from _chunks(self._reader.find(_query(asked.query), self._by))

    def _find_trace_ids(self, asked: Any) -> Any:
        found = self._reader.found(_query(asked.query), self._by)
        ids = [message("FoundTraceID")(trace_id=bytes.fromhex(each)) for each in found]
        return message("FindTraceIDsResponse")(trace_ids=ids)

    def _find_summaries(self, asked: Any) -> Iterator[bytes]:
        found = self._reader.summaries(_query(asked.query), self._by)
        if found:
            told = [_summary(summary) for summary in found]
            yield _bytes(message("FindTraceSummariesResponse")(summaries=told))

    def _get_services(self, _: Any) -> Any:
        return message("GetServicesResponse")(services=self._reader.services(self._by))

    def _get_operations(self, asked: Any) -> Any:
        found = self._reader.operations(asked.service or None, asked.span_kind or None, self._by)
        told = [message("Operation")(name=each.name, span_kind=each.kind) for each in found]
        return message("GetOperationsResponse")(operations=told)

    def _get_dependencies(self, asked: Any) -> Any:
        found = self._reader.dependencies(
            asked.start_time.ToNanoseconds(), asked.end_time.ToNanoseconds(), self._by
        )
        told = [
            message("Dependency")(parent=edge.parent, child=edge.child, call_count=edge.n_calls)
            for edge in found
        ]
        return message("GetDependenciesResponse")(dependencies=told)


def _capabilities(_: Any) -> Any:
    search = message("SearchCapabilities")(without_service_name=True, same_span_conjunction=True)
    return message("GetCapabilitiesResponse")(search=search)


def _bytes(answer: Any) -> bytes:
    serialized: bytes = answer.SerializeToString()
    return serialized


def _query(given: Any) -> TraceQuery:
    """What is asked for; what is not set is not asked.

    Raises:
        InputError: It cannot be answered.
    """

    def ns(field: str) -> int | None:
        # What is not asked comes as 0, or as the zero time of Go, in the year 1.
        told = getattr(given, field).ToNanoseconds() if given.HasField(field) else 0
        return told if told > 0 else None

    return TraceQuery(
        service=given.service_name or None,
        operation=given.operation_name or None,
        tags={pair.key: legacy.text_of(_value(pair.value)) for pair in given.attributes},
        start_min_ns=ns("start_time_min"),
        start_max_ns=ns("start_time_max"),
        duration_min_ns=ns("duration_min"),
        duration_max_ns=ns("duration_max"),
        limit=given.search_depth or DEFAULT_LIMIT,
    )


def _value(given: Any) -> Any:
    """An `AnyValue` as plain Python."""
    match given.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(item) for item in given.array_value.values]
        case "kvlist_value":
            return {pair.key: _value(pair.value) for pair in given.kvlist_value.values}
        case field:
            return getattr(given, field)


def _summary(summary: TraceSummary) -> Any:
    return message("TraceSummary")(
        trace_id=bytes.fromhex(summary.trace_id),
        root_service_name=summary.root_service,
        root_operation_name=summary.root_operation,
        min_start_time_unix_nano=max(summary.start_ns, 0),
        max_end_time_unix_nano=max(summary.end_ns, 0),
        span_count=summary.n_spans,
        error_span_count=summary.n_errors,
        orphan_span_count=summary.n_orphans,
        services=[
            message("ServiceSummary")(
                name=part.name, span_count=part.n_spans, error_span_count=part.n_errors
            )
            for part in summary.services
        ],
    )


# --- chunks ------------------------------------------------------------------------------------


def _chunks(traces: Iterable[Trace]) -> Iterator[bytes]:
    """The traces as `TracesData`, each in one or more of about `CHUNK_BYTES`."""
    for trace in traces:
        chunk = b""
        for piece in _pieces(trace.spans):
            if chunk and len(chunk) + len(piece) > CHUNK_BYTES:
                yield chunk
                chunk = b""
            chunk += piece  # a message of repeated fields: two in a row are one again
        if chunk:
            yield chunk


def _pieces(spans: list[SpanRecord]) -> Iterator[bytes]:
    """The spans as messages that are no larger than a chunk."""
    for at in range(0, len(spans), _SPANS_OF_PIECE):
        some = spans[at : at + _SPANS_OF_PIECE]
        piece = otlp.traces_to_protobuf(some)
        if len(piece) <= CHUNK_BYTES:
            yield piece
        else:
            yield from map(_piece, some)


def _piece(span: SpanRecord) -> bytes:
    """One span; where it is larger than a chunk, its texts are cut, or nobody saw its trace."""
    piece = otlp.traces_to_protobuf([span])
    limit = CHUNK_BYTES
    while len(piece) > CHUNK_BYTES and limit:
        limit //= 2
        piece = otlp.traces_to_protobuf([cut(span, limit)])
    return piece
