"""The store: a folder of Parquet files, a write-ahead log beside it, and SQL over both.

    store = open_store("traces/")
    store.sql("select outcome, count(*) from trajectories group by 1").show()

Any number of processes record into one folder and read from it at once; there is no service. What
was recorded before a call is seen by it: the store seals its log before it reads. How it is kept,
and why nothing acknowledged is lost: `otel_traj.store.sealing`; that nothing was: `verify`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

import duckdb

from otel_traj import statements, wal
from otel_traj.errors import (
    ConfigurationError,
    QueryError,
    StoreDamagedError,
    StoreNotFoundError,
    StoreVersionError,
    TrajectoryNotFoundError,
    advice_on,
)
from otel_traj.model import Annotation, AnnotationKind, Outcome, Record, RunStatus, Trajectory
from otel_traj.redaction import Redaction, choose
from otel_traj.store import (
    absence,
    check,
    collection,
    compaction,
    erasure,
    publish,
    query,
    reassembly,
    redacting,
    repair,
    retention,
    rows,
    rules,
    sealing,
    snapshot,
    values,
    views,
)
from otel_traj.store.absence import AbsenceReport
from otel_traj.store.check import Problem
from otel_traj.store.compaction import CompactionReport
from otel_traj.store.erasure import ErasureReport
from otel_traj.store.nearby import Nearby
from otel_traj.store.publish import PublishReport
from otel_traj.store.reassembly import ReassemblyReport
from otel_traj.store.redacting import RedactionReport
from otel_traj.store.repair import RepairReport
from otel_traj.store.retention import RetentionReport
from otel_traj.store.roster import Roll, Roster, State
from otel_traj.store.rules import Rules
from otel_traj.store.sealing import SealReport
from otel_traj.store.snapshot import Snapshot

__all__ = [
    "AbsenceReport",
    "AppendReport",
    "CompactionReport",
    "ErasureReport",
    "Problem",
    "PublishReport",
    "ReassemblyReport",
    "RedactionReport",
    "RepairReport",
    "RetentionReport",
    "SealReport",
    "TrajectoryStore",
    "open_store",
]

_log = logging.getLogger("otel_traj.store")
_T = TypeVar("_T")

_WAIT_S: Final = 10.0
"""How long a reader waits for another sealer before it reads what there is."""

_IMPORT_WAIT_S: Final = 60.0
_PART: Final = 20_000
"""Records of an import that one commit takes; bounds memory."""

_PAGE: Final = 50
"""Trajectories whose steps are fetched at once."""

_MIN_PREFIX: Final = 6

_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
"""A folder that one may only read is nothing to warn of."""


@dataclass(frozen=True, slots=True)
class AppendReport:
    """What `append` did: rows that are new, records that were known, trajectories derived.

    Attributes:
        spans, logs, annotations: New rows.
        duplicates: Records that were stored already, or came twice; they change nothing.
        conflicts: Those of them that are spans and told another thing than the one that came first.
        trajectories: How many were derived, again or for the first time.
    """

    spans: int = 0
    logs: int = 0
    annotations: int = 0
    duplicates: int = 0
    conflicts: int = 0
    trajectories: int = 0


def open_store(path: str | os.PathLike[str] | None = None) -> TrajectoryStore:
    """Open a store to read it, and to add to it.

    Args:
        path: Its folder; None is `OTEL_TRAJ_STORE`, else `./traces`.

    Raises:
        StoreNotFoundError: There is none; the message says how to record a first run.
        StoreVersionError: A newer otel-traj made it.
    """
    return TrajectoryStore(Path(path or os.environ.get("OTEL_TRAJ_STORE") or "traces"))


class TrajectoryStore:
    """One store. Safe to share between threads; every answer comes from one whole snapshot.

    Attributes:
        path: Its folder, absolute.
        seals: Whether what the log holds is sealed before it is read.
    """

    path: Path
    seals: bool

    def __init__(self, path: Path, *, seals: bool = True, setup: views.Setup | None = None) -> None:
        """Open an existing store; see `open_store`.

        Args:
            path: Its folder.
            seals: False where another process seals all the time: what it has not sealed yet is
                not seen, and no reader waits for it.
            setup: What its engine may use, and what it gets beside the public views.
        """
        self.path = path.absolute()
        self.seals = seals
        if not (self.path / "format.json").exists():
            raise StoreNotFoundError(
                f"There is no store at {str(path)!r}. Record a first run into it with"
                f" otel_traj.instrument({str(path)!r}), or: otel-traj ingest --store {path} FILE"
            )
        wal.check_format(self.path, "min_reader")
        self._mutex = threading.Lock()  # protects the engine
        self._setup = setup or views.Setup()
        self._engine: views.Engine | None = None
        self._engine_is_of: _Base | None = None
        self._nearby = Nearby(self.path)
        self._roster = Roster(self.path)

    @classmethod
    def create(cls, path: Path) -> TrajectoryStore:
        """Make a store where there is none, and open it.

        Raises:
            StoreNotWritableError: The folder cannot be created or written.
            StoreVersionError: A newer otel-traj made the one that is there.
        """
        wal.initialise(path)
        return cls(path)

    def __repr__(self) -> str:
        return f"TrajectoryStore({str(self.path)!r})"

    # --- SQL -----------------------------------------------------------------------------------

    def sql(
        self, query_text: str, parameters: Mapping[str, object] | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Ask one SELECT over the public views (`docs/schema.md`).

        Args:
            query_text: The SELECT; `$name` stands for a parameter.
            parameters: Their values.

        Returns:
            A DuckDB relation: `.fetchall()`, `.df()`, `.pl()`, `.to_arrow_table()`, `.show()`. It
            stays on the snapshot that was current when it was made, and computes when asked.

        Raises:
            QueryRefusedError: It is something else, or reads what is not public.
            QueryError: It does not parse or bind.
        """
        query.check(query_text)
        while True:
            cursor, base = self._cursor()
            try:
                return cursor.sql(query_text, params=dict(parameters or {}))
            except duckdb.IOException as error:
                if not self._is_overtaken(base.snapshot.n):
                    raise QueryError(str(error)) from error
            except duckdb.Error as error:
                raise QueryError(str(error)) from error

    def _is_overtaken(self, n: int) -> bool:
        """Whether a snapshot is not the newest any more; then its files may be erased."""
        return snapshot.newest(self.path).n != n

    def connection(self) -> duckdb.DuckDBPyConnection:
        """A cursor of one's own on the public views, for SQL that we ship.

        It is not checked what runs on it; settings are locked, variables are the cursor's.
        """
        return self._cursor()[0]

    def roster(self) -> contextlib.AbstractContextManager[Roll]:
        """The narrow rows of all trajectories, for SQL that we ship; see `otel_traj.store.roster`.

        Raises:
            StoreDamagedError: A file cannot be read, or somebody erased what was being read.
        """
        return self._roster.of_newest(self.state, self.connection)

    def state(self) -> State:
        """What answers come from now; what was recorded before counts."""
        with self._mutex:
            unsealed = self._catch_up()
        return State(snapshot.newest(self.path), rules.load(self.path), unsealed)

    def _cursor(self) -> tuple[duckdb.DuckDBPyConnection, _Base]:
        """A cursor, and what it reads."""
        with self._mutex:
            unsealed = self._catch_up()
            rules_of_store = rules.load(self.path)
            while True:
                current, tail = snapshot.newest(self.path), None
                base = self._engine_is_of
                if (
                    self._engine is not None
                    and base is not None
                    and base.is_of(current, rules_of_store, unsealed)
                ):
                    return self._engine.connection.cursor(), base
                if unsealed is not None:
                    current, tail = sealing.with_tail(self.path)
                try:
                    self._engine = views.connect(
                        self.path, current, rules_of_store, tail, self._setup
                    )
                except StoreDamagedError:
                    if not self._is_overtaken(current.n):
                        raise
                    continue
                base = _Base(current, rules_of_store, unsealed, self._engine.said)
                self._engine_is_of = base
                return self._engine.connection.cursor(), base

    def _catch_up(self) -> dict[str, int] | None:
        """Have everything sealed that the log holds now.

        Returns:
            None when it is; else, where this process cannot write, how long the segments are: what
            the snapshot lacks must be read into memory.
        """
        if not self.seals:
            return None
        lengths = sealing.lengths(self.path)
        current = snapshot.newest(self.path)
        if sealing.is_covered(self.path, lengths, current) and not current.open:
            return None
        try:
            deadline = time.monotonic() + _WAIT_S
            while sealing.seal(self.path).is_busy:
                if sealing.is_covered(self.path, lengths, snapshot.newest(self.path)):
                    break
                if time.monotonic() > deadline:
                    _log.warning("Another process is sealing; the newest runs are not seen yet")
                    break
                time.sleep(0.01)
            compaction.keep_up(self.path)
        except (OSError, StoreVersionError) as error:
            if getattr(error, "errno", None) not in _READ_ONLY:
                _log.warning(
                    "Cannot seal %s, reading its log instead: %s%s",
                    self.path,
                    error,
                    advice_on(error),
                )
            return lengths
        return None

    def _read(self, ask: Callable[[duckdb.DuckDBPyConnection, _Base], _T]) -> _T:
        """An answer from one snapshot; from the next one where somebody erased files of the first.

        Args:
            ask: Given a cursor, and what it reads.
        """
        while True:
            cursor, base = self._cursor()
            try:
                return ask(cursor, base)
            except StoreDamagedError:
                if not self._is_overtaken(base.snapshot.n):
                    raise

    # --- trajectories --------------------------------------------------------------------------

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """One trajectory with its steps and file changes.

        Args:
            trajectory_id: Its id, an alias, or the beginning of its id (6 characters or more) that
                no other id has.

        Raises:
            TrajectoryNotFoundError: None has it, or several begin with it; the message lists some.
        """

        def ask(cursor: duckdb.DuckDBPyConnection, base: _Base) -> Trajectory:
            found = self._by_id(base, trajectory_id)
            if found is not None:
                return found
            [whole] = self._whole(cursor, [self._header(cursor, trajectory_id)])
            return whole

        return self._read(ask)

    def _by_id(self, base: _Base, trajectory_id: str) -> Trajectory | None:
        """One trajectory by its whole id, from the files that hold it; None is to be looked for."""
        if base.unsealed is not None:
            return None
        with self._nearby.of(base.snapshot, base.rules, base.said, trajectory_id) as near:
            if near is None:
                return None
            headers = self._headers(
                near.connection,
                "trajectory_id = $id",
                {"id": trajectory_id},
                # Verdicts alone, which are no part of a `Trajectory`, take 8 ms to plan.
                source="live.judged" if near.is_annotated else "live.trajectories",
            )
            found = self._whole(near.connection, headers, has_changes=near.has_changes)
            return found[0] if found else None

    def _header(self, cursor: duckdb.DuckDBPyConnection, trajectory_id: str) -> _Header:
        """The trajectory without its parts; arguments and errors are those of `trajectory`."""
        named = {"id": trajectory_id}
        # One after the other: each alone is answered from few bytes.
        found = self._headers(cursor, "trajectory_id = $id", named) or self._headers(
            cursor,
            "trajectory_id in (select trajectory_id from trajectory_aliases where alias = $id)",
            named,
        )
        if not found and len(trajectory_id) >= _MIN_PREFIX:
            found = self._headers(
                cursor, "starts_with(trajectory_id, $id) order by 1 limit 4", named
            )
        if len(found) != 1:
            several = [header.trajectory.trajectory_id for header in found]
            raise TrajectoryNotFoundError(_not_found(cursor, trajectory_id, several))
        return found[0]

    def trajectories(
        self,
        *,
        agent: str | None = None,
        task: str | None = None,
        outcome: Outcome | None = None,
        status: RunStatus | None = None,
        limit: int | None = None,
    ) -> Iterator[Trajectory]:
        """Trajectories with steps and file changes, newest first, all of one snapshot.

        Args:
            agent: Name of the agent at the top.
            task: The task's text or id.
            outcome: As the view `trajectories` tells it.
            status: How the run ended.
            limit: At most so many.

        Raises:
            StoreDamagedError: A file cannot be read, or somebody erased what is being iterated
                over (`delete`, `redact`): begin again.
        """

        def ask(cursor: duckdb.DuckDBPyConnection, base: _Base) -> Iterator[list[Trajectory]]:
            lease = collection.Lease(self.path, base.snapshot.n)
            found = self._headers(
                cursor,
                "($agent is null or agent_name = $agent)"
                " and ($task is null or task = $task or task_id = $task)"
                " and ($outcome is null or outcome = $outcome)"
                " and ($status is null or status = $status)"
                " order by start_time desc, trajectory_id limit $limit",
                {
                    "agent": agent,
                    "task": task,
                    "outcome": outcome,
                    "status": status,
                    "limit": 2**62 if limit is None else limit,
                },
            )
            first = self._whole(cursor, found[:_PAGE])
            rest = (self._whole(cursor, page) for page in _in_parts(found[_PAGE:], _PAGE))
            return _under(lease, itertools.chain([first], rest))

        for page in self._read(ask):
            yield from page

    def _whole(
        self,
        cursor: duckdb.DuckDBPyConnection,
        headers: list[_Header],
        *,
        has_changes: bool = True,
    ) -> list[Trajectory]:
        """The same trajectories with their steps and file changes, if there may be any of these."""
        with views.reading_files(self.path):
            return list(_with_parts(cursor, headers, has_changes=has_changes))

    def _headers(
        self,
        cursor: duckdb.DuckDBPyConnection,
        condition: str,
        parameters: Mapping[str, object],
        *,
        source: str = "live.judged",
    ) -> list[_Header]:
        with views.reading_files(self.path):
            relation = cursor.sql(f"from {source} where {condition}", params=dict(parameters))
            return [
                _Header(rows.trajectory(row), row["date"])
                for row in relation.to_arrow_table().to_pylist()
            ]

    # --- adding --------------------------------------------------------------------------------

    def append(self, records: Iterable[Record]) -> AppendReport:
        """Add records, durably; what is stored already is left out, so twice is once.

        Their traces count as over at the end, unless a span of them is running.

        Raises:
            InputError: One of them is no record; those of earlier commits are stored.
        """
        wal.initialise(self.path)
        writer = f"import-{wal.ulid()}"
        report = SealReport(0)
        parts = _in_parts(records, _PART)
        part = next(parts, [])
        while part:
            following = next(parts, [])
            done = sealing.seal_records(
                self.path, part, writer=writer, is_last=not following, wait_s=_IMPORT_WAIT_S
            )
            report = report.and_then(done)
            part = following
            compaction.keep_up(self.path)
        return AppendReport(
            spans=report.spans,
            logs=report.logs,
            annotations=report.annotations,
            duplicates=report.duplicates,
            conflicts=report.conflicts,
            trajectories=len(report.trajectories),
        )

    def annotate(
        self,
        trajectory_id: str,
        name: str,
        value: object,
        *,
        kind: AnnotationKind | None = None,
        source: str = "explicit",
        annotator: str | None = None,
        step: int | None = None,
    ) -> str:
        """Say something of a trajectory, or of one of its steps, after the fact; durable on return.

        Nothing is overwritten: `annotations` keeps all that was ever said, `annotations_latest` the
        last word of each source and annotator on each thing. The last of all explicit outcomes, and
        of all rewards, is what `trajectories` shows.

        Args:
            trajectory_id: As for `trajectory`; the run may still go on.
            name: What it says: `outcome`, `reward`, `failure_rationale`, `error_category`,
                `fix_applied`, or a name of one's own.
            value: Number, text, or anything that JSON can hold.
            kind: What sort of statement it is. An `outcome` is success, failure, partial, error or
                unknown; a `reward` or `score` is a finite number. None for what name and value
                suggest: outcome, reward, else score for a number and label for anything else.
            source: Which rule, tool or test says so; `explicit` for somebody who knows.
            annotator: Person or program.
            step: Position of the step it is about, None for the trajectory.

        Credentials in it are replaced, or what `OTEL_TRAJ_REDACT` says.

        Returns:
            Id of the annotation.

        Raises:
            TrajectoryNotFoundError: There is no such trajectory.
            ConfigurationError: The value does not fit the kind, or there is no such step.
        """
        said = statements.check(name, value, kind)
        return self._annotate(
            trajectory_id,
            name,
            step,
            kind=cast(AnnotationKind, said.kind),
            value_num=said.number,
            value_text=said.text,
            value_json=None if said.other is None else values.dumps(said.other),
            source=source,
            annotator=annotator,
        )

    def retract(
        self,
        trajectory_id: str,
        name: str,
        *,
        source: str = "explicit",
        annotator: str | None = None,
        step: int | None = None,
    ) -> str:
        """Take back all that a source and annotator said under a name; what others said stands.

        What a run said of itself is `explicit` and by nobody: without `annotator` it goes as well.

        The arguments are those of `annotate`, and so is what is raised. What was said stays in
        `annotations`, followed by a row that is `deleted`.

        Returns:
            Id of the annotation that takes back.

        Raises:
            TrajectoryNotFoundError: There is no such trajectory.
            ConfigurationError: There is no such step, or nothing that could be taken back.
        """
        said = self.sql(
            "select kind from annotations_latest where trajectory_id = $id and name = $name"
            " and source = $source and annotator is not distinct from $annotator"
            " and (target = 'trajectory') = $is_whole",
            {
                "id": self.trajectory(trajectory_id).trajectory_id,
                "name": name,
                "source": source,
                "annotator": annotator,
                "is_whole": step is None,
            },
        ).fetchall()
        if not said:
            by = "" if annotator is None else f" by {annotator!r}"
            raise ConfigurationError(
                f"Nothing named {name!r} was said of {trajectory_id!r}{by} with source {source!r}"
            )
        return self._annotate(
            trajectory_id,
            name,
            step,
            kind=said[0][0],
            value_num=None,
            value_text=None,
            value_json=None,
            source=source,
            annotator=annotator,
            deleted=True,
        )

    def pin(self, trajectory_id: str) -> str:
        """Keep a trajectory whatever `retain` says; an annotation, so it is known since when.

        Pinned are those of which `annotations_latest` has a row named `traj.pin`.

        Args:
            trajectory_id: As for `trajectory`.

        Returns:
            Id of the annotation.

        Raises:
            TrajectoryNotFoundError: There is no such trajectory.
        """
        return self.annotate(trajectory_id, retention.PIN, "pinned", source=retention.PINNED_BY)

    def unpin(self, trajectory_id: str) -> str:
        """Let a pinned trajectory go when its time has come.

        Raises:
            TrajectoryNotFoundError: There is no such trajectory.
            ConfigurationError: It is not pinned.
        """
        return self.retract(trajectory_id, retention.PIN, source=retention.PINNED_BY)

    def _annotate(self, trajectory_id: str, name: str, step: int | None, **fields: Any) -> str:
        trajectory = self.trajectory(trajectory_id)
        about = None
        if step is not None:
            about = next((s for s in trajectory.steps if s.step == step), None)
            if about is None:
                raise ConfigurationError(
                    f"{trajectory.trajectory_id!r} has no step {step}; it has {trajectory.n_steps}"
                )
        annotation = Annotation(
            annotation_id=wal.ulid(),
            target="trajectory" if about is None else "step",
            trajectory_id=trajectory.trajectory_id,
            trace_id=None if about is None else about.trace_id,
            span_id=None if about is None else about.span_id,
            tool_call_id=None if about is None else about.tool_call_id,
            name=name,
            created=datetime.now(UTC),
            **fields,
        )
        wal.initialise(self.path)
        with closing(wal.WalWriter(self.path)) as writer:
            writer.append(wal.encode([_redacted(annotation)]))
        return annotation.annotation_id

    # --- upkeep --------------------------------------------------------------------------------

    def seal(self, *, final: bool = False) -> SealReport:
        """Bring what the log holds into tables now; readers do it by themselves.

        Args:
            final: Nothing more comes for traces without a running span.
        """
        report = sealing.seal(self.path, is_final=final, wait_s=_WAIT_S)
        compaction.keep_up(self.path)
        return report

    def compact(self, *, full: bool = False) -> CompactionReport:
        """Merge small files into large ones, and remove what no reader can be using any more.

        A store does so by itself while it grows. Others may record, seal and read meanwhile; a
        snapshot stays readable for an hour after it was replaced, and as long as somebody iterates
        over `trajectories`.

        Args:
            full: Merge all of it, not only what is due.

        Raises:
            StoreDamagedError: A live file cannot be read; nothing is changed.
        """
        sealing.seal(self.path, wait_s=_WAIT_S)
        report = compaction.compact(self.path, scope="all" if full else "due")
        publish.refresh(self.path)
        return report

    def migrate(self) -> CompactionReport:
        """Rewrite files of older versions with the columns of this one.

        Nothing needs it: older files are read for ever, with NULL for what they lack.

        Raises:
            StoreDamagedError: A live file cannot be read; nothing is changed.
        """
        sealing.seal(self.path, wait_s=_WAIT_S)
        report = compaction.compact(self.path, scope="older")
        publish.refresh(self.path)
        return report

    def reassemble(self, trajectory_ids: Iterable[str] | None = None) -> ReassemblyReport:
        """Derive trajectories again from the stored spans and logs, by the rules of this version.

        Ids stay where the same run comes out; annotations and given outcomes stay attached. Others
        may record and read meanwhile: they see the old rows until all new ones are there. Costs
        that were known stay.

        Args:
            trajectory_ids: As for `trajectory`; None for all.

        Raises:
            TrajectoryNotFoundError: There is no such trajectory.
            StoreError: Another process did not let the store go in time; nothing is changed.
        """
        self.seal()
        if trajectory_ids is not None:
            trajectory_ids = {self.trajectory(i).trajectory_id for i in trajectory_ids}
        return reassembly.reassemble(self.path, trajectory_ids, wait_s=_IMPORT_WAIT_S)

    def retain(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        max_bytes: int | None = None,
        outcome: Outcome | None = None,
        agent: str | None = None,
        dry_run: bool = False,
    ) -> RetentionReport:
        """Let trajectories go that are too old, too many or too large, with all that is theirs.

        Pinned ones stay, and those that a living process records. Without an outcome or agent,
        traces without a trajectory, and logs and annotations of nothing, go with the trajectories
        of their time. Without any argument the limits are those of `[[retain]]` in `rules.toml`.
        An annotation `traj.retention` says what was done. Files go when no reader can be using
        them any more; what must be gone at once is for `delete`.

        Args:
            older_than: What ended so long ago goes; zero means now.
            keep: All but so many, the newest, go.
            max_bytes: The oldest go until the store has no more than about so many bytes in its
                tables; with an outcome or agent, until these have.
            outcome: The limits are for trajectories of this outcome.
            agent: And of this agent at the top.
            dry_run: Only tell what would go.

        Raises:
            ConfigurationError: There is no limit, or a wrong one.
            StoreNotWritableError: The folder cannot be written.
            StoreError: Another process did not let the store go in time; nothing is changed.
        """
        given = (older_than, keep, max_bytes, outcome, agent)
        if all(criterion is None for criterion in given):
            limits = rules.load(self.path).retention
            if not limits:
                raise ConfigurationError(
                    "Give a limit, here or as [[retain]] in rules.toml: an age, a number of"
                    " trajectories to keep, or a number of bytes"
                )
        else:
            limits = (rules.RetentionRule(*given),)
        wal.initialise(self.path)
        report = retention.retain(self.path, limits, dry_run=dry_run, wait_s=_IMPORT_WAIT_S)
        if not dry_run:
            publish.refresh(self.path)
        return report

    def delete(
        self,
        trajectories: Iterable[str] = (),
        *,
        conversation: str | None = None,
        user: str | None = None,
        dry_run: bool = False,
    ) -> ErasureReport:
        """Erase trajectories, and every copy of them in the store's folder.

        Their rows, spans, logs and annotations go from all tables, from the log, from older
        snapshots and from what was kept aside as damaged (which goes whole: nobody can tell whose
        it is). Spans of a trace that other trajectories share stay with those. What a run that is
        still recorded tells later is stored again. `search` proves that nothing is left.

        Others may record meanwhile. Who reads an older snapshot gets an error.

        Args:
            trajectories: As for `trajectory`; pinned ones too.
            conversation: All trajectories of this conversation, and what else names it.
            user: All trajectories of this user, and what else names it.
            dry_run: Only tell what would go.

        Raises:
            ConfigurationError: Nothing is named.
            TrajectoryNotFoundError: In a dry run, there is no such trajectory. Else it is reported
                as unknown, and copies that an interrupted erasure left are removed.
            StoreNotWritableError: The folder cannot be written.
            StoreError: Another process did not let the store go in time; nothing is changed.
        """
        named: dict[erasure.Fact, str] = {}
        if conversation is not None:
            named["conversation_id"] = conversation
        if user is not None:
            named["user_id"] = user
        given = list(trajectories)
        if not (given or named) or "" in named.values():
            raise ConfigurationError("Name what to delete: trajectories, a conversation or a user")
        wal.initialise(self.path)
        cursor = self.connection()
        ids = [self._whole_id(cursor, i, must_exist=dry_run) for i in given]
        report = erasure.erase(self.path, ids, named=named, dry_run=dry_run, wait_s=_IMPORT_WAIT_S)
        if not dry_run:
            publish.refresh(self.path)
        return report

    def _whole_id(
        self, cursor: duckdb.DuckDBPyConnection, trajectory_id: str, *, must_exist: bool
    ) -> str:
        try:
            return self._header(cursor, trajectory_id).trajectory.trajectory_id
        except TrajectoryNotFoundError:
            if must_exist:
                raise
            return trajectory_id

    def redact(
        self, pattern: str | None = None, *, rules: Iterable[str] = (), dry_run: bool = False
    ) -> RedactionReport:
        """Replace what matches in all that is stored, and remove every copy of it.

        In spans, logs and annotations, and in what is derived from them; trajectories that tell of
        it are derived again. What a pattern matches becomes `[redacted:pattern]`. Nothing brings it
        back. Runs that are still recorded go on as they are: `instrument(redact=...)` is for these.

        Args:
            pattern: A regular expression in Python's syntax; it sees each text by itself, also
                those within JSON.
            rules: Built-in ones: `secrets`, `emails`, `cards`.
            dry_run: Only tell how much would change.

        Raises:
            ConfigurationError: Nothing is to be replaced, or the pattern is wrong.
            UnknownNameError: There is no such rule.
            StoreNotWritableError: The folder cannot be written.
            StoreError: Another process did not let the store go in time; nothing is changed.
        """
        patterns = {} if pattern is None else {"pattern": pattern}
        redaction = Redaction(tuple(rules), patterns)
        if not redaction or pattern == "":
            raise ConfigurationError("Say what to redact: a pattern, or built-in rules")
        wal.initialise(self.path)
        report = redacting.redact(self.path, redaction, dry_run=dry_run, wait_s=_IMPORT_WAIT_S)
        if not dry_run:
            publish.refresh(self.path)
        return report

    def search(self, *texts: str, patterns: Iterable[str] = ()) -> AbsenceReport:
        """Read every byte of the store's folder and tell where a text is; no findings: nowhere.

        Files are decoded first, also those that no snapshot names: Parquet, the log, snapshots, the
        published tables, what was kept aside. A text is found however it is escaped or encoded in
        them; a file that cannot be decoded counts as a finding.

        Args:
            texts: Looked for exactly as they are.
            patterns: Regular expressions in Python's syntax.

        Raises:
            ConfigurationError: There is nothing to look for, or a pattern is wrong.
        """
        return absence.search(self.path, texts, patterns)

    def publish(self) -> PublishReport:
        """Make Delta tables of the stored files, or bring them up to date; see `docs/engines.md`.

        Nothing is copied, but files of derived tables with revisions that a newer one replaced are
        rewritten without them, because readers of Delta would count those. From then on `compact`,
        `migrate`, `retain`, `delete` and `redact` bring the tables up to date, and `publish` does
        after new runs.

        Raises:
            MissingExtraError: The package deltalake is not installed.
            StoreError: Somebody else is rewriting the store, or wrote to the tables.
        """
        self.seal()
        return publish.publish(self.path)

    def verify(
        self,
        *,
        sample: int | None = check.SAMPLE,
        on_progress: check.Progress = check.silently,
    ) -> list[Problem]:
        """Check the store from its files up; reads everything, changes nothing.

        Args:
            sample: How many trajectories to derive again, to compare with what is stored; None for
                all.
            on_progress: Called with what is being done, how much of it is done, and how much there
                is to do.

        Returns:
            Errors (something is lost or contradicts itself) and notes (what killed processes left
            behind, which is no damage); empty when there is nothing to say.
        """
        return check.verify(self.path, sample=sample, on_progress=on_progress)

    def repair(self, *, on_progress: check.Progress = check.silently) -> RepairReport:
        """Set damaged files aside, so that all else can be read again; nothing is deleted.

        Derived rows are derived again from their spans. What cannot come again is lost: `verify`
        names it before, and trajectories that lack spans or logs from then on are annotated with
        `traj.damage`. A damaged snapshot is restored from the files that are there.

        Args:
            on_progress: As for `verify`.

        Raises:
            StoreError: Another process did not let the store go in time; nothing is changed.
        """
        report = repair.repair(self.path, on_progress=on_progress, wait_s=_IMPORT_WAIT_S)
        publish.refresh(self.path)
        return report


def _redacted(said: Annotation) -> Annotation:
    """What is said, as the environment wants it redacted; what it is about is stored already."""
    redacted = choose().record(said)
    return replace(redacted, trajectory_id=said.trajectory_id, tool_call_id=said.tool_call_id)


def _in_parts(members: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(members)
    while part := list(itertools.islice(iterator, size)):
        yield part


def _under(lease: collection.Lease, pages: Iterable[_T]) -> Iterator[_T]:
    """The same pages; the lease ends with the last, or when nobody asks for more."""
    with lease:
        yield from pages


@dataclass(frozen=True, slots=True)
class _Base:
    """What answers come from.

    Attributes:
        snapshot: The newest when the engine was made.
        rules: The store's.
        unsealed: How long the log's segments were, whose rest is in memory; None is sealed.
        said: What sorts of annotations there may be.
    """

    snapshot: Snapshot
    rules: Rules
    unsealed: Mapping[str, int] | None
    said: views.Said

    def is_of(self, current: Snapshot, rules: Rules, unsealed: Mapping[str, int] | None) -> bool:
        """Whether nothing has changed."""
        return (self.snapshot.n, self.rules, self.unsealed) == (current.n, rules, unsealed)


class _Header(NamedTuple):
    """A trajectory without its parts, and the partition that all of its rows are in."""

    trajectory: Trajectory
    date: str


def _with_parts(
    cursor: duckdb.DuckDBPyConnection, headers: Sequence[_Header], *, has_changes: bool
) -> Iterator[Trajectory]:
    steps = _parts(cursor, "from live.rewarded", "step", headers)
    changed = headers if has_changes else ()
    changes = _parts(cursor, "from live.file_changes", "step, path", changed)
    for trajectory, _ in headers:
        trajectory_id = trajectory.trajectory_id
        yield replace(
            trajectory,
            steps=tuple(map(rows.step, steps.get(trajectory_id, ()))),
            file_changes=tuple(map(rows.file_change, changes.get(trajectory_id, ()))),
        )


def _parts(
    cursor: duckdb.DuckDBPyConnection, source: str, order: str, headers: Sequence[_Header]
) -> dict[str, list[dict[str, Any]]]:
    if not headers:
        return {}
    relation = cursor.sql(
        # The day is told in words: a file of another one is not opened then.
        f'{source} where "date" in ({", ".join(sorted({repr(h.date) for h in headers}))})'
        f" and trajectory_id in (select unnest($ids)) order by trajectory_id, {order}",
        params={"ids": [header.trajectory.trajectory_id for header in headers]},
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in relation.to_arrow_table().to_pylist():
        found.setdefault(row["trajectory_id"], []).append(row)
    return found


def _not_found(
    cursor: duckdb.DuckDBPyConnection, trajectory_id: str, several: Sequence[str]
) -> str:
    if several:
        return f"Several trajectories begin with {trajectory_id!r}: {', '.join(several)}"
    near = cursor.execute(
        "select trajectory_id from trajectories"
        " order by jaro_winkler_similarity(trajectory_id, $1) desc, start_time desc limit 3",
        [trajectory_id],
    ).fetchall()
    hint = f" Nearest: {', '.join(repr(row[0]) for row in near)}." if near else " There is none."
    short = f" A beginning needs {_MIN_PREFIX} characters." if len(trajectory_id) < 6 else ""
    return f"No trajectory {trajectory_id!r}.{short}{hint}"
