"""What happens in a store as it happens: server-sent events, made from the commits that follow.

There is no queue. A stream has a position in the store, and when something was committed it is told
the difference between there and now. So one that reads slowly costs nothing and gets larger steps,
one that was cut off goes on where it was, and one that nobody reads is not computed.
"""
# ruff: noqa: S608 - what is put into this SQL are our own texts

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import duckdb

from otel_traj.errors import InputError, OtelTrajError
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.viewer import spans
from otel_traj.server.viewer.answers import LiveRuns, LiveSpans, LiveStep, LiveSteps, Sparse
from otel_traj.server.viewer.asking import encoded
from otel_traj.server.viewer.listing import PREVIEW, ROW, finite, row
from otel_traj.server.viewer.problems import BusyError
from otel_traj.server.viewer.reading import Reader, iso, rows
from otel_traj.store import sealing, snapshot
from otel_traj.store.arrow import functions as pc

_log = logging.getLogger("otel_traj.server")

STREAMS: Final = 64
"""So many at a time; each is a tab of somebody's browser."""

BATCH_S: Final = 0.1
"""How often to look for a commit: what comes within is told at once."""

SEAL_S: Final = 1.0
"""How often to have sealed what others recorded, where nobody else does."""

HEARTBEAT_S: Final = 15.0
"""How long a stream is silent at most, so that neither side takes the other for dead."""

AGAIN_S: Final = 1.0
"""How soon something is read again that could not be read."""

RETRY_MS: Final = 1000
"""How soon a browser that was cut off comes again."""

MOST_RUNS: Final = 500
MOST_STEPS: Final = 200
"""What one event holds of a list that is shown from its end; it tells how many it leaves out."""

_LATEST_RUNS: Final = 20
_LATEST_STEPS: Final = 50
"""What who begins to look is shown of what was before."""


class Topics(NamedTuple):
    """What a stream tells of.

    Attributes:
        has_runs: All runs.
        run: Id of one run, which is told with its spans; None for none.
    """

    has_runs: bool
    run: str | None

    @classmethod
    def read(cls, text: str) -> Topics:
        """Read `runs`, `traj:ID` or both with a comma.

        Raises:
            InputError: It is something else.
        """
        names = [name for name in text.split(",") if name]
        runs = [name.removeprefix("traj:") for name in names if name.startswith("traj:")]
        if not names or len(runs) > 1 or any(n != "runs" and n[:5] != "traj:" for n in names):
            raise InputError(f"topics={text!r} is none of: runs; traj:ID; runs,traj:ID")
        return cls("runs" in names, runs[0] if runs else None)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a stream has told; written as the `id` of an event.

    Attributes:
        commit: All of this snapshot and those before.
        rows: So many spans of its run, as `/spans` numbers them; None of none.
        digest: What these held: rows that changed are told again.
    """

    commit: int
    rows: int | None = None
    digest: int = 0

    def __str__(self) -> str:
        """As `read` takes it."""
        return str(self.commit) if self.rows is None else f"{self.commit}.{self.rows}.{self.digest}"

    @classmethod
    def read(cls, text: str) -> Position | None:
        """What `str` wrote; None where it is nothing of ours, and the stream begins anew."""
        numbers = text.split(".")
        if len(numbers) not in (1, 3) or not all(n.isascii() and n.isdecimal() for n in numbers):
            return None
        return cls(*(int(number[:18]) for number in numbers))


class Event(NamedTuple):
    """One event; `data` is what `answers.LiveEvents` declares under its name."""

    name: str
    data: Any


class Batch(NamedTuple):
    """What is told at once, and where that leads; who gets half of it gets all of it again."""

    events: Sequence[Event]
    position: Position

    def encoded(self) -> bytes:
        """As it is sent, where there is an event: the last one has the position."""
        told = [
            b"event: %s\ndata: %s\n" % (event.name.encode(), encoded(event.data))
            for event in self.events
        ]
        return b"\n".join(told) + b"id: %s\n\n" % str(self.position).encode()


# --- streams -----------------------------------------------------------------------------------


class Streams:
    """All streams of a viewer; one look-out for commits serves them while there are any."""

    def __init__(self, reader: Reader, threads: Threads) -> None:
        self._reader = reader
        self._threads = threads
        self._n_open = 0
        self._watch: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()
        self._state: _State | None = None
        self._looks = 0
        self._made: OrderedDict[_Asked, asyncio.Task[Batch]] = OrderedDict()

    @property
    def is_watching(self) -> bool:
        """Whether anybody listens, and commits are looked out for."""
        return self._watch is not None

    async def check(self, topics: Topics) -> Topics:
        """The topics with the whole id of their run.

        Raises:
            TrajectoryNotFoundError: There is no such run.
            BusyError: There are too many streams.
        """
        if self._n_open >= STREAMS:
            raise BusyError(f"There are {STREAMS} streams: close some pages that show live runs")
        if topics.run is None:
            return topics
        found = await self._threads.call(self._reader.header, topics.run)
        return topics._replace(run=found.trajectory_id)

    async def events(self, topics: Topics, position: Position | None) -> AsyncIterator[bytes]:
        """The stream, until the server ends or nobody reads it."""
        yield b"retry: %d\n\n" % RETRY_MS
        async with self._listening():
            looks = 0
            while not self._threads.ending.is_set():
                if not await self._is_new(looks):
                    yield b":\n\n"
                    continue
                asked = _Asked(topics, position, self._looks)
                batch = await self._batch(asked)
                if batch is None:
                    await self._pause(AGAIN_S)
                    continue
                looks, position = asked.looks, batch.position
                if batch.events:
                    yield batch.encoded()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        self._n_open += 1
        if self._watch is None:
            self._watch = asyncio.create_task(self._look_out())
        try:
            yield
        finally:
            self._n_open -= 1
            if self._n_open == 0 and self._watch is not None:
                self._watch.cancel()
                self._watch = self._state = None
                self._made.clear()
                self._looks = 0

    async def _is_new(self, looks: int) -> bool:
        """Wait for something that was not there at a look; False where it is time for a sign."""
        ending = self._threads.ending
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_S), self._moved:
                await self._moved.wait_for(lambda: self._looks > looks or ending.is_set())
        return self._looks > looks

    async def _batch(self, asked: _Asked) -> Batch | None:
        """What is new for all that stand at a position; None where it could not be read."""
        if asked not in self._made:
            read = self._threads.call(batch, self._reader, asked.topics, asked.position)
            self._made[asked] = asyncio.create_task(read)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        try:
            # Who goes away takes nothing from the others that wait for the same.
            return await asyncio.shield(self._made[asked])
        except (OtelTrajError, duckdb.Error) as error:
            if self._made.pop(asked, None) is not None:
                _log.warning("live: %s", error)
            return None

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._threads.ending.wait(), seconds)

    async def _look_out(self) -> None:
        """See what is committed, and wake who waits for it."""
        sealed_at = 0.0
        while not self._threads.ending.is_set():
            began = time.monotonic()
            is_due = began - sealed_at >= SEAL_S
            sealed_at = began if is_due else sealed_at
            before = self._state
            try:
                self._state = await self._threads.call(_look, self._reader, before, seals=is_due)
            except (OtelTrajError, OSError, duckdb.Error) as error:
                _log.warning("live: %s", error)
            if self._state != before:
                await self._wake()
            await self._pause(BATCH_S)
        await self._wake()

    async def _wake(self) -> None:
        async with self._moved:
            self._looks += 1
            self._moved.notify_all()


class _Asked(NamedTuple):
    topics: Topics
    position: Position | None
    looks: int


_KEPT: Final = 16
"""Batches that are kept for others that stand at the same position."""


class _State(NamedTuple):
    """What can be read: a snapshot and, in a store that cannot be sealed here, more of its log."""

    commit: int
    unsealed: Mapping[str, int] | None


def _look(reader: Reader, before: _State | None, *, seals: bool) -> _State:
    path = reader.store.path
    if seals:
        reader.store.connection()
    commit = before.commit if before else max(snapshot.numbers(path), default=0)
    while snapshot.path_of(path, commit + 1).exists():  # cheaper than to list thousands
        commit += 1
    return _State(commit, None if os.access(path, os.W_OK) else sealing.lengths(path))


# --- what is told ------------------------------------------------------------------------------


def batch(reader: Reader, topics: Topics, since: Position | None) -> Batch:
    """What is to be told to who stands at a position, or begins.

    Raises:
        StoreDamagedError: A file cannot be read.
        TooSlowError: It took too long.
    """
    commit = max(snapshot.numbers(reader.store.path), default=0)
    if since is not None and since.commit > commit:
        since = None  # of another store, or of one that was restored
    changed = reader.read(lambda cursor: _changed(cursor, topics, since))
    events = [*_of_runs(reader, changed, since)]
    # Revisions that are newer than the snapshot above were committed since.
    after = max(snapshot.numbers(reader.store.path), default=0)
    newest = min(max((run.rev for run in changed), default=0), after)
    position = Position(max(commit, newest))
    if topics.run is not None:
        if since is None or _has_spans_since(reader, topics.run, since.commit):
            event, position = _spans(reader, topics.run, since, position)
            events.append(event)
        else:
            position = replace(position, rows=since.rows, digest=since.digest)
    return Batch(sorted(events, key=lambda event: _ORDER.index(event.name)), position)


_ORDER: Final = ("run", "step", "spans", "end")


class _Changed(NamedTuple):
    """A run that was derived since.

    Attributes:
        known: Commit up to which its steps were told.
    """

    trajectory_id: str
    rev: int
    known: int


# A run may be derived less often than its spans come: its steps were told as of its last revision.
_CHANGED: Final = """\
with changed as (
    select trajectory_id, rev from live.trajectories
    where rev > $since and ($is_all or trajectory_id = $run)
    order by rev desc, start_time desc limit $limit
)
select trajectory_id, changed.rev,
    coalesce(max(s.rev) filter (s.rev <= $since), $since)::bigint as known
from changed left join stored.superseded s using (trajectory_id)
group by trajectory_id, changed.rev"""


def _changed(
    cursor: duckdb.DuckDBPyConnection, topics: Topics, since: Position | None
) -> list[_Changed]:
    limit = _LATEST_RUNS if since is None and topics.has_runs else MOST_RUNS
    found = cursor.execute(
        _CHANGED,
        {
            "since": -1 if since is None else since.commit,
            "is_all": topics.has_runs,
            "run": topics.run,
            "limit": limit,
        },
    )
    return [_Changed(*told) for told in found.fetchall()]


def _of_runs(reader: Reader, changed: Sequence[_Changed], since: Position | None) -> list[Event]:
    if not changed:
        return []
    ids = [run.trajectory_id for run in changed]
    found = reader.read(
        lambda cursor: rows(
            cursor,
            f"select {ROW} from trajectories where trajectory_id in (select unnest($ids))"
            " order by start_time, trajectory_id",
            {"ids": ids},
        )
    )
    told = [row(reader, one) for one in found]
    steps = _steps(reader, changed, is_begun=since is None)
    groups: dict[str, Any] = {
        "run": LiveRuns(rows=[one for one in told if one["status"] == "open"]),
        "step": steps,
        "end": LiveRuns(rows=[one for one in told if one["status"] != "open"]),
    }
    return [Event(name, data) for name, data in groups.items() if data["rows"]]


_STEPS: Final = f"""\
with changed as (
    select unnest($ids) as trajectory_id, unnest($known) as known
), fresh as (
    select s.*, count(*) over () as n_fresh
    from live.rewarded s join changed using (trajectory_id)
        join stored.spans p on p.trace_id = s.trace_id and p.span_id = s.span_id
    where p.ingest_seq > $floor and p.ingest_seq > changed.known and s.status <> 'open'
)
select trajectory_id, step, kind, trace_id, span_id, tool_call_id, agent_name, start_time, end_time,
    duration_s, status, error_type, cost_usd, n_fresh,
    case kind
        when 'llm' then coalesce(response_model, model)
        when 'handoff' then handoff_to
        else tool_name
    end as action,
    left(coalesce(error_message, output_text, result, model_saw, arguments), {PREVIEW}) as preview
from fresh
order by coalesce(end_time, start_time) desc, trajectory_id, step desc
limit $limit"""


def _steps(reader: Reader, changed: Sequence[_Changed], *, is_begun: bool) -> LiveSteps:
    known = [run.known for run in changed]
    found = reader.read(
        lambda cursor: rows(
            cursor,
            _STEPS,
            {
                "ids": [run.trajectory_id for run in changed],
                "known": known,
                "floor": min(known),
                "limit": _LATEST_STEPS if is_begun else MOST_STEPS,
            },
        )
    )
    n_fresh = found[0]["n_fresh"] if found else 0
    return {
        "rows": [_step(reader, told) for told in reversed(found)],
        "skipped": 0 if is_begun else n_fresh - len(found),
    }


def _step(reader: Reader, told: Mapping[str, Any]) -> LiveStep:
    shown = reader.shown
    return {
        "trajectory_id": told["trajectory_id"],
        "step": told["step"],
        "kind": told["kind"],
        "trace_id": told["trace_id"],
        "span_id": told["span_id"],
        "tool_call_id": told["tool_call_id"],
        "agent_name": shown("agent_name", told["agent_name"]),
        "action": shown("tool_name", told["action"]),
        "start_time": iso(told["start_time"]),
        "end_time": iso(told["end_time"]),
        "duration_s": told["duration_s"],
        "status": told["status"],
        "error_type": shown("error_type", told["error_type"]),
        "cost_usd": finite(told["cost_usd"]),
        "preview": shown("result", told["preview"]),
    }


def _has_spans_since(reader: Reader, run: str, commit: int) -> bool:
    """Whether a run was derived, or spans of it came, after a commit."""
    [[is_so]] = reader.read(
        lambda cursor: cursor.execute(
            "select exists(from live.trajectories where trajectory_id = $run and rev > $commit)"
            " or exists(from stored.spans where ingest_seq > $commit and trace_id in ("
            "select unnest(trace_ids) from live.trajectories where trajectory_id = $run))",
            {"run": run, "commit": commit},
        ).fetchall()
    )
    return bool(is_so)


def _spans(
    reader: Reader, run: str, since: Position | None, position: Position
) -> tuple[Event, Position]:
    """The spans of the run that come after those that were told, and all that are open."""
    found = spans.read(reader, run)
    told = 0 if since is None or since.rows is None else since.rows
    if since is None:
        told = found.n_closed  # who begins has asked for the others, or will
    elif told > found.n_closed or _digest(found, told) != since.digest:
        told = 0
    following = replace(position, rows=found.n_closed, digest=_digest(found, found.n_closed))
    data: LiveSpans = {
        "since": told,
        "spans": spans.columns(reader, found, since=told),
        "above": _above(found, told),
    }
    return Event("spans", data), following


def _above(found: spans.Rows, told: int) -> Sparse:
    """Of the rows that were told, those below one that was not: its number is new or has changed.

    A parent ends after its children, and until then stands behind all that have ended.
    """
    parent = found.parent.slice(0, told)
    is_new = pc.fill_null(pc.greater_equal(parent, told), False)
    return {"i": pc.indices_nonzero(is_new).to_pylist(), "v": parent.filter(is_new).to_pylist()}


_TEXTS: Final = ("name", "svc", "kind", "tool", "model", "agent", "err")
_NUMBERS: Final = ("start_ns", "end_ns", "step", "tin", "tout", "cost", "flag")


def _digest(found: spans.Rows, n: int) -> int:
    """Of what the first rows hold, but for what is above them: steps may be numbered anew."""
    rows_ = found.table.slice(0, n)
    sum_ = zlib.crc32("".join(rows_["span_id"].to_pylist()).encode())
    for name in _TEXTS:
        encoded_ = rows_[name].combine_chunks().dictionary_encode()
        sum_ = zlib.crc32(repr(encoded_.dictionary.to_pylist()).encode(), sum_)
        sum_ = zlib.crc32(pc.fill_null(encoded_.indices, -1).to_numpy(), sum_)
    for name in _NUMBERS:
        numbers = pc.fill_null(rows_[name], -1).combine_chunks()
        sum_ = zlib.crc32(numbers.to_numpy(zero_copy_only=False), sum_)
    return sum_
