"""What two requests say to a model, message by message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from otel_traj.comparison.alignment import Key, align
from otel_traj.comparison.rows import side_by_side
from otel_traj.dialects.messages import Message, Messages, as_text

Change = Literal["SAME", "INJECTED", "DROPPED", "CHANGED", "TRUNCATED"]


class MessageDifference(NamedTuple):
    """A message, or a pair of them.

    Attributes:
        change: INJECTED is only in the right array, DROPPED only in the left one; TRUNCATED is the
            beginning of the left one.
        role: Who speaks.
        left: Its position in the left array.
        right: Its position in the right array.
    """

    change: Change
    role: str
    left: int | None
    right: int | None


def compare_messages(left: Messages, right: Messages) -> list[MessageDifference]:
    """Two arrays of messages, in order; ids, which each run makes up anew, do not count."""
    keys = [[Key(message.role, content_of(message)) for message in side] for side in (left, right)]
    return list(_changes(keys[0], keys[1]))


def _changes(left: list[Key], right: list[Key]) -> Iterator[MessageDifference]:
    for i, j in side_by_side(align(left, right).pairs, len(left), len(right)):
        if i is None:
            assert j is not None  # one of them is there
            yield MessageDifference("INJECTED", right[j].family, None, j)
        elif j is None:
            yield MessageDifference("DROPPED", left[i].family, i, None)
        else:
            yield MessageDifference(_change(left[i], right[j]), left[i].family, i, j)


def _change(left: Key, right: Key) -> Change:
    if left == right:
        return "SAME"
    return "TRUNCATED" if right.content and left.content.startswith(right.content) else "CHANGED"


def content_of(message: Message) -> str:
    """All that a message says, as one text."""
    return "\n".join(
        filter(None, (part.text or _call(part.name, part.value) for part in message.parts))
    )


def _call(name: str | None, value: object) -> str:
    return " ".join(filter(None, (name, as_text(value))))
