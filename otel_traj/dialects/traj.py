"""Our own: OpenTelemetry names wherever they exist, `traj.*` where they do not."""

from __future__ import annotations

from typing import Final

from otel_traj import semconv
from otel_traj.dialects.table import Dialect

TRAJ: Final = Dialect(
    name="traj",
    marks=("traj.",),
    kinds={semconv.STEP_KIND: {"thought": "thought"}},
    facts={"cost_usd": (semconv.COST_USD,)},
)
