"""`otel-traj report`: the page as a file. What is on it: tests/analysis/test_report.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.slow
def test_the_page_is_a_file_of_the_name_that_was_asked_for(
    run: Run, store: Path, tmp_path: Path
) -> None:
    page = tmp_path / "runs.html"

    ran = run("report", store, "--output", page)

    assert (ran.status, ran.out, ran.err) == (0, "", f"report -> {page}\n")
    assert page.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_the_page_goes_to_stdout_where_it_is_asked_for(run: Run, store: Path) -> None:
    ran = run("report", "--store", store, "--output", "-", "--where", "n_tools = 0")

    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("<!doctype html>")
    assert ran.out.endswith("</html>\n")


def test_a_wrong_condition_leaves_the_old_page(run: Run, store: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("old")

    ran = run("report", store, "-o", page, "--where", "no_such = 1")

    assert ran.status == 2
    assert ran.err.startswith("error: The condition 'no_such = 1' on trajectories: ")
    assert page.read_text() == "old"


def test_without_a_store_there_is_no_page(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    ran = run("report", tmp_path / "none", "-o", page)

    assert ran.status == 2
    assert not page.exists()
