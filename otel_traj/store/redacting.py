"""Redaction of what is stored: what matches is replaced wherever it is, and read anew.

Spans, logs and annotations are edited as the records they were (`otel_traj.redaction`), and so is
what the snapshot keeps of running spans. Trajectories that tell of them are derived again, so that
steps, hashes and what runs say of themselves are those of the redacted records. Then the texts of
all derived rows are gone through once more: what several records make together may match although
none of them does. All of it is one commit, after which every copy goes (`otel_traj.store.erasure`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from otel_traj import semconv
from otel_traj.model import Annotation, LogRecord, SpanRecord
from otel_traj.redaction import Redaction
from otel_traj.store import edits, erasure, removal, rewrite, sealing, views
from otel_traj.store.draft import Draft
from otel_traj.store.schema import SUPERSEDED, TABLES
from otel_traj.store.traces import LiveTrace

AUDIT: Final = "traj.redaction"
"""Name of the annotation that tells of a redaction."""


@dataclass(frozen=True, slots=True)
class RedactionReport:
    """What a redaction changed, or would change.

    Attributes:
        spans, logs, annotations: Records in which something was replaced.
        trajectories: Trajectories that were derived again.
        is_dry_run: Nothing was changed.
    """

    spans: int = 0
    logs: int = 0
    annotations: int = 0
    trajectories: int = 0
    is_dry_run: bool = False

    def __bool__(self) -> bool:
        """Whether anything matched."""
        return bool(self.spans or self.logs or self.annotations)


def redact(store: Path, redaction: Redaction, *, dry_run: bool, wait_s: float) -> RedactionReport:
    """Replace what matches in all that is stored; see `TrajectoryStore.redact`.

    Args:
        store: The store's folder.
        redaction: What is replaced, and by what.
        dry_run: Only tell how much would change.
        wait_s: How long to wait for somebody else who is rewriting or sealing the store.

    Raises:
        StoreError: Somebody else was at it for all of `wait_s`; nothing is changed.
        OSError: The store cannot be written.
    """
    with sealing.alone(store, wait_s):
        with Draft(store, "erase") as draft:
            editor = _Editor(redaction)
            raw = [
                rewrite.mapped(store, draft.content, table, _only_seen(edit) if dry_run else edit)
                for table, edit in editor.edits.items()
            ]
            still_open = {t: editor.open_trace(t, c) for t, c in draft.content.open.items()}
            with sealing.reading(store, draft.base) as stored:
                touched = {row.trajectory_id for row in stored.trajectories_of(editor.traces)}
            report = editor.report(len(touched), dry_run=dry_run)
            if dry_run:
                return report
            said_before = removal.said(store, draft, touched)
            for change in raw:
                draft.apply(change)
            draft.open(still_open)
            _rename(store, draft, editor.renamed)
            _derive_again(store, draft, {editor.renamed.get(i, i) for i in touched}, said_before)
            for table in views.REVISED:
                derived = _DerivedRows(redaction, table)
                draft.apply(rewrite.mapped(store, draft.content, table, derived))
            if draft.is_changed:
                draft.add(erasure.audit(store, AUDIT, _told(redaction, report)))
                draft.publish()
        erasure.wipe(store)
        return report


def _told(redaction: Redaction, report: RedactionReport) -> dict[str, Any]:
    """What the audit says; not the patterns, which may spell what must be gone."""
    return {
        "rules": list(redaction.rules),
        "patterns": len(redaction.patterns),
        "spans": report.spans,
        "logs": report.logs,
        "annotations": report.annotations,
        "trajectories": report.trajectories,
    }


def _only_seen(edit: Callable[[pa.Table], pa.Table]) -> Callable[[pa.Table], pa.Table]:
    """The same, but what it gives back is not changed."""

    def look(rows: pa.Table) -> pa.Table:
        edit(rows)
        return rows

    return look


# --- records -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Editor:
    """Redacts records and remembers which; seeing one twice is as seeing it once.

    Attributes:
        redaction: What is replaced.
        traces: Traces of changed spans and logs.
        renamed: Id of a trajectory that its program gave it -> what it is called now.
        changed: Table -> what tells its changed records apart.
    """

    redaction: Redaction
    traces: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    changed: dict[str, set[Any]] = field(
        default_factory=lambda: {"spans": set(), "logs": set(), "annotations": set()}
    )

    @property
    def edits(self) -> Mapping[str, Callable[[pa.Table], pa.Table]]:
        """Table -> how its rows are edited; in the order in which they are to be."""
        return {
            "spans": lambda rows: edits.spans(rows, self.span),
            "logs": lambda rows: edits.logs(rows, self.log),
            "annotations": lambda rows: edits.annotations(rows, self.annotation),
        }

    def span(self, span: SpanRecord) -> SpanRecord:
        redacted = self.redaction.record(span)
        if redacted is not span:
            self.traces.add(span.trace_id)
            self.changed["spans"].add((span.trace_id, span.span_id))
            for key in (semconv.TRAJECTORY_ID, semconv.PARENT_TRAJECTORY_ID):
                old, new = span.attributes.get(key), redacted.attributes.get(key)
                if isinstance(old, str) and isinstance(new, str) and old != new:
                    self.renamed[old] = new
        return redacted

    def log(self, log: LogRecord) -> LogRecord:
        redacted = self.redaction.record(log)
        if redacted is not log:
            if log.trace_id is not None:
                self.traces.add(log.trace_id)
            self.changed["logs"].add((log.trace_id, log.span_id, log.time_ns, repr(log.body)))
        return redacted

    def annotation(self, said: Annotation) -> Annotation:
        redacted = self.redaction.record(said)
        # An id that nobody gave is a hash: it tells nothing, and stays whatever it looks like.
        trajectory_id = self.renamed.get(said.trajectory_id or "", said.trajectory_id)
        redacted = replace(redacted, trajectory_id=trajectory_id)
        if redacted == said:
            return said
        self.changed["annotations"].add(said.annotation_id)
        return redacted

    def open_trace(self, trace_id: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """What the snapshot keeps of a running trace."""
        trace = LiveTrace.from_json(trace_id, content)
        spans = trace.state.open_spans
        trace.state.open_spans = {i: self.span(span) for i, span in spans.items()}
        is_same = all(trace.state.open_spans[i] is spans[i] for i in spans)
        return dict(content) if is_same else trace.to_json()

    def report(self, n_trajectories: int, *, dry_run: bool) -> RedactionReport:
        return RedactionReport(
            **{table: len(keys) for table, keys in self.changed.items()},
            trajectories=n_trajectories,
            is_dry_run=dry_run,
        )


# --- what is derived ---------------------------------------------------------------------------


def _rename(store: Path, draft: Draft, renamed: Mapping[str, str]) -> None:
    """Call trajectories by their new ids, until they are derived again."""
    if not renamed:
        return

    def with_new_ids(rows: pa.Table) -> pa.Table:
        return mapped_texts(rows, "trajectory_id", lambda i: renamed.get(i, i))

    for table in (*views.REVISED, SUPERSEDED.name):
        draft.apply(rewrite.mapped(store, draft.content, table, with_new_ids))


def _derive_again(
    store: Path, draft: Draft, trajectory_ids: set[str], said_before: set[str]
) -> None:
    """Derive trajectories from their redacted records; what they say of themselves comes anew."""
    if not trajectory_ids:
        return
    ids = pa.table({"annotation_id": pa.array(sorted(said_before), pa.string())})
    ours = "annotation_id in (select annotation_id from said)"
    draft.apply(rewrite.without(store, draft.content, {"annotations": ours}, {"said": ids}))
    removal.derive_again(store, draft, trajectory_ids)


NOT_TEXT: Final = frozenset(
    (
        *("trace_id", "span_id", "trace_ids", "root_span_id", "dialects", "derive_version"),
        *("request_hash", "system_hash", "tools_hash", "messages_hash", "params_hash"),
        *("prefix_hash", "canon_version", "sha256_before", "sha256_after"),
        *("status", "kind", "relation", "grade", "effect", "handoff_mode"),
    )
)
"""Columns of derived tables whose values are ours, hashes, or ids of spans and traces."""

ATTRIBUTES: Final[Mapping[str, str]] = {
    "trajectory_id": semconv.TRAJECTORY_ID,
    "parent_trajectory_id": semconv.TRAJECTORY_ID,
    "aliases": semconv.TRAJECTORY_ID,
    "alias": semconv.TRAJECTORY_ID,
    "task": semconv.TASK,
    "task_id": semconv.TASK_ID,
    "agent_name": semconv.AGENT_NAME,
    "conversation_id": semconv.CONVERSATION_ID,
    "session_id": semconv.SESSION_ID,
    "user_id": semconv.USER_ID,
    "initial_state": semconv.INITIAL_STATE,
    "failure_rationale": semconv.FAILURE_RATIONALE,
    "fix_applied": semconv.FIX_APPLIED,
    "error_message": "status.message",
    "arguments": semconv.TOOL_CALL_ARGUMENTS,
    "result": semconv.TOOL_CALL_RESULT,
    "model_saw": semconv.TOOL_CALL_RESULT,
    "new_messages": semconv.INPUT_MESSAGES,
    "user_input": semconv.INPUT_MESSAGES,
    "output": semconv.OUTPUT_MESSAGES,
    "output_text": semconv.OUTPUT_MESSAGES,
    "final_answer": semconv.OUTPUT_MESSAGES,
    "tool_calls": semconv.OUTPUT_MESSAGES,
    "reasoning": semconv.STEP_REASONING,
    "observation": semconv.STEP_OBSERVATION,
    "diff": semconv.FILE_DIFF,
    "content_before": semconv.FILE_BEFORE,
    "content_after": semconv.FILE_AFTER,
    "path": semconv.FILE_PATH,
    "old_path": semconv.FILE_OLD_PATH,
}
"""Column -> attribute that it tells; others are known by their own name."""

_IDENTITIES: Final = ("trajectory_id", "aliases")
"""These are renamed or stay, as the records say."""


class _DerivedRows:
    """Redacts the texts of a derived table; each different text once."""

    def __init__(self, redaction: Redaction, table: str) -> None:
        self._text = redaction.text
        self._columns = [
            column.name
            for column in TABLES[table].columns
            if column.duckdb_type in ("VARCHAR", "VARCHAR[]")
            and column.name not in NOT_TEXT
            and column.name not in _IDENTITIES
            and column.name != "parent_trajectory_id"
        ]

    def __call__(self, rows: pa.Table) -> pa.Table:
        for column in self._columns:
            rows = mapped_texts(rows, column, self._text)
        return rows


def mapped_texts(rows: pa.Table, column: str, change: Callable[[str], str]) -> pa.Table:
    """Rows with the texts of a column changed; the same rows if none is."""
    cells = rows[column]
    is_list = pa.types.is_list(cells.type)
    texts = pc.call_function("list_flatten", [cells]) if is_list else cells
    changes = {
        old: new
        for old in pc.call_function("unique", [texts]).to_pylist()
        if old is not None and (new := change(old)) != old
    }
    if not changes:
        return rows
    changed = [
        [changes.get(text, text) for text in cell]
        if is_list and cell is not None
        else changes.get(cell, cell)
        for cell in cells.to_pylist()
    ]
    position = rows.schema.get_field_index(column)
    field_ = rows.schema.field(position)
    return rows.set_column(position, field_, pa.array(changed, type=field_.type))
