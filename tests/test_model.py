"""Records and rows: frozen values, however they are made."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from otel_traj.dialects.messages import Part
from otel_traj.model import SpanRecord, Step, Trajectory, TrajectorySpan

NOW = datetime(2026, 11, 21, tzinfo=UTC)
VALUES = [
    SpanRecord("a" * 32, "b" * 16, None, "chat", 1, 2, attributes={"k": 1}),
    Step(trajectory_id="t", step=0, kind="llm", trace_id="a", span_id="b", start_time=NOW),
    TrajectorySpan(trajectory_id="t", trace_id="a", span_id="b"),
    Trajectory(trajectory_id="t", trace_ids=("a",), start_time=NOW, status="completed"),
    Part("text", text="Hi"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_that_are_quickly_made_are_frozen_data_classes(value: Any) -> None:
    fields = dataclasses.fields(value)
    plain = dataclasses.make_dataclass(
        "Plain",
        [
            (f.name, f.type, dataclasses.field(default=f.default, kw_only=f.kw_only))
            if f.default_factory is dataclasses.MISSING
            else (f.name, f.type, dataclasses.field(default_factory=f.default_factory))
            for f in fields
        ],
        slots=True,
    )

    assert inspect.signature(type(value)).parameters.keys() == (
        inspect.signature(plain).parameters.keys()
    )
    assert copy.copy(value) == dataclasses.replace(value) == pickle.loads(pickle.dumps(value))
    assert not hasattr(value, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, fields[0].name, "another")
    with pytest.raises(TypeError):
        type(value)()


def test_defaults_that_can_be_changed_are_made_for_each_value() -> None:
    one, other = (SpanRecord("a", "b", None, "n", 1, 2) for _ in range(2))

    assert one.attributes == {}
    assert one.attributes is not other.attributes
