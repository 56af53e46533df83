"""What the port of the viewer serves: viewer and API, health, figures, traces as Jaeger does."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from otel_traj.server.jaeger import paths
from otel_traj.server.keeper import SealerKeeper
from otel_traj.server.metrics import CONTENT_TYPE
from otel_traj.server.receiver import Receiver


def application(
    receiver: Receiver, keeper: SealerKeeper, jaeger: ASGIApp, viewer: ASGIApp
) -> Starlette:
    """The ASGI application.

    `/health` and the viewer's own files are open to everybody, the rest asks for the token.
    """

    async def health(_: Request) -> Response:
        status = "stopping" if receiver.is_stopping else "ok" if keeper.is_running else "degraded"
        told = {"status": status, "sealer": "running" if keeper.is_running else "starting"}
        return JSONResponse(told, 503 if receiver.is_stopping else 200)

    async def metrics(request: Request) -> Response:
        if not receiver.is_known(request.headers.get("authorization")):
            return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        return Response(receiver.metrics.text(), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/metrics", metrics),
            *(Route(path, jaeger) for path in (*paths.V3, *paths.LEGACY)),
            Mount("/", viewer),
        ]
    )
