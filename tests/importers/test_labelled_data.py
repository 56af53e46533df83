"""Real labelled runs: as many runs, verdicts and steps come out as the raw files hold.

What is expected is counted here from the raw files, by other means than the importers use.
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import third_party
from tests.importers.labelled import runs, said

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Counts:
    """Of a data set: runs, runs by what they were judged, calls of models and of tools."""

    n_runs: int
    outcomes: dict[str, int]
    n_llm: int
    n_tools: int


def _imported(*paths: Path) -> Counts:
    found = runs(*paths)
    outcomes = Counter(outcome for run in found for outcome in set(said(run, "outcome")))
    return Counts(
        len(found),
        dict(outcomes),
        sum(run.trajectory.n_llm for run in found),
        sum(run.trajectory.n_tools for run in found),
    )


def _lines(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _roles(messages: list[Any]) -> Counter[str]:
    return Counter(message["role"] for message in messages)


def _of_verdicts(verdicts: list[bool]) -> dict[str, int]:
    told = Counter("success" if verdict else "failure" for verdict in verdicts)
    return dict(told)


def test_tau_bench() -> None:
    path = third_party("taubench-airline-gpt4o/tasks_00_29.jsonl.gz")
    raw = list(_lines(path))
    roles = [_roles(run["traj"]) for run in raw]

    expected = Counts(
        len(raw),
        _of_verdicts([run["reward"] == 1 for run in raw]),
        sum(found["assistant"] for found in roles),
        sum(found["tool"] for found in roles),
    )

    assert expected == _imported(path)


def test_tau_bench_failed_calls_and_heavy_edges_are_those_that_others_counted() -> None:
    path = third_party("taubench-airline-gpt4o/tasks_00_29.jsonl.gz")
    steps = [[s for s in run.trajectory.steps if s.kind == "tool"] for run in runs(path)]

    calls = [s for tools in steps for s in tools if s.tool_name == "update_reservation_flights"]
    edges = Counter(
        (one.tool_name, two.tool_name) for t in steps for one, two in itertools.pairwise(t)
    )

    assert (len(calls), sum(step.status == "error" for step in calls)) == (98, 41)
    assert (len(edges), edges.total()) == (75, 706)
    assert [
        edges["get_reservation_details", "get_reservation_details"],
        edges["get_user_details", "get_reservation_details"],
        edges["search_direct_flight", "search_direct_flight"],
    ] == [103, 60, 48]


def test_dialogues_without_calls() -> None:
    path = third_party("taubench-retail-fewshot/MockRetailDomainEnv-few_shot.jsonl.gz")
    texts = [run["messages_display"] for run in _lines(path)]

    expected = Counts(
        len(texts),
        {},
        sum(len(re.findall("^assistant: ", text, re.M)) for text in texts),
        sum(len(re.findall("^tool: ", text, re.M)) for text in texts),
    )

    assert expected == _imported(path)


def test_tau2() -> None:
    path = third_party("tau2-gpt41mini/mock.jsonl.gz")
    raw = [line["simulation"] for line in _lines(path) if "simulation" in line]
    messages = [message for run in raw for message in run["messages"]]

    expected = Counts(
        len(raw),
        _of_verdicts([run["reward_info"]["reward"] == 1 for run in raw]),
        sum(m["role"] == "assistant" and m["usage"] is not None for m in messages),
        sum(
            len(m["tool_calls"] or ())
            for m in messages
            if m["role"] == "assistant" and m["usage"] is not None
        ),
    )

    assert expected == _imported(path)


def test_stratus() -> None:
    path = third_party("sregym-stratus/traces.jsonl.gz")
    raw = list(_lines(path))

    found = _imported(path)

    assert (
        Counts(
            len(raw),
            _of_verdicts([run["success"] for run in raw]),
            0,
            sum(len(run["tool_calls"]) for run in raw),
        )
        == found
    )


def test_reflexion_on_alfworld() -> None:
    folder = third_party("reflexion-alfworld")
    paths = sorted(folder.glob("*.gz"))
    raw = [run for path in paths for run in _lines(path)]

    assert Counts(len(raw), _of_verdicts([r["is_success"] for r in raw]), 0, 0) == _imported(*paths)


def test_reflexion_on_hotpotqa() -> None:
    path = third_party("reflexion-hotpotqa/react_base_100q_5trials.txt.gz")
    text = gzip.decompress(path.read_bytes()).decode()
    trials = re.split(r"BEGIN TRIAL \d", text)[1:]
    episodes = {
        (number, episode)
        for number, trial in enumerate(trials)
        for section in re.split(r"-+ BEGIN \w+ AGENTS -+", trial)[1:]
        for episode in re.split(r"^Question: ", section.split("####")[0], flags=re.M)[1:]
        for episode in [episode.strip()]
    }
    n_correct = sum(int(n) for n in re.findall(r"Correct: (\d+)", text))

    found = runs(path)

    assert (len(episodes), len(found), n_correct) == (500, 500, 170)
    outcomes = Counter(outcome for run in found for outcome in set(said(run, "outcome")))
    assert outcomes == {"success": 170, "failure": 330}
    actions = sum(len(re.findall(r"^Action \d+: *\w+\[.*\]", e, re.M)) for _, e in episodes)
    assert actions == sum(run.trajectory.n_tools for run in found)


def test_who_and_when() -> None:
    path = third_party("whoandwhen/even.jsonl.gz")
    raw = {(run["question_ID"], run["mistake_reason"]): run for run in _lines(path)}

    found = {(run.trajectory.task_id, *said(run, "mistake_reason")): run for run in runs(path)}

    assert len(found) == 92
    assert raw.keys() == found.keys()
    for key, truth in raw.items():
        run = found[key]
        (mistake,) = [note for note in run.annotations if note.name == "mistake"]
        step = next(s for s in run.trajectory.steps[::-1] if s.span_id == mistake.span_id)
        entry = truth["history"][int(truth["mistake_step"])]
        assert entry["content"].strip() == (step.output_text or step.result or "").strip()
        assert [truth["mistake_agent"]] == said(run, "mistake_agent")
        people = sum(entry["role"] == "human" for entry in truth["history"])
        told = run.trajectory.n_llm + run.trajectory.n_tools
        assert len(truth["history"]) - people == told


def test_swe_agent() -> None:
    folder = third_party("swe-agent-traj")
    paths = sorted(folder.glob("*.gz"))
    raw = [json.loads(gzip.decompress(path.read_bytes())) for path in paths]
    n_steps = sum(len(run.get("trajectory") or ()) for run in raw)
    demonstrations = [run for run in raw if "trajectory" not in run]
    n_steps += sum(m["role"] == "assistant" for run in demonstrations for m in run["history"])

    found = _imported(*paths)

    assert Counts(len(raw), {}, n_steps, n_steps) == found  # one command per answer


def test_mini_swe_agent() -> None:
    path = third_party("mini-swe-agent-traj/local.traj.json")
    roles = _roles(json.loads(path.read_text()))

    assert Counts(1, {}, roles["assistant"], roles["assistant"]) == _imported(path)


def test_atif() -> None:
    paths = sorted(third_party("atif-fixtures").glob("*.json"))
    raw = [json.loads(path.read_text()) for path in paths]
    documents = [d for value in raw for d in ([value] if "steps" in value else value.values())]
    agents = [s for d in documents for s in d["steps"] if s["source"] == "agent"]
    # What an agent asks for with its last words, and nothing answers, did not happen.
    unanswered = [s for d in documents for s in d["steps"][-1:] if not s.get("observation")]

    found = runs(*paths)

    assert len(raw) == len(found)
    assert len(agents) == sum(run.trajectory.n_llm for run in found)
    assert _n_calls(agents) - _n_calls(unanswered) == sum(
        run.trajectory.n_tools + run.trajectory.n_handoffs for run in found
    )


def _n_calls(steps: list[Any]) -> int:
    return sum(len(step.get("tool_calls") or ()) for step in steps)


def test_inspect() -> None:
    paths = sorted(third_party("inspect-eval-logs").glob("*.gz"))
    raw = [json.loads(gzip.decompress(path.read_bytes())) for path in paths]
    samples = [sample for log in raw for sample in log["samples"]]
    events = Counter(event["event"] for s in samples for event in s.get("events", ()))
    told = sum(m["role"] == "tool" for s in samples if not s.get("events") for m in s["messages"])

    assert Counts(
        len(samples), {"success": 1}, events["model"], events["tool"] + told
    ) == _imported(*paths)
