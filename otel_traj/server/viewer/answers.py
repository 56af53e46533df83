"""What the API answers, by name and type: the source of its OpenAPI document.

Unknown is null, never 0 and never "". Times are ISO 8601 in UTC with microseconds; names end in
their unit where they are numbers (`_us` microseconds, `_s` seconds, `_usd`). Texts are redacted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from otel_traj.comparison import Aspect, Cause, Change
from otel_traj.model import Outcome, RunStatus, StepKind, StepStatus


class Problem(TypedDict):
    """Why a request was refused, as RFC 9457 has it: `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str


class Meta(TypedDict):
    """What is looked at, and what this server can do.

    `version` is that of otel-traj, null in a checkout; `snapshot` changes with every answer that
    may; `schema` is a hash of the names and types of this API. `fields` are those of the query
    language, with what each compares with: text, word, number or seconds.
    """

    version: str | None
    store: str
    snapshot: str
    schema: str
    features: list[str]
    earliest: str | None
    latest: str | None
    n_trajectories: int
    n_spans: int
    is_redacted: bool
    fields: dict[str, str]


class TrajectoryRow(TypedDict):
    """One line of the list; texts are previews of at most 200 characters."""

    trajectory_id: str
    start_time: str | None
    end_time: str | None
    duration_s: float | None
    agent_name: str | None
    agents: list[str]
    service: str | None
    task: str | None
    task_id: str | None
    user_input: str | None
    final_answer: str | None
    error_type: str | None
    error_message: str | None
    status: RunStatus
    outcome: Outcome
    outcome_source: str
    reward: float | None
    n_spans: int
    n_steps: int
    n_turns: int
    n_llm: int
    n_tools: int
    n_handoffs: int
    n_errors: int
    n_open: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    models: list[str]
    conversation_id: str | None
    parent_trajectory_id: str | None
    relation: str | None
    grade: str | None
    is_complete: bool


class Seen(TypedDict):
    """Of how much of the store an answer is: `runs` of about `of`, all of those since a UTC day."""

    runs: int
    of: int
    since: str | None


class TrajectoryPage(TypedDict):
    """Some lines of the list; `next` is the cursor of those that follow, null at the end.

    `seen` is null where all runs were looked at. Else ask again: each answer is of more of them.
    """

    rows: list[TrajectoryRow]
    next: str | None
    total: int
    seen: Seen | None
    took_ms: float


class FacetValue(TypedDict):
    """How many of the matching runs have a value; null is none."""

    value: str | None
    count: int


class Facet(TypedDict):
    """The most frequent values of a field, and how many there are in all.

    The field's own filter is left out: what else could be chosen is counted too.
    """

    values: list[FacetValue]
    n_values: int


class Histogram(TypedDict):
    """Counts between edges, one less than those; `failed` are runs of outcome failure or error.

    The edges of `start` are microseconds since 1970, evenly apart; runs of which nobody told when
    they were are in none. Those of `dur` (seconds) and `cost` (USD) grow by a factor, and the first
    one is 0.
    """

    edges: list[float]
    counts: list[int]
    failed: list[int]


class Facets(TypedDict):
    """Values and distributions of the matching runs; `seen` as in a `TrajectoryPage`."""

    facets: dict[str, Facet]
    histograms: dict[str, Histogram]
    total: int
    seen: Seen | None
    took_ms: float


class Verdict(TypedDict):
    """What somebody said of a run, a step or a span: the last word of each source."""

    annotation_id: str
    target: Literal["trajectory", "step", "span"]
    span_id: str | None
    name: str
    kind: str
    value: Any
    source: str
    annotator: str | None
    created: str | None


class Related(TypedDict):
    """Another run that this one has to do with.

    `how`: parent (this one was made from it or called by it), child, conversation (of the same
    one), task (another attempt at it).
    """

    trajectory_id: str
    how: Literal["parent", "child", "conversation", "task"]
    relation: str | None
    agent_name: str | None
    start_time: str | None
    outcome: Outcome
    outcome_source: str


class StepFlags(TypedDict):
    """Security flags of a step."""

    step: int
    flags: list[str]


class Repair(TypedDict):
    """A repair rule that was applied; confidence in (0, 1], the lowest."""

    rule: str
    count: int
    confidence: float | None


class Coverage(TypedDict):
    """What is missing of a run, and what was repaired."""

    dialects: list[str]
    n_duplicates: int
    n_late: int
    n_orphans: int
    n_truncated: int
    n_missing_content: int
    n_dropped_spans: int
    n_dropped_attributes: int
    repairs: list[Repair]
    stitch_confidence: float | None
    grade: str | None
    sampling_rate: float | None
    is_complete: bool
    derive_version: str | None


class TrajectoryHeader(TrajectoryRow):
    """One run without its parts; texts are whole up to 64 KB."""

    aliases: list[str]
    trace_ids: list[str]
    agent_id: str | None
    agent_version: str | None
    generation: int | None
    operator: str | None
    variant_id: str | None
    prompt_version: str | None
    guideline_ids: list[str]
    arm: str | None
    session_id: str | None
    user_id: str | None
    error_category: str | None
    failure_rationale: str | None
    fix_applied: str | None
    reward_source: str | None
    n_llm_errors: int
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    tools: list[str]
    metadata: Any
    initial_state: Any
    attributes: Any
    n_files: int
    flags: list[StepFlags]
    coverage: Coverage
    verdicts: list[Verdict]
    related: list[Related]


class SpanWords(TypedDict):
    """The texts that columns of spans name by position."""

    name: list[str]
    svc: list[str]
    kind: list[str]
    tool: list[str]
    model: list[str]
    agent: list[str]
    err: list[str]


class Sparse(TypedDict):
    """A column of which few rows have a value: `v[k]` is that of the row at `i[k]`.

    Here `i` counts positions in the columns of the same answer.
    """

    i: list[int]
    v: list[float]


class Spans(TypedDict):
    """Spans of a run as columns of equal length, in order of arrival; open ones come last.

    `total` is how many the run has, `next` what to ask for as `from` to get those that come later.
    `row` is null where the answer holds rows 0, 1, 2 ... and else tells the number of each.
    `parent` is the number of a row, -1 for none. `start` counts microseconds from `t0`, which is
    microseconds since 1970; `dur` too, -1 for an open span. `step` is -1 round the steps. `name`,
    `svc`, `kind`, `tool`, `model`, `agent` are positions in `dict`, -1 for none.
    `err`: failed spans, position in `dict.err`. `tin`, `tout`, `cost`: tokens and USD of the step
    that a span owns, so that they can be summed. `flag`: how many security flags. `more`: how many
    spans below are left out; ask for them with `under`.
    """

    n: int
    total: int
    next: int
    t0: int
    dict: SpanWords
    row: list[int] | None
    parent: list[int]
    start: list[int]
    dur: list[int]
    step: list[int]
    name: list[int]
    svc: list[int]
    kind: list[int]
    tool: list[int]
    model: list[int]
    agent: list[int]
    err: Sparse
    tin: Sparse
    tout: Sparse
    cost: Sparse
    flag: Sparse
    more: Sparse


class Text(TypedDict):
    """A text, whole or its beginning.

    `length` counts the characters of the whole. Where only its beginning is sent, `key` asks for
    the whole under `values/{key}`, and `sha256` is that of its UTF-8; else both are null.
    """

    text: str
    length: int
    key: str | None
    sha256: str | None


class Media(TypedDict):
    """An image, a sound or a file in a message.

    `data` is base64, null where it is long (then `key` asks for the bytes) or lies elsewhere
    (`uri`, which nobody has fetched). `n_bytes` is null where it is not known.
    """

    mime: str | None
    uri: str | None
    data: str | None
    n_bytes: int | None
    key: str | None


class Part(TypedDict):
    """A piece of a message.

    `text` is what was said, the arguments of a call, the result of a tool, or an undecoded block
    (the latter three are JSON where `is_json`); null for media.
    """

    kind: Literal["text", "reasoning", "tool_call", "tool_result", "media", "other"]
    text: Text | None
    is_json: bool
    id: str | None
    name: str | None
    failed: bool | None
    media: Media | None


class ToldMessage(TypedDict):
    """Who said what."""

    role: str
    finish_reason: str | None
    parts: list[Part]


class ToolRequest(TypedDict):
    """A tool that the model asked for, and the step that ran it, null where none is known."""

    id: str | None
    name: str | None
    arguments: Text | None
    step: int | None


class Piece(TypedDict):
    """What a step said or got, in the order of reading; keys are those of the step."""

    label: Literal[
        "system",
        "user",
        "reasoning",
        "answer",
        "arguments",
        "query",
        "result",
        "model_saw",
        "observation",
        "error",
    ]
    text: Text | None
    is_json: bool
    media: Media | None


class StepRow(TypedDict):
    """One step without its texts. Times count from the start of the run.

    `action` is what a line calls it: tool, model, or `a → b`. `cumulative_reward` is as recorded,
    else the sum of the rewards so far; null before the first. `preview` is at most 200 characters.
    """

    step: int
    turn: int | None
    parent_step: int | None
    group_id: int | None
    agent_run: int | None
    agent_path: str | None
    agent_name: str | None
    kind: StepKind
    action: str | None
    trace_id: str
    span_id: str
    start_us: int
    duration_us: int | None
    ttft_us: int | None
    status: StepStatus
    error_type: str | None
    error_message: str | None
    model: str | None
    tool_name: str | None
    tool_call_id: str | None
    handoff_from: str | None
    handoff_to: str | None
    handoff_mode: str | None
    effect: str | None
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None
    reward: float | None
    cumulative_reward: float | None
    done: bool | None
    test_pass_rate: float | None
    security_flags: list[str]
    n_files: int
    added: int | None
    removed: int | None
    grade: str | None
    preview: str | None


class StepPage(TypedDict):
    """Steps in order; `next` is the `from` of those that follow, null at the end."""

    rows: list[StepRow]
    next: int | None
    total: int


class TranscriptStep(StepRow):
    """A step with what it said and got, each at most 400 characters."""

    pieces: list[Piece]
    calls: list[ToolRequest]


class TranscriptAgent(TypedDict):
    """A sub-agent, folded: its steps are the transcript with `agent` = `agent_path`."""

    agent_path: str
    agent_name: str | None
    parent_step: int | None
    first_step: int
    last_step: int
    start_us: int
    duration_us: int | None
    n_steps: int
    n_llm: int
    n_tools: int
    n_errors: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    status: StepStatus
    first: Text | None
    last: Text | None


class TranscriptItem(TypedDict):
    """A step, or a folded sub-agent in the place of its first step; the other one is null."""

    step: TranscriptStep | None
    agent: TranscriptAgent | None


class Transcript(TypedDict):
    """The agent's loop in order. Items of the same `turn` and `agent_run` belong together.

    `next`: `cursor` of what follows. `previous`: `before` of what comes before.
    """

    items: list[TranscriptItem]
    next: int | None
    previous: int | None
    total: int


class MergedSpan(TypedDict):
    """Another span or log record that told of the same step, and how sure that is."""

    trace_id: str
    span_id: str
    rule: str
    confidence: float | None


class StepDetail(StepRow):
    """A step with its texts, whole up to 64 KB each and 2 MB in all.

    `texts` by column of `steps`. `new_messages` are those that no earlier step carried, `output`
    those of the answer.
    """

    texts: dict[str, Text]
    new_messages: list[ToldMessage]
    output: list[ToldMessage]
    calls: list[ToolRequest]
    provider: str | None
    response_id: str | None
    cache_write_tokens: int | None
    cost_source: str | None
    grade_reason: str | None
    inferred: list[str]
    merged_spans: list[MergedSpan]
    verdicts: list[Verdict]


class FileOfStep(TypedDict):
    """A file that a step changed; `has_diff` is false where only hashes or counts were kept."""

    step: int
    path: str
    old_path: str | None
    change: Literal["added", "changed", "deleted"]
    added: int | None
    removed: int | None
    is_binary: bool
    has_diff: bool


class Files(TypedDict):
    """Changes of files, by path and step."""

    rows: list[FileOfStep]


class Hunk(TypedDict):
    """Lines that changed, and what is round them: each begins with ' ', '-' or '+'."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: list[str]


class Diff(TypedDict):
    """How a file changed in one step, or from the first to the last (`step` is null).

    `is_cut`: there are more hunks than are sent. `why` says why there are none.
    """

    path: str
    old_path: str | None
    step: int | None
    hunks: list[Hunk]
    is_cut: bool
    why: str | None


class Attribute(TypedDict):
    """A key and its value: text as it is, any other type as JSON."""

    key: str
    type: Literal["string", "bool", "int", "double", "bytes", "array", "map", "null"]
    value: Text


class Event(TypedDict):
    """An event of a span; `at_us` counts from the start of the run."""

    name: str
    at_us: int
    attributes: list[Attribute]


class Link(TypedDict):
    """A link to another span."""

    trace_id: str
    span_id: str
    attributes: list[Attribute]


class LogLine(TypedDict):
    """A log record of a span."""

    at_us: int | None
    event_name: str | None
    severity: str | None
    body: Text | None
    attributes: list[Attribute]


class SpanDetail(TypedDict):
    """A span as it was received, and its messages as they are understood.

    `row` is its number in `spans`. `steps` are those that it owns or also tells of.
    """

    row: int
    trace_id: str
    span_id: str
    parent_span_id: str | None
    parent_row: int | None
    name: str
    kind: str
    status: str
    status_message: Text | None
    start_time: str | None
    start_us: int
    duration_us: int | None
    service: str | None
    scope_name: str | None
    scope_version: str | None
    schema_url: str | None
    trace_state: str | None
    steps: list[int]
    system: list[ToldMessage]
    input: list[ToldMessage]
    output: list[ToldMessage]
    arguments: Text | None
    result: Text | None
    attributes: list[Attribute]
    resource: list[Attribute]
    scope_attributes: list[Attribute]
    events: list[Event]
    links: list[Link]
    logs: list[LogLine]
    dropped_attributes: int
    dropped_events: int
    dropped_links: int


class Match(TypedDict):
    """Where a text was found: a span, its step, and what is round the text.

    `where` is a column of `steps`, `name`, or the key of an attribute. The match itself is
    `snippet[at:at + length]`.
    """

    row: int | None
    span_id: str
    step: int | None
    where: str
    snippet: str
    at: int
    length: int


class Found(TypedDict):
    """Matches in the order of steps and spans; `is_cut` where there are more."""

    matches: list[Match]
    is_cut: bool
    took_ms: float


class Remedy(TypedDict):
    """What closes a gap, or a part of it; `source` is whose setting it is."""

    source: str | None
    setting: str
    times: int
    runs: int


class Gap(TypedDict):
    """Something that is missing: `times` `noun` `what`, as in "3 tool calls without content"."""

    name: str
    noun: str
    what: str
    times: int
    runs: int
    remedies: list[Remedy]
    details: list[str]


class Reason(TypedDict):
    """Why steps are not graded A; `positions` are those steps, null for the whole store."""

    grade: str
    kind: str
    reason: str | None
    steps: int
    runs: int
    positions: list[int] | None


class OpenRun(TypedDict):
    """A run that goes on, hangs or was cut off."""

    trajectory_id: str
    agent_name: str | None
    last_heard: str | None
    waits_for: str | None
    waits_for_name: str | None


class DialectCount(TypedDict):
    """A vocabulary that spans speak."""

    dialect: str
    runs: int
    spans: int


class GradeCount(TypedDict):
    """How many runs can be replayed so far."""

    grade: str
    runs: int


class RepairCount(TypedDict):
    """A repair that was made; the confidence is the lowest."""

    repair: str
    times: int
    runs: int
    confidence: float | None


class Overview(TypedDict):
    """What was received, and what of it was late, double, open, outside or not judged."""

    n_runs: int
    n_spans: int
    earliest: str | None
    latest: str | None
    n_outside: int
    n_open: int
    n_open_spans: int
    n_unjudged: int
    n_late: int
    n_duplicates: int


class Doctor(TypedDict):
    """What telemetry does not tell, what was repaired, and what would close each gap."""

    trajectory_id: str | None
    overview: Overview
    open_runs: list[OpenRun]
    gaps: list[Gap]
    grades: list[GradeCount]
    reasons: list[Reason]
    repairs: list[RepairCount]
    dialects: list[DialectCount]


class Checkpoint(TypedDict):
    """What a run said is needed to continue from there; `state` is null where content is off."""

    checkpoint_id: str
    trajectory_id: str | None
    trace_id: str | None
    span_id: str | None
    span_name: str | None
    agent_name: str | None
    name: str | None
    state: Any
    state_hash: str | None
    timestamp: str | None


class Checkpoints(TypedDict):
    """Checkpoints in order of time."""

    checkpoints: list[Checkpoint]
    count: int


class Replays(TypedDict):
    """Runs that replay another one, newest first."""

    replays: list[TrajectoryRow]
    count: int


class Deltas(TypedDict):
    """What run B has more of than run A; null where either is not known."""

    duration_s: float | None
    cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    n_steps: int | None
    n_turns: int | None
    n_tools: int | None
    n_errors: int | None
    reward: float | None


class Named(TypedDict):
    """Something that both runs tell of themselves, and tell otherwise; null is not told."""

    name: str
    a: str | None
    b: str | None


class Opcode(TypedDict):
    """Steps of A from `a0` up to `a1`, and of B from `b0` up to `b1`, neither end included.

    `op`: same; minor (a pair that only words or measures something otherwise); changed (a pair
    that did something else, or to which something else came back); only_a; only_b. `what` names
    in what a pair differs.
    """

    op: Literal["same", "minor", "changed", "only_a", "only_b"]
    a0: int
    a1: int
    b0: int
    b1: int
    what: list[Aspect]


class ToldDivergence(TypedDict):
    """The first steps that differ in what was done or came of it; null is a run that had ended.

    `cause` is what the records tell, in a word; `why` is a sentence of it.
    """

    a: int | None
    b: int | None
    cause: Cause
    why: str


class FinalFile(TypedDict):
    """What became of a file in the end: its SHA-256; null where it was deleted or not touched."""

    path: str
    a: str | None
    b: str | None
    is_in_a: bool
    is_in_b: bool
    is_same: bool


class Comparison(TypedDict):
    """Two runs side by side.

    `similarity` is that of what the steps do: 0 nothing in common, 1 the same steps. Where
    `is_cheapest` is false the runs differ so much that they were laid side by side piece by piece,
    and there may be a better way.
    """

    a: TrajectoryRow
    b: TrajectoryRow
    deltas: Deltas
    named: list[Named]
    opcodes: list[Opcode]
    divergence: ToldDivergence | None
    similarity: float
    is_cheapest: bool
    files: list[FinalFile]


class ComparedText(TypedDict):
    """Two texts, line by line; JSON is laid out before.

    `kind`: text (`name` is a column of steps), message (`name` is who speaks), file (its path).
    `change`: SAME, CHANGED, TRUNCATED (B is the beginning of A), INJECTED (only in B), DROPPED
    (only in A). `is_cut`: more differs than is sent.
    """

    kind: Literal["text", "message", "file"]
    name: str
    change: Change
    hunks: list[Hunk]
    added: int
    removed: int
    is_json: bool
    is_cut: bool


class StepComparison(TypedDict):
    """Two steps that stand side by side, or one alone (the other is null).

    `texts` holds what differs, and what is the same only where nothing does; `n_same` counts the
    others. Messages are those that are new at the steps.
    """

    a: StepRow | None
    b: StepRow | None
    texts: list[ComparedText]
    n_same: int


class Nearest(TypedDict):
    """The successful run of the same task that is most like another one.

    `n_successes` are all of them, `n_compared` those that were laid side by side. `why` says why
    there is none.
    """

    trajectory_id: str | None
    similarity: float | None
    n_successes: int
    n_compared: int
    why: str | None


class AgentActivity(TypedDict):
    """How an agent does, or all together (`is_all`); docs/analyses.md says what each means."""

    is_all: bool
    agent_name: str | None
    n_running: int
    n_hung: int
    n_open_steps: int
    n_begun: int
    n_ended: int
    ended_per_min: float
    n_broken: int
    broken_rate: float | None
    n_judged: int
    n_success: int
    success_rate: float | None
    n_tools: int
    n_tool_errors: int
    tool_error_rate: float | None
    median_run_s: float | None
    p95_run_s: float | None
    median_model_call_s: float | None
    p95_model_call_s: float | None
    cost_usd: float | None
    n_cost_unknown: int


class RunNow(TypedDict):
    """A run that has not ended, and the step it waits in; null where none is known.

    `hung`: nothing was heard of it for `hung_after_s` or longer. `usual_s` is the median of its
    agent's ended runs, null where these are too few.
    """

    state: Literal["running", "hung"]
    trajectory_id: str
    agent_name: str | None
    task: str | None
    start_time: str | None
    silent_s: float | None
    elapsed_s: float | None
    usual_s: float | None
    times_usual: float | None
    step: int | None
    kind: StepKind | None
    name: str | None
    trace_id: str | None
    span_id: str | None


class Activity(TypedDict):
    """What agents do at a time; `all` is null where nothing runs and nothing ended lately."""

    time: str
    window_s: float
    hung_after_s: float
    all: AgentActivity | None
    agents: list[AgentActivity]
    open_runs: list[RunNow]
    n_open_runs: int


class LiveRuns(TypedDict):
    """Runs as they are now; those that were derived again with the same facts are among them."""

    rows: list[TrajectoryRow]


class LiveStep(TypedDict):
    """A step that came to its end. `preview` is what came of it, at most 200 characters."""

    trajectory_id: str
    step: int
    kind: StepKind
    trace_id: str
    span_id: str
    tool_call_id: str | None
    agent_name: str | None
    action: str | None
    start_time: str | None
    end_time: str | None
    duration_s: float | None
    status: StepStatus
    error_type: str | None
    cost_usd: float | None
    preview: str | None


class LiveSteps(TypedDict):
    """Steps in order of time; of more than 200 the latest, and how many others there were."""

    rows: list[LiveStep]
    skipped: int


class LiveSpans(TypedDict):
    """Rows of the run's spans that take the place of all from number `since` on.

    `above`: rows before `since` whose `parent` is one of the new ones, and its number.
    """

    since: int
    spans: Spans
    above: Sparse


class LiveEvents(TypedDict):
    """What the `data` of an event holds, by the name of the event."""

    run: LiveRuns
    step: LiveSteps
    spans: LiveSpans
    end: LiveRuns


class SqlQuestion(TypedDict):
    """One SELECT over the public views.

    `limit` is at most so many rows: of an answer as JSON 1,000 without it, and at most 10,000;
    files are whole without it. `id` is any text by which it can be cancelled.
    """

    sql: Annotated[str, Field(max_length=100_000)]
    limit: NotRequired[Annotated[int | None, Field(ge=1)]]
    timeout_ms: NotRequired[Annotated[int, Field(ge=1, le=60_000)]]
    id: NotRequired[Annotated[str | None, Field(min_length=8, max_length=64)]]


class SqlColumn(TypedDict):
    """A column of a result; `type` as DuckDB spells it."""

    name: str
    type: str
    is_number: bool


class SqlCut(TypedDict):
    """A cell that is shown in part, and how many characters it has."""

    row: int
    column: int
    length: int


class SqlResult(TypedDict):
    """Rows as columns: `values[column][row]`.

    Numbers that JSON or JavaScript would not keep (beyond 2^53, decimals, NaN) are texts; times are
    ISO 8601, nested values are JSON as text. There is more than `n_rows` where `limited_by` says
    what they were limited by.
    """

    columns: list[SqlColumn]
    values: list[list[str | int | float | bool | None]]
    n_rows: int
    limit: int
    limited_by: Literal["rows", "bytes"] | None
    cut: list[SqlCut]
    took_ms: float


class SqlCancel(TypedDict):
    """Which query is to be stopped."""

    id: str


class SqlCancelled(TypedDict):
    """Whether there was one."""

    is_cancelled: bool


class SqlSchemaColumn(TypedDict):
    """A column of a view; `unit` is "" where there is none."""

    name: str
    type: str
    meaning: str
    unit: str


class SqlView(TypedDict):
    """A view, and what one row of it is."""

    name: str
    meaning: str
    columns: list[SqlSchemaColumn]


class SqlSchema(TypedDict):
    """What may be asked by SQL, and within which limits."""

    views: list[SqlView]
    rows: int
    most_rows: int
    time_ms: int
    most_ms: int
    memory_mb: int


class NewAnnotation(TypedDict):
    """What a person says of a run. `name` is that of a score; else it is the kind."""

    kind: Literal["outcome", "score", "comment"]
    value: str | float
    name: NotRequired[str]
    annotator: NotRequired[str]


class AnnotationAdded(TypedDict):
    """It is on disk; it is shown when it is sealed, within a second or so."""

    annotation_id: str


class Said(TypedDict):
    """A statement about a run. `is_last`: of its source and annotator under its name."""

    annotation_id: str
    name: str
    kind: str
    value: Any
    source: str
    annotator: str | None
    created: str | None
    is_taken_back: bool
    is_last: bool
    can_undo: bool


class AnnotationHistory(TypedDict):
    """All that was said of a run as a whole, the latest first; nothing is ever erased from it."""

    rows: list[Said]
    is_writable: bool
