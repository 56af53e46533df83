"""The agents of `agents/`: each file says at its top what it needs and what is peculiar to it.

The header is that of a stand-alone script (PEP 723): `dependencies` are what its author installs,
and `[tool.frameworks]` holds the fields of `Framework`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from otel_traj.demo.model_server import ToolCall
from tests.frameworks import travel
from tests.frameworks.model_server import ASIDE, Handoff

AGENTS = Path(__file__).parent / "agents"

_HEADER = re.compile(r"^# /// script\n(?P<lines>(?:#.*\n)+?)# ///$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework and the agent written with it."""

    name: str
    title: str
    package: str
    """Whose version counts."""
    dependencies: tuple[str, ...]
    agents: Mapping[str, str | None]
    """Speaker (`desk`, `clerk`) -> its name in the program; None where that names no agent."""
    handoff: Handoff | None = None
    ending: ToolCall | None = None
    """The call with which an agent says its last word, where the framework wants one."""
    built_in: frozenset[str] = field(default_factory=frozenset)
    """Tools of the framework itself, which do nothing in the world."""
    has_call_ids: bool = True
    """False where the interface has no ids and the framework makes its own."""
    model: str | None = None
    """What the program calls the model, where that is not what the server is asked for."""
    note: str = ""
    """For the table: why something cannot be seen."""

    @classmethod
    def read(cls, script: Path) -> Self:
        """The framework of an agent's file.

        Raises:
            ValueError: It has no header, or one that is not as described.
        """
        found = _HEADER.search(script.read_text(encoding="utf-8"))
        if found is None:
            raise ValueError(f"{script} has no header `# /// script`")
        text = "\n".join(line[2:] for line in found["lines"].splitlines())
        header = tomllib.loads(text)
        return cls._of(script.stem, tuple(header["dependencies"]), header["tool"]["frameworks"])

    @classmethod
    def _of(cls, name: str, dependencies: tuple[str, ...], said: dict[str, Any]) -> Self:
        handoff, ending = said.pop("handoff", None), said.pop("ending", None)
        desk = said.pop("agent", travel.DESK if handoff else None)
        clerk = said.pop("clerk", travel.CLERK)
        return cls(
            name=name,
            dependencies=dependencies,
            agents={"desk": desk, ASIDE: None, **({"clerk": clerk} if handoff else {})},
            handoff=Handoff(**handoff) if handoff else None,
            ending=ToolCall(ending["tool"], {ending["argument"]: ""}) if ending else None,
            built_in=frozenset([ending["tool"]] if ending else []),
            **said,
        )

    @property
    def script(self) -> Path:
        """The agent."""
        return AGENTS / f"{self.name}.py"

    def call_id(self, call_id: str) -> str | None:
        """The id that a call of the model's has in this framework, as far as it can be known."""
        return call_id if self.has_call_ids else None


def frameworks() -> dict[str, Framework]:
    """Name -> framework, by name."""
    return {path.stem: Framework.read(path) for path in sorted(AGENTS.glob("*.py"))}
