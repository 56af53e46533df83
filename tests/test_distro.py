"""The real `opentelemetry-instrument` records with us where we are named, and as ever where not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_traj.capture import autostart
from otel_traj.store import open_store
from tests import entry_points

COMMAND = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMMAND is None, reason="needs opentelemetry-instrumentation"),
]

Instrument = Callable[..., "subprocess.CompletedProcess[str]"]

AGENT = """
import sys
from opentelemetry import trace
with trace.get_tracer("agent").start_as_current_span(
    "invoke_agent clerk", attributes={"gen_ai.operation.name": "invoke_agent"}
):
    with trace.get_tracer("agent").start_as_current_span(
        "execute_tool look",
        attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"},
    ) as span:
        span.set_attributes({f"attribute.{n}": n for n in range(200)})
        print("looked", sys.argv[1:])
raise SystemExit(3)
"""

SURROUNDINGS = """
import os
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider
for provider in trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider():
    print(type(provider))
processors = getattr(trace.get_tracer_provider(), "_active_span_processor", None)
print([type(processor) for processor in getattr(processors, "_span_processors", ())])
print(sorted((name, value) for name, value in os.environ.items() if name.startswith("OTEL_")))
"""


@pytest.fixture
def instrument(tmp_path: Path, root: Path) -> Instrument:
    """Runs a program under `opentelemetry-instrument`; the store is `traces` in `tmp_path`."""
    site = tmp_path / "site"
    entry_points.install(site, root)

    def run(
        program: str, *, is_installed: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "agent.py").write_text(program)
        sources = [str(root), *filter(None, sys.path)]
        inherited = {name: v for name, v in os.environ.items() if not name.startswith("OTEL_")}
        return subprocess.run(
            [str(COMMAND), sys.executable, "agent.py", "--its", "own"],
            cwd=tmp_path,
            env={
                **inherited,
                "PYTHONPATH": os.pathsep.join([str(site)] * is_installed + sources),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_named_distro_records_without_a_line_of_code(
    instrument: Instrument, tmp_path: Path
) -> None:
    ran = instrument(AGENT, OTEL_PYTHON_DISTRO="otel_traj", OTEL_TRAJ_STORE="here")

    assert (ran.returncode, ran.stdout) == (3, "looked ['--its', 'own']\n")
    found = open_store(tmp_path / "here").sql(
        "select agent_name, tools, n_dropped_attributes from trajectories"
    )
    assert found.fetchall() == [("clerk", ["look"], 0)]


def test_what_the_user_has_set_stays(instrument: Instrument, tmp_path: Path) -> None:
    ran = instrument(
        AGENT,
        OTEL_PYTHON_DISTRO="otel_traj",
        OTEL_TRACES_EXPORTER="console",
        OTEL_SERVICE_NAME="shop",
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="50",
    )

    assert '"name": "execute_tool look"' in ran.stdout
    found = open_store(tmp_path / "traces").sql(
        "select service, n_dropped_attributes > 100 from trajectories"
    )
    assert found.fetchall() == [("shop", True)]


def test_installed_and_not_named_it_changes_nothing(instrument: Instrument) -> None:
    without = instrument(SURROUNDINGS, is_installed=False)
    installed = instrument(SURROUNDINGS)

    assert without.returncode == installed.returncode == 0
    assert without.stdout == installed.stdout


def test_where_nothing_can_be_recorded_the_program_runs(
    instrument: Instrument, tmp_path: Path
) -> None:
    (tmp_path / "traces").write_text("no folder")

    ran = instrument(AGENT, OTEL_PYTHON_DISTRO="otel_traj")

    assert (ran.returncode, ran.stdout) == (3, "looked ['--its', 'own']\n")
    assert ran.stderr.count("otel-traj: nothing is recorded: ") == 1


# --- a declarative configuration ---------------------------------------------------------------

needs_files = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.configuration") is None,
    reason="needs opentelemetry-configuration",
)
FILE = """
file_format: "1.0"
resource:
  attributes: [{name: service.name, value: shop}]
tracer_provider:
  limits: {attribute_count_limit: 1000}
  processors:
  - simple: {exporter: EXPORTER}
"""


@needs_files
def test_a_configuration_file_may_name_our_exporter(instrument: Instrument, tmp_path: Path) -> None:
    (tmp_path / "otel.yaml").write_text(FILE.replace("EXPORTER", "{trajectory: {}}"))

    ran = instrument(AGENT, OTEL_CONFIG_FILE="otel.yaml", OTEL_TRAJ_STORE="here")

    assert (ran.returncode, ran.stdout) == (3, "looked ['--its', 'own']\n")
    found = open_store(tmp_path / "here").sql("select service, tools from trajectories")
    assert found.fetchall() == [("shop", ["look"])]


@needs_files
def test_our_distro_records_beside_what_a_configuration_file_sets_up(
    instrument: Instrument, tmp_path: Path
) -> None:
    (tmp_path / "otel.yaml").write_text(FILE.replace("EXPORTER", "{console: {}}"))

    ran = instrument(AGENT, OTEL_PYTHON_DISTRO="otel_traj", OTEL_CONFIG_FILE="otel.yaml")

    assert '"name": "execute_tool look"' in ran.stdout
    found = open_store(tmp_path / "traces").sql(
        "select service, agent_name, tools, n_dropped_attributes from trajectories"
    )
    assert found.fetchall() == [("shop", "clerk", ["look"], 0)]


@needs_files
def test_a_configuration_file_that_disables_the_sdk_disables_recording(
    instrument: Instrument, tmp_path: Path
) -> None:
    (tmp_path / "otel.yaml").write_text('file_format: "1.0"\ndisabled: true\n')

    ran = instrument(AGENT, OTEL_PYTHON_DISTRO="otel_traj", OTEL_CONFIG_FILE="otel.yaml")

    assert (ran.returncode, ran.stdout) == (3, "looked ['--its', 'own']\n")
    assert not (tmp_path / "traces").exists()


def test_switched_off_it_records_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_TRAJ_STORE", str(tmp_path / "traces"))

    autostart.start()

    assert not (tmp_path / "traces").exists()
