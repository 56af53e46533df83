"""Where Jaeger's query API answers."""

from __future__ import annotations

from typing import Final

LEGACY: Final = (
    "/api/services",
    "/api/services/{service:path}/operations",
    "/api/operations",
    "/api/traces",
    "/api/traces/{trace_id}",
    "/api/dependencies",
)

V3: Final = (
    "/api/v3/services",
    "/api/v3/operations",
    "/api/v3/traces",
    "/api/v3/traces/{trace_id}",
    "/api/v3/trace-summaries",
)
