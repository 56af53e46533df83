"""A trajectory's spans and log records in the names of the current GenAI conventions.

What the rows say of a step goes onto the span that owns it, instead of what that span said in its
own dialect; a step that only messages told of gets a span. Of several spans that told of one call
the owner is left. All other spans stay, and agents' spans also say in current names what they are.
That is `translate`, for who reads the spans as a run again; `in_place` only adds the names to the
spans that there are, for who looks at them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.assembly.tree import Key, Node, build
from otel_traj.dialects import DIALECTS, Facts
from otel_traj.dialects.messages import dumps, to_json
from otel_traj.dialects.otel import OPERATIONS, OTEL
from otel_traj.dialects.table import At, Dialect, Flat, Times
from otel_traj.dialects.traj import TRAJ
from otel_traj.model import Annotation, LogRecord, SpanKind, SpanRecord, Step, Trajectory

SCOPE: Final = "otel_traj"
"""Scope of the spans written here: a foreign one would say that they speak its dialect."""

UNREAD_STEP_COLUMNS: Final = (
    "new_messages",
    "output_text",
    "model_saw",
    "reasoning",
    "observation",
)
"""Long columns of `steps` that `in_place` has no use for: who reads steps for it may leave them."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of one trajectory but its rows.

    Attributes:
        spans: Its ended spans, as received.
        logs: Log records with their context, as received.
        annotations: What is said of it, the latest of each source.
        step_of: Span -> the step that it tells of; None for what is round the steps.
    """

    spans: list[SpanRecord]
    logs: list[LogRecord]
    annotations: list[Annotation]
    step_of: Mapping[Key, int | None]


def translate(trajectory: Trajectory, told: Told) -> tuple[list[SpanRecord], list[LogRecord]]:
    """Spans and log records of a trajectory in current names, to be read back as the same steps.

    Args:
        trajectory: With its steps.
        told: Its spans, log records and annotations; at least one span.
    """
    nodes = {node.key: node for node in build(told.spans, told.logs)}
    owner = _owners(trajectory.steps, told.step_of)
    spans = [
        _renamed(node, step) if (step := owner.get(key)) else _kept(node)
        for key, node in nodes.items()
        if key in owner or told.step_of.get(key) is None
    ]
    spans += [
        _made(step, nodes[step.trace_id, step.span_id], trajectory.steps)
        for step in trajectory.steps
        if _needs_span(step) and owner.get((step.trace_id, step.span_id)) is not step
    ]
    moved = _moved(trajectory)
    spans = [_below_owner(span, moved) for span in _with_id(spans, trajectory)]
    logs = [_below_owner_log(log, moved) for log in told.logs if not _is_content(log)]
    return spans, [*logs, *_said_since(trajectory, told, spans, logs)]


def traces_in_other_words(spans: Iterable[SpanRecord], logs: Iterable[LogRecord]) -> set[str]:
    """Ids of the traces of which `in_place` makes something else.

    All spans of the others say in current names what they are, and nothing in those of a dialect.
    """
    other = {span.trace_id for span in spans if not _is_in_current_words(span)}
    return other | {log.trace_id for log in logs if log.trace_id and _is_content(log)}


def _is_in_current_words(span: SpanRecord) -> bool:
    is_plain = semconv.OPERATION in span.attributes or not span.attributes
    words = (*span.attributes, *(event.name for event in span.events))
    return is_plain and not any(map(_is_dialect, words))


def in_place(
    spans: Iterable[SpanRecord],
    logs: Iterable[LogRecord],
    steps: Iterable[Step],
    step_of: Mapping[Key, int | None],
) -> list[SpanRecord]:
    """The same spans in order of start, each saying in current names what its step says.

    Ids, names, times and status stay as they came, and so does what a span said in current names
    itself.

    Args:
        spans: Those of whole traces, ended.
        logs: Log records with their context.
        steps: The steps that the spans tell of.
        step_of: As in `Told`.
    """
    owner = _owners(steps, step_of)
    return [_in_place(node, owner.get(node.key)) for node in build(spans, logs)]


def _in_place(node: Node, step: Step | None) -> SpanRecord:
    span, named = node.span, _renamed(node, step) if step else _kept(node)
    own = {key: value for key, value in span.attributes.items() if key in named.attributes}
    attributes = {**named.attributes, **own}
    return dataclasses.replace(
        span,
        attributes=attributes,
        events=named.events,
        schema_url=span.schema_url if attributes == span.attributes else None,
    )


def _owners(steps: Iterable[Step], step_of: Mapping[Key, int | None]) -> dict[Key, Step]:
    """Span -> the step that it owns. A step told by messages names the span of its model call."""
    return {
        (step.trace_id, step.span_id): step
        for step in steps
        if step.kind != "user" and step_of.get((step.trace_id, step.span_id)) == step.step
    }


def _needs_span(step: Step) -> bool:
    """A tool that has a name. An agent invoked by another tells of its invocation by itself."""
    return step.tool_name is not None and step.handoff_mode != "delegate"


def _moved(trajectory: Trajectory) -> dict[Key, Key]:
    """Span that told of a call once more -> the span that owns the call."""
    return {
        (merged.trace_id, merged.span_id): (step.trace_id, step.span_id)
        for step in trajectory.steps
        for merged in step.merged_spans
    }


def _below_owner(span: SpanRecord, moved: Mapping[Key, Key]) -> SpanRecord:
    """What was below a span that is left out is below the owner, if that is in its trace."""
    above = moved.get((span.trace_id, span.parent_span_id or ""))
    if above is None or above[0] != span.trace_id or above[1] == span.span_id:
        return span
    return dataclasses.replace(span, parent_span_id=above[1])


def _below_owner_log(log: LogRecord, moved: Mapping[Key, Key]) -> LogRecord:
    above = moved.get((log.trace_id or "", log.span_id or ""))
    return log if above is None else dataclasses.replace(log, trace_id=above[0], span_id=above[1])


def _with_id(spans: Iterable[SpanRecord], trajectory: Trajectory) -> list[SpanRecord]:
    """The first span says which trajectory it is, so that it has the same id elsewhere."""
    first, *others = sorted(spans, key=lambda span: (span.start_ns, span.parent_span_id or ""))
    attributes = {**first.attributes, semconv.TRAJECTORY_ID: trajectory.trajectory_id}
    return [dataclasses.replace(first, attributes=attributes), *others]


# --- spans -------------------------------------------------------------------------------------


def _kept(node: Node) -> SpanRecord:
    """A span round the steps, as it is; that of an agent also in current names."""
    if node.facts.kind != "agent":
        return node.span
    facts = node.facts
    name = f"{semconv.OP_INVOKE_AGENT} {facts.agent_name}" if facts.agent_name else node.span.name
    told = _told_only(
        {
            semconv.OPERATION: semconv.OP_INVOKE_AGENT,
            semconv.AGENT_NAME: facts.agent_name,
            semconv.AGENT_ID: facts.agent_id,
            semconv.AGENT_VERSION: facts.agent_version,
            semconv.CONVERSATION_ID: facts.conversation_id,
        }
    )
    return dataclasses.replace(node.span, name=name, attributes={**node.span.attributes, **told})


def _renamed(node: Node, step: Step) -> SpanRecord:
    """The span that owns a step, saying what the rows say, and what no dialect has a word for."""
    if node.facts.kind == "agent":  # an agent that another one invoked is a hand-over by itself
        return _kept(node)
    span, operation = node.span, _operation(node, step)
    kept = {key: value for key, value in span.attributes.items() if not _is_dialect(key)}
    return dataclasses.replace(
        span,
        name=_name(operation, step),
        kind=_kind(step),
        status="ERROR" if step.status == "error" else "UNSET",
        status_message=step.error_message if step.status == "error" else None,
        attributes={**kept, **_attributes(operation, step, node.facts)},
        events=tuple(event for event in span.events if not _is_dialect(event.name)),
        scope_name=SCOPE,
        scope_version=None,
        scope_attributes={},
        schema_url=None,
    )


def _made(step: Step, asker: Node, steps: Sequence[Step]) -> SpanRecord:
    """A span for a step that has none: a tool that only the messages of model calls told of."""
    asked = "" if step.parent_step is None else steps[step.parent_step].tool_calls or ""
    if step.tool_call_id and step.tool_call_id not in asked:
        step = dataclasses.replace(step, tool_call_id=None)  # the answer's id; the call has another
    operation = _operation(None, step)
    key = f"{step.trace_id}{step.span_id}{step.step}"
    start = (step.start_time - _EPOCH) // _US * 1000
    end = start if step.end_time is None else (step.end_time - _EPOCH) // _US * 1000
    failed = step.status == "error"
    return SpanRecord(
        trace_id=step.trace_id,
        span_id=hashlib.sha256(key.encode()).hexdigest()[:16],
        parent_span_id=asker.span.parent_span_id,
        name=_name(operation, step),
        start_ns=max(start, asker.end_ns),
        end_ns=max(end, asker.end_ns),
        kind=_kind(step),
        status="ERROR" if failed else "UNSET",
        status_message=step.error_message if failed else None,
        attributes=_attributes(operation, step, Facts()),
        resource=asker.span.resource,
        scope_name=SCOPE,
    )


def _operation(node: Node | None, step: Step) -> str:
    """`gen_ai.operation.name`: the span's own where it is one of the conventions, else by kind."""
    if step.kind in ("tool", "handoff"):
        is_tool = step.kind == "tool" or step.tool_name
        return semconv.OP_EXECUTE_TOOL if is_tool else "handoff"
    own = node.span.attributes.get(semconv.OPERATION) if node is not None else None
    if isinstance(own, str) and OPERATIONS.get(own) == step.kind:
        return own
    return {"llm": semconv.OP_CHAT, "retrieval": semconv.OP_RETRIEVAL}.get(
        step.kind, "search_memory"
    )


def _name(operation: str, step: Step) -> str:
    of = step.model if step.kind == "llm" else step.tool_name or step.handoff_to
    return f"{operation} {of}" if of else operation


def _kind(step: Step) -> SpanKind:
    return "INTERNAL" if step.kind in ("tool", "handoff") else "CLIENT"


def _attributes(operation: str, step: Step, facts: Facts) -> dict[str, Any]:
    of_kind = {
        "llm": _model_attributes,
        "tool": _tool_attributes,
        "handoff": _tool_attributes,
    }.get(step.kind, _query_attributes)
    return _told_only(
        {
            semconv.OPERATION: operation,
            # Only where the span named one: a name learned by a hand-over does not hold before it.
            semconv.AGENT_NAME: step.agent_name if facts.agent_name else None,
            semconv.CONVERSATION_ID: facts.conversation_id,
            semconv.ERROR_TYPE: step.error_type,
            **of_kind(step, facts),
        }
    )


def _model_attributes(step: Step, facts: Facts) -> dict[str, Any]:
    return {
        semconv.PROVIDER: step.provider,
        semconv.REQUEST_MODEL: step.model,
        semconv.REQUEST_STREAM: step.stream,
        semconv.REQUEST_PREVIOUS_RESPONSE_ID: facts.previous_response_id,
        semconv.RESPONSE_MODEL: step.response_model,
        semconv.RESPONSE_ID: step.response_id,
        semconv.FINISH_REASONS: None if step.finish_reason is None else [step.finish_reason],
        semconv.TIME_TO_FIRST_CHUNK: None if step.ttft_us is None else step.ttft_us / 1e6,
        semconv.INPUT_TOKENS: step.input_tokens,
        semconv.OUTPUT_TOKENS: step.output_tokens,
        semconv.CACHE_READ_TOKENS: step.cache_read_tokens,
        semconv.CACHE_WRITE_TOKENS: step.cache_write_tokens,
        semconv.REASONING_TOKENS: step.reasoning_tokens,
        semconv.COST_USD: facts.cost_usd,
        semconv.SYSTEM_INSTRUCTIONS: facts.system
        and dumps([{"type": "text", "content": facts.system}]),
        semconv.INPUT_MESSAGES: to_json(facts.input) if facts.input else None,
        semconv.OUTPUT_MESSAGES: step.output,
        semconv.TOOL_DEFINITIONS: dumps(facts.tool_definitions) if facts.tool_definitions else None,
    }


def _tool_attributes(step: Step, facts: Facts) -> dict[str, Any]:
    return {
        semconv.TOOL_NAME: step.tool_name,
        semconv.TOOL_CALL_ID: step.tool_call_id,
        semconv.TOOL_TYPE: step.tool_type,
        semconv.TOOL_CALL_ARGUMENTS: step.arguments,
        semconv.TOOL_CALL_RESULT: step.result,
        semconv.TRANSFER_TARGET: step.handoff_to,
        semconv.TRANSFER_MODE: {
            "transfer": "pass_control",
            "delegate": "return_to_caller",
        }.get(step.handoff_mode or ""),
        "gen_ai.agent.handoff.source.name": facts.handoff_from,
    }


def _query_attributes(step: Step, facts: Facts) -> dict[str, Any]:
    return {
        semconv.TOOL_NAME: step.tool_name,
        semconv.RETRIEVAL_QUERY: step.arguments,
        semconv.RETRIEVAL_DOCUMENTS: step.result,
    }


def _told_only(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value is not None}


# --- whose word an attribute is ----------------------------------------------------------------

_CURRENT: Final = frozenset(
    value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)
)
_SHARED: Final = frozenset(
    source
    for sources in OTEL.facts.values()
    for source in sources
    if isinstance(source, str) and not source.startswith("gen_ai.")
)


def _words(dialect: Dialect) -> Iterable[str]:
    """Every key, or beginning of keys, that a dialect writes."""
    yield from (*dialect.marks, *dialect.kinds, *dialect.request, *dialect.response)
    yield from dialect.events
    for source in (source for sources in dialect.facts.values() for source in sources):
        match source:
            case str(key) | At(key) | Times(key) | Flat(key):
                yield key


_FAMILIES: Final = frozenset(
    word.split(".")[0]
    for dialect in DIALECTS
    if dialect not in (TRAJ, OTEL)
    for word in _words(dialect)
)
"""First parts of the names that other dialects use."""


@functools.lru_cache(maxsize=4096)
def _is_dialect(name: str) -> bool:
    """Whether an attribute or event is another dialect's word for what the rows say."""
    if name in _CURRENT or name in _SHARED or name.startswith(("gen_ai.request.", "traj.")):
        return False
    return name.split(".")[0] in _FAMILIES


def _is_content(log: LogRecord) -> bool:
    """Whether a log record tells what stands on its span now: messages and details of a call."""
    name = log.event_name or ""
    ours = (semconv.EVENT_EVALUATION, semconv.EVENT_OPERATION_EXCEPTION)
    return name not in ours and name.startswith("gen_ai.")


# --- what was said since -----------------------------------------------------------------------


def _said_since(
    trajectory: Trajectory, told: Told, spans: list[SpanRecord], logs: list[LogRecord]
) -> list[LogRecord]:
    """Annotations that the spans and logs do not tell themselves, as evaluation events."""
    known = {
        annotation.annotation_id
        for assembly in assemble(spans, logs)
        for annotation in assembly.annotations
    }
    root = spans[0]
    return [
        _evaluation(annotation, root)
        for annotation in told.annotations
        if annotation.annotation_id not in known and not annotation.deleted
    ]


def _evaluation(annotation: Annotation, root: SpanRecord) -> LogRecord:
    return LogRecord(
        trace_id=annotation.trace_id or root.trace_id,
        span_id=annotation.span_id or root.span_id,
        time_ns=(annotation.created - _EPOCH) // _US * 1000,
        observed_ns=None,
        event_name=semconv.EVENT_EVALUATION,
        severity=None,
        body=None,
        attributes=_told_only(
            {
                semconv.EVALUATION_NAME: annotation.name,
                semconv.EVALUATION_VALUE: annotation.value_num,
                semconv.EVALUATION_LABEL: annotation.value_text,
                semconv.ANNOTATION_JSON: annotation.value_json,
                semconv.ANNOTATION_KIND: annotation.kind,
                semconv.ANNOTATION_SOURCE: annotation.source,
                semconv.ANNOTATION_ANNOTATOR: annotation.annotator,
            }
        ),
        scope_name=SCOPE,
        resource=root.resource,
    )
