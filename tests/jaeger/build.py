"""Build the real Jaeger 2 to try our storage with: needs Go, takes about four minutes.

python tests/jaeger/build.py

The binary is kept in the user's cache; the tests of this folder use it, or a Jaeger that
OTEL_TRAJ_JAEGER names, or `jaeger` on PATH, and are skipped without any.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "v1.76.0"
"""Of the Go module: the release that carries the Jaeger 2 server in `cmd/jaeger`."""
MODULE = f"github.com/jaegertracing/jaeger@{VERSION}"

CACHED = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    / "otel-traj"
    / f"jaeger-{VERSION}"
)


def find() -> Path | None:
    """A Jaeger 2 server, or None."""
    named = os.environ.get("OTEL_TRAJ_JAEGER") or shutil.which("jaeger")
    if named:
        return Path(named)
    return CACHED if CACHED.exists() else None


def build() -> Path:
    """Compile the server; the page of its own UI is a placeholder then, its API is whole.

    `go install` refuses the module for its replace directives: it is built in a writable copy.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run(
            ["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, cwd=folder
        )
        source = Path(folder) / "jaeger"
        # Files of the module cache are read-only; copied as they are, they could not be removed.
        shutil.copytree(json.loads(told.stdout)["Dir"], source, copy_function=shutil.copyfile)
        for directory in [source, *(path for path in source.rglob("*") if path.is_dir())]:
            directory.chmod(0o755)
        subprocess.run(["go", "build", "-o", "built", "./cmd/jaeger"], check=True, cwd=source)
        CACHED.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source / "built", CACHED)
    return CACHED


if __name__ == "__main__":
    sys.stdout.write(f"{find() or build()}\n")
