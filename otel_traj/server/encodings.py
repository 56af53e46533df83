"""Requests unpacked: never further than a limit, whatever they claim."""

from __future__ import annotations

import zlib
from typing import Any, Final, Literal, TypeAlias

import zstandard

from otel_traj.errors import InputError
from otel_traj.server import refusals
from otel_traj.server.refusals import Refusal

Coding: TypeAlias = Literal["identity", "gzip", "deflate", "zstd"]

CODINGS: Final[dict[str, Coding]] = {
    "": "identity",
    "identity": "identity",
    "gzip": "gzip",
    "deflate": "deflate",
    "zstd": "zstd",
}
"""Value of the header `Content-Encoding` -> what it says."""


def unpack(body: bytes, coding: Coding, limit: int) -> bytes:
    """The request in clear.

    Raises:
        InputError: It is not packed so, or is cut off.
        Refusal: It is larger than `limit` bytes.
    """
    try:
        unpacked = _unpacked(body, coding, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InputError(f"Not {coding}: {error}") from error
    if len(unpacked) > limit:
        raise too_large(limit)
    return unpacked


def too_large(limit: int) -> Refusal:
    """What to tell the sender of more than `limit` bytes."""
    return Refusal(
        refusals.TOO_LARGE,
        f"The request is larger than {limit:,} bytes: send fewer records in one, or raise"
        " --max-body",
    )


def _unpacked(body: bytes, coding: Coding, limit: int) -> bytes:
    """Little more than `limit` bytes at most."""
    if coding == "identity":
        return body
    unpacked = bytearray()
    position = 0
    for _ in range(MOST_MEMBERS):
        decompressor, slice_bytes = _decompressor(coding)
        while not decompressor.eof and len(unpacked) <= limit:
            if position >= len(body):
                raise EOFError("it is cut off")
            packed = body[position : position + slice_bytes]
            unpacked += decompressor.decompress(packed)
            position += len(packed)
        position -= len(decompressor.unused_data)
        if position >= len(body) or len(unpacked) > limit:
            return bytes(unpacked)
    raise EOFError(f"it has more than {MOST_MEMBERS:,} parts")


MOST_MEMBERS: Final = 10_000
"""Members of gzip, and frames of zstd, may follow one another; a request has room for millions of
empty ones, which would take minutes."""


def _decompressor(coding: Coding) -> tuple[Any, int]:
    """A new one, and so many bytes for it at a time as unpack to 16 MiB at most."""
    if coding == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj(), 512
    # 47: gzip or zlib, which is what "deflate" means, by its head.
    return zlib.decompressobj(wbits=47), 4 * 1024


_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""What the format's definition asks of every decoder, and encoders therefore keep to."""
