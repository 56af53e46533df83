"""Whole requests from what steps store, and hashes that say when two are the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.assembly.requests import rebuild
from otel_traj.dialects import Facts, read
from otel_traj.dialects.canonical import Numbering, hash_messages, message_bodies
from otel_traj.dialects.messages import Messages, from_json
from otel_traj.model import LogRecord, SpanRecord, Step
from tests import corpus
from tests.assembly.spans import agent, answers, asks, chat, span, text

SHIPPED = corpus.runs(corpus.SHIPPED)
WHOLE = corpus.runs(corpus.WHOLE)


def model_calls(spans: Iterable[SpanRecord], logs: Iterable[LogRecord] = ()) -> Iterator[Any]:
    """(steps of the run, step, what its spans tell) of each model call."""
    spans, logs_of = list(spans), defaultdict(list)
    for log in logs:
        logs_of[log.trace_id, log.span_id].append(log)
    told = {(s.trace_id, s.span_id): read(s, logs_of[s.trace_id, s.span_id]) for s in spans}
    for assembly in assemble(spans, logs):
        steps = assembly.trajectory.steps
        for step in steps:
            if step.kind == "llm":
                facts = Facts()
                keys = [(merged.trace_id, merged.span_id) for merged in step.merged_spans]
                for key in ((step.trace_id, step.span_id), *keys):
                    facts.fill(told[key])
                yield steps, step, facts


def bodies(messages: Messages | None) -> list[Any]:
    return [body for body in message_bodies(messages or (), Numbering()) if body]


def steps_of(spans: Sequence[SpanRecord]) -> list[Step]:
    return [step for _, step, _ in model_calls(spans)]


@pytest.mark.parametrize("run", [*SHIPPED, *WHOLE], ids=lambda run: run.name)
def test_a_request_built_from_steps_is_the_one_the_span_told(run: Path) -> None:
    for steps, step, facts in model_calls(*corpus.records(run)):
        request = rebuild(steps, step.step)
        assert (request is None) == (not facts.input)
        if request is not None and step.messages_hash is not None:
            assert hash_messages(request) == step.messages_hash
        if facts.previous_response_id is None:
            assert bodies(request) == bodies(facts.input)


@settings(max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_a_request_is_built_whichever_spans_are_lost(run: Path, data: st.DataObject) -> None:
    spans, logs = corpus.records(run)
    part = data.draw(st.lists(st.sampled_from(spans), unique_by=lambda s: s.span_id, min_size=1))
    for steps, step, facts in model_calls(part, logs):
        assert bodies(rebuild(steps, step.step)) == bodies(facts.input)


LACKING = ("cut off", "dropped", "tool definitions are not", "the messages before these are not")
"""What a grade says of a request that nobody can hash."""


@pytest.mark.parametrize("run", [*SHIPPED, *WHOLE], ids=lambda run: run.name)
def test_what_can_be_replayed_whole_has_a_hash(run: Path) -> None:
    for _, step, facts in model_calls(*corpus.records(run)):
        reason = step.grade_reason or ""
        is_hashed = step.request_hash is not None
        assert is_hashed or step.grade in "BD" or any(word in reason for word in LACKING)
        assert not is_hashed or (facts.input and not any(word in reason for word in LACKING))


ASKED = [text("user", "Where is A-1?"), asks(("c1", "look", {"id": "A-1"}))]
REQUEST = [*ASKED, answers(("c1", "shipped"))]


def test_ids_and_vocabulary_do_not_matter() -> None:
    openinference = {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": '{"model": "m-1"}',
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Where is A-1?",
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": "other",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "look",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": '{"id":"A-1"}',
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.tool_call_id": "other",
        "llm.input_messages.2.message.content": "shipped",
    }
    (otel,) = steps_of([chat("chat", 0, 1, given=REQUEST)])
    (other,) = steps_of([span("chat", 0, 1, attributes=openinference)])
    assert otel.request_hash == other.request_hash is not None


def test_the_prefix_says_where_a_request_goes_on() -> None:
    said = ASKED[1]
    first, second = steps_of(
        [
            agent("a", 0, 9),
            chat("one", 1, 2, "a", given=ASKED[:1], said=said),
            chat("two", 3, 4, "a", given=REQUEST, said=text("assistant", "Shipped.")),
        ]
    )
    assert [m.role for m in from_json(second.new_messages)] == ["tool"]
    assert second.prefix_hash != first.prefix_hash is not None
    assert first.canon_version == second.canon_version == "1"


def test_a_request_that_names_its_previous_response_is_told_whole() -> None:
    previous = {semconv.REQUEST_PREVIOUS_RESPONSE_ID: "r1"}
    spans = [
        agent("a", 0, 9),
        chat("one", 1, 2, "a", given=ASKED[:1], said=ASKED[1], response_id="r1"),
        chat("two", 3, 4, "a", given=REQUEST[2:], attributes=previous),
    ]
    *_, (steps, step, _) = model_calls(spans)
    (alone,) = steps_of([chat("chat", 0, 1, given=REQUEST)])
    assert step.messages_hash == alone.messages_hash
    assert bodies(rebuild(steps, step.step)) == bodies(from_json_of(REQUEST))


def from_json_of(messages: list[dict[str, Any]]) -> Messages:
    (step,) = steps_of([chat("chat", 0, 1, given=messages)])
    return from_json(step.new_messages)


def test_a_previous_response_that_nobody_recorded_leaves_the_request_unknown() -> None:
    previous = {semconv.REQUEST_PREVIOUS_RESPONSE_ID: "lost"}
    (step,) = steps_of([chat("two", 3, 4, given=REQUEST[2:], attributes=previous)])
    assert (step.request_hash, step.messages_hash) == (None, None)
    assert step.params_hash is not None


def test_reasoning_that_is_not_sent_back_is_no_new_message() -> None:
    thought = {"type": "reasoning", "content": "Let me see."}
    said = {"role": "assistant", "parts": [thought, *ASKED[1]["parts"]]}
    spans = [
        agent("a", 0, 9),
        chat("one", 1, 2, "a", given=ASKED[:1], said=said),
        chat("two", 3, 4, "a", given=REQUEST),
    ]
    *_, (steps, step, _) = model_calls(spans)
    assert [m.role for m in from_json(step.new_messages)] == ["tool"]
    assert bodies(rebuild(steps, step.step)) == bodies(from_json_of(REQUEST))


def test_parameters_change_their_hash_alone() -> None:
    warm = {semconv.REQUEST_TEMPERATURE: 0.7, semconv.REQUEST_STOP_SEQUENCES: ["END"]}
    (cold,) = steps_of([chat("chat", 0, 1, given=REQUEST)])
    (other,) = steps_of([chat("chat", 0, 1, given=REQUEST, attributes=warm)])
    assert cold.messages_hash == other.messages_hash
    assert cold.params_hash != other.params_hash
    assert cold.request_hash != other.request_hash


def test_a_call_that_tells_no_request_has_only_its_parameters() -> None:
    (step,) = steps_of([chat("chat", 0, 1, said=text("assistant", "Hi."))])
    assert (step.request_hash, step.messages_hash, step.prefix_hash) == (None, None, None)
    assert step.params_hash is not None
