"""`run`: a program is recorded though no line of it says so, and behaves as without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_traj.store import open_store

pytestmark = pytest.mark.slow

Program = Callable[..., subprocess.CompletedProcess[str]]

AGENT = """
from opentelemetry import trace
with trace.get_tracer("agent").start_as_current_span(
    "invoke_agent clerk", attributes={"gen_ai.operation.name": "invoke_agent"}
):
    with trace.get_tracer("agent").start_as_current_span(
        "execute_tool look",
        attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"},
    ):
        print("looked")
raise SystemExit(3)
"""


@pytest.fixture
def otel_traj_run(tmp_path: Path) -> Program:
    """Runs `otel-traj run` with a Python program, in a process of its own."""

    def run(
        program: str, *options: str, paths: tuple[Path, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "program.py").write_text(program)
        command = [sys.executable, "-m", "otel_traj.cli", "run", *options]
        path = os.pathsep.join([*map(str, paths), *filter(None, sys.path)])
        return subprocess.run(
            [*command, "--", sys.executable, "program.py", "--store", "its-own-option"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_program_is_recorded_and_ends_as_it_does_alone(
    otel_traj_run: Program, tmp_path: Path
) -> None:
    ran = otel_traj_run(AGENT, "--store", "here")

    assert (ran.returncode, ran.stdout) == (3, "looked\n")
    assert "Error" not in ran.stderr
    (run,) = open_store(tmp_path / "here").trajectories()
    assert [step.tool_name for step in run.steps] == ["look"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "bob@example.com [redacted:aws-key]"),
        (("--redact", "secrets,emails"), "[redacted:emails] [redacted:aws-key]"),
        (("--redact", "rules:OURS"), "[redacted:bob]@example.com AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_what_is_recorded_is_redacted_as_asked(
    otel_traj_run: Program, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    (tmp_path / "rules.py").write_text(
        "from otel_traj.redaction import Redaction\nOURS = Redaction((), {'bob': 'bob'})\n"
    )
    name = '"bob@example.com AKIAIOSFODNN7EXAMPLE"'
    agent = AGENT.replace('name": "look"', f'name": {name}').replace("(3)", "")

    ran = otel_traj_run(agent, "--store", "here", *options, paths=(tmp_path,))

    assert ran.returncode == 0
    (run,) = open_store(tmp_path / "here").trajectories()
    assert [step.tool_name for step in run.steps] == [told]


def test_a_rule_that_there_is_not_is_refused_before_the_program_runs(
    otel_traj_run: Program,
) -> None:
    ran = otel_traj_run("print('ran')", "--redact", "secret")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: No redaction rule named 'secret'")


def test_arguments_and_environment_are_the_program_s_own(otel_traj_run: Program) -> None:
    program = "import os, sys; print(sys.argv, 'autostart' in os.environ['PYTHONPATH'])"

    ran = otel_traj_run(program)

    assert ran.stdout == "['program.py', '--store', 'its-own-option'] False\n"


def test_start_file_that_was_there_runs_too(otel_traj_run: Program, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text("print('theirs')")

    ran = otel_traj_run("import sitecustomize; print(sitecustomize.__file__)", paths=(theirs,))

    assert ran.stdout.splitlines() == ["theirs"] * 2 + [str(theirs / "sitecustomize.py")]


def test_program_runs_though_nothing_can_be_recorded(
    otel_traj_run: Program, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    ran = otel_traj_run("print('done')", "--store", "file/traces")

    assert (ran.returncode, ran.stdout) == (0, "done\n")
    assert "otel-traj: nothing is recorded: " in ran.stderr
    assert "Traceback" not in ran.stderr


def test_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "otel_traj.cli", "run", "--", "no-such-program"]

    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ")
    assert len(ran.stderr.splitlines()) == 1
