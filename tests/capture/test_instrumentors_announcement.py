"""What `instrument()` says: at a glance what is recorded and what is not; once; or nothing."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_traj.capture import announcement
from otel_traj.capture.announcement import announce
from otel_traj.capture.instrumentors import Finding, Outcome, State
from otel_traj.semconv import LIBRARIES, NATIVE

KNOWN = {library.name: library for library in LIBRARIES}


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcement, "_said", set())


@pytest.fixture
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that has set up no logging; pytest does."""
    monkeypatch.setattr(announcement, "logger", logging.Logger(announcement.logger.name))


def outcome(
    name: str, state: State, source: str = "", *reasons: str, misfits: tuple[str, ...] = ()
) -> Outcome:
    finding = Finding(KNOWN[name], "1.0", (source,) if source else (), dict.fromkeys(misfits, "-"))
    return Outcome(finding, state, source, reasons)


OPENAI = outcome("openai", "on", "opentelemetry-instrumentation-genai-openai")


def said(caplog: pytest.LogCaptureFixture, *outcomes: Outcome, content: bool | None = True) -> str:
    caplog.clear()
    caplog.set_level(logging.INFO)
    announce("records to /traces", outcomes, content)
    return "\n".join(record.getMessage() for record in caplog.records)


def test_says_what_is_on_left_and_missing(caplog: pytest.LogCaptureFixture) -> None:
    text = said(
        caplog,
        OPENAI,
        outcome("mcp", "on", NATIVE),
        outcome("langchain", "left", "", "openinference-instrumentation-langchain is on already"),
        outcome("smolagents", "missing"),
    )

    assert text.splitlines() == [
        "otel-traj records to /traces, with content",
        "  on       openai 1.0 (opentelemetry-instrumentation-genai-openai), mcp 1.0 (native)",
        "  left     langchain-core 1.0: openinference-instrumentation-langchain is on already",
        "  missing  smolagents 1.0: pip install openinference-instrumentation-smolagents",
    ]


def test_says_why_a_better_source_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    failed = outcome("openai", "on", "openinference-instrumentation-openai", "genai failed: E: no")

    assert "openai 1.0 (openinference-instrumentation-openai; genai failed: E: no)" in said(
        caplog, failed
    )


@pytest.mark.parametrize(
    ("others", "is_missed"),
    [
        ((), True),
        ((outcome("pydantic_ai", "on", NATIVE),), False),  # it tells the calls that it makes
        ((outcome("crewai", "on", "openinference-instrumentation-crewai"),), True),
        (
            (outcome("openai_agents", "on", "opentelemetry-instrumentation-genai-openai-agents"),),
            True,
        ),
    ],
)
def test_client_is_missed_where_no_framework_tells_its_calls(
    caplog: pytest.LogCaptureFixture, others: tuple[Outcome, ...], is_missed: bool
) -> None:
    text = said(caplog, outcome("openai", "missing"), *others)

    assert ("missing" in text) is is_missed


def test_what_is_covered_or_there_for_other_things_is_not_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = said(
        caplog,
        outcome("bedrock", "missing"),
        outcome("langchain", "missing"),
        outcome("langsmith", "on", NATIVE),
    )

    assert "missing" not in text


def test_what_needs_doing_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    levels = []
    for outcomes, content in [
        ((OPENAI,), True),
        ((OPENAI, outcome("smolagents", "missing")), True),
        ((OPENAI,), None),
    ]:
        said(caplog, *outcomes, content=content)
        levels += [record.levelname for record in caplog.records]

    assert levels == ["INFO", "WARNING", "WARNING"]


def test_content_that_is_left_as_it_is_can_be_turned_on(caplog: pytest.LogCaptureFixture) -> None:
    assert "instrument(content=True)" in said(caplog, OPENAI, content=None)
    assert "without content" in said(caplog, OPENAI, content=False)


@pytest.mark.usefixtures("no_logging")
def test_is_said_on_stderr_once_where_no_logging_is_set_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        announce("records to /traces", [OPENAI], True)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("otel-traj records") == 1


@pytest.mark.usefixtures("no_logging")
def test_is_silenced_by_its_logger(capsys: pytest.CaptureFixture[str]) -> None:
    announcement.logger.setLevel("ERROR")

    announce("records to /traces", [outcome("smolagents", "missing")], None)

    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_logging")
def test_nothing_wanted_is_nothing_said(capsys: pytest.CaptureFixture[str]) -> None:
    announce("records to /traces", [], True)

    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_program_without_a_stderr_records_all_the_same(tmp_path: Path, root: Path) -> None:
    program = """
import sys
sys.stderr = None
import otel_traj
otel_traj.instrument("traces", seal=False)
otel_traj.uninstrument()
print("done")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "done\n"
