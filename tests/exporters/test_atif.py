"""ATIF out: what an ATIF document says comes back, and any recorded run is a valid document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import atif
import pytest

import otel_traj
from otel_traj import exporters, importers
from otel_traj.model import Trajectory
from otel_traj.store import TrajectoryStore, open_store
from tests import corpus

SHIPPED = Path(__file__).parents[1] / "data" / "labelled" / "atif.json"

ADDED = (
    ".trajectory_id",
    ".model_name",
    ".source_call_id",
    ".final_metrics",
    ".subagent_trajectories",
)
"""What the newest version wants, or may have, and a source left out."""


def stored(folder: Path, *paths: Path) -> TrajectoryStore:
    store = TrajectoryStore.create(folder)
    store.append(importers.read(*paths))
    store.seal(final=True)
    return store


def exported(store: TrajectoryStore, path: Path, **options: Any) -> list[dict[str, Any]]:
    exporters.export(store.trajectories(), "atif", path, store=store, **options)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def round_trip(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What becomes of a document that is ingested and exported."""
    source = folder / "source.json"
    source.write_text(json.dumps(document), encoding="utf-8")
    [written] = exported(stored(folder / "store", source), folder / "out.json")
    return written


def unlike(given: Any, written: Any, place: str = "") -> Iterator[str]:
    """Places where two JSON values differ, but for keys that only the second one has."""
    if isinstance(given, dict) and isinstance(written, dict):
        for key, value in given.items():
            yield from unlike(value, written.get(key), f"{place}.{key}")
        for key in written.keys() - given.keys():
            yield f"{place}.{key} added"
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        for number, (one, other) in enumerate(zip(given, written, strict=True)):
            yield from unlike(one, other, f"{place}[{number}]")
    elif given != written:
        yield f"{place}: {given!r} became {written!r}"


def is_expected(difference: str) -> bool:
    is_version = ".schema_version: " in difference
    return is_version or difference.removesuffix(" added").endswith(ADDED)


def everything(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A document and those in it."""
    yield document
    for inner in document.get("subagent_trajectories", ()):
        yield from everything(inner)


# --- documents that were ATIF before -----------------------------------------------------------


def test_nothing_that_a_document_says_is_lost(tmp_path: Path) -> None:
    given = json.loads(SHIPPED.read_text(encoding="utf-8"))

    written = round_trip(given, tmp_path)

    assert [d for d in unlike(given, written) if not is_expected(d)] == []
    assert written["schema_version"] == "ATIF-v1.8"
    atif.Trajectory.model_validate(written)


@pytest.mark.parametrize("version", ["1.5", "1.6", "1.7", "1.8"])
def test_older_documents_become_ones_of_the_newest_version(version: str, tmp_path: Path) -> None:
    given = json.loads(SHIPPED.read_text(encoding="utf-8")) | {"schema_version": f"ATIF-v{version}"}

    assert round_trip(given, tmp_path)["schema_version"] == "ATIF-v1.8"


def test_what_others_said_stays_between_the_same_steps(tmp_path: Path) -> None:
    """History, messages at the end, results of no call, parts, extras: each in its place."""
    call = {"tool_call_id": "c0", "function_name": "recall", "arguments": {"n": 1}}
    lost = {"tool_call_id": "c1", "function_name": "cut", "arguments": {}, "extra": {"why": "x"}}
    seen = {"source_call_id": "c0", "content": "an old result"}
    picture = {"type": "image", "source": {"media_type": "image/png", "path": "a.png"}}
    steps: list[dict[str, Any]] = [
        {"source": "system", "message": "Be brief."},
        {
            "source": "user",
            "message": [{"type": "text", "text": "Look."}, picture],
            "extra": {"u": 1},
        },
        {
            "source": "agent",
            "message": "I looked before.",
            "tool_calls": [call],
            "observation": {"results": [seen]},
            "is_copied_context": True,
        },
        {
            "source": "agent",
            "message": "Looking.",
            "timestamp": "2026-03-01T10:00:02+01:00",
            "extra": {"k": [1, {"deep": None}]},
        },
        {
            "source": "system",
            "message": "The machine restarts.",
            "observation": {"results": [{"content": "restarted", "extra": {"code": 0}}]},
        },
        {
            "source": "agent",
            "message": "",
            "llm_call_count": 0,
            "tool_calls": [
                {"tool_call_id": "c2", "function_name": "save", "arguments": {"a": "é"}}
            ],
            "observation": {"results": [{"source_call_id": "c2", "content": [picture]}]},
            "extra": {"dispatched": True},
        },
        {"source": "agent", "message": "Cutting.", "tool_calls": [lost]},
        {"source": "agent", "message": "Done.", "observation": {"results": [{"content": "bye"}]}},
        {"source": "user", "message": "Thanks.", "timestamp": "2026-03-01T10:00:09Z"},
    ]
    given = {
        "schema_version": "ATIF-v1.8",
        "trajectory_id": "t",
        "agent": {"name": "seer", "version": "1", "model_name": "m-1"},
        "steps": [{"step_id": n, **step} for n, step in enumerate(steps, start=1)],
        "notes": "all of it",
        "continued_trajectory_ref": "next.json",
    }
    atif.Trajectory.model_validate(given)

    written = round_trip(given, tmp_path)

    assert [d for d in unlike(given, written) if not is_expected(d)] == []
    atif.Trajectory.model_validate(written)


def test_trajectories_that_nothing_refers_to_are_kept_beside_those_that_ran(tmp_path: Path) -> None:
    given = json.loads(SHIPPED.read_text(encoding="utf-8"))
    [inner] = given["subagent_trajectories"]
    given["subagent_trajectories"] = [inner, inner | {"trajectory_id": "never called"}]

    written = round_trip(given, tmp_path)

    ids = [document["trajectory_id"] for document in everything(written)]
    assert ids == ["top", "inner", "never called"]


def test_a_second_round_changes_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    once = round_trip(json.loads(SHIPPED.read_text(encoding="utf-8")), tmp_path / "once")

    assert round_trip(once, tmp_path / "twice") == once


def test_nothing_is_lost_of_documents_that_others_wrote(tmp_path: Path) -> None:
    for path in sorted(corpus.third_party("atif-fixtures").glob("*.json")):
        given = json.loads(path.read_text(encoding="utf-8"))
        folder = tmp_path / path.stem
        folder.mkdir()

        written = round_trip(given, folder)

        given = given if "steps" in given else given["parent"]
        assert [d for d in unlike(given, written) if not is_expected(d)] == [], path.name
        atif.Trajectory.model_validate(written)


# --- runs that were none -------------------------------------------------------------------------


@pytest.mark.parametrize("run", corpus.runs(corpus.SHIPPED), ids=lambda run: run.name)
def test_a_recorded_run_is_a_valid_document_with_each_call_once(run: Path, tmp_path: Path) -> None:
    store = stored(tmp_path / "store", run)

    written = exported(store, tmp_path / "out.jsonl")

    [(n_llm, n_tools)] = store.sql(
        "select sum(n_llm), sum(n_tools + n_handoffs) from trajectories"
    ).fetchall()
    steps = [s for document in written for d in everything(document) for s in d["steps"]]
    decided = [s for s in steps if s["source"] == "agent" and s.get("llm_call_count") != 0]
    assert not any(step.get("is_copied_context") for step in steps)
    results = [r for s in steps for r in s.get("observation", {"results": ()})["results"]]
    for document in written:
        atif.Trajectory.model_validate(document)
    assert len(decided) == n_llm
    assert sum(len(s.get("tool_calls", ())) for s in steps) == n_tools
    assert len(results) == n_tools


@pytest.fixture
def recorded(tmp_path: Path) -> TrajectoryStore:
    """A run of which the program tells all, with a failure and an agent inside an agent."""
    recording = otel_traj.instrument(tmp_path / "traces", instrumentors=(), seal=False)
    try:
        with otel_traj.trajectory("Refund", task_id="t-1", agent="support") as run:
            with otel_traj.tool_call("find", arguments={"order": 42}) as tool:
                tool.result("paid")
            with (
                pytest.raises(ValueError, match="no such order"),
                otel_traj.tool_call("refund", arguments={"order": 43}),
            ):
                raise ValueError("no such order")
            run.outcome("failure")
            run.reward(0.25)
    finally:
        recording.shutdown()
    store = open_store(tmp_path / "traces")
    store.seal(final=True)
    return store


def test_a_verdict_and_what_a_run_said_of_itself_are_extra(
    recorded: TrajectoryStore, tmp_path: Path
) -> None:
    [document] = exported(recorded, tmp_path / "out.jsonl")

    assert document["agent"]["name"] == "support"
    assert document["extra"] == {
        "task_id": "t-1",
        "task": "Refund",
        "outcome": "failure",
        "outcome_source": "explicit",
        "reward": 0.25,
    }


def test_a_tool_that_no_model_asked_for_is_a_step_without_a_model_call(
    recorded: TrajectoryStore, tmp_path: Path
) -> None:
    [document] = exported(recorded, tmp_path / "out.jsonl")

    found, refunded = document["steps"]
    assert (found["llm_call_count"], refunded["llm_call_count"]) == (0, 0)
    assert found["tool_calls"][0]["arguments"] == {"order": 42}
    assert found["observation"]["results"][0]["content"] == "paid"
    [result] = refunded["observation"]["results"]
    assert result["content"] == "no such order"
    assert result["extra"] == {
        "status": "error",
        "error_type": "ValueError",
        "error_message": "no such order",
    }


def test_without_the_store_the_rows_alone_are_told(
    recorded: TrajectoryStore, tmp_path: Path
) -> None:
    path = tmp_path / "out.jsonl"

    assert exporters.export(recorded.trajectories(), "atif", path) == 1

    document = json.loads(path.read_text(encoding="utf-8"))
    assert "extra" not in document
    assert [step["tool_calls"][0]["function_name"] for step in document["steps"]] == [
        "find",
        "refund",
    ]


def test_credentials_do_not_get_out(tmp_path: Path) -> None:
    secret = "sk-ant-api03-" + "A1b2C3d4" * 11
    given = json.loads(SHIPPED.read_text(encoding="utf-8"))
    given["extra"] = {"key": secret}
    given["steps"][2]["extra"] = {"key": secret}
    given["steps"][1]["message"] = f"My key is {secret}."
    source = tmp_path / "source.json"
    source.write_text(json.dumps(given), encoding="utf-8")

    store = stored(tmp_path / "store", source)

    assert secret in json.dumps(exported(store, tmp_path / "all.json", redact=False))
    assert secret not in json.dumps(exported(store, tmp_path / "out.json", redact=True))


def test_a_run_without_a_step_is_left_out(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    empty = Trajectory(
        trajectory_id="t", trace_ids=("a",), start_time=datetime.now(UTC), status="completed"
    )

    assert exporters.export([empty], "atif", tmp_path / "out.jsonl") == 0
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == ""
