"""Processes that write one store at once, and what must hold of it at every instant.

    python -m tests.store.load write STORE JOURNAL FIRST RATE

Each process keeps a journal: one line per thing done, given to the kernel when it is done, so that
it outlives a SIGKILL of the process. What a journal names as written was acknowledged by the store.
Run `number` is always the same run, so journals need to hold nothing but numbers.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from otel_traj import wal
from otel_traj.model import Annotation
from otel_traj.store import sealing
from tests.store.runs import close, run, started, tool, trace_id

RUNS_PER_WRITER: Final = 1_000_000
"""Distance between the first runs of two writers; a run lies a second after the one before it."""

LATE_AT: Final = 4
"""Position of the span that may come late; without it a run has so many spans."""

RESENT, LATE, ANNOTATED = 0.3, 0.3, 0.2
"""Share of runs after which one of those before it is sent again, gets a late span, a score."""

VIOLATIONS: Final = {
    "trajectory twice": "select trajectory_id from trajectories group by 1 having count(*) > 1",
    "trace in two": "select unnest(trace_ids) t from trajectories group by t having count(*) > 1",
    "steps unlike header": (
        "select t.trajectory_id from trajectories t"
        " left join (select trajectory_id, count(*) n from steps group by 1) s"
        " using (trajectory_id) where n_steps <> coalesce(n, 0)"
    ),
    "steps without header": "select trajectory_id from steps anti join trajectories"
    " using (trajectory_id)",
    "span twice": "select span_id from spans group by trace_id, span_id having count(*) > 1",
    "annotation twice": "select annotation_id from annotations group by 1 having count(*) > 1",
    "closed but not whole": "select trajectory_id from trajectories"
    f" where status = 'completed' and n_spans not in ({LATE_AT}, {LATE_AT + 1})",
}
"""What must never be -> SQL that finds it in one snapshot."""


# --- what was acknowledged -----------------------------------------------------------------------


class Journal:
    """Lines of what one process has done."""

    def __init__(self, path: Path) -> None:
        """Continue a file."""
        self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)

    def note(self, *words: object) -> None:
        """Add a line; a process that is killed has written all of it or nothing."""
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())


def lines_of(journals: Iterable[Path]) -> dict[str, list[list[str]]]:
    """First word -> the rest of each line that begins with it."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for path in journals:
        for line in path.read_text().splitlines():
            kind, *rest = line.split(maxsplit=1)
            found[kind].append(rest[0].split() if rest and kind != "failed" else rest)
    return found


@dataclass(slots=True)
class Acknowledged:
    """What writers were told to be durable: runs, runs with a late span, annotations."""

    runs: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)
    scores: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, journals: Iterable[Path]) -> Acknowledged:
        """Read journals of writers."""
        lines = lines_of(journals)
        return cls(
            {int(number) for number, *_ in lines["run"]},
            {int(number) for (number,) in lines["late"]},
            {annotation_id for (annotation_id,) in lines["score"]},
        )

    @property
    def n(self) -> int:
        """All of it."""
        return len(self.runs) + len(self.late) + len(self.scores)

    def lost(self, seen: Seen, gone: Callable[[int], bool] = lambda _: False) -> list[str]:
        """What is not there; `gone` says which runs were taken out on purpose."""
        missing = [f"run {n}" for n in self.runs if n not in seen.spans and not gone(n)]
        missing += [
            f"late span of {n}"
            for n in self.late
            if n in seen.spans and seen.spans[n] != LATE_AT + 1
        ]
        missing += [
            f"score {i}" for i in self.scores - seen.scores if not gone(int(i.split("-")[1]))
        ]
        return missing


@dataclass(frozen=True, slots=True)
class Seen:
    """What one snapshot shows: closed run -> spans, ids of annotations."""

    spans: Mapping[int, int]
    scores: frozenset[str]


def look(cursor: Any) -> tuple[Seen, list[str]]:
    """What a snapshot shows, and how it contradicts itself.

    Args:
        cursor: On the public views of one snapshot.
    """
    found = [what for what, sql in VIOLATIONS.items() if cursor.execute(sql).fetchall()]
    runs = cursor.execute(
        "select trace_ids[1], n_spans from trajectories where status = 'completed'"
    ).fetchall()
    scores = cursor.execute("select annotation_id from annotations").fetchall()
    spans = {int(trace, 16): n for trace, n in runs}
    return Seen(spans, frozenset(row[0] for row in scores)), found


# --- processes -----------------------------------------------------------------------------------


def write(store: Path, journal: Journal, first: str, rate: str) -> None:
    """Record runs, children first, at `rate` per second (0: as fast as it goes), for ever."""
    chance = random.Random(int(first))
    writer = wal.WalWriter(store)
    begin, per_s = time.monotonic(), float(rate)
    for done, number in enumerate(count(int(first))):
        *children, top = run(number)
        before = time.perf_counter()
        writer.append(wal.encode([started(top)]))
        for child in children:
            writer.append(wal.encode([child]))
        writer.append(wal.encode([top, close(number)]))
        took_us = (time.perf_counter() - before) * 1e6
        journal.note("run", number, round(took_us))
        earlier = chance.randint(max(int(first), number - 500), number)
        if chance.random() < RESENT:
            writer.append(wal.encode(run(earlier)))
        if chance.random() < LATE:
            writer.append(wal.encode([tool(earlier, LATE_AT)]))
            journal.note("late", earlier)
        if chance.random() < ANNOTATED:
            said = score(earlier, number)
            writer.append(wal.encode([said]))
            journal.note("score", said.annotation_id)
        if per_s:
            time.sleep(max(0.0, begin + (done + 1) / per_s - time.monotonic()))


def score(of: int, at: int) -> Annotation:
    """What somebody says of a run, while run `at` is being recorded."""
    return Annotation(
        annotation_id=f"score-{of}-{at}",
        target="trajectory",
        trajectory_id=None,
        trace_id=trace_id(of),
        span_id=None,
        tool_call_id=None,
        name="relevance",
        kind="score",
        value_num=at / 7,
        value_text=None,
        value_json=None,
        source="load",
        annotator=None,
        created=datetime.fromtimestamp(1_795_000_000 + at, UTC),
    )


def seal(store: Path, journal: Journal, pause_s: str = "0") -> None:
    """Seal, for ever."""
    repeat(journal, float(pause_s), lambda: journal.note("sealed", sealing.seal(store).snapshot))


def repeat(journal: Journal, pause_s: float, act: Callable[[], object]) -> None:
    """Act for ever; `begin` and `end` tell whether the process died acting."""
    while True:
        journal.note("begin")
        try:
            act()
        except Exception as error:  # what goes wrong is what this is for: it is told, not raised
            journal.note("failed", repr(error))
        journal.note("end")
        time.sleep(pause_s)


ROLES: Final[Mapping[str, Callable[..., None]]] = {"write": write, "seal": seal}


def begin(role: str, store: Path, journal: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a process of this module, or of another one that calls `main`."""
    module, _, name = role.rpartition(":")
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            module or __name__,
            name,
            str(store),
            str(journal),
            *map(str, arguments),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def wait_for(journals: Iterable[Path]) -> None:
    """Until all processes of these journals have begun to work."""
    waiting = list(journals)
    deadline = time.monotonic() + 60
    while waiting and time.monotonic() < deadline:
        waiting = [path for path in waiting if not path.stat().st_size]
        time.sleep(0.01)


def main(roles: Mapping[str, Callable[..., None]]) -> None:
    """Be one of the processes."""
    role, store, journal, *arguments = sys.argv[1:]
    with suppress(KeyboardInterrupt):
        roles[role](Path(store), Journal(Path(journal)), *arguments)


if __name__ == "__main__":
    main(ROLES)
