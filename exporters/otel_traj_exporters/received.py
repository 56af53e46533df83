"""What a store holds of one trajectory beside its rows."""

from __future__ import annotations

from typing import Final

import duckdb

from otel_traj.model import Annotation
from otel_traj.store import rows
from otel_traj_exporters.current_names import Told

_SPANS: Final = "select trace_id, span_id from trajectory_spans where trajectory_id = $id"
_QUERIES: Final = {
    "spans": f"from spans where (trace_id, span_id) in ({_SPANS}) order by start_ns, span_id",
    "logs": f"from logs where (trace_id, span_id) in ({_SPANS}) order by time_ns",
    "said": "from annotations_latest where trajectory_id = $id order by created, annotation_id",
    "steps": "select trace_id, span_id, step from trajectory_spans where trajectory_id = $id",
}


def told(connection: duckdb.DuckDBPyConnection, trajectory_id: str) -> Told:
    """Its spans and log records as they were received, and what was said of it since."""
    found = {
        name: connection.sql(query, params={"id": trajectory_id}).to_arrow_table()
        for name, query in _QUERIES.items()
    }
    return Told(
        spans=rows.span_records(found["spans"]),
        logs=rows.log_records(found["logs"]),
        annotations=[Annotation(**row) for row in found["said"].to_pylist()],
        step_of={
            (row["trace_id"], row["span_id"]): row["step"] for row in found["steps"].to_pylist()
        },
    )
