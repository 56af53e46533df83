"""The command `otel-traj`: parse, call the library, print; no logic that the library lacks.

One file per command, imported when the command runs. Data goes to stdout, the rest to stderr.
Exit status: 0 done, 1 found problems, 2 wrong use or an error, 130 interrupted.
"""

from __future__ import annotations

from otel_traj.cli.frame import main

__all__ = ["main"]
