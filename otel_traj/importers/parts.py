"""What every format's reader gives: parts with records, and flaws with their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from otel_traj.model import LogRecord, SpanRecord

Records: TypeAlias = Iterator[SpanRecord | LogRecord]


@dataclass(frozen=True, slots=True)
class Part:
    """What of a file can be read on its own: a request, a span. Iterate `records` once.

    `format` is what messages call its format. `place` says where it stands, in words: "line 3",
    "byte 120". Iterating `records` may raise InputError in the middle; what came before is good.
    """

    format: str
    place: str
    records: Records


FlawKind = Literal["damaged", "unfinished", "foreign", "repaired"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """A place that could not be read as it stands.

    damaged: telemetry that is lost. unfinished: the end of a file that is still being written, or
    was torn by a crash; reading again later completes it. foreign: readable, but no telemetry.
    repaired: read all the same, with the change that `what` tells.
    """

    kind: FlawKind
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"
