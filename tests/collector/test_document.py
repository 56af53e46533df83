"""What docs/collector.md shows was printed by a real Collector."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from docs import examples
from tests.collector.running import COLLECTOR, needs_collector
from tests.test_docs import blurred

PORTS = (4317, 4318, 14317, 14318, 7788, 8888)
"""Where the document has things listen."""


def is_free(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
@needs_collector
def test_every_example_runs_and_prints_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if taken := [port for port in PORTS if not is_free(port)]:
        pytest.skip(f"somebody listens on {taken}")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "otelcol-contrib").symlink_to(str(COLLECTOR))
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    chosen = examples.examples("docs/collector.md")
    assert chosen

    printed = list(examples.run(chosen, tmp_path))

    for example, output in zip(chosen, printed, strict=True):
        assert blurred(output) == blurred(example.output or "")
