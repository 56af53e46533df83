r"""Results of tau-bench: a simulated user talks to an agent with tools; reward 1 or 0.

    {"task_id", "trial", "reward", "info": {"task", "reward_info", ...}, "traj": [messages]}

Also its few-shot dialogues, `{"messages_display": "user: ...\\nassistant: ..."}`, texts that name
neither tools nor arguments, and no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

from otel_traj.importers.conversation import Conversation, tell_openai
from otel_traj.importers.parts import Records
from otel_traj.importers.transcript import Transcript, rest

NAME: Final = "tau-bench results"

_DIALOGUE: Final = "messages_display"
_TURN: Final = re.compile(r"^(user|assistant|tool|system): ", re.M)
_NO_TEXT: Final = "None"

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """One run, or one dialogue."""
    if isinstance(value.get(_DIALOGUE), str):
        return True
    return isinstance(value.get("traj"), list) and "task_id" in value and "reward" in value


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """The run."""
    yield "", _dialogue(value) if _DIALOGUE in value else _run(value)


def _run(value: _Object) -> Records:
    info = value.get("info") or {}
    task = info.get("task") or {}
    transcript = Transcript("tau_bench", value, trial=value.get("trial"))
    transcript.describe(task_id=str(value["task_id"]), task=task.get("instruction"))
    conversation = Conversation(transcript)
    tell_openai(conversation, transcript, value["traj"])
    conversation.end()
    transcript.answer(conversation.last_text)
    transcript.keep(info)
    transcript.keep(rest(value, "task_id", "trial", "reward", "info", "traj"))
    if value["reward"] is not None:
        transcript.reward(float(value["reward"]), is_verdict=not info.get("error"))
    if info.get("error"):  # the harness stopped, whatever the reward says
        transcript.fail("_OTHER", str(info["error"]))
        transcript.outcome("error", why=str(info["error"]))
    yield from transcript.records()


def _dialogue(value: _Object) -> Records:
    """Who said what; of calls of tools only what the tools gave is told."""
    transcript = Transcript("tau_bench", value)
    conversation = Conversation(transcript)
    text = value[_DIALOGUE]
    turns = list(_TURN.finditer(text))
    for turn, following in zip_longest(turns, turns[1:]):
        said = text[turn.end() : following.start() if following else None].removesuffix("\n")
        if turn[1] == "assistant":
            conversation.say(None if said == _NO_TEXT else said)
        elif turn[1] == "tool":
            conversation.run(None, said, judged_by_text=True)
        else:
            conversation.hear({"role": turn[1], "content": said})
    conversation.end()
    transcript.keep(rest(value, _DIALOGUE))
    yield from transcript.records()
