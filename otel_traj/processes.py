"""Processes of our own beside the one that needs them: what runs in them, and where."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """What runs one of our modules.

    Args:
        module: Its full name.
        arguments: What it is told.
    """
    # -P: the folder in which the user's program runs may hold a `json.py`.
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """That of this process, in which our modules are found and nothing is recorded."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OTEL_SDK_DISABLED": "true"}
