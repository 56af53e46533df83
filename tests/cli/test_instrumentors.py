"""`instrumentors`: what could be recorded here, by what, and what to install for the rest."""

from __future__ import annotations

import csv
import importlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_traj.semconv import LIBRARIES
from tests.cli.conftest import Run

Install = Callable[..., None]


@pytest.fixture
def install(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package, as far as its metadata tell; instrumentors announce themselves."""
    site = tmp_path / "site"
    site.mkdir()
    importlib.import_module("packaging.requirements")
    for format_ in ("table", "json", "csv"):  # imports what it needs, while that can be found
        assert run("instrumentors", "--format", format_).status == 0
    monkeypatch.setattr(sys, "path", [str(site)])  # nothing else is installed from here on

    def install(package: str, version: str, *, takes: str = "") -> None:
        information = site / f"{package.replace('-', '_')}-{version}.dist-info"
        information.mkdir()
        extra = f"Requires-Dist: {takes}; extra == 'instruments'\n" if takes else ""
        (information / "METADATA").write_text(f"Name: {package}\nVersion: {version}\n{extra}")
        if takes:
            (information / "entry_points.txt").write_text(
                "[opentelemetry_instrumentor]\nanything = never.imported:Instrumentor\n"
            )

    return install


def test_says_what_is_ready_covered_and_missing(run: Run, install: Install) -> None:
    install("langchain-core", "1.8.2")
    install("langsmith", "0.15.0")
    install("openinference-instrumentation-langchain", "0.1.80", takes="langchain-core>=0.3")
    install("mcp", "2.3.0")
    install("smolagents", "1.26.0")

    ran = run("instrumentors", "--format", "csv")

    assert ran.status == 0
    rows = [tuple(row.values()) for row in csv.DictReader(io.StringIO(ran.out))]
    assert rows == [
        (
            "langchain",
            "1.8.2",
            "openinference-instrumentation-langchain",
            "ready",
            "",
            "",
        ),
        ("langsmith", "0.15.0", "native", "covered", "", ""),
        ("smolagents", "1.26.0", "", "missing", "openinference-instrumentation-smolagents", ""),
        ("mcp", "2.3.0", "native", "ready", "", ""),
    ]
    assert ran.err == (
        "To record what is missing: pip install openinference-instrumentation-smolagents\n"
    )


def test_says_why_an_installed_instrumentor_is_not_used(run: Run, install: Install) -> None:
    install("langchain-core", "1.8.2")
    install("opentelemetry-instrumentation-genai-langchain", "1.3", takes="langchain<2,>=0.3.22")

    ran = run("instrumentors", "--format", "json")

    (row,) = json.loads(ran.out)
    assert (row["state"], row["install"]) == ("missing", "openinference-instrumentation-langchain")
    assert row["note"] == (
        "opentelemetry-instrumentation-genai-langchain takes langchain<2,>=0.3.22, found none"
    )


def test_library_is_native_from_the_version_that_traces_itself(run: Run, install: Install) -> None:
    install("anthropic", "1.17.0")

    (row,) = json.loads(run("instrumentors", "--format", "json").out)

    assert (row["state"], row["install"]) == (
        "missing",
        "opentelemetry-instrumentation-genai-anthropic",
    )


def test_all_lists_what_is_known_and_absent(run: Run, install: Install) -> None:
    install("mcp", "2.3.0")

    rows = json.loads(run("instrumentors", "--all", "--format", "json").out)

    assert [row["library"] for row in rows] == [library.name for library in LIBRARIES]
    assert {row["state"] for row in rows if row["library"] != "mcp"} == {"absent"}


@pytest.mark.usefixtures("install")
def test_nothing_installed_is_an_empty_table(run: Run) -> None:
    ran = run("instrumentors", "--format", "json")

    assert (ran.status, ran.out, ran.err) == (0, "[]\n", "")
