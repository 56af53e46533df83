"""Logs of Inspect as JSON: `{"version", "status", "eval", "plan", "samples", "results", "stats"}`.

A sample in one epoch is a run. Its events tell calls of models and tools with their times; logs
without events have the messages. Aggregates over samples (`results`, `reductions`) are not kept:
they follow from the scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

from otel_traj import semconv
from otel_traj.importers.conversation import Conversation, text_of
from otel_traj.importers.parts import Records
from otel_traj.importers.times import iso_ns
from otel_traj.importers.transcript import Times, Transcript, outcome_of_share, rest

NAME: Final = "Inspect log"

_ATTACHMENT: Final = re.compile(r"attachment://([0-9a-f]+)")
_GRADES: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Inspect's letters: correct, partly, incorrect, no answer."""

_S: Final = 10**9  # nanoseconds

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """A whole log."""
    return isinstance(value.get("eval"), Mapping) and not {"samples", "plan"}.isdisjoint(value)


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """Sample by sample."""
    for number, sample in enumerate(value.get("samples") or (), start=1):
        yield f"sample {number}", sample_records(sample, value)


def sample_records(sample: _Object, log: _Object) -> Records:
    """The run of a sample.

    Args:
        sample: As the log has it.
        log: What the log says of all samples.
    """
    yield from _run(_resolved(sample, sample.get("attachments") or {}), log)


def _resolved(value: Any, attachments: _Object) -> Any:
    """The same, with the texts in it that the log keeps apart."""
    if isinstance(value, str):
        if "attachment://" not in value:
            return value
        return _ATTACHMENT.sub(lambda found: str(attachments.get(found[1], found[0])), value)
    if isinstance(value, Mapping):
        return {key: _resolved(item, attachments) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, attachments) for item in value]
    return value


def _run(sample: dict[str, Any], log: _Object) -> Records:
    eval_ = log["eval"]
    epoch = sample.get("epoch")
    events = sample.get("events") or ()
    times = [_ns(event.get("timestamp")) for event in events if event.get("timestamp")]
    transcript = Transcript(
        "inspect",
        [sample, {key: eval_.get(key) for key in ("eval_id", "run_id", "task_id", "created")}],
        agent=_solver(log),
        trial=epoch - 1 if isinstance(epoch, int) else None,
        times=Times(times[0], times[-1]) if times else Times(),
    )
    given = sample.get("input")
    task = given if isinstance(given, str) else text_of(_last(given, "user"))
    transcript.describe(task_id=f"{eval_.get('task')}/{sample.get('id')}", task=task)
    if any(event.get("event") == "model" for event in events):
        for message in sample.get("messages") or ():
            transcript.note("message", rest(message, "content", "tool_calls"))
        _Teller(transcript, sample).tell(events)
    else:
        for event in events:
            _note(transcript, event)
        _tell_messages(transcript, sample.get("messages") or (), eval_.get("model"))
    choice = _choice(sample.get("output") or {})
    transcript.answer(text_of((choice.get("message") or {}).get("content")))
    transcript.keep({"eval": eval_, "plan": log.get("plan"), "log_status": log.get("status")})
    transcript.keep(rest(sample, "events", "messages", "input", "attachments", "events_data"))
    _judge(transcript, sample)
    yield from transcript.records()


def _solver(log: _Object) -> str | None:
    """The solver, else the last step of the plan."""
    steps = (log.get("plan") or {}).get("steps") or ()
    told = log["eval"].get("solver") or (steps[-1].get("solver") if steps else None)
    return None if told is None else str(told)


def _last(messages: Any, role: str) -> Any:
    said = [message for message in messages or () if message.get("role") == role]
    return said[-1].get("content") if said else None


def _choice(output: _Object) -> _Object:
    return next(iter(output.get("choices") or ()), {})


# --- messages ------------------------------------------------------------------------------------


def _tell_messages(transcript: Transcript, messages: Sequence[_Object], model: Any) -> None:
    conversation = Conversation(transcript, model=str(model) if model else None)
    for message in messages:
        role = message.get("role")
        if role == "assistant":
            conversation.say(
                text_of(message.get("content")),
                _calls(message),
                reasoning=_reasoning(message.get("content")),
                model=message.get("model"),
                keep=rest(message, "role", "content", "model"),
            )
        elif role == "tool":
            error = message.get("error") or {}
            conversation.run(
                message.get("tool_call_id"),
                message.get("content"),
                name=message.get("function"),
                error=_failure(error),
                keep=rest(message, "role", "content", "tool_call_id", "function"),
            )
        else:
            conversation.hear({"role": role, "content": message.get("content")})
            transcript.note("message", rest(message, "role", "content"))
    conversation.end()


def _calls(message: _Object) -> list[dict[str, Any]]:
    return [
        {"id": call.get("id"), "name": call.get("function"), "arguments": call.get("arguments")}
        for call in message.get("tool_calls") or ()
    ]


def _reasoning(content: Any) -> str | None:
    parts = content if isinstance(content, list) else ()
    told = [part.get("reasoning") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in told if isinstance(text, str) and text) or None


def _failure(error: _Object) -> str | None:
    return None if not error else str(error.get("message") or error.get("type"))


def _chat(message: _Object) -> dict[str, Any]:
    """A message of a request, as OpenAI writes it."""
    content = message.get("content")
    if isinstance(content, list) and message.get("role") != "tool":
        content = [part for part in content if not _is_reasoning(part)]
    return {
        "role": message.get("role"),
        "content": content or None,
        "reasoning_content": _reasoning(message.get("content")),
        "tool_calls": _calls(message),
        "tool_call_id": message.get("tool_call_id"),
    }


def _is_reasoning(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "reasoning"


# --- events --------------------------------------------------------------------------------------


class _Teller:
    """Events in order; spans of type `agent` are agents in the run."""

    def __init__(self, transcript: Transcript, sample: _Object) -> None:
        self._transcript = transcript
        self._pool = (sample.get("events_data") or {}).get("messages") or ()
        self._before: tuple[str, list[_Object]] | None = None

    def tell(self, events: Sequence[_Object]) -> None:
        """All of them."""
        agents: list[tuple[str, ExitStack]] = []
        for event in events:
            kind = event.get("event")
            if kind == "model":
                self._model_call(event)
            elif kind == "tool":
                self._tool_call(event)
            else:
                _note(self._transcript, event)
            if kind == "span_begin" and event.get("type") == "agent":
                stack = ExitStack()
                stack.enter_context(self._transcript.agent(str(event.get("name"))))
                agents.append((str(event.get("id")), stack))
            elif kind == "span_end" and agents and agents[-1][0] == str(event.get("id")):
                agents.pop()[1].close()
        while agents:
            agents.pop()[1].close()

    def _model_call(self, event: _Object) -> None:
        output = event.get("output") or {}
        choice = _choice(output)
        answer = choice.get("message") or {}
        given = list(event.get("input") or ()) or self._pooled(event.get("input_refs") or ())
        after, new = self._going_on(given)
        provider, _, model = str(event.get("model") or "").rpartition("/")
        span_id = self._transcript.model_call(
            new=[_chat(message) for message in new],
            text=_text(answer),
            reasoning=_reasoning(answer.get("content")),
            tool_calls=_calls(answer),
            after=after,
            model=model or None,
            error=event.get("error") or output.get("error"),
            times=_times(event, output.get("time")),
            attributes={
                semconv.PROVIDER: provider or None,
                semconv.RESPONSE_MODEL: output.get("model") if choice else None,
                semconv.FINISH_REASONS: [r] if (r := choice.get("stop_reason")) else None,
                semconv.TOOL_DEFINITIONS: event.get("tools") or None,
                **_usage(output.get("usage") or {}),
                **_settings(event.get("config") or {}),
            },
            keep=rest(event, "event", "input", "tools"),
        )
        self._before = (span_id, [*given, answer])

    def _pooled(self, ranges: Sequence[Any]) -> list[_Object]:
        """A request that is told as ranges of the messages that the sample has once for all."""
        return [message for start, end in ranges for message in self._pool[start:end]]

    def _going_on(self, given: Sequence[_Object]) -> tuple[str | None, Sequence[_Object]]:
        """The call that a request goes on from, if it begins with that, and what is new in it."""
        if self._before is None:
            return None, given
        span_id, before = self._before
        if len(given) >= len(before) and all(
            _same(old, new) for old, new in zip(before, given, strict=False)
        ):
            return span_id, given[len(before) :]
        return None, given

    def _tool_call(self, event: _Object) -> None:
        error = event.get("error") or {}
        self._transcript.tool_call(
            event.get("function"),
            event.get("arguments"),
            event.get("result"),
            call_id=event.get("id"),
            error=_failure(error),
            error_type=str(error.get("type") or "_OTHER"),
            times=_times(event, None),
            keep=rest(event, "event", "function", "arguments", "result", "id"),
        )


def _same(old: _Object, new: _Object) -> bool:
    """Whether two messages say the same; ids may be given later."""
    keys = ("role", "content", "tool_calls", "tool_call_id")
    return all((old.get(key) or None) == (new.get(key) or None) for key in keys)


def _text(message: _Object) -> str | None:
    text = text_of(message.get("content"))
    return text if text or not message.get("tool_calls") else None


def _note(transcript: Transcript, event: _Object) -> None:
    when_ns = _ns(event.get("timestamp"))
    transcript.note(str(event.get("event")), rest(event, "event"), at_ns=when_ns)


def _times(event: _Object, took_s: Any) -> Times:
    started_ns, ended_ns = _ns(event.get("timestamp")), _ns(event.get("completed"))
    took_s = took_s if took_s is not None else event.get("working_time")
    if ended_ns is None and started_ns is not None and isinstance(took_s, int | float):
        ended_ns = started_ns + round(took_s * _S)
    return Times(started_ns, ended_ns)


def _usage(usage: _Object) -> dict[str, Any]:
    return {
        semconv.INPUT_TOKENS: usage.get("input_tokens"),
        semconv.OUTPUT_TOKENS: usage.get("output_tokens"),
        semconv.CACHE_READ_TOKENS: usage.get("input_tokens_cache_read"),
        semconv.CACHE_WRITE_TOKENS: usage.get("input_tokens_cache_write"),
        semconv.REASONING_TOKENS: usage.get("reasoning_tokens"),
        semconv.COST_USD: usage.get("total_cost"),
    }


def _settings(config: _Object) -> dict[str, Any]:
    return {
        semconv.REQUEST_TEMPERATURE: config.get("temperature"),
        semconv.REQUEST_TOP_P: config.get("top_p"),
        semconv.REQUEST_MAX_TOKENS: config.get("max_tokens"),
        semconv.REQUEST_SEED: config.get("seed"),
        semconv.REQUEST_REASONING_LEVEL: config.get("reasoning_effort"),
    }


# --- the verdict ---------------------------------------------------------------------------------


def _judge(transcript: Transcript, sample: _Object) -> None:
    """Each score by its name. A single score that lies in [0, 1] is reward and outcome too."""
    scores = sample.get("scores") or {}
    for name, score in scores.items():
        _tell_score(transcript, str(name), score)
    limit = sample.get("limit") or {}
    category = limit.get("type") if isinstance(limit, Mapping) else None
    if error := sample.get("error"):
        message = str(error.get("message") if isinstance(error, Mapping) else error)
        transcript.fail("_OTHER", message)
        transcript.outcome("error", why=message)
    elif len(scores) == 1:
        share = _share(next(iter(scores.values())).get("value"))
        if share is not None:
            transcript.reward(share)
            transcript.outcome(outcome_of_share(share), category=category)


def _tell_score(transcript: Transcript, name: str, score: _Object) -> None:
    value, number = score.get("value"), _number(score.get("value"))
    transcript.evaluate(
        name,
        value=number,
        label=value if isinstance(value, str) else None,
        why=score.get("explanation"),
        other=value if isinstance(value, Mapping | list) else None,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float):
        return float(value)
    return _GRADES.get(value) if isinstance(value, str) else None


def _share(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _ns(told: Any) -> int | None:
    return iso_ns(told) if told else None
