"""All files that are shipped, parsed."""

from __future__ import annotations

import otel_traj_analysis as analysis

ANALYSES = [analysis.load(name) for name in analysis.names()]
CHECKS = [analysis.load(name, "checks") for name in analysis.checks()]
ALL = [*ANALYSES, *CHECKS]
