"""One flipped bit in a file of a store: does `verify` notice it, and does a query?

    python bench/damage.py [--flips 300] [--seed 1]

Each flip is of one random bit of one random live file, and is undone after. Exit status 1 if
`verify` overlooked one, or named another file.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from otel_traj.store import TrajectoryStore, snapshot  # noqa: E402 - the checkout's
from otel_traj.store.check import files  # noqa: E402
from tests.store.runs import run  # noqa: E402


def main(flips: int, seed: int) -> int:
    """Flip bits, print what was noticed; 1 when `verify` missed any."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore.create(Path(folder))
        store.append([span for number in range(50) for span in run(number)])
        current = snapshot.newest(store.path)
        live = sorted(snapshot.paths(current.files))
        whole = {path: rows_of(store.path / path) for path in live}
        by_query: Counter[str] = Counter()
        n_named = 0
        for _ in range(flips):
            path = chance.choice(live)
            content = (store.path / path).read_bytes()
            damaged = bytearray(content)
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            (store.path / path).write_bytes(damaged)
            found = files.examine(store.path, current, lambda *_: None)
            n_named += found.paths == {path}
            by_query[said(store.path / path, whole[path])] += 1
            (store.path / path).write_bytes(content)
    print(f"flips    n={flips}, in {len(live)} files")
    print(f"verify   names {n_named} (goal {flips})")
    print(
        f"a query  fails for {by_query['error']}, answers as before for {by_query['same']},"
        f" answers otherwise for {by_query['other']}"
    )
    return int(n_named != flips)


def rows_of(path: Path) -> Any:
    """All rows of a file, read as any engine would."""
    with duckdb.connect() as engine:
        return engine.execute("from read_parquet($1)", [str(path)]).fetchall()


def said(path: Path, whole: Any) -> str:
    """What a query makes of a damaged file: an error, the same rows, or others."""
    try:
        return "same" if repr(rows_of(path)) == repr(whole) else "other"
    except (duckdb.Error, UnicodeDecodeError):
        return "error"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(main(given.flips, given.seed))
