"""What a viewer asks first: which store it is, what is in it, what can be asked."""

from __future__ import annotations

import hashlib
from importlib import metadata
from typing import Any

import duckdb

from otel_traj.server.viewer.answers import Meta
from otel_traj.server.viewer.language import FIELDS
from otel_traj.server.viewer.reading import Reader, iso

FEATURES = ("transcript", "steps", "files", "find", "doctor", "export", "checkpoints", "live")
"""What this server can do beyond lists and spans; a later one may know more."""


def meta(reader: Reader, document: str) -> Meta:
    """What is looked at.

    Args:
        reader: Reads the store.
        document: The OpenAPI document, as text.
    """

    def ask(cursor: duckdb.DuckDBPyConnection) -> tuple[Any, ...]:
        [told] = cursor.execute(
            "select min(start_time), max(start_time), count(*), coalesce(sum(n_spans), 0)::bigint"
            " from live.trajectories"
        ).fetchall()
        return tuple(told)

    earliest, latest, n_trajectories, n_spans = reader.read(ask)
    return {
        "version": _version(),
        "store": reader.store.path.name,
        "snapshot": reader.version(),
        "schema": hashlib.sha256(document.encode()).hexdigest()[:16],
        "features": list(FEATURES),
        "earliest": iso(earliest),
        "latest": iso(latest),
        "n_trajectories": n_trajectories,
        "n_spans": n_spans,
        "is_redacted": bool(reader.redaction),
        "fields": dict(FIELDS),
    }


def _version() -> str | None:
    """Of otel-traj; None in a checkout that is not installed."""
    try:
        return metadata.version("otel-traj")
    except metadata.PackageNotFoundError:
        return None
