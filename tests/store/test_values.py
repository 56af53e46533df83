import json
import math
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.store import values

texts = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates included
keys = st.one_of(texts, st.sampled_from(["$b64", "$f", "$json", "$map", "a"]))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=8), texts, keys
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def same(left: Any, right: Any) -> bool:
    """Equal in value and type; NaN equals itself, -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        if math.isnan(left):
            return math.isnan(right)
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    return bool(left == right)


@given(anything)
def test_what_is_read_back_is_what_was_written(value: Any) -> None:
    text = values.dumps(value)

    assert same(values.loads(text), value)


@given(anything)
def test_every_text_is_utf8_that_duckdb_takes_for_json(value: Any) -> None:
    text = values.dumps(value)

    text.encode()
    assert duckdb.execute("select json_valid(?)", [text]).fetchone() == (True,)


def test_text_stays_readable() -> None:
    assert values.dumps({"city": "Zürich 東京"}) == '{"city":"Zürich 東京"}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x00\x01", '{"$b64":"AAE="}'),
        (math.nan, '{"$f":"NaN"}'),
        (-math.inf, '{"$f":"-Infinity"}'),
        ({"$f": "NaN"}, '{"$map":[["$f","NaN"]]}'),
        ("\ud800", '{"$json":"\\"\\\\ud800\\""}'),
        (2**63, "9223372036854775808"),
    ],
)
def test_stand_ins_have_the_documented_form(value: Any, text: str) -> None:
    assert values.dumps(value) == text


def test_foreign_objects_become_their_repr_and_deep_ones_end() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]

    assert json.loads(values.dumps({"a": object})) == {"a": "<class 'object'>"}
    assert "nested deeper" in values.dumps(deep)
    assert values.dumps(10**5000).startswith('"0x')
    del deep
