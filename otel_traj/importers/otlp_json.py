"""OTLP in the JSON encoding: export requests, as the Collector's file exporter writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_traj.importers.parts import Records
from otel_traj.otlp import records_from_json

NAME: Final = "OTLP JSON"

_OURS: Final = ("resourceSpans", "resourceLogs", "resource_spans", "resource_logs")
_OTHER_SIGNALS: Final = ("resourceMetrics", "resourceProfiles")


def fits(value: Mapping[str, Any]) -> bool:
    """An export request of any signal."""
    return any(key in value for key in (*_OURS, *_OTHER_SIGNALS))


def pieces(value: Mapping[str, Any]) -> Iterator[tuple[str, Records]]:
    """The request; metrics and profiles hold no records."""
    is_ours = any(key in value for key in _OURS)
    yield "", records_from_json(value) if is_ours else iter(())
