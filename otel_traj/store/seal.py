"""`python -m otel_traj.store.seal DIR`: seal a store and keep it in shape, once.

Started, detached, by who records.
"""
# ruff: noqa: T201 - a program's own output

from __future__ import annotations

import sys
from pathlib import Path

from otel_traj.errors import OtelTrajError
from otel_traj.store import compaction, sealing
from otel_traj.store.workers import without_pandas


def main(arguments: list[str]) -> int:
    """Seal one store, merge what is due, and end."""
    if len(arguments) != 1:
        print("usage: python -m otel_traj.store.seal DIR", file=sys.stderr)
        return 2
    try:
        sealing.seal(Path(arguments[0]))
        compaction.compact(Path(arguments[0]), wait_s=0.0)
    except (OtelTrajError, OSError) as error:
        print(f"otel-traj: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    without_pandas()
    sys.exit(main(sys.argv[1:]))
