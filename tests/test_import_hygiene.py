"""What an import costs and touches, seen in a fresh interpreter.

The import contracts in pyproject.toml read the source; they cannot tell an import at the top of a
module from one inside the function that needs it. Only `sys.modules` of a real process can.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"duckdb", "pyarrow", "google", "fastapi", "uvicorn", "click", "rich", "grpc", "requests"}


def run(code: str, cwd: Path) -> str:
    """What `code` prints in a fresh interpreter that finds the same packages."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def imported(statement: str, cwd: Path) -> set[str]:
    """Top-level packages in `sys.modules` after a statement."""
    code = f"import sys, json\n{statement}\nprint(json.dumps([*sys.modules]))"
    return {name.partition(".")[0] for name in json.loads(run(code, cwd).splitlines()[-1])}


@pytest.mark.parametrize(
    "statement",
    [
        "import otel_traj; otel_traj.instrument",
        "import otel_traj.testing",
        "import otel_traj.capture, otel_traj.wal, otel_traj.assembly",
        "import otel_traj.exporters; otel_traj.exporters.names()",
        "import otel_traj.importers",
        "from otel_traj.compat import episodes, meta_agent, replay_buffer",
    ],
)
def test_import_loads_no_heavy_package(statement: str, tmp_path: Path) -> None:
    assert imported(statement, tmp_path) & HEAVY == set()


def test_analyses_are_listed_without_a_database(tmp_path: Path) -> None:
    loaded = imported("from otel_traj import analysis; analysis.names()", tmp_path)

    assert loaded & {"duckdb", "pyarrow"} == set()


def test_recording_to_a_store_loads_no_database_and_no_protobuf(tmp_path: Path) -> None:
    statement = """
import otel_traj
recording = otel_traj.instrument("traces", instrumentors=[], seal=False)
with otel_traj.trajectory("t") as run:
    with otel_traj.tool_call("look"):
        pass
recording.shutdown()
"""
    loaded = imported(statement, tmp_path)

    assert list((tmp_path / "traces" / "_wal").iterdir()) != []
    assert loaded & {"duckdb", "pyarrow", "google", "click", "rich", "grpc", "requests"} == set()


def test_the_sdks_logs_are_loaded_only_by_the_call(tmp_path: Path) -> None:
    code = """
import otel_traj, sys
otel_traj.instrument
print("opentelemetry.sdk._logs" in sys.modules)
"""
    assert run(code, tmp_path) == "False\n"


def test_import_touches_no_disk_network_or_global_provider(tmp_path: Path) -> None:
    code = """
import sys
import opentelemetry.sdk.trace, opentelemetry.sdk._logs  # theirs may do what they like

touched = []
def watch(event, arguments):
    if event.startswith("socket.") or event in ("os.mkdir", "os.rename", "subprocess.Popen"):
        touched.append((event, arguments))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+"):
        touched.append((event, arguments))
sys.addaudithook(watch)

import otel_traj
otel_traj.instrument, otel_traj.open_store
import otel_traj.testing
from opentelemetry import trace, _logs
print(touched, trace._TRACER_PROVIDER, _logs._internal._LOGGER_PROVIDER)
"""
    assert run(f"import sys; sys.dont_write_bytecode = True\n{code}", tmp_path) == "[] None None\n"


def test_help_of_the_command_loads_no_database(tmp_path: Path) -> None:
    statement = """
from otel_traj.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
"""
    assert imported(statement, tmp_path) & {"duckdb", "pyarrow", "opentelemetry"} == set()
