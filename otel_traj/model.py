"""What is received and what it means: frozen values, no I/O, no SDK.

Two families. *Records* (`SpanRecord`, `LogRecord`, `Annotation`, `Close`) are what arrives, from
the SDK, from OTLP or from a file; every edge turns its own objects into records, so that all that
follows is one code path. *Rows* (`Trajectory`, `Step`, `TrajectorySpan`, `FileChange`) are what
assembly derives; their fields are the columns of the table of the same name, in order, which
`columns()` lists and `tests/test_schema.py` compares with `store/schema.py`.

Unknown is None, never 0 and never "". JSON columns hold JSON text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
"""An OTLP AnyValue as plain Python."""

Attributes: TypeAlias = Mapping[str, Any]
"""Attribute key -> `Value`."""

SpanKind: TypeAlias = Literal["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
SpanStatus: TypeAlias = Literal["UNSET", "OK", "ERROR"]
Outcome: TypeAlias = Literal["success", "failure", "partial", "error", "unknown"]
RunStatus: TypeAlias = Literal["open", "completed", "error", "aborted", "timeout"]
StepKind: TypeAlias = Literal[
    "user", "llm", "tool", "handoff", "retrieval", "memory", "thought", "other"
]
StepStatus: TypeAlias = Literal["ok", "error", "aborted", "open"]
Effect: TypeAlias = Literal["read", "idempotent", "effect", "unknown"]
AnnotationKind: TypeAlias = Literal["reward", "outcome", "score", "label", "feedback", "comment"]
AnnotationTarget: TypeAlias = Literal["trajectory", "step", "span"]

NOT_A_COLUMN = {"column": False}


_T = TypeVar("_T")


def quickly_made(cls: type[_T]) -> type[_T]:
    """A frozen data class with slots, its instances made in a fifth of the time.

    A frozen class sets each field of a new instance through `object.__setattr__`. This one sets
    them while the instance is still of a class with the same slots that can be changed.
    """
    scope: dict[str, Any] = {"become": object.__setattr__, "final": cls, "untold": object()}
    parameters, lines = ["self"], ["become(self, '__class__', draft)"]
    for f in dataclasses.fields(cast(Any, cls)):
        scope[f"{f.name}_default"], scope[f"{f.name}_made"] = f.default, f.default_factory
        is_made = f.default_factory is not dataclasses.MISSING
        if f.kw_only and "*" not in parameters:
            parameters.append("*")
        default = "untold" if is_made else f"{f.name}_default"
        is_required = f.default is dataclasses.MISSING and not is_made
        parameters.append(f.name if is_required else f"{f.name}={default}")
        made = f"{f.name}_made() if {f.name} is untold else " if is_made else ""
        lines.append(f"self.{f.name} = {made}{f.name}")
    lines.append("self.__class__ = final")
    scope["draft"] = type(cls.__name__, (), {"__slots__": cast(Any, cls).__slots__})
    body = "\n".join(f"    {line}" for line in lines)
    exec(f"def __init__({', '.join(parameters)}):\n{body}", scope)
    scope["__init__"].__annotations__ = cls.__init__.__annotations__
    cast(Any, cls).__init__ = scope["__init__"]
    return cls


class found_once(Generic[_T]):
    """`functools.cached_property` without the lock that it takes before Python 3.12.

    Two threads may both find the value, which is the same.
    """

    def __init__(self, find: Callable[[Any], _T]) -> None:
        """Find the value by this when it is first asked for."""
        self._find, self.__doc__, self._name = find, find.__doc__, find.__name__

    def __get__(self, owner: Any, _: type | None = None) -> _T:
        """The value; the next time it is an attribute like others, and this is not asked."""
        value = vars(owner)[self._name] = self._find(owner)
        return value


# --- records: what arrives ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event on a span. `time_ns` is Unix time in nanoseconds."""

    time_ns: int
    name: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A link from a span to another one. Ids are hex."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@quickly_made
@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span as received, ended or (with `end_ns` None) only known to have started.

    `trace_id` has 32 and `span_id` 16 hex digits, lower case. Times are Unix nanoseconds exactly as
    sent, also where the clock ran backwards. `start_seq` is the order of starts in the process that
    ran our span processor, None when it did not.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_ns: int
    end_ns: int | None
    kind: SpanKind = "INTERNAL"
    status: SpanStatus = "UNSET"
    status_message: str | None = None
    attributes: Attributes = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource: Attributes = field(default_factory=dict)
    scope_name: str | None = None
    scope_version: str | None = None
    scope_attributes: Attributes = field(default_factory=dict)
    schema_url: str | None = None
    trace_state: str | None = None
    flags: int | None = None
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0
    start_seq: int | None = None

    @property
    def is_open(self) -> bool:
        """The span started and has not been seen to end."""
        return self.end_ns is None

    @property
    def is_local_root(self) -> bool:
        """No parent in this process: none at all, or one that the flags call remote."""
        return is_local_root(self.parent_span_id, self.flags)


def is_local_root(parent_span_id: str | None, flags: int | None) -> bool:
    """Whether a span with this parent and these flags has no parent in its process."""
    # OTLP: bit 8 says that bit 9 is known, bit 9 that the parent lives in another process.
    return parent_span_id is None or (flags or 0) & 0x300 == 0x300


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record as received; `event_name` is its field, else attribute `event.name`."""

    trace_id: str | None
    span_id: str | None
    time_ns: int | None
    observed_ns: int | None
    event_name: str | None
    severity: str | None
    body: Any
    attributes: Attributes = field(default_factory=dict)
    scope_name: str | None = None
    resource: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A fact about a trajectory, step or span, given in the run or days later; append-only.

    The fields are the columns of table `annotations`. A step is named by its ids (`span_id`,
    `tool_call_id`), never by its number, so that re-derivation keeps the annotation attached.
    Exactly what is None is unknown: `trajectory_id` is None where only `trace_id` is known.
    """

    annotation_id: str
    target: AnnotationTarget
    trajectory_id: str | None
    trace_id: str | None
    span_id: str | None
    tool_call_id: str | None
    name: str
    kind: AnnotationKind
    value_num: float | None
    value_text: str | None
    value_json: str | None
    source: str
    annotator: str | None
    created: datetime
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """The recording process says that a run is over; its spans may still be read in any order."""

    trajectory_id: str
    trace_ids: tuple[str, ...]
    root_span_id: str | None
    n_open: int = 0
    dropped_spans: int = 0
    dropped_logs: int = 0


Record: TypeAlias = SpanRecord | LogRecord | Annotation | Close


def is_sound(record: Record) -> bool:
    """Whether the fields that rows and ids are made of have the types that this module names.

    What a log, a stranger's JSON or a caller holds need not; what is not sound fits no table.
    """
    fields: Any = record
    if isinstance(record, SpanRecord):
        return (
            _are(str, fields.trace_id, fields.span_id, fields.name)
            and _are(int, fields.start_ns)
            and _are(_OPTIONAL_INT, fields.end_ns, fields.flags)
            and _are(_OPTIONAL_TEXT, fields.parent_span_id, fields.status_message)
            and _are(_OPTIONAL_TEXT, fields.scope_name, fields.scope_version)
            and _are(_OPTIONAL_TEXT, fields.schema_url, fields.trace_state)
            and _are_attributes(fields.attributes, fields.resource, fields.scope_attributes)
            and all(map(_is_sound_event, fields.events))
            and all(map(_is_sound_link, fields.links))
        )
    if isinstance(record, LogRecord):
        return (
            _are(_OPTIONAL_TEXT, fields.trace_id, fields.span_id, fields.event_name)
            and _are(_OPTIONAL_TEXT, fields.severity, fields.scope_name)
            and _are(_OPTIONAL_INT, fields.time_ns, fields.observed_ns)
            and _are_attributes(fields.attributes, fields.resource)
        )
    if isinstance(record, Annotation):
        return _are(str, fields.annotation_id, fields.name) and _are(datetime, fields.created)
    return isinstance(fields, Close)


def _is_sound_event(event: SpanEvent) -> bool:
    return _are(int, event.time_ns) and _are(str, event.name) and _are_attributes(event.attributes)


def _is_sound_link(link: SpanLink) -> bool:
    return _are(str, link.trace_id, link.span_id) and _are_attributes(link.attributes)


_OPTIONAL_TEXT = (str, type(None))
_OPTIONAL_INT = (int, type(None))


def _are(types: type[Any] | tuple[type[Any], ...], *values: object) -> bool:
    return all(isinstance(value, types) for value in values)


def _are_attributes(*values: object) -> bool:
    return all(isinstance(value, Mapping) and _are(str, *value) for value in values)


# --- rows: what assembly derives ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MergedSpan:
    """Another span (or the span of a log) that told of the same step, and why we think so."""

    trace_id: str
    span_id: str
    rule: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Repair:
    """How often a repair rule was applied in a trajectory; `confidence` in (0, 1], the lowest."""

    rule: str
    count: int
    confidence: float


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened: a model call, a tool execution, a hand-over, a user message."""

    trajectory_id: str
    rev: int = 0
    step: int
    turn: int | None = None
    parent_step: int | None = None
    agent_run: int | None = None
    agent_path: str | None = None
    kind: StepKind
    trace_id: str
    span_id: str
    merged_spans: tuple[MergedSpan, ...] = ()
    start_time: datetime
    end_time: datetime | None = None
    duration_us: int | None = None
    ttft_us: int | None = None
    start_seq: int | None = None
    group_id: int | None = None
    status: StepStatus = "ok"
    error_type: str | None = None
    error_message: str | None = None
    agent_name: str | None = None
    provider: str | None = None
    model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    stream: bool | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    cost_source: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_type: str | None = None
    effect: Effect | None = None
    handoff_from: str | None = None
    handoff_to: str | None = None
    handoff_mode: Literal["transfer", "delegate"] | None = None
    arguments: str | None = None
    result: str | None = None
    model_saw: str | None = None
    output_text: str | None = None
    reasoning: str | None = None
    tool_calls: str | None = None
    new_messages: str | None = None
    output: str | None = None
    reward: float | None = None
    cumulative_reward: float | None = None
    done: bool | None = None
    test_pass_rate: float | None = None
    security_flags: tuple[str, ...] | None = None
    observation: str | None = None
    request_hash: str | None = None
    system_hash: str | None = None
    tools_hash: str | None = None
    messages_hash: str | None = None
    params_hash: str | None = None
    prefix_hash: str | None = None
    canon_version: str | None = None
    grade: Literal["A", "B", "C", "D"] | None = None
    grade_reason: str | None = None
    inferred: tuple[str, ...] = ()
    attributes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file that a step changed; contents are None above the size limit, hashes never are."""

    trajectory_id: str
    rev: int = 0
    step: int
    path: str
    old_path: str | None = None
    sha256_before: str | None = None
    sha256_after: str | None = None
    added: int | None = None
    removed: int | None = None
    is_binary: bool = False
    diff: str | None = None
    content_before: str | None = None
    content_after: str | None = None


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectorySpan:
    """A span belongs to a trajectory; `step` is None for wrappers."""

    trajectory_id: str
    rev: int = 0
    trace_id: str
    span_id: str
    step: int | None = None


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One attempt at one task: the header row and (no columns) its steps and file changes."""

    trajectory_id: str
    aliases: tuple[str, ...] = ()
    rev: int = 0
    trace_ids: tuple[str, ...]
    root_span_id: str | None = None
    parent_trajectory_id: str | None = None
    relation: Literal["fork", "replay", "revision", "subagent"] | None = None
    generation: int | None = None
    operator: str | None = None
    task_id: str | None = None
    task: str | None = None
    user_input: str | None = None
    final_answer: str | None = None
    agent_name: str | None = None
    agent_id: str | None = None
    agent_version: str | None = None
    agents: tuple[str, ...] = ()
    service: str | None = None
    variant_id: str | None = None
    prompt_version: str | None = None
    guideline_ids: tuple[str, ...] = ()
    arm: str | None = None
    conversation_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    start_time: datetime
    end_time: datetime | None = None
    duration_us: int | None = None
    status: RunStatus
    error_type: str | None = None
    error_message: str | None = None
    error_category: str | None = None
    failure_rationale: str | None = None
    fix_applied: str | None = None
    n_spans: int = 0
    n_steps: int = 0
    n_turns: int = 0
    n_llm: int = 0
    n_tools: int = 0
    n_handoffs: int = 0
    n_errors: int = 0
    n_llm_errors: int = 0
    n_open: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    models: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    n_duplicates: int = 0
    n_late: int = 0
    n_orphans: int = 0
    n_truncated: int = 0
    n_missing_content: int = 0
    n_dropped_spans: int = 0
    n_dropped_attributes: int = 0
    repairs: tuple[Repair, ...] = ()
    stitch_confidence: float | None = None
    grade: Literal["A", "B", "C", "D"] | None = None
    sampling_rate: float | None = None
    complete: bool = True
    derive_version: str | None = None
    initial_state: str | None = None
    metadata: str | None = None
    attributes: str | None = None
    steps: tuple[Step, ...] = field(default=(), compare=False, repr=False, metadata=NOT_A_COLUMN)
    file_changes: tuple[FileChange, ...] = field(
        default=(), compare=False, repr=False, metadata=NOT_A_COLUMN
    )

    @property
    def duration_s(self) -> float | None:
        """Wall time in seconds; None while the run is open."""
        return None if self.duration_us is None else self.duration_us / 1e6


@dataclass(frozen=True, slots=True)
class Assembly:
    """All rows derived for one trajectory; `trajectory.steps` and `.file_changes` are its rows too.

    `annotations` are what the run says of itself (outcome, reward, evaluation events).
    """

    trajectory: Trajectory
    spans: tuple[TrajectorySpan, ...]
    annotations: tuple[Annotation, ...]


def columns(row_type: type[Any]) -> tuple[str, ...]:
    """Names of the table columns of a row class, in order."""
    return tuple(f.name for f in dataclasses.fields(row_type) if f.metadata.get("column", True))
