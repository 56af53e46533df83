"""Assembly does not depend on how spans arrive, and survives whatever arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_traj import semconv
from otel_traj.assembly import assemble, related
from otel_traj.model import SpanEvent, SpanLink, SpanRecord
from tests import corpus

SHIPPED = corpus.runs(corpus.SHIPPED)
WHOLE = corpus.runs(corpus.WHOLE)


def all_rows(assemblies: Any) -> list[Any]:
    return [
        (a.trajectory, a.trajectory.steps, a.trajectory.file_changes, a.spans, a.annotations)
        for a in assemblies
    ]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_order_batches_and_duplicates_change_nothing(run: Path, data: st.DataObject) -> None:
    spans, logs = corpus.records(run)
    expected = all_rows(assemble(spans, logs))

    shuffled = data.draw(st.permutations(spans))
    again = data.draw(st.lists(st.sampled_from(spans)))
    mixed_logs = data.draw(st.permutations(logs)) if len(logs) < 60 else logs[::-1]

    assert all_rows(assemble([*shuffled, *again], [*mixed_logs, *logs[:2]])) == expected


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_any_part_of_a_run_still_gives_rows(run: Path, data: st.DataObject) -> None:
    spans, logs = corpus.records(run)
    part = data.draw(st.lists(st.sampled_from(spans), unique_by=lambda s: s.span_id, min_size=1))

    for assembly in assemble(part, logs):
        steps = assembly.trajectory.steps
        assert [step.step for step in steps] == list(range(len(steps)))
        assert all(s.parent_step is None or s.parent_step < s.step for s in steps)


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


@settings(max_examples=300, deadline=None)
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
