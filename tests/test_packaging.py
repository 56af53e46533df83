"""What is installed has all its files; run in a checkout and, by .ci/run, against the wheel."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_traj import analysis
from otel_traj.cli import main


@pytest.mark.parametrize("package", ["otel_traj", "otel_traj_analysis", "otel_traj_exporters"])
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()


def test_shipped_analyses_and_checks_are_found_and_have_cases() -> None:
    shipped = resources.files("otel_traj_analysis")

    for name in (*analysis.names(), *analysis.checks()):
        assert shipped.joinpath("cases", f"{name}.yaml").is_file(), name


def test_the_printed_collector_configuration_is_the_one_of_the_repository(root: Path) -> None:
    printed = CliRunner().invoke(main, ["collector-config"])

    assert printed.output == (root / "collector-config.yaml").read_text("utf-8")


def test_every_dependency_stands_beside_its_reason(root: Path) -> None:
    text = (root / "pyproject.toml").read_text("utf-8")

    project = tomllib.loads(text)["project"]

    for dependency in project["dependencies"]:
        line = next(line for line in text.splitlines() if f'"{dependency}",' in line)
        same_project = line.strip().startswith('"opentelemetry-')
        assert same_project or "# " in line, line
