"""Run an agent as its users do, and afterwards ask the recording which instrumentors it chose.

python launch.py AGENT.py REPORT.json
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import otel_traj


def main() -> None:
    """Run it; what it raises goes through, and the report is then missing."""
    _, agent, report = sys.argv
    sys.argv = [agent]
    runpy.run_path(agent, run_name="__main__")
    chosen = otel_traj.instrument().instrumented
    Path(report).write_text(json.dumps({"instrumented": chosen}), encoding="utf-8")


if __name__ == "__main__":
    main()
