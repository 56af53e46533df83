"""Who&When: failed runs of several agents, with the step at fault as people labelled it.

    {"question", "ground_truth", "history": [{"content", "role", "name"}], "system_prompt",
     "mistake_agent", "mistake_step", "mistake_reason"}

Each entry of the history is a step of the agent that speaks: `who_and_when.index` is its place, and
the label is an annotation `mistake` of the step, besides `mistake_agent`, `mistake_step` and
`mistake_reason` of the run. What each agent was sent is not told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_traj import semconv
from otel_traj.importers.parts import Records
from otel_traj.importers.transcript import Transcript, rest

NAME: Final = "Who&When run"

_LABELS: Final = ("mistake_agent", "mistake_step", "mistake_reason")
_EXECUTORS: Final = frozenset({"Computer_terminal", "ComputerTerminal"})
_FAILED: Final = re.compile(r"exitcode: [^0\s]|.*?\bexit code: [1-9]", re.I)
_PEOPLE: Final = frozenset({"human"})

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """One labelled run."""
    return isinstance(value.get("history"), list) and "mistake_step" in value


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """The run."""
    yield "", _run(value)


def _run(value: _Object) -> Records:
    transcript = Transcript("who_and_when", value)
    transcript.describe(task_id=_text(value.get("question_ID")), task=value.get("question"))
    prompts = value.get("system_prompt") or {}
    spans: dict[int, str] = {}
    heard = None if _opens_with_a_person(value) else value.get("question")
    for index, entry in enumerate(value["history"]):
        speaker = _speaker(entry)
        if speaker in _PEOPLE:
            heard = entry.get("content")
            transcript.note("message", {"index": index, **entry})
            continue
        spans[index] = _tell(transcript, index, entry, speaker, prompts.get(speaker), heard)
        heard = None if speaker not in _EXECUTORS else heard
    transcript.keep(rest(value, "question_ID", "question", "history"))
    _judge(transcript, value, spans)
    yield from transcript.records()


def _opens_with_a_person(value: _Object) -> bool:
    return bool(value["history"]) and _speaker(value["history"][0]) in _PEOPLE


def _speaker(entry: _Object) -> str:
    """`Orchestrator (-> WebSurfer)` is the Orchestrator."""
    return str(entry.get("name") or entry.get("role") or "").split(" (", 1)[0]


def _tell(
    transcript: Transcript,
    index: int,
    entry: _Object,
    speaker: str,
    instructions: str | None,
    heard: str | None,
) -> str:
    """What an agent said, or what a terminal gave; a terminal says itself whether it failed."""
    content = _text(entry.get("content"))
    keep = {"index": index, **rest(entry, "content")}
    if speaker in _EXECUTORS:
        failed = _FAILED.match(content or "") is not None
        return transcript.tool_call(
            speaker, result=content, error=content if failed else None, keep=keep
        )
    with transcript.agent(speaker):
        return transcript.model_call(
            new=[{"role": "user", "content": heard}] if heard else (),
            text=content,
            attributes={semconv.SYSTEM_INSTRUCTIONS: _instructions(instructions)},
            keep=keep,
        )


def _instructions(text: str | None) -> list[dict[str, str]] | None:
    return [{"type": "text", "content": text}] if text else None


def _judge(transcript: Transcript, value: _Object, spans: Mapping[int, str]) -> None:
    agent, step, reason = (_text(value.get(name)) for name in _LABELS)
    is_correct = value.get("is_correct", value.get("is_corrected"))
    transcript.outcome("success" if is_correct is True else "failure", why=reason)
    if agent:
        transcript.evaluate("mistake_agent", label=agent)
    if step and step.strip().isdigit():
        number = int(step)
        transcript.evaluate("mistake_step", value=number)
        if number in spans:
            transcript.evaluate("mistake", label=agent, why=reason, span_id=spans[number])
    if reason:
        transcript.evaluate("mistake_reason", label=reason)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
