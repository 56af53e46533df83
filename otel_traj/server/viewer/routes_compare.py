"""The paths that compare runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from otel_traj.errors import InputError
from otel_traj.server.viewer import comparing, steps
from otel_traj.server.viewer import nearest as nearest_
from otel_traj.server.viewer.answers import Comparison, Nearest, StepComparison
from otel_traj.server.viewer.asking import PREFIX, PROBLEMS, Store

A = Annotated[str, Query(description="One run: its id, an alias, or the beginning of its id")]
B = Annotated[str, Query(description="The run that it is compared with")]
StepOf = Annotated[
    int | None, Query(ge=0, le=steps.LAST, description="Its number; none for no partner")
]


def router() -> APIRouter:
    """All of them."""
    made = APIRouter(prefix=PREFIX, responses=PROBLEMS)

    @made.get("/compare", response_model=Comparison)
    async def compare(asked: Store, a: A, b: B) -> Response:
        """Two runs side by side: which steps belong together, and where they went apart."""
        return await asked.answer(lambda reader: comparing.comparison(reader, a, b))

    @made.get("/compare/step", response_model=StepComparison)
    async def pair(
        asked: Store, a: A, b: B, step_a: StepOf = None, step_b: StepOf = None
    ) -> Response:
        """Two steps with what differs in them: arguments, results, texts, messages, files."""
        if step_a is None and step_b is None:
            raise InputError("Name a step: step_a, step_b, or both")
        return await asked.answer(lambda reader: comparing.pair(reader, a, b, step_a, step_b))

    @made.get("/compare/nearest", response_model=Nearest)
    async def nearest(asked: Store, trajectory_id: Annotated[str, Query(alias="id")]) -> Response:
        """The success of the same task whose steps are most alike."""
        return await asked.answer(lambda reader: nearest_.nearest(reader, trajectory_id))

    return made
