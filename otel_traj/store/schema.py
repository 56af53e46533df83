"""The tables of a store: every column's type, unit and meaning; public names (format version 1).

Names and order of the derived tables come from `otel_traj.model` and are only repeated here to
stand beside their meaning; `tests/store/test_schema.py` compares the two. A DuckDB type is written
once per column and decides the Arrow type, hence the Parquet type. Changes are additive: a new
column is a new step in `SCHEMA_STEPS`, files written before it read as NULL.

Raw tables (`spans`, `logs`, `annotations`) say what was received, derived tables what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from otel_traj import model

BY_A_PERSON: Final = "human"
"""Source of what somebody said of a run on its page; as good as what the run said of itself."""

FORMAT_VERSION: Final = 1
"""Version of the folder layout and of the snapshot file, kept in `format.json`."""


@dataclass(frozen=True, slots=True)
class SchemaStep:
    """One addition to the columns; never edited once it was released.

    Attributes:
        id: What a snapshot notes beside each file that was written with these columns.
        since: Version of otel-traj that writes them.
        added: What is new: names of tables, and `table.column`.
    """

    id: int
    since: str
    added: tuple[str, ...]


SCHEMA_STEPS: Final = (SchemaStep(1, "0.1.0", ("everything",)),)
"""How the columns below came to be, oldest first. A file of an earlier step is read for ever: what
it lacks is NULL. One of a later step is read too, without what this version does not know."""

SCHEMA_ID: Final = SCHEMA_STEPS[-1].id
"""Id of the columns below."""

# Spelt as DuckDB spells them, so that a described view compares equal.
_EVENTS: Final = 'STRUCT(time_ns BIGINT, "name" VARCHAR, attributes VARCHAR)[]'
_LINKS: Final = "STRUCT(trace_id VARCHAR, span_id VARCHAR, attributes VARCHAR)[]"
_MERGED: Final = 'STRUCT(trace_id VARCHAR, span_id VARCHAR, "rule" VARCHAR, confidence DOUBLE)[]'
_REPAIRS: Final = 'STRUCT("rule" VARCHAR, count INTEGER, confidence DOUBLE)[]'


def _structs(**fields: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct(list(fields.items())))


_ARROW: Final[Mapping[str, pa.DataType]] = MappingProxyType(
    {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
        "VARCHAR[]": pa.list_(pa.string()),
        _EVENTS: _structs(time_ns=pa.int64(), name=pa.string(), attributes=pa.string()),
        _LINKS: _structs(trace_id=pa.string(), span_id=pa.string(), attributes=pa.string()),
        _MERGED: _structs(
            trace_id=pa.string(), span_id=pa.string(), rule=pa.string(), confidence=pa.float64()
        ),
        _REPAIRS: _structs(rule=pa.string(), count=pa.int32(), confidence=pa.float64()),
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `unit` is what a number counts, or "JSON" where a text is JSON; "" otherwise."""

    name: str
    duckdb_type: str
    meaning: str
    unit: str = ""

    @property
    def arrow_type(self) -> pa.DataType:
        """Its type in Arrow and Parquet."""
        return _ARROW[self.duckdb_type]


@dataclass(frozen=True, slots=True)
class Table:
    """One table: a folder of Parquet files and a view of the same name.

    Attributes:
        meaning: What one row is.
        row_type: The class in `otel_traj.model` whose fields are the columns, or None.
        columns: What the files hold.
        view_columns: What the public view adds, after `columns`.
        sort: Order of rows in a file.
        row_group: Rows per row group.
        bloom: Columns with a Bloom filter, for look-ups by id.
    """

    name: str
    meaning: str
    row_type: type[Any] | None
    columns: tuple[Column, ...]
    view_columns: tuple[Column, ...] = ()
    sort: tuple[str, ...] = ()
    row_group: int = 122_880
    bloom: tuple[str, ...] = ()

    @property
    def pruned_by(self) -> tuple[str, ...]:
        """Columns whose least and greatest value files tell: readers leave out parts by them."""
        times = (c.name for c in self.columns if c.duckdb_type == "TIMESTAMP WITH TIME ZONE")
        return tuple(dict.fromkeys((*times, *self.bloom)))


def _text(name: str, meaning: str) -> Column:
    return Column(name, "VARCHAR", meaning)


def _json(name: str, meaning: str) -> Column:
    return Column(name, "VARCHAR", meaning, "JSON")


def _texts(name: str, meaning: str) -> Column:
    return Column(name, "VARCHAR[]", meaning)


def _count(name: str, meaning: str) -> Column:
    return Column(name, "INTEGER", meaning, "count")


def _index(name: str, meaning: str) -> Column:
    return Column(name, "INTEGER", meaning)


def _long(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "BIGINT", meaning, unit)


def _tokens(name: str, meaning: str) -> Column:
    return Column(name, "BIGINT", meaning, "tokens")


def _number(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "DOUBLE", meaning, unit)


def _flag(name: str, meaning: str) -> Column:
    return Column(name, "BOOLEAN", meaning)


def _time(name: str, meaning: str) -> Column:
    return Column(name, "TIMESTAMP WITH TIME ZONE", meaning, "UTC")


_USAGE = (
    _tokens("input_tokens", "Prompt tokens, cached ones included"),
    _tokens("output_tokens", "Generated tokens, reasoning included"),
    _tokens("cache_read_tokens", "Prompt tokens read from the provider's cache"),
    _tokens("cache_write_tokens", "Prompt tokens written to the provider's cache"),
    _tokens("reasoning_tokens", "Generated tokens spent on reasoning"),
)

SPANS = Table(
    "spans",
    "A span as received. A column named after an attribute holds its verbatim value, moved there",
    None,
    (
        _text("trace_id", "Trace, 32 hex digits"),
        _text("span_id", "Span, 16 hex digits"),
        _text("parent_span_id", "Parent span, NULL for a root"),
        _text("trace_state", "W3C trace state"),
        _long("flags", "OTLP flags: W3C bits, and whether the parent is remote"),
        _text("name", "Span name"),
        _text("kind", "UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER or CONSUMER"),
        _text("status", "UNSET, OK or ERROR"),
        _text("status_message", "What came with the status"),
        _time("start_time", "Start, rounded down to microseconds"),
        _time("end_time", "End, rounded down to microseconds"),
        _long("start_ns", "Start exactly as sent", "ns since 1970"),
        _long("end_ns", "End exactly as sent", "ns since 1970"),
        _text("service", "`service.name` of the resource"),
        _text("scope_name", "Instrumentation scope: the library that made the span"),
        _text("scope_version", "Its version"),
        _json("scope_attributes", "Its attributes"),
        _text("schema_url", "Version of the conventions the span claims to follow"),
        _text("op", "`gen_ai.operation.name`"),
        _text("agent_name", "`gen_ai.agent.name`"),
        _text("agent_id", "`gen_ai.agent.id`"),
        _text("conversation_id", "`gen_ai.conversation.id`"),
        _text("provider", "`gen_ai.provider.name`"),
        _text("model", "`gen_ai.request.model`"),
        _text("response_model", "`gen_ai.response.model`"),
        _text("response_id", "`gen_ai.response.id`"),
        _text("tool_name", "`gen_ai.tool.name`"),
        _text("tool_call_id", "`gen_ai.tool.call.id`"),
        _text("tool_type", "`gen_ai.tool.type`"),
        _texts("finish_reasons", "`gen_ai.response.finish_reasons`"),
        _text("error_type", "`error.type`"),
        _tokens("input_tokens", "`gen_ai.usage.input_tokens`"),
        _tokens("output_tokens", "`gen_ai.usage.output_tokens`"),
        _tokens("cache_read_tokens", "`gen_ai.usage.cache_read.input_tokens`"),
        _tokens("cache_write_tokens", "`gen_ai.usage.cache_write.input_tokens`"),
        _tokens("reasoning_tokens", "`gen_ai.usage.reasoning.output_tokens`"),
        _number("temperature", "`gen_ai.request.temperature`"),
        _number("top_p", "`gen_ai.request.top_p`"),
        _long("start_seq", "Order of starts in its process, when our processor saw it"),
        _long("ingest_seq", "Snapshot that brought the span"),
        _time("ingest_time", "When it was sealed"),
        _count("dropped_attributes", "Attributes the SDK dropped"),
        _count("dropped_events", "Events the SDK dropped"),
        _count("dropped_links", "Links the SDK dropped"),
        Column(
            "events",
            _EVENTS,
            "Span events in the order sent; attributes are JSON",
        ),
        Column(
            "links",
            _LINKS,
            "Links to other spans; attributes are JSON",
        ),
        _json("resource", "All resource attributes"),
        _json("attributes", "Every attribute that has no column of its own, types kept"),
        _json("system_instructions", "`gen_ai.system_instructions`"),
        _json("tool_definitions", "`gen_ai.tool.definitions`"),
        _json("tool_arguments", "`gen_ai.tool.call.arguments`"),
        _json("tool_result", "`gen_ai.tool.call.result`"),
        _json("input_messages", "`gen_ai.input.messages`"),
        _json("output_messages", "`gen_ai.output.messages`"),
    ),
    view_columns=(
        _text("trajectory_id", "Trajectory it belongs to, NULL when none"),
        _index("step", "Step it tells of, NULL for wrappers"),
    ),
    sort=("trajectory start", "trace_id", "start_time"),
    row_group=8_192,
    bloom=("trace_id", "conversation_id"),
)

LOGS = Table(
    "logs",
    "A log record as received; joined to its span by derivation, in any order of arrival",
    None,
    (
        _text("trace_id", "Trace of its context, NULL when it had none"),
        _text("span_id", "Span of its context, NULL when it had none"),
        _long("time_ns", "When it happened", "ns since 1970"),
        _long("observed_ns", "When it was observed", "ns since 1970"),
        _text("event_name", "Event name, from the field or from attribute `event.name`"),
        _text("severity", "Severity text"),
        _json("body", "Body, NULL when it had none"),
        _json("attributes", "All attributes, types kept"),
        _text("scope_name", "Instrumentation scope"),
        _json("resource", "All resource attributes"),
    ),
    sort=("trace_id", "time_ns"),
    row_group=8_192,
    bloom=("trace_id",),
)

TRAJECTORIES = Table(
    "trajectories",
    "One attempt at one task, from first input to outcome",
    model.Trajectory,
    (
        _text("trajectory_id", "Its id: the user's, else 20 hex digits; stays the same for ever"),
        _texts("aliases", "Other ids it is known by: joined runs, an id that came late"),
        _long("rev", "Snapshot that derived this row; only the newest revision is visible"),
        _texts("trace_ids", "Traces it is made of"),
        _text("root_span_id", "Its outermost span"),
        _text("parent_trajectory_id", "Trajectory it was made from or called by"),
        _text("relation", "How: fork, replay, revision or subagent"),
        _index("generation", "Distance from the first ancestor"),
        _text("operator", "What made it from its parent"),
        _text("task_id", "Task: attempts at the same one share it"),
        _text("task", "What was asked, in words"),
        _text("user_input", "Last user message of the first request"),
        _text("final_answer", "What the run gave back; NULL when it failed or gave none"),
        _text("agent_name", "Agent at the top"),
        _text("agent_id", "Its id"),
        _text("agent_version", "Its version"),
        _texts("agents", "All agents that acted"),
        _text("service", "`service.name`"),
        _text("variant_id", "Variant under test"),
        _text("prompt_version", "Version of prompt and guidelines"),
        _texts("guideline_ids", "Guidelines that were in the prompt"),
        _text("arm", "Arm of an experiment"),
        _text("conversation_id", "Conversation it is a turn of"),
        _text("session_id", "User's session"),
        _text("user_id", "User"),
        _time("start_time", "Start of its first span"),
        _time("end_time", "End of its last span, NULL while open"),
        _long("duration_us", "Wall time, NULL while open", "us"),
        _text("status", "How it ended, from its spans: open, completed, error, aborted, timeout"),
        _text("error_type", "Type of the error that ended it"),
        _text("error_message", "Its text"),
        _text("error_category", "Category given by the run or an evaluator"),
        _text("failure_rationale", "Why it failed, as given"),
        _text("fix_applied", "What fixed it, as given"),
        _count("n_spans", "Spans"),
        _count("n_steps", "Rows in `steps`"),
        _count("n_turns", "Decisions of an agent"),
        _count("n_llm", "Model calls"),
        _count("n_tools", "Tool executions"),
        _count("n_handoffs", "Hand-overs between agents"),
        _count("n_errors", "Failed steps"),
        _count("n_llm_errors", "Failed model calls"),
        _count("n_open", "Spans that started and were not seen to end"),
        *_USAGE,
        _number("cost_usd", "Sum over its model calls, NULL when unknown", "USD"),
        _texts("models", "Models in order of first call"),
        _texts("tools", "Tool names in call order, repeats kept"),
        _texts("dialects", "Vocabularies its spans speak"),
        _count("n_duplicates", "Spans that told of a call already told"),
        _count("n_late", "Spans that came after it was closed"),
        _count("n_orphans", "Spans whose parent never came"),
        _count("n_truncated", "Values cut before they came"),
        _count("n_missing_content", "Model and tool calls without recorded content"),
        _count("n_dropped_spans", "Spans lost in the recording process, counted there"),
        _count("n_dropped_attributes", "Attributes dropped by SDK limits"),
        Column(
            "repairs",
            _REPAIRS,
            "Repair rules applied; confidence in (0, 1], the lowest",
        ),
        _number("stitch_confidence", "How sure the joining of its traces is; NULL for one trace"),
        _text("grade", "How far it can be replayed: A, B, C or D"),
        _number(
            "sampling_rate", "Probability with which sampling kept this run, NULL when not told"
        ),
        _flag("complete", "False while spans may still come, or when some are known to be missing"),
        _text("derive_version", "Version of the rules that derived it"),
        _json("initial_state", "State at the start, as given"),
        _json("metadata", "What the caller attached"),
        _json("attributes", "What else is known: `traj.redacted`, how many values were replaced"),
    ),
    view_columns=(
        _text("outcome", "How good it was: success, failure, partial, error or unknown"),
        _text("outcome_source", "Who says so: explicit, evaluation, rule:<name> or builtin"),
        _number("reward", "Last reward given to the run, else by a rule, NULL when none"),
        _text("reward_source", "Who says so: the source that gave it, or rule:<name>"),
        _number("duration_s", "Wall time, NULL while open", "s"),
    ),
    sort=("start_time",),
    bloom=("trajectory_id",),
)

STEPS = Table(
    "steps",
    "One thing that happened in a trajectory: a model call, a tool execution, a hand-over",
    model.Step,
    (
        _text("trajectory_id", "Trajectory"),
        _long("rev", "Its revision"),
        _index("step", "Position from 0, in order of cause and start"),
        _index("turn", "Decision it belongs to: one model call and what came back"),
        _index("parent_step", "Step that caused it"),
        _index("agent_run", "Agent invocation it belongs to"),
        _text("agent_path", "Where in the tree of agents: root.3/researcher.1"),
        _text("kind", "user, llm, tool, handoff, retrieval, memory, thought or other"),
        _text("trace_id", "Trace of its span"),
        _text("span_id", "Span that owns it"),
        Column(
            "merged_spans",
            _MERGED,
            "Other spans and logs that told of the same thing",
        ),
        _time("start_time", "Start"),
        _time("end_time", "End, NULL while open"),
        _long("duration_us", "Wall time, NULL while open", "us"),
        _long("ttft_us", "Time to the first chunk of the answer", "us"),
        _long("start_seq", "Order of starts in its process, when known"),
        _index("group_id", "Steps of one parallel group share it"),
        _text("status", "ok, error, aborted or open"),
        _text("error_type", "Type of the error"),
        _text("error_message", "Its text"),
        _text("agent_name", "Who acts; of a handoff, who hands over"),
        _text("provider", "Model provider"),
        _text("model", "Model asked for"),
        _text("response_model", "Model that answered"),
        _text("response_id", "Provider's id of the answer"),
        _text("finish_reason", "Why the model stopped"),
        _flag("stream", "Whether the answer was streamed"),
        *_USAGE,
        _number("cost_usd", "Cost of the call, NULL when unknown", "USD"),
        _text("cost_source", "Where the cost comes from: recorded, genai-prices or prices.toml"),
        _text("tool_name", "Tool, by the name the model used"),
        _text("tool_call_id", "Id of the call the model made"),
        _text("tool_type", "function, extension, datastore ..."),
        _text("effect", "What it does to the world: read, idempotent, effect or unknown"),
        _text("handoff_from", "Agent that hands over"),
        _text("handoff_to", "Agent that goes on, NULL when unknown"),
        _text("handoff_mode", "transfer (the other goes on) or delegate (it answers, returns)"),
        _text("arguments", "Arguments or query, JSON or text"),
        _text("result", "What the tool gave, JSON or text"),
        _text("model_saw", "What the next request carries as its result"),
        _text("output_text", "The model's text"),
        _text("reasoning", "Reasoning text"),
        _json("tool_calls", 'Calls the model asked for: [{"id", "name", "arguments"}]'),
        _json("new_messages", "Messages of the request that no earlier step carried"),
        _json("output", "Messages of the answer, canonical form"),
        _number("reward", "Reward of this step; in the view the last one given"),
        _number("cumulative_reward", "Sum of rewards up to here, as recorded"),
        _flag("done", "Whether the environment called the episode over"),
        _number("test_pass_rate", "Share of tests that pass after it, in [0, 1]"),
        _texts("security_flags", "Flags the environment raised"),
        _json("observation", "Compact observation"),
        _text("request_hash", "Hash of the canonical request"),
        _text("system_hash", "Hash of its system instructions"),
        _text("tools_hash", "Hash of its tool definitions"),
        _text("messages_hash", "Hash of its messages"),
        _text("params_hash", "Hash of its parameters"),
        _text("prefix_hash", "Hash of the messages before the new ones"),
        _text("canon_version", "Version of the canonical form"),
        _text("grade", "How far it can be replayed: A, B, C or D; NULL if nothing is answered"),
        _text("grade_reason", "Why not better"),
        _texts("inferred", "Columns that were concluded and not told, with the rule"),
        _json("attributes", "What else is known of it"),
    ),
    view_columns=(_number("duration_s", "Wall time, NULL while open", "s"),),
    sort=("trajectory start", "trajectory_id", "step"),
    bloom=("trajectory_id",),
)

TRAJECTORY_SPANS = Table(
    "trajectory_spans",
    "A span belongs to a trajectory, also where one trace holds several runs",
    model.TrajectorySpan,
    (
        _text("trajectory_id", "Trajectory"),
        _long("rev", "Its revision"),
        _text("trace_id", "Trace of the span"),
        _text("span_id", "Span"),
        _index("step", "Step it tells of, NULL for wrappers"),
    ),
    sort=("trajectory start", "trajectory_id", "trace_id", "span_id"),
    bloom=("trajectory_id", "trace_id"),
)

FILE_CHANGES = Table(
    "file_changes",
    "A file that a step changed",
    model.FileChange,
    (
        _text("trajectory_id", "Trajectory"),
        _long("rev", "Its revision"),
        _index("step", "Step"),
        _text("path", "File"),
        _text("old_path", "Where it was before a rename"),
        _text("sha256_before", "Hash before, NULL for a new file"),
        _text("sha256_after", "Hash after, NULL for a deleted file"),
        _count("added", "Lines added"),
        _count("removed", "Lines removed"),
        _flag("is_binary", "No text"),
        _text("diff", "Unified diff"),
        _text("content_before", "Content before, NULL over the size limit"),
        _text("content_after", "Content after, NULL over the size limit"),
    ),
    sort=("trajectory start", "trajectory_id", "step", "path"),
    bloom=("trajectory_id",),
)

ANNOTATIONS = Table(
    "annotations",
    "A fact about a trajectory, step or span, given in the run or days later; append-only",
    model.Annotation,
    (
        _text("annotation_id", "Idempotency key: client's id or hash of the content"),
        _text("target", "trajectory, step or span"),
        _text("trajectory_id", "Trajectory, NULL where only the trace is known"),
        _text("trace_id", "Trace"),
        _text("span_id", "Span that owns the step"),
        _text("tool_call_id", "Which of the calls of that span"),
        _text("name", "What it says: outcome, reward, or a name of its own"),
        _text("kind", "reward, outcome, score, label, feedback or comment"),
        _number("value_num", "Its value as a number"),
        _text("value_text", "Its value as text"),
        _json("value_json", "Its value as JSON"),
        _text("source", "Who says so: explicit, human (a person on a page), an evaluator, a test"),
        _text("annotator", "Person or program"),
        _time("created", "When it was said"),
        _flag("deleted", "Takes back what the same source said before"),
    ),
    sort=("created", "annotation_id"),
    bloom=("trajectory_id", "annotation_id"),
)

SUPERSEDED = Table(
    "superseded",
    "A revision made dead by a newer one; internal, empty after compaction",
    None,
    (_text("trajectory_id", "Trajectory"), _long("rev", "Its dead revision")),
    sort=("trajectory_id", "rev"),
)

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        table.name: table
        for table in (
            TRAJECTORIES,
            STEPS,
            SPANS,
            LOGS,
            TRAJECTORY_SPANS,
            FILE_CHANGES,
            ANNOTATIONS,
            SUPERSEDED,
        )
    }
)
"""Table name -> table; what a store holds. `superseded` has no public view."""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {name: tuple(column.name for column in table.columns) for name, table in TABLES.items()}
)
"""Table name -> names of its columns: what `SCHEMA_ID` stands for."""

VIEW_COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = MappingProxyType(
    {
        **{
            name: table.columns + table.view_columns
            for name, table in TABLES.items()
            if name != SUPERSEDED.name
        },
        "annotations_latest": ANNOTATIONS.columns,
        "trajectory_aliases": (
            _text("alias", "Another id of the trajectory"),
            _text("trajectory_id", "Its id"),
        ),
        "attempts": (
            _text("trajectory_id", "The run"),
            _text("task", "Task id, else the task's text, else the first thing the user asked"),
            _text("agent_name", "As in `trajectories`"),
            _text("agent_version", "As in `trajectories`"),
            _time("start_time", "As in `trajectories`"),
            _text("outcome", "As in `trajectories`"),
            _flag("is_success", "Of unjudged runs: ended without an error; NULL: cannot be told"),
            _number("reward", "As in `trajectories`"),
            _text(
                "left_out",
                "NULL: counts; derived: a fork, replay or run of a sub-agent; repeated: the same"
                " word for word as an earlier run; unjudged: nobody gave an outcome; error: broken"
                " by harness or provider, as was said or as `infrastructure` tells; unknown: cannot"
                " be told",
            ),
            _text("repeats", "Earlier run that this one repeats word for word"),
        ),
        "failed_calls": (
            _text("trajectory_id", "The run"),
            Column("step", "INTEGER", "Number of the step"),
            _text("trace_id", "Trace of its span"),
            _text("span_id", "Its span"),
            _text("tool_name", "Tool that was called"),
            _text(
                "signature",
                "What the error says, in small letters, up to 120 characters; `#` stands for"
                " quotations and words with digits; NULL: it says nothing",
            ),
        ),
        "error_classes": (
            _text("tool_name", "Tool that was called"),
            _text("signature", "As in `failed_calls`"),
            _long("n_calls", "Calls that failed like this; not those of forks and replays"),
            _long("n_runs", "Runs with such a call"),
            _long("n_tasks", "Tasks of these runs"),
            _flag("is_proposed", "Looks like an error of the harness, and nobody confirmed it yet"),
            _flag("is_confirmed", "An error of the harness, as `infrastructure` says"),
        ),
        "infrastructure": (
            _text("tool_name", "Tool that was called"),
            _text("signature", "As in `failed_calls`"),
        ),
    }
)
"""Public view -> its columns, in order. Only these may be read by `TrajectoryStore.sql`."""

VIEW_MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{name: TABLES[name].meaning for name in VIEW_COLUMNS if name in TABLES},
        "annotations_latest": "The last word of each source and annotator on each thing:"
        " `annotations` without what was replaced or taken back, `trajectory_id` resolved",
        "trajectory_aliases": "Ids that a trajectory was known by before, or is known by elsewhere",
        "attempts": "A run as analyses of success and failure count it: one try at a task, or why"
        " it is none",
        "failed_calls": "A call of a tool, or a hand-over, that failed, with what its error says",
        "error_classes": "Failed calls of one tool that say the same",
        "infrastructure": "A class of errors that was confirmed to be the harness's"
        " (`otel-traj annotate --infrastructure`)",
    }
)
"""Public view -> what one row is."""


def arrow_schema(table: str) -> pa.Schema:
    """Columns of a table's Parquet files; the hive column `date` is in the path only."""
    return pa.schema([(column.name, column.arrow_type) for column in TABLES[table].columns])


def create_table_sql(view: str) -> str:
    """DDL of an empty DuckDB table with exactly the columns of a public view."""
    body = ",\n".join(f'    "{c.name}" {c.duckdb_type}' for c in VIEW_COLUMNS[view])
    return f'create table "{view}" (\n{body}\n)'
