"""Uses of the public API that must type-check, and misuses that must not; never run.

mypy reports an ignore that ignores nothing (`warn_unused_ignores`): a misuse that becomes accepted
fails the check as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import otel_traj
from otel_traj import analysis, exporters
from otel_traj.compat.meta_agent import trace_agent_execution, trace_tool_call
from otel_traj.compat.replay_buffer import capture_tool_call
from otel_traj.model import Trajectory
from otel_traj.redaction import Redaction
from otel_traj.store import TrajectoryStore


@otel_traj.tool
def plain(order_id: str) -> dict[str, str]:
    return {"id": order_id}


@otel_traj.tool(effect="read")
async def asynchronous(n: int, *, deep: bool = False) -> list[int]:
    return [n]


@otel_traj.tool(name="walk", effect="idempotent")
def generator(n: int) -> Iterator[int]:
    yield n


@otel_traj.tool
async def asynchronous_generator(n: int) -> AsyncIterator[int]:
    yield n


@otel_traj.trajectory("Ship the order", task_id="ship", agent="support")
def whole_run(order_id: str) -> str:
    return order_id


@capture_tool_call("lookup", max_bytes=1000)
def captured(order_id: str) -> int:
    return len(order_id)


@trace_tool_call
def bare_traced(order_id: str) -> int:
    return len(order_id)


@trace_agent_execution("diagnosis")
@trace_tool_call("current_trace_id", name="kubectl")
async def traced(command: str) -> str:
    return command


def decorators_keep_signatures() -> None:
    assert_type(captured("42"), int)
    assert_type(bare_traced("42"), int)
    captured(42)  # type: ignore[arg-type]
    assert_type(plain("42"), dict[str, str])
    assert_type(generator(3), Iterator[int])
    assert_type(asynchronous_generator(3), AsyncIterator[int])
    assert_type(whole_run("42"), str)
    plain(42)  # type: ignore[arg-type]
    whole_run()  # type: ignore[call-arg]


async def coroutines_stay_coroutines() -> None:
    assert_type(await traced("get pods"), str)
    assert_type(await asynchronous(1, deep=True), list[int])


def recording_takes_and_returns() -> None:
    recording = otel_traj.instrument("traces", sinks=["store"], redact=Redaction())
    otel_traj.instrument(redact=False)
    otel_traj.instrument(redact="secrets")  # type: ignore[arg-type]
    Redaction(attributes={"user.id": "hide"})  # type: ignore[dict-item]
    recording.on_trajectory(lambda trajectory: print(trajectory.n_steps))  # noqa: T201
    recording.flush()
    assert_type(recording.stats().dropped_spans, int)


def handles_take_only_known_words() -> None:
    with otel_traj.trajectory("task", agent="support") as run:
        run.outcome("success")
        run.outcome("sucess")  # type: ignore[arg-type]
        run.reward(1.0, source="unit-test")
        run.annotate("relevance", 0.5, kind="score")
        run.annotate("relevance", 0.5, kind="scores")  # type: ignore[arg-type]
        with otel_traj.tool_call("search", arguments={"q": "x"}) as call:
            call.result(["found"])
        with otel_traj.inference("gpt-5", provider="openai") as model_call:
            model_call.usage(input_tokens=3, output_tokens=1)
    otel_traj.tool(effect="reads")  # type: ignore[call-overload]


def stores_are_read() -> None:
    store = otel_traj.open_store("traces")
    assert_type(store, TrajectoryStore)
    assert_type(store.trajectory("4bf92f35"), Trajectory)
    assert_type(next(store.trajectories(agent="support", outcome="failure")), Trajectory)
    store.sql("select 1 where $x = 1", {"x": 1}).fetchall()
    analysis.run(store, "outcomes", min_runs=5).fetchall()
    assert_type(exporters.export(store.trajectories(), "parquet", "copy", store=store), int)
    store.trajectories(outcome="failed")  # type: ignore[arg-type]
