"""A real viewer on loopback, asked over HTTP; every JSON answer must be of its declared type."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from otel_traj.redaction import Redaction, choose
from otel_traj.server.hosts import OwnHost
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.listeners import Address, HttpListener
from otel_traj.server.viewer import Viewer, app, asking
from tests.server.serving import Answer, ask, listening

LOOPBACK: Final = Address("127.0.0.1", 0)

_ROUTES: Final = [
    route for router in app.routers() for route in router.routes if isinstance(route, APIRoute)
]


@dataclass
class Viewing:
    """A running viewer, by its address."""

    address: str

    def get(self, path: str, /, **parameters: Any) -> Any:
        """The JSON of an answer that is well, of the type that its route declares."""
        answer = self.ask(path, **parameters)
        assert answer.status == 200, answer.body
        told = json.loads(answer.body)
        assert _adapter(declared_for(path)).validate_json(answer.body, strict=True) == told
        return told

    def refused(self, path: str, /, **parameters: Any) -> dict[str, Any]:
        """The problem that a request is answered with."""
        answer = self.ask(path, **parameters)
        assert answer.headers["content-type"] == "application/problem+json"
        told: dict[str, Any] = json.loads(answer.body)
        assert told["status"] == answer.status >= 400
        return told

    def ask(self, path: str, /, *, headers: dict[str, str] | None = None, **asked: Any) -> Answer:
        """Send a request; paths without a `/` before them are those of the API."""
        whole = path if path.startswith("/") else f"{asking.PREFIX}/{path}"
        named = {name.rstrip("_"): value for name, value in asked.items()}
        query = f"?{urlencode(named, doseq=True)}" if named else ""
        return ask(self.address, "GET", whole + query, b"", **(headers or {}))


def declared_for(path: str) -> Any:
    """The type that the route of a path declares."""
    whole = path if path.startswith("/") else f"{asking.PREFIX}/{path}"
    for route in _ROUTES:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), whole):
            return route.response_model
    raise AssertionError(f"there is no route for {path}")


@functools.cache
def _adapter(declared: Any) -> TypeAdapter[Any]:
    return TypeAdapter(declared)


@contextlib.contextmanager
def viewing(
    store: Path, *, token: str | None = None, redaction: Redaction | None = None
) -> Iterator[Viewing]:
    """The viewer of a store, in this process and on any free port."""
    threads = Threads()
    expected = None if token is None else f"Bearer {token}"
    shown = choose("off") if redaction is None else redaction

    def is_known(given: str | None) -> bool:
        return expected is None or given == expected

    viewer = Viewer(store, shown, threads, is_known, seals=True)
    app = OwnHost(viewer, LOOPBACK)
    try:
        with listening(lambda: HttpListener.start(app, LOOPBACK, None, connections=64)) as address:
            yield Viewing(address)
    finally:
        threads.close()


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")
