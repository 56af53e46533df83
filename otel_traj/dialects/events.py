"""Contents that travel as events: on the span, or as log records with the span's context.

The form of the conventions up to 1.36: one event per message (`gen_ai.user.message`, …), one
`gen_ai.choice` per answer; before that two events with the whole prompt and completion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_traj import semconv
from otel_traj.dialects.facts import Facts
from otel_traj.dialects.messages import Message, Messages, decode, loads
from otel_traj.model import LogRecord, SpanEvent, SpanRecord

_ROLES: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE: Final = "gen_ai.choice"
_PROMPT: Final = ("gen_ai.content.prompt", "gen_ai.prompt")
_COMPLETION: Final = ("gen_ai.content.completion", "gen_ai.completion")

CONTENT_EVENTS: Final = frozenset({*_ROLES, _CHOICE, *_PROMPT, *_COMPLETION})
"""Events whose body is a message, or a whole prompt or completion."""


def read_events(span: SpanRecord, logs: Iterable[LogRecord], listed: Iterable[Any] = ()) -> Facts:
    """Input and output messages that events tell.

    Args:
        span: Its own events.
        logs: Log records that tell of it.
        listed: Attributes that hold a list of events as JSON.
    """
    entries = [_of_span_event(event) for event in span.events]
    entries += [_of_log(log) for log in logs]
    entries.sort(key=lambda entry: (entry[0], str(entry[1]), repr(entry[2])))
    entries += [entry for value in listed for entry in _of_list(value)]
    given: list[Message] = []
    said: list[Message] = []
    for _, name, body in entries:
        if name in _ROLES:
            given += _message(body, _ROLES[name])
        elif name == _CHOICE:
            said += _choice(body)
        elif name in _PROMPT:
            given += decode(body.get("gen_ai.prompt"), "user")
        elif name in _COMPLETION:
            said += decode(body.get("gen_ai.completion"), "assistant")
    return Facts(input=tuple(given) or None, output=tuple(said) or None)


_CHUNK: Final = re.compile(
    r"First Token Stream Event|new_token|ai\.stream\.firstChunk"
    r"|mlflow\.chunk\..*|.*\.completion\.chunk"
)
"""Events by which instrumentors tell the pieces of a streamed answer."""


def first_chunk_ns(span: SpanRecord) -> int | None:
    """When the first piece of a streamed answer came, Unix nanoseconds; None if nothing tells."""
    return min((e.time_ns for e in span.events if _CHUNK.fullmatch(e.name)), default=None)


def handoffs_in(span: SpanRecord) -> Iterable[tuple[int, Facts]]:
    """(Unix nanoseconds, facts) of each message by which an agent hands over, told as an event."""
    for event in span.events:
        told = event.attributes
        if told.get("message.type") == "handoff" and told.get("message.to_agent"):
            given, to = told.get("message.from_agent"), str(told["message.to_agent"])
            facts = Facts(kind="handoff", handoff_to=to, arguments=told.get("message.content"))
            facts.handoff_from = str(given) if given else None
            yield event.time_ns, facts


def _of_span_event(event: SpanEvent) -> tuple[int, str, Mapping[str, Any]]:
    body = {
        key: loads(value) if key != "content" else value for key, value in event.attributes.items()
    }
    return event.time_ns, event.name, body


def _of_list(value: Any) -> Iterable[tuple[int, str, Mapping[str, Any]]]:
    events = loads(value)
    for event in events if isinstance(events, list) else ():
        if isinstance(event, Mapping):
            name = event.get(semconv.EVENT_NAME) or (_CHOICE if "message" in event else "")
            yield 0, str(name), event


def _of_log(log: LogRecord) -> tuple[int, str, Mapping[str, Any]]:
    body = loads(log.body)
    told = body if isinstance(body, Mapping) else {"content": body} if body else {}
    return log.time_ns or log.observed_ns or 0, log.event_name or "", told


def _message(body: Mapping[str, Any], role: str) -> Messages:
    return decode({"role": role, **body}, role)


def _choice(body: Mapping[str, Any]) -> Messages:
    """The message of a choice; it may lie inside, beside, or (content off) be missing."""
    message = loads(body.get("message"))
    inner = dict(message) if isinstance(message, Mapping) else {}
    if isinstance(message, str):
        inner["content"] = message
    for key in ("tool_calls", "content"):
        if key in body and key not in inner:
            inner[key] = loads(body[key]) if key == "tool_calls" else body[key]
    said = decode(
        {"role": "assistant", **inner, "finish_reason": body.get("finish_reason")}, "assistant"
    )
    return said
