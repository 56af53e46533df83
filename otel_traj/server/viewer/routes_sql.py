"""The paths of the SQL console."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final, cast

from fastapi import APIRouter, Body
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from otel_traj.server.viewer import console
from otel_traj.server.viewer.answers import (
    SqlCancel,
    SqlCancelled,
    SqlQuestion,
    SqlResult,
    SqlSchema,
)
from otel_traj.server.viewer.asking import PREFIX, PRIVATE, PROBLEMS, Store, packed
from otel_traj.server.viewer.console import Console
from otel_traj.server.viewer.console_worker import MOST_ROWS, Form, Question

_FORMS: Final[dict[str, Form]] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.parquet": "parquet",
}
_ENDINGS: Final = {"csv": "csv", "arrow": "arrows", "parquet": "parquet"}
_FILES: Final[dict[str, dict[str, str]]] = {
    kind: {} for kind, form in _FORMS.items() if form != "json"
}


def router() -> APIRouter:
    """The routes."""
    api = APIRouter(prefix=PREFIX, responses=PROBLEMS)

    @api.get("/sql/schema", response_model=SqlSchema)
    async def schema(request: Request, asked: Store) -> Response:
        """Views, columns and what they mean; limits."""
        _console(request).prepare()
        return await asked.answer(lambda _: console.described())

    @api.post("/sql", response_model=SqlResult, responses={200: {"content": _FILES}})
    async def sql(request: Request, question: Annotated[SqlQuestion, Body()]) -> Response:
        """The rows of one SELECT; as a file where `Accept` says so."""
        kind, form = _form(request.headers.get("accept", ""))
        limit = question.get("limit")
        if form == "json" and limit is not None:
            limit = min(limit, MOST_ROWS)
        body = await _console(request).answer(
            Question(
                sql=question["sql"],
                form=form,
                limit=limit,
                timeout_ms=question.get("timeout_ms", console.TIME_MS),
            ),
            question.get("id"),
            lambda: _left(request),
        )
        if form == "json":
            return packed(request, body, kind, PRIVATE)
        disposition = f'attachment; filename="query.{_ENDINGS[form]}"'
        return Response(
            body, media_type=kind, headers={**PRIVATE, "Content-Disposition": disposition}
        )

    @api.post("/sql/cancel", response_model=SqlCancelled)
    async def cancel(request: Request, named: Annotated[SqlCancel, Body()]) -> SqlCancelled:
        """Stops the query of an id, if it is running or waits."""
        return {"is_cancelled": _console(request).cancel(named["id"])}

    return api


def _console(request: Request) -> Console:
    return cast(Console, request.app.state.console)


def _form(accept: str) -> tuple[str, Form]:
    """Type and form of the first that an asker accepts of those that there are."""
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        kind = part.partition(";")[0].strip().lower()
        kind = "application/json" if kind in ("*/*", "application/*") else kind
        if kind in _FORMS:
            return kind, _FORMS[kind]
    raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, f"There is only {', '.join(_FORMS)}")


async def _left(request: Request) -> None:
    """Returns when who asked is gone; all that was sent has been received."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
