"""A trajectory as a transcript: the agent's loop in order, with previews, sub-agents folded."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from otel_traj.dialects.messages import from_json
from otel_traj.errors import InputError
from otel_traj.model import Step
from otel_traj.server.viewer.answers import (
    Media,
    Piece,
    Text,
    Transcript,
    TranscriptAgent,
    TranscriptStep,
)
from otel_traj.server.viewer.course import Course, Outline, total
from otel_traj.server.viewer.listing import finite
from otel_traj.server.viewer.problems import NotThereError
from otel_traj.server.viewer.steps import calls, line, said
from otel_traj.server.viewer.texts import PREVIEW, Texts, beginning
from otel_traj_exporters import agents


class Window(NamedTuple):
    """Which items of a loop are wanted: one of the first three, or none for its begin.

    Attributes:
        begin: From this step on.
        before: The last ones before this step.
        around: Those about the one that shows this step, itself or folded.
        limit: At most so many.
    """

    begin: int | None
    before: int | None
    around: int | None
    limit: int


def transcript(course: Course, agent: str | None, window: Window) -> Transcript:
    """The agent's loop in order; who works for it is folded.

    Args:
        course: The run.
        agent: Path of the agent whose loop it is; None for the one at the top.
        window: What of it.

    Raises:
        InputError: More than one place is wanted.
        NotThereError: There is no such agent.
    """
    level = _level(course, agent)
    if agent is not None and not level.own and not level.below:
        raise NotThereError(f"No agent of this run has the path {agent!r}")
    here, after = _window(level, window)
    begin = here[0].step if here else 0
    read = _Loop(course, [step for step, path in here if path is None])
    folded = _Folded(course, {path: level.below[path] for _, path in here if path is not None})
    return {
        "items": [
            {"step": read.step(step), "agent": None}
            if path is None
            else {"step": None, "agent": folded.agent(path)}
            for step, path in here
        ],
        "next": after,
        "previous": begin if level.before(begin, 1) else None,
        "total": len(level.own) + len(level.below),
    }


class _Level(NamedTuple):
    """The steps of one agent, and those of each agent right below it, with who works for that."""

    own: list[int]
    below: dict[str, list[Outline]]

    def since(self, step: int, n: int) -> list[_Place]:
        """The first `n` places from a step on."""
        at = bisect.bisect_left(self.own, step)
        folded = (place for place in self._folded() if place.step >= step)
        return sorted([*folded, *(_Place(one, None) for one in self.own[at : at + n])])[:n]

    def before(self, step: int, n: int) -> list[_Place]:
        """The last `n` places before a step."""
        at = bisect.bisect_left(self.own, step)
        folded = (place for place in self._folded() if place.step < step)
        own = (_Place(one, None) for one in self.own[max(at - n, 0) : at])
        return sorted([*folded, *own])[-n:]

    def place_of(self, step: int) -> int:
        """The first step of the place that shows a step; of the next one where none does."""
        for steps in self.below.values():
            at = bisect.bisect_left(steps, step, key=lambda one: one.step)
            if at < len(steps) and steps[at].step == step:
                return steps[0].step
        return step

    def _folded(self) -> Iterator[_Place]:
        return (_Place(steps[0].step, path) for path, steps in self.below.items())


class _Place(NamedTuple):
    """A step of the loop, or the first one of an agent that is folded there."""

    step: int
    path: str | None


def _window(level: _Level, wanted: Window) -> tuple[list[_Place], int | None]:
    """The places, and the first step of those that follow; None where none does."""
    if [wanted.begin, wanted.before, wanted.around].count(None) < 2:
        raise InputError("`cursor`, `before` and `around` exclude each other: give one")
    if wanted.before is not None:
        following = level.since(wanted.before, 1)
        return level.before(wanted.before, wanted.limit), following[0].step if following else None
    begin = wanted.begin or 0
    if wanted.around is not None:
        place = level.place_of(wanted.around)
        above = level.before(place, wanted.limit)
        if len(above) == wanted.limit:  # else the top is a part of the answer
            begin = [*above, _Place(place, None)][-1 - wanted.limit // _ABOVE].step
    here = level.since(begin, wanted.limit + 1)
    return here[: wanted.limit], here[-1].step if len(here) > wanted.limit else None


_ABOVE: Final = 4
"""One item in so many stands above the one that is looked for."""


_levels: WeakKeyDictionary[Course, dict[str | None, _Level]] = WeakKeyDictionary()
"""What was made of a run's steps before: pages of one run are asked for one after the other."""


def _level(course: Course, agent: str | None) -> _Level:
    known = _levels.setdefault(course, {})
    if agent not in known:
        known[agent] = _made(course, agent)
    return known[agent]


def _made(course: Course, agent: str | None) -> _Level:
    above = agents.parts(agent) if agent is not None else []
    depth = len(above) if agent is not None else 1
    level = _Level([], {})
    belongs: dict[str | None, list[Outline] | bool] = {}  # to an agent below, to this one, to none
    for path in dict.fromkeys(step.agent_path for step in course.outline):
        parts = agents.parts(path)
        is_here = parts[: len(above)] == above
        belongs[path] = is_here
        if is_here and len(parts) > depth:
            belongs[path] = level.below.setdefault("/".join(parts[: depth + 1]), [])
    for step in course.outline:
        to = belongs[step.agent_path]
        if to is True:
            level.own.append(step.step)
        elif to is not False:
            to.append(step)
    return level


class _Loop:
    """Reads some steps of a run, of which others tell what these do not repeat."""

    def __init__(self, course: Course, numbers: Iterable[int]) -> None:
        self._course = course
        self._steps = {step.step: step for step in course.steps(numbers)}
        self._ran = course.ran(list(self._steps.values()))

    def step(self, number: int) -> TranscriptStep:
        """A step with what it said and got."""
        step, texts = self._steps[number], Texts(PREVIEW)
        return {
            **line(self._course, step),
            "pieces": [*self._told(texts, step), *_pieces(texts, step)],
            "calls": calls(texts, step, self._ran),
        }

    def _told(self, texts: Texts, step: Step) -> Iterator[Piece]:
        """New messages of user and system; a user's step has said what the model's repeats."""
        roles = {"user"} if step.kind == "user" else set()
        if step.kind == "llm":
            is_asked = (step.agent_run, step.turn) in self._course.turns_of_users
            roles = {"system"} if is_asked else {"system", "user"}
        for i, message in enumerate(from_json(step.new_messages) if roles else ()):
            for j, part in enumerate(message.parts if message.role in roles else ()):
                told = texts.part(f"new_messages.{i}.{j}", part)
                yield _piece(message.role, told["text"], told["is_json"], told["media"])


class _Folded:
    """Agents that worked for the one whose loop it is, each with what it was asked and answered."""

    def __init__(self, course: Course, agents_: Mapping[str, Sequence[Outline]]) -> None:
        self._agents = agents_
        self._first: dict[str, str] = {}
        self._last: dict[str, str] = {}
        for begin, end in _LOOKED_AT:
            first = self._places(self._first, begin, end)
            last = self._places(self._last, -begin - 1, -end - 1, -1)
            wanted = {number for one in (first, last) for each in one.values() for number in each}
            steps = {step.step: step for step in course.steps(wanted)}
            self._first |= _told(first, steps, _asked)
            self._last |= _told(last, steps, _answered)

    def _places(self, found: Mapping[str, str], *cut: int) -> dict[str, list[int]]:
        """A part of the steps of each agent that has not been found yet."""
        return {
            path: [step.step for step in steps[slice(*cut)]]
            for path, steps in self._agents.items()
            if path not in found
        }

    def agent(self, path: str) -> TranscriptAgent:
        """One of them, in sum."""
        steps = self._agents[path]
        end_us = max((step.end_us for step in steps if step.end_us is not None), default=None)
        is_open = any(step.status == "open" for step in steps)
        return {
            "agent_path": path,
            "agent_name": next((step.agent_name for step in steps if step.agent_name), None),
            "parent_step": steps[0].parent_step,
            "first_step": steps[0].step,
            "last_step": steps[-1].step,
            "start_us": steps[0].start_us,
            "duration_us": None if is_open or end_us is None else end_us - steps[0].start_us,
            "n_steps": len(steps),
            "n_llm": sum(step.kind == "llm" for step in steps),
            "n_tools": sum(step.kind == "tool" for step in steps),
            "n_errors": sum(step.status == "error" for step in steps),
            "input_tokens": total(step.input_tokens for step in steps),
            "output_tokens": total(step.output_tokens for step in steps),
            "cost_usd": finite(total(step.cost_usd for step in steps)),
            "status": "open" if is_open else steps[-1].status,
            "first": beginning(self._first.get(path)),
            "last": beginning(self._last.get(path)),
        }


_LOOKED_AT: Final = ((0, 2), (2, 32))
"""Steps from the begin and from the end of an agent in which something said is looked for."""


def _told(
    places: Mapping[str, Sequence[int]],
    steps: Mapping[int, Step],
    read: Callable[[Step], str | None],
) -> dict[str, str]:
    """The first text that is read of the steps at some places, of each agent that has one."""
    found = {
        path: next(filter(None, (read(steps[number]) for number in numbers)), None)
        for path, numbers in places.items()
    }
    return {path: text for path, text in found.items() if text is not None}


def _asked(step: Step) -> str | None:
    """The first thing that anybody said to an agent at a step."""
    return next((text for role, text in said(step.new_messages) if role == "user"), None)


def _answered(step: Step) -> str | None:
    """What came of a step."""
    return step.output_text or step.result or step.error_message


_ASKED: Final = {"retrieval": "query"}


def _pieces(texts: Texts, step: Step) -> Iterator[Piece]:
    """What a step said and got, in the order of reading."""
    asked = _ASKED.get(step.kind, "arguments")
    for label, column in (
        ("reasoning", "reasoning"),
        ("answer", "output_text"),
        (asked, "arguments"),
        ("result", "result"),
        ("model_saw", "model_saw"),
        ("observation", "observation"),
        ("error", "error_message"),
    ):
        text: str | None = getattr(step, column)
        if text and not _is_repeated(step, column):
            yield _piece(label, texts.text(column, text), _is_json(text), None)


def _piece(label: Any, text: Text | None, is_json: bool, media: Media | None) -> Piece:
    return {"label": label, "text": text, "is_json": is_json, "media": media}


def _is_repeated(step: Step, column: str) -> bool:
    """Whether another column of the step has said the same."""
    text = getattr(step, column)
    match column:
        case "result":
            return bool(text == step.error_message)
        case "model_saw":
            return any(_says_the_same(text, told) for told in (step.result, step.error_message))
        case _:
            return False


def _says_the_same(left: str, right: str | None) -> bool:
    """Whether two texts are equal, or the same JSON laid out in two ways."""
    if right is None or left == right:
        return left == right
    try:
        return bool(json.loads(left) == json.loads(right))
    except (ValueError, RecursionError):
        return False


def _is_json(text: str) -> bool:
    return text[:1] in ("{", "[")
