"""Programs of every end: killed, forked, exited, left alone. What was flushed is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv, wal
from otel_traj.capture.sealing import EVERY_S, GROWTH_BYTES, SealStarter
from otel_traj.model import Close, SpanRecord

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="posix only")

HEAD = """
import os, sys, time
import otel_traj
recording = otel_traj.instrument(sys.argv[1], instrumentors=(), seal=False)
"""


def start(store: Path, program: str, **arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HEAD + program, str(store)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **arguments,
    )


def finish(store: Path, program: str) -> str:
    process = start(store, program)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return output


def tasks(records: Any) -> list[str]:
    """Tasks of the ended runs in the store."""
    ended = [span for span in records(SpanRecord) if not span.is_open]
    return sorted(
        span.attributes[semconv.TASK] for span in ended if semconv.TASK in span.attributes
    )


def test_killed_program_leaves_what_it_flushed_and_the_run_open(store: Path, records: Any) -> None:
    process = start(
        store,
        "with otel_traj.trajectory('over'): pass\n"
        "with otel_traj.trajectory('running'):\n"
        "    with otel_traj.tool_call('done') as call: call.result(1)\n"
        "    with otel_traj.tool_call('hanging'):\n"
        "        recording.flush(); print('flushed', flush=True); time.sleep(60)\n",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "flushed\n"

    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert tasks(records) == ["over"]
    spans = records(SpanRecord)
    assert {s.name for s in spans if s.is_open} == {"invoke_agent", "execute_tool hanging"}
    assert [s.name for s in spans if s.attributes.get(semconv.TOOL_NAME) == "done"] == [
        "execute_tool done"
    ]
    assert len(records(Close)) == 1
    assert all(wal.is_abandoned(segment) for segment in wal.segments(store))


def test_program_that_just_ends_has_everything_written(store: Path, records: Any) -> None:
    finish(store, "with otel_traj.trajectory('t'): pass\n")

    assert tasks(records) == ["t"]
    assert len(records(Close)) == 1


def test_program_that_fails_has_everything_written(store: Path, records: Any) -> None:
    process = start(store, "with otel_traj.trajectory('t'): raise ValueError('mine')\n")
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert errors.endswith("ValueError: mine\n")
    assert "otel_traj/" not in errors.replace("handles.py", "")
    assert tasks(records) == ["t"]


def test_spans_that_end_while_the_interpreter_ends_do_no_harm(store: Path, records: Any) -> None:
    finish(
        store,
        "@otel_traj.tool\n"
        "def numbers():\n"
        "    yield 1\n"
        "left = numbers(); next(left)\n"
        "with otel_traj.trajectory('t'): pass\n",
    )

    assert tasks(records) == ["t"]


def test_worker_processes_have_everything_written(store: Path, records: Any) -> None:
    finish(
        store,
        "import multiprocessing\n"
        "def work(n):\n"
        "    with otel_traj.trajectory(f'child {n}'): pass\n"
        "with otel_traj.trajectory('parent'):\n"
        "    context = multiprocessing.get_context('fork')\n"
        "    children = [context.Process(target=work, args=(n,)) for n in range(3)]\n"
        "    for child in children: child.start()\n"
        "    for child in children: child.join()\n",
    )

    assert tasks(records) == ["child 0", "child 1", "child 2", "parent"]
    assert len(wal.segments(store)) == 4


def test_fork_while_recording_harms_neither_side(store: Path, records: Any) -> None:
    finish(
        store,
        "import threading\n"
        "stop = threading.Event()\n"
        "def busy():\n"
        "    while not stop.is_set():\n"
        "        with otel_traj.tool_call('busy'): pass\n"
        "threads = [threading.Thread(target=busy) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "for n in range(5):\n"
        "    time.sleep(0.02)\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        with otel_traj.trajectory(f'child {n}'): pass\n"
        "        os._exit(0 if recording.flush() else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0, 'a child failed'\n"
        "stop.set()\n"
        "for thread in threads: thread.join()\n",
    )

    assert tasks(records) == [f"child {n}" for n in range(5)]


def test_asyncio_program_that_is_interrupted_has_everything_written(
    store: Path, records: Any
) -> None:
    process = start(
        store,
        "import asyncio\n"
        "async def main():\n"
        "    with otel_traj.trajectory('t'):\n"
        "        print('running', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    (span,) = (s for s in records(SpanRecord) if not s.is_open)
    assert span.attributes[semconv.OUTCOME] == "partial"


# --- sealing -----------------------------------------------------------------------------------


def test_sealing_starts_when_it_is_time_and_worth_it(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    started: list[float] = []
    seals = SealStarter(store, clock=lambda: now[0])
    monkeypatch.setattr(seals, "start", lambda: started.append(now[0]))

    for now[0], written in [
        (1.0, GROWTH_BYTES * 9),
        (EVERY_S, GROWTH_BYTES * 9),
        (EVERY_S * 3, GROWTH_BYTES * 10 - 1),
        (EVERY_S * 3, GROWTH_BYTES * 10),
    ]:
        seals.after_tick(written)

    assert started == [EVERY_S, EVERY_S * 3]


def test_sealer_in_another_process_is_not_joined_by_ours(store: Path) -> None:
    lock = os.open(store / "_lock", os.O_RDWR | os.O_CREAT)
    assert wal.try_lock(lock)
    seals = SealStarter(store)

    seals.start()
    assert seals._helper is None
    os.close(lock)


def test_end_of_the_program_seals_and_waits_for_nobody(store: Path) -> None:
    finish(store, "recording.shutdown()\n")
    assert not [path for path in store.iterdir() if path.name == "_snap"]

    finish(
        store,
        "recording.shutdown()\n"
        "recording = otel_traj.instrument(sys.argv[1], instrumentors=())\n"
        "with otel_traj.trajectory('t'), otel_traj.tool_call('look'): pass\n"
        "recording.shutdown()\n"
        "helper = recording._seals._helper\n"
        "assert os.waitpid(helper.pid, 0)[1] == 0, 'the sealer failed'\n",
    )

    assert len(list((store / "_snap").iterdir())) == 1
