"""One request, and how it is answered: on a thread, as JSON, or with 304 where it is known."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, cast
from urllib.parse import unquote

import msgspec
from fastapi import Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.viewer import filters
from otel_traj.server.viewer.answers import Problem
from otel_traj.server.viewer.filters import Filters
from otel_traj.server.viewer.reading import Reader

PREFIX: Final = "/api/ot/v1"

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "Why not, as application/problem+json"},
    "5XX": {"model": Problem, "description": "Why not, as application/problem+json"},
}
"""What every route may answer instead."""

PRIVATE: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Cookie"}

_COMPRESSED: Final = 1_024
"""Bytes from which an answer is compressed where the asker can read that."""


class Reading:
    """What the application answers from."""

    def __init__(self, reader: Reader, threads: Threads, document: Callable[[], str]) -> None:
        self.reader = reader
        self.threads = threads
        self.document = functools.cache(document)


def reading(request: Request) -> Reading:
    """That of the application which is asked."""
    return cast(Reading, request.app.state.reading)


class Asked:
    """A request, as a dependency of a route."""

    def __init__(self, request: Request) -> None:
        """Take a request."""
        self.request = request
        self.reading = reading(request)

    async def answer(self, read: Callable[[Reader], Any]) -> Response:
        """The JSON of what is read, on a thread; 304 where the asker has it."""
        return await self.reading.threads.call(self._answer, read)

    async def call(self, read: Callable[[Reader], Response]) -> Response:
        """An answer of another kind, made on a thread."""
        return await self.reading.threads.call(read, self.reading.reader)

    def _answer(self, read: Callable[[Reader], Any]) -> Response:
        told = {"ETag": self._tag(), **PRIVATE}
        if self.request.headers.get("if-none-match") == told["ETag"]:
            return Response(status_code=304, headers=told)
        content = read(self.reading.reader)
        if isinstance(content, Mapping) and content.get("seen") is not None:
            told.pop("ETag")  # the same store will soon answer more
        return packed(self.request, encoded(content), "application/json", told)

    def _tag(self) -> str:
        url = self.request.url
        asked = f"{url.path}?{url.query}".encode("utf-8", "surrogateescape")
        return f'W/"{self.reading.reader.version()}-{hashlib.sha256(asked).hexdigest()[:12]}"'


class AskedOfRun:
    """A request for one run, whose path names it, as a dependency of a route."""

    def __init__(
        self,
        request: Request,
        trajectory_id: Annotated[
            str,
            Path(description="Its id, an alias, or the beginning of its id (6 characters or more)"),
        ],
    ) -> None:
        """Take a request."""
        self._asked = Asked(request)
        self._named = unquote(trajectory_id)

    async def answer(self, read: Callable[[Reader, str], Any]) -> Response:
        """See `Asked.answer`; `read` gets the name of the run too."""
        return await self._asked.answer(lambda reader: read(reader, self._named))

    async def call(self, read: Callable[[Reader, str], Response]) -> Response:
        """See `Asked.call`; `read` gets the name of the run too."""
        return await self._asked.call(lambda reader: read(reader, self._named))


Store = Annotated[Asked, Depends(Asked)]
"""Who asks for something of the store."""

Run = Annotated[AskedOfRun, Depends(AskedOfRun)]
"""Who asks for something of the run that the path names as `{trajectory_id}`."""


_Many = Annotated[Sequence[str], Query(description="Any of these; empty is none")]


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
    chosen: Annotated[Sequence[str], Query(alias="id", description="Whole ids of runs")] = (),
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
            "id": chosen,
        },
        ranges={"dur": dur, "cost": cost},
        since=since,
        until=until,
    )


Filtered = Annotated[Filters, Depends(_filters)]
"""Which runs are asked for, as the list takes it."""


def encoded(content: Any) -> bytes:
    """JSON; texts that are no Unicode get question marks."""
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8", "replace")


def packed(request: Request, body: bytes, kind: str, told: Mapping[str, str]) -> Response:
    """An answer, compressed where it is worth it and the asker reads it."""
    if len(body) >= _COMPRESSED and "gzip" in request.headers.get("accept-encoding", ""):
        body, told = gzip.compress(body, 1), {**told, "Content-Encoding": "gzip"}
    return Response(body, media_type=kind, headers=dict(told))
