"""A real `otel-traj serve` in a process of its own, on ports that are free."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_traj.server.listeners import Listener

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = [str(ROOT), str(ROOT / "exporters"), str(ROOT / "analysis")]


PROTOBUF = "application/x-protobuf"


@dataclass
class Answer:
    """What came back over HTTP; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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

    @property
    def options(self) -> list[str]:
        """What makes another one listen where this one does."""
        names = {"OTLP/gRPC": "--otlp-grpc", "OTLP/HTTP": "--otlp-http", "HTTP": "--http"}
        return [part for name, option in names.items() for part in (option, self.addresses[name])]

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        """Send a request over HTTP; see `ask`."""
        return ask(self.addresses["OTLP/HTTP"], "POST", path, body, **headers)

    def metrics(self, token: str = "") -> dict[str, float]:
        """What `/metrics` says, by name with labels."""
        authorization = f"Bearer {token}"
        answer = ask(self.addresses["HTTP"], "GET", "/metrics", b"", authorization=authorization)
        lines = answer.body.decode().splitlines()
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


def ask(address: str, method: str, path: str, body: bytes, **headers: str) -> Answer:
    """Send a request, as protobuf unless `headers` (with `_` for `-`) say otherwise."""
    given = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    connection = http.client.HTTPConnection(address, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"content-type": PROTOBUF, **given})
        answer = connection.getresponse()
        lower = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, lower, answer.read())


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


@contextlib.contextmanager
def listening(start: Callable[[], Coroutine[Any, Any, Listener]]) -> Iterator[str]:
    """A listener in this process, on a thread of its own, by its address."""
    with asyncio.Runner() as runner:
        listener = runner.run(start())
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield str(listener.address)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            runner.run(listener.stop())


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Return as soon as it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)
