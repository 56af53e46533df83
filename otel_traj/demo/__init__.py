"""Real runs of a real agent without key or network: what `otel-traj demo` records and shows.

The agent (`agent.py`) runs in a process of its own, as yours would, and talks to a model server on
loopback (`model_server.py`) that answers from a script (`script.json`). All else is real: the SDK
and its instrumentation, the tools and the files they change, the tests that judge each attempt.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import otel_traj
from otel_traj import wal
from otel_traj.demo.model_server import ModelServer, Script
from otel_traj.errors import MissingExtraError, OtelTrajError

__all__ = ["QUESTIONS", "DemoResult", "Question", "run"]

_SERVICE = "otel-traj-demo"
_PACKAGES = ("openai", "opentelemetry-instrumentation-genai-openai")
_SHOWN = ("pricing", "v2")  # the attempt with most in it: a failed edit, an objection, two reviews
_SECONDS_PER_TOKEN = 0.0005  # enough for the model's calls to be seen in a waterfall


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the store and the query that answers it."""

    title: str
    sql: str


QUESTIONS = (
    Question(
        "How did the attempts at each task end?",
        """\
select
  task_id,
  count(*) as runs,
  count(*) filter (where outcome = 'success') as successes,
  count(*) filter (where outcome = 'failure') as failures,
  count(*) filter (where outcome = 'error') as errors,
  count(reward) as rewards,
  round(avg(reward), 2) as mean_reward
from trajectories
group by task_id
order by task_id""",
    ),
    Question(
        "Which tools fail, and what do they say?",
        """\
select
  tool_name,
  count(*) as calls,
  count(*) filter (where status = 'error') as failed,
  round(failed / calls, 2) as error_rate,
  min(error_message) as example
from steps
where tool_name is not null
group by tool_name
order by failed desc, calls desc, tool_name""",
    ),
    Question(
        "Where do the tokens go?",
        """\
select
  agent_name,
  model,
  count(*) as model_calls,
  sum(input_tokens) as input_tokens,
  sum(output_tokens) as output_tokens
from steps
where kind = 'llm'
group by agent_name, model
order by input_tokens desc""",
    ),
)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What one demo recorded: its trajectories in order of start, and the one worth a look."""

    store: Path
    trajectory_ids: tuple[str, ...]
    shown_id: str


def run(store: Path, *, on_progress: Callable[[str], None] = lambda line: None) -> DemoResult:
    """Record the demo's runs into a store; runs of earlier demos stay.

    Args:
        store: Folder of the store, made if it is not there.
        on_progress: Called with one line of text for each run that ended.

    Raises:
        MissingExtraError: The packages of the extra `demo` are not installed.
        StoreError: The store cannot be written, or a newer version wrote it.
        OtelTrajError: The agent's process failed; its own message went to stderr.
    """
    _require_packages()
    wal.initialise(store)
    started = datetime.now(UTC)
    script = Script.read(Path(__file__).with_name("script.json"))
    with ModelServer(script, seconds_per_token=_SECONDS_PER_TOKEN) as server:
        _record(store, server.url, on_progress)
    return _find_recorded(store, started)


def _require_packages() -> None:
    for package in _PACKAGES:
        try:
            metadata.distribution(package)
        except metadata.PackageNotFoundError as error:
            raise MissingExtraError("The demo", package, "demo") from error


def _record(store: Path, model_url: str, on_progress: Callable[[str], None]) -> None:
    # -P: a `types.py` in the folder where somebody tries the demo must not become a module.
    command = [sys.executable, "-P", "-m", "otel_traj.demo.agent"]
    arguments = ["--store", str(store), "--model-url", model_url]
    with subprocess.Popen(
        [*command, *arguments],
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches us alone, and not as a traceback of the agent
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                on_progress(line.rstrip("\n"))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise OtelTrajError(
            f"The demo's agent ended with exit code {process.returncode}; its message stands above."
        )


def _environment() -> dict[str, str]:
    """The environment of a user who has set nothing up, in which this `otel_traj` is found."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "OPENAI_"))}
    import_path = [kept.get("PYTHONPATH", ""), str(Path(otel_traj.__file__).parents[1])]
    return {
        **kept,
        "OTEL_SERVICE_NAME": _SERVICE,
        "PYTHONPATH": os.pathsep.join(filter(None, import_path)),
        # The model server is on loopback, where no proxy leads.
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _find_recorded(store: Path, started: datetime) -> DemoResult:
    rows = (
        otel_traj.open_store(store)
        .sql(
            "select trajectory_id, task_id, prompt_version from trajectories"
            " where service = $service and start_time >= $started order by start_time",
            {"service": _SERVICE, "started": started},
        )
        .fetchall()
    )
    shown = [trajectory_id for trajectory_id, *attempt in rows if tuple(attempt) == _SHOWN]
    if not shown:
        raise OtelTrajError(f"The demo's agent ran, but its runs are not in {store}.")
    return DemoResult(store, tuple(trajectory_id for trajectory_id, *_ in rows), shown[0])
