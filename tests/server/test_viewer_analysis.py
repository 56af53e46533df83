"""Analyses over HTTP: what they say, of which runs, and how long they may take."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from otel_traj import semconv
from otel_traj.redaction import Redaction
from otel_traj.server.viewer import analysing
from otel_traj.server.viewer.analysing_jobs import Job, Jobs, NobodyWaitsError
from otel_traj.server.viewer.asking import PREFIX
from otel_traj.server.viewer.reading import Reader
from otel_traj.store import TrajectoryStore
from otel_traj_analysis.reporting.views import VIEWS
from otel_traj_analysis.values import UNKNOWN
from tests.server.attempts import LOSSES, N_TASKS, WINS, attempts
from tests.server.episodes import KEY
from tests.server.viewing import Viewing, segment, viewing
from tests.store.runs import root, run, tool

ALL = N_TASKS * (WINS + LOSSES)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewing]:
    """Tries at eight tasks, and a run of another agent that nobody judged."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("analysed") / "traces")
    store.append([*attempts(), *run(7, **{semconv.AGENT_NAME: "other"})])
    with viewing(store.path) as running:
        yield running


def column(answer: dict[str, Any], name: str) -> list[Any]:
    [place] = [n for n, each in enumerate(answer["columns"]) if each["name"] == name]
    return [row["values"][place] for row in answer["rows"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", VIEWS)
def test_every_analysis_of_the_report_is_answered(viewer: Viewing, name: str) -> None:
    answer = viewer.get(f"analysis/{name}", limit=3)

    assert len(answer["rows"]) <= 3
    assert len(answer["rows"]) <= answer["n"]
    assert all(len(row["values"]) == len(answer["columns"]) for row in answer["rows"])
    assert all(len(row["texts"]) == len(answer["columns"]) for row in answer["rows"])
    assert answer["sql"].rstrip().endswith(";")


@pytest.mark.slow
def test_a_pattern_says_what_may_be_believed_with_its_counts_and_where(viewer: Viewing) -> None:
    answer = viewer.get("analysis/success_patterns")

    first = answer["rows"][0]
    assert column(answer, "pattern")[0] == ["read_policy"]
    assert column(answer, "label")[0] == "suggestive"
    assert column(answer, "strata")[0]
    assert first["said"].startswith("read_policy: 32 of 32 runs with it succeed, 0 of 40 without")
    assert first["only"] == {"tool": ["read_policy"]}
    place = first["places"][0]
    step = viewer.get(f"trajectories/{place['trajectory_id']}/steps/{place['step']}")
    assert step["tool_name"] == "read_policy"
    assert answer["verdict"].startswith("No pattern is known to hold within tasks")


@pytest.mark.slow
def test_too_few_runs_are_told_with_how_many_more_are_needed(viewer: Viewing) -> None:
    answer = viewer.get("analysis/success_patterns", task="refund-1")

    assert {label["label"] for label in answer["labels"]} <= {"insufficient", "suggestive"}
    tool_answer = viewer.get("analysis/tool_effectiveness", agent="other")
    [row] = tool_answer["rows"]
    assert column(tool_answer, "label") == ["insufficient"]
    assert row["needed"].endswith("more finished calls")


@pytest.mark.slow
def test_filters_of_the_list_choose_the_runs(viewer: Viewing) -> None:
    everything = viewer.get("analysis")
    failed = viewer.get("analysis", outcome="failure")
    of_task = viewer.get("analysis/outcomes", q="task:refund-3 tool:read_policy")

    assert everything["n_runs"] == ALL + 1
    assert failed["n_runs"] == viewer.get("trajectories", outcome="failure")["total"]
    assert column(of_task, "task") == ["refund-3"]
    assert column(of_task, "n") == [WINS]


@pytest.mark.slow
def test_every_row_leads_to_runs_in_the_list(viewer: Viewing) -> None:
    for name in ("outcomes", "tool_effectiveness", "token_cost", "process_map", "drift"):
        for row in viewer.get(f"analysis/{name}")["rows"]:
            asked = {key: value for key, value in row["only"].items() if key != "tool"}
            asked["q"] = " ".join(f'tool:"{each}"' for each in row["only"].get("tool", ()))
            assert viewer.get("trajectories", **asked)["total"] > 0, (name, row)


@pytest.mark.slow
def test_unknown_is_unknown(viewer: Viewing) -> None:
    answer = viewer.get("analysis/outcomes", agent="other")
    [figure] = [
        each
        for each in viewer.get("analysis", agent="other")["figures"]
        if each["name"] == "succeed"
    ]

    assert column(answer, "success_rate") == [None]
    assert figure == {"name": "succeed", "figure": UNKNOWN, "made_of": "no attempt was judged"}


@pytest.mark.slow
def test_the_flow_is_drawn_and_its_arrows_are_rows(viewer: Viewing) -> None:
    answer = viewer.get("analysis/process_map", agent="clerk")

    calls = {box["call"] for box in answer["drawing"]["boxes"]}
    assert calls == {"lookup", "read_policy", None}
    for arrow in answer["drawing"]["arrows"]:
        assert f"{column(answer, 'n')[arrow['row']]:,}" == arrow["label"]


@pytest.mark.slow
def test_texts_are_redacted_and_places_still_lead_there(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    failed = {semconv.ERROR_TYPE: "KeyError", semconv.TOOL_NAME: KEY}
    store.append([tool(1, 1, **failed), root(1, **{semconv.TRAJECTORY_ID: KEY})])
    with viewing(store.path, redaction=Redaction()) as running:
        answer = running.ask("analysis/tool_errors")
        [row] = running.get("analysis/tool_errors")["rows"]
        runs = running.get("trajectories")["rows"]

    assert KEY not in answer.body.decode().replace(f'"trajectory_id":"{KEY}"', "")
    assert row["places"][0]["trajectory_id"] == runs[0]["trajectory_id"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nothing", "step_timeline", "../checks/x", "/etc/passwd.sql"])
def test_only_what_tells_of_many_runs_is_asked(viewer: Viewing, name: str) -> None:
    assert viewer.refused(f"analysis/{segment(name)}")["status"] == 404


@pytest.mark.slow
def test_an_empty_store_is_analysed_too(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    with viewing(store.path) as running:
        found = [running.get(f"analysis/{name}") for name in ("success_patterns", "process_map")]
        runs = running.get("analysis")["n_runs"]

    assert [(answer["n"], answer["drawing"]) for answer in found] == [(0, None)] * 2
    assert runs == 0


@pytest.mark.slow
def test_what_is_counted_for_who_hangs_up_is_given_up(
    viewer: Viewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(reader: Reader, job: Job, *asked: object) -> None:
        def ask(cursor: duckdb.DuckDBPyConnection) -> None:
            job.goes_on(cursor)
            begun.set()
            cursor.execute("select count(*) from range(1_000_000_000_000)").fetchall()

        try:
            reader.read(ask)
        finally:
            ended.set()

    monkeypatch.setattr(analysing, "answer", endless)
    host, _, port = viewer.address.partition(":")
    with socket.create_connection((host, int(port))) as asker:
        asked = f"{PREFIX}/analysis/drift?agent=gone"  # nobody has asked this before
        asker.sendall(f"GET {asked} HTTP/1.1\r\nHost: {viewer.address}\r\n\r\n".encode())
        assert begun.wait(20)
        assert not ended.is_set()

    assert ended.wait(15)


async def stays() -> bool:
    return False


def test_a_question_asked_by_many_is_worked_at_once() -> None:
    begun: list[Job] = []
    may_end = threading.Event()

    def make(job: Job) -> str:
        begun.append(job)
        may_end.wait(10)
        return "answer"

    async def ask() -> list[str]:
        jobs = Jobs()
        asked = [asyncio.create_task(jobs.answer("key", make, stays)) for _ in range(3)]
        await asyncio.sleep(0)
        may_end.set()
        return [*await asyncio.gather(*asked), await jobs.answer("key", make, stays)]

    assert asyncio.run(ask()) == ["answer"] * 4
    assert len(begun) == 1


def test_a_question_is_given_up_when_the_last_asker_has_gone(tmp_path: Path) -> None:
    connection = TrajectoryStore.create(tmp_path / "traces").connection()
    ended = threading.Event()
    stopped: list[BaseException] = []

    def make(job: Job) -> None:
        try:
            job.goes_on(connection)
            connection.execute("select count(*) from range(1_000_000_000_000) a").fetchall()
        except BaseException as error:
            stopped.append(error)
            raise
        finally:
            ended.set()

    async def goes() -> bool:
        return True

    async def ask() -> None:
        with pytest.raises(NobodyWaitsError):
            await Jobs().answer("key", make, goes)

    asyncio.run(ask())
    assert ended.wait(10)
    assert "nterrupt" in str(stopped[0])


def test_a_question_that_failed_is_asked_again() -> None:
    answers = iter((ValueError("no"), "answer"))

    def make(job: Job) -> str:
        told = next(answers)
        if isinstance(told, Exception):
            raise told
        return told

    async def ask() -> str:
        jobs = Jobs()
        with pytest.raises(ValueError, match="no"):
            await jobs.answer("key", make, stays)
        told: str = await jobs.answer("key", make, stays)
        return told

    assert asyncio.run(ask()) == "answer"
