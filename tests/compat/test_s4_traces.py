"""`MetaAgent`: traces by id and by context, who succeeded, and what they come to."""

from __future__ import annotations

import asyncio
import enum
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import otel_traj
from otel_traj.compat.meta_agent import (
    AgentTrace,
    MetaAgent,
    ProblemContext,
    succeeded,
    trace_agent_execution,
    trace_thinking_step,
    trace_tool_call,
)

PROBLEM = ProblemContext(
    "p-1", "shop", "prod", "a shop that sells hats", "network delay", {"pods": 3}
)


@pytest.fixture
def agent(store: Path) -> MetaAgent:
    return MetaAgent(store)


def got(agent: MetaAgent, trace_id: str) -> AgentTrace:
    found = agent.get_trace(trace_id)
    assert found is not None
    return found


# --- by id -------------------------------------------------------------------------------------


def test_s4_01_a_trace_tells_problem_calls_thoughts_and_metrics(agent: MetaAgent) -> None:
    assert agent.collect_agent_trace("t1", "diagnosis", PROBLEM) == "t1"
    agent.add_thinking_step("t1", "Pods restart.", "kubectl", "shows events")
    agent.add_tool_call("t1", "kubectl", {"command": "get pods"}, True, "3 running", 0.5)
    agent.add_tool_call("t1", "kubectl", {"command": "logs"}, False, "no such pod")
    agent.end_agent_trace(
        "t1", True, "network", {"fault": "network"},
        {"accuracy_score": 0.9, "partial_credit": 1, "verdict": "good"},
    )  # fmt: skip

    trace = got(agent, "t1")

    assert (trace.agent_type, trace.problem_context) == ("diagnosis", PROBLEM)
    assert [(c.tool_name, c.arguments, c.success, c.response) for c in trace.tool_calls] == [
        ("kubectl", {"command": "get pods"}, True, "3 running"),
        ("kubectl", {"command": "logs"}, False, "no such pod"),
    ]
    assert trace.tool_calls[0].duration == 0.5
    [thought] = trace.thinking_steps
    assert (thought.reasoning, thought.tool_choice, thought.justification) == (
        "Pods restart.",
        "kubectl",
        "shows events",
    )
    assert (trace.success, trace.final_submission) == (True, "network")
    assert trace.ground_truth == {"fault": "network"}
    assert trace.oracle_results["verdict"] == "good"
    assert (trace.tool_call_count, trace.thinking_step_count) == (2, 1)
    assert (trace.success_rate, trace.accuracy_score, trace.partial_credit) == (0.5, 0.9, 1.0)
    assert trace.total_duration is not None


def test_s4_01_what_an_oracle_counts_is_a_score_of_the_run(agent: MetaAgent, store: Path) -> None:
    agent.collect_agent_trace("t1", "any type at all", PROBLEM)
    agent.end_agent_trace("t1", None, oracle_results={"accuracy_score": 0.25, "note": "x"})

    assert got(agent, "t1").success is None
    assert otel_traj.open_store(store).sql(
        "select target, name, kind, value_num, source from annotations"
    ).fetchall() == [("trajectory", "accuracy_score", "score", 0.25, "oracle")]


def test_s4_01_traces_of_several_threads_keep_apart(agent: MetaAgent) -> None:
    def work(n: int) -> None:
        agent.collect_agent_trace(f"t{n}", "diagnosis", ProblemContext(f"p{n}"))
        for _ in range(5):
            agent.add_tool_call(f"t{n}", f"tool {n}")
        agent.end_agent_trace(f"t{n}", True)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for trace in agent.get_traces():
        number = trace.trace_id[1:]
        assert {call.tool_name for call in trace.tool_calls} == {f"tool {number}"}
        assert trace.tool_call_count == 5


def test_s4_01_an_open_trace_is_readable_and_unjudged(agent: MetaAgent) -> None:
    agent.collect_agent_trace("t1", "diagnosis", PROBLEM)
    agent.add_tool_call("t1", "kubectl")

    trace = got(agent, "t1")

    assert (trace.success, trace.end_time, trace.total_duration) == (None, None, None)
    assert trace.tool_call_count == 1


def test_s4_02_an_unknown_id_is_counted_and_told_once(
    agent: MetaAgent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.add_tool_call("nobody", "kubectl")
    agent.add_thinking_step("current_trace_id", "Hm.")
    agent.end_agent_trace("nobody", True)

    assert agent.ignored == 3
    assert len(caplog.records) == 1
    assert "No trace 'nobody' is open: kubectl is not recorded" in caplog.text


def test_s4_01_a_trace_that_never_ended_ends_unjudged_when_its_id_comes_again(
    agent: MetaAgent,
) -> None:
    agent.collect_agent_trace("t1", "diagnosis", PROBLEM)

    agent.collect_agent_trace("t1", "diagnosis", PROBLEM)
    agent.end_agent_trace("t1", True)

    assert agent.ignored == 1
    assert sorted(str(t.success) for t in agent.get_traces()) == ["None", "True"]


# --- by context --------------------------------------------------------------------------------


@trace_tool_call("current_trace_id", name="kubectl")
def kubectl(command: str) -> str:
    return f"ran {command}"


@trace_tool_call
async def curl(url: str) -> int:
    await asyncio.sleep(0)
    return 200


@trace_thinking_step
def think(about: str) -> tuple[str, str, str]:
    return f"Look at {about}.", "kubectl", "cheap"


def test_s4_02_decorated_functions_join_the_trace_around_them(agent: MetaAgent) -> None:
    @trace_agent_execution("diagnosis")
    def diagnose(problem: ProblemContext) -> dict[str, bool]:
        think("pods")
        kubectl("get pods")
        agent.add_tool_call("current_trace_id", "by literal")
        agent.add_tool_call(None, "by none")
        return {"success": True}

    assert diagnose(PROBLEM) == {"success": True}

    [trace] = agent.get_traces()
    assert (trace.agent_type, trace.problem_context, trace.success) == ("diagnosis", PROBLEM, True)
    assert [call.tool_name for call in trace.tool_calls] == ["kubectl", "by literal", "by none"]
    assert [t.justification for t in trace.thinking_steps] == ["cheap"]
    assert agent.ignored == 0


def test_s4_02_concurrent_executions_keep_apart(agent: MetaAgent) -> None:
    @trace_agent_execution("mitigation")
    async def mitigate(problem: ProblemContext) -> bool:
        for _ in range(3):
            await curl(problem.problem_id)
        return problem.problem_id != "p1"

    async def main() -> None:
        await asyncio.gather(*(mitigate(ProblemContext(f"p{n}")) for n in range(4)))

    asyncio.run(main())

    for n in range(4):
        [trace] = agent.get_traces(problem_id=f"p{n}")
        assert [call.arguments for call in trace.tool_calls] == [{"url": f"p{n}"}] * 3
        assert trace.success is (n != 1)


def test_s4_02_another_id_on_a_decorator_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="not into 't1'"):
        trace_tool_call("t1")
    with pytest.raises(ValueError, match="not into 't1'"):
        trace_thinking_step("t1")


def test_s4_02_decorated_functions_stay_what_they_are(agent: MetaAgent) -> None:
    @trace_agent_execution("diagnosis")
    def fails() -> None:
        kubectl("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fails()

    assert (kubectl.__name__, fails.__name__) == ("kubectl", "fails")
    [trace] = agent.get_traces()
    assert (trace.success, trace.problem_context.problem_id) == (False, "fails")


# --- success, traces, statistics ---------------------------------------------------------------


class Status(enum.Enum):
    DONE = "done"


@dataclass
class Result:
    success: Any = None
    status: Any = None


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (True, True),
        (False, False),
        (Result(success=False, status="ok"), False),
        (Result(status="Success "), True),
        (Result(status=Status.DONE), True),
        ({"status": "FAILED"}, False),
        ({"success": True}, True),
        ("completed", True),
        ("error", False),
        ("the answer is 42", None),
        (None, None),
        (0, None),
        ([], None),
        (Result(success="yes"), None),
    ],
)
def test_s4_03_a_result_says_whether_it_is_a_success(result: Any, expected: bool | None) -> None:
    assert succeeded(result) is expected


def fill(agent: MetaAgent) -> None:
    runs = [
        ("t1", "diagnosis", "p1", True, ["look", "fix"]),
        ("t2", "diagnosis", "p1", False, ["look", "look", "fix", "fix"]),
        ("t3", "diagnosis", "p2", False, ["look", "look", "fix"]),
        ("t4", "diagnosis", "p2", None, []),
        ("t5", "mitigation", "p1", True, ["restart"]),
    ]
    for trace_id, kind, problem, success, tools in runs:
        agent.collect_agent_trace(trace_id, kind, ProblemContext(problem))
        for tool in tools:
            agent.add_tool_call(trace_id, tool)
        agent.end_agent_trace(trace_id, success)


def test_s4_03_traces_are_filtered_newest_first_and_limited(store: Path) -> None:
    fill(MetaAgent(store))
    agent = MetaAgent(store)

    def ids(**chosen: Any) -> list[str]:
        return [trace.trace_id for trace in agent.get_traces(**chosen)]

    assert ids() == ["t5", "t4", "t3", "t2", "t1"]
    assert ids(agent_type="diagnosis", limit=2) == ["t4", "t3"]
    assert ids(problem_id="p1") == ["t5", "t2", "t1"]
    assert ids(agent_type="diagnosis", problem_id="p1") == ["t2", "t1"]
    assert ids(agent_type="nobody") == []
    assert agent.get_trace("t") is None


def test_s4_03_statistics_count_what_was_judged(agent: MetaAgent) -> None:
    fill(agent)

    told = agent.get_trace_statistics("diagnosis")

    assert told.pop("avg_duration") > 0
    assert told == {
        "total": 4,
        "judged": 3,
        "successful": 1,
        "success_rate": pytest.approx(1 / 3),
        "avg_tool_calls": 9 / 4,
        "most_used_tools": {"look": 5, "fix": 4},
        "common_failed_prefixes": [{"tools": ["look", "look", "fix"], "count": 2}],
    }
    assert agent.get_trace_statistics()["total"] == 5


def test_s4_03_statistics_of_nothing_are_unknown_not_zero(agent: MetaAgent) -> None:
    assert agent.get_trace_statistics() == {
        "total": 0,
        "judged": 0,
        "successful": 0,
        "success_rate": None,
        "avg_duration": None,
        "avg_tool_calls": None,
        "most_used_tools": {},
        "common_failed_prefixes": [],
    }
