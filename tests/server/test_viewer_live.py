"""What happens is told as it happens: to everybody, in order, once, and to nobody who has gone."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.redaction import choose
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.viewer import live
from otel_traj.server.viewer.live import Position, Streams, Topics
from otel_traj.server.viewer.reading import Reader, TooSlowError
from otel_traj.store import TrajectoryStore
from tests.cli.test_top import now
from tests.server.episodes import KEY
from tests.server.serving import ROOT, serving
from tests.server.streams import Copy, Told, stream
from tests.server.viewing import Viewing, viewing
from tests.store.runs import chat, root, run, started, tool

slow = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    """One run that has ended."""
    made = TrajectoryStore.create(tmp_path / "traces")
    made.append(run(1))
    return made


@pytest.fixture
def viewer(store: TrajectoryStore) -> Iterator[Viewing]:
    with viewing(store.path, redaction=choose("secrets")) as running:
        yield running


def until(events: Iterator[Told], name: str) -> tuple[list[Told], Told]:
    """The events up to the first of a name, and that one."""
    before: list[Told] = []
    for event in events:
        if event.name == name:
            return before, event
        before.append(event)
    raise AssertionError(f"the stream ended before {name}: {before}")


def steps(event: Told) -> list[tuple[str, str]]:
    return [(step["kind"], step["action"]) for step in event.data["rows"]]


def spans(viewer: Viewing, run_id: str) -> dict[str, Any]:
    """All spans of a run, as an event would tell them."""
    told = viewer.get(f"trajectories/{run_id}/spans")
    return {"since": 0, "spans": told, "above": {"i": [], "v": []}}


# --- what is told --------------------------------------------------------------------------------


@slow
def test_who_begins_is_shown_what_was_last_and_then_what_comes(
    store: TrajectoryStore, viewer: Viewing
) -> None:
    with stream(viewer.address, "runs") as events:
        _, before = until(events, "end")
        store.append([started(root(2)), chat(2, 1)])
        _, began = until(events, "run")
        _, asked = until(events, "step")
        store.append([tool(2, 2)])
        _, ran = until(events, "step")
        store.append([root(2)])
        between, ended = until(events, "end")

    assert [row["task"] for row in before.data["rows"]] == ["order-1"]
    assert [(row["task"], row["status"]) for row in began.data["rows"]] == [("order-2", "open")]
    assert steps(asked) == [("llm", "m-1")]
    assert steps(ran) == [("tool", "lookup")]
    assert between == []
    assert [(row["task"], row["status"]) for row in ended.data["rows"]] == [
        ("order-2", "completed")
    ]


@slow
def test_a_run_is_told_with_its_spans_and_is_as_it_is_stored_in_the_end(
    store: TrajectoryStore, viewer: Viewing
) -> None:
    store.append([started(root(2)), chat(2, 1)])
    [row] = viewer.get("trajectories", status="open")["rows"]
    run_id = row["trajectory_id"]
    known = Copy()
    known.take(spans(viewer, run_id))

    with stream(viewer.address, f"traj:{run_id[:8]}") as events:
        known.take(until(events, "spans")[1].data)
        store.append([tool(2, 2), *run(3)])
        known.take(until(events, "spans")[1].data)
        store.append([root(2)])
        known.take(until(events, "spans")[1].data)
        _, ended = until(events, "end")

    whole = Copy()
    whole.take(spans(viewer, run_id))
    assert known == whole
    assert [row["trajectory_id"] for row in ended.data["rows"]] == [run_id]


@slow
def test_secrets_are_replaced_in_what_is_told(store: TrajectoryStore, viewer: Viewing) -> None:
    told = {semconv.TOOL_CALL_RESULT: f"the key is {KEY}", semconv.TOOL_NAME: "look\u202eup"}
    store.append([tool(2, 1, **told), root(2, **{semconv.TASK: f"with {KEY}"})])

    with stream(viewer.address, "runs") as events:
        text = json.dumps([until(events, "step")[1].data, until(events, "end")[1].data])

    assert "the key is" in text
    assert KEY not in text


# --- cut off -------------------------------------------------------------------------------------


_WRITER = """
import sys
from pathlib import Path
from otel_traj.store import TrajectoryStore
from tests.store.runs import root, tool

store, n = TrajectoryStore(Path(sys.argv[1])), int(sys.argv[2])
for begin in range(2, n, n // 8):
    store.append([tool(2, position) for position in range(begin, min(n, begin + n // 8))])
store.append([root(2)])
"""


@slow
def test_nothing_is_missing_or_twice_for_who_is_cut_off_again_and_again(
    store: TrajectoryStore, viewer: Viewing
) -> None:
    n = 800
    store.append([started(root(2)), tool(2, 1)])
    [row] = viewer.get("trajectories", status="open")["rows"]
    topics = f"runs,traj:{row['trajectory_id']}"
    chance = random.Random(7)
    known, last, seen = Copy(), None, set[tuple[str, str]]()
    n_steps, n_cuts, is_over = 0, 0, False
    known.take(spans(viewer, row["trajectory_id"]))

    with stream(viewer.address, topics) as events:
        last = until(events, "end")[1].id
    writer = _process(_WRITER, store.path, n)
    while not is_over:
        with stream(viewer.address, topics, last) as events:
            for event in events:
                last = event.id
                if event.name == "spans":
                    known.take(event.data)
                if event.name == "step":
                    n_steps += len(event.data["rows"]) + event.data["skipped"]
                    seen |= {(step["trace_id"], step["span_id"]) for step in event.data["rows"]}
                if event.name == "end" and event.data["rows"][0]["task"] == "order-2":
                    is_over = True
                    break
                if chance.random() < 0.4:
                    n_cuts += 1
                    break

    assert writer.wait(60) == 0
    whole = Copy()
    whole.take(spans(viewer, row["trajectory_id"]))
    assert known == whole
    assert known.n == n
    assert n_cuts > 1
    assert len(seen) <= n_steps


def _process(source: str, *arguments: object) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(map(str, (ROOT, ROOT / "exporters", ROOT / "analysis")))
    return subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
    )


@slow
def test_who_comes_back_is_told_what_came_meanwhile_and_nothing_else(
    store: TrajectoryStore, viewer: Viewing
) -> None:
    with stream(viewer.address, "runs") as events:
        last = until(events, "end")[1].id
    store.append([started(root(2)), chat(2, 1)])
    store.append([tool(2, 2)])
    store.append([root(2)])
    viewer.get("meta")

    with stream(viewer.address, "runs", last) as events:
        before, ended = until(events, "end")
    with stream(viewer.address, "runs", ended.id) as events:
        store.append(run(3))
        _, next_ = until(events, "end")

    assert [steps(event) for event in before] == [[("llm", "m-1"), ("tool", "lookup")]]
    assert [row["task"] for row in ended.data["rows"]] == ["order-2"]
    assert [row["task"] for row in next_.data["rows"]] == ["order-3"]


@slow
@pytest.mark.parametrize("last", ["nothing of ours", "9999999999", "-1", "1.2", "٣", "1" * 400])
def test_a_position_that_is_none_begins_anew(viewer: Viewing, last: str) -> None:
    with stream(viewer.address, "runs", quoted(last)) as events:
        _, ended = until(events, "end")

    assert [row["task"] for row in ended.data["rows"]] == ["order-1"]


def quoted(text: str) -> str:
    """As a header may hold it."""
    return text.encode().decode("latin-1")


positions = st.builds(
    Position, st.integers(0, 2**50), st.none() | st.integers(0, 2**40), st.integers(0, 2**32 - 1)
).map(lambda p: Position(p.commit) if p.rows is None else p)


@given(positions)
def test_a_position_is_read_as_it_was_written(position: Position) -> None:
    assert Position.read(str(position)) == position


@slow
def test_what_could_not_be_read_is_read_again_though_nothing_more_comes(
    store: TrajectoryStore, viewer: Viewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([TooSlowError("a machine with too much to do")] * 3)
    read = live.batch

    def failing(*asked: Any) -> live.Batch:
        for failure in failures:
            raise failure
        return read(*asked)

    monkeypatch.setattr(live, "AGAIN_S", 0.02)
    monkeypatch.setattr(live, "batch", failing)
    with stream(viewer.address, "runs") as events:
        _, ended = until(events, "end")

    assert [row["task"] for row in ended.data["rows"]] == ["order-1"]


# --- many, slow and gone -------------------------------------------------------------------------


@slow
def test_who_does_not_read_holds_nobody_up(store: TrajectoryStore, viewer: Viewing) -> None:
    with contextlib.ExitStack() as open_:
        for _ in range(8):  # they never read more than the head
            open_.enter_context(stream(viewer.address, "runs"))
        events = open_.enter_context(stream(viewer.address, "runs"))
        until(events, "end")
        for number in range(2, 8):
            store.append(run(number))
            _, ended = until(events, "end")
            assert f"order-{number}" in [row["task"] for row in ended.data["rows"]]


@slow
def test_too_many_are_refused_and_places_become_free(
    viewer: Viewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAMS", 2)

    with stream(viewer.address, "runs") as one, stream(viewer.address, "runs") as two:
        assert [until(one, "end")[1], until(two, "end")[1]]
        assert viewer.refused("live")["status"] == 503
    while viewer_is_full(viewer):
        pass  # the server hears of it when the connection is gone


def viewer_is_full(viewer: Viewing) -> bool:
    connection = http.client.HTTPConnection(viewer.address, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/api/ot/v1/live")
        return connection.getresponse().status == 503


def test_nothing_is_looked_at_when_nobody_listens(store: TrajectoryStore) -> None:
    async def listen() -> tuple[bool, bool]:
        threads = Threads()
        streams = Streams(Reader(store, choose("off")), threads)
        events = streams.events(Topics(True, None), None)
        await anext(events)
        await anext(events)
        is_watched = streams.is_watching
        await events.aclose()  # type: ignore[attr-defined]
        threads.close()
        return is_watched, streams.is_watching

    assert asyncio.run(listen()) == (True, False)


def test_a_silent_stream_gives_a_sign(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)

    async def listen() -> list[bytes]:
        threads = Threads()
        streams = Streams(Reader(store, choose("off")), threads)
        events = streams.events(Topics(True, None), Position(1))
        told = [await anext(events) for _ in range(4)]
        await events.aclose()  # type: ignore[attr-defined]
        threads.close()
        return told

    assert asyncio.run(listen())[1:] == [b":\n\n"] * 3  # the look that found nothing says nothing


@slow
def test_the_stream_of_a_service_ends_well_when_that_stops(tmp_path: Path) -> None:
    with serving(tmp_path / "traces") as service:
        seen: list[Any] = []
        with stream(service.addresses["HTTP"], "runs") as events:
            reading = threading.Thread(target=lambda: seen.extend(events))
            reading.start()
            status = service.stop()
            reading.join(30)

    assert status == 0  # and `readline` met the end of the answer, not of the connection
    assert not reading.is_alive()


# --- who may, and what for -----------------------------------------------------------------------


@slow
def test_it_asks_for_the_token_like_the_rest(store: TrajectoryStore) -> None:
    with viewing(store.path, token="secret") as viewer:
        assert viewer.refused("live")["status"] == 401
        assert viewer.refused("activity")["status"] == 401
        with stream(viewer.address, "runs", authorization="Bearer secret") as events:
            until(events, "end")


@slow
@pytest.mark.parametrize(
    ("topics", "status"), [("", 400), ("all", 400), ("traj:a,traj:b", 400), ("traj:nobody", 404)]
)
def test_what_there_is_not_is_refused(viewer: Viewing, topics: str, status: int) -> None:
    assert viewer.refused("live", topics=topics)["status"] == status


# --- figures -------------------------------------------------------------------------------------


@slow
def test_the_figures_are_those_of_top(store: TrajectoryStore, viewer: Viewing) -> None:
    """S1.17."""
    hung: list[SpanRecord] = [started(root(2)), started(tool(2, 1))]
    store.append([now(span, seconds_ago=3000) for span in hung])
    store.append([now(span, seconds_ago=60) for span in run(3, **{semconv.OUTCOME: "success"})])

    told = viewer.get("activity")
    later = viewer.get("activity", hung_after_s=5000)

    counts = ("n_running", "n_hung", "n_open_steps", "n_ended", "n_judged", "n_success")
    assert [told["all"][name] for name in counts] == [0, 1, 1, 1, 1, 1]
    assert [agent["agent_name"] for agent in told["agents"]] == ["clerk"]
    assert [(r["state"], r["kind"], r["name"]) for r in told["open_runs"]] == [
        ("hung", "tool", "lookup")
    ]
    assert [r["state"] for r in later["open_runs"]] == ["running"]
    assert viewer.get("activity", agent="nobody")["all"] is None
    assert viewer.refused("activity", window_s=0)["status"] == 400
