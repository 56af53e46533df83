"""Where an agent stands in the tree of agents, as `agent_path` tells: `root.3/researcher.1`."""

from __future__ import annotations

import re
from typing import Final

# A name may hold anything, a slash too: a part ends with the number of its invocation.
_PART: Final = re.compile(r"(.*?\.\d+)(?:/|$)", re.DOTALL)


def parts(agent_path: str | None) -> list[str]:
    """The agents of a path from the top down, each with its number; none for no path."""
    return _PART.findall(agent_path or "")
