"""Processes that derive traces beside the sealer, which so uses more than one core.

Work is cut into pieces of whole traces: from records to rows in columns. The sealer does pieces
itself; each worker is a `python -m otel_traj.store.workers`, which reads pieces from its standard
input and answers on its standard output. What happens to a worker costs nothing but time: its piece
is done here. Workers of a store read nothing but its prices, and end when their sealer does,
however it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import io
import operator
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.abc import MetaPathFinder
from typing import IO, Any, Final, cast

import pyarrow as pa

from otel_traj import model, processes, semconv
from otel_traj.assembly import DERIVE_VERSION, Alone, Relations, assemble_alone
from otel_traj.model import LogRecord, SpanRecord
from otel_traj.otlp import Origin, ReceivedSpan, Span, record_of
from otel_traj.store import prices, rows
from otel_traj.store.columns import InColumns, Stretch, in_columns
from otel_traj.store.prices import Price

PIECE_SPANS: Final = 1000
"""Spans of a piece: an eighth of a second of work, against some milliseconds for its columns."""

PIECE_BYTES: Final = 2 * 1024 * 1024
"""About how much of the log becomes a piece."""

_MIN_PIECES: Final = 4
"""Fewer are done before a worker has started."""

_MOST: Final = 7
"""Workers; more than these wait for the sealer, which reads and writes what they derive."""

_IDLE_S: Final = 60.0
"""Without work for so long, workers are ended by whoever seals on."""

_PIPE_BYTES: Final = 1024 * 1024
"""Of the pipes to and from a worker, where the system lets one choose: an answer has some 5 MB, and
whenever its pipe is full the worker has to wait."""

_SWITCH_S: Final = 0.0005
"""How long a thread that derives keeps another one, which has an answer to read, from going on; the
5 ms that Python takes by itself cost the worker on the other end a tenth of its time."""

_PATIENCE_S: Final = 60.0
"""How long to wait for the last piece of a worker before it counts as hung."""


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """What all rows of a commit have in common: its number, when it is made, what models cost."""

    n: int
    time: datetime
    price: Price


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Some traces to derive, each by itself.

    Attributes:
        traces: Trace -> its spans, of which there are some, and its logs.
        news: Trace -> those of its spans that become rows of `spans`.
        known_ids, open_traces: As for `assemble`.
        commit: That the rows will be part of.
    """

    traces: Mapping[str, tuple[Sequence[Span], Sequence[LogRecord]]]
    news: Mapping[str, Sequence[Span]]
    known_ids: Mapping[str, str]
    open_traces: frozenset[str]
    commit: Commit


@dataclasses.dataclass(frozen=True, slots=True)
class Derived:
    """What traces tell by themselves.

    Attributes:
        found: Trace -> its trajectories, costs filled in, their rows in columns.
        received: Trace -> its new spans by start, as rows of `spans`.
        failed: Traces that assembly cannot take, and why.
        given_ids: Trajectory ids that programs gave.
    """

    found: dict[str, Alone]
    received: dict[str, Stretch]
    failed: dict[str, str]
    given_ids: frozenset[str]


def derive(piece: Piece) -> Derived:
    """Derive a piece.

    Spans are strangers' data. A trace that assembly cannot take keeps no other one from being
    derived.
    """
    found: dict[str, Alone] = {}
    failed: dict[str, str] = {}
    with growing():
        given_ids: set[str] = set()
        records: dict[int, SpanRecord] = {}
        for trace_id, (received, logs) in piece.traces.items():
            try:
                spans = [record_of(span) for span in received]
                records.update(zip(map(id, received), spans, strict=True))
                given_ids.update(_given_ids(spans))
                alone = assemble_alone(
                    spans, logs, known_ids=piece.known_ids, open_traces=piece.open_traces
                )
                found[trace_id] = _priced(alone, piece.commit.price)
            except Exception:
                failed[trace_id] = traceback.format_exc()
        columns = _in_columns(found, piece.commit.n)
        news = {
            trace_id: [records.get(id(span)) or record_of(span) for span in own]
            for trace_id, own in piece.news.items()
        }
        return Derived(columns, received_rows(news, piece.commit), failed, frozenset(given_ids))


def _given_ids(spans: Sequence[SpanRecord]) -> Iterator[str]:
    return (
        str(span.attributes[semconv.TRAJECTORY_ID])
        for span in spans
        if semconv.TRAJECTORY_ID in span.attributes
    )


def _priced(alone: Alone, price: Price) -> Alone:
    return Alone(
        alone.relations,
        [(place, prices.apply(assembly, price)) for place, assembly in alone.found],
    )


def _in_columns(found: Mapping[str, Alone], rev: int) -> dict[str, Alone]:
    assemblies = (assembly for alone in found.values() for _, assembly in alone.found)
    columned = iter(in_columns(assemblies, rev=rev))
    return {
        trace_id: Alone(alone.relations, [(place, next(columned)) for place, _ in alone.found])
        for trace_id, alone in found.items()
    }


def received_rows(news: Mapping[str, Sequence[Span]], commit: Commit) -> dict[str, Stretch]:
    """Trace -> its new spans by start, as rows of `spans`."""
    ordered = [record_of(span) for own in news.values() for span in sorted(own, key=_start)]
    columns = rows.spans_table(ordered, ingest_seq=commit.n, ingest_time=commit.time)
    found, start = {}, 0
    for trace_id, own in news.items():
        found[trace_id] = Stretch(columns, start, start + len(own))
        start += len(own)
    return found


def _start(span: Span) -> int:
    return span.start_ns


@contextlib.contextmanager
def growing() -> Iterator[None]:
    """While values are made that nearly all stay, Python does not search them for lost cycles.

    That costs a fifth of all time, and half of it where much is in memory.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _taking_turns() -> Iterator[None]:
    """While threads of this process talk to workers, they get to work at once."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def without_pandas() -> None:
    """For the main function of a process that nobody asks for data frames.

    With the first list that becomes an array Arrow imports pandas, where that is installed: half a
    second and 60 MB, to find out that the list is none of its series.
    """
    sys.meta_path.insert(0, _NoPandas())


class Workers:
    """The workers of one sealer: started when there is enough to do, ended by `close`.

    Who seals again and again keeps them from one seal to the next: starting one takes as long as
    deriving some thousand spans.
    """

    def __init__(self, count: int | None = None) -> None:
        """Start nothing yet.

        Args:
            count: How many at most; None is one less than there are cores for this process.
        """
        self._count = min(_cores() - 1, _MOST) if count is None else count
        self._hired: list[_Worker] = []
        self._busy_at = 0.0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def end_idle(self) -> None:
        """End them if they have had nothing to do for a while; they take memory."""
        if self._hired and time.monotonic() - self._busy_at > _IDLE_S:
            self.close()

    def close(self) -> None:
        """End them."""
        for worker in self._hired:
            worker.end()
        self._hired.clear()

    def derive(self, pieces: Sequence[Piece]) -> list[Derived]:
        """Derive pieces, some here and some by workers; results in the order of the pieces."""
        done: dict[int, Derived] = {}
        waiting = deque(range(len(pieces)))
        self.hire(len(pieces))
        is_much = len(pieces) >= _MIN_PIECES
        asked = [worker for worker in self._hired if is_much or worker.has_greeted]
        threads = [
            threading.Thread(target=worker.take, args=(pieces, waiting, done), daemon=True)
            for worker in (asked if len(pieces) > 1 else ())
        ]
        with _taking_turns():
            for thread in threads:
                thread.start()
            self._take_here(pieces, waiting, done)
            for thread, worker in zip(threads, asked, strict=False):
                thread.join(_PATIENCE_S)
                if thread.is_alive():
                    worker.end()
                    thread.join()
        self._take_here(pieces, waiting, done)  # what workers that died have left
        self._hired = [worker for worker in self._hired if worker.is_alive]
        self._busy_at = time.monotonic() if threads else self._busy_at
        return [done[index] for index in range(len(pieces))]

    def hire(self, n_pieces: int) -> None:
        """Start workers, if there will be enough for them to do; starting takes half a second."""
        is_python = bool(sys.executable) and not getattr(sys, "frozen", False)
        if n_pieces < _MIN_PIECES or not is_python:  # a frozen program would start itself again
            return
        with contextlib.suppress(OSError):  # no more processes: then without
            while len(self._hired) < min(self._count, n_pieces):
                self._hired.append(_Worker())
                self._busy_at = time.monotonic()

    def _take_here(
        self, pieces: Sequence[Piece], waiting: deque[int], done: dict[int, Derived]
    ) -> None:
        while waiting:
            with contextlib.suppress(IndexError):  # a worker was quicker
                index = waiting.pop()
                done[index] = derive(pieces[index])


def in_pieces(
    traces: Mapping[str, tuple[Sequence[Span], Sequence[LogRecord]]],
    news: Mapping[str, Sequence[Span]],
    known_ids: Mapping[str, str],
    open_traces: Collection[str],
    commit: Commit,
) -> list[Piece]:
    """Traces in pieces of about `PIECE_SPANS`, each with what it needs to know.

    They are in the order of files, so that what is derived is mostly in order as it comes.
    """
    running = set(open_traces)
    parts: list[list[str]] = [[]]
    size = 0
    starts_us = {t: min(span.start_ns for span in own) // 1000 for t, (own, _) in traces.items()}
    for trace_id in sorted(traces, key=lambda trace_id: (starts_us[trace_id], trace_id)):
        spans, _ = traces[trace_id]
        if size >= PIECE_SPANS:
            parts.append([])
            size = 0
        parts[-1].append(trace_id)
        size += len(spans)
    return [
        Piece(
            {trace_id: traces[trace_id] for trace_id in part},
            {trace_id: news[trace_id] for trace_id in part if trace_id in news},
            {trace_id: known_ids[trace_id] for trace_id in part if trace_id in known_ids},
            frozenset(running.intersection(part)),
            commit,
        )
        for part in parts
    ]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Worker:
    """One worker process, as its sealer sees it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            processes.command("otel_traj.store.workers"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_BYTES,
            env=processes.environment(),
            start_new_session=True,  # an interrupt at the terminal is for the sealer
        )
        self.is_alive = True
        self.has_greeted = False

    def take(self, pieces: Sequence[Piece], waiting: deque[int], done: dict[int, Derived]) -> None:
        """Have pieces derived until none waits, or the worker fails."""
        while self.is_alive:
            try:
                index = waiting.popleft()
            except IndexError:
                return
            try:
                done[index] = self._derived(pieces[index])
            except Exception:  # whatever it is, the piece can be done without this worker
                waiting.append(index)
                self.end()

    def _derived(self, piece: Piece) -> Derived:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self.has_greeted and _receive(self._process.stdout) != DERIVE_VERSION:
            raise ValueError("otel-traj was updated while it runs")
        self.has_greeted = True
        _send(self._process.stdin, piece)
        answer = _receive(self._process.stdout)
        if not isinstance(answer, Derived):
            raise TypeError(f"no answer: {answer!r:.80}")
        return answer

    def end(self) -> None:
        """Kill it, if need be, and wait for it."""
        self.is_alive = False
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was not sent will not be
                pipe.close()
        self._process.wait()


# --- messages ----------------------------------------------------------------------------------


def _send(stream: IO[bytes], message: object) -> None:
    """Write a message: how many parts it has, the length of each, the parts.

    The first is the message, the others are columns in it, which are not copied once more.
    """
    packed = io.BytesIO()
    apart: list[pickle.PickleBuffer] = []
    _Pickler(packed, pickle.HIGHEST_PROTOCOL, buffer_callback=apart.append).dump(message)
    parts = [packed.getbuffer(), *(buffer.raw() for buffer in apart)]
    for number in (len(parts), *(part.nbytes for part in parts)):
        stream.write(number.to_bytes(8))
    for part in parts:
        stream.write(part)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    """The next message.

    Raises:
        EOFError: There is none any more.
    """
    n_parts = int.from_bytes(_read(stream, 8))
    lengths = [int.from_bytes(_read(stream, 8)) for _ in range(n_parts)]
    packed, *apart = [_read(stream, length) for length in lengths]
    return pickle.loads(packed, buffers=apart)


def _read(stream: IO[bytes], length: int) -> memoryview:
    """So many bytes, which what is made of them may go on using.

    Raises:
        EOFError: There are less.
    """
    room = memoryview(pa.allocate_buffer(length))
    if cast(io.BufferedReader, stream).readinto(room) != length:
        raise EOFError
    return room


def _made(cls: type[Any], values: tuple[Any, ...]) -> Any:
    """A frozen value of its fields, which were checked when it was made first."""
    one = object.__new__(cls)
    for name, value in zip(cls.__dataclass_fields__, values, strict=True):
        object.__setattr__(one, name, value)
    return one


def _reduced(value: Any) -> tuple[Any, ...]:
    cls = type(value)
    return _made, (cls, _FIELDS[cls](value))


_FIELDS: Final[Mapping[type[Any], operator.attrgetter[Any]]] = {
    cls: operator.attrgetter(*(field.name for field in dataclasses.fields(cls)))
    for cls in (
        *(model.SpanRecord, model.SpanEvent, model.SpanLink, model.LogRecord, model.Annotation),
        *(model.Trajectory, model.Step, model.TrajectorySpan, model.FileChange),
        *(model.MergedSpan, model.Repair, model.Assembly, Alone, Relations, InColumns, Stretch),
        Origin,
    )
}


def _as_received(span: ReceivedSpan) -> tuple[Any, ...]:
    return ReceivedSpan, _HEAD_AND_BODY(span)


_HEAD_AND_BODY: Final = operator.attrgetter(
    *(field.name for field in dataclasses.fields(ReceivedSpan))
)


def _packed(columns: pa.Table) -> tuple[Any, ...]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as stream:
        stream.write_table(columns)
    return _unpacked, (pickle.PickleBuffer(sink.getvalue()),)


def _unpacked(stream: memoryview) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()


class _Pickler(pickle.Pickler):
    """Writes our values as their fields, in a third of the time that dataclasses take."""

    dispatch_table: Mapping[type[Any], Any] = {
        **dict.fromkeys(_FIELDS, _reduced),
        ReceivedSpan: _as_received,
        pa.Table: _packed,
    }


def main() -> None:
    """Be a worker: answer pieces until the sealer is gone."""
    without_pandas()
    pieces, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not do so in between
    _send(answers, DERIVE_VERSION)
    with growing(), contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            _send(answers, derive(_receive(pieces)))


if __name__ == "__main__":
    from otel_traj.store.workers import (
        main as _main,  # so that pickled classes are those of the module
    )

    _main()
