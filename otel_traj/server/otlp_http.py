"""OTLP over HTTP: `POST /v1/traces` and `POST /v1/logs`, protobuf or JSON.

An ASGI application. The body of every refusal is a `google.rpc.Status` in the encoding of the
request, as OTLP says; its message names the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from google.protobuf import json_format
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from otel_traj.otlp import Signal
from otel_traj.server import encodings, refusals
from otel_traj.server.receiver import Hold, Receiver
from otel_traj.server.receiver import Request as Export
from otel_traj.server.refusals import Refusal
from otel_traj.server.requests import Checked, Encoding
from otel_traj.server.responses import response_of

_log = logging.getLogger("otel_traj.server")

SIGNALS: Final[Mapping[str, Signal]] = {"/v1/traces": "traces", "/v1/logs": "logs"}
ENCODINGS: Final[Mapping[str, Encoding]] = {
    "application/x-protobuf": "protobuf",
    "application/json": "json",
}
_TYPES: Final = {encoding: name for name, encoding in ENCODINGS.items()}


class OtlpHttp:
    """The application."""

    def __init__(self, receiver: Receiver) -> None:
        """Hand requests to `receiver`."""
        self._receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._export(request)
        except ClientDisconnect:
            return
        except Refusal as refusal:
            response = self._refused(refusal, request)
        except Exception:
            _log.exception("A request failed")
            response = self._refused(_BROKEN, request)
        await response(scope, receive, send)

    async def _export(self, request: Request) -> Response:
        signal = _signal(request)
        self._receiver.admit(request.headers.get("authorization"))
        encoding = _encoding(request)
        if encoding is None:
            known = " or ".join(ENCODINGS)
            raise Refusal(refusals.WRONG_TYPE, f"Send it as Content-Type {known}")
        packing = request.headers.get("content-encoding", "").strip().lower()
        coding = encodings.CODINGS.get(packing)
        if coding is None:
            raise Refusal(refusals.WRONG_TYPE, f"Unknown Content-Encoding {packing!r}")
        with self._receiver.hold() as hold:
            body = await self._body(request, hold)
            came = Export(body, signal, encoding, coding, "http")
            checked = await self._receiver.take(came, hold)
        return Response(_success(signal, checked, encoding), media_type=_TYPES[encoding])

    async def _body(self, request: Request, hold: Hold) -> bytes:
        """The body as it comes, within the limits of size, memory and time."""
        limits = self._receiver.limits
        announced = int(request.headers.get("content-length", 0))
        if announced > limits.body:
            raise encodings.too_large(limits.body)
        # All of it at once: requests that each had a part of the room would wait for one another.
        await hold.resize(announced)
        chunks: list[bytes] = []
        async with hold.arrival():
            async for chunk in request.stream():
                hold.arrived += len(chunk)
                if hold.arrived > limits.body:
                    raise encodings.too_large(limits.body)
                await hold.resize(max(hold.arrived, announced))
                chunks.append(chunk)
        return b"".join(chunks)

    def _refused(self, refusal: Refusal, request: Request) -> Response:
        self._receiver.metrics.refused("http", refusal.kind)
        encoding = _encoding(request) or "json"
        status = refusal.status()
        content = (
            status.SerializeToString()
            if encoding == "protobuf"
            else json_format.MessageToJson(status, indent=None).encode()
        )
        return Response(content, refusal.kind.http, _headers(refusal), media_type=_TYPES[encoding])


_BROKEN: Final = Refusal(refusals.BROKEN, "The receiver failed; its log says why")


def _headers(refusal: Refusal) -> dict[str, str]:
    headers = {}
    if refusal.retry_s is not None:
        headers["Retry-After"] = str(refusal.retry_s)
    if refusal.kind is refusals.WRONG_METHOD:
        headers["Allow"] = "POST"
    if refusal.kind is refusals.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.kind is refusals.TOO_SLOW:
        headers["Connection"] = "close"
    return headers


def _signal(request: Request) -> Signal:
    signal = SIGNALS.get(request.url.path)
    if signal is None:
        raise Refusal(
            refusals.NOT_FOUND,
            f"Nothing is taken at {request.url.path}: there is {' and '.join(SIGNALS)}",
        )
    if request.method != "POST":
        raise Refusal(refusals.WRONG_METHOD, f"Send it with POST, not {request.method}")
    return signal


def _encoding(request: Request) -> Encoding | None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return ENCODINGS.get(given)


def _success(signal: Signal, checked: Checked, encoding: Encoding) -> bytes:
    """The answer to a request that was taken, wholly or in part."""
    message = response_of(signal, checked)
    if encoding == "protobuf":
        return message.SerializeToString()
    return json_format.MessageToJson(message, indent=None).encode()
