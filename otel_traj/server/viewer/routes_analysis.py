"""Paths of analyses."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from otel_traj.server.viewer import analysing
from otel_traj.server.viewer.analysing_answers import AnalysisAnswer, AnalysisSummary
from otel_traj.server.viewer.analysing_jobs import Job, Jobs
from otel_traj.server.viewer.asking import PREFIX, PROBLEMS, Asked, Filtered, Store
from otel_traj.server.viewer.reading import Reader


def router() -> APIRouter:
    """What many runs tell together."""
    api = APIRouter(prefix=f"{PREFIX}/analysis", responses=PROBLEMS)
    jobs = Jobs()

    async def answered(
        asked: Asked, make: Callable[[Reader, Job], Any], *key: Hashable
    ) -> Response:
        """What is made of the newest snapshot, once for all who ask for it at a time."""
        reader, threads = asked.reading.reader, asked.reading.threads
        told = await jobs.answer(
            (await threads.call(reader.version), *key),
            lambda job: make(reader, job),
            asked.request.is_disconnected,
        )
        return await asked.answer(lambda _: told)

    @api.get("", response_model=AnalysisSummary)
    async def summary(asked: Store, chosen: Filtered) -> Response:
        """How many runs match, how many of them succeed, and what they cost and took."""
        return await answered(
            asked, lambda reader, job: analysing.summary(reader, job, chosen), repr(chosen)
        )

    @api.get("/{name}", response_model=AnalysisAnswer)
    async def answer(
        asked: Store,
        chosen: Filtered,
        name: Annotated[str, Path(description="As `otel-traj analyze` names it")],
        limit: Annotated[int, Query(ge=1, le=analysing.MOST_ROWS)] = 100,
    ) -> Response:
        """An analysis over the matching runs: its first rows, in words and in numbers."""
        analysing.check(name)
        return await answered(
            asked,
            lambda reader, job: analysing.answer(reader, job, name, chosen, limit),
            repr(chosen),
            name,
            limit,
        )

    return api
