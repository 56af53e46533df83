"""Processes that fork, are spawned, are stopped or leave in a hurry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv
from tests import receivers
from tests.surroundings.conftest import HEAD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="posix only"),
]

WORK = """
def work(n):
    with otel_traj.trajectory(f"child {n}"), otel_traj.tool_call("look"):
        pass
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_record_all_they_do(run: Any, tools: Any, method: str) -> None:
    run(
        WORK + "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context('{method}')\n"
        "    child = context.Process(target=work, args=(0,))\n"
        "    child.start(); child.join()\n"
        "    with context.Pool(2) as pool:\n"
        "        pool.map(work, [1, 2])\n"
        "        pool.close(); pool.join()\n"
        "    work('of nobody')\n"
    )

    assert tools() == {f"child {n}": ["look"] for n in (0, 1, 2, "of nobody")}


def test_pool_of_processes_records_all_it_does(run: Any, tools: Any) -> None:
    run(
        WORK + "from concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(2) as pool:\n"
        "        list(pool.map(work, range(4)))\n"
    )

    assert tools() == {f"child {n}": ["look"] for n in range(4)}


def test_steps_of_a_forked_child_are_steps_of_the_run_it_was_forked_in(
    run: Any, trajectories: Any
) -> None:
    run(
        "with otel_traj.trajectory('t', agent='a'):\n"
        "    with otel_traj.tool_call('before'): pass\n"
        "    child = os.fork()\n"
        "    with otel_traj.tool_call('child' if child == 0 else 'parent'): pass\n"
        "    if child == 0:\n"
        "        recording.flush()\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )

    (run_,) = trajectories()
    assert sorted(run_.tools) == ["before", "child", "parent"]
    assert run_.status == "completed"


@pytest.mark.parametrize("protocol", sorted(receivers.RECEIVERS))
def test_forked_child_sends_over_otlp_as_well(run: Any, protocol: str) -> None:
    with receivers.RECEIVERS[protocol]() as receiver:
        run(
            WORK + "work(0)\n"
            "recording.flush()\n"
            "child = os.fork()\n"
            "work(1 if child == 0 else 2)\n"
            "assert recording.flush()\n"
            "if child == 0: os._exit(0)\n"
            "assert os.waitpid(child, 0)[1] == 0\n",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL=receiver.protocol,
        )

    told = (span.attributes.get(semconv.TASK) for span in receiver.spans())
    assert sorted(filter(None, told)) == ["child 0", "child 1", "child 2"]


def test_run_may_cross_processes_by_its_context(run: Any, trajectories: Any) -> None:
    run(
        "import multiprocessing\n"
        "from opentelemetry import context, propagate\n"
        "def work(carrier):\n"
        "    context.attach(propagate.extract(carrier))\n"
        "    with otel_traj.tool_call('elsewhere'): pass\n"
        "if __name__ == '__main__':\n"
        "    with otel_traj.trajectory('t'):\n"
        "        carrier = {}\n"
        "        propagate.inject(carrier)\n"
        "        fresh = multiprocessing.get_context('spawn')\n"
        "        process = fresh.Process(target=work, args=(carrier,))\n"
        "        process.start(); process.join()\n"
    )

    (run_,) = trajectories()
    assert run_.tools == ("elsewhere",)


PRE_FORK = """
import socketserver
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with otel_traj.trajectory(f"request of {self.path}"), otel_traj.tool_call("look"): pass
        self.send_response(200); self.end_headers()
    def log_message(self, *arguments): pass

with otel_traj.trajectory("start"), otel_traj.tool_call("load"): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
workers = []
for n in range(2):
    worker = os.fork()
    if not worker:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server.serve_forever()
    workers.append(worker)
print(server.server_port, flush=True)
sys.stdin.read()
for worker in workers:
    os.kill(worker, signal.SIGTERM)
    os.waitpid(worker, 0)
"""


def test_pre_fork_server_records_in_each_worker(store: Path, tmp_path: Path, tools: Any) -> None:
    program = tmp_path / "server.py"
    program.write_text(HEAD + PRE_FORK)
    server = subprocess.Popen(
        [sys.executable, str(program), str(store)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())

    for n in range(8):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/{n}").close()
    server.communicate(timeout=30)

    assert tools() == {"start": ["load"]} | {f"request of /{n}": ["look"] for n in range(8)}


GUNICORN = """
import otel_traj, sys, os
{instrument}
def app(environ, start_response):
    with otel_traj.trajectory("request of " + environ["PATH_INFO"]), otel_traj.tool_call("look"):
        pass
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.parametrize("preload", [True, False])
def test_gunicorn_records_in_each_worker(
    store: Path, tmp_path: Path, tools: Any, preload: bool
) -> None:
    pytest.importorskip("gunicorn")
    call = f"otel_traj.instrument({str(store)!r}, instrumentors=(), seal=False)"
    (tmp_path / "shop.py").write_text(GUNICORN.format(instrument=call))
    socket = tmp_path / "socket"
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--workers=2", f"--bind=unix:{socket}"),
            *(f"--chdir={tmp_path}", "--log-level=error", "--no-control-socket"),
            *(["--preload"] if preload else []),
            "shop:app",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    workers = {get(socket, f"/{n}") for n in range(8)}
    server.terminate()
    server.wait(30)

    assert str(server.pid).encode() not in workers
    assert tools() == {f"request of /{n}": ["look"] for n in range(8)}


def get(path: Path, what: str) -> bytes:
    """A request to a server that may still be starting; the body of its answer."""
    import socket

    deadline = time.monotonic() + 30
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except OSError:
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.02)
                continue
            client.sendall(f"GET {what} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while part := client.recv(65536):
                answer += part
            return answer.rpartition(b"\r\n")[2]


def test_exit_without_clean_up_keeps_what_was_flushed(run: Any, tools: Any) -> None:
    run(
        "with otel_traj.trajectory('flushed'), otel_traj.tool_call('look'): pass\n"
        "recording.flush()\n"
        "with otel_traj.trajectory('written soon'), otel_traj.tool_call('look'): pass\n"
        "time.sleep(0.5)\n"
        "os._exit(0)\n"
    )

    assert tools() == {"flushed": ["look"], "written soon": ["look"]}


ENDLESS = (
    "with otel_traj.trajectory('over'), otel_traj.tool_call('look'): pass\n"
    "with otel_traj.trajectory('running'):\n"
    "    with otel_traj.tool_call('done'): pass\n"
    "    with otel_traj.tool_call('hanging'):\n"
    "        time.sleep(0.5); print('running', flush=True); time.sleep(60)\n"
)


@pytest.mark.parametrize("by", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_program_ended_by_a_signal_leaves_its_run_open(
    start: Any, trajectories: Any, by: str
) -> None:
    process = start(ENDLESS)
    assert process.stdout.readline() == "running\n"

    process.send_signal(getattr(signal, by))
    process.communicate(timeout=30)

    over, running = trajectories()
    assert (over.status, running.status, running.tools) == (
        "completed",
        "open",
        ("done", "hanging"),
    )


def test_interrupted_program_tells_where_it_was(start: Any, trajectories: Any) -> None:
    process = start(ENDLESS)
    assert process.stdout.readline() == "running\n"

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert errors.endswith("KeyboardInterrupt\n")
    over, running = trajectories()
    assert (over.status, running.status) == ("completed", "aborted")
    assert running.steps[-1].error_type == "KeyboardInterrupt"


def test_handler_of_a_signal_may_record_and_flush(start: Any, tools: Any) -> None:
    process = start(
        "def stop(*_):\n"
        "    with otel_traj.trajectory('last words'), otel_traj.tool_call('speak'): pass\n"
        "    recording.flush()\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready', flush=True)\n"
        "while True:\n"  # it interrupts the agent's thread within our calls, too
        "    with otel_traj.tool_call('busy'): time.sleep(0.0001)\n"
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)

    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (0, "")
    assert tools()["last words"] == ["speak"]


def test_threads_that_outlive_the_main_program_do_no_harm(run: Any, tools: Any) -> None:
    run(
        "def work():\n"
        "    while True:\n"
        "        with otel_traj.tool_call('busy'): time.sleep(0.001)\n"
        "with otel_traj.trajectory('main'), otel_traj.tool_call('look'): pass\n"
        "for _ in range(4): threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.2)\n"
    )

    assert tools()["main"] == ["look"]


def test_run_recorded_at_exit_is_kept_if_it_was_registered_after_us(run: Any, tools: Any) -> None:
    run(
        "import atexit\n"
        "@atexit.register\n"
        "def farewell():\n"
        "    with otel_traj.trajectory('farewell'), otel_traj.tool_call('wave'): pass\n"
    )

    assert tools() == {"farewell": ["wave"]}
