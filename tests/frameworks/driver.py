"""Runs an agent with its real framework, recorded by `instrument()`, and compares with the truth.

Each framework has an environment of its own below `.frameworks/` in the checkout, made once and
made anew when its requirements change. The agent talks to `model_server.py`; anything else that its
libraries want of the network is refused.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import otel_traj
from otel_traj import otlp
from otel_traj.model import LogRecord, SpanRecord
from otel_traj.store import snapshot
from otel_traj.store.stored import Stored
from tests import environments
from tests.frameworks import travel, truth
from tests.frameworks.catalogue import Framework
from tests.frameworks.model_server import SAID_AT_LAST, ModelServer, script_of

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = Path(os.environ.get("OTEL_TRAJ_FRAMEWORKS", ROOT / ".frameworks"))
LAUNCHER = Path(__file__).with_name("launch.py")
TIMEOUT_S = 180

_QUIET = {
    "DO_NOT_TRACK": "1",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "AGNO_TELEMETRY": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HTTPS_PROXY": "http://127.0.0.1:9",  # nothing listens there
    "NO_PROXY": "127.0.0.1,localhost",
}
"""Settings with which libraries do not tell their makers of the run."""


class RunError(Exception):
    """The agent did not do what it was to do; the message has its output."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run and what was recorded of it."""

    framework: Framework
    version: str
    instrumented: tuple[str, ...]
    narration: str
    """What the agent's process wrote to stderr."""
    trajectories: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    folder: Path
    """In the form of a run of the corpus: `expected.json`, `spans.jsonl`, `logs.jsonl`."""

    @property
    def expected(self) -> dict[str, Any]:
        """What truly happened."""
        document: dict[str, Any] = json.loads((self.folder / "expected.json").read_text("utf-8"))
        return document


# --- environments -------------------------------------------------------------------------------


def environment(framework: Framework, *, upgrade: bool = False) -> Path:
    """The interpreter of a framework's environment; made if it is not there.

    Args:
        framework: Whose.
        upgrade: Make it anew, with the newest versions.

    Raises:
        InstallError: Something could not be installed.
    """
    return environments.made(
        ENVIRONMENTS / framework.name,
        ["--editable", str(ROOT), *framework.dependencies],
        stamp=(ROOT / "pyproject.toml").read_text("utf-8"),
        upgrade=upgrade,
    )


# --- one run ------------------------------------------------------------------------------------


def run(framework: Framework, folder: Path, *, upgrade: bool = False) -> Run:
    """Let the agent of a framework do its work; everything that is left of it is below `folder`.

    Raises:
        InstallError: The environment could not be made.
        RunError: The agent failed, or said something else at the end than the script has.
    """
    python = environment(framework, upgrade=upgrade)
    store, report = folder / "traces", folder / "report.json"
    with ModelServer(script_of(framework.handoff, framework.ending)) as server:
        done = subprocess.run(
            [str(python), str(LAUNCHER), str(framework.script), str(report)],
            env=_variables(framework, server.url, store),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode or SAID_AT_LAST not in done.stdout or server.refused:
        raise RunError(
            f"{framework.name}: exit {done.returncode}, refused {server.refused}\n"
            f"{done.stdout[-1500:]}\n{done.stderr[-4000:]}"
        )
    kept = otel_traj.open_store(store)
    rows = kept.connection()
    steps = _dicts(rows.sql("select * from steps order by trajectory_id, step"))
    trajectories = _dicts(rows.sql("select * from trajectories order by start_time"))
    spans, logs = raw_records(store, {trace for row in trajectories for trace in row["trace_ids"]})
    happened = truth.document(
        framework,
        server.exchanges,
        server.told,
        ran=(folder / "tools.log").read_text("utf-8").splitlines(),
        began=[row["tool_name"] for row in steps if row["kind"] == "tool"],
        answer=done.stdout.strip().splitlines()[-1],
        traces={span.trace_id for span in spans},
    )
    _write(folder / "expected.json", happened)
    _write(folder / "spans.jsonl", otlp.traces_to_json(spans))
    _write(folder / "logs.jsonl", otlp.logs_to_json(logs))
    return Run(
        framework,
        environments.version_of(python, framework.package),
        tuple(json.loads(report.read_text("utf-8"))["instrumented"]),
        done.stderr,
        trajectories,
        steps,
        folder,
    )


def _variables(framework: Framework, url: str, store: Path) -> dict[str, str]:
    """The process's environment: this one's without settings of telemetry or models."""
    foreign = ("OTEL_", "OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "TRACELOOP_", "PYTHON")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **inherited,
        **_QUIET,
        "OTEL_TRAJ_STORE": str(store),
        travel.LOG: str(store.with_name("tools.log")),
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "none-is-needed",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "none-is-needed",
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": "none-is-needed",
        "HOME": str(store.parent),
    }


def raw_records(store: Path, trace_ids: set[str]) -> tuple[list[SpanRecord], list[LogRecord]]:
    """Spans and logs as they were received."""
    with Stored(store, snapshot.newest(store)) as stored:
        return stored.spans(trace_ids), stored.logs(trace_ids)


def _dicts(relation: Any) -> list[dict[str, Any]]:
    """Rows as JSON can say them, as `otel-traj sql --format json` does."""
    rows: list[dict[str, Any]] = json.loads(
        json.dumps(relation.to_arrow_table().to_pylist(), default=str)
    )
    return rows


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
