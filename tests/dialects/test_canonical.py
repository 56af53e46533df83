"""One request, however it was told, has one canonical form; its hashes never change silently."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.dialects.bodies import read_request
from otel_traj.dialects.canonical import (
    CANON_VERSION,
    Hashes,
    Numbering,
    canonical_json,
    canonical_params,
    canonical_request,
    canonical_tools,
    chain_of,
    hash_messages,
    hash_request,
    message_bodies,
)
from otel_traj.dialects.facts import Facts
from otel_traj.dialects.messages import Messages, decode, from_json, to_json
from tests.corpus import third_party


def hashes(body: Any, kept: int = 0) -> Hashes:
    """The hashes of a provider's request body."""
    facts = read_request(body)
    messages = facts.input or ()
    return hash_request(facts, messages, message_bodies(messages, Numbering()), kept)


# --- one request in every form -----------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}}
FUNCTION: dict[str, Any] = {"name": "look", "description": "Look up.", "parameters": SCHEMA}
OPENAI_TOOL = {"type": "function", "function": FUNCTION}

FORMS: dict[str, dict[str, Any]] = {
    "openai chat": {
        "model": "m", "temperature": 0, "max_completion_tokens": 50, "stream": True, "user": "u-1", "tool_choice": "required",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Where is A-1?"},
            {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "call_7", "type": "function", "function": {"name": "look", "arguments": '{"id": "A-1"}'}}]},
            {"role": "tool", "tool_call_id": "call_7", "content": '{"status": "shipped"}'},
        ],
        "tools": [OPENAI_TOOL],
    },
    "openai responses": {
        "model": "m", "temperature": 0.0, "max_output_tokens": 50, "store": False, "tool_choice": "required",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Where is A-1?"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_x", "name": "look", "arguments": '{"id":"A-1"}'},
            {"type": "function_call_output", "call_id": "call_x", "output": '{"status":"shipped"}'},
        ],
        "tools": [{"type": "function", "name": "look", "description": "Look up.", "parameters": SCHEMA}],
    },
    "anthropic": {
        "model": "m", "temperature": 0, "max_tokens": 50, "metadata": {"user_id": "u"}, "tool_choice": {"type": "any"},
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Where is A-1?"},
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"id": "A-1"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": '{"status": "shipped"}'}]}]},
        ],
        "tools": [{"name": "look", "description": "Look up.", "input_schema": SCHEMA}],
    },
    "gemini": {
        "model": "m", "generationConfig": {"temperature": 0, "maxOutputTokens": 50},
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Where is A-1?"}]},
            {"role": "model", "parts": [{"text": "I look."}, {"functionCall": {"name": "look", "args": {"id": "A-1"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"result": {"status": "shipped"}}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "look", "description": "Look up.", "parameters": SCHEMA}]}],
    },
    "otel parts": {
        "model": "m", "temperature": 0.0, "max_tokens": 50, "tool_choice": "required",
        "messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Where is A-1?"}]},
            {"role": "assistant", "parts": [{"type": "text", "content": "I look."}, {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"id": "A-1"}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"status": "shipped"}}]},
        ],
        "tools": [{"type": "function", "name": "look", "description": "Look up.", "parameters": SCHEMA}],
    },
    "langchain": {
        "model": "m", "temperature": 0, "max_tokens": 50, "tool_choice": "any",
        "messages": [
            {"lc": 1, "type": "constructor", "id": ["x", "SystemMessage"], "kwargs": {"content": "Be brief.", "type": "system"}},
            {"lc": 1, "type": "constructor", "id": ["x", "HumanMessage"], "kwargs": {"content": "Where is A-1?", "type": "human"}},
            {"lc": 1, "type": "constructor", "id": ["x", "AIMessage"], "kwargs": {"content": "I look.", "tool_calls": [{"name": "look", "args": {"id": "A-1"}, "id": "call_7", "type": "tool_call"}]}},
            {"lc": 1, "type": "constructor", "id": ["x", "ToolMessage"], "kwargs": {"content": '{"status": "shipped"}', "tool_call_id": "call_7"}},
        ],
        "tools": [OPENAI_TOOL],
    },
}  # fmt: skip

CANONICAL = {
    "system": "Be brief.",
    "tools": [{"name": "look", "description": "Look up.", "parameters": SCHEMA}],
    "messages": [
        {"role": "user", "type": "text", "text": "Where is A-1?"},
        {"role": "assistant", "type": "text", "text": "I look."},
        {"role": "assistant", "type": "tool_call", "name": "look", "arguments": {"id": "A-1"}},
        {"role": "tool", "type": "tool_result", "ref": 0, "content": {"status": "shipped"}},
    ],
    "params": {"model": "m", "temperature": 0, "max_tokens": 50, "tool_choice": "required"},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_request_has_one_canonical_form_in_every_form(form: str) -> None:
    assert canonical_request(read_request(FORMS[form])) == CANONICAL


VERSION_1 = Hashes(
    request="8cbad17eb8c3f43079d6663ef8e98b81b80fa171a47512e6bd096251043ad70d",
    system="fecef222d7732bb717f79edfbfe005707890d72608deefc4dd8171a5980dd5d0",
    tools="d97cee1b5e13b70835be1fb67474e9d7c6962d177435b8576c19a7d37c1a413c",
    messages="6b43967973942a2dc5b971bd49276363553ed9227b6beaccbaec8497f2fe546e",
    params="82b936cf2f868bf823f20817a48590f5647e7e629cdd5f7bddcbe01703859fce",
    prefix="8c75e7104e600a71f6afd87bc7279776c73a19b346bb3c8ac2e905a11794e1ea",
)
CHAIN_1 = [
    "5f32ffa107781f6f1d39309d5a3e97781c486cdb1bcbf6daa8b22b80f55efde6",
    "b43df11495eef1ab278dd88d623e6570459fa360fa3230a4a24fb082ee2bc22a",
    "b151998b05e22dbcfccde30906103d05a5220b273bb1d94f7a8a99ac02dea23a",
    "d35ae1e935b79ac1eeca7975c3e81c6b6cbcf034a492aa4d1fbda0c3f3392587",
]


@pytest.mark.parametrize("form", FORMS)
def test_hashes_of_version_1_never_change(form: str) -> None:
    assert CANON_VERSION == "1"
    assert hashes(FORMS[form]) == VERSION_1


def test_the_chain_of_version_1_never_changes() -> None:
    messages = read_request(FORMS["gemini"]).input or ()
    bodies = message_bodies(messages, Numbering())
    last_of_each = [CHAIN_1[0], CHAIN_1[2], CHAIN_1[3]]  # the model's message has two parts

    chain = chain_of(VERSION_1.system, VERSION_1.tools, bodies)

    assert chain == [VERSION_1.prefix, *last_of_each]


def test_the_hash_of_a_request_is_made_of_its_components() -> None:
    parts = [hash_of(CANONICAL[name]) for name in ("system", "tools", "messages", "params")]
    assert parts == [VERSION_1.system, VERSION_1.tools, VERSION_1.messages, VERSION_1.params]
    assert hashlib.sha256("".join(parts).encode()).hexdigest() == VERSION_1.request


def hash_of(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


# --- what is equal, and what is not ------------------------------------------------------------


def said(*parts: dict[str, Any], role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "parts": list(parts)}]


def call(id: str | None, arguments: Any, name: str = "look") -> dict[str, Any]:
    return {"type": "tool_call", "id": id, "name": name, "arguments": arguments}


def answer(id: str | None, response: Any) -> dict[str, Any]:
    return {"type": "tool_call_response", "id": id, "response": response}


def text(content: str | None) -> dict[str, Any]:
    return {"type": "text", "content": content}


PNG = "iVBORw0KGgo="

EQUAL: dict[str, tuple[Any, Any]] = {
    "line ends": (said(text("a\r\nb")), said(text("a\nb"))),
    "composed and combining letters": (said(text("\u00e9")), said(text("e\u0301"))),
    "key order and 1.0 of arguments": (said(call("x", '{"b": 1.0, "a": 2}')), said(call("x", {"a": 2, "b": 1}))),
    "no arguments": (said(call("x", "{}")), said(call("x", None))),
    "empty and absent content": (said(call("x", 1), text("")), said(call("x", 1))),
    "ids": (said(call("a", 1), call("b", 2), answer("b", "r")), said(call("c1", 1), call("c2", 2), answer("c2", "r"))),
    "answers by order where ids differ": (said(call("fc_1", 1), answer("call_1", "r")), said(call("c", 1), answer("c", "r"))),
    "parts of one message or of two": (said(text("a"), text("b")), [*said(text("a")), *said(text("b"))]),
    "a tool's JSON as text": (said(call("x", 1), answer("x", '{"a": 1}')), said(call("x", 1), answer("x", {"a": 1.0}))),
    "text before or after the calls beside it": (said(text("a"), call("x", 1)), said(call("x", 1), text("a"))),
    "a result as the AI SDK wraps it": (said(call("x", 1), answer("x", {"type": "json", "value": {"a": 1}})), said(call("x", 1), answer("x", '{"a": 1}'))),
    "an image as URL and as blob": (
        said({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}),
        said({"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG}),
    ),
    "an image of Anthropic and of Gemini": (
        said({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}),
        said({"inlineData": {"mimeType": "image/png", "data": PNG}}),
    ),
}  # fmt: skip

DIFFERENT: dict[str, tuple[Any, Any]] = {
    "white space at the ends": (said(text("a ")), said(text("a"))),
    "letters that only look alike": (said(text("\u00c5")), said(text("\uff21"))),
    "who says it": (said(text("a")), said(text("a"), role="assistant")),
    "order of messages": ([*said(text("a")), *said(text("b"))], [*said(text("b")), *said(text("a"))]),
    "which call is answered": (said(call("a", 1), call("b", 2), answer("a", "r")), said(call("a", 1), call("b", 2), answer("b", "r"))),
    "big integers": (said(call("x", {"id": 2**53})), said(call("x", {"id": 2**53 + 1}))),
    "a number and its text in arguments": (said(call("x", {"n": 1})), said(call("x", {"n": "1"}))),
    "other bytes of an image": (said({"type": "blob", "content": PNG}), said({"type": "blob", "content": "AAAA"})),
    "another address of an image": (said({"type": "uri", "uri": "https://a"}), said({"type": "uri", "uri": "https://b"})),
    "lone surrogates": (said(text("\ud800")), said(text("\udfff"))),
    "arguments that are no JSON": (said(call("x", '{"a": 1,}')), said(call("x", {"a": 1}))),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUAL)
def test_what_says_the_same_is_equal(case: str) -> None:
    left, right = EQUAL[case]
    assert hash_messages(decode(left)) == hash_messages(decode(right))


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_differs_stays_different(case: str) -> None:
    left, right = DIFFERENT[case]
    assert hash_messages(decode(left)) != hash_messages(decode(right))


def test_text_that_is_no_json_stays_the_arguments_it_was() -> None:
    request = canonical_request(Facts(input=decode(said(call("x", '{"a": 1,}')))))
    assert request["messages"][0]["arguments"] == '{"a": 1,}'


# --- tools and parameters ----------------------------------------------------------------------


def test_tools_come_by_name_and_say_the_same_in_every_dialect() -> None:
    other = {"name": "find", "input_schema": SCHEMA}
    forms: list[Any] = [
        [OPENAI_TOOL, other],
        [other, OPENAI_TOOL],
        [{"tool": {"json_schema": json.dumps(OPENAI_TOOL)}}, json.dumps(other)],
        [{"functionDeclarations": [FUNCTION, other]}],
        {
            "function_tools": [{"strict": None, **FUNCTION}, other],
            "output_mode": "text",
        },
    ]
    canonical = [canonical_tools(form) for form in forms]
    assert [tool["name"] for tool in canonical[0]] == ["find", "look"]
    assert all(form == canonical[0] for form in canonical)


def test_a_providers_own_tools_stay_as_they_were_declared() -> None:
    assert canonical_tools([{"type": "web_search", "filters": {}}]) == [{"type": "web_search"}]


PARAMS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"tool_choice": "auto"}, {}),
    ({"tool_choice": {"type": "auto"}}, {}),
    ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, {"tool_choice": {"name": "look"}}),
    ({"tool_choice": {"type": "tool", "name": "look"}}, {"tool_choice": {"name": "look"}}),
    ({"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}}}, {"tool_choice": {"name": "look"}}),
    ({"stop": "\n"}, {"stop": ["\n"]}),
    ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
    ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
    ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    ({"response_format": {"type": "text"}}, {}),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}, {"response_format": {"type": "json_schema", "schema": SCHEMA}}),
    ({"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}, {"response_format": {"type": "json_schema", "schema": SCHEMA}}),
    ({"generationConfig": {"responseSchema": SCHEMA, "stopSequences": ["a"]}}, {"stop": ["a"], "response_format": {"type": "json_schema", "schema": SCHEMA}}),
    ({"top_p": 1.0, "seed": 7, "max_tokens": True}, {"top_p": 1.0, "seed": 7}),
    ({"user": "u", "metadata": {}, "store": True, "stream_options": {}, "service_tier": "flex", "timeout": 3}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "params"), PARAMS)
def test_parameters_have_one_name_and_one_form(body: Any, params: Any) -> None:
    assert canonical_params(read_request(body)) == params


def test_what_was_hashed_before_changes_no_hash() -> None:
    # Equal in Python, and not in JSON; the same text or list, and not the same value.
    told: list[Any] = [1, 1.0, True, 1.5, "1", [1], (1,), {"a": 1, "b": 2}, {"b": 2, "a": 1}, {1}]
    for tool in [{"name": "look", "parameters": {"default": value}} for value in told] * 2:
        expected = hashlib.sha256(canonical_json(canonical_tools([tool]))).hexdigest()

        assert hash_request(Facts(tool_definitions=[tool]), (), (), 0).tools == expected

    assert hash_request(Facts(tool_definitions=[]), (), (), 0).tools is None


def test_zero_is_told() -> None:
    facts = Facts(temperature=0.0)
    facts.fill(Facts(temperature=1.0))
    assert canonical_params(facts) == {"temperature": 0.0}


# --- RFC 8785 ----------------------------------------------------------------------------------

# Appendix B of the RFC: the bits of a double, and how it is printed.
NUMBERS = {
    "0000000000000000": "0", "8000000000000000": "0", "0000000000000001": "5e-324", "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308", "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992", "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000", "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23", "44b52d02c7e14af7": "1.0000000000000001e+23", "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000", "444b1ae4d6e2ef50": "1e+21", "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001", "41b3de4355555553": "333333333.3333332", "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333", "41b3de4355555556": "333333333.3333334", "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333", "43143ff3c1cb0959": "1424953923781206.2",
}  # fmt: skip


@pytest.mark.parametrize(("bits", "printed"), NUMBERS.items())
def test_numbers_are_printed_as_the_rfc_says(bits: str, printed: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(number).decode() == printed


def test_objects_are_written_as_the_rfc_says() -> None:
    value = {  # section 3.2.2
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical_json(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_their_utf_16() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]  # section 3.2.3
    written = json.loads(canonical_json(dict.fromkeys(keys, 0)), object_pairs_hook=list)
    assert [key for key, _ in written] == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_value_can_be_written(value: Any) -> None:
    assert canonical_json(value) == canonical_json(value)


def test_what_is_nested_too_deep_is_a_text() -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    assert json.loads(canonical_json(deep))


# --- messages there and back -------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_stored_messages_come_back_part_by_part(form: str) -> None:
    messages = read_request(FORMS[form]).input or ()
    assert from_json(to_json(messages)) == messages


@given(st.lists(st.sampled_from([said(text("a")), said(call("x", {})), said(answer("x", "r"))])))
def test_a_request_that_goes_on_has_the_chain_of_the_one_before(turns: list[Any]) -> None:
    messages: Messages = tuple(m for turn in turns for m in decode(turn))
    chain = chain_of(None, None, message_bodies(messages, Numbering()))
    for end in range(len(messages)):
        bodies = message_bodies(messages[:end], Numbering())
        assert chain_of(None, None, bodies) == chain[: end + 1]


# --- Laminar's vectors -------------------------------------------------------------------------


def test_laminars_cases_are_told_apart() -> None:
    """Its hashes are BLAKE3 over untouched provider JSON; what it tells apart, we must too."""
    path = third_party("replay-hash-vectors-lmnr/input_hash_cases.json")
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
    ours = {case["name"]: hash_messages(decode(case["messages"])) for case in cases}
    assert len(set(ours.values())) == len({case["expected_hash"] for case in cases})
    without_system = [m for m in cases[1]["messages"] if m["role"] != "system"]
    assert hash_messages(decode(without_system)) == ours["openai_system_excluded"]
