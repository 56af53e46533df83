"""Two whole runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otel_traj.comparison.alignment import align, similarity
from otel_traj.comparison.divergence import Divergence, divergence
from otel_traj.comparison.rows import side_by_side
from otel_traj.comparison.steps import Comparer, StepDifference, keys_of
from otel_traj.model import Trajectory


class RunDifference(NamedTuple):
    """Two runs side by side.

    Attributes:
        rows: All steps of both, in order.
        divergence: Where they go apart; None where they never do.
        similarity: Of what the steps do: 0 nothing in common, 1 the same steps.
        is_cheapest: Whether no other way to lay the steps side by side is known to fit better.
    """

    rows: Sequence[StepDifference]
    divergence: Divergence | None
    similarity: float
    is_cheapest: bool


def compare(left: Trajectory, right: Trajectory) -> RunDifference:
    """Lay two runs side by side.

    Time grows linearly with their length (`alignment`).
    """
    found = align(keys_of(left.steps), keys_of(right.steps))
    comparer = Comparer(left.file_changes, right.file_changes)
    rows = [
        StepDifference(i, j)
        if i is None or j is None
        else StepDifference(i, j, comparer.aspects(left.steps[i], right.steps[j]))
        for i, j in side_by_side(found.pairs, len(left.steps), len(right.steps))
    ]
    return RunDifference(
        rows,
        divergence(left, right, rows),
        similarity(found.cost, len(left.steps), len(right.steps)),
        found.is_cheapest,
    )
