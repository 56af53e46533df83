"""`otel-traj view` as a process: says where it is, shows what is recorded, and ends when told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from otel_traj.store import TrajectoryStore
from tests.server.serving import ROOT
from tests.store.runs import run

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    made = TrajectoryStore.create(tmp_path / "traces")
    made.append(run(1))
    return made


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    sources = os.pathsep.join(str(ROOT / part) for part in ("", "exporters", "analysis"))
    return subprocess.Popen(
        [sys.executable, "-m", "otel_traj.cli", "view", "--no-open", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": sources, **environment},
    )


@contextmanager
def viewing(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = started(*arguments, **environment)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate(timeout=30)


def total(url: str, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = url.partition("#")[0]
    with urlopen(Request(f"{base}api/ot/v1/trajectories", headers=headers), timeout=30) as answer:
        told: int = json.load(answer)["total"]
    return told


def test_it_prints_its_url_shows_what_comes_and_ends_on_interrupt(store: TrajectoryStore) -> None:
    with viewing(str(store.path), "--port", "0") as (process, url):
        before = total(url)
        store.append(run(2))
        after = total(url)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert url.startswith("http://127.0.0.1:")
    assert (before, after) == (1, 2)
    assert (process.returncode, said) == (0, "")


def test_a_port_that_is_taken_is_refused_where_it_was_asked_for(
    store: TrajectoryStore,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = started(str(store.path), "--port", port)
        _, said = refused.communicate(timeout=60)

    assert refused.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in said


def test_the_token_is_behind_the_hash_of_the_url(store: TrajectoryStore) -> None:
    arguments = ("--store", str(store.path), "--host", "0.0.0.0", "--port", "0")
    refused = started(*arguments)
    _, said = refused.communicate(timeout=60)
    with viewing(*arguments, OTEL_TRAJ_TOKEN="a b") as (_, url):
        shown = total(url, "a b")

    assert refused.returncode == 2
    assert "Whoever reaches 0.0.0.0:0 could read the store" in said
    assert url.endswith("/#token=a%20b")
    assert shown == 1


def test_without_a_store_it_says_how_to_get_one(tmp_path: Path) -> None:
    process = started(str(tmp_path / "none"))
    _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "There is no store" in said
