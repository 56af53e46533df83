"""Runs that others labelled: read, assembled and summed up as a person would."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from otel_traj import importers
from otel_traj.assembly import assemble
from otel_traj.model import Assembly, LogRecord, SpanRecord

SYNTHETIC = Path(__file__).parents[1] / "data" / "labelled"


def runs(*paths: Path) -> list[Assembly]:
    """What the files tell, by start and id; one run in memory at a time is assembled."""
    by_trace: dict[str | None, tuple[list[SpanRecord], list[LogRecord]]]
    by_trace = defaultdict(lambda: ([], []))
    for record in importers.read(*paths):
        spans, logs = by_trace[record.trace_id]
        if isinstance(record, SpanRecord):
            spans.append(record)
        else:
            logs.append(record)
    found = [run for spans, logs in by_trace.values() for run in assemble(spans, logs)]
    return sorted(found, key=lambda run: (run.trajectory.start_time, run.trajectory.trajectory_id))


def said(run: Assembly, name: str) -> list[Any]:
    """What the source's evaluation says under a name: numbers, else labels."""
    return [
        note.value_text if note.value_num is None else note.value_num
        for note in run.annotations
        if note.name == name and note.source == "evaluation"
    ]


def leaves(value: Any) -> Iterator[str]:
    """Every scalar in a JSON value, as text; texts that are JSON themselves are looked into."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str):
        yield value.strip()
        if value.lstrip().startswith(("{", "[")):
            with contextlib.suppress(ValueError):
                yield from leaves(json.loads(value))
    elif value is not None:
        yield json.dumps(value)


def kept(records: Iterable[SpanRecord | LogRecord]) -> set[str]:
    """Every scalar that the attributes of records hold, and the kinds of events."""
    found: set[str] = set()
    for record in records:
        found.update(leaves(dict(record.attributes)))
        if isinstance(record, LogRecord):
            found.add((record.event_name or "").rpartition(".")[2])
    return found
