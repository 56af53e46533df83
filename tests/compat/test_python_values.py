"""What goes into the text comes out of it, types and all."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.compat import python_values

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.complex_numbers(allow_nan=False)
)
keys = scalars | st.sampled_from(["$tuple", "$", "$dict"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.frozensets(scalars, max_size=3)
        | st.sets(scalars, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_any_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    back = python_values.loads(python_values.dumps(value))

    assert back == value
    assert python_values.is_same(back, value)


@dataclass
class Order:
    number: int


class Colour(enum.Enum):
    RED = "red"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Order(7), {"number": 7}),
        (Colour.RED, "red"),
        ((Order(7), b"\xff"), ({"number": 7}, b"\xff")),
        (Rude(), "<Rude: repr raised RuntimeError>"),
    ],
)
def test_objects_of_classes_of_ones_own_come_back_as_what_is_told_of_them(
    value: Any, told: Any
) -> None:
    assert python_values.loads(python_values.dumps(value)) == told


def test_values_that_look_equal_are_not_the_same() -> None:
    pairs = [(1, 1.0), (1, True), ((1,), [1]), ({1}, frozenset({1})), ({"1": 2}, {1: 2})]

    assert [python_values.is_same(*pair) for pair in pairs] == [False] * len(pairs)
    assert python_values.is_same(math.nan, math.nan)


def test_what_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)

    assert "nested deeper" in python_values.dumps(loop)


def test_text_is_plain_ascii_json() -> None:
    value = {"when": datetime(2026, 11, 21, tzinfo=UTC), "n": (1, Decimal("2.50"))}

    assert python_values.dumps(value) == (
        '{"when":{"$datetime":"2026-11-21T00:00:00+00:00"},"n":{"$tuple":[1,{"$decimal":"2.50"}]}}'
    )


def test_every_form_has_its_inverse() -> None:
    one_of_each = [
        b"\x00", date(2026, 1, 2), time(3, 4, 5, 6), timedelta(-1, 2, 3), Decimal("NaN"),
        UUID(int=5), complex(1, -2), math.inf, 2**200, (1,), {1}, frozenset({2}), {None: 1},
    ]  # fmt: skip

    back = python_values.loads(python_values.dumps(one_of_each))

    assert [type(value) for value in back] == [type(value) for value in one_of_each]
