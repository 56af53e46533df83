"""What the API answers, by name and type: the source of its OpenAPI document.

Unknown is null, never 0 and never "". Times are ISO 8601 in UTC with microseconds; names end in
their unit where they are numbers (`_us` microseconds, `_s` seconds, `_usd`). Texts are redacted.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from otel_traj.model import Outcome, RunStatus


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


class TrajectoryPage(TypedDict):
    """Some lines of the list; `next` is the cursor of those that follow, null at the end."""

    rows: list[TrajectoryRow]
    next: str | None
    total: int
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

    The edges of `start` are microseconds since 1970, evenly apart; those of `dur` (seconds) and
    `cost` (USD) grow by a factor, and the first one is 0.
    """

    edges: list[float]
    counts: list[int]
    failed: list[int]


class Facets(TypedDict):
    """Values and distributions of the matching runs."""

    facets: dict[str, Facet]
    histograms: dict[str, Histogram]
    total: int
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
