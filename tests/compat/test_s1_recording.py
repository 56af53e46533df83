"""The recording half of the replay buffer: blocks, decorators, a wrapper; all by spans of ours."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

import otel_traj
from otel_traj.compat.episodes import TrajectoryLogger
from otel_traj.compat.meta_agent import MetaAgent
from otel_traj.compat.replay_buffer import (
    OutcomeTag,
    RecordedAgent,
    Trajectory,
    capture_tool_call,
    get_replay_buffer,
    record_trajectory,
)
from otel_traj.compat.runs import opened
from otel_traj.errors import ConfigurationError


def recorded(trajectory_id: str) -> Trajectory:
    with get_replay_buffer() as buffer:
        found = buffer.get_trajectory(trajectory_id)
    assert found is not None
    return found


# --- a block is a run --------------------------------------------------------------------------


def test_s1_12_and_14_a_block_tells_a_whole_run() -> None:
    when = datetime(2026, 11, 21, tzinfo=UTC)
    with record_trajectory("support", "refund order 42", trajectory_id="mine") as run:
        run.set_initial_state({"orders": [42]})
        run.add_step("lookup", {"order": 42}, {"paid": True}, "Was it paid?", timestamp=when)
        run.add_step("refund", {"order": 42}, "done")
        run.set_outcome(
            OutcomeTag.PARTIAL,
            failure_rationale="too late",
            error_category="slow",
            fix_applied="cache",
        )
        run.set_reward(0.5)

    told = recorded("mine")

    assert run.trajectory_id == "mine"
    assert told.initial_state == {"orders": [42]}
    assert [(s.tool_name, s.tool_args, s.tool_result, s.agent_reasoning) for s in told.steps] == [
        ("lookup", {"order": 42}, {"paid": True}, "Was it paid?"),
        ("refund", {"order": 42}, "done", None),
    ]
    assert (told.final_outcome, told.reward) == (OutcomeTag.PARTIAL, 0.5)
    assert (told.failure_rationale, told.error_category, told.fix_applied) == (
        "too late",
        "slow",
        "cache",
    )


def test_s1_14_an_exception_is_a_failure_without_reward_and_goes_on_unchanged() -> None:
    error = RuntimeError("no")

    def agent() -> None:
        with record_trajectory("support", "refund", trajectory_id="t1") as run:
            run.add_step("lookup")
            run.set_outcome("success")
            run.set_reward(1.0)
            raise error

    with pytest.raises(RuntimeError) as raised:
        agent()

    assert raised.value is error
    told = recorded("t1")
    assert (told.final_outcome, told.reward) == (OutcomeTag.FAILURE, 0.0)
    assert told.failure_rationale == "RuntimeError: no"
    assert len(told.steps) == 1


def test_s1_14_without_a_word_nothing_is_claimed(store: Path) -> None:
    with record_trajectory("support", "refund", trajectory_id="t1"):
        pass

    assert (recorded("t1").final_outcome, recorded("t1").reward) == (OutcomeTag.UNKNOWN, 0.0)
    assert otel_traj.open_store(store).sql(
        "select outcome_source, reward from trajectories"
    ).fetchall() == [("builtin", None)]


@pytest.mark.parametrize(
    ("agent", "task", "field"), [("", "t", "agent_id"), ("a", " ", "task_description")]
)
def test_s1_14_a_blank_name_is_refused_before_anything_runs(
    agent: str, task: str, field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field} "):
        record_trajectory(agent, task)


def test_s1_14_wrong_judgements_are_refused() -> None:
    with record_trajectory("support", "refund") as run:
        with pytest.raises(ValueError, match=r"^reward "):
            run.set_reward(float("nan"))
        with pytest.raises(ValueError, match=r"^final_outcome "):
            run.set_outcome("great")


def test_s1_14_runs_go_into_the_store_of_the_buffer_that_is_open(tmp_path: Path) -> None:
    with get_replay_buffer(tmp_path / "mine") as buffer:
        with record_trajectory("support", "refund") as run:
            run.set_outcome("success")

        told = buffer.get_trajectory(run.trajectory_id)

    assert told is not None
    assert told.final_outcome is OutcomeTag.SUCCESS


def test_s1_14_async_runs_keep_apart() -> None:
    @capture_tool_call("look")
    async def look(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def agent(n: int) -> None:
        async with record_trajectory("a", f"task {n}", trajectory_id=f"t{n}"):
            for _ in range(3):
                await look(n)

    async def main() -> None:
        await asyncio.gather(*(agent(n) for n in range(5)))

    asyncio.run(main())

    for n in range(5):
        assert [step.tool_args for step in recorded(f"t{n}").steps] == [{"n": n}] * 3


def test_s1_14_no_global_provider_is_set_and_a_recording_that_is_on_is_used(
    tmp_path: Path,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    recording = otel_traj.instrument(
        elsewhere, instrumentors=(), seal=False, tracer_provider=_provider()
    )
    before = trace.get_tracer_provider()

    with record_trajectory("support", "refund") as run:
        pass

    assert trace.get_tracer_provider() is before
    assert recording.store == elsewhere
    found = otel_traj.open_store(elsewhere).trajectory(run.trajectory_id)
    assert found.agent_name == "support"


def test_a_store_that_is_not_recorded_into_is_refused(tmp_path: Path) -> None:
    TrajectoryLogger(tmp_path / "one")

    TrajectoryLogger()
    for face in (TrajectoryLogger, MetaAgent):
        with pytest.raises(ConfigurationError, match=r"records into .*one.*, not into .*other"):
            face(tmp_path / "other")


def _provider() -> Any:
    from opentelemetry.sdk.trace import TracerProvider

    return TracerProvider(shutdown_on_exit=False)


RECORD = """
import sys
from otel_traj.compat.replay_buffer import capture_tool_call, record_trajectory
from otel_traj.compat.episodes import TrajectoryLogger
from otel_traj.compat.meta_agent import MetaAgent, ProblemContext
with record_trajectory("support", "refund") as run:
    capture_tool_call("look")(len)("abc")
logger = TrajectoryLogger()
logger.start_episode("t")
logger.record_step(1, "write")
logger.end_episode(1.0)
agent = MetaAgent()
agent.collect_agent_trace("t1", "diagnosis", ProblemContext("p"))
agent.end_agent_trace("t1", True)
print(sorted({"duckdb", "pyarrow", "google", "click"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_s1_14_recording_needs_no_database(store: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", RECORD],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")
    assert otel_traj.open_store(store).sql("select count(*) from trajectories").fetchall() == [(3,)]


# --- a decorated function is a step ------------------------------------------------------------


def test_s1_13_arguments_are_bound_and_reasoning_is_the_steps() -> None:
    @capture_tool_call("look")
    def look(order: int, deep: bool = False, *, reasoning: str = "") -> dict[str, int]:
        return {"order": order}

    with record_trajectory("support", "refund", trajectory_id="t1"):
        look(42, True, reasoning="Was it paid?")

    [step] = recorded("t1").steps
    assert (step.tool_name, step.tool_args) == ("look", {"order": 42, "deep": True})
    assert (step.tool_result, step.agent_reasoning) == ({"order": 42}, "Was it paid?")


def test_s1_13_a_tool_that_raises_is_a_step_too() -> None:
    @capture_tool_call("look")
    def look() -> None:
        raise KeyError("order")

    with record_trajectory("support", "refund", trajectory_id="t1"), pytest.raises(KeyError):
        look()

    [step] = recorded("t1").steps
    assert step.tool_result == {"error": "'order'"}


def test_s1_13_generators_and_long_results_are_whole() -> None:
    @capture_tool_call("read")
    def read(lines: int) -> Iterator[str]:
        for _ in range(lines):
            yield "x" * 1000

    with record_trajectory("support", "refund", trajectory_id="t1"):
        assert len(list(read(5))) == 5

    [step] = recorded("t1").steps
    assert step.tool_result == ["x" * 1000] * 5


def test_s1_13_a_size_limit_is_opt_in_and_leaves_its_mark(store: Path) -> None:
    @capture_tool_call("read", max_bytes=10)
    def read() -> str:
        return "x" * 1000

    with record_trajectory("support", "refund", trajectory_id="t1"):
        read()

    [step] = recorded("t1").steps
    assert step.tool_result == "xxxxxxxxxx… [cut: 1000 bytes]"
    assert otel_traj.open_store(store).sql("select n_truncated from trajectories").fetchall() == [
        (1,)
    ]


# --- an agent that is wrapped ------------------------------------------------------------------


class Agent:
    name = "planner"

    async def run(self, task: str, seconds: float = 0.0) -> str:
        with otel_traj.tool_call("look"):
            await asyncio.sleep(seconds)
        if task == "fail":
            raise RuntimeError("no")
        return f"done: {task}"


class PlainAgent:
    def run(self, task: str) -> str:
        with otel_traj.tool_call("look"):
            return task.upper()


def only(store: Path) -> Trajectory:
    [(found,)] = opened(store).sql("select trajectory_id from trajectories").fetchall()
    return recorded(found)


def test_s1_15_a_wrapped_run_that_ends_is_a_success_by_the_wrappers_word(store: Path) -> None:
    agent = RecordedAgent(Agent())

    assert asyncio.run(agent.run("plan")) == "done: plan"

    assert agent.name == "planner"
    told = only(store)
    assert (told.agent_id, told.task_description) == ("planner", "plan")
    assert (told.final_outcome, [s.tool_name for s in told.steps]) == ("success", ["look"])
    assert otel_traj.open_store(store).sql(
        "select outcome_source, final_answer from trajectories"
    ).fetchall() == [("evaluation", "done: plan")]


def test_s1_15_a_plain_agent_is_wrapped_as_well(store: Path) -> None:
    assert RecordedAgent(PlainAgent(), "loud").run("plan") == "PLAN"

    assert (only(store).agent_id, len(only(store).steps)) == ("loud", 1)


def test_s1_15_a_cancelled_run_is_partial(store: Path) -> None:
    async def main() -> None:
        task = asyncio.create_task(RecordedAgent(Agent()).run("plan", seconds=60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert only(store).final_outcome is OutcomeTag.PARTIAL


def test_s1_15_a_run_that_raises_is_a_failure(store: Path) -> None:
    with pytest.raises(RuntimeError, match="no"):
        asyncio.run(RecordedAgent(Agent()).run("fail"))

    assert (only(store).final_outcome, only(store).reward) == (OutcomeTag.FAILURE, 0.0)
