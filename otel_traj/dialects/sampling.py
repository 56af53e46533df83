"""Which share of spans like this one a sampler kept: as tracestate or attributes tell.

The share is the probability with which the span was kept, so each stands for 1 / share. Samplers
decide by the trace id, hence alike for all spans of a trace, unless their shares differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_traj.model import SpanRecord

TYPE: Final = "sampler.type"
PARAM: Final = "sampler.param"
"""What Jaeger's samplers write on the first span of a trace, and ours for the SDK's by ratio."""

PROBABILISTIC: Final = "probabilistic"

ONE_IN: Final = "SampleRate"
"""Honeycomb's: of so many spans, one is kept."""

_THRESHOLD: Final = re.compile(r"(?:^|;)th:([0-9a-f]{1,14})(?:;|$)")
_FULL_SCALE: Final = 16**14  # thresholds are 56 bits, written without the zeros at their end


def share_of(span: SpanRecord) -> float | None:
    """In (0, 1]; None where nothing tells.

    Source: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
    """
    if span.trace_state and (share := _by_threshold(span.trace_state)) is not None:
        return share
    return _by_attributes(span.attributes)


def _by_threshold(trace_state: str) -> float | None:
    for member in trace_state.split(","):
        vendor, _, value = member.strip().partition("=")
        if vendor == "ot" and (told := _THRESHOLD.search(value)):
            return 1 - int(told[1].ljust(14, "0"), 16) / _FULL_SCALE
    return None


def _by_attributes(attributes: Mapping[str, Any]) -> float | None:
    if attributes.get(TYPE) == PROBABILISTIC:
        return _proper(attributes.get(PARAM))
    one_in = attributes.get(ONE_IN)
    return 1 / one_in if isinstance(one_in, int | float) and one_in >= 1 else None


def _proper(share: Any) -> float | None:
    return float(share) if isinstance(share, int | float) and 0 < share <= 1 else None
