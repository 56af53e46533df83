"""Long values, cut: viewers take a whole trace at once, gRPC clients messages of some size."""

from __future__ import annotations

import dataclasses
from typing import Any

from otel_traj.model import Attributes, SpanRecord


def cut(span: SpanRecord, limit: int | None) -> SpanRecord:
    """The span with texts of so many characters at most, and how many more there were.

    Args:
        span: Its attributes, and those of its events, are cut.
        limit: None for as many as there are.
    """
    if limit is None:
        return span
    return dataclasses.replace(
        span,
        attributes=_cut(span.attributes, limit),
        events=tuple(
            dataclasses.replace(event, attributes=_cut(event.attributes, limit))
            for event in span.events
        ),
    )


def _cut(attributes: Attributes, limit: int) -> dict[str, Any]:
    return {
        key: f"{value[:limit]}… ({len(value) - limit:,} more characters)"
        if isinstance(value, str) and len(value) > limit
        else value
        for key, value in attributes.items()
    }
