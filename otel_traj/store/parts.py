"""Traces in parts that fit in memory, where traces that belong together are not parted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final

PART_SPANS: Final = 20_000
"""Spans derived at once; bounds memory. A larger run is still one part."""


class Groups:
    """Traces joined so far (union-find); those that nobody named at first are ignored."""

    def __init__(self, trace_ids: Iterable[str]) -> None:
        """Begin with each trace by itself."""
        self._root = {trace_id: trace_id for trace_id in trace_ids}

    def _find(self, trace_id: str) -> str:
        while self._root[trace_id] != trace_id:
            self._root[trace_id] = trace_id = self._root[self._root[trace_id]]
        return trace_id

    def join(self, trace_ids: Iterable[str]) -> None:
        """Let traces be of one group."""
        for left, right in pairwise(t for t in trace_ids if t in self._root):
            self._root[self._find(right)] = self._find(left)

    def all(self) -> list[set[str]]:
        """By the first of each in the order given."""
        found: dict[str, set[str]] = defaultdict(set)
        for trace_id in self._root:
            found[self._find(trace_id)].add(trace_id)
        return list(found.values())


def in_parts(groups: Iterable[set[str]], sizes: Mapping[str, int]) -> Iterator[set[str]]:
    """Groups of traces put together until they have `PART_SPANS` spans.

    Args:
        groups: Disjoint sets of traces.
        sizes: Trace -> how many spans it has.
    """
    part: set[str] = set()
    n_spans = 0
    for group in groups:
        part |= group
        n_spans += sum(sizes[trace_id] for trace_id in group)
        if n_spans >= PART_SPANS:
            yield part
            part, n_spans = set(), 0
    if part:
        yield part
