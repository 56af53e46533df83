"""What stands between our bugs and the user's program: nothing of ours raises while it records.

`guard` is the one place that swallows; a fault is logged once per cause and counted. Bugs of ours
would pass unseen in our own tests, so these set `RERAISE`; nobody else does, so that a bug of ours
never fails a *user's* test suite.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections import Counter
from types import TracebackType
from typing import Final

logger: Final = logging.getLogger("otel_traj")

RERAISE = False
"""Set by our own tests only."""

_MAX_CAUSES: Final = 1000
_OTHERS: Final = ("", "", "")
_causes: Counter[tuple[str, str, str]] = Counter()


class guard(contextlib.ContextDecorator):
    """Run a block or function that must not raise into the user's program.

    Catches `Exception` only: what interrupts a program goes through. A guarded function that fails
    returns None.
    """

    def __init__(self, doing: str) -> None:
        """Name what is guarded, as the end of "Failed to ..."."""
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        report(self._doing, error)
        return not RERAISE


def report(doing: str, error: BaseException) -> None:
    """Count a fault; log the first of each cause, which is what failed, how, and at which line."""
    cause = (doing, type(error).__name__, _place(error))
    if cause not in _causes and len(_causes) >= _MAX_CAUSES:
        cause = _OTHERS
    _causes[cause] += 1
    # When the interpreter ends, handlers and tracebacks can no longer import what they need.
    if _causes[cause] == 1 and not sys.is_finalizing():
        logger.warning(
            "Failed to %s; your program goes on, with less telemetry. Further failures of this "
            "kind are only counted (Recording.stats().faults)",
            doing,
            exc_info=error,
        )


def faults() -> int:
    """How many faults this process has seen."""
    return sum(_causes.values())


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
