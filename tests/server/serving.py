"""A real `otel-traj serve` in a process of its own, on ports that are free."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = [str(ROOT), str(ROOT / "exporters"), str(ROOT / "analysis")]


@dataclass
class Serving:
    """A running service: its process, and `HOST:PORT` of each listener by the name it tells."""

    store: Path
    process: subprocess.Popen[str]
    addresses: Mapping[str, str]

    @property
    def grpc(self) -> str:
        return self.addresses["OTLP/gRPC"]

    @property
    def http(self) -> str:
        return f"http://{self.addresses['OTLP/HTTP']}"

    @property
    def api(self) -> str:
        return f"http://{self.addresses['HTTP']}"

    def metrics(self) -> dict[str, float]:
        """What `/metrics` says, by name with labels."""
        with urllib.request.urlopen(f"{self.api}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
        }

    def stop(self) -> int:
        """End it as an operator would; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.communicate(timeout=60)


@contextlib.contextmanager
def serving(store: Path, *options: str, **environment: str) -> Iterator[Serving]:
    """`otel-traj serve`; listeners are on any free port of loopback unless `options` say."""
    command = ["serve", "--store", str(store)]
    for listener in ("--otlp-grpc", "--otlp-http", "--http"):
        if listener not in options:
            command += [listener, "127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_traj.cli", *command, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_SOURCES), **environment},
    )
    service = Serving(store, process, _addresses(process))
    try:
        yield service
    finally:
        if process.poll() is None:
            service.stop()


def _addresses(process: subprocess.Popen[str]) -> dict[str, str]:
    """Read what it announces until it is ready."""
    told: dict[str, str] = {}
    assert process.stderr is not None
    for line in process.stderr:
        name, _, address = line.strip().partition(" ")
        told[name] = address.strip()
        if name == "ready":
            return told
    raise AssertionError(f"it ended with status {process.wait()}: {told}")


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Return as soon as it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)
