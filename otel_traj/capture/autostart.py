"""Recording nobody calls for: `otel-traj run`, and what `opentelemetry-instrument` loads."""

from __future__ import annotations

import os
import sys


def start() -> None:
    """`instrument()` as the environment says; where it cannot record, a line says so.

    The program is somebody's who did not ask for us in it: it runs in any case.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return  # so is the helper that seals, which inherits all that made its parent be recorded
    from otel_traj.capture.recording import instrument

    try:
        instrument()
    except Exception as error:
        sys.stderr.write(f"otel-traj: nothing is recorded: {error}\n")
