"""How a run began and ended: what was asked, what came out, whether it failed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otel_traj import semconv
from otel_traj.assembly.calls import Call
from otel_traj.assembly.runs import Run
from otel_traj.assembly.tree import Node, roots
from otel_traj.dialects.messages import Messages, decode, loads
from otel_traj.model import RunStatus

_CANCELLED: Final = re.compile(
    r"(?:[\w.]+\.)?(?:Cancell?ed(?:Error|Exception)?|AbortError|KeyboardInterrupt|GeneratorExit"
    r"|SystemExit|cancell?ed|aborted)$"
)
_TIMED_OUT: Final = re.compile(
    r"(?:[\w.]+\.)?(?:\w*Timeout(?:Error|Exception)?|DeadlineExceeded|timeout|deadline_exceeded)$"
)
_ANSWER_KEYS: Final = ("output", "outputs", "result", "answer", "final_answer", "response", "text")
_ASK_KEYS: Final = ("input", "inputs", "question", "query", "prompt", "task", "user_input")


@dataclass(frozen=True, slots=True)
class Ending:
    """Status of a run with its error, what it was asked and what it answered."""

    status: RunStatus
    error_type: str | None
    error_message: str | None
    user_input: str | None
    final_answer: str | None


def find_ending(run: Run, calls: Sequence[Call], top: Node, *, is_open: bool) -> Ending:
    """Read the end of a run from its last model call and its outermost agent.

    A failed tool alone is no failed run, and a root that says OK does not make a failed run good.
    """
    llms = [call for call in calls if call.kind == "llm"]
    failed = _failure(run, calls, llms, top)
    status: RunStatus = "completed"
    if is_open or any(node.span.is_open for node in roots(run.nodes)):
        status = "open"  # a span left open below a root that has ended does not hold a run open
    elif failed is not None:
        status = _status_of(failed[0])
    elif llms and _was_abandoned(llms[-1]):
        status = "aborted"
    error_type, error_message = failed or (None, None)
    return Ending(
        status=status,
        error_type=error_type,
        error_message=error_message,
        user_input=_asked(top, llms),
        final_answer=_answered(top, llms) if status in ("completed", "aborted") else None,
    )


def _failure(
    run: Run, calls: Sequence[Call], llms: Sequence[Call], top: Node
) -> tuple[str | None, str | None] | None:
    """(type, message) of what made the run fail; None when it did not."""
    if llms and llms[-1].facts.failed:
        return llms[-1].facts.error_type, llms[-1].facts.error_message
    if top.facts.failed:
        return top.facts.error_type, top.facts.error_message
    agents = [
        node
        for node in run.nodes
        if node.facts.kind == "agent"
        and not any(up.facts.kind in ("agent", "tool") for up in node.ancestors())
    ]
    last = max(agents, key=lambda node: node.end_ns, default=None)
    if last is not None and last.facts.failed:
        return last.facts.error_type, last.facts.error_message
    if not llms and calls and calls[-1].facts.failed and not agents:
        return calls[-1].facts.error_type, calls[-1].facts.error_message
    return None


def _status_of(error_type: str | None) -> RunStatus:
    if error_type and _CANCELLED.match(error_type):
        return "aborted"
    return "timeout" if error_type and _TIMED_OUT.match(error_type) else "error"


def _was_abandoned(llm: Call) -> bool:
    """A stream that its reader left: no usage, no reason to finish, though it is no failure."""
    facts = llm.facts
    if facts.finish_reason == "error":
        return True
    return bool(facts.stream) and facts.output_tokens is None and not facts.finish_reason


# --- what was asked and answered ---------------------------------------------------------------


def _asked(top: Node, llms: Sequence[Call]) -> str | None:
    """The last user message of the first request, else what the root was given."""
    own = _last_text(top.facts.input, "user") if semconv.TASK in top.span.attributes else None
    first = next((_last_text(c.facts.input, "user") for c in llms if c.facts.input), None)
    return (
        own
        or first
        or _last_text(top.facts.input, "user")
        or _plain(top.facts.said_input, "user", _ASK_KEYS)
    )


def _answered(top: Node, llms: Sequence[Call]) -> str | None:
    """What the root gave back, else the last text of its last model call."""
    given = _last_text(top.facts.output, "assistant") or _plain(
        top.facts.said_output, "assistant", _ANSWER_KEYS
    )
    if given:
        return given
    depth = min((_depth(call) for call in llms), default=0)
    last = next((call for call in reversed(llms) if _depth(call) == depth), None)
    return _last_text(last.facts.output, "assistant") if last is not None else None


def _depth(call: Call) -> int:
    """How many tools a call runs in: the answer is given outside all of them."""
    return sum(up.facts.kind == "tool" for up in call.node.ancestors())


def _last_text(messages: Messages | None, role: str) -> str | None:
    return next((m.text for m in reversed(messages or ()) if m.role == role and m.text), None)


def _plain(value: Any, role: str, keys: Sequence[str]) -> str | None:
    """The text of what a wrapper was given or gave back; None when it is no text."""
    inner = loads(value)
    for _ in range(3):
        if isinstance(inner, str):
            return inner or None
        if isinstance(inner, Mapping) and {"args", "kwargs"} <= inner.keys():
            inner = _only_argument(inner["args"], inner["kwargs"])
            continue
        if isinstance(inner, Mapping | list):
            said = _last_text(decode(inner, role), role)
            if said:
                return said
        if not isinstance(inner, Mapping):
            return None
        inner = loads(next((inner[key] for key in keys if inner.get(key)), None))
    return None


def _only_argument(positional: Any, named: Any) -> Any:
    """The one argument of a decorated function; None when there are several."""
    values = list(positional) if isinstance(positional, list) else []
    values += named.values() if isinstance(named, Mapping) else []
    return values[0] if len(values) == 1 else None
