"""One source being read: its records, and afterwards what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from otel_traj.errors import InputError
from otel_traj.importers import formats
from otel_traj.importers.parts import Flaw, Part
from otel_traj.importers.sources import UNREADABLE, Source, open_raw, unpacked
from otel_traj.model import LogRecord, SpanRecord

MAX_FLAWS: Final = 20
"""Flaws kept by name per source; more are only counted."""


class Reading:
    """Iterate it once for the records of `source`; counts grow meanwhile and are final at the end.

    `format` names what the content was recognised as (of a mixture, what came first), None while it
    was not. `skipped` says why a source gave nothing without being damaged: it holds something
    else. `flaws` are the first `MAX_FLAWS` places that could not be read as they stand, `n_flaws`
    counts all of them.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.format: str | None = None
        self.n_spans = 0
        self.n_logs = 0
        self.n_flaws = 0
        self.flaws: list[Flaw] = []
        self.skipped: str | None = source.skip
        self._is_damaged = False
        self._raw: IO[bytes] | None = None
        self._position = 0

    @property
    def is_damaged(self) -> bool:
        """Telemetry was lost: an unfinished end and a repaired character are not that."""
        return self.skipped is None and self._is_damaged

    @property
    def position(self) -> int:
        """Bytes of the source read so far, as stored; 0 for a stream that cannot tell."""
        if self._raw is not None and self.source.size is not None:
            return self._raw.tell()
        return self._position

    def __iter__(self) -> Iterator[SpanRecord | LogRecord]:
        if self.source.skip is not None:
            return
        is_ours = False
        try:
            with self._opened() as raw:
                head, stream = unpacked(raw)
                known = formats.recognise(head)
                if known is None:
                    self.skipped = formats.describe(head)
                    return
                for part in known.parts(stream):
                    is_ours |= isinstance(part, Part) or part.kind != "foreign"
                    if isinstance(part, Flaw):
                        self._note(part)
                    else:
                        yield from self._records(part)
        except UNREADABLE as error:
            is_ours = True
            n = self.n_spans + self.n_logs
            place = f"behind record {n:,}" if n else "the file"
            self._note(Flaw("damaged", place, f"cannot be read ({_reason(error)})"))
        if not is_ours:
            self.skipped = self.flaws[0].what if self.flaws else "empty"
            self.flaws, self.n_flaws = [], 0
        elif not (self.n_spans or self.n_logs or self.n_flaws):
            self.skipped = f"{self.format}, but no spans or logs"

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        self._raw = raw = open_raw(self.source)
        try:
            yield raw
        finally:
            self._position = self.position
            self._raw = None
            if self.source.path is not None:
                raw.close()

    def _records(self, part: Part) -> Iterator[SpanRecord | LogRecord]:
        self.format = self.format or part.format
        try:
            for record in part.records:
                if isinstance(record, SpanRecord):
                    self.n_spans += 1
                else:
                    self.n_logs += 1
                yield record
        except InputError as error:
            self._note(Flaw("damaged", part.place, str(error)))

    def _note(self, flaw: Flaw) -> None:
        self.n_flaws += 1
        self._is_damaged |= flaw.kind in ("damaged", "foreign")
        if len(self.flaws) < MAX_FLAWS:
            self.flaws.append(flaw)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
