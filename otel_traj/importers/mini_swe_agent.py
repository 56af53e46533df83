"""Trajectories of mini-swe-agent (`.traj.json`), and files of lists of chat messages.

    {"info": {"exit_status", "submission", "model_stats"}, "messages": [...],
     "trajectory_format": "mini-swe-agent-1"}

The agent has one tool, a shell, called `bash` here. In the first versions, models wrote the command
into their answer, between fences, and were shown what it gave as `<returncode>`, `<output>`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

from otel_traj import semconv
from otel_traj.importers.checks import checked
from otel_traj.importers.conversation import Conversation, text_of
from otel_traj.importers.parts import Flaw, Part, Records
from otel_traj.importers.transcript import Times, Transcript, rest

NAME: Final = "mini-swe-agent trajectory"
MESSAGES: Final = "chat messages"

_TOOL: Final = "bash"
_FENCED: Final = re.compile(r"```(?:mswea_bash_command|bash)\s*\n(.*?)\n```", re.S)
_RETURNED: Final = re.compile(r"\s*<returncode>(-?\d+)</returncode>")
_SUBMITTED: Final = "Submitted"
_BUDGET: Final = frozenset({"LimitsExceeded", "RepeatedFormatError", "TimeExceeded"})
_LIST_OF_MESSAGES: Final = re.compile(
    rb'\s*\[\s*\{\s*(?:"content"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*)?"role"\s*:\s*"\w+"'
)
_SPACE: Final = re.compile(r"\s*")
_DECODER: Final = json.JSONDecoder()
_S: Final = 10**9  # nanoseconds

_Object = Mapping[str, Any]


# --- files of lists of messages ------------------------------------------------------------------


def recognises(head: bytes) -> bool:
    """It opens with a list that opens with a message."""
    return _LIST_OF_MESSAGES.match(head.removeprefix(codecs.BOM_UTF8)) is not None


def parts(stream: BinaryIO) -> Iterator[Part | Flaw]:
    """A run per list; the file is held in memory whole."""
    text = stream.read().decode("utf-8-sig", "replace")
    at = _next(text, 0)
    while at < len(text):
        place = f"character {at + 1}"
        try:
            messages, end = _DECODER.raw_decode(text, at)
        except ValueError as error:
            yield Flaw("damaged", place, f"a list of messages, but broken JSON ({error})")
            return
        yield Part(MESSAGES, place, checked(MESSAGES, _run({"messages": messages})))
        at = _next(text, end)


def _next(text: str, at: int) -> int:
    """Where the next value begins."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


# --- whole trajectories --------------------------------------------------------------------------


def fits(value: _Object) -> bool:
    """A whole file."""
    if not isinstance(value.get("messages"), list):
        return False
    if str(value.get("trajectory_format") or "").startswith("mini-swe-agent"):
        return True
    info = value.get("info")
    return isinstance(info, Mapping) and not {"model_stats", "exit_status"}.isdisjoint(info)


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """The run."""
    yield "", _run(value)


def _run(value: _Object) -> Records:
    info = value.get("info") or {}
    model = ((info.get("config") or {}).get("model") or {}).get("model_name")
    transcript = Transcript("mini_swe_agent", value, agent="mini-swe-agent" if info else None)
    transcript.describe(task_id=value.get("instance_id"), agent_version=info.get("mini_version"))
    teller = _Teller(transcript, Conversation(transcript, model=model))
    teller.tell(value["messages"])
    transcript.file_changes(info.get("submission"), span_id=teller.last)
    transcript.answer(info.get("submission"))
    transcript.keep(info)
    transcript.keep(rest(value, "messages", "info", "instance_id"))
    _judge(transcript, info)
    yield from transcript.records()


class _Teller:
    """Messages in order; what a fenced command gave is the message after it."""

    def __init__(self, transcript: Transcript, conversation: Conversation) -> None:
        self._transcript = transcript
        self._conversation = conversation
        self._command: str | None = None
        self.last: str | None = None

    def tell(self, messages: Sequence[_Object]) -> None:
        """All of them."""
        for message in messages:
            if message.get("role") == "assistant":
                self._answered(message)
            elif message.get("role") == "tool" or self._command is not None:
                self._observed(message)
            else:
                self._heard(message)
        self._conversation.end()

    def _answered(self, message: _Object) -> None:
        extra = message.get("extra") or {}
        response = extra.get("response") or {}
        usage = response.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        text = text_of(message.get("content"))
        calls = message.get("tool_calls") or ()
        self._conversation.say(
            text,
            calls,
            reasoning=_text_or_none(message.get("reasoning_content")),
            times=Times(None, _ns(extra.get("timestamp"))),
            attributes={
                semconv.RESPONSE_ID: response.get("id"),
                semconv.RESPONSE_MODEL: response.get("model"),
                semconv.INPUT_TOKENS: usage.get("prompt_tokens"),
                semconv.OUTPUT_TOKENS: usage.get("completion_tokens"),
                semconv.CACHE_READ_TOKENS: details.get("cached_tokens"),
                semconv.COST_USD: extra.get("cost"),
            },
            keep=rest(message, "role", "content", "tool_calls", "reasoning_content"),
        )
        self._command = None if calls else _command(extra, text)

    def _observed(self, message: _Object) -> None:
        extra = message.get("extra") or {}
        shown = text_of(message.get("content"))
        returned = extra.get("returncode")
        found = _RETURNED.match(shown or "")
        if returned is None and found is not None:
            returned = int(found[1])
        self.last = self._conversation.run(
            message.get("tool_call_id"),
            extra.get("raw_output", shown),
            name=_TOOL,
            arguments=None if self._command is None else {"command": self._command},
            error=_failure(extra.get("exception_info"), returned),
            times=Times(None, _ns(extra.get("timestamp"))),
            keep=rest(message, "role", "content", "tool_call_id"),
            made_up=() if message.get("tool_call_id") else ("tool_name",),
        )
        self._conversation.shown(shown)
        self._command = None

    def _heard(self, message: _Object) -> None:
        self._transcript.at(_ns((message.get("extra") or {}).get("timestamp")))
        if message.get("role") != "exit":
            said = {"role": message.get("role"), "content": text_of(message.get("content"))}
            self._conversation.hear(said)
            self._transcript.note("message", rest(message, "role", "content"))
        else:
            self._transcript.note("message", message)


def _failure(exception: Any, returned: Any) -> str | None:
    """What the environment says of a command that failed."""
    if exception:
        return str(exception)
    return f"returncode {returned}" if returned not in (None, 0) else None


def _command(extra: _Object, text: str | None) -> str | None:
    actions = extra.get("actions") or ()
    told = [action.get("command") for action in actions if isinstance(action, Mapping)]
    if told and isinstance(told[0], str):
        return told[0]
    fenced: list[str] = _FENCED.findall(text or "")
    return fenced[0].strip() if len(fenced) == 1 else None


def _judge(transcript: Transcript, info: _Object) -> None:
    """As for SWE-agent: a submission is no success; to end without one is a failure."""
    ended = info.get("exit_status")
    if not isinstance(ended, str) or not ended:
        return
    transcript.evaluate("exit_status", label=ended)
    if isinstance(info.get("resolved"), bool):
        transcript.outcome("success" if info["resolved"] else "failure")
    elif ended in _BUDGET:
        transcript.outcome("failure", category=ended)
    elif ended != _SUBMITTED:
        transcript.fail(ended)
        transcript.outcome("error", category=ended)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _ns(seconds: Any) -> int | None:
    return round(seconds * _S) if isinstance(seconds, int | float) else None
