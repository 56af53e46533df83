"""Pairs, and between them what stands alone: the left side first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def side_by_side(
    pairs: Iterable[tuple[int, int]], n_left: int, n_right: int
) -> Iterator[tuple[int | None, int | None]]:
    """All positions of both sides in order, those without a partner with None.

    Args:
        pairs: Positions that belong together, rising on both sides.
        n_left: How many there are on the left.
        n_right: How many there are on the right.
    """
    i = j = 0
    for pair in (*pairs, (n_left, n_right)):
        yield from ((alone, None) for alone in range(i, pair[0]))
        yield from ((None, alone) for alone in range(j, pair[1]))
        if pair != (n_left, n_right):
            yield pair
        i, j = pair[0] + 1, pair[1] + 1
