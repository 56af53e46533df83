"""What the log holds that no snapshot has yet, as records.

Reading never fails for what a stranger or a dying disk wrote: bytes that are no record are copied
to `_tmp/quarantine-*`, counted, and skipped.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_traj import otlp, semconv, wal
from otel_traj.errors import InputError
from otel_traj.model import Annotation, Close, LogRecord, Record, SpanRecord, is_sound
from otel_traj.otlp import ReceivedSpan, Span

BATCH_BYTES: Final = 32 * 1024 * 1024
"""About how much of the log one commit takes; more is left to the next one, so that memory is
bounded: a sealer takes some nine bytes for each of them, until all rows are in files."""


@dataclass(slots=True)
class Intake:
    """Records of one batch, in order of arrival, and how far it read.

    Attributes:
        writers: Trace id -> the processes (see `writer_of`) whose segments told of it.
        offsets: Segment -> offset up to which this batch, or one before it, has read it.
        covered: Segments whose writer is gone and of which nothing is left to read.
        alive: Processes that still hold a segment.
        unread: Those with a segment that was left to the next batch.
        torn: Segments of dead writers that end in half a frame.
        rejected: How many frames, lines and records were no records.
        is_all: Nothing is left to read.
    """

    spans: list[Span] = field(default_factory=list)
    starts: list[SpanRecord] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    writers: dict[str, set[str]] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    covered: list[Path] = field(default_factory=list)
    alive: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    torn: list[Path] = field(default_factory=list)
    rejected: int = 0
    is_all: bool = True

    def add(self, record: Record | ReceivedSpan, writer: str | None = None) -> None:
        """Sort one record in; `writer` is the process that told of it."""
        if isinstance(record, ReceivedSpan):
            self.spans.append(record)
            self._note(record.trace_id, writer)
        elif isinstance(record, SpanRecord):
            (self.starts if record.is_open else self.spans).append(record)
            self._note(record.trace_id, writer)
        elif isinstance(record, LogRecord):
            self.logs.append(record)
            start = started_span(record)
            if start is not None:
                self.starts.append(start)
                self._note(start.trace_id, writer)
        elif isinstance(record, Annotation):
            self.annotations.append(record)
        else:
            self.closes.append(record)

    def _note(self, trace_id: str, writer: str | None) -> None:
        if writer is not None:
            self.writers.setdefault(trace_id, set()).add(writer)

    @property
    def has_records(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.spans or self.starts or self.logs or self.annotations or self.closes)


def of_records(records: Iterable[Record], writer: str) -> Intake:
    """Records that skip the log, told by `writer`.

    Raises:
        InputError: One of them has fields of the wrong type.
    """
    intake = Intake()
    for record in records:
        if not is_sound(record):
            raise InputError(f"Not a record that a store can hold: {record!r:.200}")
        intake.add(record, writer)
    return intake


def read_log(store: Path, offsets: Mapping[str, int], *, keep_damage: bool = True) -> Intake:
    """The next batch of what `offsets` (of the current snapshot) do not cover.

    Args:
        store: The store's folder.
        offsets: Segment -> how far it has been read.
        keep_damage: Copy what is no record to `_tmp/quarantine-*`.
    """
    keep = quarantine if keep_damage else _ignore
    intake = Intake()
    # Asked before reading: a writer that dies in between has written all that will be read.
    abandoned: dict[Path, bool] = {}
    for path in wal.segments(store):
        # A writer removes a segment whose first frame could not be written, a sealer covered ones.
        with contextlib.suppress(FileNotFoundError):
            abandoned[path] = wal.is_abandoned(path)
    intake.alive = {writer_of(path.name) for path, is_over in abandoned.items() if not is_over}
    n_bytes = 0
    for path, is_over in abandoned.items():
        start = offsets.get(path.name, 0)
        if n_bytes >= BATCH_BYTES:
            intake.offsets[path.name] = start
            intake.is_all = False
            intake.unread.add(writer_of(path.name))
            continue
        with contextlib.suppress(FileNotFoundError):
            _read_segment(path, start, intake, functools.partial(keep, store, path), is_over)
            n_bytes += intake.offsets[path.name] - start
    return intake


def _read_segment(
    path: Path, start: int, intake: Intake, keep: Callable[[int, int], None], is_over: bool
) -> None:
    """Add what a segment holds from `start` on.

    Raises:
        FileNotFoundError: It has been removed; nothing is added then.
    """
    end = start
    for frame in wal.frames(path, start, is_over=is_over):
        if isinstance(frame, wal.Damage):
            keep(frame.start, frame.end)
            intake.rejected += 1
        else:
            _add_frame(frame, intake, writer_of(path.name), keep)
        end = frame.end
    intake.offsets[path.name] = end
    if is_over:
        intake.covered.append(path)
        size = path.stat().st_size
        if end < size:
            intake.torn.append(path)
            keep(end, size)


def quarantine(store: Path, segment: Path, start: int, end: int) -> None:
    """Keep bytes of a segment that are no record, for whoever wants to look."""
    copy = store / "_tmp" / f"quarantine-{segment.stem}-{start}"
    copy.parent.mkdir(exist_ok=True)
    with segment.open("rb") as file:
        file.seek(start)
        copy.write_bytes(file.read(end - start))


def _ignore(store: Path, segment: Path, start: int, end: int) -> None:
    """Where nothing may be written."""


def living_writers(store: Path) -> set[str]:
    """Processes that hold a segment."""
    alive = set()
    for path in wal.segments(store):
        with contextlib.suppress(FileNotFoundError):  # sealed and removed since it was listed
            if not wal.is_abandoned(path):
                alive.add(writer_of(path.name))
    return alive


def writer_of(segment: str) -> str:
    """The process in the name of a segment, `<ulid>-<process>.wal`; it may have several."""
    return segment.removesuffix(".wal").rpartition("-")[2]


def started_span(log: LogRecord) -> SpanRecord | None:
    """The running span that a log event `traj.span.start` tells of."""
    if log.event_name != semconv.EVENT_SPAN_START or not (log.trace_id and log.span_id):
        return None
    parent = log.attributes.get(semconv.SPAN_START_PARENT)
    ours = (semconv.SPAN_START_NAME, semconv.SPAN_START_PARENT)
    return SpanRecord(
        trace_id=log.trace_id,
        span_id=log.span_id,
        parent_span_id=parent if isinstance(parent, str) and parent else None,
        name=str(log.attributes.get(semconv.SPAN_START_NAME, "")),
        start_ns=log.time_ns or log.observed_ns or 0,
        end_ns=None,
        attributes={key: value for key, value in log.attributes.items() if key not in ours},
        resource=log.resource,
        scope_name=log.scope_name,
    )


def _add_frame(
    frame: wal.Frame, intake: Intake, writer: str, keep: Callable[[int, int], None]
) -> None:
    begin = frame.end - len(frame.body)
    # One bad line costs that line; an OTLP request is good or bad as a whole.
    parts = frame.body.splitlines(keepends=True) if frame.kind == "json" else [frame.body]
    for part in parts:
        try:
            records = list(_records(frame.kind, part))
        except (InputError, ValueError, RecursionError):
            keep(begin, begin + len(part))
            intake.rejected += 1
        else:
            for record in records:
                intake.add(record, writer)
        begin += len(part)


def _records(kind: wal.FrameKind, body: bytes) -> Iterator[Record | ReceivedSpan]:
    if kind == "json":
        yield from map(_sound, wal.decode(body))
    elif body.startswith(b"{"):  # in protobuf this would be field 15, which OTLP has not
        yield from map(_sound, otlp.records_from_json(json.loads(body)))
    elif kind == "otlp-traces":  # protobuf has types of its own
        yield from otlp.received_spans(body)
    else:
        yield from otlp.records_from_protobuf(body, "logs")


def _sound(record: Record) -> Record:
    if not is_sound(record):
        raise InputError("a field has the wrong type")
    return record
