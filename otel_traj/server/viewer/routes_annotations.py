"""Paths of what people say of a run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path
from starlette.responses import Response

from otel_traj.server.viewer import annotating
from otel_traj.server.viewer.answers import AnnotationAdded, AnnotationHistory, NewAnnotation
from otel_traj.server.viewer.asking import PREFIX, PROBLEMS, Run, encoded
from otel_traj.server.viewer.reading import Reader


def router() -> APIRouter:
    """Reading, saying and undoing."""
    api = APIRouter(prefix=PREFIX, responses=PROBLEMS)

    @api.get("/trajectories/{trajectory_id}/annotations", response_model=AnnotationHistory)
    async def said(asked: Run) -> Response:
        """All that was said of a run, the latest first; what was taken back too."""
        return await asked.answer(annotating.history)

    @api.post("/trajectories/{trajectory_id}/annotations", response_model=AnnotationAdded)
    async def say(asked: Run, new: Annotated[NewAnnotation, Body()]) -> Response:
        """Adds an outcome, score or comment of a person (source `human`)."""
        return await asked.call(lambda reader, run: _added(annotating.annotate(reader, run, new)))

    @api.post(
        "/trajectories/{trajectory_id}/annotations/{annotation_id}/undo",
        response_model=AnnotationAdded,
    )
    async def undo(
        asked: Run, annotation_id: Annotated[str, Path(description="The last under its name")]
    ) -> Response:
        """What a person said before under the same name counts again; nothing is erased."""

        def undone(reader: Reader, run: str) -> Response:
            return _added(annotating.undo(reader, run, annotation_id))

        return await asked.call(undone)

    return api


def _added(told: AnnotationAdded) -> Response:
    return Response(encoded(told), media_type="application/json")
