"""Jaeger's query API over HTTP: `/api/*` of every Jaeger and Grafana, `/api/v3/*` of newer ones.

Answers are never compressed: some versions of Grafana ask for gzip and cannot read it. Many traces
are written one after the other, so that not all of them are in memory.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import duckdb
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from otel_traj import otlp
from otel_traj.errors import InputError, StoreError
from otel_traj.model import SpanRecord
from otel_traj.server.jaeger import asked, legacy, paths
from otel_traj.server.jaeger.asked import ServiceFrom
from otel_traj.server.jaeger.cutting import cut
from otel_traj.server.jaeger.reading import Reader, Trace, TraceSummary
from otel_traj.server.jaeger.threads import Threads

_log = logging.getLogger("otel_traj.server")

_Answer: TypeAlias = "Callable[[Request], Awaitable[Response]]"
_Refuse: TypeAlias = "Callable[[int, str], Response]"

_NO_TRACE: Final = "trace not found"


class JaegerApi:
    """The answers; their paths stand at the root, for old clients leave a prefix out."""

    def __init__(
        self,
        reader: Reader,
        threads: Threads,
        is_known: Callable[[str | None], bool],
        service_from: ServiceFrom = "service",
    ) -> None:
        """Answer from a store.

        Args:
            reader: Reads it.
            threads: What it reads on.
            is_known: Whether a header `Authorization` shows what is asked for.
            service_from: What counts as service where a request does not say.
        """
        self._reader = reader
        self._threads = threads
        self._is_known = is_known
        self._service_from: ServiceFrom = service_from

    def application(self) -> Starlette:
        """An application of nothing else."""
        legacy_answers: tuple[_Answer, ...] = (
            self._services,
            self._operations_of_service,
            self._operations,
            self._search,
            self._trace,
            self._dependencies,
        )
        v3_answers: tuple[_Answer, ...] = (
            self._v3_services,
            self._v3_operations,
            self._v3_search,
            self._v3_trace,
            self._v3_summaries,
        )
        routes = [
            Route(path, self._guarded(answer, refuse), methods=["GET"])
            for at, answers, refuse in (
                (paths.V3, v3_answers, _v3_refusal),
                (paths.LEGACY, legacy_answers, _legacy_refusal),
            )
            for path, answer in zip(at, answers, strict=True)
        ]
        return Starlette(routes=routes)

    def _guarded(self, answer: _Answer, refuse: _Refuse) -> _Answer:
        async def guarded(request: Request) -> Response:
            if not self._is_known(request.headers.get("authorization")):
                refused = refuse(401, "Send the header 'Authorization: Bearer TOKEN'")
                refused.headers["WWW-Authenticate"] = "Bearer"
                return refused
            try:
                return await answer(request)
            except InputError as error:
                return refuse(400, str(error))
            except (StoreError, duckdb.Error) as error:
                _log.warning("%s: %s", request.url.path, error)
                return refuse(500, str(error))

        return guarded

    def _by(self, request: Request) -> ServiceFrom:
        return asked.service_from(request.query_params, self._service_from)

    # --- legacy --------------------------------------------------------------------------------

    async def _services(self, request: Request) -> Response:
        names = await self._threads.call(self._reader.services, self._by(request))
        return _structured(names, total=len(names))

    async def _operations_of_service(self, request: Request) -> Response:
        found = await self._threads.call(
            self._reader.operations, request.path_params["service"], None, self._by(request)
        )
        names = sorted({operation.name for operation in found})
        return _structured(names, total=len(names))

    async def _operations(self, request: Request) -> Response:
        service = request.query_params.get("service")
        if not service:
            raise InputError("parameter 'service' is required")
        kind = request.query_params.get("spanKind") or None
        found = await self._threads.call(self._reader.operations, service, kind, self._by(request))
        told = [{"name": operation.name, "spanKind": operation.kind} for operation in found]
        return _structured(told, total=len(told))

    async def _search(self, request: Request) -> Response:
        if wanted := request.query_params.getlist("traceID"):
            return await self._several(request, [asked.trace_id(text) for text in wanted])
        query = asked.legacy_query(request.query_params)
        traces = self._reader.find(query, self._by(request))
        return await self._streamed_legacy(request, traces, [])

    async def _several(self, request: Request, trace_ids: Sequence[str]) -> Response:
        by = self._by(request)
        found = [await self._threads.call(self._reader.trace, i, by) for i in trace_ids]
        errors = [
            {"code": 404, "msg": _NO_TRACE, "traceID": trace_id}
            for trace_id, trace in zip(trace_ids, found, strict=True)
            if trace is None
        ]
        return await self._streamed_legacy(request, (t for t in found if t is not None), errors)

    async def _streamed_legacy(
        self, request: Request, traces: Iterable[Trace], errors: list[dict[str, Any]]
    ) -> Response:
        limit = asked.max_value(request.query_params)
        texts = (json.dumps(legacy.trace(trace.trace_id, _cut(trace, limit))) for trace in traces)
        end = f'],"total":0,"limit":0,"offset":0,"errors":{json.dumps(errors or None)}}}'
        first = await self._threads.call(next, texts, None)
        return self._streamed('{"data":[', first, texts, end)

    async def _trace(self, request: Request) -> Response:
        trace_id = asked.trace_id(request.path_params["trace_id"])
        limit = asked.max_value(request.query_params)
        trace = await self._threads.call(self._reader.trace, trace_id, self._by(request))
        if trace is None:
            return _legacy_refusal(404, _NO_TRACE)
        return await self._threads.call(
            lambda: _structured([legacy.trace(trace_id, _cut(trace, limit))])
        )

    async def _dependencies(self, request: Request) -> Response:
        start_ns, end_ns = asked.dependency_range(request.query_params)
        found = await self._threads.call(
            self._reader.dependencies, start_ns, end_ns, self._by(request)
        )
        service = request.query_params.get("service")
        return _structured(
            [
                {"parent": edge.parent, "child": edge.child, "callCount": edge.n_calls}
                for edge in found
                if not service or service in (edge.parent, edge.child)
            ]
        )

    # --- v3 ------------------------------------------------------------------------------------

    async def _v3_services(self, request: Request) -> Response:
        names = await self._threads.call(self._reader.services, self._by(request))
        return _json({"services": names})

    async def _v3_operations(self, request: Request) -> Response:
        params = request.query_params
        found = await self._threads.call(
            self._reader.operations,
            params.get("service") or None,
            params.get("span_kind") or params.get("spanKind") or None,
            self._by(request),
        )
        return _json({"operations": [{"name": o.name, "spanKind": o.kind} for o in found]})

    async def _v3_search(self, request: Request) -> Response:
        query = asked.v3_query(request.query_params)
        return await self._v3_traces(request, self._reader.find(query, self._by(request)))

    async def _v3_trace(self, request: Request) -> Response:
        trace_id = asked.trace_id(request.path_params["trace_id"])
        trace = await self._threads.call(self._reader.trace, trace_id, self._by(request))
        return await self._v3_traces(request, [trace] if trace else [])

    async def _v3_traces(self, request: Request, traces: Iterable[Trace]) -> Response:
        limit = asked.max_value(request.query_params)
        groups = (
            json.dumps(group)
            for trace in traces
            for group in otlp.traces_to_json(_cut(trace, limit))["resourceSpans"]
        )
        first = await self._threads.call(next, groups, None)
        if first is None:
            return _v3_refusal(404, "No traces found")
        return self._streamed('{"result":{"resourceSpans":[', first, groups, "]}}")

    async def _v3_summaries(self, request: Request) -> Response:
        query = asked.v3_query(request.query_params)
        found = await self._threads.call(self._reader.summaries, query, self._by(request))
        return _json({"summaries": [_summary(summary) for summary in found]})

    def _streamed(self, begin: str, first: str | None, others: Iterator[str], end: str) -> Response:
        """An answer of parts that are read meanwhile; the first was, or it would be refused."""

        async def body() -> AsyncIterator[str]:
            yield begin + (first or "")
            async for part in self._threads.each(others):
                yield "," + part
            yield end

        return StreamingResponse(body(), media_type="application/json")


def _cut(trace: Trace, limit: int | None) -> list[SpanRecord]:
    return [cut(span, limit) for span in trace.spans]


def _structured(data: Any, *, total: int = 0) -> Response:
    return _json({"data": data, "total": total, "limit": 0, "offset": 0, "errors": None})


def _legacy_refusal(status: int, message: str) -> Response:
    errors = [{"code": status, "msg": message}]
    told = {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": errors}
    return _json(told, status)


def _v3_refusal(status: int, message: str) -> Response:
    return _json({"error": {"httpCode": status, "message": message}}, status)


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")


def _summary(summary: TraceSummary) -> dict[str, Any]:
    return {
        "traceId": summary.trace_id,
        "rootServiceName": summary.root_service,
        "rootOperationName": summary.root_operation,
        "minStartTimeUnixNano": str(summary.start_ns),
        "maxEndTimeUnixNano": str(summary.end_ns),
        "spanCount": summary.n_spans,
        "errorSpanCount": summary.n_errors,
        "orphanSpanCount": summary.n_orphans,
        "services": [
            {"name": part.name, "spanCount": part.n_spans, "errorSpanCount": part.n_errors}
            for part in summary.services
        ],
    }
