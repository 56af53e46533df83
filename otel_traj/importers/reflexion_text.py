"""Text logs of Reflexion's ReAct agents on HotpotQA.

    BEGIN TRIAL 1
    ------------- BEGIN CORRECT AGENTS -------------
    Question: ...
    Thought 1: ...
    Action 1: Search[...]
    Observation 1: ...
    Correct answer: ...

The section that an episode stands in is the verdict on it. One that gave a wrong answer with its
last step stands in two, as incorrect and as halted: it is one run with both verdicts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from otel_traj.importers.checks import checked
from otel_traj.importers.conversation import Conversation
from otel_traj.importers.parts import Flaw, Part, Records
from otel_traj.importers.transcript import Transcript

NAME: Final = "Reflexion text log"

_TRIAL: Final = re.compile(r"BEGIN TRIAL (\d+)")
_SECTION: Final = re.compile(r"-+ BEGIN (\w+) AGENTS -+")
_LABEL: Final = re.compile(
    r"(Question|Thought|Action|Observation|Correct answer|Reflection)(?: (\d+))?:"
)
_ACTION: Final = re.compile(r"\s*(\w+)\[(.*)\]\s*", re.S)
_INVALID: Final = "Invalid Action"


@dataclass(slots=True)
class _Episode:
    """One question in one trial; `said` are (label, text) in order, as the log has them."""

    line: int
    trial: int | None
    section: str | None
    said: list[tuple[str, str]] = field(default_factory=list)


def recognises(head: bytes) -> bool:
    """A trial begins and a question is asked in it."""
    text = head.decode("utf-8", "replace")
    return _TRIAL.search(text) is not None and "\nQuestion:" in text


def parts(stream: BinaryIO) -> Iterator[Part | Flaw]:
    """Episode by episode."""
    for episode in _episodes(io.TextIOWrapper(stream, "utf-8", "replace")):
        yield Part(NAME, f"line {episode.line}", checked(NAME, _run(episode)))


def _episodes(lines: Iterator[str]) -> Iterator[_Episode]:
    trial: int | None = None
    section: str | None = None
    episode: _Episode | None = None
    for number, line in enumerate(lines, start=1):
        head = _TRIAL.match(line) or _SECTION.match(line)
        label = _LABEL.match(line)
        if head is not None or (label is not None and label[1] == "Question"):
            if episode is not None:
                yield episode
            episode = None
        if head is not None and head.re is _TRIAL:
            trial, section = int(head[1]), None
        elif head is not None:
            section = head[1].lower()
        elif label is not None and label[1] == "Question":
            episode = _Episode(number, trial, section)
        if episode is None:
            continue
        if label is not None:
            episode.said.append((label[1], line[label.end() :].removeprefix(" ")))
        elif episode.said and not line.startswith("####"):
            name, text = episode.said[-1]
            episode.said[-1] = name, text + line
    if episode is not None:
        yield episode


def _run(episode: _Episode) -> Records:
    said = [(label, text.strip()) for label, text in episode.said]
    question = next((text for label, text in said if label == "Question"), "")
    trial = None if episode.trial is None else episode.trial - 1
    transcript = Transcript("reflexion", [episode.trial, said], agent="react", trial=trial)
    transcript.describe(task=question)
    conversation = Conversation(transcript)
    conversation.hear({"role": "user", "content": question})
    thought = action = None
    for label, text in said:
        if label == "Thought":
            thought = text
        elif label == "Action":
            action = text
        elif label == "Observation":
            _tell_step(transcript, conversation, thought, action, text)
            thought = action = None
        elif label == "Correct answer":
            transcript.keep({"correct_answer": text})
        elif label == "Reflection":
            transcript.keep({"reflection": text})
    if thought is not None or action is not None:
        conversation.say("\n".join(filter(None, (thought, action))))
    conversation.end()
    if episode.section is not None:
        transcript.evaluate("section", label=episode.section)
        transcript.outcome("success" if episode.section == "correct" else "failure")
    yield from transcript.records()


def _tell_step(
    transcript: Transcript,
    conversation: Conversation,
    thought: str | None,
    action: str | None,
    observation: str,
) -> None:
    """What was thought, done and seen; an action of no known form called no tool."""
    call = _ACTION.fullmatch(action or "")
    if call is None:
        conversation.say("\n".join(filter(None, (thought, action))) or None)
        conversation.hear({"role": "tool", "content": observation})
        return
    name, argument = call.groups()
    conversation.say(thought, [{"name": name, "arguments": argument}])
    conversation.run(
        None,
        observation,
        name=name,
        arguments=argument,
        error=observation if observation.startswith(_INVALID) else None,
    )
    if name == "Finish":
        transcript.answer(argument)
