"""The application: API, OpenAPI document, and the viewer's files, behind the guard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.viewer import (
    pages,
    problems,
    routes,
    routes_analysis,
    routes_annotations,
    routes_compare,
    routes_live,
    routes_sql,
)
from otel_traj.server.viewer.asking import Reading
from otel_traj.server.viewer.console import Console
from otel_traj.server.viewer.guard import Guard
from otel_traj.server.viewer.live import Streams
from otel_traj.server.viewer.reading import Reader

API_VERSION: Final = "1"
"""In the path; names and types of a version are only added to."""


def viewer(reader: Reader, threads: Threads, is_known: Callable[[str | None], bool]) -> ASGIApp:
    """The viewer and the API under it.

    Args:
        reader: Reads the store.
        threads: What it reads on.
        is_known: Whether a header `Authorization` shows what is asked for.
    """
    # Asked for ahead, before its token is changed for a cookie, a page would be refused.
    application = _application(reader, threads, asks_ahead=is_known(None))
    return Guard(application, is_known)


def routers() -> Iterator[APIRouter]:
    """All paths of the API, by topic."""
    yield routes.router()
    yield routes_compare.router()
    yield routes.beside_jaeger()
    yield routes_analysis.router()
    yield routes_live.router()
    yield routes_annotations.router()
    yield routes_sql.router()


def document() -> str:
    """The OpenAPI document of the API, as JSON text."""
    told = _document([route for each in routers() for route in each.routes])
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def _application(reader: Reader, threads: Threads, *, asks_ahead: bool) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.reading = Reading(reader, threads, document)
    app.state.streams = Streams(reader, threads)
    app.state.console = Console(reader, threads)
    for router in routers():
        app.include_router(router)
    pages.add(app, asks_ahead=asks_ahead)
    problems.install(app)
    return app


def _document(paths: Sequence[BaseRoute]) -> dict[str, Any]:
    """What FastAPI tells, without the errors that it thinks it answers with."""
    told: dict[str, Any] = get_openapi(
        title="otel-traj viewer API",
        version=API_VERSION,
        description="Trajectories of a store, read-only. docs/viewer-api.md",
        routes=paths,
    )
    for path in told["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        told["components"]["schemas"].pop(name, None)
    return told
