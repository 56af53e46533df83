"""Traces as Langfuse exports them: `{"trace": {...}, "observations": [...]}`.

Of a span that came to Langfuse as OpenTelemetry, `metadata` keeps attributes, resource and scope,
less what Langfuse moved into columns of its own. That goes back under OpenTelemetry's names, and
`input.value`, `output.value` where contents are no messages. What an attribute still says always
wins over a column, because columns hold guesses too (tokens counted by Langfuse). Observations of
Langfuse's own SDKs have only the columns; its names for their attributes are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from otel_traj import semconv
from otel_traj.importers.parts import Records
from otel_traj.importers.times import iso_ns
from otel_traj.model import LogRecord, SpanRecord
from otel_traj.otlp import hex_id

NAME: Final = "Langfuse export"

_INPUT: Final = "input.value"
_OUTPUT: Final = "output.value"
_TYPE: Final = "langfuse.observation.type"
_METADATA: Final = "langfuse.observation.metadata."
_OF_TRACE: Final = ("name", "tags", "release", "version", "environment")
_PARAMETERS: Final = {
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_p": semconv.REQUEST_TOP_P,
    "top_k": semconv.REQUEST_TOP_K,
    "max_tokens": semconv.REQUEST_MAX_TOKENS,
    "seed": semconv.REQUEST_SEED,
    "frequency_penalty": semconv.REQUEST_FREQUENCY_PENALTY,
    "presence_penalty": semconv.REQUEST_PRESENCE_PENALTY,
}
_REBUILT: Final = {"attributes", "resourceAttributes", "scope"}
_MODEL_CALLS: Final = ("GENERATION", "EMBEDDING")
_TOLD_INPUT: Final = re.compile(
    r"(?:gen_ai\.prompt|gen_ai\.input\.messages|ai\.prompt\.messages|llm\.input_messages|input\.value)"
    r"(?:\.|$)"
)
_TOLD_OUTPUT: Final = re.compile(
    r"(?:gen_ai\.completion|gen_ai\.output\.messages|ai\.response\.(?:text|object|toolCalls)"
    r"|llm\.output_messages|output\.value)(?:\.|$)"
)
_TOLD_USAGE: Final = re.compile(r"\.(?:usage|token_count)\.")
_USAGE_IN_BODY: Final = re.compile(r'"usage(?:_?metadata)?"\s*:\s*\{', re.I)
_CACHE_READ: Final = re.compile(r"cache_?read|cached")
_CACHE_WRITE: Final = re.compile(r"cache_?(?:write|creation)")

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """A trace with its observations beside or inside it."""
    return isinstance(value.get("observations"), list)


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """Observation by observation, then score by score."""
    trace = value.get("trace") or value
    observations = value["observations"]
    for number, observation in enumerate(observations, start=1):
        yield f"observation {number}", _spans(observation, trace)
    scores = value.get("scores") or trace.get("scores") or ()
    for number, score in enumerate(scores, start=1):
        yield f"score {number}", _logs(score, trace, observations)


# --- observations -> spans ----------------------------------------------------------------------


def _spans(observation: _Object, trace: _Object) -> Records:
    metadata = _object(observation.get("metadata"))
    scope = _object(metadata.get("scope"))
    start_ns = iso_ns(observation["startTime"])
    end = observation.get("endTime")
    is_instant = observation.get("type") == "EVENT"
    yield SpanRecord(
        trace_id=_trace_id(observation, trace),
        span_id=_id(observation["id"], 8),
        parent_span_id=hex_id(observation.get("parentObservationId"), 8),
        name=observation.get("name") or "",
        start_ns=start_ns,
        end_ns=iso_ns(end) if end else start_ns if is_instant else None,
        status="ERROR" if observation.get("level") == "ERROR" else "UNSET",
        status_message=observation.get("statusMessage") or None,
        attributes=_attributes(observation, trace, metadata),
        resource=dict(_object(metadata.get("resourceAttributes"))),
        scope_name=scope.get("name") or None,
        scope_version=scope.get("version") or None,
        scope_attributes=dict(_object(scope.get("attributes"))),
    )


def _attributes(observation: _Object, trace: _Object, metadata: _Object) -> dict[str, Any]:
    """The span's own attributes, and before them what only columns tell."""
    own = _object(metadata.get("attributes"))
    is_root = not observation.get("parentObservationId")
    columns = {
        _TYPE: str(observation.get("type") or "span").lower(),
        semconv.SESSION_ID: trace.get("sessionId"),
        semconv.USER_ID: trace.get("userId"),
        **{f"{_METADATA}{key}": metadata[key] for key in metadata.keys() - _REBUILT},
        **(_of_trace(trace) if is_root else {}),
        **_model(observation),
        **_contents(observation, trace if is_root else {}, own),
        **_usage(observation, own),
    }
    return {**{key: value for key, value in columns.items() if value not in (None, "")}, **own}


def _of_trace(trace: _Object) -> dict[str, Any]:
    return {f"langfuse.trace.{name}": trace.get(name) or None for name in _OF_TRACE}


def _model(observation: _Object) -> dict[str, Any]:
    """The model of a model call, its parameters, and how long it took to begin to answer."""
    if observation.get("type") not in _MODEL_CALLS:
        return {}
    parameters = _object(observation.get("modelParameters"))
    begun = observation.get("completionStartTime")
    waited_ns = iso_ns(begun) - iso_ns(observation["startTime"]) if begun else None
    return {
        semconv.REQUEST_MODEL: observation.get("model"),
        semconv.TIME_TO_FIRST_CHUNK: None if waited_ns is None else waited_ns / 1e9,
        **{key: parameters.get(name) for name, key in _PARAMETERS.items()},
    }


def _contents(observation: _Object, trace: _Object, own: _Object) -> dict[str, Any]:
    """Input and output; those of the trace where its root has none."""
    given = observation.get("input") or trace.get("input")
    gave = observation.get("output") or trace.get("output")
    if observation.get("type") == "GENERATION":
        said = _said(given, "user", semconv.INPUT_MESSAGES, _INPUT)
        answered = _said(gave, "assistant", semconv.OUTPUT_MESSAGES, _OUTPUT)
        return {
            **({} if any(map(_TOLD_INPUT.match, own)) else said),
            **({} if any(map(_TOLD_OUTPUT.match, own)) else answered),
        }
    return {_INPUT: _text(given), _OUTPUT: _text(gave)}


def _said(content: Any, role: str, as_messages: str, as_value: str) -> dict[str, Any]:
    messages = _messages(_json(content), role)
    return {as_value: _text(content)} if messages is None else {as_messages: _text(messages)}


def _messages(content: Any, role: str) -> list[Any] | None:
    """The content as messages; None where it is something else."""
    if isinstance(content, str):
        return [{"role": role, "content": content}] if content else None
    items = content if isinstance(content, list) else [content]
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    if all("role" in item for item in items):
        return items
    if all("toolName" in item for item in items):
        return [{"role": role, "tool_calls": items}]
    return None


def _usage(observation: _Object, own: _Object) -> dict[str, Any]:
    """Tokens, unless the provider's own count is at hand: Langfuse may have counted words.

    Cached and reasoning tokens are not part of its "input" and "output", but stand beside them.
    """
    body = _text(observation.get("output")) or ""
    if any(map(_TOLD_USAGE.search, own)) or _USAGE_IN_BODY.search(body):
        return {}
    usage = _object(observation.get("usageDetails") or observation.get("usage"))
    return {
        semconv.INPUT_TOKENS: _sum(usage, lambda key: "input" in key),
        semconv.OUTPUT_TOKENS: _sum(usage, lambda key: "output" in key),
        semconv.CACHE_READ_TOKENS: _sum(usage, lambda key: bool(_CACHE_READ.search(key))),
        semconv.CACHE_WRITE_TOKENS: _sum(usage, lambda key: bool(_CACHE_WRITE.search(key))),
        semconv.REASONING_TOKENS: _sum(usage, lambda key: "reasoning" in key),
    }


def _sum(usage: _Object, is_part: Callable[[str], bool]) -> int | None:
    """The numbers whose keys are meant, added; None where there is none."""
    parts = [n for key, n in usage.items() if is_part(key.lower()) and isinstance(n, int)]
    return sum(parts) if parts else None


# --- scores -> evaluation events ----------------------------------------------------------------


def _logs(score: _Object, trace: _Object, observations: Iterable[_Object]) -> Records:
    """The score of an observation, or of the trace: then it stands at the trace's root."""
    scored = score.get("observationId") or _root_id(observations)
    told = {
        semconv.EVALUATION_NAME: score["name"],
        semconv.EVALUATION_VALUE: score.get("value"),
        semconv.EVALUATION_LABEL: score.get("stringValue"),
        semconv.EVALUATION_EXPLANATION: score.get("comment"),
        semconv.ANNOTATION_SOURCE: f"langfuse:{str(score.get('source') or 'api').lower()}",
    }
    yield LogRecord(
        trace_id=_trace_id(score, trace),
        span_id=hex_id(scored, 8),
        time_ns=iso_ns(score["timestamp"]),
        observed_ns=None,
        event_name=semconv.EVENT_EVALUATION,
        severity=None,
        body=None,
        attributes={key: value for key, value in told.items() if value not in (None, "")},
    )


def _root_id(observations: Iterable[_Object]) -> str | None:
    """The id of the first observation that has no parent here, by start."""
    known = {observation.get("id") for observation in observations}
    roots = (o for o in observations if o.get("parentObservationId") not in known)
    first = min(roots, key=lambda o: str(o.get("startTime")), default=None)
    return None if first is None else first.get("id")


# --- values -------------------------------------------------------------------------------------


def _trace_id(item: _Object, trace: _Object) -> str:
    return _id(item.get("traceId") or trace.get("id"), 16)


def _id(given: Any, size: int) -> str:
    found = hex_id(given, size)
    if found is None:
        raise ValueError(f"{given!r} is no id")
    return found


def _json(value: Any) -> Any:
    """A value that may be written as JSON text; any other text as it is."""
    if not isinstance(value, str) or not value.startswith(("{", "[", '"')):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _object(value: Any) -> _Object:
    found = _json(value)
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str | None:
    """A text as it is, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
