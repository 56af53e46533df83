"""Trajectories of SWE-agent (`.traj`): steps of thought, action and observation, and the messages.

    {"trajectory": [{"action", "observation", "response", "thought", "state", "execution_time"}],
     "history": [{"role", "content", "agent", "tool_calls", ...}], "info": {"exit_status", ...}}

A step's action is the tool that ran. Where its model called no function, but wrote a command into
its answer, the tool is the first word of the command. What the environment answered is told as
the tool's answer, also where the model was shown it in the user's name. That a patch was submitted
is no verdict on it; `resolved` is one, where an evaluation added it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from otel_traj.importers.conversation import Conversation, text_of
from otel_traj.importers.parts import Records
from otel_traj.importers.transcript import Transcript, rest

NAME: Final = "SWE-agent trajectory"

_HARNESS_FAULTS: Final = frozenset({"exit_error", "exit_environment_error", "exit_api"})
_SUBMITTED: Final = "submitted"

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """A whole file; demonstrations have only the messages."""
    history, steps = value.get("history"), value.get("trajectory")
    if isinstance(steps, list) and steps and isinstance(steps[0], Mapping):
        return {"action", "observation"} <= steps[0].keys()
    if not isinstance(history, list) or not history or not isinstance(history[0], Mapping):
        return False
    return {"role", "agent"} <= history[0].keys()


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """The run."""
    yield "", _run(value)


def _run(value: _Object) -> Records:
    history = value.get("history") or ()
    info = value.get("info") or {}
    config = _object(value.get("replay_config"))
    problem = config.get("problem_statement") or {}
    transcript = Transcript("swe_agent", value, agent=_agent(history))
    transcript.describe(
        task_id=problem.get("id") or value.get("instance_id"),
        task=problem.get("text") or problem.get("problem_statement"),
    )
    model = (config.get("agent") or {}).get("model") or {}
    last = _Teller(transcript, Conversation(transcript, model=model.get("name"))).tell(
        history, value.get("trajectory") or ()
    )
    transcript.file_changes(info.get("submission"), span_id=last)
    transcript.answer(info.get("submission"))
    transcript.keep(info)
    transcript.keep(rest(value, "trajectory", "history", "info"))
    _judge(transcript, value, info)
    yield from transcript.records()


def _agent(history: Sequence[_Object]) -> str | None:
    return next((message["agent"] for message in history if message.get("agent")), None)


class _Teller:
    """Steps and messages tell of the same things; what a step tells is placed by its answer."""

    def __init__(self, transcript: Transcript, conversation: Conversation) -> None:
        self._transcript = transcript
        self._conversation = conversation
        self._last: str | None = None

    def tell(self, history: Sequence[_Object], steps: Sequence[_Object]) -> str | None:
        """All of it, in order; gives the span of the last tool that ran."""
        left = list(steps)
        step: _Object | None = None
        for message in history:
            role = message.get("role")
            if message.get("is_demo"):
                self._hear(message)
            elif role == "assistant":
                step = left.pop(0) if left and _is_of(left[0], message) else {}
                self._answered(message, step)
            elif step is not None and role in ("user", "tool"):
                self._observed(message, step)
                step = None
            else:
                self._hear(message)
        for unplaced in left:  # messages that a history processor took out
            self._answered({}, unplaced)
        self._conversation.end()
        return self._last

    def _hear(self, message: _Object) -> None:
        role, content = message.get("role"), text_of(message.get("content"))
        self._conversation.hear({"role": role, "content": content})
        self._transcript.note("message", rest(message, "role", "content"))

    def _answered(self, message: _Object, step: _Object) -> None:
        calls = [call for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
        said = text_of(message.get("content")) or step.get("response") or step.get("thought")
        self._conversation.say(
            said,
            calls,
            keep={
                **rest(message, "role", "content", "tool_calls", "action"),
                **rest(step, "action", "observation", "execution_time", "thought"),
            },
        )
        action = step.get("action") or message.get("action")
        if step or calls:
            self._run(action, calls, step)

    def _run(self, action: Any, calls: Sequence[_Object], step: _Object) -> None:
        """The tool that a step ran; several calls in one answer are several tools."""
        keep = {"execution_time": step.get("execution_time"), "action": action}
        observed = step.get("observation")
        if calls:
            for number, call in enumerate(calls):
                is_last = number == len(calls) - 1
                self._last = self._conversation.run(
                    call.get("id"), observed if is_last else None, keep=keep if is_last else None
                )
        elif isinstance(action, str) and action.strip():
            self._last = self._conversation.run(
                None,
                observed,
                name=action.split(None, 1)[0],
                arguments={"command": action},
                keep=keep,
                made_up=("tool_name",),
            )
        elif observed:
            self._conversation.hear({"role": "user", "content": observed})

    def _observed(self, message: _Object, step: _Object) -> None:
        """What the model was shown of a tool's result."""
        self._conversation.shown(text_of(message.get("content")))
        self._transcript.note("message", rest(message, "content"))


def _is_of(step: _Object, message: _Object) -> bool:
    """Whether a step began with this answer."""
    said = _texts(message.get("content"), message.get("thought"))
    told = _texts(step.get("response"), step.get("thought"))
    actions = _texts(step.get("action")) & _texts(message.get("action"))
    return bool(actions) or not said.isdisjoint(told)


def _texts(*values: Any) -> set[str]:
    """The texts among some values that say something."""
    return {value.strip() for value in values if isinstance(value, str) and value.strip()}


def _judge(transcript: Transcript, value: _Object, info: _Object) -> None:
    """Who submitted nothing failed; whether what was submitted is right, others must say."""
    ended = info.get("exit_status")
    if isinstance(ended, str):
        transcript.evaluate("exit_status", label=ended)
    resolved = next(
        (told for told in (value.get("resolved"), info.get("resolved"), value.get("target"))
         if isinstance(told, bool)),
        None,
    )  # fmt: skip
    category = ended if isinstance(ended, str) and not ended.startswith(_SUBMITTED) else None
    if resolved is not None:
        transcript.outcome("success" if resolved else "failure", category=category)
    elif category in _HARNESS_FAULTS:
        transcript.fail(str(category))
        transcript.outcome("error", category=category)
    elif category is not None:
        transcript.outcome("failure", category=category)


def _object(told: Any) -> _Object:
    """An object that may come as JSON text."""
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            return {}
    return told if isinstance(told, Mapping) else {}
