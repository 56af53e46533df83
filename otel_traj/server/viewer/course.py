"""What a run did, as far as it is asked for: it may have more steps than one can wait for.

Most runs are read whole, once: who looks at one asks for it again and again. Of a long one a little
is kept of every step, and whole steps are read where they are looked at.
"""
# ruff: noqa: S608 - what is put into this SQL are our own texts and numbers

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

import duckdb
import pyarrow as pa

from otel_traj.model import FileChange, Step, StepKind, StepStatus, Trajectory
from otel_traj.server.viewer.listing import finite
from otel_traj.server.viewer.reading import Reader, TooSlowError
from otel_traj.store import rows as stored_rows
from otel_traj_exporters import redacting

_T = TypeVar("_T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)

WHOLE: Final = 2_000
"""Steps of a run that is read whole, in a fifth of a second."""


class Outline(NamedTuple):
    """What is known of each step, as `Step` has it; times are microseconds of the run."""

    step: int
    turn: int | None
    kind: StepKind
    status: StepStatus
    agent_run: int | None
    agent_path: str | None
    agent_name: str | None
    parent_step: int | None
    start_us: int
    end_us: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    reward: float | None
    cumulative_reward: float | None


class Changes(NamedTuple):
    """How many files a step changed, and how many lines; None is unknown."""

    n: int
    added: int | None
    removed: int | None


class Course(ABC):
    """The steps and file changes of one run, redacted. Safe to share between threads.

    Attributes:
        run: The run; its own steps may be left out.
        outline: A little of every step, in order.
        changes: Step -> what it changed; those that changed nothing are left out.
    """

    run: Trajectory
    outline: Sequence[Outline]
    changes: Mapping[int, Changes]

    @abstractmethod
    def steps(self, numbers: Iterable[int]) -> list[Step]:
        """Whole steps, by numbers that the outline has; in order."""

    @abstractmethod
    def of_span(self, trace_id: str, span_id: str) -> list[Step]:
        """The steps that a span owns."""

    @abstractmethod
    def file_changes(self, step: int | None = None) -> list[FileChange]:
        """What was changed, in all or in one step, in order of steps and paths."""

    @abstractmethod
    def ran(self, steps: Sequence[Step]) -> Mapping[str | None, int]:
        """Id of a call that these steps asked for -> the step that it became."""

    @cached_property
    def rewards(self) -> Sequence[float | None]:
        """What the run had got after each step: as recorded, else the sum so far."""
        return list(_cumulative(self.outline))

    @cached_property
    def turns_of_users(self) -> frozenset[tuple[int | None, int | None]]:
        """Agent runs and turns in which a step of its own says what the user said."""
        return frozenset((o.agent_run, o.turn) for o in self.outline if o.kind == "user")


def _cumulative(steps: Iterable[Outline]) -> Iterator[float | None]:
    total: float | None = None
    for step in steps:
        if step.reward is not None:
            total = step.reward + (total or 0.0)
        if step.cumulative_reward is not None:
            total = step.cumulative_reward
        yield finite(total)


def read(reader: Reader, trajectory_id: str, ask: Callable[[Course], _T]) -> _T:
    """What is asked of one run.

    Args:
        reader: Reads and redacts it.
        trajectory_id: As `Reader.trajectory` takes it.
        ask: Is given the run; called again where that was derived anew meanwhile.

    Raises:
        TrajectoryNotFoundError: There is no such trajectory.
        TooSlowError: It changed each time before it was read.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(_MovedError):
            return ask(_kept(reader, trajectory_id))
    raise TooSlowError("This run changes faster than it can be read: try again")


_TRIES: Final = 5


def _kept(reader: Reader, trajectory_id: str) -> Course:
    run = reader.header(trajectory_id)
    return reader.kept(("course", run.trajectory_id), lambda: _course(reader, run))


def _course(reader: Reader, run: Trajectory) -> Course:
    if run.n_steps <= WHOLE:
        return _Whole(reader.trajectory(run.trajectory_id))
    return _Long(reader, run)


class _Whole(Course):
    def __init__(self, run: Trajectory) -> None:
        self.run = run
        self.outline = [_outline(step, run.start_time) for step in run.steps]
        by_step: dict[int, list[FileChange]] = {}
        for change in run.file_changes:
            by_step.setdefault(change.step, []).append(change)
        self.changes = {
            step: Changes(
                len(changes),
                total(change.added for change in changes),
                total(change.removed for change in changes),
            )
            for step, changes in by_step.items()
        }

    def steps(self, numbers: Iterable[int]) -> list[Step]:
        return [self.run.steps[number] for number in sorted(numbers)]

    def of_span(self, trace_id: str, span_id: str) -> list[Step]:
        own = (trace_id, span_id)
        return [step for step in self.run.steps if (step.trace_id, step.span_id) == own]

    def file_changes(self, step: int | None = None) -> list[FileChange]:
        return [change for change in self.run.file_changes if step in (None, change.step)]

    def ran(self, steps: Sequence[Step]) -> Mapping[str | None, int]:
        return self._ran

    @cached_property
    def _ran(self) -> Mapping[str | None, int]:
        return {step.tool_call_id: step.step for step in self.run.steps if step.kind != "llm"}


def _outline(step: Step, begin: datetime) -> Outline:
    return Outline(
        step.step,
        step.turn,
        step.kind,
        step.status,
        step.agent_run,
        step.agent_path,
        step.agent_name,
        step.parent_step,
        (step.start_time - begin) // _US,
        None if step.end_time is None else (step.end_time - begin) // _US,
        step.input_tokens,
        step.output_tokens,
        step.cost_usd,
        step.reward,
        step.cumulative_reward,
    )


def total(numbers: Iterable[Any]) -> Any:
    """The sum of those that are known; None where none is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


_NAMES: Final = ("agent_path", "agent_name")

_OUTLINE: Final = """\
step, turn, kind, status, agent_run, agent_path, agent_name, parent_step,
    epoch_us(start_time) - $begin as start_us, epoch_us(end_time) - $begin as end_us,
    input_tokens, output_tokens, cost_usd, reward, cumulative_reward"""


class _Long(Course):
    def __init__(self, reader: Reader, run: Trajectory) -> None:
        self.run = run
        self._reader = reader
        day, outline, changes = reader.read(self._begun)
        # In words: files of other days are not opened then.
        self._own = f"\"date\" = '{day}' and trajectory_id = $id"
        self.outline = outline
        self.changes = changes

    def _begun(
        self, cursor: duckdb.DuckDBPyConnection
    ) -> tuple[str, list[Outline], dict[int, Changes]]:
        own = {"id": self.run.trajectory_id}
        days = cursor.execute(
            'select "date" from live.trajectories where trajectory_id = $id', own
        ).fetchall()
        told = cursor.sql(
            f"select {_OUTLINE} from live.rewarded where trajectory_id = $id order by step",
            params={**own, "begin": (self.run.start_time - _EPOCH) // _US},
        ).to_arrow_table()
        changed = cursor.execute(
            "select step, count(*), sum(added)::bigint, sum(removed)::bigint"
            " from live.file_changes where trajectory_id = $id group by step",
            own,
        ).fetchall()
        cells = [
            self._named(name, told[name]) if name in _NAMES else told[name].to_pylist()
            for name in Outline._fields
        ]
        outline = [Outline(*step) for step in zip(*cells, strict=True)]
        return str(days[0][0] if days else ""), outline, {step: Changes(*n) for step, *n in changed}

    def _named(self, column: str, stored: pa.ChunkedArray) -> list[str | None]:
        """Names that many steps share, redacted once."""
        shown = {name: self._reader.shown(column, name) for name in stored.unique().to_pylist()}
        return [shown[name] for name in stored.to_pylist()]

    def steps(self, numbers: Iterable[int]) -> list[Step]:
        wanted = sorted(numbers)
        if not wanted:
            return []
        found = self._steps(_among(wanted))
        if len(found) != len(wanted):
            raise _MovedError
        return found

    def of_span(self, trace_id: str, span_id: str) -> list[Step]:
        own = {"trace": trace_id, "span": span_id}
        return self._steps("trace_id = $trace and span_id = $span", own)

    def file_changes(self, step: int | None = None) -> list[FileChange]:
        where = "true" if step is None else f"step = {step:d}"
        return [
            redacting.file_change(self._reader.redaction, stored_rows.file_change(row))
            for row in self._rows("live.file_changes", where, {}, "step, path")
        ]

    def ran(self, steps: Sequence[Step]) -> Mapping[str | None, int]:
        asking = [step.step for step in steps if step.tool_calls]
        if not asking:
            return {}
        # As stored: what is shown of an id may say less.
        told = self._rows("live.rewarded", _among(asking), {}, "step", "tool_calls")
        ids = [call.get("id") for row in told for call in requests(row["tool_calls"])]
        found = self._rows(
            "live.rewarded",
            "kind <> 'llm' and tool_call_id in (select unnest($ids))",
            {"ids": [call_id for call_id in ids if isinstance(call_id, str)]},
            "step",
            "tool_call_id, step",
        )
        return {
            self._reader.shown("tool_call_id", row["tool_call_id"]): row["step"] for row in found
        }

    def _steps(self, where: str, given: Mapping[str, object] | None = None) -> list[Step]:
        return [
            redacting.step(self._reader.redaction, stored_rows.step(row))
            for row in self._rows("live.rewarded", where, given or {}, "step")
        ]

    def _rows(
        self,
        source: str,
        where: str,
        given: Mapping[str, object],
        order: str,
        columns: str = "*",
    ) -> list[dict[str, Any]]:
        sql = f"select {columns} from {source} where {self._own} and {where} order by {order}"
        own = {"id": self.run.trajectory_id, **given}

        def ask(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = cursor.sql(sql, params=own).to_arrow_table().to_pylist()
            return rows

        return self._reader.read(ask)


def _among(numbers: Iterable[int]) -> str:
    """In SQL: one of these steps, of which there is one."""
    return f"step in ({', '.join(map(str, numbers))})"


def requests(tool_calls: str | None) -> list[dict[str, Any]]:
    """What a model asked for, as a step has it."""
    try:
        told = json.loads(tool_calls or "[]")
    except (ValueError, RecursionError):
        return []
    return [call for call in told if isinstance(call, dict)] if isinstance(told, list) else []


class _MovedError(Exception):
    """The run has other steps than when it was begun to be read."""
