"""The roster: one narrow row per trajectory, in memory, for who lists, counts and sorts them.

A list of runs asks the same few columns of all trajectories again and again: a facet counts every
run, and its outcome is what was said of it last, in files of other days. The roster holds just
these columns of the newest snapshot, outcome and reward included, and is carried from one snapshot
to the next by what differs between their files:

    files only came, on a day      the runs that they tell of are read again
    a day has lost a file          its rows go at once; the day is read again
    annotations came or went       the runs that they name are read again
    other rules                    all rows go, and are read again

So a run that was erased is in no roster of a snapshot without it. Days are read newest first and in
slices: who asks waits for one slice at most and is told how much of the store the answer covers.

Texts are kept once, in `words` by their hash (`hash` of DuckDB) and lists in `sets`; a row holds
hashes, eight bytes each. Of what a run was asked only the beginning is kept.
"""
# ruff: noqa: S608 - what is put into this SQL are our own texts and names of schema.py

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

from otel_traj.store import views
from otel_traj.store.rules import Rules
from otel_traj.store.schema import SUPERSEDED, TABLES
from otel_traj.store.snapshot import DataFile, Snapshot, paths

MEMORY_LIMIT: Final = "1GB"
"""About 3 million runs. Of a store of more, the oldest are missing in the roster."""

SLICE_S: Final = 0.4
"""How long one who asks reads on for a roster that is not whole yet."""

LABEL: Final = 256
"""Characters that are kept of what a run was asked."""

_SLICE_ROWS: Final = 60_000
"""Rows of days that are read at once: a part of a second."""

_FEW: Final = 5_000
"""Rows of new files up to which their runs are read again one by one, not with their whole day."""


class State(NamedTuple):
    """What of a store the roster is made of.

    Attributes:
        snapshot: The newest.
        rules: What else decides on an outcome.
        unsealed: How long the log's segments are, where their rest is in memory only.
    """

    snapshot: Snapshot
    rules: Rules
    unsealed: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class Seen:
    """How much of the store has been looked at.

    Attributes:
        runs: So many trajectories.
        of: Of about so many; dead revisions may be among them.
        since: UTC day from which on all were looked at.
    """

    runs: int
    of: int
    since: str | None


class Roll(NamedTuple):
    """The roster as one request sees it: one snapshot, whatever is committed meanwhile.

    Attributes:
        cursor: Has tables `runs`, `words`, `sets`, `labels`; in a transaction of its own.
        seen: How much is in them so far; None is everything.
        stored: Gives a cursor and, in parentheses, SQL for all stored columns of the trajectories
            of some days, dead revisions too.
        files: Gives the same for each file of a table and of a day, with its path; rows that no
            file holds have the path "".
        paths: All live files.
    """

    cursor: duckdb.DuckDBPyConnection
    seen: Seen | None
    stored: Callable[[Collection[str]], tuple[duckdb.DuckDBPyConnection, str]]
    files: Callable[[str, str], list[tuple[str, duckdb.DuckDBPyConnection, str]]]
    paths: Set[str]


# --- what a row holds --------------------------------------------------------------------------

_PLAIN: Final = (
    "trajectory_id",
    "rev",
    "date",
    "start_time",
    "duration_us",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "n_spans",
    "n_steps",
    "n_tools",
    "n_errors",
    "status",
    "outcome",
    "outcome_source",
    "reward",
    "aliases",
    "trace_ids",
)
"""Columns of `runs` that hold what the view `trajectories` does."""

WORDS: Final = ("agent_name", "service", "error_type", "conversation_id")
"""Columns of `runs` with the hash of a text that is in `words`."""

SETS: Final = ("agents", "models", "tools", "step_errors")
"""Columns of `runs` with the hash of a list that is in `sets`: its different members, in order."""

_TASKS: Final = ("task_id", "asked", "task")
"""Columns of `runs` with the hash of a text: the task's id, its words, the first one of both that
is known. The beginning of the last one is in `labels`."""

_TASK_WORDS: Final = "coalesce(t.task, t.user_input)"
_LABEL: Final = f"coalesce(t.task_id, {_TASK_WORDS})"

_TABLES: Final = f"""\
create table runs (
    trajectory_id varchar, rev bigint, "date" varchar, start_time timestamptz, duration_us bigint,
    cost_usd double, input_tokens bigint, output_tokens bigint, n_spans integer, n_steps integer,
    n_tools integer, n_errors integer, status varchar, outcome varchar, outcome_source varchar,
    reward double, aliases varchar[], trace_ids varchar[],
    {", ".join(f"{name} ubigint" for name in (*WORDS, *SETS, *_TASKS))}
);
create table words (hash ubigint, text varchar);
create table labels (hash ubigint, text varchar, is_whole boolean);
create table sets (hash ubigint, members varchar[]);
create table said (path varchar, named ubigint, trace ubigint, content ubigint)"""


def _hashed(sql: str) -> str:
    return f"case when {sql} is not null then hash({sql}) end"


def _members(sql: str) -> str:
    return f"nullif(list_sort(list_distinct({sql})), [])"


_READ: Final = f"""\
select {", ".join(f't."{name}"' for name in _PLAIN)},
    {", ".join(f"t.{name} as {name}" for name in WORDS)},
    {_members("t.agents")} as agents, {_members("t.models")} as models,
    {_members("t.tools")} as tools, {_members("e.types")} as step_errors,
    {_hashed("t.task_id")} as task_id, {_hashed(_TASK_WORDS)} as asked, {_hashed(_LABEL)} as task,
    left({_LABEL}, {LABEL}) as label, length({_LABEL}) <= {LABEL} as is_whole
from live.judged t left join (
    select trajectory_id, list(distinct error_type) as types
    from live.steps where error_type is not null and {{condition}} group by trajectory_id
) e using (trajectory_id)
where {{condition}}"""

_TAKE: Final = (
    "insert into words select distinct on (hash) hash, text from ("
    + " union all ".join(
        f"select hash({name}) as hash, {name} as text from came where {name} is not null"
        for name in WORDS
    )
    + ") anti join words using (hash)",
    "insert into labels select distinct on (task) task, label, is_whole from came"
    " where task is not null and task not in (select hash from labels)",
    "insert into sets select distinct on (hash) hash, members from ("
    + " union all ".join(
        f"select hash({name}) as hash, {name} as members from came where {name} is not null"
        for name in SETS
    )
    + ") anti join sets using (hash)",
    "insert into runs select "
    + ", ".join(
        [f'"{name}"' for name in _PLAIN]
        + [_hashed(name) for name in (*WORDS, *SETS)]
        + list(_TASKS)
    )
    + " from came",
)
"""What is done with rows that came, a table `came` of what `_READ` tells."""


class Roster:
    """The roster of one store. Safe to share between threads."""

    def __init__(self, store: Path) -> None:
        """Know nothing yet."""
        self._store = store
        self._mutex = threading.Lock()  # protects all that follows
        self._rows = _in_memory()
        self._files = _Files(store)
        self._state: State | None = None
        self._missing: list[str] = []  # days that are not read yet, ascending
        self._n_gone = 0  # rows that were deleted since `runs` was last written anew
        self._is_full = False

    @contextlib.contextmanager
    def of_newest(
        self, newest: Callable[[], State], tail: Callable[[], duckdb.DuckDBPyConnection]
    ) -> Iterator[Roll]:
        """The roster of the newest snapshot.

        Args:
            newest: Tells what it is to be made of.
            tail: Where rows that no file holds are read: a cursor on the views of the store.

        Raises:
            StoreDamagedError: A file that the snapshot names cannot be read.
        """
        until = time.monotonic() + SLICE_S
        with self._mutex:
            state = newest()
            with views.reading_files(self._store):
                if state != self._state:
                    self._follow(state, tail)
                self._read_on(until)
            cursor = self._rows.cursor()
            cursor.execute("begin transaction")
            seen = self._seen(cursor)

        def stored(days: Collection[str]) -> tuple[duckdb.DuckDBPyConnection, str]:
            if state.unsealed is not None:
                return tail(), "(from stored.trajectories)"
            return self._files.stored(state.snapshot, days)

        def files(table: str, day: str) -> list[tuple[str, duckdb.DuckDBPyConnection, str]]:
            if state.unsealed is not None:
                return [("", tail(), f'(from stored.{table} where "date" = {views.quoted(day)})')]
            return self._files.each(state.snapshot, table, day)

        try:
            yield Roll(cursor, seen, stored, files, paths(state.snapshot.files))
        finally:
            cursor.close()

    def _seen(self, cursor: duckdb.DuckDBPyConnection) -> Seen | None:
        """How much is there. It fixes what the cursor's transaction sees, so it is asked first."""
        [(n,)] = cursor.execute("select count(*) from runs").fetchall()
        if not self._missing or self._state is None:
            return None
        known = self._state.snapshot.live("trajectories")
        newer = [file.date for file in known if file.date > self._missing[-1]]
        return Seen(n, max(n, sum(file.rows for file in known)), min(newer, default=None))

    # --- from one snapshot to the next -----------------------------------------------------------

    def _follow(self, state: State, tail: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        before, self._state = self._state, None  # should anything fail, all is read anew
        if state.unsealed is not None:
            self._begin_anew(state)
            self._missing = []
            self._take(tail(), "true", {})
        elif before is None or before.rules != state.rules or before.unsealed is not None:
            self._begin_anew(state)
        else:
            self._change(before.snapshot, state)
        self._state = state

    def _begin_anew(self, state: State) -> None:
        self._rows = _in_memory()
        self._n_gone, self._is_full = 0, False
        self._note(self._files.said(state.snapshot, state.snapshot.live("annotations")))
        self._missing = sorted({file.date for file in state.snapshot.live("trajectories")})

    def _change(self, before: Snapshot, state: State) -> None:
        """Let go what is told otherwise now, and read again the runs of which something is new."""
        stale, new = _differing(before, state.snapshot)
        ids = self._newly_said(before, state.snapshot) | self._files.ids(state.snapshot, new)
        days = {file.date for file in new} | self._days_of(ids)
        self._rows.execute("begin transaction")
        self._forget('"date" in (select unnest($values))', stale)
        self._forget("trajectory_id in (select unnest($values))", ids)
        self._rows.execute("commit")
        there = {file.date for file in state.snapshot.live("trajectories")}
        self._missing = sorted({*self._missing, *stale} & there)
        days = (days & there) - set(self._missing)
        if ids and days:
            self._read(state, days, ids)
        self._tidy(has_lost=bool(stale))

    def _newly_said(self, before: Snapshot, now: Snapshot) -> set[str]:
        """Runs of which other things are said than before."""
        old, new = before.live("annotations"), now.live("annotations")
        gone = sorted(file.path for file in set(old) - set(new))
        came = [file for file in new if file not in set(old)]
        if not (gone or came):
            return set()
        self._note(self._files.said(now, came))
        found = self._rows.execute(_DIFFERENTLY, {"gone": gone, "came": [f.path for f in came]})
        ids = {trajectory_id for (trajectory_id,) in found.fetchall()}
        self._rows.execute("delete from said where path in (select unnest($gone))", {"gone": gone})
        return ids

    def _note(self, said: pa.Table | None) -> None:
        if said is not None:
            with _registered(self._rows, said):
                self._rows.execute("insert into said from came")

    def _forget(self, condition: str, values: Collection[str]) -> None:
        if values:
            [(n,)] = self._rows.execute(
                f"delete from runs where {condition}", {"values": sorted(values)}
            ).fetchall()
            self._n_gone += n

    def _tidy(self, *, has_lost: bool) -> None:
        """Let go the place of rows that were deleted, and texts that no row has any more."""
        [(n,)] = self._rows.execute("select count(*) from runs").fetchall()
        if self._n_gone > max(n, _FEW):
            self._rows.execute("create or replace table runs as from runs")
            self._n_gone = 0
        if has_lost:
            self._rows.execute(_TIDY)

    def _days_of(self, ids: Collection[str]) -> set[str]:
        found = self._rows.execute(
            'select distinct "date" from runs where trajectory_id in (select unnest($ids))',
            {"ids": sorted(ids)},
        )
        return {day for (day,) in found.fetchall()}

    # --- reading ---------------------------------------------------------------------------------

    def _read_on(self, until: float) -> None:
        """Read days that are missing, newest first, until it is time to answer."""
        assert self._state is not None  # `_follow` has set it
        is_first = True
        while self._missing and not self._is_full and (is_first or time.monotonic() < until):
            days = self._next_days(self._state.snapshot)
            self._read(self._state, days)
            if not self._is_full:
                self._missing = [day for day in self._missing if day not in days]
            is_first = False

    def _next_days(self, snapshot: Snapshot) -> set[str]:
        """The newest of the missing days, as many as make a slice."""
        n_rows = Counter[str]()
        for file in snapshot.live("trajectories"):
            n_rows[file.date] += file.rows
        newest_first = self._missing[::-1]
        sums = itertools.accumulate(n_rows[day] for day in newest_first)
        days = [day for day, n in zip(newest_first, sums, strict=True) if n <= _SLICE_ROWS]
        return set(days or newest_first[:1])

    def _read(self, state: State, days: Collection[str], ids: Collection[str] = ()) -> None:
        """Read the runs of some days into the tables, or only some of those runs."""
        has_nameless = self._rows.execute(_ANY_NAMELESS).fetchall() == [(True,)]
        engine = self._files.showing(state, days, has_nameless=has_nameless)
        condition = f'"date" in ({", ".join(map(views.quoted, sorted(days)))})'
        if ids:
            condition += " and trajectory_id in (select unnest($ids))"
        self._take(engine, condition, {"ids": sorted(ids)} if ids else {})

    def _take(
        self, engine: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, Any]
    ) -> None:
        read = engine.sql(_READ.format(condition=condition), params=dict(given)).to_arrow_table()
        with _registered(self._rows, read):
            try:
                self._rows.execute("begin transaction")
                for statement in _TAKE:
                    self._rows.execute(statement)
                self._rows.execute("commit")
            except duckdb.OutOfMemoryException:
                self._rows.execute("rollback")
                self._is_full = True


_DIFFERENTLY: Final = """\
with differing as (
    select any_value(named) as named, any_value(trace) as trace, content
    from (
        select distinct named, trace, content, true as has_come
        from said where path in (select unnest($came))
        union all
        select distinct named, trace, content, false
        from said where path in (select unnest($gone))
    ) group by content having count(*) = 1
)
select trajectory_id from runs
where hash(trajectory_id) in (select named from differing)
    or list_has_any(list_transform(aliases, lambda a: hash(a)), (select list(named) from differing))
    or list_has_any(
        list_transform(trace_ids, lambda t: hash(t)),
        (select list(trace) from differing where named is null)
    )"""

_ANY_NAMELESS: Final = "select exists(from said where named is null and trace is not null)"

_TIDY: Final = ";\n".join(
    f"delete from {table} where hash not in ("
    + " union ".join(f"select {name} from runs where {name} is not null" for name in names)
    + ")"
    for table, names in (("words", WORDS), ("sets", SETS), ("labels", ("task",)))
)


def _in_memory() -> duckdb.DuckDBPyConnection:
    rows = duckdb.connect(
        config={"memory_limit": MEMORY_LIMIT, "threads": os.cpu_count() or 1, "temp_directory": ""}
    )
    rows.execute("set timezone = 'UTC'")
    rows.execute(_TABLES)
    return rows


@contextlib.contextmanager
def _registered(rows: duckdb.DuckDBPyConnection, came: pa.Table) -> Iterator[None]:
    """Arrow rows as a table `came`."""
    rows.register("came", came)
    try:
        yield
    finally:
        rows.unregister("came")


def _differing(before: Snapshot, now: Snapshot) -> tuple[set[str], list[DataFile]]:
    """Days of which all is to be read again, and the new files of others."""
    stale: set[str] = set()
    new: list[DataFile] = []
    for table in ("trajectories", SUPERSEDED.name):
        old, current = set(before.live(table)), set(now.live(table))
        stale |= {file.date for file in old - current}
        new += current - old
    n_rows = Counter[str]()
    for file in new:
        n_rows[file.date] += file.rows
    stale |= {day for day, n in n_rows.items() if n > _FEW}
    return stale, [file for file in new if file.date not in stale]


# --- files -------------------------------------------------------------------------------------


class _Files:
    """An engine whose views read only the files of some days."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._engine_is_of: tuple[Rules, bool] | None = None
        self._plain = views.connect_without_views()

    def showing(
        self, state: State, days: Collection[str], *, has_nameless: bool
    ) -> duckdb.DuckDBPyConnection:
        """The views of a snapshot, complete for the trajectories of some days.

        Args:
            state: Whose files are read, and the rules.
            days: UTC days; of other ones there may be rows or not.
            has_nameless: Some annotations name only a trace, whose run may be of any day.
        """
        if self._engine is None or self._engine_is_of != (state.rules, has_nameless):
            said = views.Said(any_nameless=has_nameless, any_step_reward=False)
            self._engine = views.connect_to_none(self._store, state.rules, said)
            self._engine_is_of = (state.rules, has_nameless)
        for table in TABLES:
            if table in _SHOWN:
                of_all = table == "annotations" or has_nameless
                files = [f for f in state.snapshot.live(table) if of_all or f.date in days]
                rows = self._rows_of(state.snapshot, table, files)
                self._engine.execute(f"create or replace view stored.{table} as {rows}")
        return self._engine

    def stored(
        self, snapshot: Snapshot, days: Collection[str]
    ) -> tuple[duckdb.DuckDBPyConnection, str]:
        """A cursor of one's own, and SQL for the trajectories of some days as they are stored."""
        files = [file for file in snapshot.live("trajectories") if file.date in days]
        return self._plain.cursor(), f"({self._rows_of(snapshot, 'trajectories', files)})"

    def each(
        self, snapshot: Snapshot, table: str, day: str
    ) -> list[tuple[str, duckdb.DuckDBPyConnection, str]]:
        """Path, cursor and SQL of each file of a table and of a day."""
        return [
            (file.path, self._plain.cursor(), f"({self._rows_of(snapshot, table, [file])})")
            for file in snapshot.live(table)
            if file.date == day
        ]

    def ids(self, snapshot: Snapshot, files: Iterable[DataFile]) -> set[str]:
        """Which trajectories files tell of."""
        found: set[str] = set()
        for table in ("trajectories", SUPERSEDED.name):
            own = [file for file in files if file.path.startswith(f"{table}/")]
            rows = self._rows_of(snapshot, table, own)
            told = self._plain.execute(f"select distinct trajectory_id from ({rows})").fetchall()
            found |= {trajectory_id for (trajectory_id,) in told}
        return found

    def said(self, snapshot: Snapshot, files: Sequence[DataFile]) -> pa.Table | None:
        """What annotations name and, as a hash, what they say: rows of the table `said`."""
        if not files:
            return None
        rows = views.rows_of(snapshot, "annotations", files, self._store, with_file=True)
        columns = ", ".join(f'"{column.name}"' for column in TABLES["annotations"].columns)
        return self._plain.sql(
            f"select substr(filename, {len(str(self._store)) + 2}) as path,"
            " case when trajectory_id is not null then hash(trajectory_id) end as named,"
            f" case when trace_id is not null then hash(trace_id) end as trace, hash({columns})"
            f" from ({rows})"
        ).to_arrow_table()

    def _rows_of(self, snapshot: Snapshot, table: str, files: Sequence[DataFile]) -> str:
        if not files:
            return views.no_rows(table)
        return views.rows_of(snapshot, table, files, self._store)


_SHOWN: Final = frozenset(
    {"trajectories", "steps", "trajectory_spans", "annotations", SUPERSEDED.name}
)
"""Tables that the rows of the roster are made of."""
