"""ATIF, the Agent Trajectory Interchange Format, versions 1.x up to 1.8.

    {"schema_version": "ATIF-v1.8", "agent": {...}, "steps": [{"source", "message", "tool_calls",
     "observation", "metrics"}], "final_metrics", "subagent_trajectories"}

A step of an agent is a call of its model and of the tools that it asked for; what others said is
part of the next request. Trajectories of sub-agents that a document holds are told inside the tool
calls that refer to them. The format has no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from otel_traj import semconv
from otel_traj.importers.conversation import Conversation, text_of
from otel_traj.importers.parts import Records
from otel_traj.importers.times import iso_ns
from otel_traj.importers.transcript import Times, Transcript, rest

NAME: Final = "ATIF"

_VERSION: Final = re.compile(r"ATIF-v1\.\d+")

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """A document, or an object that holds some by name."""
    return _is_document(value) or any(map(_is_document, value.values()))


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """Document by document; those that another one refers to are told in that."""
    named = {"": value} if _is_document(value) else dict(value)
    documents = {name: item for name, item in named.items() if _is_document(item)}
    by_id = {id_: item for item in documents.values() for id_ in _ids(item)}
    referred = {id_ for item in documents.values() for id_ in _referred(item)}
    for name, document in documents.items():
        if referred.isdisjoint(_ids(document)):
            yield name, _run(document, by_id)


def _is_document(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and str(value.get("schema_version") or "").startswith("ATIF-")
        and isinstance(value.get("steps"), list)
    )


def _ids(document: _Object) -> list[str]:
    return [str(document[key]) for key in ("trajectory_id", "session_id") if document.get(key)]


def _referred(document: _Object) -> Iterator[str]:
    """The ids of the sub-agents' trajectories that a document's results name."""
    for step in document["steps"]:
        for result in (step.get("observation") or {}).get("results") or ():
            for reference in result.get("subagent_trajectory_ref") or ():
                yield from _ids(reference)


def _run(document: _Object, others: Mapping[str, _Object]) -> Records:
    inside = {id_: others[id_] for id_ in _referred(document) if id_ in others}
    transcript = Transcript("atif", [document, inside], agent=_name(document))
    _Teller(transcript, {**others, **_embedded(document)}, frozenset(_ids(document))).tell(document)
    agent = document["agent"]
    transcript.describe(agent_version=agent.get("version"), session_id=document.get("session_id"))
    transcript.keep(rest(document, "agent", "steps", "session_id", "subagent_trajectories"))
    transcript.keep({"subagent_trajectories": _unmentioned(document) or None})
    transcript.keep({"agent": rest(agent, "name", "version") or None})
    yield from transcript.records()


def _name(document: _Object) -> str | None:
    version = str(document["schema_version"])
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version} is not known; ATIF-v1.x is read")
    name = document["agent"].get("name")
    return None if name is None else str(name)


def _embedded(document: _Object) -> dict[str, _Object]:
    inner = document.get("subagent_trajectories") or ()
    return {id_: item for item in inner for id_ in _ids(item)}


def _unmentioned(document: _Object) -> list[_Object]:
    """Trajectories that a document holds and no result of it refers to: nothing tells of them."""
    referred = set(_referred(document))
    inner = document.get("subagent_trajectories") or ()
    return [item for item in inner if referred.isdisjoint(_ids(item))]


class _Teller:
    """The steps of one document, and below its tool calls those of sub-agents."""

    def __init__(
        self, transcript: Transcript, documents: Mapping[str, _Object], above: frozenset[str]
    ) -> None:
        self._transcript = transcript
        self._documents = documents
        self._above = above  # documents being told: one that refers to itself ends there

    def tell(self, document: _Object) -> None:
        """All steps, in order."""
        agent = document["agent"]
        conversation = Conversation(self._transcript, model=agent.get("model_name"))
        for step in document["steps"]:
            if step.get("source") == "agent" and not step.get("is_copied_context"):
                self._acted(conversation, step, agent)
            else:
                self._heard(conversation, step)
        conversation.end()
        if conversation.last_text and not self._transcript.is_inside:
            self._transcript.answer(conversation.last_text)

    def _heard(self, conversation: Conversation, step: _Object) -> None:
        """What others said, and what an earlier trajectory had told already."""
        self._transcript.at(_ns(step.get("timestamp")))
        role = "assistant" if step.get("source") == "agent" else step.get("source")
        calls = [_call(call) for call in step.get("tool_calls") or ()]
        said = {"role": role, "content": step.get("message")}
        conversation.hear({**said, "tool_calls": calls} if calls else said)
        self._transcript.note("step", _noted(step, "source"))
        for result in (step.get("observation") or {}).get("results") or ():
            call_id, content = result.get("source_call_id"), result.get("content")
            conversation.hear({"role": "tool", "tool_call_id": call_id, "content": content})

    def _acted(self, conversation: Conversation, step: _Object, agent: _Object) -> None:
        calls = step.get("tool_calls") or ()
        when_ns = _ns(step.get("timestamp"))
        if step.get("llm_call_count") == 0:
            noted = _noted(step, "observation")
            self._transcript.note("step", noted, at_ns=when_ns)
            said = {"role": "assistant", "content": step.get("message") or None}
            conversation.hear({**said, "tool_calls": [_call(call) for call in calls]})
        else:
            self._said(conversation, step, agent, when_ns)
        by_id = {call.get("tool_call_id"): call for call in calls}
        results = (step.get("observation") or {}).get("results") or ()
        for result in results:
            call = by_id.pop(result.get("source_call_id"), None)
            if call is None and len(results) == len(calls) == 1:
                call = by_id.popitem()[1]  # the one result of the one call, though it names none
            if call is not None or result.get("subagent_trajectory_ref"):
                self._observed(conversation, result, call or {})
            else:
                conversation.hear({"role": "tool", "content": result.get("content")})
                self._transcript.note("result", {"result": result})
        if step.get("llm_call_count") == 0:  # nothing else would tell of these
            for call in by_id.values():
                self._observed(conversation, {}, call)

    def _said(
        self, conversation: Conversation, step: _Object, agent: _Object, when_ns: int | None
    ) -> None:
        metrics = step.get("metrics") or {}
        calls = [_call(call) for call in step.get("tool_calls") or ()]
        known = ("source", "reasoning_content", "tool_calls", "observation", "metrics")
        conversation.say(
            _text(step.get("message"), calls),
            calls,
            reasoning=step.get("reasoning_content"),
            model=step.get("model_name"),
            times=Times(when_ns, None),
            attributes={
                semconv.INPUT_TOKENS: metrics.get("prompt_tokens"),
                semconv.OUTPUT_TOKENS: metrics.get("completion_tokens"),
                semconv.CACHE_READ_TOKENS: metrics.get("cached_tokens"),
                semconv.COST_USD: metrics.get("cost_usd"),
                semconv.REQUEST_REASONING_LEVEL: step.get("reasoning_effort"),
                semconv.TOOL_DEFINITIONS: agent.get("tool_definitions"),
            },
            keep={
                **_noted(step, *known, "model_name", "reasoning_effort"),
                "metrics": metrics or None,
                "tool_call_extras": _unanswered(step) or None,
            },
        )

    def _observed(self, conversation: Conversation, result: _Object, call: _Object) -> None:
        span_id = conversation.run(
            call.get("tool_call_id") or result.get("source_call_id"),
            result.get("content"),
            name=call.get("function_name"),
            arguments=call.get("arguments"),
            keep={
                **rest(result, "source_call_id", "content"),
                "content": _structured(result.get("content")),
                "tool_call_extra": call.get("extra"),
            },
        )
        for reference in result.get("subagent_trajectory_ref") or ():
            self._delegated(reference, span_id)

    def _delegated(self, reference: _Object, span_id: str) -> None:
        """The trajectory of a sub-agent, if this document holds it."""
        document = next(
            (self._documents[id_] for id_ in _ids(reference) if id_ in self._documents), None
        )
        if document is None or not self._above.isdisjoint(_ids(document)):
            return
        inner = {**self._documents, **_embedded(document)}
        known = ("agent", "steps", "subagent_trajectories")
        keep = {
            **rest(document, *known),
            "agent": rest(document["agent"], "name"),
            "subagent_trajectories": _unmentioned(document) or None,
        }
        with self._transcript.inside(span_id), self._transcript.agent(_name(document), keep=keep):
            above = self._above | frozenset(_ids(document))
            _Teller(self._transcript, inner, above).tell(document)


def _call(call: _Object) -> dict[str, Any]:
    return {
        "id": call.get("tool_call_id"),
        "name": call.get("function_name"),
        "arguments": call.get("arguments"),
    }


def _text(message: Any, calls: Sequence[Any]) -> str | None:
    """The words of an answer; an empty message beside tool calls is none."""
    text = text_of(message)
    return None if calls and not text else text


def _noted(step: _Object, *known: str) -> dict[str, Any]:
    """What a step says beside the known; its message only where it is more than a text."""
    return {**rest(step, *known), "message": _structured(step.get("message"))}


def _structured(content: Any) -> Any:
    """Content that is no plain text, and so would not come back as it was."""
    return None if isinstance(content, str) else content


def _unanswered(step: _Object) -> dict[str, Any]:
    """What calls without a result say beside name and arguments, by their ids."""
    results = (step.get("observation") or {}).get("results") or ()
    answered = {result.get("source_call_id") for result in results}
    return {
        call["tool_call_id"]: call["extra"]
        for call in step.get("tool_calls") or ()
        if call.get("extra") and call.get("tool_call_id") not in answered
    }


def _ns(told: Any) -> int | None:
    return iso_ns(told) if told else None
