"""Requests unpacked: never further than a limit, whatever they claim."""

from __future__ import annotations

import zlib
from typing import Final, Literal, TypeAlias

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
    """At most `limit` bytes and one more."""
    if coding == "identity":
        return body
    return _unpacked_zstd(body, limit) if coding == "zstd" else _unpacked_zlib(body, limit)


def _unpacked_zlib(body: bytes, limit: int) -> bytes:
    unpacked = bytearray()
    while body and len(unpacked) <= limit:  # gzip members may follow one another
        # 47: gzip or zlib, which is what "deflate" means, by its head.
        decompressor = zlib.decompressobj(wbits=47)
        unpacked += decompressor.decompress(body, limit + 1 - len(unpacked))
        if not decompressor.eof and len(unpacked) <= limit:
            raise EOFError("it is cut off")
        body = decompressor.unused_data
    return bytes(unpacked)


def _unpacked_zstd(body: bytes, limit: int) -> bytes:
    unpacked = bytearray()
    position = 0
    while position < len(body) and len(unpacked) <= limit:  # so may frames
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
        while not decompressor.eof and len(unpacked) <= limit:
            if position >= len(body):
                raise EOFError("it is cut off")
            unpacked += decompressor.decompress(body[position : position + _SLICE_BYTES])
            position = min(position + _SLICE_BYTES, len(body))
        position -= len(decompressor.unused_data)
    return bytes(unpacked)


_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""What the format's definition asks of every decoder, and encoders therefore keep to."""

_SLICE_BYTES: Final = 512
"""This decompressor has no limit of its own: so much unpacks to 16 MiB at most."""
