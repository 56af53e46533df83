"""Exporters are found by name, ours and anybody's; a wrong name is told before writing."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

import otel_traj_exporters
from otel_traj import exporters
from otel_traj.errors import ConfigurationError, UnknownNameError
from otel_traj.model import Trajectory


class CountingExporter:
    """A stranger's exporter: writes how many trajectories it was given."""

    def export(
        self, trajectories: Iterable[Trajectory], path: Path, /, *, unit: str = "runs"
    ) -> int:
        n = sum(1 for _ in trajectories)
        path.write_text(f"{n} {unit}")
        return n


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distribution `stranger` with three exporters: one works, two do not."""
    info = tmp_path / "site" / "stranger-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[{otel_traj_exporters.GROUP}]\n"
        f"count = {__name__}:CountingExporter\n"
        "gone = stranger_that_is_gone:Exporter\n"
        "dict = builtins:dict\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def test_the_facade_has_exactly_the_names_of_its_package() -> None:
    assert exporters.__all__ == otel_traj_exporters.__all__


def test_a_checkout_knows_the_exporters_that_an_installation_registers(root: Path) -> None:
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())

    registered = pyproject["project"]["entry-points"][otel_traj_exporters.GROUP]

    assert registered == otel_traj_exporters._BUNDLED


@pytest.mark.parametrize("name", otel_traj_exporters._BUNDLED)
def test_every_exporter_of_ours_loads(name: str) -> None:
    assert isinstance(exporters.load(name), exporters.Exporter)


@pytest.mark.usefixtures("installed")
def test_a_strangers_exporter_writes_under_its_name(tmp_path: Path) -> None:
    assert "count" in exporters.names()

    n = exporters.export([], "count", tmp_path / "n.txt", unit="attempts")

    assert (n, (tmp_path / "n.txt").read_text()) == (0, "0 attempts")


def test_an_unknown_exporter_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"No exporter named 'parqet'.*'parquet'"):
        exporters.export([], "parqet", tmp_path / "copy")


def test_an_unknown_option_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"No option of exporter 'parquet' named 'stor'"):
        exporters.export([], "parquet", tmp_path / "copy", stor=None)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "reason"), [("gone", "does not load: No module named"), ("dict", "has no method")]
)
def test_an_exporter_that_does_not_work_is_named_with_its_module(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Exporter '{name}' \(.*\) {reason}"):
        exporters.load(name)
