"""What a tool gave, however a framework wraps it; what the tool itself wrapped stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_traj.dialects.convert import result

_MESSAGE = {"type": "tool_call_response", "id": "c1", "response": [{"text": "sold out"}]}

WRAPPED: dict[str, Any] = {
    "a block": [{"type": "text", "text": "sold out"}],
    "Bedrock's block, which has no type": [{"text": "sold out"}],
    "a message": [{"role": "tool", "content": "sold out"}],
    "a message of parts and blocks": [{"role": "tool", "parts": [_MESSAGE]}],
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
def test_a_wrapped_answer_is_the_text_that_the_tool_gave(wrapped: Any) -> None:
    assert result(json.dumps(wrapped)) == "sold out"


@pytest.mark.parametrize(
    "given",
    [[], [1, 2], ["a"], [{"text": "a"}, {"text": "b"}], [{"text": "a", "page": 1}], [{"id": 1}]],
)
def test_a_list_that_the_tool_gave_stays_as_it_is(given: Any) -> None:
    assert result(json.dumps(given)) == json.dumps(given)
