"""Patterns of a meta-agent: the earlier formulas to the last digit, and what may be believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from otel_traj.compat.meta_agent import MetaAgent, Pattern, ProblemContext


@pytest.fixture
def agent(store: Path) -> MetaAgent:
    return MetaAgent(store)


def collect(
    agent: MetaAgent, trace_id: str, success: bool | None, *calls: str, problem: str = "p-1",
    thoughts: Sequence[tuple[str, str]] = (), agent_type: str = "diagnosis",
) -> None:  # fmt: skip
    """A trace; a call that ends in `!` fails."""
    agent.collect_agent_trace(trace_id, agent_type, ProblemContext(problem))
    for tool, reasoning in thoughts:
        agent.add_thinking_step(trace_id, reasoning, tool)
    for call in calls:
        agent.add_tool_call(trace_id, call.rstrip("!"), {}, not call.endswith("!"), "x")
    agent.end_agent_trace(trace_id, success)


def of_type(agent: MetaAgent, kind: str) -> list[Pattern]:
    return [pattern for pattern in agent.get_patterns() if pattern.pattern_type == kind]


def seed(patterns: list[Pattern]) -> dict[str, tuple[int, float]]:
    return {p.description: (p.frequency, p.seed_confidence) for p in patterns}


def test_s4_05_success_counts_sequences_of_two_to_five_tools_with_repeats(agent: MetaAgent) -> None:
    collect(agent, "t1", True, "a", "b", "a", "b")
    collect(agent, "t2", True, "a", "b", "c")
    collect(agent, "t3", True, "d")
    collect(agent, "t4", False, "c", "d", "c", "d")

    # By hand: a → b occurs 3 times in 3 successful traces; no other sequence occurs twice.
    found = of_type(agent, "success_pattern")

    assert seed(found) == {"Successful runs call a → b": (3, 1.0)}
    assert found[0].examples == ("t1", "t2")


def test_s4_05_success_confidence_is_count_by_successes_and_at_most_1(agent: MetaAgent) -> None:
    for n in range(7):
        collect(agent, f"t{n}", True, *(["a", "b", "c", "d", "e", "f"] if n < 2 else ["z"]))

    found = seed(of_type(agent, "success_pattern"))

    assert len(found) == 5 + 4 + 3 + 2  # of length 2, 3, 4, 5; none of length 6
    assert set(found.values()) == {(2, 2 / 7)}


def test_s4_05_failure_is_the_three_tools_that_fail_most_in_failed_traces(agent: MetaAgent) -> None:
    collect(agent, "t1", False, "a!", "a!", "a!", "b!")
    collect(agent, "t2", False, "b!", "c!", "e")
    collect(agent, "t3", False, "d", "c!", "f!")
    collect(agent, "t4", False)
    collect(agent, "t5", True, "d!", "d!", "d!", "d!")

    found = of_type(agent, "failure_pattern")

    assert seed(found) == {
        "Failed runs have failed calls of a": (3, 3 / 4),
        "Failed runs have failed calls of b": (2, 2 / 4),
        "Failed runs have failed calls of c": (2, 2 / 4),
    }
    assert found[1].examples == ("t1", "t2")


@pytest.mark.parametrize(
    ("ok", "failed", "said"),
    [
        (5, 1, ("highly effective", 5 / 6)),
        (3, 0, ("highly effective", 1.0)),
        (2, 0, None),
        (4, 1, None),  # 0.8 is not above 0.8
        (1, 1, None),
        (2, 2, None),  # 0.5 is not below 0.5
        (1, 2, ("problematic", 1 - 1 / 3)),
        (0, 3, ("problematic", 1.0)),
    ],
)
def test_s4_05_tools_are_effective_above_80_and_problematic_below_50_per_cent(
    agent: MetaAgent, ok: int, failed: int, said: tuple[str, float] | None
) -> None:
    collect(agent, "t1", None, *["a"] * ok, *["a!"] * failed)

    found = seed(of_type(agent, "tool_effectiveness"))

    expected = {} if said is None else {f"a is {said[0]}": (ok + failed, said[1])}
    assert found == expected


def test_s4_05_confidence_of_a_tool_is_a_lower_bound(agent: MetaAgent) -> None:
    collect(agent, "t1", None, "a", "a", "a")

    [pattern] = of_type(agent, "tool_effectiveness")

    assert pattern.seed_confidence == 1.0
    assert pattern.confidence == pytest.approx(0.4385, abs=5e-5)  # Wilson's bound for 3 of 3


@pytest.mark.parametrize(("words", "uses", "n"), [(21, 3, 1), (20, 3, 0), (21, 2, 0)])
def test_s4_05_thinking_needs_three_uses_and_more_than_20_words(
    agent: MetaAgent, words: int, uses: int, n: int
) -> None:
    collect(agent, "t1", True, thoughts=[("a", "why " * words)] * (uses - 1))
    collect(agent, "t2", False, thoughts=[("a", "no")])

    found = of_type(agent, "thinking_pattern")

    assert len(found) == n
    assert all(p.examples == ("t1",) and p.seed_confidence == 2 / 3 for p in found)


@pytest.mark.parametrize(("calls", "n"), [(11, 1), (10, 0)])
def test_s4_05_performance_is_more_than_ten_calls_a_success(
    agent: MetaAgent, calls: int, n: int
) -> None:
    collect(agent, "t1", True, *(f"tool{i}" for i in range(calls)))
    collect(agent, "t2", False, *["x"] * 99)

    found = of_type(agent, "performance_optimization")

    assert [(p.seed_confidence, p.confidence, p.examples) for p in found] == [
        (0.8, 0.0, ("t1",))
    ] * n


def planted(agent: MetaAgent) -> None:
    """Twelve problems; at each, looking first helps."""
    for task in range(12):
        for n in range(6):
            looks = n % 2 == 0
            success = looks if n < 4 else not looks if task % 6 == 0 else looks
            tools = ["look", "fix"] if looks else ["guess", "fix"]
            collect(agent, f"t{task}-{n}", success, *tools, problem=f"p-{task}")


@pytest.mark.slow
def test_s4_04_confidence_is_what_the_analysis_established(agent: MetaAgent) -> None:
    planted(agent)

    found = {p.description: p for p in of_type(agent, "success_pattern")}
    good, bad = (found[f"Successful runs call {tool} → fix"] for tool in ("look", "guess"))

    assert 0.6 < good.confidence < good.seed_confidence
    assert good.seed_confidence == 34 / 36
    assert (bad.confidence, bad.seed_confidence > 0) == (0.0, True)
    assert len(good.examples) == 3
    assert good.recommendations == ("Consider calling look → fix in this order",)


@pytest.mark.slow
def test_s4_08_summary_counts_by_type_and_lists_what_may_be_relied_on(agent: MetaAgent) -> None:
    planted(agent)

    summary = agent.get_pattern_summary(confidence_threshold=0.6)

    found = agent.get_patterns()
    assert summary["total_patterns"] == len(found)
    by_type: dict[str, Any] = summary["patterns_by_type"]
    assert by_type["success_pattern"]["count"] == 2
    assert by_type["success_pattern"]["high_confidence"] == 1
    assert summary["high_confidence_patterns"] == [p for p in found if p.confidence >= 0.6]


def test_s4_08_a_store_without_traces_has_no_patterns(agent: MetaAgent) -> None:
    assert agent.get_pattern_summary() == {
        "total_patterns": 0,
        "patterns_by_type": {},
        "high_confidence_patterns": [],
    }


def test_s4_08_patterns_of_one_agent_type_leave_the_others_out(agent: MetaAgent) -> None:
    collect(agent, "t1", None, "a", "a", "a")
    collect(agent, "t2", None, "b", "b", "b", agent_type="mitigation")

    found = agent.get_patterns("mitigation")

    assert [p.description for p in found] == ["b is highly effective"]
