"""The replay buffer of an agent: finished trajectories in, equal objects out, kept in a store.

    buffer = get_replay_buffer()

    with record_trajectory("support", "refund order 42") as recorded:
        recorded.add_step("lookup", {"order": 42}, {"paid": True}, "Was it paid?")
        recorded.set_outcome("success")
        recorded.set_reward(1.0)

    buffer.get_trajectory(recorded.trajectory_id)

Two ways lead in. `store_trajectory` takes a whole `Trajectory` and is durable on return.
`record_trajectory` and `capture_tool_call` record spans as the run goes, like every verb of
`otel_traj`, so that model calls and tools that instrumentors see become steps of the same run.
Importing and recording needs no database; reading does.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from otel_traj import wal
from otel_traj.capture import tool
from otel_traj.capture.values import as_text
from otel_traj.compat import queries, runs
from otel_traj.compat.queries import ATTEMPTS, Priority
from otel_traj.compat.stored_trajectories import (
    read_trajectories,
    read_trajectory,
    records_of,
    trace_of,
)
from otel_traj.compat.trajectories import (
    ActionStep,
    OutcomeTag,
    Trajectory,
    check_text,
    checked_outcome,
    checked_reward,
)
from otel_traj.errors import StoreError, StoreNotWritableError
from otel_traj.redaction import Redaction, choose

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

__all__ = [
    "ActionStep",
    "OutcomeTag",
    "RecordedAgent",
    "ReplayBuffer",
    "Trajectory",
    "TrajectoryRecorder",
    "capture_tool_call",
    "get_replay_buffer",
    "record_trajectory",
]

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("otel_traj.compat")


# --- the buffer --------------------------------------------------------------------------------


class ReplayBuffer:
    """Trajectories of any number of processes in one store; safe to share between threads.

    A store that cannot be written (its disk is full, its mount is gone) loses nothing: what is
    stored meanwhile waits in a folder of this machine, which a warning names and `spooled` counts,
    and is brought home by the next write that succeeds, or by the next buffer of this store.
    """

    def __init__(
        self,
        store: Path | str | None = None,
        *,
        spool: Path | str | None = None,
        redact: Redaction | bool | None = None,
    ) -> None:
        """Open a store, or make one.

        Args:
            store: Its folder; None for that of the recording that is on, else `OTEL_TRAJ_STORE`,
                else `./traces`.
            spool: Where to keep what cannot be written; None for a folder of this user.
            redact: As for `otel_traj.instrument`.

        Raises:
            StoreNotWritableError: Nothing can be written there.
            StoreVersionError: A newer otel-traj made it.
        """
        self.path: Final = runs.store_folder(store)
        wal.initialise(self.path)
        self._redaction: Final = choose(redact)
        self._lock = threading.Lock()  # protects what stands below
        self._writer = wal.WalWriter(self.path)
        self._spool: Final = Path(spool).absolute() if spool else _spool_folder(self.path)
        self._spool_writer = wal.WalWriter(self._spool)
        self._n_spooled = 0
        self._traces: dict[str, str] = {}  # trajectory id -> trace of its present content
        with self._lock, suppress(OSError):
            self._bring_home()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store; everything stored is durable already."""
        with self._lock, suppress(OSError):
            self._bring_home()
        self._writer.close()
        self._spool_writer.close()

    @property
    def spooled(self) -> int:
        """How many trajectories wait for the store to be writable again."""
        return self._n_spooled

    def store_trajectory(self, trajectory: Trajectory) -> str:
        """Keep a trajectory, durably.

        The same content under the same id is kept once. New content under a known id takes the
        place of the old one, which stays in the raw spans; an outcome or reward that somebody
        annotated stands until then.

        Returns:
            Its id.

        Raises:
            StoreNotWritableError: Neither the store nor the spool can be written.
        """
        trajectory_id = trajectory.trajectory_id
        with self._lock:
            trace_id = self._traces.get(trajectory_id)
        if trace_id is not None and self._is_present(trajectory):
            return trajectory_id
        trace_id = trace_id or trace_of(trajectory_id)
        records = records_of(
            trajectory, trace_id, stored_ns=time.time_ns(), redaction=self._redaction
        )
        with self._lock:
            self._append(wal.encode(records))
            self._traces[trajectory_id] = trace_id
        return trajectory_id

    def get_trajectory(self, trajectory_id: str) -> Trajectory | None:
        """The trajectory of exactly this id as it is now; None if there is none.

        One that was stored comes back equal, but for what was judged anew since. Of a run that was
        recorded, the steps are its tool calls; an outcome that nobody judged is `unknown` and an
        unknown reward 0.0, as this class has no word for "not told".
        """
        found = read_trajectory(runs.opened(self.path), trajectory_id)
        if found is None:
            return None
        with self._lock:
            self._traces[trajectory_id] = found.trace_id
        return found.trajectory

    def get_statistics(self) -> dict[str, Any]:
        """What the buffer holds; replays and forks of a run are not counted again.

        Returns:
            `total_trajectories`; `by_outcome`, how many are `success`, `failure`, `partial` and
            `unknown` (nobody judged them, or something else broke them); `by_agent`, for each
            `total`, `successes`, `success_rate` (of those judged) and `avg_reward`; `avg_reward` of
            those that have one; `avg_duration_seconds` of those that ended; `task_types`, how many
            per task; `storage_backend`. None is unknown.
        """
        store = runs.opened(self.path)
        [totals] = runs.rows(store, _STATISTICS)
        return {
            "total_trajectories": totals["total"],
            "by_outcome": {tag.value: totals[tag.value] for tag in OutcomeTag},
            "by_agent": {row.pop("agent"): row for row in runs.rows(store, _BY_AGENT)},
            "avg_reward": totals["avg_reward"],
            "avg_duration_seconds": totals["avg_duration_seconds"],
            "task_types": {row["task"]: row["n"] for row in runs.rows(store, _BY_TASK)},
            "storage_backend": "otel-traj",
        }

    def sample_trajectories(
        self,
        n: int,
        outcome: OutcomeTag | str | None = None,
        *,
        seed: int | None = None,
        stratify: bool = False,
        priority: Priority = "uniform",
    ) -> list[Trajectory]:
        """Some trajectories at random, over all history, each at most once.

        Runs that go on, forks, replays and runs of sub-agents are not drawn.

        Args:
            n: How many, from 1; as many as there are where that is fewer.
            outcome: Only these.
            seed: The same seed draws the same from the same store; None draws anew each time.
            stratify: As many of each task and outcome as of any other, while there are.
            priority: `uniform`; or `advantage`, in proportion to `(|reward - mean reward of its
                task| + 0.01) ** 0.6`, where a run without reward counts as average.

        Raises:
            ValueError: `n` is less than 1, or a word is none of those.
        """
        return self._read(
            lambda store: queries.sampled(
                store, n, outcome, seed=seed, is_stratified=stratify, priority=priority
            )
        )

    def get_successful_trajectories(self, task_type: str, top_n: int = 10) -> list[Trajectory]:
        """Successes with a text in their task, whatever its case: the highest reward first.

        Those of equal reward come newest first.

        Raises:
            ValueError: `task_type` is blank or `top_n` less than 1.
        """
        return self._read(
            lambda store: queries.of_task(store, task_type, top_n, OutcomeTag.SUCCESS)
        )

    def get_failed_trajectories(self, task_type: str, top_n: int = 10) -> list[Trajectory]:
        """Failures with a text in their task, whatever its case: the newest first.

        Raises:
            ValueError: `task_type` is blank or `top_n` less than 1.
        """
        return self._read(
            lambda store: queries.of_task(store, task_type, top_n, OutcomeTag.FAILURE)
        )

    def query_by_agent(self, agent_id: str, limit: int = 100) -> list[dict[str, Any]]:
        """Trajectories of exactly this agent, newest first, as dicts of their fields.

        Raises:
            ValueError: `limit` is less than 1.
        """
        return self._read_dicts(lambda store: queries.of_agent(store, agent_id, None, limit))

    def query_by_outcome(
        self, outcome: OutcomeTag | str, agent_filter: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Trajectories of an outcome, and of an agent, newest first, as dicts of their fields.

        Raises:
            ValueError: There is no such outcome, or `limit` is less than 1.
        """
        return self._read_dicts(lambda store: queries.of_agent(store, agent_filter, outcome, limit))

    def sample(self, limit: int = 100) -> list[dict[str, Any]]:
        """As `sample_trajectories`, as dicts of their fields.

        Raises:
            ValueError: `limit` is less than 1.
        """
        return [_as_dict(drawn) for drawn in self.sample_trajectories(limit)]

    def _read_dicts(self, ids: Callable[[TrajectoryStore], list[str]]) -> list[dict[str, Any]]:
        return [_as_dict(found) for found in self._read(ids)]

    def _read(self, ids: Callable[[TrajectoryStore], list[str]]) -> list[Trajectory]:
        store = runs.opened(self.path)
        return [found.trajectory for found in read_trajectories(store, ids(store))]

    def prune_old_trajectories(self, days_old: float = 30) -> int:
        """Let trajectories go that ended so long ago; pinned and running ones stay.

        Args:
            days_old: Age in days; 0 means now.

        Returns:
            How many went.

        Raises:
            ConfigurationError: The age is negative.
            StoreError: Another process did not let the store go in time; nothing is changed.
        """
        age = timedelta(days=days_old)
        return len(runs.opened(self.path).retain(older_than=age).expired)

    def _is_present(self, trajectory: Trajectory) -> bool:
        """Whether this is what the store tells of the id now; no where it cannot be read."""
        with suppress(StoreError, OSError):
            return self.get_trajectory(trajectory.trajectory_id) == trajectory
        return False

    # --- writing, with `_lock` held ------------------------------------------------------------

    def _append(self, body: bytes) -> None:
        try:
            self._check_is_there()
            if self._n_spooled:
                self._bring_home()
            self._writer.append(body)
        except OSError as error:
            self._append_to_spool(body, error)

    def _check_is_there(self) -> None:
        """A file that is open outlives the removal of its folder, and takes writes to nowhere."""
        (self.path / "format.json").stat()

    def _append_to_spool(self, body: bytes, error: OSError) -> None:
        try:
            (self._spool / "_wal").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._spool_writer.append(body)
        except OSError as second:
            raise StoreNotWritableError(
                f"Cannot write the store {str(self.path)!r} ({error.strerror or error}) nor the"
                f" spool {str(self._spool)!r} ({second.strerror or second}). Nothing was stored"
            ) from error
        if not self._n_spooled:
            _log.warning(
                "Cannot write the store %r (%s). Trajectories are kept in %r until it can be"
                " written again",
                str(self.path),
                error.strerror or error,
                str(self._spool),
            )
        self._n_spooled += 1

    def _bring_home(self) -> None:
        """Append what waits in the spool to the store; twice is once, so a crash loses nothing."""
        self._spool_writer.close()
        # Segments that are held belong to processes that spool as well.
        waiting = [path for path in wal.segments(self._spool) if wal.is_abandoned(path)]
        for segment in waiting:
            for frame in wal.frames(segment):
                if isinstance(frame, wal.Frame):
                    self._writer.append(frame.body, frame.kind)
            segment.unlink(missing_ok=True)
        if waiting:
            _log.warning("What waited in %r is in the store now", str(self._spool))
        self._n_spooled = 0


_STATISTICS: Final = f"""{ATTEMPTS}
select count(*) as total,
    count(*) filter (verdict = 'success') as success,
    count(*) filter (verdict = 'failure') as failure,
    count(*) filter (verdict = 'partial') as partial,
    count(*) filter (verdict = 'unknown') as unknown,
    avg(reward) as avg_reward, avg(duration_s) as avg_duration_seconds
from attempts"""  # noqa: S608 - SQL of ours

_BY_AGENT: Final = f"""{ATTEMPTS}
select coalesce(agent_name, '') as agent, count(*) as total,
    count(*) filter (verdict = 'success') as successes,
    count(*) filter (verdict = 'success') / nullif(count(*) filter (verdict <> 'unknown'), 0)
        as success_rate,
    avg(reward) as avg_reward
from attempts group by agent_name order by total desc, agent"""  # noqa: S608 - SQL of ours

_BY_TASK: Final = f"""{ATTEMPTS}
select task, count(*) as n from attempts where task is not null
group by task order by n desc, task"""  # noqa: S608 - SQL of ours


def _as_dict(trajectory: Trajectory) -> dict[str, Any]:
    """Its fields, and those of its steps, by name; values are those of the object."""
    told = dict(vars(trajectory))
    told["steps"] = [dict(vars(step)) for step in trajectory.steps]
    return told


def _spool_folder(store: Path) -> Path:
    """A folder of this user and store, on this machine."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    digest = hashlib.sha256(os.fsencode(store)).hexdigest()[:16]
    return Path(state) / "otel-traj" / "spool" / digest


_singleton_lock = threading.Lock()  # protects `_buffer`
_buffer: ReplayBuffer | None = None


def get_replay_buffer(store: Path | str | None = None) -> ReplayBuffer:
    """The one buffer of this process; made by the first call, whichever thread makes it.

    Args:
        store: As for `ReplayBuffer`; later calls give the same one or none.

    Raises:
        ValueError: The buffer is open on another store.
    """
    global _buffer
    with _singleton_lock:
        if _buffer is None:
            _buffer = _SharedBuffer(store)
        elif store is not None and Path(store).absolute() != _buffer.path:
            raise ValueError(
                f"The replay buffer is open on {str(_buffer.path)!r}, not {str(store)!r}; close it"
                " first"
            )
        return _buffer


class _SharedBuffer(ReplayBuffer):
    """The buffer of `get_replay_buffer`; when it is closed, the next call makes a new one."""

    def close(self) -> None:
        global _buffer
        with _singleton_lock:
            if _buffer is self:
                _buffer = None
        super().close()


# --- recording ---------------------------------------------------------------------------------

_FLUSH_S: Final = 2.0
"""How long the end of a run may wait for the disk; what is not written then is written later."""


def _ensure_recording() -> None:
    """Record into the store of the process's buffer, unless `instrument` said where."""
    with _singleton_lock:
        folder = None if _buffer is None else _buffer.path
    runs.ensure_recording(folder)


class TrajectoryRecorder:
    """A run while it goes on; see `record_trajectory`."""

    def __init__(self, agent_id: str, task: str, trajectory_id: str | None) -> None:
        """Note what the run is; it begins with the block."""
        check_text("agent_id", agent_id)
        check_text("task_description", task)
        self._run = _RecordedRun(task, agent=agent_id, trajectory_id=trajectory_id)

    @property
    def trajectory_id(self) -> str:
        """The run's id; known from the beginning of the block on."""
        return self._run.id

    def __enter__(self) -> Self:
        _ensure_recording()
        self._run.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run.__exit__(kind, error, traceback)
        if present := runs.recording():
            present.flush(_FLUSH_S)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def add_step(
        self,
        tool_name: str,
        tool_args: Any = None,
        tool_result: Any = None,
        agent_reasoning: str | None = None,
        *,
        timestamp: datetime | None = None,
    ) -> None:
        """Tell a tool call that is over, which ran at `timestamp` (None for now)."""
        self._run.step(
            tool_name,
            arguments=tool_args,
            result=tool_result,
            reasoning=agent_reasoning,
            started=timestamp,
            ended=timestamp,
        )

    def set_outcome(
        self,
        outcome: OutcomeTag | str,
        *,
        failure_rationale: str | None = None,
        error_category: str | None = None,
        fix_applied: str | None = None,
    ) -> None:
        """Say how good the run was; the last word counts.

        Raises:
            ValueError: There is no such outcome.
        """
        self._run.outcome(
            checked_outcome(outcome).value,
            rationale=failure_rationale,
            error_category=error_category,
            fix_applied=fix_applied,
        )

    def set_reward(self, reward: float) -> None:
        """Say what the run was worth.

        Raises:
            ValueError: It is not in [0, 1].
        """
        self._run.reward(checked_reward(reward))

    def set_initial_state(self, state: Any) -> None:
        """Tell what the run began with."""
        self._run.initial_state(state)


class _RecordedRun(runs.FailingRun):
    failure_reward = 0.0


def record_trajectory(
    agent_id: str, task: str, *, trajectory_id: str | None = None
) -> TrajectoryRecorder:
    """A block (`with` or `async with`) that is a run; on disk when it is left, however it is.

    An exception makes it a failure with reward 0 and goes on unchanged. Without a word the outcome
    is `unknown` and the reward not told. It is recorded where `otel_traj.instrument` says; if that
    was not called, into the default store.

    Args:
        agent_id: Who acts.
        task: What was asked.
        trajectory_id: An id of your own, new for each run.

    Raises:
        ValueError: `agent_id` or `task` is blank.
    """
    return TrajectoryRecorder(agent_id, task, trajectory_id)


def capture_tool_call(name: str, *, max_bytes: int | None = None) -> Callable[[F], F]:
    """Record each call of a function as a step of the run around it, as `otel_traj.tool` does.

    Args:
        name: What the model calls the tool.
        max_bytes: Keep so much of the arguments and of the result, with a mark where they were cut,
            their length and their hash; None keeps them whole.
    """
    return tool(name=name, max_bytes=max_bytes)


class RecordedAgent:
    """An agent of somebody else's whose runs are recorded; for agents without instrumentation.

    Agents of Microsoft Agent Framework and of others that trace themselves need none: their spans
    become trajectories by themselves. Everything but `run` is the agent's own.
    """

    def __init__(self, agent: Any, agent_id: str | None = None) -> None:
        """Wrap an agent that has a method `run(task, ...)`, plain or async.

        Args:
            agent: The agent.
            agent_id: Its name; None for its attribute `name`, else that of its class.
        """
        self._agent = agent
        self._agent_id = agent_id or getattr(agent, "name", None) or type(agent).__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def run(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        """What the agent's `run` gives, recorded.

        A run that ends by itself is a success by the word of `agent-wrapper`, which any judgement
        of somebody else's replaces; a cancelled one is partial, one that raises a failure.
        """
        _ensure_recording()
        run = runs.OpenRun(_RecordedRun(as_text(task) or "(no task)", agent=self._agent_id))
        try:
            result = run.within(self._agent.run, task, *args, **kwargs)
        except BaseException as error:
            run.end(error)
            raise
        if inspect.isawaitable(result):
            return self._awaited(run, result)
        self._finish(run, result)
        return result

    async def _awaited(self, run: runs.OpenRun, awaitable: Awaitable[Any]) -> Any:
        try:
            with run.run.current():
                result = await awaitable
        except BaseException as error:
            run.end(error)
            raise
        self._finish(run, result)
        return result

    def _finish(self, run: runs.OpenRun, result: Any) -> None:
        run.run.final_answer(getattr(result, "text", result))
        run.end()
        run.run.annotate("outcome", "success", source="agent-wrapper")
