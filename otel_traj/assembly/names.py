"""What the name of a tool says about agents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_NAMES_A_TARGET: Final = re.compile(
    r"(?:transfer|hand_?off|hand_?over|delegate|route|switch)(?:_(?:control|back|over|task))?_to_(.+)",
    re.I,
)


@lru_cache(maxsize=4096)  # agents and tools, of which a store has few
def plain(name: str) -> str:
    """A name without case and punctuation: `Refund Agent` is `refund_agent`."""
    return re.sub(r"\W|_", "", name).lower()


def is_named_for(tool_name: str | None, agent: str | None) -> bool:
    """Whether a tool is called for an agent; for an unknown one, for any."""
    if not tool_name:
        return False
    target = _target(tool_name)
    if agent is None:
        return target is not None
    return plain(target or tool_name) == plain(agent)


def target_in(tool_name: str | None, agents: Iterable[str]) -> str | None:
    """The agent that a tool is named for: `transfer_to_X`, or a name that is a known agent's."""
    if not tool_name:
        return None
    target = _target(tool_name)
    wanted = plain(target or tool_name)
    same = next((name for name in sorted(agents) if plain(name) == wanted), None)
    return same or target


@lru_cache(maxsize=4096)
def _target(tool_name: str) -> str | None:
    found = _NAMES_A_TARGET.fullmatch(tool_name)
    return found[1] if found else None
