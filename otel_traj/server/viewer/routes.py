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
from otel_traj.server.viewer import (
    checkpoints,
    details,
    doctor,
    export,
    files,
    filters,
    finding,
    headers,
    listing,
    spans,
    steps,
    values,
)
from otel_traj.server.viewer import meta as meta_
from otel_traj.server.viewer.answers import (
    Checkpoint,
    Checkpoints,
    Diff,
    Doctor,
    Facets,
    Files,
    Found,
    Meta,
    Problem,
    Replays,
    SpanDetail,
    Spans,
    StepDetail,
    StepPage,
    TrajectoryHeader,
    TrajectoryPage,
    TrajectoryRow,
    Transcript,
)
from otel_traj.server.viewer.filters import Filters
from otel_traj.server.viewer.reading import Reader
from otel_traj.server.viewer.texts import Texts

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

Step = Annotated[int, Path(ge=0, description="Its number")]
Span = Annotated[str, Path(description="Its id, or the number of its row in `spans`")]
Key = Annotated[str, Path(description="`key` of a text, percent-encoded")]
Offset = Annotated[int, Query(ge=0, description="First byte")]
Length = Annotated[int | None, Query(alias="len", ge=1, description="Bytes; all without")]

_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "Why not, as application/problem+json"},
    "5XX": {"model": Problem, "description": "Why not, as application/problem+json"},
}


def router() -> APIRouter:
    """All routes of the API."""
    made = APIRouter(prefix=PREFIX, responses=_PROBLEMS)
    for add in (_store, _trajectory, _steps, _span, _beside):
        add(made)
    return made


def beside_jaeger() -> APIRouter:
    """Checkpoints and replays, whose paths go on where Jaeger's end."""
    made = APIRouter(prefix="/api", responses=_PROBLEMS)
    _checkpoints(made)
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


def _steps(api: APIRouter) -> None:
    @api.get("/trajectories/{trajectory_id}/transcript", response_model=Transcript)
    async def transcript(
        request: Request,
        trajectory_id: TrajectoryId,
        agent: Annotated[
            str | None, Query(description="Path of a folded agent; the loop of the top without")
        ] = None,
        cursor: Annotated[int, Query(ge=0, description="`next` of the page before")] = 0,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> Response:
        """The agent's loop in order, with previews; sub-agents folded."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(
            request,
            lambda: steps.transcript(reader.trajectory(named), agent, cursor, limit),
        )

    @api.get("/trajectories/{trajectory_id}/steps", response_model=StepPage)
    async def lines(
        request: Request,
        trajectory_id: TrajectoryId,
        since: Annotated[int, Query(alias="from", ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=steps.MOST)] = steps.MOST,
    ) -> Response:
        """Its steps as lines: rewards, flags, errors, tests, files."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(
            request, lambda: steps.page(reader.trajectory(named), since, limit)
        )

    @api.get("/trajectories/{trajectory_id}/steps/{step}", response_model=StepDetail)
    async def step_(request: Request, trajectory_id: TrajectoryId, step: Step) -> Response:
        """One step with all that it said and got."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(
            request, lambda: _step_detail(reader, named, step, Texts())
        )

    @api.get("/trajectories/{trajectory_id}/steps/{step}/values/{key}", response_class=Response)
    async def value_of_step(
        request: Request,
        trajectory_id: TrajectoryId,
        step: Step,
        key: Key,
        offset: Offset = 0,
        length: Length = None,
    ) -> Response:
        """One text of a step, whole or a range of its bytes."""
        reader, named = _reading(request).reader, unquote(trajectory_id)

        def read() -> Response:
            texts = Texts()
            _step_detail(reader, named, step, texts)
            return values.ranged(texts, unquote(key), offset, length)

        return await _reading(request).call(read)

    @api.get("/trajectories/{trajectory_id}/steps/{step}/files", response_model=Files)
    async def files_of_step(request: Request, trajectory_id: TrajectoryId, step: Step) -> Response:
        """The files that a step changed."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(
            request, lambda: files.files(reader.trajectory(named), step)
        )

    @api.get("/trajectories/{trajectory_id}/files", response_model=Files)
    async def files_(request: Request, trajectory_id: TrajectoryId) -> Response:
        """All changes of files, in order of steps."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(
            request, lambda: files.files(reader.trajectory(named))
        )

    @api.get("/trajectories/{trajectory_id}/files/{path}/diff", response_model=Diff)
    async def diff(
        request: Request,
        trajectory_id: TrajectoryId,
        path: Annotated[str, Path(description="As the step named it, one percent-encoded segment")],
        step: Annotated[
            int | None, Query(ge=0, description="In this step; without, from first to last")
        ] = None,
    ) -> Response:
        """How a file changed, as hunks of a unified diff."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(
            request, lambda: files.diff(reader.trajectory(named), unquote(path), step)
        )


def _step_detail(reader: Reader, named: str, step: int, texts: Texts) -> StepDetail:
    run = reader.trajectory(named)
    return steps.detail(run, step, texts, headers.verdicts(reader, run.trajectory_id))


def _span(api: APIRouter) -> None:
    @api.get("/trajectories/{trajectory_id}/spans/{span}", response_model=SpanDetail)
    async def span_(request: Request, trajectory_id: TrajectoryId, span: Span) -> Response:
        """One span: attributes, events, links, logs, and messages parsed into parts."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(
            request, lambda: details.detail(reader, named, span, Texts())
        )

    @api.get("/trajectories/{trajectory_id}/spans/{span}/values/{key}", response_class=Response)
    async def value_of_span(
        request: Request,
        trajectory_id: TrajectoryId,
        span: Span,
        key: Key,
        offset: Offset = 0,
        length: Length = None,
    ) -> Response:
        """One value of a span, whole or a range of its bytes."""
        reader, named = _reading(request).reader, unquote(trajectory_id)

        def read() -> Response:
            texts = Texts()
            details.detail(reader, named, span, texts)
            return values.ranged(texts, unquote(key), offset, length)

        return await _reading(request).call(read)


def _beside(api: APIRouter) -> None:
    @api.get("/trajectories/{trajectory_id}/doctor", response_model=Doctor)
    async def doctor_of_run(request: Request, trajectory_id: TrajectoryId) -> Response:
        """What is missing of one run, what was repaired, what would close each gap."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(request, lambda: doctor.doctor(reader, named))

    @api.get("/doctor", response_model=Doctor)
    async def doctor_(request: Request) -> Response:
        """The same of the whole store."""
        reader = _reading(request).reader
        return await _reading(request).answer(request, lambda: doctor.doctor(reader))

    @api.get("/export/{trajectory_id}", response_class=Response)
    async def export_(
        request: Request,
        trajectory_id: TrajectoryId,
        form: Annotated[
            export.Format,
            Query(alias="format", description="html is one page that needs no server"),
        ] = "html",
    ) -> Response:
        """One run as a file for another tool."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).call(lambda: export.export(reader, named, form))

    @api.get("/find", response_model=Found)
    async def find(
        request: Request,
        trajectory_id: Annotated[str, Query(alias="id")],
        q: Annotated[str, Query(min_length=1, max_length=500)],
    ) -> Response:
        """Where a text is within one run."""
        reader = _reading(request).reader
        return await _reading(request).answer(
            request, lambda: finding.find(reader, trajectory_id, q)
        )


def _checkpoints(api: APIRouter) -> None:
    @api.get("/traces/{trace_id}/checkpoints", response_model=Checkpoints)
    async def of_trace(request: Request, trace_id: str) -> Response:
        """The checkpoints that a trace, or a trajectory, recorded."""
        reader, named = _reading(request).reader, unquote(trace_id)
        return await _reading(request).answer(request, lambda: checkpoints.of_trace(reader, named))

    @api.get("/checkpoints/{checkpoint_id}", response_model=Checkpoint)
    async def checkpoint(request: Request, checkpoint_id: str) -> Response:
        """One checkpoint with its state."""
        reader, named = _reading(request).reader, unquote(checkpoint_id)
        return await _reading(request).answer(request, lambda: checkpoints.one(reader, named))

    @api.get("/traces/{trace_id}/replays", response_model=Replays)
    async def replays_of_trace(request: Request, trace_id: str) -> Response:
        """The runs that replay a trace, or a trajectory, newest first."""
        reader, named = _reading(request).reader, unquote(trace_id)
        return await _reading(request).answer(request, lambda: checkpoints.replays(reader, named))

    @api.get("/replays/{trajectory_id}", response_model=TrajectoryRow)
    async def replay(request: Request, trajectory_id: str) -> Response:
        """One run that replays another."""
        reader, named = _reading(request).reader, unquote(trajectory_id)
        return await _reading(request).answer(request, lambda: checkpoints.replay(reader, named))
