"""Trees of beginnings against a count in Python that compares every run with every other."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any, NamedTuple

import duckdb
import pytest

import otel_traj_analysis as analysis
from otel_traj_analysis import cases, runner

PRIOR_RUNS = 4
MIN_SIBLINGS = 3


class Run(NamedTuple):
    """One run: its task, its calls and then `(end)`, and whether it succeeded."""

    id: str
    task: str
    calls: tuple[str, ...]
    is_success: bool


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    chance = random.Random(3)
    return [
        Run(
            f"run-{number:02}",
            f"task-{number % 2}",
            (*chance.choices("ab", k=chance.randrange(5)), "(end)"),
            chance.random() < 0.5,
        )
        for number in range(40)
    ]


@pytest.fixture(scope="module")
def connection(runs: list[Run]) -> duckdb.DuckDBPyConnection:
    connection = runner.empty_store()
    for run in runs:
        outcome = "success" if run.is_success else "failure"
        header = {"trajectory_id": run.id, "task_id": run.task, "outcome": outcome}
        cases.fill(connection, "trajectories", [{**header, "outcome_source": "explicit"}])
        steps = [
            {"trajectory_id": run.id, "step": step, "kind": "tool", "tool_name": name}
            for step, name in enumerate(run.calls[:-1])
        ]
        cases.fill(connection, "steps", steps)
    return connection


def answer(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    relation = runner.answer(connection.cursor(), analysis.load(name), {})
    rows: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
    return [row for row in rows if row["kind"] not in ("all", "start")]


def test_values_and_blame_are_those_of_a_plain_count(
    runs: list[Run], connection: duckdb.DuckDBPyConnection
) -> None:
    def beginning_so(run: Run, place: int) -> list[Run]:
        return [r for r in runs if r.task == run.task and r.calls[:place] == run.calls[:place]]

    def value(run: Run, place: int) -> float:
        same, of_task = beginning_so(run, place), beginning_so(run, 0)
        rate = sum(r.is_success for r in of_task) / len(of_task)
        return (sum(r.is_success for r in same) + PRIOR_RUNS * rate) / (len(same) + PRIOR_RUNS)

    expected: dict[tuple[str, tuple[str, ...]], tuple[int, Any]] = {}
    blamed: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for run in runs:
        falls = []
        for place in range(1, len(run.calls) + 1):
            n, n_before = len(beginning_so(run, place)), len(beginning_so(run, place - 1))
            change = value(run, place) - value(run, place - 1)
            if n < n_before:
                expected[run.task, run.calls[:place]] = (n, pytest.approx(change, abs=1e-12))
            if n_before - n >= MIN_SIBLINGS and change < 0:
                falls.append((change, place))
        if falls and not run.is_success:
            blamed[run.task, run.calls[: min(falls)[1]]] += 1

    found = {(row["task"], tuple(row["calls"])): row for row in answer(connection, "prefix_value")}

    assert {key: (row["n_runs"], row["change"]) for key, row in found.items()} == expected
    assert {key: row["n_blamed"] for key, row in found.items() if row["n_blamed"]} == blamed


def test_pairs_part_where_their_calls_first_differ(
    runs: list[Run], connection: duckdb.DuckDBPyConnection
) -> None:
    parted: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for good, bad in itertools.product(runs, runs):
        is_pair = good.task == bad.task and good.is_success and not bad.is_success
        if is_pair and good.calls != bad.calls:
            pairs = zip(good.calls, bad.calls, strict=False)
            place = next(n for n, (one, other) in enumerate(pairs) if one != other)
            parted[good.task, good.calls[:place]] += 1

    rows = answer(connection, "first_divergence")

    assert {(row["task"], tuple(row["calls"])): row["n_parted"] for row in rows} == parted
    at_once = [row["n_baseline"] + row["n_cohort"] for row in rows if row["calls"] == []]
    assert sum(at_once) == len(runs)
