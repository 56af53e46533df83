"""What earlier systems told of failed and wasteful runs, found again in a store."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from otel_traj import analysis, semconv
from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore
from tests.store.runs import chat, root, span, span_id, tool

FAILED = {semconv.OUTCOME: "failure"}


def broken(number: int, position: int, said: str) -> SpanRecord:
    """A call that failed, and what was said."""
    return dataclasses.replace(tool(number, position), status="ERROR", status_message=said)


def handoff(number: int, position: int) -> SpanRecord:
    told = {semconv.OPERATION: "handoff", "gen_ai.handoff.to_agent": "nobody"}
    return span(number, position, 0, "handoff nobody", **told)


def same(number: int, position: int) -> SpanRecord:
    told = {semconv.TOOL_CALL_ARGUMENTS: '{"q": 1}', semconv.TOOL_CALL_RESULT: "nothing"}
    return tool(number, position, **told)


MODES = {
    "loop": [chat(1, 1), *(same(1, at) for at in range(2, 6))],
    "handoff": [chat(2, 1), handoff(2, 2)],
    "contention": [chat(3, 1), broken(3, 2, "database is locked")],
    "format": [chat(4, 1), broken(4, 2, "JSON parse error: unexpected token")],
    "timeout": [chat(5, 1), broken(5, 2, "deadline exceeded: timed out after 30 s")],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TrajectoryStore:
    made = TrajectoryStore.create(tmp_path_factory.mktemp("modes") / "traces")
    for number, steps in enumerate(MODES.values(), 1):
        made.append([*steps, root(number, **FAILED)])
    return made


def asked(store: TrajectoryStore, name: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        analysis.run(store, name, **parameters).to_arrow_table().to_pylist()
    )
    return found


def test_s3_12_failure_modes_come_with_confidence_and_spans(store: TrajectoryStore) -> None:
    tasks = dict(store.sql("select trajectory_id, task from trajectories").fetchall())

    found = {tasks[row["trajectory_id"]]: row for row in asked(store, "attribution", top=1)}

    assert {task: row["mode"] for task, row in found.items()} == {
        f"order-{number}": mode for number, mode in enumerate(MODES, 1)
    }
    for number, row in enumerate((found[f"order-{n}"] for n in range(1, 6)), 1):
        assert 0 < row["score"] <= 1
        known = {span_id(number, at) for at in range(1, 6)}
        assert {one["span_id"] for one in row["spans"]} <= known
        assert row["spans"]


def test_s2_11_failures_are_classified_and_what_is_read_again_is_waste(
    store: TrajectoryStore,
) -> None:
    read = {semconv.TOOL_NAME: "read_file", semconv.TOOL_CALL_ARGUMENTS: json.dumps({"path": "a"})}
    results = [tool(6, at, **read, **{semconv.TOOL_CALL_RESULT: f"{at}"}) for at in (1, 2, 3)]
    store.append([*results, root(6)])

    signatures = {row["signature"]: row["n_runs"] for row in asked(store, "tool_errors")}
    [again] = [row for row in asked(store, "waste") if row["kind"] == "file"]

    assert signatures == {
        "database is locked": 1,
        "json parse error: unexpected token": 1,
        "deadline exceeded: timed out after # s": 1,
    }
    assert (again["what"], again["n_calls"], again["n_wasted"]) == ("a", 3, 2)
    assert [one["span_id"] for one in again["spans"]] == [span_id(6, at) for at in (1, 2, 3)]
