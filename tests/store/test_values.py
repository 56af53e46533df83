import json
import math
from typing import Any

import duckdb
import pytest
from hypothesis import given

from otel_traj.store import values
from tests.store.strategies import anything, same


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
