"""Chrome traces: what ran when, in lanes that the format can show."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from otel_traj import exporters, semconv
from otel_traj.errors import ConfigurationError
from otel_traj.store import TrajectoryStore
from tests import corpus
from tests.store.runs import chat, root, run, tool

KEY = "sk-ant-api03-" + "x" * 24


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    return TrajectoryStore.create(tmp_path / "traces")


def exported(store: TrajectoryStore, path: Path) -> list[dict[str, Any]]:
    exporters.export(store.trajectories(), "chrome", path, store=store)
    events: list[dict[str, Any]] = json.loads(path.read_bytes())["traceEvents"]
    return events


@pytest.mark.parametrize("folder", corpus.runs(corpus.SHIPPED), ids=lambda folder: folder.name)
def test_every_span_is_one_event_at_its_time(
    store: TrajectoryStore, tmp_path: Path, folder: Path
) -> None:
    spans, logs = corpus.records(folder)
    store.append([*spans, *logs])

    events = exported(store, tmp_path / "trace.json")

    complete = {event["args"]["span_id"]: event for event in events if event["ph"] == "X"}
    assert complete.keys() == {span.span_id for span in spans if span.end_ns is not None}
    for span in spans:
        if span.end_ns is not None:
            event = complete[span.span_id]
            assert event["name"] == span.name
            assert event["ts"] == span.start_ns / 1000
            assert event["dur"] == (span.end_ns - span.start_ns) / 1000


def test_events_of_one_lane_lie_within_each_other_or_apart(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    first, second = tool(1, 1), tool(1, 2)
    crossing = [
        dataclasses.replace(first, end_ns=first.start_ns + 3 * 10**6),
        dataclasses.replace(second, end_ns=second.start_ns + 3 * 10**6),
    ]
    whole = root(1)
    store.append([*crossing, chat(1, 8), dataclasses.replace(whole, end_ns=whole.start_ns + 10**7)])

    events = [event for event in exported(store, tmp_path / "t.json") if event["ph"] == "X"]

    lanes = {event["tid"] for event in events}
    assert lanes == {0, 1}
    for lane in lanes:
        own = [e for e in events if e["tid"] == lane]
        own.sort(key=lambda event: (event["ts"], -event["dur"]))
        for before, after in pairwise(own):
            end = before["ts"] + before["dur"]
            assert after["ts"] >= end or after["ts"] + after["dur"] <= end


def test_runs_are_processes_and_steps_say_what_they_did(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    store.append([*run(1), *run(2)])

    events = exported(store, tmp_path / "t.json")

    names = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert names == ["clerk · order-2", "clerk · order-1"]
    [called, _] = [event for event in events if event["name"] == "execute_tool lookup"]
    assert (called["cat"], called["args"]["tool"], called["args"]["step"]) == ("tool", "lookup", 1)


def test_secrets_stay_and_an_empty_export_is_a_trace(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    empty = exported(store, tmp_path / "empty.json")
    store.append([tool(1, 1, **{semconv.TOOL_CALL_ARGUMENTS: KEY}), root(1)])
    exported(store, tmp_path / "t.json")

    assert empty == []
    assert KEY not in (tmp_path / "t.json").read_text()
    assert "[redacted:" in (tmp_path / "t.json").read_text()


def test_without_the_store_there_are_no_spans_to_write(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="needs the store"):
        exporters.export(store.trajectories(), "chrome", tmp_path / "t.json")
