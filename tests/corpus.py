"""Real runs: five that are shipped with the tests, all of them where the corpus is at hand.

Third-party data is not part of the repository: OTEL_TRAJ_DATA names its folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from otel_traj import otlp
from otel_traj.model import LogRecord, Record, SpanRecord

SHIPPED = Path(__file__).parent / "data" / "corpus"
WHOLE = Path(os.environ.get("OTEL_TRAJ_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))
THIRD_PARTY = Path(os.environ.get("OTEL_TRAJ_DATA", Path(__file__).parents[2] / "shared" / "data"))


def third_party(name: str) -> Path:
    """A file or folder of third-party data; the test is skipped where there is none."""
    path = THIRD_PARTY / name
    if not path.exists():
        pytest.skip(f"no {name} in {THIRD_PARTY}; set OTEL_TRAJ_DATA")
    return path


def runs(root: Path) -> list[Path]:
    """The run folders below a corpus, by name; none where there is no corpus."""
    return sorted(path.parent for path in root.glob("*/spans.jsonl"))


@cache
def records(run: Path) -> tuple[tuple[SpanRecord, ...], tuple[LogRecord, ...]]:
    """Spans and logs of a run, as they came."""
    found = [
        record
        for name in ("spans.jsonl", "logs.jsonl")
        if (run / name).exists()
        for line in (run / name).read_text(encoding="utf-8").splitlines()
        for record in otlp.records_from_json(json.loads(line))
    ]
    spans = tuple(record for record in found if isinstance(record, SpanRecord))
    return spans, tuple(record for record in found if isinstance(record, LogRecord))


def together(runs: Iterable[Path]) -> list[Record]:
    """All records of several runs."""
    return [record for run in runs for part in records(run) for record in part]


def truth(run: Path) -> dict[str, Any]:
    """What really happened."""
    content: dict[str, Any] = json.loads((run / "expected.json").read_text(encoding="utf-8"))
    return content
