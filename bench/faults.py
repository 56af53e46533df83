"""Every process that changes a store killed at random instants: nothing lost, nothing half-visible.

    python bench/faults.py [--kills 60] [--seed 0] [--cuts 2000]

- kills: in each round four writers (children first, 30 % sent again, 30 % late spans, scores), a
  sealer and two more operations work on one store until SIGKILL ends them, one after another, in
  any order. Then everything that any of them was told to be durable must be there, no answer may
  contradict itself, and `verify` must find no error
- torn log: a log of all kinds of frames, cut at a random byte and followed by nothing, zeros,
  digits or noise, or with one bit flipped; what is read must be what was written

Exit status 1 if anything was lost, seen by half, or invented.
"""

from __future__ import annotations

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from otel_traj import semconv, wal  # noqa: E402 - the checkout's
from otel_traj.assembly import assemble  # noqa: E402
from otel_traj.store import TrajectoryStore, collection, locks, snapshot  # noqa: E402
from otel_traj.store.schema import COLUMNS, SCHEMA_ID  # noqa: E402
from otel_traj.store.snapshot import Snapshot  # noqa: E402
from tests.store import load  # noqa: E402
from tests.store.load import Acknowledged, Journal, look, repeat  # noqa: E402
from tests.store.runs import run as records_of  # noqa: E402

WRITERS: Final = 4
ROUNDS_PER_STORE: Final = 6
"""Then a new one, so that checking does not take longer than working."""

IMPORTED: Final = 100 * load.RUNS_PER_WRITER
"""The first run that is imported; only those are ever deleted, as no writer sends them again."""

PASSING: Final = "passing"
"""Agent of the imported runs that retention may take."""

READ_S: Final = 10.0
"""Longer than any question here takes."""


# --- processes -----------------------------------------------------------------------------------


def import_runs(store: Path, journal: Journal, first: str) -> None:
    """Append runs without the log, three at a time, for ever."""
    opened = TrajectoryStore(store)
    numbers = itertools.count(int(first))

    def once() -> None:
        part = [next(numbers) for _ in range(3)]
        opened.append(
            record
            for number in part
            for record in records_of(
                number, **({semconv.AGENT_NAME: PASSING} if is_passing(number) else {})
            )
        )
        for number in part:
            journal.note("run", number)

    repeat(journal, 0, once)


def annotate(store: Path, journal: Journal, seed: str) -> None:
    """Annotate runs that are there, for ever."""
    opened, chance = TrajectoryStore(store), random.Random(int(seed))

    def once() -> None:
        found = opened.sql("select trajectory_id, trace_ids[1] from trajectories").fetchall()
        if found:
            trajectory_id, trace = chance.choice(found)
            said = opened.annotate(trajectory_id, "relevance", chance.random())
            journal.note("annotated", said, int(trace, 16))

    repeat(journal, 0, once)


def reassemble(store: Path, journal: Journal) -> None:
    """Derive everything again, for ever."""
    opened = TrajectoryStore(store)
    repeat(journal, 0, lambda: journal.note("done", opened.reassemble()))


def compact(store: Path, journal: Journal) -> None:
    """Merge all files, and remove what has been replaced for a while, for ever."""
    opened = TrajectoryStore(store)

    def once() -> None:
        journal.note("done", opened.compact(full=True))
        collection.collect(store, grace_s=READ_S)

    repeat(journal, 0, once)


def migrate(store: Path, journal: Journal) -> None:
    """Have files of an older version, and rewrite them, for ever."""
    opened = TrajectoryStore(store)

    def once() -> None:
        with locks.held(store, "upkeep", 60), locks.held(store, "commit", 60):
            snapshot.commit(store, aged(snapshot.newest(store)))
        journal.note("done", opened.migrate())

    repeat(journal, 0, once)


def aged(current: Snapshot) -> Snapshot:
    """The same files, said to be of a version that had another number and the same columns."""
    files = {
        table: tuple(replace(file, schema=SCHEMA_ID - 1) for file in own)
        for table, own in current.files.items()
    }
    older = current.changed(current.files, files, "migrate")
    return replace(older, schemas={SCHEMA_ID - 1: COLUMNS})


def retain(store: Path, journal: Journal) -> None:
    """Keep three of the runs that may go, for ever."""
    opened = TrajectoryStore(store)
    repeat(journal, 0, lambda: journal.note("done", opened.retain(agent=PASSING, keep=3)))


def delete(store: Path, journal: Journal, journals: str) -> None:
    """Erase imported runs, one at a time, for ever."""
    opened = TrajectoryStore(store)

    def once() -> None:
        for number in imported(Path(journals), "going"):
            journal.note("going", number)
            opened.delete([trajectory_id(number)])
            journal.note("gone", number)
            return

    repeat(journal, 0.05, once)


def redact(store: Path, journal: Journal, journals: str) -> None:
    """Take the task out of imported runs, one at a time, for ever."""
    opened = TrajectoryStore(store)

    def once() -> None:
        for number in imported(Path(journals), "hiding"):
            journal.note("hiding", number)
            opened.redact(task_pattern(number))
            journal.note("hidden", number)
            return

    repeat(journal, 0.05, once)


def publish(store: Path, journal: Journal) -> None:
    """Bring the Delta tables up to date, for ever."""
    opened = TrajectoryStore(store)
    repeat(journal, 0, lambda: journal.note("done", opened.publish()))


ROLES: Final[Mapping[str, Callable[..., None]]] = {
    "annotate": annotate,
    "compact": compact,
    "delete": delete,
    "import": import_runs,
    "migrate": migrate,
    "publish": publish,
    "reassemble": reassemble,
    "redact": redact,
    "retain": retain,
}


def imported(journals: Path, done: str) -> list[int]:
    """Runs that an import has stored for good, and with which nobody has been `done` yet."""
    lines = load.lines_of(sorted(journals.iterdir()))
    known = {int(number) for number, *_ in lines["run"]}
    gone = {int(number) for kind in (done, "going") for (number,) in lines[kind]}
    return sorted(n for n in known - gone if n >= IMPORTED and not is_passing(n))


def task_pattern(number: int) -> str:
    """What `redact` looks for."""
    return rf"order-{number}\b"


def is_passing(number: int) -> bool:
    """Whether retention may take a run."""
    return number >= IMPORTED and number % 2 == 0


def trajectory_id(number: int) -> str:
    """The id that run `number` gets."""
    [assembly] = assemble(records_of(number))
    return assembly.trajectory.trajectory_id


# --- kills ---------------------------------------------------------------------------------------


class Campaign:
    """Stores that are worked on and killed, and what came of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Begin; `folder` is for stores and journals."""
        self._folder = folder
        self._chance = random.Random(seed)
        self._rounds = itertools.count()
        self.killed: Counter[str] = Counter()
        self.acting: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.told: list[str] = []

    def run(self, n_kills: int) -> None:
        """Kill at least so many processes."""
        for number in itertools.count():
            store = self._folder / f"store-{number}"
            TrajectoryStore.create(store)
            journals = self._folder / f"journals-{number}"
            journals.mkdir()
            n_acknowledged = 0
            for _ in range(ROUNDS_PER_STORE):
                self._round(store, journals)
                n_acknowledged = self._check(store, sorted(journals.iterdir()))
                if self.n_kills >= n_kills:
                    break
            self.counts["acknowledged"] += n_acknowledged
            if self.n_kills >= n_kills:
                return

    @property
    def n_kills(self) -> int:
        """So far."""
        return sum(self.killed.values())

    def _round(self, store: Path, journals: Path) -> None:
        turn = next(self._rounds)
        first = (turn % ROUNDS_PER_STORE) * WRITERS * load.RUNS_PER_WRITER
        jobs: dict[str, tuple[object, ...]] = {
            f"write-{k}": (first + k * load.RUNS_PER_WRITER, 100) for k in range(WRITERS)
        }
        jobs["seal-0"] = ()
        for role in ("import", *self._chance.sample(sorted(ROLES.keys() - {"import"}), 2)):
            jobs[f"bench.faults:{role}-0"] = {
                "import": (IMPORTED + turn * 10_000,),
                "annotate": (turn,),
                "delete": (journals,),
                "redact": (journals,),
            }.get(role, ())
        processes: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        for name, arguments in jobs.items():
            role = name.rpartition("-")[0]
            journal = journals / f"{turn:03d}-{name.rpartition(':')[2]}"
            journal.touch()
            processes[name] = (load.begin(role, store, journal, *arguments), journal)
        load.wait_for(journal for _, journal in processes.values())
        time.sleep(self._chance.uniform(0.0, 0.8))
        for name in self._chance.sample(sorted(processes), len(processes)):
            process, journal = processes[name]
            time.sleep(self._chance.uniform(0.0, 0.1))
            self._kill(name.rpartition(":")[2].rpartition("-")[0], process, journal)

    def _kill(self, role: str, process: subprocess.Popen[bytes], journal: Path) -> None:
        if process.poll() is not None:
            self.told.append(f"{role} ended by itself")
        process.kill()
        process.wait()
        self.killed[role] += 1
        lines = journal.read_text().splitlines()
        self.acting[role] += role == "write" or (bool(lines) and lines[-1] != "end")

    def _check(self, store: Path, journals: list[Path]) -> int:
        """Look at a store after a round; how much it has acknowledged in all."""
        opened = TrajectoryStore(store)
        seen, wrong = look(opened.connection())
        lines = load.lines_of(journals)
        acknowledged = Acknowledged.of(journals)
        acknowledged.scores |= {said for said, _ in lines["annotated"]}
        going = {int(number) for (number,) in lines["going"]}
        lost = acknowledged.lost(seen, lambda number: number in going or is_passing(number))
        back = [f"back: {n}" for (n,) in lines["gone"] if int(n) in seen.spans]
        back += [f"copy left: {where}" for where in self._copies(opened, lines)]
        errors = [problem.what for problem in opened.verify() if problem.severity == "error"]
        self.counts["checks"] += 1
        self.counts["lost"] += len(lost)
        self.counts["half-visible"] += len(wrong)
        self.counts["verify errors"] += len(errors)
        self.counts["erased and back"] += len(back)
        self.counts["failed"] += len(lines["failed"])
        self.told += [*lost, *wrong, *back, *errors, *(line[0] for line in lines["failed"])]
        return acknowledged.n

    def _copies(self, opened: TrajectoryStore, lines: Mapping[str, list[list[str]]]) -> list[str]:
        """Where what was erased or redacted last can still be found."""
        ids = [trajectory_id(int(number)) for (number,) in lines["gone"][-1:]]
        patterns = [task_pattern(int(number)) for (number,) in lines["hidden"][-1:]]
        if not ids and not patterns:
            return []
        return [str(finding) for finding in opened.search(*ids, patterns=patterns).findings]


def kills(n_kills: int, seed: int) -> bool:
    """Print a campaign; whether nothing was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), seed)
        campaign.run(n_kills)
    counts = campaign.counts
    print(f"kills         n={campaign.n_kills}, of them while acting:")
    for role, n in sorted(campaign.killed.items()):
        print(f"  {role:12}{n:5}{campaign.acting[role]:6}")
    print(f"acknowledged  n={counts['acknowledged']} runs, late spans and scores")
    for what in ("lost", "half-visible", "verify errors", "erased and back", "failed"):
        print(f"{what:16}{counts[what]} (goal 0)")
    for line in campaign.told[:20]:
        print(f"  {line}")
    return not campaign.told


# --- the torn log --------------------------------------------------------------------------------

TAILS: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    lambda _: b"",
    lambda chance: bytes(chance.randrange(64)),
    lambda chance: b"".join(b"%d" % chance.randrange(10) for _ in range(chance.randrange(64))),
    lambda chance: chance.randbytes(chance.randrange(64)),
)


def torn(n: int, seed: int) -> bool:
    """Print what is read of `n` logs that were cut, and `n` in which a bit was flipped."""
    chance = random.Random(seed)
    bodies: list[tuple[wal.FrameKind, bytes]] = [
        ("json", wal.encode(records_of(number))) for number in range(3)
    ]
    bodies[1:1] = [("otlp-traces", chance.randbytes(90)), ("otlp-logs", b"")]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        wal.initialise(store)
        writer = wal.WalWriter(store)
        for kind, body in bodies:
            writer.append(body, kind)
        writer.close()
        [segment] = wal.segments(store)
        content = segment.read_bytes()
        whole = [frame for frame in wal.frames(segment) if isinstance(frame, wal.Frame)]
        assert [(frame.kind, frame.body) for frame in whole] == bodies
        cut = sum(is_cut_well(segment, content, whole, chance) for _ in range(n))
        flipped = sum(is_flipped_well(segment, content, whole, chance) for _ in range(n))
    print(f"cut logs      n={n}, read wrongly {n - cut} (goal 0)")
    print(f"flipped bits  n={n}, read wrongly {n - flipped} (goal 0)")
    return cut == flipped == n


def is_cut_well(
    segment: Path, content: bytes, whole: list[wal.Frame], chance: random.Random
) -> bool:
    """Whether of a log that ends anywhere the whole frames are read, and nothing else."""
    at = chance.randrange(len(content))
    segment.write_bytes(content[:at] + chance.choice(TAILS)(chance))
    return list(wal.frames(segment)) == [frame for frame in whole if frame.end <= at]


def is_flipped_well(
    segment: Path, content: bytes, whole: list[wal.Frame], chance: random.Random
) -> bool:
    """Whether a wrong bit costs the frame that it is in and no other, and is told of."""
    at = chance.randrange(len(content))
    broken = bytearray(content)
    broken[at] ^= 1 << chance.randrange(8)
    segment.write_bytes(broken)
    read = list(wal.frames(segment))
    begins = [0, *(frame.end for frame in whole)]
    hit = next(k for k, frame in enumerate(whole) if at < frame.end)
    expected: list[wal.Frame | wal.Damage] = [*whole]
    expected[hit] = wal.Damage(begins[hit], whole[hit].end)
    # Damage of the last frame is a torn end: who reads the log of a dead writer keeps it aside.
    return read == (expected[:-1] if hit == len(whole) - 1 else expected)


def main() -> int:
    """Print both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cuts", type=int, default=2000)
    given = parser.parse_args()
    is_read_well = torn(given.cuts, given.seed)
    return 0 if kills(given.kills, given.seed) and is_read_well else 1


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ROLES:
        load.main(ROLES)
    else:
        sys.exit(main())
