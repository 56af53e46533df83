"""What prefixspan finds in sequences, as JSON: run by the interpreter of an environment with it.

    python bench/prefixspan_patterns.py SEQUENCES.json

The file holds `sequences`, lists of texts, and `min_runs`. Told are the patterns of two and three
items that so many sequences hold, with any gaps, and of one and two items those that are closed: no
longer pattern is in as many sequences.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

# Only the environment that the bench makes has it.
prefixspan: Any = importlib.import_module("prefixspan")


def mined(sequences: list[list[str]], min_runs: int) -> dict[str, Any]:
    """Patterns, each with the number of sequences that hold it; and the seconds that took."""
    began = time.perf_counter()
    names = sorted({item for sequence in sequences for item in sequence})
    number = {name: n for n, name in enumerate(names)}
    miner = prefixspan.PrefixSpan([[number[item] for item in s] for s in sequences])

    def found(shortest: int, longest: int, *, closed: bool) -> list[Any]:
        miner.minlen, miner.maxlen = shortest, longest
        patterns = miner.frequent(min_runs, closed=closed)
        return [[[names[item] for item in pattern], n] for n, pattern in patterns]

    return {
        "frequent": found(2, 3, closed=False),
        "closed": found(1, 2, closed=True),
        "seconds": time.perf_counter() - began,
    }


if __name__ == "__main__":
    print(json.dumps(mined(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
