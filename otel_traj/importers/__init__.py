"""Files that others wrote -> records, ready for `TrajectoryStore.append`.

What a file holds is told by its content, never by its name, and it is read as a stream: memory is
bounded by the largest single JSON document or request in it. One bad spot spoils nothing else: the
reading goes on behind it, and `Reading.flaws` names the place.

    for reading in readings("exports/"):
        store.append(reading)
        print(reading.source.name, reading.n_spans, reading.skipped, reading.flaws)

`read(*paths)` is the same in one line, for whoever only wants the records.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from os import PathLike

from otel_traj.importers.parts import Flaw
from otel_traj.importers.reading import Reading
from otel_traj.importers.sources import Source, find
from otel_traj.model import LogRecord, SpanRecord

__all__ = ["Flaw", "Reading", "Source", "find", "read", "readings"]

_log = logging.getLogger(__name__)


def readings(*paths: str | PathLike[str]) -> Iterator[Reading]:
    """One `Reading` per file, in order; each is to be iterated before the next is asked for.

    Args:
        paths: Files, folders (read recursively, in order of name) and "-" for standard input.

    Raises:
        InputError: A path does not exist; raised before anything is read.
    """
    return map(Reading, find(*paths))


def read(*paths: str | PathLike[str]) -> Iterator[SpanRecord | LogRecord]:
    """Every span and log record of the files; what could not be read is logged as a warning.

    Args:
        paths: As for `readings`.

    Raises:
        InputError: A path does not exist.
    """
    for reading in readings(*paths):
        yield from reading
        for flaw in reading.flaws:
            _log.warning("%s: %s", reading.source.name, flaw)
