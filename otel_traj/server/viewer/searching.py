"""Texts in messages: looked for file by file, the newest day first, for a while.

A text may stand anywhere in gigabytes, and no statistics of a column tell where. But a file never
changes: what it holds of a text stays true in all snapshots that name it. So what was found is kept
by file, the next one who asks goes on where this one ended, and after a commit only new files are
looked through. Days without a run that the other filters choose are left out.
"""
# ruff: noqa: S608 - what is put into this SQL are names of columns

from __future__ import annotations

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import duckdb

from otel_traj.server.jaeger.searching import Condition
from otel_traj.server.viewer.language import Term
from otel_traj.store.roster import Roll

SLICE_S: Final = 0.5
"""How long one who asks looks on."""

_KEPT: Final = 8
"""Texts of which it is kept where they are."""

_AT_ONCE: Final = 200
"""Rows of texts in memory."""

OF_TASK: Final = ("task_id", "task", "user_input")
_OF_RUN: Final = ("task", "user_input", "final_answer", "error_message", "failure_rationale")
_OF_STEPS: Final = (
    "output_text",
    "reasoning",
    "arguments",
    "result",
    "model_saw",
    "error_message",
    "new_messages",
    "observation",
)
"""Where a text is looked for."""

# Words and what stands between them in a sentence; all else may be a part of a secret.
_PLAIN: Final = re.compile(r"[^\W\d_]*(?:[\s.,'?!*]+[^\W\d_]*)*")

Hit: TypeAlias = "tuple[str, int]"
"""Id and revision of a trajectory."""

Shown: TypeAlias = Callable[[str, Any], Any]
"""Column, value -> the value as it may be shown."""


class Place(NamedTuple):
    """A table where a text may stand, how the engine finds it, and how a shown text is compared."""

    table: str
    columns: Sequence[str]
    condition: Condition
    looked_for: re.Pattern[str]


def is_text(term: Term) -> bool:
    """Whether a term is compared with texts that a roster does not hold."""
    return term.field in (None, "task") and isinstance(term.value, str)


def is_plain(term: Term) -> bool:
    """Whether a term cannot tell anything of a secret."""
    return not is_text(term) or _PLAIN.fullmatch(str(term.value)) is not None


def places(term: Term) -> list[Place]:
    """Where the text of a term is looked for, and how."""
    text = str(term.value)
    if term.field == "task":
        condition = Condition()
        condition.add(" or ".join(map(is_like, OF_TASK)), p=pattern(text))
        return [Place("trajectories", OF_TASK, condition, _like(text))]
    looked_for = re.compile(spelt(text), re.IGNORECASE)
    found = []
    for table, columns in (("trajectories", _OF_RUN), ("steps", _OF_STEPS)):
        condition = Condition()
        condition.add(_holds(columns), p=spelt(text))
        found.append(Place(table, columns, condition, looked_for))
    return found


def hits(
    cursor: duckdb.DuckDBPyConnection, source: str, place: Place, shown: Shown | None
) -> set[Hit]:
    """The runs of a table, or of a part of one, that hold a text.

    Args:
        cursor: Asked.
        source: What stands behind FROM.
        place: What is looked for in it.
        shown: A text counts only as it may be shown: who looks for the beginnings of a secret would
            else find out the whole, letter by letter. None where nothing secret can match.
    """
    where, given = place.condition.sql, place.condition.parameters
    if shown is None:
        sql = f"select distinct trajectory_id, rev from {source} where {where}"
        return set(cursor.execute(sql, given).fetchall())
    found: set[Hit] = set()
    columns = ", ".join(place.columns)
    told = cursor.execute(
        f"select trajectory_id, rev, {columns} from {source} where {where}", given
    )
    while some := told.fetchmany(_AT_ONCE):
        for trajectory_id, rev, *texts in some:
            if (trajectory_id, rev) not in found and any(
                text is not None and place.looked_for.search(text)
                for text in map(shown, place.columns, texts)
            ):
                found.add((trajectory_id, rev))
    return found


class Looked(NamedTuple):
    """What a search has found so far.

    Attributes:
        found: Term -> the runs that hold its text.
        days: All files of these were looked through.
    """

    found: Mapping[Term, set[Hit]]
    days: list[str]


class Searches:
    """What was found in which file. Safe to share between threads."""

    def __init__(self, shown: Shown | None) -> None:
        """Know nothing yet.

        Args:
            shown: Replaces what is secret; None where nothing is.
        """
        self._shown = shown
        self._mutex = threading.Lock()
        self._kept: OrderedDict[tuple[str | None, str], dict[str, set[Hit]]] = OrderedDict()

    def look(self, roll: Roll, terms: Iterable[Term], days: Sequence[str]) -> Looked:
        """Look for the texts of some terms.

        Args:
            roll: Whose files.
            terms: Each `is_text`.
            days: Where, in this order, as long as there is time; one at least that was not known.
        """
        until = time.monotonic() + SLICE_S
        found: dict[Term, set[Hit]] = {term: set() for term in terms}
        done: list[str] = []
        with self._mutex:
            self._let_go(roll)
            for day in days:
                is_new = False
                for term, own in found.items():
                    hits_of_day, is_read = self._of_day(roll, term, day)
                    own |= hits_of_day
                    is_new |= is_read
                done.append(day)
                if is_new and time.monotonic() > until:
                    break
        return Looked(found, done)

    def _let_go(self, roll: Roll) -> None:
        """Forget what files hold that are in the store no more."""
        for of_files in self._kept.values():
            for path in of_files.keys() - roll.paths:
                del of_files[path]

    def _of_day(self, roll: Roll, term: Term, day: str) -> tuple[set[Hit], bool]:
        """The runs of a day that hold a text, and whether a file had to be read for it."""
        key = (term.field, str(term.value))
        of_files = self._kept.setdefault(key, {})
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        shown = None if is_plain(term) else self._shown
        found: set[Hit] = set()
        is_new = False
        for place in places(term):
            for path, cursor, source in roll.files(place.table, day):
                own = of_files.get(path)
                if own is None:
                    own, is_new = hits(cursor, source, place, shown), True
                    if path in roll.paths:
                        of_files[path] = own
                found |= own
        return found, is_new


# --- how texts are compared --------------------------------------------------------------------


def is_like(column: str) -> str:
    """Condition that a text is of the pattern `{p}`."""
    return f"lower({column}) like {{p}} escape '\\'"


def pattern(text: str) -> str:
    """A text with `*` as a pattern of LIKE, in lower case; its other characters mean themselves."""
    return re.sub(r"([\\%_])", r"\\\1", text.lower()).replace("*", "%")


def _like(text: str) -> re.Pattern[str]:
    """A text with `*` as a regular expression of all of another."""
    anything = ".*".join(map(re.escape, text.split("*")))
    return re.compile(rf"\A{anything}\Z", re.IGNORECASE | re.DOTALL)


def spelt(text: str) -> str:
    """A text as it stands in other texts, or in JSON, as a regular expression."""
    both = dict.fromkeys((text, json.dumps(text, ensure_ascii=False)[1:-1]))
    return "|".join(map(re.escape, both))


def _holds(columns: Iterable[str]) -> str:
    """Condition that some column matches `{p}`, whatever its case.

    A regular expression is looked for three times as fast as a text in texts made lower case.
    """
    return " or ".join(f"regexp_matches({column}, {{p}}, 'i')" for column in columns)
