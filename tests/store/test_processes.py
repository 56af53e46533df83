"""Agents, importers, a receiver, sealers and readers on one store at once, and some that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from otel_traj import otlp, wal
from otel_traj.store import TrajectoryStore, locks
from tests.store.runs import run, started, trace_id

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="needs fork, SIGKILL and bind mounts"),
]

AGENT = """
import sys, otel_traj
recording = otel_traj.instrument(sys.argv[1], instrumentors=())
for n in range(20):
    with otel_traj.trajectory(f"agent {sys.argv[2]} {n}"), otel_traj.tool_call("look"):
        pass
    recording.flush()
"""

NOTEBOOK = """
import sys
from otel_traj.store import open_store
store, counts = open_store(sys.argv[1]), [0]
for _ in range(8):
    runs = list(store.trajectories())
    assert all(run.n_steps == len(run.steps) for run in runs), "half a run"
    counts.append(len(runs))
assert counts == sorted(counts), counts
"""

RECEIVER = """
import sys
from pathlib import Path
from otel_traj import wal
writer, body = wal.WalWriter(Path(sys.argv[1])), Path(sys.argv[2]).read_bytes()
for _ in range(5):  # as a client that saw no answer
    writer.append(body, "otlp-traces")
"""


def start(*command: object) -> subprocess.Popen[str]:
    """A process of its own, which must end well and without a word."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, command)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_everybody_works_on_one_store_at_once(store: TrajectoryStore, tmp_path: Path) -> None:
    imported, request = tmp_path / "collector.jsonl", tmp_path / "request"
    spans = [span for number in range(1, 31) for span in run(number)]
    imported.write_text(json.dumps(otlp.traces_to_json(spans)))
    request.write_bytes(otlp.traces_to_protobuf(s for n in range(50, 60) for s in run(n)))
    cli = ("-m", "otel_traj.cli", "--store", store.path)

    processes = [
        *(start("-c", AGENT, store.path, k) for k in range(2)),
        *(start(*cli, "ingest", imported) for _ in range(2)),
        start("-c", RECEIVER, store.path, request),
        start("-c", NOTEBOOK, store.path),
        start(*cli, "list", "--format", "json"),
        start(*cli, "compact", "--full"),
    ]
    ended = [(p.args[-2:], *p.communicate(timeout=120), p.returncode) for p in processes]  # type: ignore[index]

    assert [status for *_, status in ended] == [0] * len(processes), ended
    told = [row[0] for row in store.sql("select task from trajectories").fetchall()]
    agents = [f"agent {k} {n}" for k in range(2) for n in range(20)]
    assert sorted(told) == sorted(agents + [f"order-{n}" for n in (*range(1, 31), *range(50, 60))])
    assert store.verify() == []


@pytest.mark.parametrize("lock", ["commit", "upkeep"])
def test_lock_of_a_process_that_is_killed_is_free_at_once(
    store: TrajectoryStore, lock: Any
) -> None:
    holder = start(
        "-c",
        "import sys, time\n"
        "from pathlib import Path\n"
        "from otel_traj.store import locks\n"
        "with locks.held(Path(sys.argv[1]), sys.argv[2], 0):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n",
        store.path,
        lock,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with locks.attempt(store.path, lock) as is_free:
        assert not is_free

    holder.send_signal(signal.SIGKILL)
    holder.communicate()

    with locks.attempt(store.path, lock) as is_free:
        assert is_free


def test_rewriter_that_waits_commits_before_the_next_sealer(store: TrajectoryStore) -> None:
    """Sealers follow each other closely; each would else find the lock free before a rewriter."""
    committed = threading.Event()

    def rewrite() -> None:
        with locks.held(store.path, "upkeep", 0), locks.held(store.path, "commit", 30):
            committed.set()

    rewriter = threading.Thread(target=rewrite)
    with locks.held(store.path, "commit", 0):
        rewriter.start()
        while is_free(store.path / "_turn"):
            time.sleep(0.001)

    with locks.attempt(store.path, "commit", 30) as is_held:
        assert is_held
        assert committed.is_set()
    rewriter.join()


def is_free(lock: Path) -> bool:
    with lock.open("a") as file:
        return wal.try_lock(file.fileno())


def test_reader_of_a_read_only_mount_sees_what_living_agents_have_just_written(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    mount = f"mount --bind {store.path} {mounted} && mount -o remount,bind,ro {mounted}"
    inside = ["unshare", "-Urm", "sh", "-c"]
    tried = subprocess.run([*inside, mount], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no read-only mount to be had here: {tried.stderr.strip()}")
    store.append(run(1))
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([*run(2), started(run(3)[-1])]))
    before = sorted(path for path in store.path.rglob("*") if path.is_file())

    query = "select task, status from trajectories order by task"
    command = f'{mount} && exec "$0" -m otel_traj.cli --store {mounted} sql --format csv "{query}"'
    done = subprocess.run(
        [*inside, command, sys.executable],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split() == [
        "task,status",
        "order-1,completed",
        "order-2,completed",
        "order-3,open",
    ]
    assert sorted(path for path in store.path.rglob("*") if path.is_file()) == before
    writer.close()


CONTAINED = """
import os, sys, time
from pathlib import Path
from otel_traj import wal
from tests.store.runs import run, started

assert os.getpid() == 1
writer = wal.WalWriter(Path(sys.argv[1]))
writer.append(wal.encode([started(run(int(sys.argv[2]))[-1])]))
print("begun", flush=True)
time.sleep(600)
"""


def test_containers_whose_agents_all_have_process_id_1_are_told_apart(
    store: TrajectoryStore,
) -> None:
    contained = ["unshare", "-Urpf", "--kill-child"]
    tried = subprocess.run([*contained, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no process namespaces to be had here: {tried.stderr.strip()}")
    agents = [
        subprocess.Popen(
            [*contained, sys.executable, "-c", CONTAINED, str(store.path), str(number)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=subprocess.PIPE,
        )
        for number in (1, 2)
    ]
    for agent in agents:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"begun\n"

    agents[0].kill()
    agents[0].communicate()
    [note] = [problem for problem in store.verify() if "killed" in problem.what]

    assert note.ids == (trace_id(1),)
    agents[1].kill()
    agents[1].communicate()
