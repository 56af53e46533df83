"""Real packages, each in an environment of its own; all of them: `python bench/frameworks.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.environments import InstallError
from tests.frameworks import catalogue, comparison, driver

QUICK = ("openai_agents", "pydantic_ai")
"""Two that differ: one by an instrumentor and a handover, one by itself and a delegation."""


def test_every_agent_says_what_it_needs_and_instruments_with_one_line() -> None:
    for framework in catalogue.frameworks().values():
        code = framework.script.read_text("utf-8").partition("# ///\n")[2]

        assert framework.dependencies, framework.name
        assert code.count("otel_traj") == 2, framework.name  # the import and the call
        assert "\notel_traj.instrument()\n" in code, framework.name


def test_every_framework_is_in_the_table_of_the_docs(root: Path) -> None:
    page = (root / "docs" / "frameworks.md").read_text("utf-8")

    for framework in catalogue.frameworks().values():
        assert f"| {framework.title} | {framework.package} " in page, "bench/frameworks.py --write"


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_one_line_records_all_that_an_agent_does(name: str, tmp_path: Path) -> None:
    run = _run(name, tmp_path)

    [trajectory] = run.trajectories
    assert [_told(step) for step in run.steps if step["kind"] != "user"] == [
        _true(step) for step in run.expected["steps"]
    ]
    assert (trajectory["status"], trajectory["final_answer"]) == (
        "completed",
        run.expected["final_answer"],
    )
    if comparison.JUDGE.exists():
        verdict = comparison.compare(run)
        assert (verdict.flaws, verdict.unseen) == ((), ())


def _run(name: str, folder: Path) -> driver.Run:
    if not (driver.ROOT / "otel_traj").is_dir():
        pytest.skip("environments of frameworks are made from a checkout")
    framework = catalogue.frameworks()[name]
    try:
        driver.environment(framework)
    except InstallError as error:
        pytest.skip(f"the packages cannot be installed here: {error}")
    return driver.run(framework, folder)


def _told(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row of the store says, as far as every framework must tell it."""
    whom = row["handoff_to"] or row["tool_name"]
    return row["kind"], row["agent_name"], whom, row["input_tokens"], row["output_tokens"]


def _true(step: dict[str, Any]) -> tuple[Any, ...]:
    """The same of a step that happened."""
    agent = step.get("agent") or step.get("from")
    whom = step.get("to") or step.get("name")
    return step["kind"], agent, whom, step.get("input_tokens"), step.get("output_tokens")
