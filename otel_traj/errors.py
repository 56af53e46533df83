"""Every exception this package raises on purpose; one class per decision a caller can take.

    OtelTrajError
    ├── ConfigurationError          a call or setting is wrong: change it
    │   ├── UnknownNameError        nothing has that name (also a KeyError)
    │   └── MissingExtraError       an optional package is missing (also an ImportError)
    ├── InputError                  a file or record cannot be read
    ├── StoreError
    │   ├── StoreNotFoundError      there is no store at that path
    │   ├── StoreNotWritableError   the folder cannot be written
    │   ├── StoreVersionError       written by a newer otel-traj
    │   ├── StoreDamagedError       a file that the snapshot names is missing or unreadable
    │   └── TrajectoryNotFoundError no trajectory has this id
    └── QueryError                  the SQL is wrong
        └── QueryRefusedError       the SQL asks for something that a read-only surface does not do

Only set-up calls and reads raise. What runs inside an agent never does: see `otel_traj.capture`.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import Final


class OtelTrajError(Exception):
    """Base of all errors raised on purpose."""


class ConfigurationError(OtelTrajError):
    """A call, option or environment variable is wrong; the message says what would be right."""


class UnknownNameError(ConfigurationError, KeyError):
    """A name that nothing answers to; the message lists what there is."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Compose the message from what was asked for and what exists.

        Args:
            kind: What was looked for, as a noun: "analysis", "sink".
            name: What the caller wrote.
            known: Every name that would have worked.
        """
        choices = sorted(known)
        listed = ", ".join(repr(choice) for choice in choices) or "none"
        near = difflib.get_close_matches(name, choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"No {kind} named {name!r}. There is: {listed}.{hint}")

    def __str__(self) -> str:
        # KeyError would print the repr of the message.
        return str(self.args[0])


class MissingExtraError(ConfigurationError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs {package}. Install it with: pip install 'otel-traj[{extra}]'"
        )


class InputError(OtelTrajError):
    """A file or record cannot be read as what it claims to be."""


class StoreError(OtelTrajError):
    """Something is wrong with a store as a whole."""


class StoreNotFoundError(StoreError):
    """There is no store at that path."""


class StoreNotWritableError(StoreError):
    """The store's folder cannot be created or written."""


class StoreVersionError(StoreError):
    """The store was written by a newer version than this one can read or write."""


class StoreDamagedError(StoreError):
    """A file that the current snapshot names is missing or unreadable."""


class TrajectoryNotFoundError(StoreError):
    """No trajectory has this id; the message lists the nearest ones."""


class QueryError(OtelTrajError):
    """The SQL does not parse, bind or run; the message is the engine's, without a traceback."""


class QueryRefusedError(QueryError):
    """The SQL asks for more than one `select` over the public views may do."""


def advice_on(error: BaseException) -> str:
    """What helps against an error of the system, as the end of a message; "" where nobody knows."""
    number = getattr(error, "errno", None)
    return f". {_ADVICE[number]}" if number in _ADVICE else ""


_ADVICE: Final = {
    errno.ENOSPC: "Make room on the disk of the store; nothing that it held is lost",
    errno.EDQUOT: "Make room on the disk of the store; nothing that it held is lost",
    errno.EROFS: "The disk of the store is mounted read-only: mount it to be written",
    errno.EMFILE: "Too many files are open: close some, or raise `ulimit -n`",
    errno.ENFILE: "Too many files are open on this machine: close some",
    errno.EIO: "The disk of the store is failing: copy the store to another one, then verify it",
}
