"""What two analyses have in common stands in both files, as each runs alone: it must be the same.

And what `max_patterns` leaves out is told.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import otel_traj_analysis as analysis
from otel_traj import semconv
from otel_traj.store import TrajectoryStore
from tests.store.runs import root, tool


def between(name: str, first: str, last: str) -> str:
    """The text of an analysis from one CTE up to another."""
    sql = analysis.sql(name)
    return sql[sql.index(f"{first} as ") : sql.index(f"{last} as ")]


def turned(text: str) -> str:
    """The same said of failure instead of success, and the other way round."""
    other = {"success": "failure", "failure": "success"}
    return re.sub("success|failure", lambda found: other[found[0]], text)


@pytest.mark.parametrize(("first", "last"), [("numbered", "distinguishable"), ("patterns", "base")])
def test_patterns_of_success_and_of_failure_are_counted_alike(first: str, last: str) -> None:
    successes = between("success_patterns", first, last)

    assert between("failure_patterns", first, last) == turned(successes)


def test_the_same_runs_are_attempts_in_both() -> None:
    successes = between("success_patterns", "attempted", "units")

    assert between("failure_patterns", "attempted", "units") == successes


def test_graph_and_variants_are_of_the_same_calls() -> None:
    assert between("process_map", "calls", "in_order") == between("variants", "calls", "in_order")


def test_the_first_finding_says_how_many_patterns_are_not_compared(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    for n in range(4):
        judged = {semconv.TASK: "refund", semconv.OUTCOME: ("success", "failure")[n % 2]}
        store.append([root(n, **judged), *[tool(n, step) for step in range(1, 2 + n)]])

    found = analysis.run(store, "success_patterns", min_runs=1, max_patterns=1).df()

    [finding] = found[found["kind"] == "all"]["finding"]
    assert re.search(r"; \d+ patterns are not compared \(max_patterns\)", finding)
    assert len(found) <= 2
