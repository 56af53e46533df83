"""What the name of a tool says about agents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_NAMES_A_TARGET: Final = re.compile(
    r"(?:transfer|hand_?off|hand_?over|delegate|route|switch)(?:_(?:control|back|over|task))?_to_(.+)",
    re.I,
)


def plain(name: str) -> str:
    """A name without case and punctuation: `Refund Agent` is `refund_agent`."""
    return re.sub(r"\W|_", "", name).lower()


def is_named_for(tool_name: str | None, agent: str | None) -> bool:
    """Whether a tool is called for an agent; for an unknown one, for any."""
    if not tool_name:
        return False
    found = _NAMES_A_TARGET.fullmatch(tool_name)
    if agent is None:
        return found is not None
    return plain(found[1] if found else tool_name) == plain(agent)


def target_in(tool_name: str | None, agents: Iterable[str]) -> str | None:
    """The agent that a tool is named for: `transfer_to_X`, or a name that is a known agent's."""
    if not tool_name:
        return None
    found = _NAMES_A_TARGET.fullmatch(tool_name)
    wanted = found[1] if found else tool_name
    same = next((name for name in sorted(agents) if plain(name) == plain(wanted)), None)
    return same or (wanted if found else None)
