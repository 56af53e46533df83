"""What people say of a run on its page, and its undoing; both are facts that are only added."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

import duckdb

from otel_traj.errors import ConfigurationError, InputError, StoreNotWritableError
from otel_traj.server.viewer.answers import AnnotationAdded, AnnotationHistory, NewAnnotation, Said
from otel_traj.server.viewer.listing import finite
from otel_traj.server.viewer.problems import NotThereError, OvertakenError, ReadOnlyError
from otel_traj.server.viewer.reading import Reader, iso, rows
from otel_traj.store.schema import BY_A_PERSON

LONGEST: Final = 10_000
"""Characters of a text that somebody types."""

MOST: Final = 500
"""Statements of a run that are shown, the latest."""

_NAME: Final = 200

# What was said under an id that the run had before stands under that of now.
_SAID: Final = """\
select annotation_id, "name", kind, value_num, value_text, value_json, source, annotator, created,
    deleted, row_number() over (
        partition by "name", source, annotator order by created desc, annotation_id desc
    ) = 1 as is_last
from live.told
where trajectory_id = $id and target = 'trajectory'
order by created desc, annotation_id desc
limit $limit"""


def is_writable(reader: Reader) -> bool:
    """Whether the store takes anything from this process."""
    return os.access(reader.store.path, os.W_OK)


def history(reader: Reader, trajectory_id: str) -> AnnotationHistory:
    """All that was said of a run as a whole, the latest first.

    Raises:
        TrajectoryNotFoundError: There is no such run.
    """
    return {
        "rows": [_shown(reader, told) for told in _told(reader, trajectory_id)],
        "is_writable": is_writable(reader),
    }


def annotate(reader: Reader, trajectory_id: str, new: NewAnnotation) -> AnnotationAdded:
    """Say something of a run as a person.

    Raises:
        TrajectoryNotFoundError: There is no such run.
        InputError: The value does not fit its kind.
        ReadOnlyError: The store cannot be written.
    """
    value, annotator = new["value"], new.get("annotator") or None
    name = new.get("name") or new["kind"]
    if max(len(str(value)), len(name), len(annotator or "")) > LONGEST or len(name) > _NAME:
        raise InputError(f"A text may have {LONGEST:,} characters, a name {_NAME}")
    return _written(
        lambda: reader.store.annotate(
            trajectory_id,
            name,
            value,
            kind=new["kind"],
            source=BY_A_PERSON,
            annotator=annotator,
        )
    )


def undo(reader: Reader, trajectory_id: str, annotation_id: str) -> AnnotationAdded:
    """Let what a person said before count again, or nothing if that was the first.

    Raises:
        TrajectoryNotFoundError: There is no such run.
        NotThereError: Nobody said this of it on a page.
        OvertakenError: It is not the last that was said under its name.
        ReadOnlyError: The store cannot be written.
    """
    said = [told for told in _told(reader, trajectory_id) if told["source"] == BY_A_PERSON]
    undone = next((told for told in said if told["annotation_id"] == annotation_id), None)
    if undone is None:
        raise NotThereError(f"Nothing that a person said of this run has the id {annotation_id!r}")
    if not undone["is_last"]:
        raise OvertakenError("Something else was said since, or it is undone already")
    named = {"source": BY_A_PERSON, "annotator": undone["annotator"]}
    own = [t for t in said if (t["name"], t["annotator"]) == (undone["name"], undone["annotator"])]
    before = own[1] if len(own) > 1 else None
    if before is None or before["deleted"]:
        return _written(lambda: reader.store.retract(trajectory_id, undone["name"], **named))
    return _written(
        lambda: reader.store.annotate(
            trajectory_id, before["name"], _value(before), kind=before["kind"], **named
        )
    )


def _written(write: Any) -> AnnotationAdded:
    try:
        return {"annotation_id": write()}
    except (StoreNotWritableError, PermissionError) as error:
        raise ReadOnlyError(f"This store can only be read here: {error}") from error
    except ConfigurationError as error:
        raise InputError(str(error)) from error


def _told(reader: Reader, trajectory_id: str) -> list[dict[str, Any]]:
    run = reader.header(trajectory_id)

    def ask(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
        return rows(cursor, _SAID, {"id": run.trajectory_id, "limit": MOST})

    return reader.read(ask)


def _value(told: Mapping[str, Any]) -> Any:
    if told["value_num"] is not None:
        return finite(told["value_num"])
    if told["value_text"] is not None:
        return told["value_text"]
    return None if told["value_json"] is None else json.loads(told["value_json"])


def _shown(reader: Reader, told: Mapping[str, Any]) -> Said:
    value = _value(told)
    return {
        "annotation_id": told["annotation_id"],
        "name": reader.shown("name", told["name"]),
        "kind": told["kind"],
        "value": reader.shown("value_text", value) if isinstance(value, str) else value,
        "source": reader.shown("source", told["source"]),
        "annotator": reader.shown("annotator", told["annotator"]),
        "created": iso(told["created"]),
        "is_taken_back": told["deleted"],
        "is_last": told["is_last"],
        "can_undo": told["is_last"] and told["source"] == BY_A_PERSON and not told["deleted"],
    }
