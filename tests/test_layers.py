"""Which way imports point is a contract in pyproject.toml; here it is kept, and shown to bite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import otel_traj
import otel_traj_analysis
import otel_traj_exporters

pytest.importorskip("importlinter")

PACKAGES = [Path(p.__path__[0]) for p in (otel_traj, otel_traj_analysis, otel_traj_exporters)]


def lint_imports(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in `folder` and nowhere else."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-P", "-c", command, "--config", str(config), "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three packages side by side, as a wheel installs them, to be broken at will."""
    folder = tmp_path_factory.mktemp("packages")
    for package in PACKAGES:
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("*.pyc"))
    return folder


def test_every_import_points_down(copy: Path, root: Path) -> None:
    result = lint_imports(copy, root / "pyproject.toml")

    assert result.returncode == 0, result.stdout


def test_every_module_stands_in_a_layer(root: Path) -> None:
    [layers] = [c for c in contracts(root) if c["type"] == "layers"]
    placed = {name for layer in layers["layers"] for name in layer.replace(":", "|").split(" | ")}

    found = {
        f"otel_traj.{path.stem}"
        for path in PACKAGES[0].iterdir()
        if (path.suffix == ".py" and path.stem not in ("__init__", "__main__"))
        or (path / "__init__.py").exists()
    }

    assert found - {name.strip() for name in placed} == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("otel_traj/model.py", "import otel_traj.store", "Layers"),
        ("otel_traj/store/schema.py", "import otel_traj_analysis", "Layers"),
        ("otel_traj_exporters/__init__.py", "import otel_traj_analysis", "Layers"),
        ("otel_traj/capture/__init__.py", "import otel_traj.importers", "Layers"),
        ("otel_traj/wal.py", "import duckdb", "Recording"),
        ("otel_traj/capture/__init__.py", "import google.protobuf", "Recording"),
        ("otel_traj/dialects/__init__.py", "import opentelemetry.trace", "What a trajectory is"),
        ("otel_traj/store/__init__.py", "import rich", "What the command line does"),
    ],
)
def test_an_import_that_points_up_is_reported(
    copy: Path, root: Path, module: str, line: str, contract: str
) -> None:
    path = copy / module
    kept = path.read_text()
    path.write_text(f"{kept}\n{line}\n")

    result = lint_imports(copy, root / "pyproject.toml")

    path.write_text(kept)
    broken = [row for row in result.stdout.splitlines() if row.endswith("BROKEN")]
    assert [row for row in broken if row.startswith(contract)], result.stdout


def contracts(root: Path) -> list[dict[str, str]]:
    """The import contracts as pyproject.toml writes them."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    return list(pyproject["tool"]["importlinter"]["contracts"])
