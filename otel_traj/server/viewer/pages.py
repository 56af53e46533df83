"""The viewer's own files, as they were built into `otel_traj/server/static`; or how to get them."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, unquote, urlencode

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from otel_traj.server.viewer.asking import PREFIX
from otel_traj.server.viewer.problems import problem

STATIC: Final = Path(__file__).parents[1] / "static"
_INDEX: Final = "index.html"

# Systems are set up to call these all sorts of things.
_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".woff2": "font/woff2",
    ".map": "application/json",
}

_NOT_BUILT: Final = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>otel-traj</title>
<h1>The viewer is not part of this installation</h1>
<p>The API is: <a href="/api/ot/v1/meta">/api/ot/v1/meta</a>.</p>
<p>Released wheels have the viewer. In a checkout, build it once and start this again:</p>
<pre>make ui</pre>
<p>It takes Node from the system or from PyPI. <code>pip install .</code> builds it too, unless
<code>OTEL_TRAJ_UI=skip</code> leaves it out.</p>
</html>
"""


def add(app: FastAPI, *, asks_ahead: bool) -> None:
    """Serve the files; every other path outside the API is a page of the viewer.

    Args:
        app: Where.
        asks_ahead: Whether a page names what it will ask the API for.
    """

    @app.get("/{path:path}", include_in_schema=False)
    async def page(request: Request, path: str) -> Response:
        if path.startswith("api/"):
            return problem(HTTPStatus.NOT_FOUND, f"There is no /{path}")
        if not path:
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"/t{query}", HTTPStatus.TEMPORARY_REDIRECT)
        found = files()
        if path in found:
            return _file(found[path])
        if PurePosixPath(path).suffix in _TYPES:
            return problem(HTTPStatus.NOT_FOUND, f"There is no /{path}")
        if _INDEX not in found:
            return HTMLResponse(_NOT_BUILT)
        answer = _file(found[_INDEX])
        ahead = list(_ahead(path, request.query_params)) if asks_ahead else []
        if ahead:
            form = "<{}{}>; rel=preload; as=fetch; crossorigin=anonymous"
            answer.headers["Link"] = ", ".join(form.format(PREFIX, asked) for asked in ahead)
        return answer


def _ahead(path: str, query: Mapping[str, str]) -> Iterator[str]:
    """What a page asks the API for at first: it comes while the browser still loads the scripts.

    Written exactly as the page writes it, or the browser warns that it was not used; the tests of
    the pages allow no warning.
    """
    match [unquote(segment) for segment in path.split("/")]:
        case ["t", run] if run:
            at = f"/trajectories/{quote(run, safe=_SAFE)}"
            yield from ("/meta", at, f"{at}/spans")
            if query.get("view", "transcript") == "transcript":
                step = query.get("step", "")
                around = f"around={int(step)}&" if re.fullmatch("[0-9]{1,9}", step) else ""
                yield f"{at}/transcript?{around}limit=100"
        case ["compare", a, b] if a and b:
            yield f"/compare?{urlencode({'a': a, 'b': b})}"


_SAFE: Final = "!~*'()"
"""What `encodeURIComponent` leaves as it is, beside what `quote` does."""


def _file(file: Path) -> Response:
    kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0]
    answer = FileResponse(file, media_type=kind or "application/octet-stream")
    # What the builder names after its content never changes; the page names the newest of it.
    is_named_so = file.parent.name == "assets"
    answer.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if is_named_so else "no-cache"
    )
    return answer


@cache
def files() -> dict[str, Path]:
    """Path in the URL -> file; looked up here, no path of a request reaches the disk."""
    return {
        path.relative_to(STATIC).as_posix(): path
        for path in STATIC.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
