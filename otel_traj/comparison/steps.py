"""What a step does, and in what two steps that stand side by side differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from otel_traj.comparison.alignment import Key
from otel_traj.dialects.canonical import canonical_json, count_leading_system
from otel_traj.dialects.messages import from_json, is_cut, loads
from otel_traj.model import FileChange, Step

Aspect = Literal[
    "arguments",
    "calls",
    "answer",
    "input",
    "result",
    "error",
    "files",
    "reward",
    "tests",
    "agent",
    "reasoning",
    "system",
    "tools",
    "model",
    "parameters",
]
"""In what a pair of steps may differ.

- arguments: what the tool was called with; calls: the tools that the model asked for; answer: what
  the model said; input: what a user or a system message newly said;
- result, error, files, reward, tests: what came of it;
- system, tools, model, parameters: of the model's request, told where it begins to differ.
"""

DECISIVE: Final = frozenset({"arguments", "calls", "input", "result", "error", "files"})
"""What makes the runs go apart. The answer is one where the model asks for no tool; wording beside
the same calls is none."""


class StepDifference(NamedTuple):
    """A pair of steps, or a step that only one side has (the other is None).

    Attributes:
        left: Number of the step.
        right: Number of the step.
        aspects: In what they differ, in the order of `Aspect`; empty for a step without a partner.
    """

    left: int | None
    right: int | None
    aspects: tuple[Aspect, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return self.left is not None and self.right is not None and not self.aspects


def keys_of(steps: Iterable[Step]) -> list[Key]:
    """What each step does."""
    known: dict[tuple[str, str | None], Key] = {}
    found = []
    for step in steps:
        family, content = _family(step), _content(step)
        key = known.get((family, content))
        if key is None:
            key = known[family, content] = Key(family, _canonical(content))
        found.append(key)
    return found


def key_of(step: Step) -> Key:
    """What a step does: its kind and tool, and the hash of its canonical arguments."""
    return Key(_family(step), _canonical(_content(step)))


def _family(step: Step) -> str:
    return "\0".join(filter(None, (step.kind, step.tool_name, step.handoff_to)))


def _content(step: Step) -> str | None:
    """Of a model's call what it decided, of others what they were given."""
    match step.kind:
        case "llm":
            calls = calls_of(step)
            return step.output_text if calls in (None, "[]") else calls
        case "user":
            return said(step)
        case _:
            return step.arguments


def _canonical(content: str | None) -> str:
    """Hash of a text, of JSON in its canonical form; empty for what is not recorded."""
    if content is None:
        return ""
    return hashlib.sha256(canonical_json(loads(content))).hexdigest()


def calls_of(step: Step) -> str | None:
    """The tools that a model asked for, without the ids that every run makes up anew.

    Returns:
        JSON, `[]` where it asked for none; None where its answer is not recorded.
    """
    if not step.tool_calls:
        return None if step.output is None and step.output_text is None else "[]"
    calls = loads(step.tool_calls)
    if not isinstance(calls, list):
        return step.tool_calls
    told = [
        [call.get("name"), loads(call.get("arguments"))]
        for call in calls
        if isinstance(call, Mapping)
    ]
    return json.dumps(told, ensure_ascii=False)


def told_calls(step: Step) -> str | None:
    """The same; None where they were concluded from the tools that ran, which are steps too."""
    is_told = not any(reason.startswith("tool_calls:") for reason in step.inferred)
    return calls_of(step) if is_told else None


def said(step: Step) -> str | None:
    """What users, and system messages after the beginning, newly said at a step.

    Returns:
        None where no message is recorded. Instructions at the beginning have a hash of their own.
    """
    if step.new_messages is None:
        return None
    messages = from_json(step.new_messages)
    messages = messages[count_leading_system(messages) :]
    return "\n".join(m.text or "" for m in messages if m.role in ("user", "system"))


# --- differences -------------------------------------------------------------------------------


class Comparer:
    """Compares pairs of steps of two runs, in order.

    Whatever is set up once (instructions, tools, model, agent) differs in all that follows: it is
    told where it begins to.
    """

    def __init__(self, left: Iterable[FileChange], right: Iterable[FileChange]) -> None:
        self._left, self._right = _hashes(left), _hashes(right)
        self._told: dict[tuple[str | None, Aspect], object] = {}

    def aspects(self, left: Step, right: Step) -> tuple[Aspect, ...]:
        """In what two steps differ."""
        return (*self._of_the_step(left, right), *self._of_the_set_up(left, right))

    def _of_the_step(self, left: Step, right: Step) -> Iterator[Aspect]:
        if left.kind == "llm":
            if _differ(told_calls(left), told_calls(right)):
                yield "calls"
            if _differ(left.output_text, right.output_text):
                yield "answer"
        elif _differ(left.arguments, right.arguments):
            yield "arguments"
        if left.kind in ("llm", "user") and _differ(said(left), said(right)):
            yield "input"
        if any(_differ(*pair) for pair in _results(left, right)):
            yield "result"
        if (left.status, left.error_type) != (right.status, right.error_type):
            yield "error"
        if self._left.get(left.step) != self._right.get(right.step):
            yield "files"
        if left.reward != right.reward:
            yield "reward"
        if left.test_pass_rate != right.test_pass_rate:
            yield "tests"
        if _differ(left.reasoning, right.reasoning):
            yield "reasoning"

    def _of_the_set_up(self, left: Step, right: Step) -> Iterator[Aspect]:
        for aspect, one, other in _set_up(left, right):
            place = (left.agent_path, aspect)
            if one != other and self._told.get(place) != (one, other):
                yield aspect
            self._told[place] = (one, other)


def _set_up(left: Step, right: Step) -> Iterator[tuple[Aspect, str | None, str | None]]:
    yield "agent", left.agent_name, right.agent_name
    if left.kind != "llm":
        return
    yield "model", model_of(left), model_of(right)
    if left.canon_version == right.canon_version is not None:
        yield "system", left.system_hash, right.system_hash
        yield "tools", left.tools_hash, right.tools_hash
        if model_of(left) == model_of(right):  # which is one of the parameters
            yield "parameters", left.params_hash, right.params_hash


def model_of(step: Step) -> str | None:
    """The model that was asked, else the one that answered."""
    return step.model or step.response_model


def _hashes(changes: Iterable[FileChange]) -> dict[int, Sequence[tuple[str, str | None]]]:
    """Step -> its files and what became of them."""
    found: dict[int, list[tuple[str, str | None]]] = {}
    for change in changes:
        found.setdefault(change.step, []).append((change.path, change.sha256_after))
    return {step: sorted(files) for step, files in found.items()}


def _results(left: Step, right: Step) -> Iterator[tuple[str | None, str | None]]:
    if left.kind != "llm":
        yield left.result, right.result
        yield left.observation, right.observation
    if left.status == right.status == "error":
        yield left.error_message, right.error_message


def _differ(left: str | None, right: str | None) -> bool:
    """Whether two texts are known and say something else; JSON may be laid out in any way."""
    if left is None or right is None or left == right:
        return False
    return is_cut(left) or is_cut(right) or bool(loads(left) != loads(right))
