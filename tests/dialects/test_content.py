"""What is left of telemetry without content tells how a run went, and not a word of what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.dialects.content import body_without_content, without_content
from tests import corpus

RUNS = corpus.runs(corpus.WHOLE) or corpus.runs(corpus.SHIPPED)

_EXCEPTION = (semconv.EXCEPTION_MESSAGE, semconv.EXCEPTION_STACKTRACE)


def words_said(run: Path) -> list[str]:
    """Texts of the run that are long enough not to stand anywhere by chance."""
    truth = corpus.truth(run)
    told = [truth.get("user_input")]
    told += [step.get(key) for step in truth["steps"] for key in ("output_text", "result")]
    return [text for text in told if isinstance(text, str) and len(text) > 12]


def left(run: Path) -> Iterator[tuple[str, Any]]:
    """Every value that still goes out."""
    spans, logs = corpus.records(run)
    for span in spans:
        for attributes in (span.attributes, *(event.attributes for event in span.events)):
            yield from without_content(attributes).items()
    for log in logs:
        yield from without_content(log.attributes).items()
        yield "body", body_without_content(log.event_name, log.body)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_nothing_that_was_said_is_left(run: Path) -> None:
    said = words_said(run)

    left_over = {
        key
        for key, value in left(run)
        # What a framework raises is told as conventions demand, also where it quotes.
        if key not in _EXCEPTION and any(holds(value, text) for text in said)
    }

    assert left_over == set()


def holds(value: Any, text: str) -> bool:
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text in told or json.dumps(text, ensure_ascii=False)[1:-1] in told


@pytest.mark.parametrize("key", [semconv.INPUT_TOKENS, semconv.RESPONSE_ID, semconv.ERROR_TYPE])
def test_figures_and_names_are_left(key: str) -> None:
    assert without_content({key: "x"}) == {key: "x"}


def test_calls_of_the_model_are_told_as_before_where_they_have_spans() -> None:
    run = corpus.SHIPPED / "openai-agents__openinference-openai-agents"
    run = run if run.exists() else corpus.runs(corpus.SHIPPED)[0]
    spans, logs = corpus.records(run)

    before = [step for a in assemble(spans, logs) for step in a.trajectory.steps]
    after = [step for a in assemble(_stripped(spans), logs) for step in a.trajectory.steps]

    kept = [(s.kind, s.model, s.input_tokens) for s in before if s.kind == "llm"]
    assert kept
    assert [(s.kind, s.model, s.input_tokens) for s in after if s.kind == "llm"] == kept


def _stripped(spans: Any) -> list[Any]:
    from dataclasses import replace

    return [replace(span, attributes=without_content(span.attributes)) for span in spans]


@pytest.mark.parametrize(
    ("event", "body", "told"),
    [
        ("gen_ai.user.message", {"content": "hello", "role": "user"}, {"role": "user"}),
        ("gen_ai.user.message", "hello", None),
        (
            "gen_ai.choice",
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "content": "well",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
            },
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f"}}]
                },
            },
        ),
        (
            semconv.EVENT_INFERENCE_DETAILS,
            {semconv.INPUT_MESSAGES: [], semconv.REQUEST_MODEL: "m"},
            {semconv.REQUEST_MODEL: "m"},
        ),
        ("app.event", {"content": "the program's own"}, {"content": "the program's own"}),
        (None, "a line of a log", "a line of a log"),
    ],
)
def test_body_of_a_message_tells_only_how_it_is_built(
    event: str | None, body: Any, told: Any
) -> None:
    assert body_without_content(event, body) == told


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"myvendor.request.messages": "[]", "llm.token_count.prompt": 7}, 1),
        ({"llm.input_messages.0.message.content": "hi", "llm.input_messagesX": "x"}, 1),
        ({"gen_ai.completion.0.content": "hi", "gen_ai.completion.0.finish_reason": "stop"}, 1),
        ({"traj.task.text": "t", "traj.outcome": "success", "traj.metadata.a": "b"}, 3),
    ],
)
def test_unlisted_and_flattened_keys(attributes: Mapping[str, Any], told: int) -> None:
    assert len(without_content(attributes)) == told
