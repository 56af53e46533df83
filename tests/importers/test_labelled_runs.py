"""Runs that others labelled: what happened comes out, and how good their evaluation says it was."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from otel_traj import exporters, importers
from otel_traj.importers import Reading
from otel_traj.store import TrajectoryStore
from tests.importers.labelled import SYNTHETIC, kept, leaves, runs, said

FILES = sorted(path.name for path in SYNTHETIC.iterdir())

HAPPENED: dict[str, list[tuple[str | None, list[str], list[float], str]]] = {
    # file: of each run, task id, what it was judged, its reward, and its steps
    "atif.json": [(None, [], [], "user llm handoff:delegate llm tool:save llm")],
    "inspect.json": [
        ("sums/sum-3", ["error"], [], ""),
        ("sums/sum-2", [], [], "user llm tool:add! llm"),
        ("sums/sum-1", ["success"], [1.0], "user llm tool:add llm"),
    ],
    "messages.json": [(None, [], [], "user llm tool:thermometer llm")],
    "mini_swe_agent.traj.json": [
        ("shapes-2", [], [], "user llm tool:bash! llm user llm tool:bash"),
    ],
    "mini_swe_agent_calls.traj.json": [("shapes-3", ["failure"], [], "user llm tool:bash!")],
    "reflexion.jsonl": [("env_5", ["failure"], [], ""), ("env_5", ["success"], [], "")],
    "reflexion.txt": [
        (None, ["failure"], [], "user llm llm tool:Finish"),
        (None, ["success"], [], "user llm tool:Search llm tool:Finish"),
    ],
    "stratus.json": [("oom-1", ["failure"], [], "thought:logs tool:logs tool:submit!")],
    "swe_agent.traj": [("shapes-1", [], [], "user user llm tool:open llm tool:submit")],
    "swe_agent_calls.traj": [(None, ["failure"], [], "user llm tool:bash")],
    "tau2.json": [
        ("close_9", ["error"], [], ""),
        ("close_9", ["failure"], [0.0], "user llm tool:close!"),
        ("close_9", ["success"], [1.0], "user llm tool:close! llm"),
    ],
    "tau_bench.json": [
        ("3", ["success"], [1.0], "user llm tool:find_order llm tool:move llm"),
        ("3", ["failure"], [0.0], "user llm tool:find_order llm tool:move! llm"),
    ],
    "tau_bench_few_shot.jsonl": [(None, [], [], "user llm user llm tool llm")],
    "who_and_when.json": [("q-1", ["failure"], [], "user llm tool:Computer_terminal! llm llm")],
}


def step_words(run: Any) -> str:
    """`tool:move!` is a call of tool `move` that failed."""
    return " ".join(
        step.kind
        + (f":{step.tool_name}" if step.tool_name else "")
        + ("!" if step.status == "error" else "")
        for step in run.trajectory.steps
    )


@pytest.mark.parametrize("name", FILES)
def test_steps_and_verdicts_of_each_format_are_those_that_its_file_tells(name: str) -> None:
    found = runs(SYNTHETIC / name)

    happened = [
        (run.trajectory.task_id, said(run, "outcome"), said(run, "reward"), step_words(run))
        for run in found
    ]

    assert sorted(HAPPENED[name], key=str) == sorted(happened, key=str)


@pytest.mark.parametrize("name", FILES)
def test_nothing_that_a_file_says_is_lost(name: str) -> None:
    content = (SYNTHETIC / name).read_text(encoding="utf-8")

    stored = kept(importers.read(SYNTHETIC / name))

    lost = {leaf for leaf in leaves(_told(content)) if leaf not in stored}
    assert LEFT_OUT.get(name, set()) == lost


def _told(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        lines = [line for line in content.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]


LEFT_OUT = {
    "atif.json": {""},  # the message of who says nothing
    "inspect.json": {"model", "attachment://aa11"},  # what an event is; where a text stood
    "mini_swe_agent_calls.traj.json": {"function"},
    "messages.json": {"function"},  # the only kind of tool that there is
    "stratus.json": {
        "ToolCall(tool_name='submit', arguments={'answer': 'a leak'}, timestamp=1772359220.0,"
        " success=False, response='wrong number of arguments', duration=0.25)"
    },
    "swe_agent_calls.traj": {"function"},
    "tau_bench.json": {"function"},
    "tau_bench_few_shot.jsonl": {
        "user: Is it paid?\nassistant: Which order?\nuser: 42,\nthe blue one.\nassistant: None\n"
        'tool: {"paid": true}\nassistant: It is paid.'
    },
}
"""What is told in another form, piece by piece."""


def test_reading_files_again_changes_nothing(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "store")

    store.append(importers.read(SYNTHETIC))
    before = _rows(store)
    second = store.append(importers.read(SYNTHETIC))

    assert len(before) == sum(map(len, HAPPENED.values()))
    assert (second.spans, second.logs, second.conflicts) == (0, 0, 0)
    assert before == _rows(store)


def _rows(store: TrajectoryStore) -> list[Any]:
    query = "select trajectory_id, rev, n_steps, outcome, reward from trajectories order by all"
    return store.sql(query).fetchall()


def test_a_folder_of_all_formats_is_told_apart_by_content_alone(tmp_path: Path) -> None:
    for number, name in enumerate(FILES):
        shutil.copy(SYNTHETIC / name, tmp_path / f"{number:03}")

    readings = list(importers.readings(tmp_path))
    for reading in readings:
        list(reading)

    assert dict(zip(FILES, (reading.format for reading in readings), strict=True)) == {
        "atif.json": "ATIF",
        "inspect.json": "Inspect log",
        "messages.json": "chat messages",
        "mini_swe_agent.traj.json": "mini-swe-agent trajectory",
        "mini_swe_agent_calls.traj.json": "mini-swe-agent trajectory",
        "reflexion.jsonl": "Reflexion results",
        "reflexion.txt": "Reflexion text log",
        "stratus.json": "Stratus trace",
        "swe_agent.traj": "SWE-agent trajectory",
        "swe_agent_calls.traj": "SWE-agent trajectory",
        "tau2.json": "tau2-bench results",
        "tau_bench.json": "tau-bench results",
        "tau_bench_few_shot.jsonl": "tau-bench results",
        "who_and_when.json": "Who&When run",
    }
    assert [reading.flaws for reading in readings if reading.flaws] == []


def test_times_that_nobody_told_are_no_durations() -> None:
    first, second = runs(SYNTHETIC / "tau_bench.json")

    assert (first.trajectory.duration_us, first.trajectory.end_time) == (None, None)
    assert [step.duration_us for step in first.trajectory.steps] == [None] * 6
    starts = [step.start_time for step in first.trajectory.steps]
    assert starts == sorted(starts)
    told_by_spans = [step for step in first.trajectory.steps if step.kind != "user"]
    assert all("start_time: order in the source" in step.inferred for step in told_by_spans)
    assert first.trajectory.start_time < second.trajectory.start_time  # the trials in order


def test_times_that_are_told_are_kept_and_the_others_stay_unknown() -> None:
    run = runs(SYNTHETIC / "tau2.json")[0]

    by_name = {
        (s.kind, s.turn): s for s in max(runs(SYNTHETIC / "tau2.json"), key=_n).trajectory.steps
    }
    model, tool = by_name["llm", 0], by_name["tool", 0]

    assert datetime(2026, 3, 1, 10, 0, tzinfo=UTC) == run.trajectory.start_time
    assert run.trajectory.duration_us == 9_000_000
    assert (
        model.duration_us,
        model.response_id,
        model.input_tokens,
        model.output_tokens,
    ) == (1_500_000, "resp-1", 90, 7)
    assert (None, datetime(2026, 3, 1, 10, 0, 3, 200_000, UTC)) == (tool.duration_us, tool.end_time)


def _n(run: Any) -> int:
    return int(run.trajectory.n_steps)


def test_a_request_is_whole_though_its_span_tells_only_what_is_new() -> None:
    from otel_traj.assembly.requests import rebuild

    run = runs(SYNTHETIC / "tau_bench.json")[0]
    steps = run.trajectory.steps

    messages = rebuild(steps, 5)

    assert messages is not None
    assert [message.role for message in messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    assert all(step.messages_hash for step in steps if step.kind == "llm")


def test_costs_that_are_told_are_recorded_ones() -> None:
    run = max(runs(SYNTHETIC / "tau2.json"), key=_n)

    costs = [(s.cost_usd, s.cost_source) for s in run.trajectory.steps if s.kind == "llm"]

    assert costs == [(0.01, "recorded"), (0.01, "recorded")]


def test_a_submitted_patch_is_told_as_changes_of_files() -> None:
    run = runs(SYNTHETIC / "swe_agent.traj")[0]

    changes = [
        (change.step, change.path, change.added, change.removed)
        for change in run.trajectory.file_changes
    ]

    assert changes == [(5, "area.py", 1, 1), (5, "new.py", 1, 0)]


def test_the_labelled_mistake_is_an_annotation_of_its_step() -> None:
    run = runs(SYNTHETIC / "who_and_when.json")[0]

    (mistake,) = [note for note in run.annotations if note.name == "mistake"]
    step = next(s for s in run.trajectory.steps[::-1] if s.span_id == mistake.span_id)

    assert (mistake.value_text, step.output_text) == ("Guesser", "I will say 7.")
    assert json.loads(mistake.value_json or "") == {"explanation": "It guessed."}
    assert (
        said(run, "mistake_agent"),
        said(run, "mistake_step"),
        said(run, "mistake_reason"),
    ) == (["Guesser"], [2.0], ["It guessed."])


def test_an_episode_in_two_sections_is_one_run_with_both_verdicts() -> None:
    by_answer = {run.trajectory.final_answer: run for run in runs(SYNTHETIC / "reflexion.txt")}

    assert sorted(said(by_answer["nobody"], "section")) == ["halted", "incorrect"]
    assert said(by_answer["River A"], "section") == ["correct"]


def test_samples_of_an_eval_archive_are_those_of_the_same_log_as_json(tmp_path: Path) -> None:
    log = json.loads((SYNTHETIC / "inspect.json").read_text())
    archive = _eval_archive(tmp_path / "log.eval", log)

    as_archive = [run.trajectory for run in runs(archive)]

    assert [run.trajectory for run in runs(SYNTHETIC / "inspect.json")] == as_archive


def _eval_archive(path: Path, log: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", json.dumps({"eval": log["eval"]}))
        for sample in log["samples"]:
            name = f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
            archive.writestr(name, json.dumps(sample))
        header = {key: value for key, value in log.items() if key != "samples"}
        archive.writestr("header.json", json.dumps(header))
    return path


def test_a_sample_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    log = json.loads((SYNTHETIC / "inspect.json").read_text())
    log["samples"][1]["messages"] = ["no message"]
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))

    reading = Reading(importers.find(path)[0])
    traces = {record.trace_id for record in reading}

    assert len(traces) == 2
    assert reading.is_damaged
    (flaw,) = reading.flaws
    assert "sample 2" in flaw.place
    assert "Inspect log" in flaw.what


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".txt")])
def test_content_of_the_wrong_shape_is_a_flaw_and_no_exception(name: str, tmp_path: Path) -> None:
    content = json.loads((SYNTHETIC / name).read_text().split("\n{")[0])
    choose = random.Random(name)
    path = tmp_path / "export"

    for place in choose.choices(list(_places(content)), k=20):
        path.write_text(json.dumps(_put(content, place, choose.choice(WRONG))))
        reading = Reading(importers.find(path)[0])
        list(reading)

        assert reading.format or reading.skipped or reading.flaws


WRONG: tuple[Any, ...] = (None, "x", 7, [], {}, [1], {"a": 1}, True, "2026-99-99", 1e300)


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from _places(value[key], (*above, key))


def _put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return new
    changed = value.copy()
    changed[place[0]] = _put(value[place[0]], place[1:], new)
    return changed


def test_a_run_that_the_harness_stopped_is_an_error_whatever_its_reward(tmp_path: Path) -> None:
    run = json.loads((SYNTHETIC / "tau_bench.json").read_text())[1]
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**run, "info": {"error": "rate limit"}, "traj": []}))

    (found,) = runs(path)

    assert (said(found, "outcome"), said(found, "reward")) == (["error"], [0.0])
    assert (found.trajectory.status, found.trajectory.error_message) == ("error", "rate limit")


def test_lists_of_messages_line_by_line_are_runs_of_their_own(tmp_path: Path) -> None:
    messages = json.loads((SYNTHETIC / "messages.json").read_text())
    path = tmp_path / "lists.jsonl"
    path.write_text(f"{json.dumps(messages)}\n{json.dumps(messages[:-1])}\n")

    assert sorted(map(step_words, runs(path))) == [
        "user llm tool:thermometer",
        "user llm tool:thermometer llm",
    ]


def test_a_list_of_other_objects_is_no_conversation(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text('[{"content": "buy milk", "done": false}]')

    reading = Reading(importers.find(path)[0])

    assert list(reading) == []
    assert reading.skipped == "JSON, but no telemetry"


def test_a_torn_archive_says_so(tmp_path: Path) -> None:
    log = json.loads((SYNTHETIC / "inspect.json").read_text())
    whole = _eval_archive(tmp_path / "whole.eval", log).read_bytes()
    path = tmp_path / "torn.eval"
    path.write_bytes(whole[: len(whole) // 2])

    reading = Reading(importers.find(path)[0])

    assert list(reading) == []
    assert reading.is_damaged
    assert [flaw.place for flaw in reading.flaws] == ["the archive"]


def test_a_version_that_is_not_known_is_named(tmp_path: Path) -> None:
    document = json.loads((SYNTHETIC / "atif.json").read_text())
    path = tmp_path / "new.json"
    path.write_text(json.dumps({**document, "schema_version": "ATIF-v2.0"}))

    reading = Reading(importers.find(path)[0])

    assert list(reading) == []
    (flaw,) = reading.flaws
    assert "ATIF-v2.0 is not known; ATIF-v1.x is read" in flaw.what


def test_a_run_that_is_exported_as_otlp_comes_back_the_same(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "store")
    store.append(importers.read(SYNTHETIC))

    found = [store.trajectory(row[0]) for row in _rows(store)]
    exporters.export(found, "otlp", tmp_path / "runs.jsonl", store=store, redact=False)
    again = TrajectoryStore.create(tmp_path / "again")
    again.append(importers.read(tmp_path / "runs.jsonl"))

    assert [row[:1] + row[2:] for row in _rows(again)] == [
        row[:1] + row[2:] for row in _rows(store)
    ]
    kinds = (
        "select trajectory_id, step, kind, tool_name, status, duration_us from steps order by all"
    )
    assert again.sql(kinds).fetchall() == store.sql(kinds).fetchall()


def test_a_compressed_file_is_the_same_run(tmp_path: Path) -> None:
    path = tmp_path / "packed.gz"
    path.write_bytes(gzip.compress((SYNTHETIC / "tau_bench.json").read_bytes()))

    assert runs(SYNTHETIC / "tau_bench.json") == runs(path)
