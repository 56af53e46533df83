"""Every shape in which a message arrives ends as the same message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_traj.dialects.messages import (
    Message,
    Part,
    decode,
    from_pieces,
    is_cut,
    loads,
    to_json,
    unflatten,
)
from otel_traj.dialects.reprs import from_repr

ASKED = Message("assistant", (Part("tool_call", id="c1", name="look", value={"id": 1}),))
ANSWERED = Message("tool", (Part("tool_result", id="c1", value="found"),))

ASKS: dict[str, Any] = {
    "otel": {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": {"id": 1}}]},
    "otel, arguments as text": {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": '{"id": 1}'}]},
    "openai chat": {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"id": 1}'}}]},
    "openai responses": {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": '{"id": 1}'},
    "anthropic": {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"id": 1}}]},
    "gemini": {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "look", "args": {"id": 1}}}]},
    "langchain dump": {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "AIMessage"], "kwargs": {"content": "", "tool_calls": [{"name": "look", "args": {"id": 1}, "id": "c1", "type": "tool_call"}]}},
    "langchain data": {"type": "ai", "data": {"content": "", "tool_calls": [{"name": "look", "args": {"id": 1}, "id": "c1"}]}},
    "vercel": {"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "look", "input": {"id": 1}}]},
    "a choice": {"index": 0, "message": {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"id": 1}'}}]}},
    "a repr in a text": {"role": "assistant", "parts": [{"type": "text", "content": "ResponseFunctionToolCall(arguments='{\"id\": 1}', call_id='c1', name='look', type='function_call', id='fc_1', status=None)"}]},
    "a type that was cut off": {"role": "assistant", "parts": [{"arguments": {"id": 1}, "name": "look", "id": "c1"}]},
}  # fmt: skip

ANSWERS: dict[str, Any] = {
    "otel": {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "found"}]},
    "otel, older": {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "found"}]},
    "openai chat": {"role": "tool", "tool_call_id": "c1", "content": "found"},
    "openai chat, blocks": {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "found"}]},
    "openai responses": {"type": "function_call_output", "call_id": "c1", "output": "found"},
    "event body": {"role": "tool", "id": "c1", "content": "found"},
    "langchain dump": {"type": "tool", "data": {"content": "found", "tool_call_id": "c1", "id": None}},
}  # fmt: skip


def bare(message: Message) -> Message:
    """Without what the form may or may not tell."""
    parts = tuple(
        Part(p.kind, p.text, p.id, None if p.kind == "tool_result" else p.name, p.value)
        for p in message.parts
    )
    return Message(message.role, parts)


@pytest.mark.parametrize("shape", ASKS)
def test_a_tool_call_is_one_in_every_shape(shape: str) -> None:
    assert [bare(m) for m in decode(ASKS[shape], "assistant")] == [ASKED]
    assert [bare(m) for m in decode(json.dumps([ASKS[shape]]), "assistant")] == [ASKED]


@pytest.mark.parametrize("shape", ANSWERS)
def test_a_tool_result_is_one_in_every_shape(shape: str) -> None:
    assert [bare(m) for m in decode(ANSWERS[shape])] == [ANSWERED]


def test_an_anthropic_result_keeps_its_role_and_says_that_it_failed() -> None:
    block = {"type": "tool_result", "tool_use_id": "c1", "content": "boom", "is_error": True}

    (message,) = decode({"role": "user", "content": [block]})

    assert message == Message("user", (Part("tool_result", id="c1", value="boom", failed=True),))


def test_a_call_told_in_and_beside_the_content_counts_once() -> None:
    message = {
        "role": "assistant",
        "contents": [{"message_content": {"type": "tool_use"}}],
        "tool_calls": [
            {"tool_call": {"id": "c1", "function": {"name": "look", "arguments": "{}"}}}
        ],
    }

    assert [p.name for p in decode(message)[0].tool_calls] == ["look"]


def test_flattened_keys_close_gaps_and_keep_numeric_order() -> None:
    attributes = {
        "m.10.message.role": "assistant",
        "m.2.message.role": "user",
        "m.2.message.content": "hi",
        "other": 1,
    }

    assert unflatten(attributes, "m") == [
        {"message": {"role": "user", "content": "hi"}},
        {"message": {"role": "assistant"}},
    ]
    assert [m.role for m in decode(unflatten(attributes, "m"))] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("role", "expected"),
    [("human", "user"), ("MessageRole.USER", "user"), ("ai", "assistant"), ("developer", "system")],
)
def test_roles_have_one_name(role: str, expected: str) -> None:
    assert decode({"role": role, "content": "x"})[0].role == expected


def test_reasoning_is_no_text() -> None:
    (message,) = decode(
        {
            "role": "assistant",
            "parts": [{"type": "thinking", "content": "hm"}, {"type": "text", "content": "ok"}],
        }
    )

    assert (message.reasoning, message.text) == ("hm", "ok")


def test_an_observation_in_the_users_name_is_an_answer() -> None:
    (message,) = decode({"role": "user", "content": "Observation:\n42"})

    assert [part.value for part in message.answers] == ["42"]


def test_what_no_rule_knows_is_kept() -> None:
    (message,) = decode({"role": "user", "parts": [{"type": "hologram", "beam": 1}]})

    assert message.parts == (Part("other", value={"type": "hologram", "beam": 1}),)
    assert json.loads(to_json([message]))[0]["parts"] == [{"type": "hologram", "beam": 1}]


@pytest.mark.parametrize("nothing", [None, "", [], {}])
def test_nothing_is_no_message_or_an_empty_one(nothing: Any) -> None:
    assert all(not message.text for message in decode(nothing))


def test_an_answer_in_pieces() -> None:
    calls = '[{"toolCallId": "c1", "toolName": "look", "input": "{\\"id\\": 1}"}]'

    assert from_pieces("hi", None, calls) == (
        Message("assistant", (Part("text", text="hi"), *ASKED.parts)),
    )
    assert from_pieces(None, None, None) is None


# --- JSON that was cut off, or is none ---------------------------------------------------------


@given(st.integers(min_value=1, max_value=200))
@example(83)  # right after an inner list
def test_cut_json_keeps_whole_values_and_no_half_string(length: int) -> None:
    whole = [{"role": "user", "content": "abc def"}, {"role": "tool", "n": [1, 22, {"x": None}]}]
    text = json.dumps(whole)[:length]

    found = loads(text)

    if isinstance(found, list):
        for item in found:
            assert item.get("content") in (None, "abc def")
            assert item.get("role") in (None, "user", "tool")
            assert set(item.get("n", [])[:2]) <= {1, 22}
    assert is_cut(text) == (isinstance(found, list) and text != json.dumps(whole))


def test_a_word_stays_a_word() -> None:
    assert [loads(v) for v in ("42", "true", "null", "plain", "{not json")] == [
        "42",
        "true",
        "null",
        "plain",
        "{not json",
    ]


def test_json_in_json_is_opened_as_often_as_it_was_closed() -> None:
    assert loads(json.dumps(json.dumps({"a": 1}))) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Item(a=1, b=[Other(c='x')])", {"a": 1, "b": [{"c": "x"}]}),
        ("{'a': -1.5, 'b': None}", {"a": -1.5, "b": None}),
        ("M(role=<Role.USER: 'user'>)", {"role": "user"}),
        ("[Item(a=1)]", [{"a": 1}]),
        ("F(x=<function f at 0x7f>)", {"x": None}),
        ("not a repr", None),
        ("Cut(a='b", None),
        ("Call(1 + f(2))", None),
        ("", None),
    ],
)
def test_reprs_are_read_and_never_evaluated(text: str, expected: Any) -> None:
    assert from_repr(text) == expected


def test_a_repr_cannot_run_code() -> None:
    assert from_repr("X(a=__import__('os').system('true'))") in (None, {"a": "true"}, {"a": None})


# --- objects that were printed -----------------------------------------------------------------

PRINTED = [
    "ChatMessage(_role=<ChatRole.USER: 'user'>, _content=[TextContent(text='Hi')], _name=None)",
    "ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[ToolCall(tool_name='look', arguments={'id': 1}, id='c1')])",
    "ChatMessage(_role=<ChatRole.TOOL: 'tool'>, _content=[ToolCallResult(result='gone', origin=ToolCall(tool_name='look', arguments={'id': 1}, id='c1'), error=True)])",
]  # fmt: skip


def test_a_list_of_printed_messages_is_one_of_messages() -> None:
    user, assistant, tool = decode(PRINTED)

    assert (user.role, user.text) == ("user", "Hi")
    assert assistant.tool_calls == (Part("tool_call", id="c1", name="look", value={"id": 1}),)
    assert tool.tool_results == (
        Part("tool_result", id="c1", name="look", value="gone", failed=True),
    )


def test_a_text_that_looks_like_a_printed_object_stays_a_text() -> None:
    for said in ("f(x=1)", "Note(role='user')", "Call(me, maybe)"):
        assert [message.text for message in decode(said)] == [said]
