"""Paths of what happens now."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, cast

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from otel_traj.server.viewer import activity as activity_
from otel_traj.server.viewer.answers import Activity, LiveEvents
from otel_traj.server.viewer.asking import PREFIX, PROBLEMS, Store, encoded, packed
from otel_traj.server.viewer.live import Position, Streams, Topics
from otel_traj_analysis import now

_LONGEST_S = 366 * 86_400.0

_WINDOW_S = now.WINDOW.total_seconds()
_HUNG_AFTER_S = now.HUNG_AFTER.total_seconds()

_NOT_KEPT = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nor held back by who stands between."""

Seconds = Annotated[float, Query(gt=0, le=_LONGEST_S)]


def router() -> APIRouter:
    """The stream of events, and the figures beside it."""
    made = APIRouter(prefix=PREFIX, responses=PROBLEMS)
    _activity(made)
    _live(made)
    return made


def _activity(api: APIRouter) -> None:
    @api.get("/activity", response_model=Activity)
    async def activity(
        asked: Store,
        agent: Annotated[str | None, Query(description="Only runs of this agent")] = None,
        window_s: Seconds = _WINDOW_S,
        hung_after_s: Seconds = _HUNG_AFTER_S,
    ) -> Response:
        """What agents do now: running, hung, how many, how well, and which runs are open.

        `window_s`: how far back runs that ended count. `hung_after_s`: silence after which an open
        run hangs.
        """
        return await asked.call(
            lambda reader: packed(
                asked.request,
                encoded(
                    activity_.activity(
                        reader,
                        agent=agent,
                        window=timedelta(seconds=window_s),
                        hung_after=timedelta(seconds=hung_after_s),
                    )
                ),
                "application/json",
                _NOT_KEPT,
            )
        )


def _live(api: APIRouter) -> None:
    @api.get(
        "/live",
        response_class=StreamingResponse,
        responses={
            200: {
                "model": LiveEvents,
                "description": "Server-sent events. `data` of an event is JSON of the type that"
                " stands here under its name. Those of one commit come together, and the last of"
                " them has the `id`.",
            }
        },
    )
    async def live(
        request: Request,
        topics: Annotated[
            str, Query(description="`runs`, `traj:ID` (one run with its spans), or both")
        ] = "runs",
        after: Annotated[
            str | None, Query(description="`id` of the last event, where no header tells it")
        ] = None,
    ) -> Response:
        """What happens, as it happens; goes on after the header `Last-Event-ID`."""
        streams = cast(Streams, request.app.state.streams)
        chosen = await streams.check(Topics.read(topics))
        last = request.headers.get("last-event-id") or after
        return StreamingResponse(
            streams.events(chosen, Position.read(last) if last else None),
            media_type="text/event-stream",
            headers=_NOT_KEPT,
        )
