"""Requests repeat their history: what was read once is the same where it stands again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.dialects import messages
from otel_traj.dialects.canonical import Numbering, Written, message_bodies
from otel_traj.dialects.messages import decode

PARTS = st.sampled_from(
    [
        {"type": "text", "content": "a" * 200},
        {"type": "text", "content": "a" * 199 + "b"},
        {"type": "tool_call", "id": "1", "name": "look", "arguments": {"deep": [1, {"x": None}]}},
        {"type": "tool_call_response", "id": "1", "response": "]"},
        {"text": "{"},
        "said",
    ]
)
SAID = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "human", "system"])},
    optional={
        "parts": st.lists(PARTS, max_size=3),
        "content": st.sampled_from(["", "short", '[{"type": "text", "text": "inner"}]']),
        "finish_reason": st.just("stop"),
    },
)
OTHERS = st.sampled_from(
    [
        {"type": "text", "content": "a block"},
        {"role": "", "content": "nobody"},
        {"role": "ai", "message": {"role": "user", "content": "inside"}},
        {"role": "user", "type": "human", "data": {"content": "dumped"}},
        "a text",
        7,
        None,
    ]
)


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_seen", messages._Memory())
    monkeypatch.setattr(messages, "_seen_objects", messages._Memory())


@given(st.lists(SAID | OTHERS, max_size=5), st.sampled_from([None, 1]), st.sampled_from(["", " "]))
def test_a_list_as_text_says_what_its_objects_say(
    told: list[Any], indent: int | None, after: str
) -> None:
    text = json.dumps(told, indent=indent) + after

    for _ in range(2):
        assert decode(text, "assistant") == decode(told, "assistant")


@given(st.lists(SAID, min_size=1, max_size=3), st.integers(1, 400))
def test_a_text_that_was_cut_off_says_the_same_whatever_was_read_before(
    told: list[Any], n_cut: int
) -> None:
    whole = json.dumps(told)
    cut = whole[: max(1, len(whole) - n_cut)]

    first = decode(cut)
    decode(whole)

    assert decode(cut) == first


def test_a_message_that_stands_again_is_the_same_one() -> None:
    said = {"role": "user", "parts": [{"type": "text", "content": "How long? " * 50}]}
    answer = {"role": "assistant", "parts": [{"type": "text", "content": "Not long. " * 50}]}

    [first] = decode(json.dumps([said]))
    again, _ = decode(json.dumps([said, answer]))

    assert again is first


def test_an_object_that_stands_again_is_the_same_message() -> None:
    said = {"role": "user", "content": "How long?"}

    [first] = decode([said])
    again, _ = decode([dict(said), {"role": "assistant", "content": "Not long."}])

    assert again is first


# Equal in Python, and not the same values; a set is none that JSON has.
ALIKE = [1, 1.0, True, "1", [1], (1,), {"a": 1, "b": 2}, {"b": 2, "a": 1}, {1}]


def test_what_was_read_before_changes_no_message() -> None:
    for role in ("user", "assistant"):
        for value in ALIKE * 2:
            for item in ({"content": value}, {"parts": [{"type": "new", "value": value}]}):
                assert repr(decode([item], role)) == repr(messages._decode_object(item, role))


def test_what_was_seen_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_MOST_SEEN", 5_000)

    for n in range(100):
        decode(json.dumps([{"role": "user", "content": f"{n} " * 200}]))

    assert 0 < sum(map(len, messages._seen._by_text)) < 6_000


def test_what_was_written_before_counts_the_calls_that_it_tells() -> None:
    asked = {"type": "tool_call", "name": "look", "arguments": {}}
    result = {"type": "tool_call_response", "name": "look", "response": "seen"}
    told = decode(
        [
            {"role": "assistant", "parts": [asked]},
            {"role": "tool", "parts": [result]},
            {"role": "assistant", "parts": [asked]},
            {"role": "tool", "parts": [result]},
        ]
    )
    written = Written()
    bodies = message_bodies(told, Numbering(), written)
    again = message_bodies(told, Numbering(), written)
    later = message_bodies(told[2:], Numbering(), written)

    assert all(first is second for first, second in zip(bodies, again, strict=True))
    assert later == message_bodies(told[2:], Numbering())
    assert [b'"ref":%d' % n in bodies[2 * n + 1][0] for n in (0, 1)] == [True, True]
