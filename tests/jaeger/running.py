"""A real Jaeger 2 in a process of its own, on free ports."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.collector.running import free_address
from tests.jaeger import build
from tests.server.serving import ROOT

JAEGER: Final = build.find()
needs_jaeger: Final = pytest.mark.skipif(
    JAEGER is None, reason="no Jaeger: python tests/jaeger/build.py"
)

IN_MEMORY: Final = """
extensions:
  jaeger_storage:
    backends:
      memory:
        memory:
          max_traces: 10000
  jaeger_query:
    storage:
      traces: memory
receivers:
  otlp:
    protocols:
      http:
exporters:
  jaeger_storage_exporter:
    trace_storage: memory
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
"""
"""A Jaeger that keeps what comes over OTLP."""

_START_S: Final = 60.0


def documented(storage: str) -> tuple[str, str]:
    """The configuration that docs/jaeger.md shows, and the setting for a storage elsewhere."""
    page = (ROOT / "docs" / "jaeger.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    text = next(block for block in blocks if "jaeger_storage" in block)
    return text, f"extensions::jaeger_storage::backends::otel_traj::grpc::endpoint={storage}"


@contextlib.contextmanager
def jaeger(folder: Path, configuration: str, *settings: str) -> Iterator[str]:
    """A Jaeger that has begun to answer; its address, `HOST:PORT`.

    Args:
        folder: For its files.
        configuration: In YAML.
        settings: `a::b::c=value` in place of what the configuration says.
    """
    (folder / "jaeger.yaml").write_text(configuration)
    address = free_address()
    sets = (
        "service::telemetry::metrics::level=none",
        f"extensions::jaeger_query::http::endpoint={address}",
        f"extensions::jaeger_query::grpc::endpoint={free_address()}",
        *settings,
    )
    log = folder / "jaeger.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(JAEGER), f"--config={folder / 'jaeger.yaml'}", *(f"--set={s}" for s in sets)],
            stderr=output,
            stdout=subprocess.DEVNULL,
        )
    try:
        deadline = time.monotonic() + _START_S
        while "Everything is ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def get(address: str, path: str, /, **parameters: object) -> tuple[int, Any]:
    """Ask for a path: status and JSON."""
    query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
    try:
        with urlopen(f"http://{address}{path}{query}", timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
