"""What every format's reader gives: parts with records, and flaws with their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from otel_traj.model import LogRecord, SpanRecord


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a file. `place` says where it stands, in words: "line 3", "byte 120".

    Iterating `records` may raise InputError in the middle; what came before is good.
    """

    place: str
    records: Iterable[SpanRecord | LogRecord]


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
