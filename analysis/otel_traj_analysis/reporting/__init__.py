"""What the runs of a store teach, as one HTML page that needs nothing else.

    Path("report.html").write_text(analysis.report(store), encoding="utf-8")

The page loads nothing and runs no script, which its Content-Security-Policy enforces; every text is
escaped and redacted. Each chapter shows the answer of a named analysis (`views`), how to ask it
again, and the runs and spans that it speaks of. All of it is of one snapshot of the store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from otel_traj.errors import MissingExtraError
from otel_traj.redaction import Choice, choose

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

__all__ = ["report"]


def report(
    store: TrajectoryStore,
    *,
    where: str | None = None,
    redact: Choice = None,
    now: datetime | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> str:
    """Write the report of a store.

    Args:
        store: Only read, its newest snapshot.
        where: SQL condition on `trajectories`; only those that it holds for are looked at.
        redact: As `otel_traj.redaction.choose` takes it; None replaces secrets.
        now: When the report is of; None is the present.
        progress: Called before each analysis with its name, how many are done, and how many there
            are.

    Returns:
        An HTML document.

    Raises:
        QueryError: `where` does not bind.
        MissingExtraError: The extra `report` is not installed.
    """
    try:
        from otel_traj_analysis.reporting import page, reading
    except ImportError as error:
        raise MissingExtraError(
            "The report", "Jinja2, graphlay, scipy and statsmodels", "report"
        ) from error

    told = reading.read(store, where, choose(redact), progress)
    return page.render(told, now or datetime.now(UTC))
