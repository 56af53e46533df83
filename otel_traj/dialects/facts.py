"""What one span says, in our words, whichever dialect it says it in."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from otel_traj.dialects.messages import Messages

Kind = Literal[
    "llm",
    "tool",
    "agent",
    "handoff",
    "goto",
    "retrieval",
    "memory",
    "thought",
    "embedding",
    "workflow",
    "wrapper",
    "setup",
    "evaluation",
]
"""What a span is. Only llm, tool, handoff, retrieval, memory and thought become steps; `goto` names
the target of a hand-over that another span tells; `setup` (an agent or graph being built) and
`evaluation` are not part of what the agent did."""


@dataclass(init=False)
class Facts:
    """Facts of one call, gathered from one span and its logs, then from other spans of that call.

    None is "not told". `input` and `output` are the messages of a model call as the span tells
    them, `output_*` the pieces of its answer where they stand apart; `said_input` and `said_output`
    are whatever a wrapper says it was given and gave back.

    Only what is told stands in an instance; the rest are defaults of the class. Of sixty facts a
    span tells ten, and every span has some of these objects.
    """

    kind: Kind = "wrapper"
    dialects: tuple[str, ...] = ()
    agent_name: str | None = None
    acting_agent: str | None = None
    agent_id: str | None = None
    agent_version: str | None = None
    workflow_name: str | None = None
    conversation_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    provider: str | None = None
    model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    previous_response_id: str | None = None
    finish_reason: str | None = None
    stream: bool | None = None
    ttft_us: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    input: Messages | None = None
    output: Messages | None = None
    output_text: str | None = None
    output_reasoning: str | None = None
    output_calls: Any = None
    system: str | None = None
    tool_definitions: Any = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: Any = None
    response_format: Any = None
    tool_choice: Any = None
    reasoning_effort: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_type: str | None = None
    arguments: Any = None
    result: Any = None
    handoff_from: str | None = None
    handoff_to: str | None = None
    query: Any = None
    documents: Any = None
    said_input: Any = None
    said_output: Any = None
    failed: bool = False
    error_type: str | None = None
    error_message: str | None = None
    is_control_flow: bool = False
    cut_keys: tuple[str, ...] = ()
    inferred: list[str] = field(default_factory=list)

    def __init__(self, kind: Kind = "wrapper", dialects: tuple[str, ...] = (), **told: Any) -> None:
        """What is told, by the names of the fields."""
        vars(self).update(told, kind=kind, dialects=dialects)
        self.inferred = told.get("inferred", [])

    def fill(self, other: Facts) -> None:
        """Take from `other` what is not told here; nothing that is told is changed."""
        mine, theirs = vars(self), vars(other)
        for name in FACT_NAMES.intersection(mine):
            if _is_untold(mine[name]):
                del mine[name]
        for name, value in theirs.items():
            if name not in mine:
                mine[name] = value
        if other.dialects:
            self.dialects = tuple(dict.fromkeys((*self.dialects, *other.dialects)))

    def copy(self) -> Facts:
        """The same facts, to go on with apart; `copy.copy` takes five times as long."""
        twin = object.__new__(Facts)
        vars(twin).update(vars(self))
        return twin


def _is_untold(value: Any) -> bool:
    """Zero is told: no tokens, a temperature of 0."""
    return value is None or value is False or value == ()


FACT_NAMES = frozenset(
    f.name for f in dataclasses.fields(Facts) if f.name not in ("kind", "dialects", "inferred")
)
