"""Threads, tasks, generators, event loops: each step is in the run that it was made in."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncIterator, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Link

import otel_traj
from tests.surroundings.conftest import HEAD

N = 40


async def think(n: int) -> None:
    """An agent that uses tools of its own name, in turn and at once, plain and in threads."""

    async def use(name: str) -> None:
        with otel_traj.tool_call(f"{name} {n}"):
            await asyncio.sleep(0.001)

    with otel_traj.trajectory(f"task {n:02}"):
        await use("first")
        await asyncio.gather(use("left"), use("right"))
        await asyncio.to_thread(look, n)


def look(n: int) -> None:
    with otel_traj.tool_call(f"thread {n}"):
        pass


def used(n: int) -> list[str]:
    return sorted([f"first {n}", f"left {n}", f"right {n}", f"thread {n}"])


def test_concurrent_tasks_never_share_a_run(instrument: Any, tools: Any) -> None:
    recording = instrument()

    async def main() -> None:
        await asyncio.gather(*map(think, range(N)))

    asyncio.run(main())
    recording.shutdown()

    assert tools() == {f"task {n:02}": used(n) for n in range(N)}


def test_cancelled_task_ends_its_run_and_no_other(instrument: Any, trajectories: Any) -> None:
    recording = instrument()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(wait(n)) for n in range(4)]
            await asyncio.sleep(0.01)
            tasks[0].cancel()
            tasks[2].cancel()

    async def wait(n: int) -> None:
        with otel_traj.trajectory(f"task {n}"), otel_traj.tool_call("wait"):
            await asyncio.sleep(0.05)

    asyncio.run(main())
    recording.shutdown()

    told = [(run.status, run.steps[0].error_type) for run in trajectories()]
    over, cancelled = ("completed", None), ("aborted", "asyncio.exceptions.CancelledError")
    assert told == [cancelled, over, cancelled, over]


def test_pool_of_threads_never_mixes_runs(instrument: Any, tools: Any) -> None:
    recording = instrument()

    def work(n: int) -> None:
        with otel_traj.trajectory(f"task {n:02}"):
            for _ in range(3):
                look(n)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(N)))
    recording.shutdown()

    assert tools() == {f"task {n:02}": [f"thread {n}"] * 3 for n in range(N)}


def test_step_in_a_thread_joins_by_the_context_and_else_stands_alone(
    instrument: Any, tools: Any
) -> None:
    recording = instrument()

    with otel_traj.trajectory("t"), ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, look, 1).result()
        pool.submit(look, 2).result()
    recording.shutdown()

    assert tools() == {"t": ["thread 1"], "": ["thread 2"]}


def converse(do: Any) -> None:
    """A model that asks for the tool `c1`, which `do` runs, and is told the result."""
    with otel_traj.trajectory("t", agent="a"):
        asks = {"id": "c1", "name": "look", "arguments": {}}
        with otel_traj.inference("m", provider="p", input="go") as call:
            call.output(tool_calls=[asks])
        do()
        said = {"role": "assistant", "tool_calls": [asks]}
        told = {"role": "tool", "tool_call_id": "c1", "content": "found"}
        with otel_traj.inference("m", provider="p", input=[said, told]) as call:
            call.output("done")


@pytest.mark.parametrize("seals_between", [False, True])
def test_tool_run_beyond_a_queue_is_joined_again_by_its_id(
    instrument: Any, trajectories: Any, seals_between: bool
) -> None:
    recording = instrument()
    jobs: queue.Queue[str] = queue.Queue()

    def work() -> None:
        with otel_traj.tool_call("look", call_id=jobs.get()) as call:
            call.result("found, says the tool")
        jobs.task_done()
        jobs.join()

    def hand_over() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        jobs.put("c1")
        thread.join()
        recording.flush()
        if seals_between:
            trajectories()  # who reads seals what is there: the tool alone

    converse(hand_over)
    recording.shutdown()

    (run,) = trajectories()
    steps = [(step.kind, step.tool_name, step.result) for step in run.steps]
    assert steps == [
        ("user", None, None),
        ("llm", None, None),
        ("tool", "look", "found, says the tool"),
        ("llm", None, None),
    ]


def test_work_beyond_a_queue_is_joined_by_a_span_link(instrument: Any, trajectories: Any) -> None:
    recording = instrument()
    tracer = trace.get_tracer("t", tracer_provider=recording._options.tracer_provider)

    with otel_traj.trajectory("t"):
        look(1)
        link = Link(trace.get_current_span().get_span_context())
        beyond = trace.set_span_in_context(trace.INVALID_SPAN)
        with tracer.start_as_current_span("job", context=beyond, links=[link]):
            look(2)
    recording.shutdown()

    (run,) = trajectories()
    assert run.tools == ("thread 1", "thread 2")


# --- generators --------------------------------------------------------------------------------


def test_generator_left_half_way_leaves_no_context_behind(instrument: Any, tools: Any) -> None:
    recording = instrument()

    @otel_traj.tool
    def lines() -> Generator[int, None, None]:
        yield 1
        look(1)
        yield 2

    before = context_api.get_current()
    with otel_traj.trajectory("t"):
        left = lines()
        assert [next(left), next(left)] == [1, 2]
        left.close()
        never_begun = lines()
    assert context_api.get_current() == before
    recording.shutdown()

    assert tools() == {"t": ["lines", "thread 1"]}
    del never_begun


def test_async_generator_left_half_way_leaves_no_context_behind(
    instrument: Any, tools: Any, recwarn: pytest.WarningsRecorder
) -> None:
    recording = instrument()

    @otel_traj.tool
    async def lines() -> AsyncIterator[int]:
        yield 1
        look(1)
        yield 2

    async def main() -> None:
        before = context_api.get_current()
        with otel_traj.trajectory("t"):
            async for n in lines():  # the event loop closes it, in a task of its own
                if n == 2:
                    break
        assert context_api.get_current() == before

    asyncio.run(main())
    recording.shutdown()

    assert tools() == {"t": ["lines", "thread 1"]}


def test_block_left_in_another_context_does_no_harm(
    instrument: Any, tools: Any, caplog: Any
) -> None:
    """As an async generator around `with` does, when another task finishes it."""
    recording = instrument()

    async def main() -> None:
        run = otel_traj.trajectory("t")
        await asyncio.create_task(enter(run))
        await asyncio.create_task(leave(run))
        with otel_traj.trajectory("next"):
            look(2)

    async def enter(run: Any) -> None:
        run.__enter__()
        look(1)

    async def leave(run: Any) -> None:
        run.__exit__(None, None, None)

    asyncio.run(main())
    recording.shutdown()

    assert tools() == {"t": ["thread 1"], "next": ["thread 2"]}
    assert caplog.records == []


# --- event loops of others ---------------------------------------------------------------------


def test_event_loop_within_an_event_loop(run: Any, tools: Any) -> None:
    pytest.importorskip("nest_asyncio")
    run(
        "import nest_asyncio; nest_asyncio.apply()\n"
        "async def inner(n):\n"
        "    with otel_traj.tool_call(f'inner {n}'): await asyncio.sleep(0.001)\n"
        "async def agent(n):\n"
        "    with otel_traj.trajectory(f'task {n}'):\n"
        "        asyncio.get_event_loop().run_until_complete(inner(n))\n"
        "        await asyncio.sleep(0.001)\n"
        "        with otel_traj.tool_call(f'outer {n}'): pass\n"
        "async def main():\n"
        "    await asyncio.gather(*map(agent, range(5)))\n"
        "asyncio.run(main())\n",
        PYTHONWARNINGS="ignore",
    )

    assert tools() == {f"task {n}": [f"inner {n}", f"outer {n}"] for n in range(5)}


TASKS = (
    "async def agent(n):\n"
    "    with otel_traj.trajectory(f'task {n}'):\n"
    "        with otel_traj.tool_call(f'look {n}'): await asyncio.sleep(0.001)\n"
    "        await asyncio.to_thread(use, n)\n"
    "def use(n):\n"
    "    with otel_traj.tool_call(f'thread {n}'): pass\n"
    "async def main():\n"
    "    await asyncio.gather(*map(agent, range(20)))\n"
)


def test_uvloop(run: Any, tools: Any) -> None:
    pytest.importorskip("uvloop")
    run(TASKS + "import uvloop; uvloop.run(main())\n")

    assert tools() == {f"task {n}": [f"look {n}", f"thread {n}"] for n in range(20)}


GREENLETS = (
    "import gevent\n"
    "def agent(n):\n"
    "    with otel_traj.trajectory(f'task {n}'):\n"
    "        for _ in range(2):\n"
    "            with otel_traj.tool_call(f'look {n}'): gevent.sleep(0.001)\n"
    "gevent.joinall([gevent.spawn(agent, n) for n in range(20)])\n"
    "assert recording.flush(5)\n"
)


@pytest.mark.parametrize("patched", ["before", "after", "not"])
def test_gevent(run: Any, tools: Any, patched: str) -> None:
    pytest.importorskip("gevent")
    patch = "from gevent import monkey; monkey.patch_all()\n"
    run(
        (patch if patched == "after" else "") + GREENLETS,
        head=(patch if patched == "before" else "") + HEAD,
    )

    assert tools() == {f"task {n}": [f"look {n}"] * 2 for n in range(20)}
