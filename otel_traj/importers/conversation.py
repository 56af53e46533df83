"""A run told as chat messages: who was told what before each answer.

A request to a model is what was said before it. It is told as the messages that are new in it and
the call that it goes on from, so that a run of n messages takes space for n messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_traj.importers.transcript import UNTOLD, Times, Transcript, rest

_FAILED: Final = re.compile(r"\s*(?:Error|Exception)\b")
"""How results begin that tell of a failure, where nothing but the text does."""

_Message = Mapping[str, Any]


class Conversation:
    """The messages of one agent, in order, as `messages.chat_message` takes them."""

    def __init__(self, transcript: Transcript, *, model: str | None = None) -> None:
        """Begin a conversation.

        Args:
            transcript: Where it is told.
            model: Who answers, where a message does not say so itself.
        """
        self._transcript = transcript
        self._model = model
        self._instructions: list[_Message] = []
        self._heard: list[_Message] = []
        self._last: str | None = None
        self._asked: dict[str, _Message] = {}
        self._is_shown_apart = False
        self.last_text: str | None = None

    def hear(self, message: _Message) -> None:
        """A message that the next request holds: of a user, or instructions."""
        is_leading = self._last is None and not self._heard
        target = (
            self._instructions if message.get("role") == "system" and is_leading else self._heard
        )
        target.append(message)

    def say(
        self,
        text: str | None,
        tool_calls: Sequence[_Message] = (),
        *,
        reasoning: str | None = None,
        model: str | None = None,
        error: str | None = None,
        times: Times = UNTOLD,
        attributes: Mapping[str, Any] | None = None,
        keep: Mapping[str, Any] | None = None,
        made_up: Sequence[str] = (),
    ) -> str:
        """What the model answered; gives the span id of the call."""
        self._last = self._transcript.model_call(
            new=self._heard if self._last else [*self._instructions, *self._heard],
            text=text,
            reasoning=reasoning,
            tool_calls=tool_calls,
            after=self._last,
            model=model or self._model,
            error=error,
            times=times,
            attributes=attributes,
            keep=keep,
            made_up=made_up,
        )
        self._heard, self._is_shown_apart = [], False
        self._asked = {str(call["id"]): call for call in tool_calls if call.get("id")}
        self.last_text = text
        return self._last

    def ask_of(self, call_id: str | None) -> tuple[str | None, Any]:
        """Name and arguments of what the last answer asked for under an id."""
        call = self._asked.get(str(call_id), {})
        function = call.get("function")
        told = function if isinstance(function, Mapping) else call
        name = told.get("name")
        return (str(name) if name else None), told.get("arguments")

    def run(
        self,
        call_id: str | None,
        result: Any,
        *,
        name: str | None = None,
        arguments: Any = None,
        error: str | None = None,
        times: Times = UNTOLD,
        keep: Mapping[str, Any] | None = None,
        made_up: Sequence[str] = (),
        judged_by_text: bool = False,
    ) -> str:
        """A tool that was asked for and what it gave, which the next request holds.

        Args:
            call_id: Which of the calls of the last answer.
            result: What it gave.
            name: What the tool is called, where the answer does not say so.
            arguments: What it was given, likewise.
            error: That it failed, and how.
            times: When.
            keep: What has no name in the conventions.
            made_up: Columns that this tells although the source does not.
            judged_by_text: Nothing else than the text would tell a failure.
        """
        asked_name, asked_arguments = self.ask_of(call_id)
        if error is None and judged_by_text and isinstance(result, str) and _FAILED.match(result):
            error, made_up = result, (*made_up, "error_message")
        span_id = self._transcript.tool_call(
            asked_name or name,
            asked_arguments if asked_arguments is not None else arguments,
            result,
            call_id=call_id,
            error=error,
            times=times,
            keep=keep,
            made_up=made_up,
        )
        self._heard.append({"role": "tool", "tool_call_id": call_id, "content": result})
        return span_id

    def shown(self, content: Any) -> None:
        """What the next request holds of the last result, where that is not the whole result."""
        if self._heard and self._heard[-1].get("role") == "tool":
            if content != self._heard[-1].get("content"):
                self._heard[-1] = {**self._heard[-1], "content": content}
                self._is_shown_apart = True
        else:
            self._heard.append({"role": "user", "content": content})

    def end(self) -> None:
        """Nothing follows: what no request holds any more is kept as events."""
        for message in self._heard if self._last else (*self._instructions, *self._heard):
            if message.get("role") != "tool" or self._is_shown_apart:
                self._transcript.note("message", message)
        self._heard = []


def tell_openai(conversation: Conversation, transcript: Transcript, messages: Any) -> None:
    """Tell messages of OpenAI's chat API, with what else stands on them."""
    for message in messages:
        role = message.get("role")
        if role == "assistant":
            reasoning = message.get("reasoning_content") or message.get("reasoning")
            conversation.say(
                text_of(message.get("content")),
                message.get("tool_calls") or (),
                reasoning=reasoning if isinstance(reasoning, str) else None,
                keep=rest(
                    message, "role", "content", "tool_calls", "reasoning_content", "reasoning"
                ),
            )
        elif role == "tool":
            conversation.run(
                message.get("tool_call_id"),
                message.get("content"),
                name=message.get("name"),
                keep=rest(message, "role", "content", "tool_call_id", "name"),
                judged_by_text=True,
            )
        else:
            conversation.hear({"role": role, "content": message.get("content")})
            transcript.note("message", rest(message, "role", "content"))


def text_of(content: Any) -> str | None:
    """The text of a message's content: a text, or the text parts of a list."""
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str)) if any(texts) else None
