"""Who may ask, how often, and what a browser may do with the answer.

The pages show what strangers wrote, and the server may be reached by pages of strangers. So: the
API answers to its own origin alone, beyond this machine to who has the token, and to nobody more
often than a person can look; pages run only our own files and send nothing anywhere.

What asks for more than to be shown something (any method but GET) must prove that a page of ours
sent it: by `Origin` or `Sec-Fetch-Site`, which browsers let no page forge, and by a header and a
type of content that no form can send. Programs say the same of themselves.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otel_traj.server.viewer.problems import problem

PREFIX: Final = "/api/"
SESSION: Final = "/api/ot/v1/session"
COOKIE: Final = "otel_traj_session"

RATE: Final = 100.0
BURST: Final = 400.0
"""Requests of one client: so many in a second, and so many more at once."""

SENT_RATE: Final = 20.0
SENT_BURST: Final = 100.0
"""The same of requests that send something, which cost more and which a person presses for."""

HEADER: Final = "X-Otel-Traj"
"""What such a request must have, whatever its value; a page of another origin may not send it."""

MOST_SENT: Final = 256 * 1024
SENT_WITHIN_S: Final = 10.0
"""Bytes of a body, and how long they may take to come."""

_CLIENTS: Final = 1_024
"""So many are counted; who was silent for longest begins anew."""

CSP: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""Nothing of strangers runs or is loaded, and no text becomes script."""

_HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """An application behind these checks."""

    def __init__(self, app: ASGIApp, is_known: Callable[[str | None], bool]) -> None:
        """Guard an application.

        Args:
            app: The application.
            is_known: Whether a header `Authorization` shows what is asked for.
        """
        self._app = app
        self._is_known = is_known
        self._session = secrets.token_urlsafe(32)  # of this process: its end ends all sessions
        self._asked = _Rates(RATE, BURST)
        self._sent = _Rates(SENT_RATE, SENT_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say why not."""
        if scope["type"] != "http":
            return
        # An id may hold any character: as sent, `%2F` is no part of the path.
        scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is None and scope["path"] == SESSION and scope["method"] == "POST":
            refused = self._session_begun(scope)
        elif refused is None and _sends(scope):
            refused = self._refusal_of_sent(scope, headers)
            receive, refused = (receive, refused) if refused else await _received(receive)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    told.setdefault(name, value)
            await send(message)

        await (refused or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if not self._asked.take(_client(scope)):
            return _too_often()
        if not scope["path"].startswith(PREFIX):
            return None
        if not _is_own_origin(headers):
            return problem(HTTPStatus.FORBIDDEN, "Pages of other origins may not ask")
        if not (self._is_known(headers.get("authorization")) or self._has_session(headers)):
            refused = problem(
                HTTPStatus.UNAUTHORIZED, "Send the header 'Authorization: Bearer TOKEN'"
            )
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        return None

    def _refusal_of_sent(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request that sends something is not heard."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not _proves_own_origin(headers):
            detail = "Send 'Origin' as this server's own address: only its pages may send anything"
            return problem(HTTPStatus.FORBIDDEN, detail)
        if HEADER not in headers:
            return problem(HTTPStatus.FORBIDDEN, f"Send the header '{HEADER}: 1'")
        if kind != "application/json":
            return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send it as application/json")
        if int(headers.get("content-length", 0)) > MOST_SENT:
            return _too_large()
        return None if self._sent.take(_client(scope)) else _too_often()

    def _has_session(self, headers: Headers) -> bool:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        given = cookies[COOKIE].value if COOKIE in cookies else ""
        return hmac.compare_digest(given.encode(), self._session.encode())

    def _session_begun(self, scope: Scope) -> Response:
        """For links and downloads, which send no header: a cookie instead of the token."""
        answer = Response(status_code=HTTPStatus.NO_CONTENT)
        answer.set_cookie(
            COOKIE,
            self._session,
            path=PREFIX,
            secure=scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )
        return answer


def _is_own_origin(headers: Headers) -> bool:
    """Whether a page of ours asks, or none.

    Browsers say where a page is from; one that follows a link of a stranger only shows the answer.
    """
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return False
    is_followed = headers.get("sec-fetch-mode") == "navigate"
    return is_followed or headers.get("sec-fetch-site") not in ("cross-site", "same-site")


def _proves_own_origin(headers: Headers) -> bool:
    """Whether a page of ours asks for certain; that no other does, `_is_own_origin` has seen."""
    return "origin" in headers or headers.get("sec-fetch-site") == "same-origin"


def _sends(scope: Scope) -> bool:
    is_api = str(scope["path"]).startswith(PREFIX)
    return is_api and scope["method"] not in ("GET", "HEAD", "OPTIONS")


async def _received(receive: Receive) -> tuple[Receive, Response | None]:
    """What gives the whole body in one piece, then goes on; or why it is not heard."""
    try:
        body = await asyncio.wait_for(_body(receive), SENT_WITHIN_S)
    except TimeoutError:
        refused = problem(HTTPStatus.REQUEST_TIMEOUT, "The body must come at once")
        refused.headers["Connection"] = "close"
        return receive, refused
    if body is None:
        return receive, _too_large()
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_rest() -> Message:
        return first.pop() if first else await receive()

    return receive_rest, None


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None where it is too large, or the sender went away within it."""
    body = bytearray()
    while True:
        message = await receive()
        body.extend(message.get("body", b""))
        if message["type"] == "http.disconnect" or len(body) > MOST_SENT:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _client(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


def _too_often() -> Response:
    refused = problem(HTTPStatus.TOO_MANY_REQUESTS, "Ask again in a second")
    refused.headers["Retry-After"] = "1"
    return refused


def _too_large() -> Response:
    detail = f"What is sent may have {MOST_SENT:,} bytes"
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


class _Rates:
    """How many requests each client may still send, so many at once and so many in a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> bool:
        """Count a request; False where it is one too many."""
        now = time.monotonic()
        left, then = self._left.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        is_taken = left >= 1.0
        self._left[client] = (left - 1.0 if is_taken else left, now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return is_taken
