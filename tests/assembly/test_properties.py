"""Assembly does not depend on how spans arrive, and survives whatever arrives."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_traj import semconv
from otel_traj.assembly import assemble, related
from otel_traj.dialects import DIALECTS, read
from otel_traj.dialects.table import At, Flat, InEvent, InLog, Times
from otel_traj.model import LogRecord, SpanEvent, SpanLink, SpanRecord, Step
from tests import corpus

SHIPPED = corpus.runs(corpus.SHIPPED)
WHOLE = corpus.runs(corpus.WHOLE)


def all_rows(assemblies: Any) -> list[Any]:
    return [
        (a.trajectory, a.trajectory.steps, a.trajectory.file_changes, a.spans, a.annotations)
        for a in assemblies
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_order_batches_and_duplicates_change_nothing(run: Path, data: st.DataObject) -> None:
    spans, logs = corpus.records(run)
    expected = all_rows(assemble(spans, logs))

    shuffled = data.draw(st.permutations(spans))
    again = data.draw(st.lists(st.sampled_from(spans)))
    mixed_logs = data.draw(st.permutations(logs)) if len(logs) < 60 else logs[::-1]

    assert all_rows(assemble([*shuffled, *again], [*mixed_logs, *logs[:2]])) == expected


@settings(max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_any_part_of_a_run_still_gives_rows(run: Path, data: st.DataObject) -> None:
    spans, logs = corpus.records(run)
    part = data.draw(st.lists(st.sampled_from(spans), unique_by=lambda s: s.span_id, min_size=1))

    for assembly in assemble(part, logs):
        steps = assembly.trajectory.steps
        assert [step.step for step in steps] == list(range(len(steps)))
        assert all(s.parent_step is None or s.parent_step < s.step for s in steps)


def told_in(step: Step) -> tuple[Any, ...]:
    """A step without the id of its run."""
    return (*vars_of(step).items(),)


def vars_of(step: Step) -> dict[str, Any]:
    return {name: getattr(step, name) for name in Step.__slots__ if name != "trajectory_id"}


@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_the_loss_of_any_one_span_is_counted_and_leaves_the_others_steps(run: Path) -> None:
    spans, logs = corpus.records(run)
    whole = [step.span_id for a in assemble(spans, logs) for step in a.trajectory.steps]
    children = Counter(span.parent_span_id for span in spans)

    for lost in spans:
        rest = [span for span in spans if span is not lost]
        trajectories = [a.trajectory for a in assemble(rest, logs)]
        left = {step.span_id for t in trajectories for step in t.steps}
        assert set(whole) - {lost.span_id} <= left
        assert sum(t.n_spans for t in trajectories) == len(rest)
        assert sum(t.n_orphans for t in trajectories) == children[lost.span_id]


@pytest.mark.parametrize(
    ("one", "other"), list(combinations(SHIPPED, 2)), ids=lambda run: run.name.split("__")[0]
)
def test_runs_at_the_same_time_are_what_they_are_alone(one: Path, other: Path) -> None:
    first, first_logs = corpus.records(one)
    second, second_logs = at_the_time_of(first, *corpus.records(other))
    alone = [*assemble(first, first_logs), *assemble(second, second_logs)]

    interleaved = sorted([*first, *second], key=lambda span: span.end_ns or 0)
    together = assemble(interleaved, [*second_logs, *first_logs])

    by_id = {rows[0].trajectory_id: rows for rows in all_rows(alone)}
    assert {rows[0].trajectory_id: rows for rows in all_rows(together)} == by_id


def at_the_time_of(
    first: tuple[SpanRecord, ...], spans: tuple[SpanRecord, ...], logs: tuple[LogRecord, ...]
) -> tuple[list[SpanRecord], list[LogRecord]]:
    """A run moved to when another one began."""
    moved = min(s.start_ns for s in first) - min(s.start_ns for s in spans)
    return (
        [replace(s, start_ns=s.start_ns + moved, end_ns=(s.end_ns or 0) + moved) for s in spans],
        [replace(log, time_ns=(log.time_ns or 0) + moved) for log in logs],
    )


@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_a_span_that_comes_after_the_close_changes_no_id_and_is_read_as_in_time(run: Path) -> None:
    spans, logs = corpus.records(run)
    in_time = [a.trajectory for a in assemble(spans, logs)]

    for late in spans:
        closed = assemble([span for span in spans if span is not late], logs)
        known = {t: a.trajectory.trajectory_id for a in closed for t in a.trajectory.trace_ids}
        again = [a.trajectory for a in assemble([late, *spans], logs, known_ids=known)]
        assert {t.trajectory_id for t in again} >= set(known.values())
        assert [list(map(told_in, t.steps)) for t in again] == [
            list(map(told_in, t.steps)) for t in in_time
        ]


KEYS = [
    semconv.OPERATION,
    semconv.AGENT_NAME,
    semconv.TOOL_NAME,
    semconv.TOOL_CALL_ID,
    semconv.TOOL_CALL_ARGUMENTS,
    semconv.TOOL_CALL_RESULT,
    semconv.RESPONSE_ID,
    semconv.FINISH_REASONS,
    semconv.INPUT_MESSAGES,
    semconv.OUTPUT_MESSAGES,
    semconv.INPUT_TOKENS,
    semconv.TASK,
    semconv.OUTCOME,
    semconv.REWARD,
    semconv.GUIDELINE_IDS,
    "openinference.span.kind",
    "input.value",
    "output.value",
    "metadata",
    "llm.input_messages.0.message.role",
    "llm.input_messages.x.message",
    "traceloop.span.kind",
    "traceloop.entity.input",
    "gen_ai.prompt.0.content",
]
WORDS = st.sampled_from(
    ["chat", "execute_tool", "invoke_agent", "handoff", "goto", "LLM", "TOOL", "AGENT", "tool",
     "transfer_to_x", "a", "", "null", "[", "{", '[{"role":', '[{"type":"tool_call","id":1}]',
     '{"messages":[[{"lc":1,"type":"constructor","kwargs":null}]]}', '{"choices":[null]}',
     '[{"role":"tool","parts":[{"type":"tool_call_response"}]}]', '{"args":1,"kwargs":[]}',
     '{"generations":[[]]}', "Command(goto=('x',))", "\ud800"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from(["1" * 16, "2" * 16, "3" * 16, "4" * 16])
TRACES = st.sampled_from(["a" * 32, "b" * 32])
TIMES = st.integers(min_value=0, max_value=50) | st.sampled_from([-1, 2**63 - 1, 2**64 - 1])


@st.composite
def strange_spans(draw: st.DrawFn) -> SpanRecord:
    return SpanRecord(
        trace_id=draw(TRACES),
        span_id=draw(IDS),
        parent_span_id=draw(st.none() | IDS),
        name=draw(WORDS),
        start_ns=draw(TIMES),
        end_ns=draw(st.none() | TIMES),
        status=draw(st.sampled_from(["UNSET", "OK", "ERROR"])),
        attributes=draw(st.dictionaries(st.sampled_from(KEYS), WORDS | JSON, max_size=6)),
        events=tuple(
            SpanEvent(draw(TIMES), draw(WORDS), draw(st.dictionaries(WORDS, JSON, max_size=2)))
            for _ in range(draw(st.integers(0, 1)))
        ),
        links=tuple(SpanLink(draw(TRACES), draw(IDS)) for _ in range(draw(st.integers(0, 1)))),
    )


@settings(max_examples=300)
@given(st.lists(strange_spans(), max_size=6), st.randoms())
def test_strange_spans_never_raise_and_never_depend_on_order(
    spans: list[SpanRecord], random: Any
) -> None:
    related(spans)
    expected = all_rows(assemble(spans))
    shuffled = list(spans)
    random.shuffle(shuffled)

    assert repr(all_rows(assemble(shuffled))) == repr(expected)


@pytest.mark.parametrize("run", WHOLE, ids=lambda run: run.name)
def test_every_run_of_the_corpus_keeps_all_its_spans(run: Path) -> None:
    spans, logs = corpus.records(run)

    assemblies = assemble(spans, logs)

    members = [(m.trace_id, m.span_id) for a in assemblies for m in a.spans]
    assert len(members) == len(set(members))
    assert set(members) <= {(s.trace_id, s.span_id) for s in spans}


def test_the_corpus_is_at_hand_or_this_is_skipped() -> None:
    if not WHOLE:
        pytest.skip(f"no corpus at {corpus.WHOLE}; set OTEL_TRAJ_CORPUS")


# --- any value under any key of any dialect ------------------------------------------------------


def keys_of_all_dialects() -> list[str]:
    """Every attribute key that a table names, lists as their first item."""
    sources = [s for d in DIALECTS for found in d.facts.values() for s in found]
    keys = {key for d in DIALECTS for key in (*d.kinds, *d.request, *d.response, *d.events)}
    keys |= {mark + "x" if mark.endswith(".") else mark for d in DIALECTS for mark in d.marks}
    for source in sources:
        match source:
            case str(key) | At(key) | Times(key) | InEvent(_, key) | InLog(_, key):
                keys.add(key)
            case Flat(prefix):
                keys |= {f"{prefix}.0.{rest}" for rest in ("role", "content", "message.role")}
                keys |= {f"{prefix}.{rest}" for rest in ("x", "0", "1.tool_calls.0.name")}
    return sorted(keys)


SCOPES = st.sampled_from([None, *sorted({scope for d in DIALECTS for scope in d.scopes})])
KIND_VALUES = st.sampled_from(sorted({v for d in DIALECTS for k in d.kinds.values() for v in k}))
EVENTS = st.sampled_from(
    ["exception", "gen_ai.choice", "gen_ai.user.message", "gen_ai.content.prompt", "tool.output",
     "agent_message", "First Token Stream Event", "gen_ai.evaluation.result", "tool_result"]
)  # fmt: skip


@settings(max_examples=250)
@given(data=st.data())
def test_no_value_under_any_key_of_any_dialect_raises(data: st.DataObject) -> None:
    values = KIND_VALUES | WORDS | JSON
    attributes = st.dictionaries(st.sampled_from(keys_of_all_dialects()), values, max_size=8)
    told = data.draw(attributes)
    events = (SpanEvent(data.draw(TIMES), data.draw(EVENTS), data.draw(attributes)),)
    span = SpanRecord(
        trace_id="a" * 32,
        span_id="1" * 16,
        parent_span_id=None,
        name=data.draw(WORDS),
        start_ns=5,
        end_ns=9,
        scope_name=data.draw(SCOPES),
        attributes=told,
        events=events,
    )
    log = LogRecord(
        trace_id="a" * 32,
        span_id="1" * 16,
        time_ns=7,
        observed_ns=None,
        event_name=data.draw(EVENTS),
        severity=None,
        body=data.draw(values),
        attributes=data.draw(attributes),
    )

    assert read(span, [log]).kind
    assert repr(all_rows(assemble([span], [log]))) == repr(all_rows(assemble([span, span], [log])))
