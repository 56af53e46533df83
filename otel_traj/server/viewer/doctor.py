"""What `otel-traj doctor` says, for a page."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from otel_traj.server.viewer.answers import Doctor
from otel_traj.server.viewer.reading import Reader, iso
from otel_traj.store.doctor import Diagnosis


def doctor(reader: Reader, trajectory_id: str | None = None) -> Doctor:
    """The findings on a store, or on one of its trajectories.

    Raises:
        TrajectoryNotFoundError: There is no such trajectory.
    """
    whole = None if trajectory_id is None else reader.header(trajectory_id).trajectory_id
    found = Diagnosis(reader.store, whole).to_json()
    return cast(Doctor, _shown(reader, found))


def _shown(reader: Reader, value: Any) -> Any:
    """The same as JSON has it, redacted."""
    match value:
        case datetime():
            return iso(value)
        case str():
            return reader.redaction.text(value)
        case dict():
            return {key: _shown(reader, each) for key, each in value.items()}
        case list() | tuple():
            return [_shown(reader, each) for each in value]
        case _:
            return value
