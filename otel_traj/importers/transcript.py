"""The account that somebody wrote of a run -> the spans and logs that recording it would have left.

The readers of foreign formats tell a `Transcript` what happened, in order, in the conventions' own
terms; it makes ids and times. Ids are made of the content of the source, so that the same content
is the same spans, however often it is read. Times that the source does not tell only keep the
order: they begin with the epoch, and `traj.repaired` names them, so that no duration is made of
them. What the source's evaluation says becomes evaluation events.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from otel_traj import semconv
from otel_traj.dialects.messages import Message, Part, as_text, dumps, to_json
from otel_traj.importers import patches
from otel_traj.importers.messages import answer_parts, chat_message
from otel_traj.model import LogRecord, Outcome, SpanRecord, SpanStatus

_TICK_NS: Final = 1_000
"""Between things whose times nobody tells: the resolution of the store's columns."""

_TRIAL_NS: Final = 60 * 10**9
"""Between the begins of trials whose times nobody tells, so that the first one comes first."""


class Times(NamedTuple):
    """When something began and ended, in Unix nanoseconds; None where the source does not say."""

    start_ns: int | None = None
    end_ns: int | None = None


UNTOLD: Final = Times()


@dataclass(slots=True)
class _Open:
    """An agent's invocation that is being told of; `first_ns` and `last_ns` bound what is in it."""

    span_id: str
    parent_id: str | None
    name: str | None
    attributes: dict[str, Any]
    times: Times
    first_ns: int | None = None
    last_ns: int | None = None
    is_end_told: bool = False
    status: SpanStatus = "UNSET"
    status_message: str | None = None


class Transcript:
    """One run, told from its beginning to its end; then `records` has it."""

    def __init__(
        self,
        source: str,
        content: Any,
        *,
        agent: str | None = None,
        trial: Any = None,
        times: Times = UNTOLD,
    ) -> None:
        """Begin to tell of a run.

        Args:
            source: Name of the format, as an identifier: the scope of all spans.
            content: All that the source says of the run, as JSON values: the run's identity.
            agent: Who ran.
            trial: Which attempt at its task it is, from 0, where the source says so.
            times: Of the run as a whole.
        """
        self._scope = f"otel_traj.importers.{source}"
        self.prefix = f"{source}."
        """Of attributes under which spans keep what has no name in the conventions."""
        told = json.dumps([source, content], sort_keys=True, ensure_ascii=False, default=str)
        self._trace_id = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        self._n_ids = 0
        self._starts_ns: set[int] = set()
        base_ns = _TRIAL_NS * trial if isinstance(trial, int) else 0
        self._now_ns = times.start_ns - _TICK_NS if times.start_ns is not None else base_ns
        self._is_timed = times.start_ns is not None
        self._records: list[SpanRecord | LogRecord] = []
        self._judgements: list[tuple[dict[str, Any], str | None]] = []
        root = _Open(self._id(), None, agent, {}, times)
        self._stack = [root]
        self._root = root
        if trial is not None:
            self.keep({"trial": trial})

    # --- the run as a whole ---------------------------------------------------------------------

    def describe(self, **facts: Any) -> None:
        """Set attributes of the run: names of constants of `semconv`, in lower case, or none."""
        for name, value in facts.items():
            if value is not None and value != "":
                self._root.attributes[getattr(semconv, name.upper())] = value

    def keep(self, unknown: Mapping[str, Any]) -> None:
        """Keep what a run says that has no column: `metadata` of the trajectory."""
        for key, value in unknown.items():
            if value is not None:
                self._root.attributes[f"{semconv.METADATA_PREFIX}{key}"] = _scalar(value)

    def initial_state(self, state: Any) -> None:
        """Tell the state that the run began with."""
        self._root.attributes[semconv.INITIAL_STATE] = dumps(state)

    def answer(self, text: str | None) -> None:
        """Tell what the run gave back to its caller."""
        if text:
            self._root.attributes[semconv.OUTPUT_MESSAGES] = _spoken(answer_parts(text, None, ()))

    def fail(self, error_type: str, message: str | None = None) -> None:
        """Tell that the run ended with an error."""
        self._root.attributes[semconv.ERROR_TYPE] = error_type
        self._root.status, self._root.status_message = "ERROR", message

    # --- what happened --------------------------------------------------------------------------

    @contextmanager
    def agent(self, name: str | None, *, keep: Mapping[str, Any] | None = None) -> Iterator[None]:
        """Tell what an agent did that runs inside the one told of so far."""
        inner = _Open(self._id(), self._here, name, self._kept(keep), UNTOLD)
        self._stack.append(inner)
        try:
            yield
        finally:
            self._stack.pop()
            self._close(inner)

    @contextmanager
    def inside(self, span_id: str) -> Iterator[None]:
        """Tell what ran inside a tool that was told of already."""
        self._stack.append(_Open(span_id, None, None, {}, UNTOLD))
        try:
            yield
        finally:
            self._stack.pop()

    @property
    def is_inside(self) -> bool:
        """Whether a sub-agent is being told of."""
        return len(self._stack) > 1

    def model_call(
        self,
        *,
        new: Sequence[Mapping[str, Any]] = (),
        text: str | None = None,
        reasoning: str | None = None,
        tool_calls: Sequence[Mapping[str, Any]] = (),
        after: str | None = None,
        model: str | None = None,
        error: str | None = None,
        times: Times = UNTOLD,
        attributes: Mapping[str, Any] | None = None,
        keep: Mapping[str, Any] | None = None,
        made_up: Sequence[str] = (),
    ) -> str:
        """Tell of a call of a model; gives its span id.

        Args:
            new: The messages of its request, as `messages.chat_message` takes them.
            text: What it answered.
            reasoning: What it thought.
            tool_calls: What it asked for: id, name and arguments, or as OpenAI writes it.
            after: The span of the call that the request goes on from: `new` is then only what
                neither that one's request nor its answer holds.
            model: The model asked.
            error: Why there is no answer.
            times: When.
            attributes: More of it, in the conventions' names; None is left out.
            keep: What has no name there.
            made_up: Columns that this tells although the source does not.
        """
        said = answer_parts(text, reasoning, tool_calls)
        return self._span(
            f"{semconv.OP_CHAT} {model}" if model else semconv.OP_CHAT,
            {
                semconv.OPERATION: semconv.OP_CHAT,
                semconv.REQUEST_MODEL: model,
                semconv.INPUT_MESSAGES: to_json(map(chat_message, new)) if new else None,
                semconv.OUTPUT_MESSAGES: _spoken(said) if said else None,
                semconv.REQUEST_CONTINUES: after,
                **(attributes or {}),
            },
            times,
            error=error,
            keep=keep,
            made_up=made_up,
        )

    def tool_call(
        self,
        name: str | None,
        arguments: Any = None,
        result: Any = None,
        *,
        call_id: str | None = None,
        error: str | None = None,
        error_type: str = "_OTHER",
        reasoning: str | None = None,
        times: Times = UNTOLD,
        attributes: Mapping[str, Any] | None = None,
        keep: Mapping[str, Any] | None = None,
        made_up: Sequence[str] = (),
    ) -> str:
        """Tell of an execution of a tool; gives its span id. `error` tells that it failed."""
        return self._span(
            f"{semconv.OP_EXECUTE_TOOL} {name}" if name else semconv.OP_EXECUTE_TOOL,
            {
                semconv.OPERATION: semconv.OP_EXECUTE_TOOL,
                semconv.TOOL_NAME: name,
                semconv.TOOL_CALL_ID: call_id,
                semconv.TOOL_CALL_ARGUMENTS: as_text(arguments),
                semconv.TOOL_CALL_RESULT: as_text(result),
                semconv.STEP_REASONING: reasoning or None,
                **(attributes or {}),
            },
            times,
            error=error,
            error_type=error_type,
            keep=keep,
            made_up=made_up,
        )

    def thought(
        self,
        text: str,
        *,
        about: str | None = None,
        times: Times = UNTOLD,
        attributes: Mapping[str, Any] | None = None,
        keep: Mapping[str, Any] | None = None,
    ) -> str:
        """Tell of a thought that no model call is told for; `about` is the tool it chose."""
        return self._span(
            "thought",
            {
                semconv.STEP_KIND: "thought",
                semconv.STEP_REASONING: text,
                semconv.TOOL_NAME: about,
                **(attributes or {}),
            },
            times,
            keep=keep,
        )

    def at(self, when_ns: int | None) -> None:
        """Tell that something happened then that has no span; what follows comes after it."""
        if when_ns is not None:
            self._is_timed = True
            self._now_ns = max(self._now_ns, when_ns)

    def file_changes(self, patch: str | None, *, span_id: str | None = None) -> None:
        """Tell which files the run changed, by a unified diff."""
        for change in patches.file_changes(patch or ""):
            self._event(semconv.EVENT_FILE_CHANGE, change, span_id)

    def note(
        self,
        name: str,
        told: Mapping[str, Any],
        *,
        span_id: str | None = None,
        at_ns: int | None = None,
    ) -> None:
        """Keep what has no span of its own as an event of the agent that is being told of."""
        kept = {key: _scalar(value) for key, value in told.items() if value is not None}
        if kept:
            self._event(f"{self.prefix}{name}", kept, span_id or self._here, at_ns)

    # --- what the source's evaluation says ------------------------------------------------------

    def evaluate(
        self,
        name: str,
        *,
        value: float | bool | None = None,
        label: str | None = None,
        why: str | None = None,
        other: Any = None,
        span_id: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell a judgement of the run, or of one of its steps; it counts as given at its end."""
        told = {
            semconv.EVALUATION_NAME: name,
            semconv.EVALUATION_VALUE: None if value is None else float(value),
            semconv.EVALUATION_LABEL: label or None,
            semconv.EVALUATION_EXPLANATION: why or None,
            semconv.ANNOTATION_JSON: None if other is None else dumps(other),
            **(more or {}),
        }
        present = {key: item for key, item in told.items() if item is not None}
        self._judgements.append((present, span_id))

    def outcome(
        self, outcome: Outcome, *, why: str | None = None, category: str | None = None
    ) -> None:
        """Tell how good the run was; `category` groups failures."""
        more = {semconv.ERROR_CATEGORY: category}
        self.evaluate("outcome", label=outcome, why=why, more=more)

    def reward(self, reward: float, *, is_verdict: bool = False) -> None:
        """Tell the run's reward; as a verdict, 1 is success, 0 or less failure, else partial."""
        self.evaluate("reward", value=reward)
        if is_verdict:
            self.outcome(outcome_of_share(reward))

    # --- records --------------------------------------------------------------------------------

    def records(self) -> Iterator[SpanRecord | LogRecord]:
        """All of it; nothing can be told afterwards."""
        self._close(self._root)
        for told, span_id in self._judgements:
            self._event(semconv.EVENT_EVALUATION, told, span_id)
        return iter(self._records)

    @property
    def _here(self) -> str:
        return self._stack[-1].span_id

    def _id(self) -> str:
        self._n_ids += 1
        digest = hashlib.sha256(f"{self._trace_id} {self._n_ids}".encode())
        return digest.hexdigest()[:16]

    def _kept(self, keep: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            f"{self.prefix}{key}": _scalar(value)
            for key, value in (keep or {}).items()
            if value is not None
        }

    def _span(
        self,
        name: str,
        attributes: Mapping[str, Any],
        times: Times,
        *,
        error: str | None = None,
        error_type: str = "_OTHER",
        keep: Mapping[str, Any] | None = None,
        made_up: Sequence[str] = (),
    ) -> str:
        start_ns, end_ns, lacking = self._placed(times)
        own = {key: _plain(value) for key, value in attributes.items() if value is not None}
        if error is not None:
            own.setdefault(semconv.ERROR_TYPE, error_type)
        if lacking or made_up:
            own[semconv.REPAIRED] = [*lacking, *made_up]
        span_id = self._id()
        self._records.append(
            SpanRecord(
                self._trace_id,
                span_id,
                self._here,
                name,
                start_ns,
                end_ns,
                status="UNSET" if error is None else "ERROR",
                status_message=error,
                attributes={**own, **self._kept(keep)},
                scope_name=self._scope,
            )
        )
        return span_id

    def _placed(self, times: Times) -> tuple[int, int, list[str]]:
        """Start and end of something, and which of both nobody told."""
        start_ns, end_ns = times
        lacking = [name for name, told in zip(_TIMES, times, strict=True) if told is None]
        if start_ns is None:
            start_ns = self._now_ns + _TICK_NS if end_ns is None else min(self._now_ns, end_ns)
        else:
            self._is_timed = True
        # What began at one time keeps its order, by less than any source's clock tells apart.
        while start_ns in self._starts_ns:
            start_ns, end_ns = start_ns + 1, None if end_ns is None else end_ns + 1
        self._starts_ns.add(start_ns)
        self._now_ns = max(self._now_ns, start_ns, end_ns or 0)
        for outer in self._stack:
            outer.first_ns = start_ns if outer.first_ns is None else min(outer.first_ns, start_ns)
            outer.last_ns = max(outer.last_ns or 0, end_ns or start_ns)
            outer.is_end_told = end_ns is not None
        return start_ns, end_ns if end_ns is not None else start_ns, lacking

    def _close(self, agent: _Open) -> None:
        """The span of an agent: its own times, else those of what is in it."""
        start_ns, end_ns = agent.times
        lacking = []
        if start_ns is None:
            start_ns = agent.first_ns if agent.first_ns is not None else self._now_ns + _TICK_NS
            lacking += [] if self._is_timed and agent.first_ns is not None else ["start_time"]
        if end_ns is None:
            end_ns = max(agent.last_ns or start_ns, start_ns)
            lacking += [] if agent.is_end_told else ["end_time"]
        self._now_ns = max(self._now_ns, end_ns)
        own = {
            semconv.OPERATION: semconv.OP_INVOKE_AGENT,
            semconv.AGENT_NAME: agent.name,
            **agent.attributes,
            semconv.REPAIRED: lacking or None,
        }
        self._records.append(
            SpanRecord(
                self._trace_id,
                agent.span_id,
                agent.parent_id,
                f"{semconv.OP_INVOKE_AGENT} {agent.name}"
                if agent.name
                else semconv.OP_INVOKE_AGENT,
                start_ns,
                end_ns,
                status=agent.status,
                status_message=agent.status_message,
                attributes={key: value for key, value in own.items() if value is not None},
                scope_name=self._scope,
            )
        )

    def _event(
        self, name: str, told: Mapping[str, Any], span_id: str | None, at_ns: int | None = None
    ) -> None:
        self._records.append(
            LogRecord(
                self._trace_id,
                span_id or self._root.span_id,
                self._now_ns if at_ns is None else at_ns,
                None,
                name,
                None,
                None,
                attributes=dict(told),
                scope_name=self._scope,
            )
        )


_TIMES: Final = ("start_time", "end_time")


def _spoken(parts: tuple[Part, ...]) -> str:
    return to_json((Message("assistant", parts),))


def _scalar(value: Any) -> str | bool | int | float:
    """A value that an attribute holds as it is, or JSON text."""
    return value if isinstance(value, str | bool | int | float) else dumps(value)


def _plain(value: Any) -> Any:
    """An attribute's value as OpenTelemetry's APIs take it: a scalar, texts, else JSON text."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return _scalar(value)


def outcome_of_share(value: float) -> Outcome:
    """The outcome that a score in [0, 1] says: all of it, nothing, or a part."""
    if value >= 1:
        return "success"
    return "failure" if value <= 0 else "partial"


def rest(told: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """What an object says under other names than the known ones."""
    return {key: value for key, value in told.items() if key not in known}
