"""Starts recording before a program of which no line is ours: `otel-traj run` puts this first.

Python imports a module of this name when it starts. This one steps aside first, so that processes
which the program starts are as they would be, and one of the same name that was there runs too.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path

_HERE = str(Path(__file__).parent)


def _step_aside() -> None:
    sys.path[:] = [path for path in sys.path if path != _HERE]
    kept = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path != _HERE]
    if any(kept):
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    else:
        os.environ.pop("PYTHONPATH", None)
    own = sys.modules.pop(__name__)
    try:
        if importlib.util.find_spec(__name__) is not None:
            importlib.import_module(__name__)
    finally:
        # Who imports a module looks it up again afterwards.
        sys.modules.setdefault(__name__, own)


def _record() -> None:
    try:
        autostart = importlib.import_module("otel_traj.capture.autostart")
    except ImportError:
        sys.stderr.write(f"otel-traj: nothing is recorded: {sys.executable} does not have it\n")
        return
    autostart.start()


_step_aside()
_record()
