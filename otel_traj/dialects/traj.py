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

# What importers keep beside these names stands under the format's own and is not to be guessed at.
IMPORTED: Final = Dialect(name="import", scopes=("otel_traj.importers.",))
