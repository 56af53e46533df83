"""What pip writes of our entry points, for a checkout that is not installed."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path


def install(site: Path, root: Path) -> None:
    """Put them into `site`, which belongs on PYTHONPATH; nothing where we are installed."""
    try:
        metadata.distribution("otel-traj")
    except metadata.PackageNotFoundError:
        folder = site / "otel_traj-0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: otel-traj\nVersion: 0\n")
        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
        lines = []
        for group, entries in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
