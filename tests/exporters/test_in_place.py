"""Spans in place: who looks at them finds them where they were, in the words of today."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.model import LogRecord, SpanRecord, Step
from otel_traj_exporters.current_names import (
    UNREAD_STEP_COLUMNS,
    in_place,
    traces_in_other_words,
)
from tests import corpus
from tests.store.runs import run

RUNS = corpus.runs(corpus.SHIPPED)
OF_TODAY = [run for run in RUNS if "otel-genai" in run.name]


def derived(
    spans: tuple[SpanRecord, ...], logs: tuple[LogRecord, ...]
) -> tuple[list[Step], dict[tuple[str, str], int | None]]:
    """Steps of the runs, and which span tells of which."""
    found = assemble(spans, logs)
    steps = [step for assembly in found for step in assembly.trajectory.steps]
    members = [member for assembly in found for member in assembly.spans]
    return steps, {(member.trace_id, member.span_id): member.step for member in members}


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_a_span_stays_where_it_was(folder: Path) -> None:
    spans, logs = corpus.records(folder)

    shown = in_place(spans, logs, *derived(spans, logs))

    def place(span: SpanRecord) -> SpanRecord:
        return dataclasses.replace(span, attributes={}, events=(), schema_url=None)

    assert [*map(place, shown)] == sorted(map(place, spans), key=lambda span: span.start_ns)


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_whatever_dialect_it_spoke_a_model_call_says_so_in_words_of_today(folder: Path) -> None:
    spans, logs = corpus.records(folder)

    shown = in_place(spans, logs, *derived(spans, logs))

    calls = [s for s in shown if s.attributes.get(semconv.OPERATION) == semconv.OP_CHAT]
    told = [step for step in corpus.truth(folder)["steps"] if step["kind"] == "llm"]
    assert len(calls) == len(told)
    for call in calls:
        assert call.attributes[semconv.REQUEST_MODEL] == "gpt-4o-mini"
        assert '"parts":' in call.attributes[semconv.OUTPUT_MESSAGES]
        assert '"parts":' in call.attributes[semconv.INPUT_MESSAGES]


@pytest.mark.parametrize("folder", OF_TODAY, ids=lambda folder: folder.name)
def test_what_a_span_said_in_words_of_today_stays_as_it_said_it(folder: Path) -> None:
    spans, logs = corpus.records(folder)

    shown = in_place(spans, logs, *derived(spans, logs))

    by_id = {span.span_id: span.attributes for span in shown}
    for span in spans:
        assert span.attributes.items() <= by_id[span.span_id].items()


def test_traces_that_are_told_in_words_of_today_need_not_be_looked_at() -> None:
    told = {folder: corpus.records(folder) for folder in RUNS}

    others = {folder.name: traces_in_other_words(*records) for folder, records in told.items()}

    assert [name for name, other in others.items() if not other] == [
        "langgraph__otel-genai-langchain__single"
    ]
    for folder, (spans, logs) in told.items():
        if not others[folder.name]:
            by_start = sorted(spans, key=lambda span: span.start_ns)
            assert in_place(spans, logs, *derived(spans, logs)) == by_start


def test_a_span_without_a_run_is_shown_as_it_came() -> None:
    spans = run(1)

    shown = in_place(spans, [], [], {})

    assert shown == sorted(spans, key=lambda span: span.start_ns)


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_columns_that_are_said_to_be_unread_are_not_read(folder: Path) -> None:
    spans, logs = corpus.records(folder)
    steps, step_of = derived(spans, logs)

    nothing: dict[str, Any] = dict.fromkeys(UNREAD_STEP_COLUMNS)
    without = [dataclasses.replace(step, **nothing) for step in steps]

    assert in_place(spans, logs, without, step_of) == in_place(spans, logs, steps, step_of)
