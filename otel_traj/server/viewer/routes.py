"""The paths of the API: what is asked, by name and type; who answers is in the other modules."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, cast
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.viewer import filters, headers, listing, spans
from otel_traj.server.viewer import meta as meta_
from otel_traj.server.viewer.answers import (
    Facets,
    Meta,
    Problem,
    Spans,
    TrajectoryHeader,
    TrajectoryPage,
)
from otel_traj.server.viewer.filters import Filters
from otel_traj.server.viewer.reading import Reader

PREFIX: Final = "/api/ot/v1"

_COMPRESSED: Final = 1_024
"""Bytes from which an answer is compressed where the asker can read that."""


class Reading:
    """What the routes answer from."""

    def __init__(self, reader: Reader, threads: Threads, document: Callable[[], str]) -> None:
        self.reader = reader
        self._threads = threads
        self.document = functools.cache(document)

    async def answer(self, request: Request, read: Callable[[], Any]) -> Response:
        """The JSON of what is read, on a thread; 304 where the asker has it."""
        return await self._threads.call(self._answer, request, read)

    def _answer(self, request: Request, read: Callable[[], Any]) -> Response:
        tag = self._tag(request)
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag, **_PRIVATE})
        return packed(request, encoded(read()), "application/json", {"ETag": tag, **_PRIVATE})

    def _tag(self, request: Request) -> str:
        asked = f"{request.url.path}?{request.url.query}".encode("utf-8", "surrogateescape")
        return f'W/"{self.reader.version()}-{hashlib.sha256(asked).hexdigest()[:12]}"'

    async def call(self, read: Callable[[], Response]) -> Response:
        """An answer of another kind, made on a thread."""
        return await self._threads.call(read)


_PRIVATE: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Cookie"}


def encoded(content: Any) -> bytes:
    """JSON; texts that are no Unicode get question marks."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def packed(request: Request, body: bytes, kind: str, told: dict[str, str]) -> Response:
    """An answer, compressed where it is worth it and the asker reads it."""
    if len(body) >= _COMPRESSED and "gzip" in request.headers.get("accept-encoding", ""):
        body, told = gzip.compress(body, 1), {**told, "Content-Encoding": "gzip"}
    return Response(body, media_type=kind, headers=told)


def _reading(request: Request) -> Reading:
    return cast(Reading, request.app.state.reading)


# --- what requests say -------------------------------------------------------------------------

_Many = Annotated[Sequence[str], Query(description="Any of these; empty is none")]
_Text = Annotated[str | None, Query()]

TrajectoryId = Annotated[
    str, Path(description="Its id, an alias, or the beginning of its id (6 characters or more)")
]


async def _filters(
    q: Annotated[
        str | None, Query(description='As in the search box: tool:bash cost>0.5 -"no such file"')
    ] = None,
    agent: _Many = (),
    outcome: _Many = (),
    status: _Many = (),
    tool: _Many = (),
    model: _Many = (),
    error: _Many = (),
    task: _Many = (),
    service: _Many = (),
    since: Annotated[str | None, Query(description="Start, ISO 8601; that moment too")] = None,
    until: Annotated[str | None, Query(description="Start, ISO 8601; not that moment")] = None,
    dur: Annotated[str | None, Query(description="Time span or range: 10s..5m, ..1h")] = None,
    cost: Annotated[str | None, Query(description="USD or range: 0.1..0.5")] = None,
) -> Filters:
    return filters.read(
        q=q,
        facets={
            "agent": agent,
            "outcome": outcome,
            "status": status,
            "tool": tool,
            "model": model,
            "error": error,
            "task": task,
            "service": service,
        },
        ranges={"dur": dur, "cost": cost},
        since=since,
        until=until,
    )


_Filtered = Annotated[Filters, Depends(_filters)]

_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "Why not, as application/problem+json"},
    "5XX": {"model": Problem, "description": "Why not, as application/problem+json"},
}


def router() -> APIRouter:
    """All routes of the API."""
    made = APIRouter(prefix=PREFIX, responses=_PROBLEMS)
    for add in (_store, _trajectory):
        add(made)
    return made


def _store(api: APIRouter) -> None:
    @api.get("/meta", response_model=Meta)
    async def meta(request: Request) -> Response:
        """What is looked at, and what this server can do."""
        reading = _reading(request)
        return await reading.answer(request, lambda: meta_.meta(reading.reader, reading.document()))

    @api.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        body = _reading(request).document().encode()
        return packed(request, body, "application/json", _PRIVATE)

    @api.get("/trajectories", response_model=TrajectoryPage)
    async def trajectories(
        request: Request,
        chosen: _Filtered,
        sort: Annotated[
            str, Query(description=f"{', '.join(listing.SORTS)}; `-` before it: greatest first")
        ] = "-start",
        cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=listing.MOST_ROWS)] = 100,
    ) -> Response:
        """A page of the list."""
        reader = _reading(request).reader
        by = listing.order(sort, cursor)
        return await _reading(request).answer(
            request, lambda: listing.page(reader, chosen, by, limit)
        )

    @api.get("/facets", response_model=Facets)
    async def facets(
        request: Request,
        chosen: _Filtered,
        fields: Annotated[
            str,
            Query(
                description="Some of, with commas: "
                + ", ".join((*filters.FACETS, *listing.HISTOGRAMS)),
            ),
        ] = "agent,outcome,tool,model,error,start",
    ) -> Response:
        """What there is to choose from among the matching runs."""
        reader = _reading(request).reader
        names = [name.strip() for name in fields.split(",") if name.strip()]
        return await _reading(request).answer(
            request, lambda: listing.facets(reader, chosen, names)
        )


def _trajectory(api: APIRouter) -> None:
    @api.get("/trajectories/{trajectory_id}", response_model=TrajectoryHeader)
    async def trajectory(request: Request, trajectory_id: TrajectoryId) -> Response:
        """One run without its parts: outcome, totals, flags, coverage, what it is related to."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(request, lambda: headers.header(reader, named))

    @api.get("/trajectories/{trajectory_id}/spans", response_model=Spans)
    async def spans_(
        request: Request,
        trajectory_id: TrajectoryId,
        since: Annotated[
            int, Query(alias="from", ge=0, description="Only rows from this one on")
        ] = 0,
        under: Annotated[int | None, Query(ge=0, description="Only rows below this one")] = None,
    ) -> Response:
        """Its spans as columns of numbers, in order of arrival."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(
            request,
            lambda: spans.columns(reader, spans.read(reader, named), since=since, under=under),
        )
