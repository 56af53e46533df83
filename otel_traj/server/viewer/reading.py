"""One store, read for the viewer: cursors with a deadline, and texts without secrets."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

import duckdb

from otel_traj.errors import OtelTrajError, StoreDamagedError
from otel_traj.model import Trajectory
from otel_traj.redaction import Redaction
from otel_traj.server.viewer.searching import Searches
from otel_traj.store import TrajectoryStore, snapshot, views
from otel_traj.store import rows as stored_rows
from otel_traj.store.roster import Roll
from otel_traj_exporters import redacting

_T = TypeVar("_T")

DEADLINE_S: Final = 20.0
"""How long one question may take; a viewer that asks for more is told to narrow it."""

_KEPT: Final = 24
"""Answers that stay in memory, runs among them: who looks at one asks for it again and again."""


class TooSlowError(OtelTrajError):
    """A question was given up."""


class Reader:
    """Answers from the newest snapshot. Safe to share between threads.

    Attributes:
        store: What is read.
        redaction: What is replaced on the way out.
        searches: What was found where in messages.
    """

    def __init__(self, store: TrajectoryStore, redaction: Redaction) -> None:
        self.store = store
        self.redaction = redaction
        self.searches = Searches(self.shown if redaction else None)
        self._mutex = threading.Lock()  # protects what is kept
        self._kept: OrderedDict[tuple[str, ...], object] = OrderedDict()

    def version(self) -> str:
        """Changes whenever an answer may; taken before that is read, it never names a later one."""
        state = self.store.state()
        told = (state.snapshot.n, state.rules, state.unsealed)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def read(
        self, ask: Callable[[duckdb.DuckDBPyConnection], _T], *, deadline_s: float = DEADLINE_S
    ) -> _T:
        """An answer from one snapshot; from the next one where files of the first were erased.

        Raises:
            TooSlowError: It took longer than the deadline.
            StoreDamagedError: A file cannot be read.
        """

        def once() -> _T:
            cursor = self.store.connection()
            with _deadline(cursor, deadline_s), views.reading_files(self.store.path):
                return ask(cursor)

        return self._undamaged(once)

    def listed(self, ask: Callable[[Roll], _T]) -> _T:
        """An answer from the roster of one snapshot; else as `read`."""

        def once() -> _T:
            with (
                self.store.roster() as roll,
                _deadline(roll.cursor, DEADLINE_S),
                views.reading_files(self.store.path),
            ):
                return ask(roll)

        return self._undamaged(once)

    def _undamaged(self, once: Callable[[], _T]) -> _T:
        """An answer; once more where a file is gone because a newer snapshot was committed."""
        while True:
            before = snapshot.numbers(self.store.path)[-1:]
            try:
                return once()
            except StoreDamagedError:
                if snapshot.numbers(self.store.path)[-1:] == before:
                    raise

    def kept(self, key: tuple[str, ...], make: Callable[[], _T]) -> _T:
        """What was made of the same snapshot before, or is made now and kept for a while.

        Args:
            key: What it is.
            make: Makes it; called by several threads at once if they are the first to ask.
        """
        version = self.version()
        versioned = (version, *key)
        with self._mutex:
            if versioned in self._kept:
                self._kept.move_to_end(versioned)
                return cast(_T, self._kept[versioned])
            for other in [other for other in self._kept if other[0] != version]:
                del self._kept[other]  # what it tells may have been erased
        made = make()
        with self._mutex:
            self._kept[versioned] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made

    def header(self, trajectory_id: str) -> Trajectory:
        """One trajectory without its steps and file changes, redacted; each of its tools once.

        Read in milliseconds. Its grade is that of what is stored.

        Args:
            trajectory_id: As for `trajectory`.

        Raises:
            TrajectoryNotFoundError: There is none; the message lists what is near.
        """
        return self.kept(("header", trajectory_id), lambda: self._header(trajectory_id))

    def _header(self, trajectory_id: str) -> Trajectory:
        def ask(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            named = cursor.sql(
                "from live.judged where trajectory_id = $id", params={"id": trajectory_id}
            )
            found: list[dict[str, Any]] = named.to_arrow_table().to_pylist()
            return found

        if found := self.read(ask):
            tools = list(dict.fromkeys(found[0]["tools"] or ()))
            return self._redacted(stored_rows.trajectory({**found[0], "tools": tools}))
        # By an alias, or the beginning of its id; or there is none, and what is near is listed.
        return dataclasses.replace(self.trajectory(trajectory_id), steps=(), file_changes=())

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """One trajectory with its steps and file changes, redacted.

        Args:
            trajectory_id: As `TrajectoryStore.trajectory` takes it.

        Raises:
            TrajectoryNotFoundError: There is none; the message lists what is near.
        """
        return self.kept(("trajectory", trajectory_id), lambda: self._trajectory(trajectory_id))

    def _trajectory(self, trajectory_id: str) -> Trajectory:
        return self._redacted(self.store.trajectory(trajectory_id))

    def _redacted(self, stored: Trajectory) -> Trajectory:
        found = redacting.trajectory(self.redaction, stored)
        if found.trajectory_id != stored.trajectory_id:  # it must be found by what is shown
            found = dataclasses.replace(found, trajectory_id=stored.trajectory_id)
        return found

    def shown(self, column: str, value: Any) -> Any:
        """A text, or several, as they may be shown.

        Args:
            column: Column of a table that holds it.
            value: The value; None where it is unknown.
        """
        return value if value is None else redacting.cell(self.redaction, column, value)


def rows(
    cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object]
) -> list[dict[str, Any]]:
    """The rows of a query by the names of their columns."""
    found = cursor.execute(sql, dict(parameters))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def iso(moment: datetime | None) -> str | None:
    """A time as the API writes it: ISO 8601 in UTC, microseconds."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@contextlib.contextmanager
def _deadline(cursor: duckdb.DuckDBPyConnection, deadline_s: float) -> Iterator[None]:
    timer = threading.Timer(deadline_s, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise TooSlowError(
            f"This took longer than {deadline_s:g} s and was given up: narrow it, for instance to"
            " a time range"
        ) from error
    finally:
        timer.cancel()
