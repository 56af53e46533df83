"""The paths of the API: what is asked, by name and type; who answers is in the other modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from otel_traj.server.viewer import (
    checkpoints,
    course,
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
from otel_traj.server.viewer import transcript as transcript_
from otel_traj.server.viewer.answers import (
    Checkpoint,
    Checkpoints,
    Diff,
    Doctor,
    Facets,
    Files,
    Found,
    Meta,
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
from otel_traj.server.viewer.asking import (
    PREFIX,
    PRIVATE,
    PROBLEMS,
    Filtered,
    Run,
    Store,
    packed,
)
from otel_traj.server.viewer.course import Course
from otel_traj.server.viewer.reading import Reader
from otel_traj.server.viewer.texts import Texts

Step = Annotated[int, Path(ge=0, le=steps.LAST, description="Its number")]
Span = Annotated[str, Path(description="Its id, or the number of its row in `spans`")]
Key = Annotated[str, Path(description="`key` of a text, percent-encoded")]
Offset = Annotated[int, Query(ge=0, description="First byte")]
Length = Annotated[int | None, Query(alias="len", ge=1, description="Bytes; all without")]


def router() -> APIRouter:
    """All routes of the API."""
    made = APIRouter(prefix=PREFIX, responses=PROBLEMS)
    for add in (_store, _trajectory, _steps, _span, _beside):
        add(made)
    return made


def beside_jaeger() -> APIRouter:
    """Checkpoints and replays, whose paths go on where Jaeger's end."""
    made = APIRouter(prefix="/api", responses=PROBLEMS)
    _checkpoints(made)
    return made


def _store(api: APIRouter) -> None:
    @api.get("/meta", response_model=Meta)
    async def meta(asked: Store) -> Response:
        """What is looked at, and what this server can do."""
        document = asked.reading.document
        return await asked.answer(lambda reader: meta_.meta(reader, document()))

    @api.get("/openapi.json", include_in_schema=False)
    async def openapi(asked: Store) -> Response:
        body = asked.reading.document().encode()
        return packed(asked.request, body, "application/json", PRIVATE)

    @api.get("/trajectories", response_model=TrajectoryPage)
    async def trajectories(
        asked: Store,
        chosen: Filtered,
        sort: Annotated[
            str, Query(description=f"{', '.join(listing.SORTS)}; `-` before it: greatest first")
        ] = "-start",
        cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=listing.MOST_ROWS)] = 100,
    ) -> Response:
        """A page of the list."""
        by = listing.order(sort, cursor)
        return await asked.answer(lambda reader: listing.page(reader, chosen, by, limit))

    @api.get("/facets", response_model=Facets)
    async def facets(
        asked: Store,
        chosen: Filtered,
        fields: Annotated[
            str,
            Query(
                description="Some of, with commas: "
                + ", ".join((*filters.FACETS, *listing.HISTOGRAMS)),
            ),
        ] = "agent,outcome,tool,model,error,start",
    ) -> Response:
        """What there is to choose from among the matching runs."""
        names = [name.strip() for name in fields.split(",") if name.strip()]
        return await asked.answer(lambda reader: listing.facets(reader, chosen, names))


def _trajectory(api: APIRouter) -> None:
    @api.get("/trajectories/{trajectory_id}", response_model=TrajectoryHeader)
    async def trajectory(run: Run) -> Response:
        """One run without its parts: outcome, totals, flags, coverage, what it is related to."""
        return await run.answer(headers.header)

    @api.get("/trajectories/{trajectory_id}/spans", response_model=Spans)
    async def spans_(
        run: Run,
        since: Annotated[
            int,
            Query(alias="from", ge=0, description="Only rows from this one on"),
        ] = 0,
        under: Annotated[
            int | None, Query(ge=-1, description="Only rows below this one; -1 is the run itself")
        ] = None,
    ) -> Response:
        """Its spans as columns of numbers, in order of arrival."""
        return await run.answer(
            lambda reader, named: spans.columns(
                reader, spans.read(reader, named), since=since, under=under
            ),
        )


def _steps(api: APIRouter) -> None:
    @api.get("/trajectories/{trajectory_id}/transcript", response_model=Transcript)
    async def transcript(
        run: Run,
        agent: Annotated[
            str | None, Query(description="Path of a folded agent; the loop of the top without")
        ] = None,
        cursor: Annotated[
            int | None, Query(ge=0, le=steps.LAST, description="`next` of the page before")
        ] = None,
        before: Annotated[
            int | None, Query(ge=0, le=steps.LAST, description="`previous` of the page after")
        ] = None,
        around: Annotated[
            int | None, Query(ge=0, le=steps.LAST, description="A step that the page shows")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> Response:
        """The agent's loop in order, with previews; sub-agents folded."""
        window = transcript_.Window(cursor, before, around, limit)
        return await run.answer(_of_course(lambda it: transcript_.transcript(it, agent, window)))

    @api.get("/trajectories/{trajectory_id}/steps", response_model=StepPage)
    async def lines(
        run: Run,
        since: Annotated[int, Query(alias="from", ge=0, le=steps.LAST)] = 0,
        limit: Annotated[int, Query(ge=1, le=steps.MOST)] = steps.MOST,
    ) -> Response:
        """Its steps as lines: rewards, flags, errors, tests, files."""
        return await run.answer(_of_course(lambda it: steps.page(it, since, limit)))

    @api.get("/trajectories/{trajectory_id}/steps/{step}", response_model=StepDetail)
    async def step_(run: Run, step: Step) -> Response:
        """One step with all that it said and got."""
        return await run.answer(lambda reader, named: _step_detail(reader, named, step, Texts()))

    @api.get("/trajectories/{trajectory_id}/steps/{step}/values/{key}", response_class=Response)
    async def value_of_step(
        run: Run,
        step: Step,
        key: Key,
        offset: Offset = 0,
        length: Length = None,
    ) -> Response:
        """One text of a step, whole or a range of its bytes."""

        def read(reader: Reader, named: str) -> Response:
            texts = Texts()
            _step_detail(reader, named, step, texts)
            return values.ranged(texts, unquote(key), offset, length)

        return await run.call(read)

    @api.get("/trajectories/{trajectory_id}/steps/{step}/files", response_model=Files)
    async def files_of_step(run: Run, step: Step) -> Response:
        """The files that a step changed."""
        return await run.answer(_of_course(lambda it: files.files(it, step)))

    @api.get("/trajectories/{trajectory_id}/files", response_model=Files)
    async def files_(run: Run) -> Response:
        """All changes of files, in order of steps."""
        return await run.answer(_of_course(files.files))

    @api.get("/trajectories/{trajectory_id}/files/{path}/diff", response_model=Diff)
    async def diff(
        run: Run,
        path: Annotated[str, Path(description="As the step named it, one percent-encoded segment")],
        step: Annotated[
            int | None,
            Query(ge=0, le=steps.LAST, description="In this step; without, from first to last"),
        ] = None,
    ) -> Response:
        """How a file changed, as hunks of a unified diff."""
        return await run.answer(_of_course(lambda it: files.diff(it, unquote(path), step)))


def _of_course(ask: Callable[[Course], Any]) -> Callable[[Reader, str], Any]:
    """What is asked of the steps of the run that a request names."""
    return lambda reader, named: course.read(reader, named, ask)


def _step_detail(reader: Reader, named: str, step: int, texts: Texts) -> StepDetail:
    verdicts = headers.verdicts(reader, reader.header(named).trajectory_id)
    return course.read(reader, named, lambda it: steps.detail(it, step, texts, verdicts))


def _span(api: APIRouter) -> None:
    @api.get("/trajectories/{trajectory_id}/spans/{span}", response_model=SpanDetail)
    async def span_(run: Run, span: Span) -> Response:
        """One span: attributes, events, links, logs, and messages parsed into parts."""
        return await run.answer(lambda reader, named: details.detail(reader, named, span, Texts()))

    @api.get("/trajectories/{trajectory_id}/spans/{span}/values/{key}", response_class=Response)
    async def value_of_span(
        run: Run,
        span: Span,
        key: Key,
        offset: Offset = 0,
        length: Length = None,
    ) -> Response:
        """One value of a span, whole or a range of its bytes."""

        def read(reader: Reader, named: str) -> Response:
            texts = Texts()
            details.detail(reader, named, span, texts)
            return values.ranged(texts, unquote(key), offset, length)

        return await run.call(read)


def _beside(api: APIRouter) -> None:
    @api.get("/trajectories/{trajectory_id}/doctor", response_model=Doctor)
    async def doctor_of_run(run: Run) -> Response:
        """What is missing of one run, what was repaired, what would close each gap."""
        return await run.answer(doctor.doctor)

    @api.get("/doctor", response_model=Doctor)
    async def doctor_(asked: Store) -> Response:
        """The same of the whole store."""
        return await asked.answer(doctor.doctor)

    @api.get("/export/{trajectory_id}", response_class=Response)
    async def export_(
        run: Run,
        form: Annotated[
            export.Format,
            Query(alias="format", description="html is one page that needs no server"),
        ] = "html",
    ) -> Response:
        """One run as a file for another tool."""
        return await run.call(lambda reader, named: export.export(reader, named, form))

    @api.get("/find", response_model=Found)
    async def find(
        asked: Store,
        trajectory_id: Annotated[str, Query(alias="id")],
        q: Annotated[str, Query(min_length=1, max_length=500)],
    ) -> Response:
        """Where a text is within one run."""
        return await asked.answer(lambda reader: finding.find(reader, trajectory_id, q))


def _checkpoints(api: APIRouter) -> None:
    @api.get("/traces/{trace_id}/checkpoints", response_model=Checkpoints)
    async def of_trace(asked: Store, trace_id: str) -> Response:
        """The checkpoints that a trace, or a trajectory, recorded."""
        return await asked.answer(lambda reader: checkpoints.of_trace(reader, unquote(trace_id)))

    @api.get("/checkpoints/{checkpoint_id}", response_model=Checkpoint)
    async def checkpoint(asked: Store, checkpoint_id: str) -> Response:
        """One checkpoint with its state."""
        return await asked.answer(lambda reader: checkpoints.one(reader, unquote(checkpoint_id)))

    @api.get("/traces/{trace_id}/replays", response_model=Replays)
    async def replays_of_trace(asked: Store, trace_id: str) -> Response:
        """The runs that replay a trace, or a trajectory, newest first."""
        return await asked.answer(lambda reader: checkpoints.replays(reader, unquote(trace_id)))

    @api.get("/replays/{trajectory_id}", response_model=TrajectoryRow)
    async def replay(asked: Store, trajectory_id: str) -> Response:
        """One run that replays another."""
        return await asked.answer(lambda reader: checkpoints.replay(reader, unquote(trajectory_id)))
