"""One trajectory as a file for another tool; always a download, never a page of ours."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Final, Literal, TypeAlias

from starlette.responses import Response

from otel_traj import exporters
from otel_traj.server.jaeger import legacy
from otel_traj.server.jaeger.reading import Reader as TraceReader
from otel_traj.server.viewer.reading import Reader

Format: TypeAlias = Literal["otlp", "jaeger", "chrome", "html"]

_ENDINGS: Final = {"otlp": "jsonl", "jaeger": "json", "chrome": "json", "html": "html"}
_TYPES: Final = {"jsonl": "application/x-ndjson", "json": "application/json", "html": "text/html"}


def export(reader: Reader, trajectory_id: str, form: Format) -> Response:
    """One trajectory, redacted.

    Raises:
        TrajectoryNotFoundError: There is none.
    """
    run = reader.store.trajectory(trajectory_id)
    ending = _ENDINGS[form]
    if form == "jaeger":
        body = _jaeger(reader, run.trace_ids)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"run.{ending}"
            exporters.export([run], form, path, store=reader.store, redact=reader.redaction)
            body = path.read_bytes()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", run.trajectory_id)[:80]
    headers = {
        "Content-Disposition": f'attachment; filename="{name}-{form}.{ending}"',
        "Cache-Control": "private, no-cache",
    }
    return Response(body, media_type=_TYPES[ending], headers=headers)


def _jaeger(reader: Reader, trace_ids: tuple[str, ...]) -> bytes:
    """Its traces as Jaeger's own UI saves and opens them."""
    traces = TraceReader(reader.store.path, reader.redaction)
    found = (traces.trace(trace_id) for trace_id in trace_ids)
    told = [legacy.trace(trace.trace_id, trace.spans) for trace in found if trace is not None]
    return json.dumps({"data": told}).encode()
