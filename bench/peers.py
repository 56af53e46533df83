"""Other programs that take OTLP and keep it, started for real, each with a store of its own.

Phoenix and MLflow come from PyPI, each into an environment of its own in the user's cache; Jaeger 2
is the binary of `tests/jaeger/build.py`. What they hold is counted in their stores: an answer of
theirs says less than one of ours.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests import environments
from tests.environments import InstallError
from tests.jaeger import build as jaeger_build

CACHE: Final = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "otel-traj" / "peers"
)
START_S: Final = 300
"""How long one may take to listen: Phoenix and MLflow first make the tables of their databases."""

_PREFIXES: Final = ("OTEL_", "PHOENIX_", "MLFLOW_", "JAEGER_", "PYTHON")
"""Of variables that would change what a peer does."""


class AbsentError(Exception):
    """A peer cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A program that takes OTLP, while it runs.

    Attributes:
        name: With its version.
        addresses: `HOST:PORT` by transport, of those that it speaks.
        headers: What it asks of requests over HTTP.
        pid: Its first process.
        kinds: What that is, and what its children are, and theirs.
        stored: Counts the spans that are in its store and can be asked for.
    """

    name: str
    addresses: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    pid: int
    kinds: Sequence[str] = ("processes",)
    stored: Callable[[], int]


# --- Phoenix -----------------------------------------------------------------------------------


@contextlib.contextmanager
def phoenix(folder: Path) -> Iterator[Target]:
    """`phoenix serve` with its SQLite; it answers before it stores.

    Raises:
        AbsentError: It cannot be installed.
    """
    python = _environment("arize-phoenix")
    port, grpc_port = _free_ports(2)
    variables = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    }
    with _running([str(python.with_name("phoenix")), "serve"], folder, variables) as process:
        _wait_until_healthy(process, f"127.0.0.1:{port}", "/healthz")
        yield Target(
            name=f"Phoenix {environments.version_of(python, 'arize-phoenix')}",
            addresses={"http": f"127.0.0.1:{port}", "grpc": f"127.0.0.1:{grpc_port}"},
            pid=process.pid,
            stored=lambda: _rows(folder / "phoenix.db"),
        )


# --- MLflow ------------------------------------------------------------------------------------


@contextlib.contextmanager
def mlflow(folder: Path) -> Iterator[Target]:
    """`mlflow server` as it comes (four workers), with SQLite; it answers when it has stored.

    Raises:
        AbsentError: It cannot be installed.
    """
    python = _environment("mlflow")
    [port] = _free_ports(1)
    command = [str(python.with_name("mlflow")), "server", "--host", "127.0.0.1"]
    options = ["--port", str(port), "--backend-store-uri", "sqlite:///mlflow.db"]
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with _running([*command, *options], folder, variables) as process:
        _wait_until_healthy(process, f"127.0.0.1:{port}", "/health")
        yield Target(
            name=f"MLflow {environments.version_of(python, 'mlflow')}",
            addresses={"http": f"127.0.0.1:{port}"},
            headers={"x-mlflow-experiment-id": "0"},
            pid=process.pid,
            stored=lambda: _rows(folder / "mlflow.db"),
        )


# --- Jaeger ------------------------------------------------------------------------------------

JAEGER_CONFIG: Final = """
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [{processors}]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics:
      level: none
    logs:
      level: warn
extensions:
  jaeger_query:
    storage:
      traces: badger
    http:
      endpoint: 127.0.0.1:{query_port}
    grpc:
      endpoint: 127.0.0.1:{query_grpc_port}
  jaeger_storage:
    backends:
      badger:
        badger:
          directories:
            keys: {folder}/keys
            values: {folder}/values
          ephemeral: false
          consistency: {is_durable}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:{grpc_port}
      http:
        endpoint: 127.0.0.1:{port}
processors:
  batch:
exporters:
  jaeger_storage_exporter:
    trace_storage: badger
"""


def jaeger(folder: Path) -> contextlib.AbstractContextManager[Target]:
    """Jaeger 2 with Badger as its own example has it: answers from memory, writes without a sync.

    Raises:
        AbsentError: It is not built.
    """
    return _jaeger(folder, "Jaeger", processors="batch", is_durable=False)


def durable_jaeger(folder: Path) -> contextlib.AbstractContextManager[Target]:
    """Jaeger 2 with Badger so that its answers mean what ours do: written, with a sync.

    Raises:
        AbsentError: It is not built.
    """
    return _jaeger(folder, "Jaeger, durable", processors="", is_durable=True)


@contextlib.contextmanager
def _jaeger(folder: Path, name: str, *, processors: str, is_durable: bool) -> Iterator[Target]:
    binary = jaeger_build.find()
    if binary is None:
        raise AbsentError("not built: python tests/jaeger/build.py")
    port, grpc_port, query_port, query_grpc_port = _free_ports(4)
    config = folder / "config.yaml"
    config.write_text(
        JAEGER_CONFIG.format(
            folder=folder,
            processors=processors,
            is_durable=str(is_durable).lower(),
            port=port,
            grpc_port=grpc_port,
            query_port=query_port,
            query_grpc_port=query_grpc_port,
        )
    )
    query = f"127.0.0.1:{query_port}"
    with _running([str(binary), "--config", str(config)], folder, {}) as process:
        _wait_until_healthy(process, query, "/api/services")
        yield Target(
            name=name,
            addresses={"http": f"127.0.0.1:{port}", "grpc": f"127.0.0.1:{grpc_port}"},
            pid=process.pid,
            stored=lambda: _spans_of_jaeger(query),
        )


def _spans_of_jaeger(address: str) -> int:
    """Spans of all traces, asked for a service at a time."""
    services = json.loads(_get(address, "/api/services"))["data"] or ()
    n_spans = 0
    for service in services:
        asked = f"/api/traces?service={service}&limit=1000000&start=0&end=4000000000000000"
        found = json.loads(_get(address, asked))
        n_spans += sum(len(trace["spans"]) for trace in found["data"])
    return n_spans


PEERS: Final[Mapping[str, Callable[[Path], contextlib.AbstractContextManager[Target]]]] = {
    "phoenix": phoenix,
    "mlflow": mlflow,
    "jaeger": jaeger,
    "jaeger-durable": durable_jaeger,
}


# --- processes ---------------------------------------------------------------------------------


def _environment(package: str) -> Path:
    """The interpreter of an environment that has a package."""
    try:
        return environments.made(CACHE / package, [package])
    except InstallError as error:
        raise AbsentError(f"it cannot be installed: {error}") from error


@contextlib.contextmanager
def _running(
    command: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, and all that it starts, in a folder; what it tells is in `log` there."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**inherited, "HOME": str(folder), **variables},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str, path: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            _get(address, path)
            return
        time.sleep(0.2)
    raise AbsentError(f"it does not listen: status {process.poll()}")


def _get(address: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(address, timeout=120)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise http.client.HTTPException(f"{answer.status}: {body[:200]!r}")
    return body


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all different."""
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in bound]


def _rows(database: Path) -> int:
    """Rows of the table `spans` in SQLite, from beside whoever writes it."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)
    with contextlib.closing(connection):
        [[count]] = connection.execute("select count(*) from spans")
    return int(count)
