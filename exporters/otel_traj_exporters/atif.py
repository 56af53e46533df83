"""Trajectories as documents of ATIF 1.8, the Agent Trajectory Interchange Format.

A step of ATIF is a turn: what somebody said, or what a model answered, with the calls that it asked
for and what came back. So the messages of a request become steps of who said them; a tool that no
model asked for becomes a step without a model call; what an agent did inside a call becomes a
document in the document. What the importer kept of an ATIF document goes back to its place.
"""

from __future__ import annotations

import json
import mimetypes
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any, Final, TypeAlias

from otel_traj import semconv
from otel_traj.assembly.tree import Key
from otel_traj.dialects.messages import Message, Part, as_text, from_json, loads, system_text
from otel_traj.model import LogRecord, SpanRecord, Step, Trajectory
from otel_traj.redaction import Redaction
from otel_traj.store import TrajectoryStore
from otel_traj_exporters import received, redacting
from otel_traj_exporters.files import replacing

VERSION: Final = "ATIF-v1.8"

UNKNOWN: Final = "unknown"
"""Where the format wants a name or a version and the run tells none."""

_Object: TypeAlias = "dict[str, Any]"

_KEPT: Final = "atif."
"""Under which attributes and events the importer keeps what has no name in the conventions."""

_JSON: Final = frozenset({
    "agent", "content", "extra", "final_metrics", "message", "metrics", "observation", "result",
    "subagent_trajectories", "subagent_trajectory_ref", "tool_call_extra", "tool_call_extras",
    "tool_calls", "tool_definitions",
})  # fmt: skip
"""What is kept as JSON text; everything else is kept as it was, and so is the content of events."""

_STEP: Final = (
    "step_id", "timestamp", "source", "model_name", "reasoning_effort", "message",
    "reasoning_content", "tool_calls", "observation", "metrics", "extra", "llm_call_count",
    "is_copied_context",
)  # fmt: skip
"""Keys of a step, in the order of the specification."""

_MEDIA: Final = ("image", "audio")


class AtifExporter:
    """Writes one document per line, so that the file of a single run is a document.

    With the store that the trajectories are from, it also has what their spans alone tell: system
    instructions and definitions of tools, and all that ATIF's own documents said.
    """

    def export(
        self,
        trajectories: Iterable[Trajectory],
        path: Path,
        /,
        *,
        store: TrajectoryStore | None = None,
        redaction: Redaction,
    ) -> int:
        """Write the file; one that is there is replaced. Runs without a step are left out."""
        connection = None if store is None else store.connection()  # one, hence one snapshot
        n = 0
        with replacing(path) as write:
            for trajectory in trajectories:
                if not trajectory.steps:
                    continue
                source = _Source()
                if connection is not None:
                    source = _received(connection, trajectory.trajectory_id, redaction)
                told = document(redacting.trajectory(redaction, trajectory), source)
                write(json.dumps(told, separators=(",", ":")).encode() + b"\n")
                n += 1
        return n


# --- what the store says beside the rows -------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """The spans of a run, the events that the importer of ATIF left, and how good the run was."""

    spans: Mapping[Key, SpanRecord] = field(default_factory=dict)
    events: Sequence[LogRecord] = ()
    verdict: Mapping[str, Any] = field(default_factory=dict)

    def attributes(self, key: Key) -> Mapping[str, Any]:
        """Of one span; none where there is no such span."""
        return self.spans[key].attributes if key in self.spans else {}

    def kept(self, key: Key) -> _Object:
        """What an ATIF document said that stands on a span."""
        return _kept(self.attributes(key))

    def noted(self, name: str, key: Key) -> Iterator[_Object]:
        """What an ATIF document said that stands in events of a name beside a span, in order."""
        for event in self.events:
            if event.event_name == f"{_KEPT}{name}" and (event.trace_id, event.span_id) == key:
                yield _decoded(event.attributes, _JSON - {"content"})

    def agent_above(self, step: Step) -> Key:
        """The span of the agent's invocation that a step is in; of the step where none is told."""
        own = (step.trace_id, step.span_id)
        span = self.spans.get(own)
        while span is not None and span.parent_span_id is not None:
            span = self.spans.get((span.trace_id, span.parent_span_id))
            if span and span.attributes.get(semconv.OPERATION) == semconv.OP_INVOKE_AGENT:
                return span.trace_id, span.span_id
        return own


_VERDICT: Final = """
select task_id, task, outcome, outcome_source, reward from trajectories where trajectory_id = $id
"""


def _received(connection: Any, trajectory_id: str, redaction: Redaction) -> _Source:
    told = received.told(connection, trajectory_id)
    [verdict] = connection.sql(_VERDICT, params={"id": trajectory_id}).to_arrow_table().to_pylist()
    if verdict["outcome_source"] == "builtin":
        verdict["outcome"] = verdict["outcome_source"] = None
    spans = map(redaction.record, told.spans)
    return _Source(
        {(span.trace_id, span.span_id): span for span in spans},
        [*map(redaction.record, told.logs)],
        {name: redaction.value(name, value) for name, value in _told(verdict).items()},
    )


def _kept(attributes: Mapping[str, Any]) -> _Object:
    return _decoded(
        {
            key.removeprefix(_KEPT): value
            for key, value in attributes.items()
            if key.startswith(_KEPT)
        }
    )


def _decoded(kept: Mapping[str, Any], as_json: frozenset[str] = _JSON) -> _Object:
    return {key: json.loads(value) if key in as_json else value for key, value in kept.items()}


# --- documents ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Agent:
    """Whose steps make a document: of the run, or of an agent inside it, with those inside it."""

    trajectory_id: str
    name: str | None
    version: str | None
    key: Key
    kept: Mapping[str, Any]
    steps: Sequence[Step]
    inner: Sequence[_Agent]


def document(trajectory: Trajectory, source: _Source) -> _Object:
    """A run as a document; it has at least one step."""
    written = _written(_tree(trajectory, source), source)
    written["session_id"] = trajectory.session_id or trajectory.conversation_id
    extra = {**(written["extra"] or {}), **_metadata(trajectory), **source.verdict}
    return _told({**written, "extra": extra or None})


def _metadata(trajectory: Trajectory) -> _Object:
    """What a run said of itself that is no part of an ATIF document."""
    metadata: _Object = json.loads(trajectory.metadata or "{}")
    return {} if _is_atif(metadata) else metadata


def _is_atif(metadata: Mapping[str, Any]) -> bool:
    return str(metadata.get("schema_version")).startswith("ATIF-")


def _tree(trajectory: Trajectory, source: _Source) -> _Agent:
    """The agents of a run. Those at the top, who hand over to each other, make one document."""
    by_path: dict[str, list[Step]] = {}
    for step in trajectory.steps:
        by_path.setdefault(step.agent_path or "", []).append(step)
    above = {path: _above(path, by_path) for path in by_path}

    def inside(paths: Sequence[str]) -> list[_Agent]:
        return [agent_of(path) for path in by_path if above[path] in paths]

    def agent_of(path: str) -> _Agent:
        steps = by_path[path]
        key = source.agent_above(steps[0])
        kept = source.kept(key)
        own_id = kept.get("trajectory_id") or kept.get("session_id")
        id_ = own_id or f"{trajectory.trajectory_id}.{steps[0].agent_run}"
        version = source.attributes(key).get(semconv.AGENT_VERSION)
        return _Agent(id_, steps[0].agent_name, version, key, kept, steps, inside([path]))

    tops = [path for path in by_path if above[path] is None]
    metadata = json.loads(trajectory.metadata or "{}")
    kept = _decoded(metadata) if _is_atif(metadata) else {}
    return _Agent(
        kept.get("trajectory_id") or trajectory.trajectory_id,
        trajectory.agent_name,
        trajectory.agent_version,
        (trajectory.trace_ids[0], trajectory.root_span_id or ""),
        kept,
        sorted((step for path in tops for step in by_path[path]), key=lambda step: step.step),
        inside(tops),
    )


def _above(path: str, paths: Iterable[str]) -> str | None:
    """The agent that one was invoked by, of those that did something."""
    return max((other for other in paths if path.startswith(f"{other}/")), key=len, default=None)


def _written(agent: _Agent, source: _Source) -> _Object:
    """The document of an agent, its keys in the order of the specification."""
    told = _Conversation(agent, source)
    inner = {}
    for sub in agent.inner:
        inner[sub.trajectory_id] = _told(_written(sub, source))
        _refer(told.result_with(sub), sub)
    for extra in agent.kept.get("subagent_trajectories", ()):
        inner.setdefault(extra["trajectory_id"], extra)
    steps = [*told.numbered()]
    kept = agent.kept
    return {
        "schema_version": VERSION,
        "session_id": kept.get("session_id"),
        "trajectory_id": agent.trajectory_id,
        "agent": _description(agent, source),
        "steps": steps,
        "notes": kept.get("notes"),
        "final_metrics": kept.get("final_metrics") or _totals(steps),
        "continued_trajectory_ref": kept.get("continued_trajectory_ref"),
        "extra": kept.get("extra"),
        "subagent_trajectories": [*inner.values()] or None,
    }


def _description(agent: _Agent, source: _Source) -> _Object:
    models = [step.model for step in agent.steps if step.model]
    return _told(
        {
            "name": agent.name or UNKNOWN,
            "version": agent.version or UNKNOWN,
            "model_name": models[0] if models else None,
            "tool_definitions": _tool_definitions(agent, source),
            **agent.kept.get("agent", {}),
        }
    )


def _tool_definitions(agent: _Agent, source: _Source) -> list[_Object] | None:
    """As the first request that has any tells them, in the form of OpenAI's chat API."""
    for step in agent.steps:
        told = source.attributes((step.trace_id, step.span_id)).get(semconv.TOOL_DEFINITIONS)
        given = loads(told)
        if isinstance(given, list) and all(isinstance(tool, Mapping) for tool in given):
            return [*map(_tool_definition, given)]
    return None


def _tool_definition(given: Mapping[str, Any]) -> _Object:
    if "function" in given or "name" not in given:
        return dict(given)
    function = {key: value for key, value in given.items() if key != "type"}
    return {"type": "function", "function": function}


def _refer(result: _Object, sub: _Agent) -> None:
    """Let a result name the document of an agent: the reference that is there, or a new one."""
    references = result.setdefault("subagent_trajectory_ref", [])
    own_ids = {sub.trajectory_id, sub.kept.get("session_id")} - {None}
    for reference in references:
        if not own_ids.isdisjoint((reference.get("trajectory_id"), reference.get("session_id"))):
            reference["trajectory_id"] = sub.trajectory_id
            return
    references.append({"trajectory_id": sub.trajectory_id})


def _totals(steps: Sequence[_Object]) -> _Object:
    told = [step["metrics"] for step in steps if "metrics" in step]
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")
    known = {name: [m[name] for m in told if m.get(name) is not None] for name in names}
    sums = {f"total_{name}": sum(values) for name, values in known.items() if values}
    return {**sums, "total_steps": len(steps)}


# --- steps -------------------------------------------------------------------------------------


class _Conversation:
    """The steps of one document: what an agent heard, decided, did and saw, in order."""

    def __init__(self, agent: _Agent, source: _Source) -> None:
        self._agent = agent
        self._source = source
        self._told: list[_Object] = []
        self._step_of: dict[int, _Object] = {}  # number of a step -> what tells it
        self._result_of: dict[int, _Object] = {}  # number of a tool's step -> its result
        self._requests = {step.span_id for step in agent.steps if step.kind == "llm"}
        self._executed_ids = {step.tool_call_id for step in agent.steps}
        self._answered: set[str | None] = set()  # ids of calls whose results are told
        self._asked_ids: set[str | None] = set()  # ids of calls that the model asked for
        self._answers: list[Any] = []  # what the model answered
        self._unasked: list[Step] = []  # executed, and no model call asked for it
        self._notes = deque(source.noted("step", agent.key))
        self._dispatched_ids = {
            call["tool_call_id"]
            for note in self._notes
            if note.get("llm_call_count") == 0
            for call in note.get("tool_calls", ())
        }
        self._results = deque(told["result"] for told in source.noted("result", agent.key))
        self._results_noted = 0  # results that a note told and the next messages repeat
        self._instructions: str | None = None
        self._tell()

    def numbered(self) -> Iterator[_Object]:
        """The steps as they are written."""
        for number, step in enumerate(self._told, start=1):
            told = {**step, "step_id": number}
            yield {key: told[key] for key in _STEP if told.get(key) is not None} | {
                key: value for key, value in told.items() if key not in _STEP
            }

    def result_with(self, sub: _Agent) -> _Object:
        """The result of the call that an agent ran in, else one of no call, where it began."""
        began = sub.steps[0].step
        delegated = [
            step.step
            for step in self._agent.steps
            if step.step < began and step.handoff_to is not None and step.handoff_to == sub.name
        ]
        for caller in (*(step.parent_step for step in sub.steps), *reversed(delegated)):
            if caller in self._result_of:
                return self._shown(self._step_of[caller], self._result_of[caller])
        before = [n for n in self._step_of if n < began] or [*self._step_of]
        return self._shown(self._step_of[max(before)] if before else self._said("system"), {})

    def _tell(self) -> None:
        for step in self._agent.steps:
            if step.kind == "user":
                if step.span_id not in self._requests:  # else the request tells it
                    self._hear(from_json(step.new_messages), step=step)
            elif step.kind == "llm":
                self._decided(step)
            elif step.kind == "thought":
                self._thought(step)
            else:
                self._executed(step)
        self._heard_last()

    # What a request holds that is new.

    def _hear(
        self, messages: Sequence[Message], *, before: int | None = None, step: Step | None = None
    ) -> None:
        """Tell what others said; `before` is the number of the next step in the source."""
        asked = {part.id for message in messages for part in message.tool_calls}
        for unasked in [s for s in self._unasked if s.tool_call_id not in asked]:
            self._dispatched([unasked])
        notes = self._notes_before(before, sum(map(_is_said, messages)))
        for message in messages:
            for part in message.tool_results:
                self._saw(part)
            if not _is_said(message):
                continue
            note = next(notes)
            if note or not self._repeats(message):
                told = self._heard(message, note)
                if step is not None:
                    told.setdefault("timestamp", _time(step))
                    self._step_of[step.step] = told

    def _repeats(self, message: Message) -> bool:
        """Whether a request tells again what the agent answered before."""
        if message.role != "assistant":
            return False
        ids = {part.id for part in message.tool_calls}
        return ids <= self._asked_ids if ids else _content(message) in self._answers

    def _notes_before(self, number: int | None, n_messages: int) -> Iterator[_Object]:
        """What else the source said of each message, if it is known which is which."""
        found = []
        while self._notes and (number is None or self._notes[0].get("step_id", 0) < number):
            found.append(self._notes.popleft())
        return iter(found if len(found) == n_messages else [{} for _ in range(n_messages)])

    def _heard(self, message: Message, note: _Object) -> _Object:
        asked = {part.id for part in message.tool_calls}
        executed = [step for step in self._unasked if step.tool_call_id in asked]
        if message.role == "assistant" and executed:
            return self._dispatched(executed, message, note)
        if message.role != "assistant":
            source = "user" if message.role == "user" else "system"
            step = self._said(source, message=_content(message))
        else:
            step = self._said(
                "agent",
                message=_content(message),
                reasoning_content=message.reasoning,
                tool_calls=[_asked(part, UNKNOWN) for part in message.tool_calls] or None,
                is_copied_context=True,
            )
        step |= note
        self._results_noted = len(note.get("observation", {}).get("results", ()))
        return step

    def _saw(self, part: Part) -> None:
        """A result of a tool, where no step has told it already."""
        if self._results_noted:
            self._results_noted -= 1
        elif part.id not in self._answered and not self._is_told(part):
            last = self._told[-1] if self._told else self._said("system")
            asked = {call["tool_call_id"] for call in last.get("tool_calls") or ()}
            named = {"source_call_id": part.id} if part.id in asked else {}
            seen = {**named, "content": _observed(part.value)}
            self._shown(last, self._results.popleft() if self._results else seen)

    def _is_told(self, part: Part) -> bool:
        """Whether a result that names no call is one of the last step's."""
        results = (self._told[-1].get("observation") or {}).get("results", ()) if self._told else ()
        return part.id is None and _observed(part.value) in [r.get("content") for r in results]

    def _heard_last(self) -> None:
        """What no request holds any more."""
        while self._results:
            self._shown(self._told[-1], self._results.popleft())
        noted = self._source.noted("message", self._agent.key)
        self._hear([_message(told) for told in noted])

    # What the agent decided and did.

    def _decided(self, step: Step) -> None:
        key = (step.trace_id, step.span_id)
        kept, attributes = self._source.kept(key), self._source.attributes(key)
        self._instruct(attributes)
        self._hear(from_json(step.new_messages), before=kept.pop("step_id", None))
        extras = kept.pop("tool_call_extras", {})
        calls = [
            call
            for call in json.loads(step.tool_calls or "[]")
            if call.get("id") not in self._dispatched_ids
        ]
        self._asked_ids.update(call.get("id") for call in calls)
        self._answers.append(_answer(step))
        self._step_of[step.step] = self._said(
            "agent",
            timestamp=_time(step),
            model_name=step.model or step.response_model,
            reasoning_effort=attributes.get(semconv.REQUEST_REASONING_LEVEL),
            message=_answer(step),
            reasoning_content=step.reasoning,
            tool_calls=[
                _call(
                    call.get("id") or f"{step.span_id}.{n}",
                    call.get("name"),
                    call.get("arguments"),
                    extras.get(call.get("id")),
                )
                for n, call in enumerate(calls)
            ]
            or None,
            metrics=_metrics(step),
            extra={"agent": step.agent_name} if self._is_other(step) else None,
        )
        self._step_of[step.step] |= kept
        self._failed(self._step_of[step.step], step)

    def _instruct(self, attributes: Mapping[str, Any]) -> None:
        """System instructions that stand beside the messages, when they are new."""
        text = system_text(attributes.get(semconv.SYSTEM_INSTRUCTIONS))
        if text is not None and text != self._instructions:
            self._instructions = text
            self._said("system", message=text)

    def _is_other(self, step: Step) -> bool:
        """Whether somebody acts whom the document is not named after."""
        return step.agent_name not in (None, self._agent.name)

    def _thought(self, step: Step) -> None:
        self._step_of[step.step] = self._said(
            "agent", timestamp=_time(step), reasoning_content=step.reasoning
        )

    def _executed(self, step: Step) -> None:
        asked_by = self._step_of.get(-1 if step.parent_step is None else step.parent_step)
        last = self._told[-1] if self._told else {}
        if step.tool_call_id in self._dispatched_ids:
            self._unasked.append(step)
        elif asked_by is not None and asked_by["source"] == "agent":
            self._done(asked_by, step)
        elif last.get("reasoning_content") and not last.get("message") and not self._unasked:
            self._done(last, step)  # a thought, and what it led to
        else:
            self._unasked.append(step)

    def _dispatched(
        self, steps: Sequence[Step], message: Message | None = None, note: _Object | None = None
    ) -> _Object:
        """A step without a model call: what was executed all the same."""
        told = self._said(
            "agent",
            timestamp=_time(steps[0]),
            message=_content(message) if message else "",
            llm_call_count=0,
        )
        told |= note or {}
        for step in steps:
            self._unasked.remove(step)
            self._done(told, step)
        return told

    def _done(self, decision: _Object, step: Step) -> None:
        """An execution: a call of a step, which may name it already, and its result."""
        is_told_by_request = step.span_id in self._requests
        kept = {} if is_told_by_request else self._source.kept((step.trace_id, step.span_id))
        calls = decision["tool_calls"] = decision.get("tool_calls") or []
        name = step.tool_name or step.handoff_to or step.kind
        call = next((call for call in calls if call["tool_call_id"] == step.tool_call_id), None)
        call = call or next((call for call in calls if self._may_be(call, name)), None)
        if call is None:
            call = _call(step.tool_call_id or step.span_id, name, step.arguments)
            calls.append(call)
        if extra := kept.pop("tool_call_extra", None):
            call["extra"] = extra
        self._answered |= {call["tool_call_id"], step.tool_call_id} - {None}
        self._step_of[step.step] = decision
        content = step.result if step.result is not None else step.error_message
        result = {"source_call_id": call["tool_call_id"], "content": content, **kept}
        for reference in result.get("subagent_trajectory_ref", ()):
            if not reference.get("trajectory_id") and not reference.get("trajectory_path"):
                reference["trajectory_id"] = reference.get("session_id")
        self._failed(result, step)
        told = self._result_of[step.step] = _told(result)
        if len(told) > 1 or not is_told_by_request:  # else it was asked for, and no more is known
            self._shown(decision, told)

    def _may_be(self, call: _Object, name: str) -> bool:
        """Whether a call that was asked for under another id, as some APIs have two, is meant."""
        return call["function_name"] == name and call["tool_call_id"] not in (
            self._executed_ids | self._answered
        )

    # Steps and results.

    def _said(self, source: str, *, message: Any = "", **more: Any) -> _Object:
        step = {"source": source, "message": message, **_told(more)}
        self._told.append(step)
        return step

    @staticmethod
    def _shown(step: _Object, result: _Object) -> _Object:
        """A result as one of a step's."""
        results = step.setdefault("observation", {"results": []})["results"]
        if not any(result is other for other in results):
            results.append(result)
        return result

    @staticmethod
    def _failed(told: _Object, step: Step) -> None:
        """The format has no place for errors but `extra`."""
        if step.status != "ok":
            error = {"error_type": step.error_type, "error_message": step.error_message}
            told["extra"] = {**told.get("extra", {}), "status": step.status, **_told(error)}


def _told(values: Mapping[str, Any]) -> _Object:
    return {key: value for key, value in values.items() if value is not None}


def _is_said(message: Message) -> bool:
    """Whether a message is more than results of tools."""
    if not message.parts:
        return message.role != "tool"
    return any(part.kind != "tool_result" for part in message.parts)


def _message(told: Mapping[str, Any]) -> Message:
    """A message as the importer noted it."""
    calls = [
        Part("tool_call", id=call.get("id"), name=call.get("name"), value=call.get("arguments"))
        for call in told.get("tool_calls", ())
    ]
    text = [Part("text", text=told["content"])] if "content" in told else []
    return Message(told["role"], (*text, *calls))


def _answer(step: Step) -> Any:
    messages = from_json(step.output)
    has_media = any(part.kind == "media" for message in messages for part in message.parts)
    return _content(messages[0]) if has_media else step.output_text or ""


def _content(message: Message) -> Any:
    """What a message says: text, or parts where it is not all text."""
    parts = [_part(part) for part in message.parts if part.kind in ("text", "media", "other")]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: Part) -> _Object:
    if part.kind == "text":
        return {"type": "text", "text": part.text or ""}
    media = _media(part.value)
    return media or {"type": "text", "text": as_text(part.value) or ""}


def _media(value: Any) -> _Object | None:
    """An image or a sound that is somewhere, in ATIF's words; None if it is none."""
    if not isinstance(value, Mapping):
        return None
    source, url = value.get("source"), value.get("image_url") or value.get("url")
    if value.get("type") in _MEDIA and isinstance(source, Mapping) and "path" in source:
        return dict(value)
    path = url.get("url") if isinstance(url, Mapping) else url
    media_type = mimetypes.guess_type(path)[0] if isinstance(path, str) else None
    kind = (media_type or "").partition("/")[0]
    if kind not in _MEDIA:
        return None
    return {"type": kind, "source": {"media_type": media_type, "path": path}}


def _observed(value: Any) -> Any:
    """A result as a message tells it."""
    is_parts = isinstance(value, list) and all(
        isinstance(part, Mapping) and part.get("type") in ("text", *_MEDIA) for part in value
    )
    return value if is_parts and value else as_text(value)


def _asked(part: Part, otherwise: str) -> _Object:
    return _call(part.id or otherwise, part.name, part.value)


def _call(id_: str, name: str | None, arguments: Any, extra: Any = None) -> _Object:
    """A call. What is no object is told as `input`; that nothing is known, in `extra`."""
    given = arguments
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            given = {"input": arguments}
    if arguments is None:
        extra = {**(extra or {}), "arguments": UNKNOWN}
    given = given if isinstance(given, Mapping) else {} if given is None else {"input": given}
    call = {"tool_call_id": id_, "function_name": name or UNKNOWN, "arguments": given}
    return _told({**call, "extra": extra})


def _metrics(step: Step) -> _Object | None:
    """What was used. A cost that was only worked out from a price list is not told."""
    more = {
        "cache_write_tokens": step.cache_write_tokens,
        "reasoning_tokens": step.reasoning_tokens,
    }
    told = {
        "prompt_tokens": step.input_tokens,
        "completion_tokens": step.output_tokens,
        "cached_tokens": step.cache_read_tokens,
        "cost_usd": step.cost_usd if step.cost_source == "recorded" else None,
        "extra": _told(more) or None,
    }
    return _told(told) or None


def _time(step: Step) -> str | None:
    """When a step began; None where the source does not say."""
    if any(what.startswith("start_time:") for what in step.inferred):
        return None
    return step.start_time.astimezone(UTC).isoformat().replace("+00:00", "Z")
