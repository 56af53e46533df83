"""One long value as it is: never shown by a browser, only saved, or read by our own page."""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.responses import Response

from otel_traj.errors import InputError
from otel_traj.server.viewer.problems import NotThereError
from otel_traj.server.viewer.texts import Texts


def ranged(texts: Texts, key: str, offset: int, length: int | None) -> Response:
    """A value, or a range of its bytes.

    Args:
        texts: Has the whole values.
        key: Of one of them.
        offset: First byte.
        length: At most so many; None is all that follow.

    Raises:
        NotThereError: There is no such value.
        InputError: The range begins behind its end.
    """
    if key not in texts.whole:
        raise NotThereError(f"There is no value {key!r}")
    value = texts.whole[key]
    whole = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if offset > len(whole):
        raise InputError(f"The value has {len(whole):,} bytes")
    part = whole[offset : None if length is None else offset + length]
    is_text = isinstance(value, str)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", key)[:80] + (".txt" if is_text else ".bin")
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-cache",
        "Content-Range": f"bytes {offset}-{offset + len(part) - 1}/{len(whole)}",
    }
    if len(part) == len(whole):
        del headers["Content-Range"]
    return Response(
        part,
        HTTPStatus.OK if len(part) == len(whole) else HTTPStatus.PARTIAL_CONTENT,
        media_type="text/plain; charset=utf-8" if is_text else "application/octet-stream",
        headers=headers,
    )
