"""Two sequences laid side by side at the least cost, in bounded time.

Items are equal (cost 0), of one family (1: the same tool with other arguments) or strangers, which
never stand side by side; an item that stands alone costs 2. That is the scoring of Needleman and
Wunsch with 2 for a match, 1 for the same family and -1 for a gap, turned round: every item brings 1
with it, so `score = len(left) + len(right) - cost`.

The cheapest alignment is found along diagonals, furthest first (Ukkonen 1985, Inf. Control
64:100-118): time grows with the square of the *cost*, not of the lengths, and two runs that are
alike cost little. Where they are not, it would take for ever, so there is a bound: what is not
done after `WORK` is pinned at sequences of items that both sides have exactly once, in their
longest common order, and laid out between the pins in legs. A leg goes as far as a fixed cost
leads, and the next one begins at the furthest place that it reached; so the time is linear in the
lengths, and the alignment may cost more than the cheapest, which `Alignment` tells.
`tests/comparison/test_alignment.py` compares with the quadratic algorithm.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

WORK: Final = 60_000
"""Places of the table and equal items that are looked at before there are pins and legs."""

ALONE: Final = 2
RELATED: Final = 1
"""Costs of an item without a partner, and of a pair of one family."""

_LEG: Final = range(8, 65)
"""Cost of a leg: as much as `WORK` allows for each item."""

_PIN: Final = 3
"""Items in a row of which a pin is made: of single ones, too many are once on both sides by chance.
"""


class Key(NamedTuple):
    """What an item is; those of one family can stand side by side."""

    family: str
    content: str


class Alignment(NamedTuple):
    """Who stands beside whom.

    Attributes:
        pairs: Positions left and right, rising on both sides.
        cost: Of all of it.
        is_cheapest: Whether it is known that no alignment costs less.
    """

    pairs: tuple[tuple[int, int], ...]
    cost: int
    is_cheapest: bool


def align(left: Sequence[Key], right: Sequence[Key], work: int = WORK) -> Alignment:
    """Lay two sequences side by side.

    The sides may be exchanged: the same items are paired then.

    Args:
        left: One side.
        right: The other one.
        work: How much is looked at for the cheapest alignment.
    """
    # Of several cheapest alignments one is found: which one must not depend on who is left.
    if (len(right), right) < (len(left), left):
        found = _aligned(right, left, work)
        return found._replace(pairs=tuple([(j, i) for i, j in found.pairs]))
    return _aligned(left, right, work)


def similarity(cost: int, n_left: int, n_right: int) -> float:
    """How alike two sequences are, from the cost of their alignment: 0 strangers, 1 the same."""
    most = ALONE * (n_left + n_right)
    return 1.0 - cost / most if most else 1.0


def _aligned(left: Sequence[Key], right: Sequence[Key], work: int) -> Alignment:
    table = _Table(left, right)
    whole = _Block(0, len(left), 0, len(right))
    pairs, is_cheapest = _cheapest(table, whole, work), True
    if pairs is None:
        leg = min(max(work // (len(left) + len(right)), _LEG.start), _LEG[-1])
        pairs, is_cheapest = _piecewise(table, whole, leg), False
    cost = ALONE * (len(left) + len(right) - 2 * len(pairs))
    cost += RELATED * sum(left[i] != right[j] for i, j in pairs)
    return Alignment(tuple(pairs), cost, is_cheapest)


class _Block(NamedTuple):
    """A part of both sides, each up to an end that is no more part of it."""

    left: int
    left_end: int
    right: int
    right_end: int


class _Table:
    """What is compared, as numbers: equal items have the same one, and so have families."""

    def __init__(self, left: Sequence[Key], right: Sequence[Key]) -> None:
        self.left, self.right = _numbered(left, right)
        self.left_families, self.right_families = _numbered(
            [key.family for key in left], [key.family for key in right]
        )


def _numbered(*sides: Sequence[Hashable]) -> list[list[int]]:
    numbers: dict[Hashable, int] = {}
    return [[numbers.setdefault(item, len(numbers)) for item in side] for side in sides]


def _cheapest(table: _Table, block: _Block, work: int) -> list[tuple[int, int]] | None:
    """The pairs of the cheapest alignment, in order; None where that takes more work."""
    fronts = _Fronts(table, block)
    while fronts.work <= work:
        if fronts.advance():
            return fronts.pairs(fronts.end[1])
    return None


# --- piece by piece ----------------------------------------------------------------------------


def _piecewise(table: _Table, whole: _Block, leg: int) -> list[tuple[int, int]]:
    """The pairs of an alignment between pins, in legs."""
    found: list[tuple[int, int]] = []
    left, right = whole.left, whole.right
    for i, j in _pins(table):
        found += [*_in_legs(table, _Block(left, i, right, j), leg), (i, j)]
        left, right = i + 1, j + 1
    return [*found, *_in_legs(table, whole._replace(left=left, right=right), leg)]


def _in_legs(table: _Table, block: _Block, leg: int) -> Iterator[tuple[int, int]]:
    """The pairs of a part: from the furthest place of one leg to that of the next."""
    while block.left < block.left_end and block.right < block.right_end:
        fronts = _Fronts(table, block)
        is_done = any(fronts.advance() for _ in range(leg))
        i, diagonal = fronts.end if is_done else fronts.furthest()
        yield from fronts.pairs(diagonal)
        block = block._replace(left=block.left + i, right=block.right + i - diagonal)


def _pins(table: _Table) -> list[tuple[int, int]]:
    """Where sequences begin that both sides have exactly once, in the longest common order."""
    left, right = _once(table.left), _once(table.right)
    return _longest_rising([(i, right[items]) for items, i in left.items() if items in right])


def _once(items: Sequence[int]) -> Mapping[tuple[int, ...], int]:
    """Sequences of `_PIN` items that occur once -> where, in order."""
    rows = list(zip(*(items[i:] for i in range(_PIN)), strict=False))
    counts = Counter(rows)
    return {row: i for i, row in enumerate(rows) if counts[row] == 1}


def _longest_rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of pairs that rise on the left, the most that rise on the right too."""
    ends: list[int] = []  # the smallest right at the end of a chain of each length
    chains: list[int] = []  # and the position of that pair
    before: list[int] = []
    for position, (_, right) in enumerate(pairs):
        length = bisect.bisect_left(ends, right)
        before.append(chains[length - 1] if length else -1)
        ends[length : length + 1] = [right]
        chains[length : length + 1] = [position]
    found = []
    position = chains[-1] if chains else -1
    while position >= 0:
        found.append(pairs[position])
        position = before[position]
    return found[::-1]


# --- along diagonals ---------------------------------------------------------------------------


class _Fronts:
    """How far each diagonal of a part is reached at each cost.

    A place (i, diagonal) has i items of the left behind it and i - diagonal of the right. At the
    same cost it is never worse to be further on a diagonal, nor to walk over equal items: what
    remains after a pair is taken away from both sides never costs more.
    """

    def __init__(self, table: _Table, block: _Block) -> None:
        left, right = slice(block.left, block.left_end), slice(block.right, block.right_end)
        self._left, self._right = table.left[left], table.right[right]
        self._left_families = table.left_families[left]
        self._right_families = table.right_families[right]
        self._begin = (block.left, block.right)
        self._fronts: list[dict[int, int]] = []
        self._entries: list[dict[int, tuple[int, int]]] = []
        self.end = (len(self._left), len(self._left) - len(self._right))
        self.work = 0

    def advance(self) -> bool:
        """Find what the next cost leads to; True where it is the end."""
        left, right, n, m = self._left, self._right, len(self._left), len(self._right)
        cost = len(self._fronts)
        front: dict[int, int] = {}
        entries: dict[int, tuple[int, int]] = {}
        related, alone = self._front(cost - RELATED), self._front(cost - ALONE)
        for diagonal in range(-min(cost // ALONE, m), min(cost // ALONE, n) + 1):
            entered, paid = (-1, 0) if cost else (0, 0)
            i = alone.get(diagonal - 1, n) + 1
            if i <= n:
                entered, paid = i, ALONE
            i = alone.get(diagonal + 1, -1)
            if entered < i <= m + diagonal:
                entered, paid = i, -ALONE
            # Of ways that lead equally far, one whose pair comes first: as a reader pairs them.
            i = related.get(diagonal, n)
            if entered <= i < n and i - diagonal < m and self._is_family(i, i - diagonal):
                entered, paid = i + 1, RELATED
            if entered < 0:
                continue
            entries[diagonal] = (entered, paid)
            i, j = entered, entered - diagonal
            while i < n and j < m and left[i] == right[j]:
                i, j = i + 1, j + 1
            front[diagonal] = i
            self.work += 1 + i - entered
        self._fronts.append(front)
        self._entries.append(entries)
        return front.get(self.end[1]) == n

    def _front(self, cost: int) -> Mapping[int, int]:
        return self._fronts[cost] if cost >= 0 else {}

    def _is_family(self, i: int, j: int) -> bool:
        return self._left_families[i] == self._right_families[j]

    def furthest(self) -> tuple[int, int]:
        """The place with the most items behind it, of the last cost that leads anywhere."""
        while not self._fronts[-1]:
            self._fronts.pop()
        front = self._fronts[-1]
        diagonal = max(front, key=lambda diagonal: 2 * front[diagonal] - diagonal)
        return front[diagonal], diagonal

    def pairs(self, diagonal: int) -> list[tuple[int, int]]:
        """The pairs on the way to the place of a diagonal of the last front, in order."""
        found: list[tuple[int, int]] = []
        cost = len(self._fronts) - 1
        while cost >= 0:
            entered, paid = self._entries[cost][diagonal]
            begin = entered - 1 if paid == RELATED else entered
            found += [
                (i, i - diagonal) for i in range(self._fronts[cost][diagonal] - 1, begin - 1, -1)
            ]
            diagonal -= {ALONE: 1, -ALONE: -1}.get(paid, 0)
            cost -= abs(paid) or 1
        return [(self._begin[0] + i, self._begin[1] + j) for i, j in reversed(found)]
