r"""The episode recorder of a coding environment: one episode at a time, a step per action.

    logger = TrajectoryLogger()
    logger.start_episode("fix the build", variant_id="v1")
    logger.record_step(1, "write", "a.py", file_diff=FileDiff("a.py", "x\n", "y\n"), reward=0.5)
    logger.end_episode(final_score=0.5)
    logger.get_replay_actions()

An episode is a trajectory and each of its steps a tool call, recorded as they happen: what
instrumentors see of the model in between is in the store as well. All is read back from the store,
where other processes and SQL find it too.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_traj.capture import ToolCallSpan, trajectory
from otel_traj.compat import runs

if TYPE_CHECKING:
    from otel_traj.model import FileChange, Step
    from otel_traj.model import Trajectory as StoredTrajectory

__all__ = ["FileDiff", "TrajectoryLogger"]

Content: TypeAlias = "str | bytes | None"

_KEPT_EPISODES: Final = 10
_SUMMARY: Final = (
    *("episode_id", "task", "variant_id"),
    *("final_score", "total_steps", "duration_seconds"),
)
_TIMELINE: Final = {
    "step": "step_number",
    "action": "action_type",
    "path": "action_path",
    "reward": "reward",
    "error": "error",
    "duration_ms": "duration_ms",
    "pass_rate": "test_pass_rate",
    "security_flags": "security_flags",
}
"""Column of a timeline -> what the step calls it."""
_TOLERANCE: Final = 1e-6
"""How far a cumulative reward may be from the running sum: what adding floats costs."""


@dataclass(frozen=True)
class FileDiff:
    """A file before and after a step; None where there is none. Binary contents are bytes.

    `old_path` is where a renamed file was. How many lines changed, a unified diff and the hash of
    both contents are worked out when it is recorded.
    """

    path: str
    before: Content
    after: Content
    old_path: str | None = None


class TrajectoryLogger:
    """Records episodes one after the other; safe to share between threads.

    Nothing of it raises into the environment: what cannot be recorded is counted in `ignored`, and
    the first of each kind told as a warning.
    """

    def __init__(self, store: Path | str | None = None, *, agent: str | None = None) -> None:
        """Prepare to record; begins a recording into `store` unless one is on.

        Args:
            store: Folder of the store; None for that of the recording that is on, else
                `OTEL_TRAJ_STORE`, else `./traces`.
            agent: Who acts in the environment.

        Raises:
            ConfigurationError: The recording that is on goes into another store.
        """
        runs.ensure_recording_into(store)
        self._store = store
        self._agent = agent
        self._lock = threading.RLock()  # protects what stands below
        self._open: _OpenEpisode | None = None
        self._latest: str | None = None
        self._history: deque[str] = deque(maxlen=_KEPT_EPISODES)
        self._ignored = runs.Ignored()

    @property
    def ignored(self) -> int:
        """Calls that told of no open episode, or contradicted what was told before."""
        return self._ignored.total

    @property
    def history(self) -> tuple[str, ...]:
        """Ids of the last ten finished episodes, oldest first; the store keeps all."""
        with self._lock:
            return tuple(self._history)

    def start_episode(self, task: str, variant_id: str | None = None, **metadata: Any) -> str:
        """Begin an episode; one that is open ends first, without a score.

        Args:
            task: What is to be done.
            variant_id: Which variant of task or agent.
            metadata: More values, by name.

        Returns:
            Its id, 12 hex digits.
        """
        with self._lock:
            self._finish()
            self._latest = secrets.token_hex(6)
            self._open = _OpenEpisode(self._latest, task, variant_id, self._agent, metadata)
            return self._latest

    def record_step(
        self,
        step_number: int,
        action_type: str,
        action_path: str | None = None,
        action_query: str | None = None,
        action_content_length: int | None = None,
        reward: float | None = None,
        cumulative_reward: float | None = None,
        done: bool | None = None,
        error: str | None = None,
        file_diff: FileDiff | None = None,
        test_pass_rate: float | None = None,
        duration_ms: float | None = None,
        observation_compact: Mapping[str, Any] | None = None,
        security_flags: Sequence[str] = (),
    ) -> None:
        """Record an action that is over.

        Args:
            step_number: As the environment counts.
            action_type: What was done: read, write, run_tests ...
            action_path: The file it was done to.
            action_query: What was looked for, or run.
            action_content_length: Characters that were written.
            reward: What the step was worth.
            cumulative_reward: Sum of the rewards up to here. It is checked, and the sum recorded.
            done: Whether the episode is over with it.
            error: That it failed, and how.
            file_diff: What it did to a file.
            test_pass_rate: Share of tests that pass after it, in [0, 1].
            duration_ms: How long it took.
            observation_compact: What the agent sees after it: files_read, files_written,
                steps_remaining, has_error.
            security_flags: What wants a look.
        """
        with self._lock:
            episode = self._open
            if episode is None:
                self._ignored.add("step", "No episode is open: step %r is lost", action_type)
                return
            total = episode.add(reward)
            if cumulative_reward is not None and abs(cumulative_reward - total) > _TOLERANCE:
                self._ignored.add(
                    "cumulative reward",
                    "Step %r of episode %s tells a cumulative reward of %r; its rewards add up to"
                    " %r, which is recorded",
                    step_number,
                    episode.id,
                    cumulative_reward,
                    total,
                )
            arguments = {
                "path": action_path,
                "query": action_query,
                "content_length": action_content_length,
            }
            ended = time.time()
            call = episode.run.run.step(
                action_type,
                arguments={name: told for name, told in arguments.items() if told is not None},
                call_id=str(step_number),
                error=error,
                reward=_finite(reward),
                done=done,
                observation=observation_compact,
                test_pass_rate=_finite(test_pass_rate),
                security_flags=security_flags,
                started=ended - (duration_ms or 0.0) / 1000,
                ended=ended,
            )
            if file_diff is not None:
                _tell_change(call, file_diff)

    def end_episode(self, final_score: float | None = None) -> None:
        """End the open episode; without one, counted and ignored."""
        with self._lock:
            if self._open is None:
                self._ignored.add("end", "No episode is open: there is nothing to end")
                return
            self._finish(final_score)

    def _finish(self, final_score: float | None = None) -> None:
        """End the open episode, if there is one: the only place where one becomes history."""
        if self._open is None:
            return
        if final_score is not None and math.isfinite(final_score):
            self._open.run.run.reward(final_score, source="final_score")
        self._open.run.end()
        self._history.append(self._open.id)
        self._open = None

    # --- reading -------------------------------------------------------------------------------

    def get_trajectory(self, episode_id: str | None = None) -> dict[str, Any] | None:
        """An episode as JSON values, also while it goes on; None if there is none.

        Args:
            episode_id: Which one; None for the open or else the latest one of this logger.

        Returns:
            `episode_id`, `task`, `variant_id`, `start_time`, `end_time` (ISO 8601, UTC),
            `duration_seconds` (2 decimals), `steps`, `final_score`, `total_steps`, `metadata`. What
            the end tells is None while it is open. Steps have the arguments of `record_step`.
        """
        episode = self._read(episode_id)
        if episode is None:
            return None
        [score] = (
            runs.opened(self._store)
            .sql(
                "select reward from trajectories where trajectory_id = $id",
                {"id": episode.trajectory_id},
            )
            .fetchall()
        )
        changes = {change.step: change for change in episode.file_changes}
        steps = [_step(step, changes.get(step.step)) for step in _actions(episode)]
        return {
            "episode_id": episode.trajectory_id,
            "task": episode.task,
            "variant_id": episode.variant_id,
            "start_time": episode.start_time.isoformat(),
            "end_time": None if episode.end_time is None else episode.end_time.isoformat(),
            "duration_seconds": None
            if episode.duration_s is None
            else round(episode.duration_s, 2),
            "steps": steps,
            "final_score": score[0],
            "total_steps": len(steps),
            "metadata": json.loads(episode.metadata or "{}"),
        }

    def get_step_timeline(self, episode_id: str | None = None) -> list[dict[str, Any]]:
        """What the steps did, in order, also while the episode goes on; empty without one.

        Args:
            episode_id: As for `get_trajectory`.

        Returns:
            For each step `step`, `action`, `path`, `reward`, `error`, `duration_ms`, `pass_rate`
            and `security_flags`.
        """
        episode = self.get_trajectory(episode_id)
        if episode is None:
            return []
        return [
            {name: step[told_as] for name, told_as in _TIMELINE.items()}
            for step in episode["steps"]
        ]

    def get_history_summary(self) -> list[dict[str, Any]]:
        """The finished episodes that `history` names, oldest first.

        Returns:
            For each `episode_id`, `task`, `variant_id`, `final_score`, `total_steps` and
            `duration_seconds`.
        """
        episodes = filter(None, map(self.get_trajectory, self.history))
        return [{name: episode[name] for name in _SUMMARY} for episode in episodes]

    def get_replay_actions(self, episode_id: str | None = None) -> list[dict[str, Any]]:
        """All that is needed to do the same again, in order; empty without an episode.

        Returns:
            For each action `action_type`, `path`, `old_path`, `query`, `content` (text of the file
            after it), `content_sha256`. A file that the action removed has neither of the last two;
            one that is binary or above the size limit of recorded contents only the hash.
        """
        episode = self._read(episode_id)
        if episode is None:
            return []
        changes = {change.step: change for change in episode.file_changes}
        return [_action(step, changes.get(step.step)) for step in _actions(episode)]

    def _read(self, episode_id: str | None) -> StoredTrajectory | None:
        wanted = episode_id or self._latest
        if wanted is None:
            return None
        store = runs.opened(self._store)
        found = store.sql(
            "select trajectory_id from trajectories where trajectory_id = $id", {"id": wanted}
        ).fetchall()
        return store.trajectory(wanted) if found else None


class _OpenEpisode:
    """An episode that goes on, and the sum of its rewards."""

    def __init__(
        self,
        episode_id: str,
        task: str,
        variant_id: str | None,
        agent: str | None,
        metadata: Mapping[str, Any],
    ) -> None:
        self.id = episode_id
        run = trajectory(task, trajectory_id=episode_id, variant_id=variant_id, agent=agent)
        self.run = runs.OpenRun(run)
        self.run.run.metadata(metadata)
        self._total = 0.0

    def add(self, reward: float | None) -> float:
        """The sum of rewards with this one."""
        self._total += _finite(reward) or 0.0
        return self._total


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _tell_change(call: ToolCallSpan, diff: FileDiff) -> None:
    call.file_diff(diff.path, diff.before, diff.after, old_path=diff.old_path)


def _actions(episode: StoredTrajectory) -> list[Step]:
    """The steps that `record_step` told; model calls that instrumentors saw are left out."""
    return [step for step in episode.steps if step.kind == "tool"]


def _step(step: Step, change: FileChange | None) -> dict[str, Any]:
    told = json.loads(step.arguments or "{}")
    return {
        "step_number": int(step.tool_call_id) if step.tool_call_id else None,
        "action_type": step.tool_name,
        "action_path": told.get("path"),
        "action_query": told.get("query"),
        "action_content_length": told.get("content_length"),
        "reward": step.reward,
        "cumulative_reward": step.cumulative_reward,
        "done": step.done,
        "error": step.error_message,
        "file_diff": None if change is None else _diff(change),
        "test_pass_rate": step.test_pass_rate,
        "duration_ms": None if step.duration_us is None else step.duration_us / 1000,
        "observation_compact": json.loads(step.observation) if step.observation else None,
        "security_flags": list(step.security_flags or ()),
    }


def _diff(change: FileChange) -> dict[str, Any]:
    return {
        "path": change.path,
        "old_path": change.old_path,
        "before": change.content_before,
        "after": change.content_after,
        "sha256_before": change.sha256_before,
        "sha256_after": change.sha256_after,
        "diff": change.diff,
        "lines_added": change.added,
        "lines_removed": change.removed,
        "is_binary": change.is_binary,
    }


def _action(step: Step, change: FileChange | None) -> dict[str, Any]:
    told = json.loads(step.arguments or "{}")
    return {
        "action_type": step.tool_name,
        "path": told.get("path"),
        "old_path": change.old_path if change else None,
        "query": told.get("query"),
        "content": change.content_after if change else None,
        "content_sha256": change.sha256_after if change else None,
    }
