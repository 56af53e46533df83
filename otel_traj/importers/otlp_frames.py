"""What the Collector's file exporter writes with `format: proto` or `compression: zstd`.

A sequence of frames, each a length (4 bytes, big-endian) and a request: protobuf, or JSON that is
compressed, or protobuf that is compressed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from otel_traj.importers import json_file, otlp_protobuf
from otel_traj.importers.parts import Flaw, Part
from otel_traj.importers.sources import UNREADABLE, ZSTD, unpacked

NAME: Final = "OTLP frames"


def recognises(head: bytes) -> bool:
    """The length of a frame, and behind it a request."""
    length, body = int.from_bytes(head[:4]), head[4:]
    return length >= 2 and (
        body.startswith(ZSTD) or otlp_protobuf.recognises(body) or json_file.recognises(body)
    )


def parts(stream: BinaryIO) -> Iterator[Part | Flaw]:
    """The requests of all frames; a frame that is broken is a flaw, and the next one is read."""
    number = 0
    while prefix := stream.read(4):
        number += 1
        length = int.from_bytes(prefix)
        body = stream.read(length)
        if len(prefix) < 4 or len(body) < length:
            yield Flaw("unfinished", f"message {number}", "the file ends in the middle of it")
            return
        yield from _of_frame(body, f"message {number}")


def _of_frame(frame: bytes, place: str) -> Iterator[Part | Flaw]:
    try:
        head, stream = unpacked(io.BytesIO(frame))
        if json_file.recognises(head):
            found = json_file.parts(stream)
        elif otlp_protobuf.recognises(head):
            found = otlp_protobuf.parts(stream)
        else:
            yield Flaw("damaged", place, "no OTLP request, left out")
            return
        for item in found:
            if isinstance(item, Part):
                yield Part(NAME, place, item.records)
            else:
                yield Flaw(item.kind, f"{place}, {item.place}", item.what)
    except UNREADABLE as error:
        yield Flaw("damaged", place, f"cannot be decompressed ({error})")
