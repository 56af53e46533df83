"""The demo from end to end: a real agent process, what it left in the store, and what SQL says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import otel_traj
from otel_traj import demo
from otel_traj.demo.workspace import Workspace
from otel_traj.errors import OtelTrajError, StoreNotWritableError
from otel_traj.store import TrajectoryStore

pytestmark = pytest.mark.slow

CHECKOUT = Path(otel_traj.__file__).parents[1]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> demo.DemoResult:
    return demo.run(tmp_path_factory.mktemp("demo") / "traces")


@pytest.fixture(scope="module")
def store(result: demo.DemoResult) -> TrajectoryStore:
    return otel_traj.open_store(result.store)


def rows(store: TrajectoryStore, query: str, **parameters: object) -> list[tuple[Any, ...]]:
    return store.sql(query, parameters).fetchall()


def attempt(store: TrajectoryStore, task_id: str, prompt_version: str) -> str:
    """The id of the trajectory of one attempt."""
    ((trajectory_id,),) = rows(
        store,
        "select trajectory_id from trajectories where task_id = $task and prompt_version = $prompt",
        task=task_id,
        prompt=prompt_version,
    )
    return str(trajectory_id)


def test_each_attempt_is_one_trajectory_judged_by_the_tests(
    result: demo.DemoResult, store: TrajectoryStore
) -> None:
    found = rows(
        store,
        "select trajectory_id, task_id, prompt_version, status, outcome, outcome_source, reward"
        " from trajectories order by start_time",
    )

    assert [row[0] for row in found] == list(result.trajectory_ids)
    assert [row[1:] for row in found] == [
        ("slugs", "v1", "completed", "success", "explicit", 1.0),
        ("pricing", "v1", "completed", "failure", "explicit", 0.5),
        ("durations", "v1", "error", "error", "builtin", None),
        ("slugs", "v2", "completed", "success", "explicit", 1.0),
        ("pricing", "v2", "completed", "success", "explicit", 1.0),
        ("durations", "v2", "completed", "failure", "explicit", 0.8),
    ]


def test_shown_run_is_every_step_in_order(result: demo.DemoResult, store: TrajectoryStore) -> None:
    steps = rows(
        store,
        "select kind, agent_name, tool_name, status from steps where trajectory_id = $id"
        " order by step",
        id=result.shown_id,
    )

    def says(agent: str) -> tuple[str, str, None, str]:
        return ("llm", agent, None, "ok")

    def does(tool: str, status: str = "ok") -> tuple[str, str, str, str]:
        return ("tool", "coder", tool, status)

    review = [("handoff", "coder", "ask_reviewer", "ok"), says("reviewer")]
    assert steps[0][0] == "user"
    assert steps[1:] == [
        *[says("coder"), does("read_file"), does("read_file")],
        *[says("coder"), does("edit_file", "error")],
        *[says("coder"), does("edit_file"), says("coder"), does("run_tests")],
        *[says("coder"), does("edit_file"), says("coder"), does("run_tests")],
        *[says("coder"), *review],
        *[says("coder"), does("edit_file"), says("coder"), does("run_tests")],
        *[says("coder"), *review],
        says("coder"),
    ]


def test_failed_tool_call_is_an_error_step_with_what_the_model_saw(store: TrajectoryStore) -> None:
    failed = rows(
        store,
        "select t.task_id, t.prompt_version, s.tool_name,"
        " s.error_type, s.error_message, s.model_saw"
        " from steps s join trajectories t using (trajectory_id)"
        " where s.kind = 'tool' and s.status = 'error' order by s.start_time",
    )

    error = "otel_traj.demo.workspace.ToolError"
    once = "the old text occurs 0 times in {}.py, it must occur once"
    missing = "no file duration.py; did you mean durations.py?"
    assert failed == [
        (task, prompt, tool, error, message, f"Error: {message}")
        for task, prompt, tool, message in [
            ("slugs", "v1", "edit_file", once.format("slugs")),
            ("durations", "v1", "read_file", missing),
            ("pricing", "v2", "edit_file", once.format("pricing")),
        ]
    ]


def test_sub_agent_is_a_delegation_that_answers(
    result: demo.DemoResult, store: TrajectoryStore
) -> None:
    reviews = rows(
        store,
        "select handoff_from, handoff_to, handoff_mode, tool_call_id is not null, result"
        " from steps where trajectory_id = $id and kind = 'handoff' order by step",
        id=result.shown_id,
    )

    assert [review[:4] for review in reviews] == [("coder", "reviewer", "delegate", True)] * 2
    assert [review[4].split(".")[0].split(":")[0] for review in reviews] == [
        "Objection",
        "Approved",
    ]


def test_provider_failure_is_the_error_of_the_run(store: TrajectoryStore) -> None:
    trajectory_id = attempt(store, "durations", "v1")
    ending = rows(
        store,
        "select kind, model, status, error_type, error_message, output_tokens from steps"
        " where trajectory_id = $id order by step desc limit 1",
        id=trajectory_id,
    )

    ((kind, model, status, error_type, message, tokens),) = ending
    assert (kind, model, status, tokens) == ("llm", "demo-coder", "error", None)
    assert error_type == "openai.InternalServerError"
    assert "The model is overloaded" in message
    run = store.trajectory(trajectory_id)
    assert "The model is overloaded" in str(run.error_message)
    assert run.final_answer is None


def test_claim_of_the_agent_is_kept_beside_the_judgement(store: TrajectoryStore) -> None:
    claimed = store.trajectory(attempt(store, "pricing", "v1"))

    assert claimed.task == "Repair pricing.py so that test_pricing.py passes."
    assert claimed.final_answer == (
        "total takes the discount as a percentage now, and all tests pass."
    )


def test_file_changes_lead_from_the_checkout_to_the_final_files(
    result: demo.DemoResult, store: TrajectoryStore, tmp_path: Path
) -> None:
    run = store.trajectory(result.shown_id)
    changes = run.file_changes
    checkout = Workspace.checkout(tmp_path)

    assert json.loads(str(run.initial_state)) == checkout.files()
    texts = [checkout.files()["pricing.py"], *(change.content_after for change in changes)]
    assert {change.path for change in changes} == {"pricing.py"}
    assert [change.content_before for change in changes] == texts[:-1]
    assert [(change.added, change.removed) for change in changes] == [(1, 1), (2, 0), (1, 1)]
    assert "+        raise ValueError\n" in str(changes[1].diff)
    (checkout.folder / "pricing.py").write_text(str(texts[-1]), encoding="utf-8")
    assert checkout.run_tests("test_pricing.py").test_pass_rate == 1.0


def test_pass_rates_stand_at_the_test_runs(result: demo.DemoResult, store: TrajectoryStore) -> None:
    rates = rows(
        store,
        "select test_pass_rate from steps"
        " where trajectory_id = $id and tool_name = 'run_tests' order by step",
        id=result.shown_id,
    )

    assert rates == [(0.5,), (1.0,), (1.0,)]


def test_tokens_are_told_by_every_call_that_was_answered(store: TrajectoryStore) -> None:
    calls = rows(
        store,
        "select model, stream is true, count(*), count(input_tokens), count(output_tokens),"
        " count(response_id) from steps where kind = 'llm' and status = 'ok'"
        " group by all order by model",
    )
    sums = rows(
        store,
        "select t.trajectory_id from trajectories t join steps s using (trajectory_id)"
        " group by all having any_value(t.input_tokens) is distinct from sum(s.input_tokens)"
        " or any_value(t.output_tokens) is distinct from sum(s.output_tokens)",
    )

    assert calls == [("demo-coder", False, 37, 37, 37, 37), ("demo-reviewer", True, 4, 4, 4, 4)]
    assert sums == []


def test_nothing_had_to_be_repaired_or_is_missing(store: TrajectoryStore) -> None:
    counts = rows(
        store,
        "select sum(n_duplicates), sum(n_late), sum(n_orphans), sum(n_truncated),"
        " sum(n_missing_content), sum(n_dropped_spans), sum(n_open), bool_and(complete)"
        " from trajectories",
    )

    assert counts == [(0, 0, 0, 0, 0, 0, 0, True)]
    assert store.verify() == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (0, [("durations", 2, 0, 1, 1, 1, 0.8), ("pricing", 2, 1, 1, 0, 2, 0.75)]),
        (1, [("edit_file", 14, 2, 0.14)]),
        (2, [("coder", "demo-coder", 38), ("reviewer", "demo-reviewer", 4)]),
    ],
)
def test_shown_questions_are_answered_from_the_runs(
    store: TrajectoryStore, question: int, answer: Sequence[tuple[Any, ...]]
) -> None:
    found = store.sql(demo.QUESTIONS[question].sql).fetchall()

    assert [row[: len(answer[0])] for row in found[: len(answer)]] == answer


def test_second_demo_adds_its_runs_whatever_lies_in_the_folder(
    result: demo.DemoResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = tmp_path / "traces"
    shutil.copytree(result.store, traces)
    (tmp_path / "json.py").write_text("raise SystemExit('imported by mistake')")
    monkeypatch.chdir(tmp_path)
    endings: list[str] = []

    again = demo.run(traces, on_progress=endings.append)

    outcomes = rows(
        otel_traj.open_store(traces),
        "select task_id, outcome, count(*) from trajectories group by all order by all",
    )
    assert not set(again.trajectory_ids) & set(result.trajectory_ids)
    assert outcomes == [
        ("durations", "error", 2),
        ("durations", "failure", 2),
        ("pricing", "failure", 2),
        ("pricing", "success", 2),
        ("slugs", "success", 4),
    ]
    assert endings == [
        "slugs, prompt v1: success, 100% of the tests pass",
        "pricing, prompt v1: failure, 50% of the tests pass",
        "durations, prompt v1: error, InternalServerError",
        "slugs, prompt v2: success, 100% of the tests pass",
        "pricing, prompt v2: success, 100% of the tests pass",
        "durations, prompt v2: failure, 80% of the tests pass",
    ]


def test_store_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "traces").write_text("a file, not a folder")

    with pytest.raises(StoreNotWritableError):
        demo.run(tmp_path / "traces")


def test_failure_of_the_agent_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openai.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(OtelTrajError, match="exit code 3"):
        demo.run(tmp_path / "traces")


def test_interrupted_demo_ends_its_agent_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.run(tmp_path / "traces", on_progress=interrupt)

    found = rows(
        otel_traj.open_store(tmp_path / "traces"),
        "select task_id, outcome from trajectories order by start_time",
    )
    assert 1 <= len(found) < 6
    assert found[0] == ("slugs", "success")


@pytest.mark.skipif((CHECKOUT / "openai").exists(), reason="the extra is installed beside us")
def test_missing_package_names_the_extra_that_brings_it(tmp_path: Path) -> None:
    program = f"from otel_traj import demo; demo.run(demo.Path({str(tmp_path)!r}))"
    process = subprocess.run(
        [sys.executable, "-S", "-c", program],  # -S: no installed package is seen
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.stderr.strip().splitlines()[-1] == (
        "otel_traj.errors.MissingExtraError: The demo needs openai."
        " Install it with: pip install 'otel-traj[demo]'"
    )


def test_agent_process_imports_nothing_of_the_store() -> None:
    program = (
        "import sys, otel_traj.demo.agent;"
        "print(sorted({'duckdb', 'pyarrow', 'google.protobuf'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout == "[]\n"
