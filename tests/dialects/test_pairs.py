"""One exchange in two vocabularies, as the project that converts between them wrote it down."""

from __future__ import annotations

import json

import pytest

from otel_traj.dialects import Facts, read
from tests.assembly.spans import span
from tests.corpus import third_party


def told(name: str) -> Facts:
    path = third_party(f"otel-genai-openinference-pairs/{name}.json")
    return read(span("chat gpt-4", 0, 1, attributes=json.loads(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    "name",
    [
        "otel_genai_client_span_tool_calls",
        "otel_genai_deprecated_client_span_tool_calls",
        "openinference_client_span_tool_calls",
        "openinference_client_span_input_output_only",
    ],
)
def test_a_model_call_says_the_same_in_both_vocabularies(name: str) -> None:
    facts = told(name)

    assert facts.input is not None
    user, assistant, tool = facts.input
    (call,), (answer,) = assistant.tool_calls, tool.tool_results
    assert (user.role, user.text) == ("user", "Weather in Paris?")
    assert (call.id, call.name, call.value) == ("1234", "get_weather", {"location": "Paris"})
    assert (answer.id, answer.value) == ("1234", "rainy, 57°F")
    assert [message.text for message in facts.output or ()] == [
        "The weather in Paris is currently rainy with a temperature of 57°F."
    ]
    assert (facts.kind, facts.provider, facts.response_model) == ("llm", "openai", "gpt-4-0613")
    assert (facts.model, facts.temperature, facts.top_p, facts.max_tokens) == (
        "gpt-4",
        0.5,
        0.9,
        200,
    )
    assert (facts.input_tokens, facts.output_tokens) == (97, 52)


def test_a_tool_tells_its_arguments_under_bare_keys() -> None:
    facts = told("otel_genai_tool_execution_span")

    assert (facts.kind, facts.tool_name, facts.tool_call_id) == ("tool", "get_weather", "1234")
    assert facts.arguments == {"city": "New York"}
    assert "sunny" in str(facts.result)
