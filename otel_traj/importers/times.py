"""Times as text, without losing what Python's own `datetime` does not hold."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(r"(?P<to_second>[^.]+)(?:\.(?P<fraction>\d+))?(?P<zone>Z|[+-][\d:]+)?")


def iso_ns(text: str) -> int:
    """ISO 8601 as Unix nanoseconds, to the last digit; UTC where no zone is told.

    Raises:
        ValueError: It is no such time.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    moment = datetime.fromisoformat(found["to_second"] + (found["zone"] or ""))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * 10**9 + int((found["fraction"] or "0")[:9].ljust(9, "0"))
