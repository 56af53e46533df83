"""Nothing is acknowledged, published or removed before what it rests on outlives a power cut.

A kill leaves the page cache, a power cut does not. So the order of system calls is looked at: what
a file holds counts once it was synced after its last write, a name once its folder was synced after
it came.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

WORK = """
import os, sys
from pathlib import Path
from otel_traj import wal
from otel_traj.store import TrajectoryStore, collection
from tests.store.runs import close, run, tool

store = TrajectoryStore.create(Path(sys.argv[1]))
said = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)
def acknowledge(): os.write(said, b"!")

writer = wal.WalWriter(store.path)
for number in range(1, 4):
    writer.append(wal.encode([*run(number), close(number)]))
    acknowledge()
writer.close()
store.seal()
store.append(run(200_000))
acknowledge()
store.append([tool(1, 4)])
acknowledge()
store.annotate(next(store.trajectories()).trajectory_id, "outcome", "success")
acknowledge()
store.compact(full=True)
store.delete([next(store.trajectories()).trajectory_id])
collection.collect(store.path, grace_s=0)
"""

CALLS = "openat,write,pwrite64,fsync,fdatasync,/rename,/link,/unlink,mkdir"
_CALL = re.compile(r"^(?:\d+ +)?(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>\S+)")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"|<(/[^>]*)>')


def calls(trace: Path) -> Iterator[tuple[str, list[str], str]]:
    """Name, paths and arguments of each call that succeeded, in order."""
    for line in trace.read_text().splitlines():
        match = _CALL.match(line)
        if match and not match["result"].startswith("-"):
            paths = [a or b for a, b in _TEXT.findall(match["arguments"])]
            yield match["name"], paths, match["arguments"]


@dataclass
class Disk:
    """What of a store's folder is on disk for sure."""

    store: Path
    unsynced: set[str] = field(default_factory=set)
    """Files written since their last sync."""
    nameless: set[str] = field(default_factory=set)
    """Paths that came since their folder was last synced."""

    def follow(self, name: str, paths: list[str], arguments: str) -> None:
        paths = [path for path in paths if path.startswith(str(self.store.parent))]
        if not paths:
            return
        first, last = paths[0], paths[-1]
        if name in ("write", "pwrite64"):
            self.unsynced.add(first)
        elif name in ("fsync", "fdatasync"):
            self.unsynced.discard(first)
            self.nameless = {path for path in self.nameless if os.path.dirname(path) != first}
        elif name == "mkdir" or (name == "openat" and "O_CREAT" in arguments):
            self.nameless.add(last)
        elif name.startswith(("rename", "link")):
            self._give_name(name, first, last)
        elif name.startswith("unlink"):
            if "/_wal/" in last and not os.path.basename(last).startswith("."):
                assert not self._unsafe(self.store / "_snap", names_only=True), last
            self.unsynced.discard(last)
            self.nameless.discard(last)

    def _give_name(self, name: str, old: str, new: str) -> None:
        if "/_snap/" in new:
            assert old not in self.unsynced, "a snapshot was published before its text was synced"
            self.named_is_safe(Path(new))
        if old in self.unsynced and name.startswith("rename"):
            self.unsynced.discard(old)
            self.unsynced.add(new)
        self.nameless.discard(old)
        self.nameless.add(new)

    def named_is_safe(self, snapshot: Path) -> None:
        """All that a snapshot names is on disk when it is published."""
        kept = Path(f"{self.store}-snapshots") / snapshot.name
        for files in json.loads(kept.read_bytes())["files"].values():
            for file in files:
                assert not self._unsafe(self.store / file["p"]), file["p"]

    def acknowledged_is_safe(self) -> None:
        """What was acknowledged is in the log or in the newest snapshot."""
        for folder in ("_wal", "_snap"):
            for path in {*self.unsynced, *self.nameless}:
                inside = path.startswith(f"{self.store}/{folder}/")
                assert not (inside and not os.path.basename(path).startswith(".")), path
        assert not self._unsafe(self.store / "format.json")

    def _unsafe(self, path: Path, *, names_only: bool = False) -> set[str]:
        """What a power cut might take of a file: its data, its name, a folder above it."""
        names = {str(path), *(str(above) for above in path.parents)}
        return (self.nameless & names) | (set() if names_only else self.unsynced & {str(path)})


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_nothing_rests_on_what_a_power_cut_would_take(tmp_path: Path) -> None:
    store, said, trace = tmp_path / "store", tmp_path / "said", tmp_path / "trace"
    keep = (
        "import os, shutil, pathlib\n"
        "link = os.link\n"
        "def kept(old, new):\n"
        "    link(old, new)\n"
        "    if '_snap' in str(new):\n"
        f"        pathlib.Path('{store}-snapshots').mkdir(exist_ok=True)\n"
        f"        shutil.copy(new, '{store}-snapshots')\n"
        "os.link = kept\n"
    )
    program = tmp_path / "program.py"
    program.write_text(keep + WORK)
    done = subprocess.run(
        [
            *(
                "strace",
                "-f",
                "--seccomp-bpf",
                "-y",
                "-s",
                "4096",
                "-e",
                f"trace={CALLS}",
                "-o",
                trace,
            ),
            *(sys.executable, program, store, said),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "PTRACE" in done.stderr:
        pytest.skip(f"no tracing here: {done.stderr}")
    assert done.returncode == 0, done.stderr

    disk, n_acknowledged = Disk(store), 0
    for name, paths, arguments in calls(trace):
        if paths[:1] == [str(said)] and name == "write":
            disk.acknowledged_is_safe()
            n_acknowledged += 1
        disk.follow(name, paths, arguments)

    assert n_acknowledged == 6
