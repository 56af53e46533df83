"""Errors as RFC 9457 has them: `application/problem+json`, with what the asker can do about it."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any, Final

import duckdb
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from otel_traj.errors import (
    InputError,
    MissingExtraError,
    OtelTrajError,
    QueryError,
    StoreError,
    TrajectoryNotFoundError,
)
from otel_traj.server.viewer.analysing_jobs import NobodyWaitsError
from otel_traj.server.viewer.console_worker import CancelledError, TooLargeError
from otel_traj.server.viewer.reading import TooSlowError

_log = logging.getLogger("otel_traj.server")

MEDIA_TYPE: Final = "application/problem+json"


class BusyError(OtelTrajError):
    """As many as may are served already."""


class ReadOnlyError(OtelTrajError):
    """The store takes nothing from this server."""


class OvertakenError(OtelTrajError):
    """What is to be changed has changed meanwhile."""


class NotThereError(OtelTrajError):
    """A part of a trajectory, or what else a path names, that there is not."""


_STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (InputError, HTTPStatus.BAD_REQUEST),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (QueryError, HTTPStatus.BAD_REQUEST),
    (CancelledError, HTTPStatus.CONFLICT),
    (TrajectoryNotFoundError, HTTPStatus.NOT_FOUND),
    (NotThereError, HTTPStatus.NOT_FOUND),
    (ReadOnlyError, HTTPStatus.FORBIDDEN),
    (OvertakenError, HTTPStatus.CONFLICT),
    (TooSlowError, HTTPStatus.SERVICE_UNAVAILABLE),
    (NobodyWaitsError, HTTPStatus.SERVICE_UNAVAILABLE),
    (MissingExtraError, HTTPStatus.NOT_IMPLEMENTED),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (duckdb.Error, HTTPStatus.INTERNAL_SERVER_ERROR),
)


def problem(status: int, detail: str, **more: Any) -> Response:
    """An answer that says why there is none."""
    told = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        **more,
    }
    body = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let an application answer all errors so."""
    for error, _ in _STATUS:
        app.exception_handler(error)(_failed)
    app.exception_handler(Exception)(_broken)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_refused)


async def _failed(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("%s: %s", request.url.path, error)
    at = getattr(error, "at", None)
    more = {} if at is None else {"at": at}
    return problem(status, str(error), **more)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = (f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
    return problem(HTTPStatus.BAD_REQUEST, "; ".join(told))


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _broken(_: Request, error: Exception) -> Response:
    """A defect of ours: the server logs it when this is sent."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"otel-traj failed: {type(error).__name__}")
