"""What a sampler that decides by ratio leaves unsaid: the ratio.

`TraceIdRatioBased`, which OTEL_TRACES_SAMPLER sets up, writes nothing on the spans that it keeps,
so nobody could tell later how many runs each stands for. Spans without a parent get it here, as
Jaeger's samplers write it, in the copies that are recorded and sent. What the span's own program,
or another exporter, sees stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_traj.dialects.sampling import PARAM, PROBABILISTIC, TYPE

# As the specification of OpenTelemetry has samplers describe themselves. With a remote parent it
# was decided elsewhere.
_BY_RATIO: Final = re.compile(r"(?:ParentBased\{root:)?TraceIdRatioBased\{([0-9.e+-]+)\}")


def told_by(tracer_provider: Any) -> Mapping[str, Any]:
    """Attributes for the spans of a provider that have no parent; none where all are kept."""
    sampler = getattr(tracer_provider, "sampler", None)
    if sampler is None:
        return {}
    described = _BY_RATIO.match(sampler.get_description())
    ratio = float(described[1]) if described else 1.0
    return {TYPE: PROBABILISTIC, PARAM: ratio} if 0 < ratio < 1 else {}
