"""Grafana Tempo's traces: OTLP under a key of their own.

`{"batches": [...]}` is what the query API and Grafana's download give, `{"trace": {...}}` the
second version of the API. Their spans are OTLP's: also with the older
`instrumentationLibrarySpans`, ids in base64 and times as numbers, which `otel_traj.otlp` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_traj.importers.parts import Records
from otel_traj.otlp import records_from_json

NAME: Final = "Tempo JSON"


def fits(value: Mapping[str, Any]) -> bool:
    """One trace, as batches of one resource each."""
    return _batches(value) is not None


def pieces(value: Mapping[str, Any]) -> Iterator[tuple[str, Records]]:
    """Batch by batch."""
    for number, batch in enumerate(_batches(value) or (), start=1):
        yield f"batch {number}", records_from_json({"resourceSpans": [batch]})


def _batches(value: Mapping[str, Any]) -> list[Any] | None:
    trace = value.get("trace", value)
    if not isinstance(trace, Mapping):
        return None
    found = trace.get("batches", trace.get("resourceSpans"))
    return found if isinstance(found, list) else None
