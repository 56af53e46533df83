"""Quick JSON: what `json` reads and writes, whatever is read and written."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.dialects import quick_json

TEXTS = st.text(st.characters(exclude_categories=()))  # lone surrogates too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)
ODD = ["1e400", "-0", "-0.0", "1E5", "NaN", "01", "[1,]", '"\t"', '"\\ud800"', "1" * 30, "{}x", ""]


def told(read: Any, text: str) -> str:
    """What comes of reading a text."""
    try:
        return repr(read(text))
    except ValueError:
        return "is none"


@given(VALUES, st.booleans())
def test_what_is_read_is_what_json_reads(value: Any, is_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)

    assert told(quick_json.loads, text) == told(json.loads, text)
    assert told(quick_json.loads, text[:-1]) == told(json.loads, text[:-1])


@pytest.mark.parametrize("text", ODD)
def test_odd_json_is_read_as_json_reads_it(text: str) -> None:
    assert told(quick_json.loads, text) == told(json.loads, text)


@given(TEXTS)
def test_texts_are_quoted_as_json_quotes_them(text: str) -> None:
    assert quick_json.quoted(text) == encode_basestring(text)


def test_items_of_a_list_come_as_they_are_written() -> None:
    items = quick_json.items_of('[1, {"a": "é"} ,"x"]')

    assert items == [b"1", '{"a": "é"}'.encode(), b'"x"']
    assert [quick_json.loads(item) for item in items] == [1, {"a": "é"}, "x"]


@pytest.mark.parametrize("text", ["", "{}", "[1,]", "[NaN]", '["\ud800"]'])
def test_a_list_that_only_json_reads_has_no_items(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        quick_json.items_of(text)
