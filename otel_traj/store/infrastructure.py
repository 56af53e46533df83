"""Errors of the harness: classes of failed calls, and those that the store's user confirmed.

A harness that breaks a call fails the run whatever the agent does. Such runs say nothing of success
and failure, so they are told apart. The view `failed_calls` gives each failed call a *signature*:
what its error says without what differs from call to call. `error_classes` proposes the ones that
look like the harness's; the user confirms one once, which `rules.toml` keeps:

    [[infrastructure]]
    tool = "submit"
    signature = "submit() takes # positional arguments but # were given"

From then on the view `infrastructure` has it, and `attempts` leaves the runs in which it occurs out
as `error`.
"""

from __future__ import annotations

import json
import os
import shlex
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_traj.errors import ConfigurationError, UnknownNameError
from otel_traj.store import locks, rules, sealing, snapshot
from otel_traj.wal import sync_folder, ulid

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

_WAIT_S: Final = 10.0
_SHOWN: Final = 20
"""So many names a message lists."""


class ErrorClass(NamedTuple):
    """Failed calls of one tool that say the same; a row of the view `error_classes`."""

    tool_name: str
    signature: str
    n_calls: int
    n_runs: int
    n_tasks: int
    is_proposed: bool
    is_confirmed: bool

    @property
    def name(self) -> str:
        """How a user names it."""
        return _name(self.tool_name, self.signature)


def classes(store: TrajectoryStore) -> tuple[ErrorClass, ...]:
    """The classes of a store that say anything; the most frequent first."""
    rows = store.sql(
        f"select {', '.join(ErrorClass._fields)} from error_classes"  # noqa: S608 - names of ours
        " where signature is not null order by n_calls desc, tool_name, signature"
    ).fetchall()
    return tuple(ErrorClass(*row) for row in rows)


def confirmed(store: TrajectoryStore) -> tuple[ErrorClass, ...]:
    """The classes that `rules.toml` has, also those that no call shows any more."""
    shown = {(known.tool_name, known.signature): known for known in classes(store)}
    return tuple(
        shown.get((rule.tool, rule.signature))
        or ErrorClass(rule.tool, rule.signature, 0, 0, 0, is_proposed=False, is_confirmed=True)
        for rule in rules.load(store.path).infrastructure
    )


def chosen(known: Sequence[ErrorClass], text: str) -> ErrorClass:
    """The class of this name; a signature alone, or the beginning of a name, does if one has it.

    Raises:
        UnknownNameError: None has it.
        ConfigurationError: Several have.
    """
    for match in (
        [c for c in known if c.name == text],
        [c for c in known if c.signature == text],
        [c for c in known if c.name.startswith(text)],
    ):
        if len(match) == 1:
            return match[0]
        if match:
            names = "; ".join(c.name for c in match[:5])
            raise ConfigurationError(f"{text!r} is {len(match)} classes of errors: {names}")
    raise UnknownNameError("class of errors", text, [c.name for c in known[:_SHOWN]])


def command(tool: str, signature: str) -> str:
    """What to type to confirm a class."""
    return f"otel-traj annotate --infrastructure {shlex.quote(_name(tool, signature))}"


def _name(tool: str, signature: str) -> str:
    return f"{tool}: {signature}"


def confirm(store: Path, tool: str, signature: str) -> bool:
    """Keep in `rules.toml` that a class of errors is the harness's; the rest of the file stays.

    Returns:
        False if that was confirmed before.

    Raises:
        ConfigurationError: The file cannot be read, or not be added to; it is as it was.
        StoreError: Another process did not let the store go in time.
    """
    entry = {"tool": tool, "signature": signature}
    with locks.held(store, "commit", _WAIT_S):
        text, content = _read(store)
        if entry in content.get("infrastructure", []):
            return False
        expected = content | {"infrastructure": [*content.get("infrastructure", []), entry]}
        body = "".join(f"{key} = {_quoted(value)}\n" for key, value in entry.items())
        # An array of tables may stand behind anything, so the end is a good place.
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        _replace(store, f"{text}{gap}[[infrastructure]]\n{body}", expected)
        return True


def withdraw(store: Path, tool: str, signature: str) -> bool:
    """Take a confirmation out of `rules.toml`; everything else in it stays, comments too.

    Returns:
        False if there was none.

    Raises:
        ConfigurationError: The file cannot be read, or the entry not be told from what is around
            it; it is as it was.
        StoreError: Another process did not let the store go in time.
    """
    entry = {"tool": tool, "signature": signature}
    with locks.held(store, "commit", _WAIT_S):
        text, content = _read(store)
        entries = content.get("infrastructure", [])
        if entry not in entries:
            return False
        left = [other for other in entries if other != entry]
        expected = {key: value for key, value in content.items() if key != "infrastructure"}
        if left:
            expected["infrastructure"] = left
        _replace(store, _without(text, entry, expected), expected)
        return True


# --- the file ------------------------------------------------------------------------------------


def _read(store: Path) -> tuple[str, dict[str, Any]]:
    path = store / "rules.toml"
    try:
        text = path.read_bytes().decode()  # not read_text: line ends stay as they are
        return text, tomllib.loads(text)
    except FileNotFoundError:
        return "", {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"Cannot read {str(path)!r}: {error}") from error


def _quoted(text: str) -> str:
    """A text as TOML writes it: as JSON does, which lets one control character through."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _without(text: str, entry: dict[str, str], expected: dict[str, Any]) -> str:
    """The text without the lines of one entry: the fewest that leave what is expected.

    TOML has too many forms to find the lines by looking at them; so each guess is read.
    """
    lines = text.split("\n")
    heads = [n for n, line in enumerate(lines) if line.lstrip().startswith("[[")]
    for head in heads:
        for end in range(head + 1, min(head + 2 + 4 * len(entry), len(lines) + 1)):
            guess = "\n".join(lines[:head] + lines[end:])
            with suppress(tomllib.TOMLDecodeError):
                if tomllib.loads(guess) == expected:
                    return guess
    raise ConfigurationError(
        f"Cannot tell which lines of rules.toml say {entry['signature']!r}; take them out by hand"
    )


def _replace(store: Path, text: str, expected: dict[str, Any]) -> None:
    """Write the file by rename, if it says what is expected; then the views that others read."""
    path = store / "rules.toml"
    try:
        if tomllib.loads(text) != expected:
            raise ConfigurationError(f"{str(path)!r} would mean something else; edit it by hand")
        _write(store, path, text)
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise ConfigurationError(f"Cannot change {str(path)!r}: {error}") from error
    sealing.write_views(store, snapshot.newest(store))


def _write(store: Path, path: Path, text: str) -> None:
    # A link leads to where the user keeps the file; a rename must stay on its file system.
    folder = path.resolve().parent if path.is_symlink() else store / "_tmp"
    folder.mkdir(exist_ok=True)
    draft = folder / f".rules-{ulid()}.toml"
    try:
        with draft.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            draft.chmod(path.stat().st_mode)
        draft.replace(path.resolve())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.resolve().parent)
