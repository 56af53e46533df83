"""Which encoding a file has, by its first bytes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol

from otel_traj.importers import (
    inspect_eval,
    json_file,
    mini_swe_agent,
    otlp_frames,
    otlp_protobuf,
    reflexion_text,
)
from otel_traj.importers.parts import Flaw, Part


class Format(Protocol):
    """A module that reads one encoding."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that starts with `head`, decompressed and not empty, has this encoding.

        `head` is the whole file or its first `sources.HEAD` bytes. What another format's reader
        would read must not be recognised.
        """
        ...

    def parts(self, stream: BinaryIO) -> Iterator[Part | Flaw]:
        """Read a file part by part; content that cannot be read becomes a flaw."""
        ...


FORMATS: Final[tuple[Format, ...]] = (
    mini_swe_agent,
    json_file,
    otlp_protobuf,
    otlp_frames,
    inspect_eval,
    reflexion_text,
)

_MAGIC: Final = (
    (b"PAR1", "a Parquet file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"SQLite format 3", "an SQLite database"),
    (codecs.BOM_UTF16_LE, "UTF-16 text; telemetry is UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16 text; telemetry is UTF-8"),
)


def recognise(head: bytes) -> Format | None:
    """The reader of a file that starts with `head`."""
    return next((known for known in FORMATS if head and known.recognises(head)), None)


def describe(head: bytes) -> str:
    """What a file that is in no known format looks like, for the message that it was skipped."""
    if not head:
        return "empty"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "binary" if re.search(rb"[\x00-\x08\x0e-\x1a]", head) else "text"
