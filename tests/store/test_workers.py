"""Deriving by several processes: the same as by one, whatever happens to the others."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from otel_traj import wal
from otel_traj.model import SpanLink, SpanRecord
from otel_traj.store import TrajectoryStore, prices, workers
from otel_traj.store.workers import Commit, Derived, Piece, Workers
from tests.store.runs import chat, close, root, run, tool, trace_id

pytestmark = pytest.mark.slow

N_PIECES = 12


def piece(traces: dict[str, Any], known_ids: dict[str, str], *open_traces: str) -> Piece:
    """All spans are new ones, in a store without prices."""
    news = {trace: spans for trace, (spans, _) in traces.items()}
    commit = Commit(7, datetime(2026, 11, 21, tzinfo=UTC), prices.OfStore(Path("/nowhere")))
    return Piece(traces, news, known_ids, frozenset(open_traces), commit)


@pytest.fixture
def pieces() -> list[Piece]:
    """Twelve runs, each a piece."""
    return [piece({trace_id(n): (run(n), [])}, {trace_id(n): f"mine-{n}"}) for n in range(N_PIECES)]


@pytest.fixture
def others() -> Iterator[Workers]:
    with Workers(1) as hired:
        yield hired


def alone(pieces: list[Piece]) -> list[Derived]:
    return [workers.derive(piece) for piece in pieces]


def pid_of(hired: Workers) -> int:
    [worker] = hired._hired
    return worker._process.pid


def test_workers_derive_what_one_process_derives(pieces: list[Piece], others: Workers) -> None:
    assert others.derive(pieces) == alone(pieces)
    assert others.derive(pieces[::-1]) == alone(pieces[::-1])


def test_a_little_work_starts_nobody(pieces: list[Piece], others: Workers) -> None:
    assert others.derive(pieces[:2]) == alone(pieces[:2])
    assert others._hired == []


def test_workers_live_on_until_they_are_idle(
    pieces: list[Piece], others: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    others.derive(pieces)
    pid = pid_of(others)
    others.end_idle()
    assert others.derive(pieces[:2]) == alone(pieces[:2])
    assert pid_of(others) == pid

    monkeypatch.setattr(workers, "_IDLE_S", 0.0)
    others.end_idle()
    assert others._hired == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_all_that_is_sent_comes_back_the_same() -> None:
    first = run(1)
    whole = [*first[:-1], root(1, many=[1, 2.5, None, b"\0", {"deep": ["\ud800"]}])]
    linked = SpanRecord("a", "b", "c", "d", 1, 2, links=(SpanLink("a", "b", {"c": 1}),))
    traces: dict[str, Any] = {trace_id(1): (whole, []), "a": ([linked], [])}
    whole_piece = piece(traces, {trace_id(1): "mine"}, "a")

    for message in (whole_piece, workers.derive(whole_piece)):
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb") as target:
            workers._send(target, message)
            assert workers._receive(source) == message


def test_deriving_loads_no_pandas() -> None:
    program = (
        "from otel_traj.store import rows, workers; import sys; workers.without_pandas();"
        " rows.table('superseded', [{'trajectory_id': 'a', 'rev': 1}]);"
        " print('pandas' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_worker_that_was_killed_costs_time_only(pieces: list[Piece], others: Workers) -> None:
    others.derive(pieces)
    os.kill(pid_of(others), signal.SIGKILL)

    assert others.derive(pieces) == alone(pieces)
    assert others.derive(pieces) == alone(pieces)


@pytest.mark.parametrize(
    "program",
    ["", "print('hello')", "import time; time.sleep(60)", "import sys; sys.stdin.buffer.read()"],
    ids=["ends", "talks nonsense", "sleeps", "answers nothing"],
)
def test_what_is_no_worker_costs_time_only(
    pieces: list[Piece],
    others: Workers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
) -> None:
    (tmp_path / "not-a-worker").write_text(f"#!{sys.executable}\n{program}\n")
    (tmp_path / "not-a-worker").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "not-a-worker"))
    monkeypatch.setattr(workers, "_PATIENCE_S", 0.5)

    assert others.derive(pieces) == alone(pieces)
    assert others._hired == []


@pytest.mark.parametrize(
    ("name", "value"), [("executable", "/nowhere/python"), ("executable", ""), ("frozen", True)]
)
def test_where_python_cannot_be_started_there_are_no_workers(
    pieces: list[Piece],
    others: Workers,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: object,
) -> None:
    monkeypatch.setattr(sys, name, value, raising=False)

    assert others.derive(pieces) == alone(pieces)
    assert others._hired == []


def test_a_trace_that_cannot_be_derived_is_told_with_the_reason(
    pieces: list[Piece], others: Workers
) -> None:
    broken = SpanRecord(trace_id(99), "1" * 16, None, "x", 1, 2, attributes=None)  # type: ignore[arg-type]
    pieces.append(Piece({trace_id(99): ([broken], [])}, {}, {}, frozenset(), pieces[0].commit))

    *whole, last = others.derive(pieces)

    assert whole == alone(pieces[:-1])
    assert last.found == {}
    assert "Traceback" in last.failed[trace_id(99)]


def test_workers_end_with_their_sealer(pieces: list[Piece]) -> None:
    with Workers(1) as hired:
        hired.derive(pieces)
        pid = pid_of(hired)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_store_sealed_with_workers_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PIECE_SPANS", 4)
    sent: list[Piece] = []
    answer = workers._Worker._derived

    def noted(worker: Any, piece: Piece) -> Derived:
        sent.append(piece)
        return answer(worker, piece)

    monkeypatch.setattr(workers._Worker, "_derived", noted)
    found = []
    for n_cores in (1, 3):
        monkeypatch.setattr(workers, "_cores", lambda n=n_cores: n)
        store = TrajectoryStore.create(tmp_path / f"store-{n_cores}")
        writer = wal.WalWriter(store.path)
        linked = [root(98), chat(98, 1), tool(98, 2)]
        for n in range(40):
            writer.append(wal.encode([*run(n), close(n)]))
        writer.append(wal.encode(linked))
        report = store.seal()
        writer.append(wal.encode([chat(7, 5), *run(50)]))
        writer.close()
        store.seal(final=True)
        tables = ("trajectories", "steps", "trajectory_spans", "annotations")
        rows = [store.sql(f"from {table} order by all").fetchall() for table in tables]
        found.append((report, rows, store.verify()))

    assert found[0] == found[1]
    assert found[0][2] == []
    assert sent
