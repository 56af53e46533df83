"""What a run says of itself: outcome, rewards, evaluations, file changes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from otel_traj import semconv
from otel_traj.assembly.keys import keys_of
from otel_traj.assembly.tree import Node
from otel_traj.dialects.convert import amount, count, flag, text
from otel_traj.dialects.evaluations import evaluations_in
from otel_traj.dialects.messages import dumps
from otel_traj.model import Annotation, AnnotationKind, AnnotationTarget, FileChange

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS: Final[Mapping[str, AnnotationKind]] = {"outcome": "outcome", "reward": "reward"}

_REASONS: Final[Mapping[str, str]] = {
    "failure_rationale": semconv.FAILURE_RATIONALE,
    "error_category": semconv.ERROR_CATEGORY,
    "fix_applied": semconv.FIX_APPLIED,
}
"""What is told beside an outcome: name of the statement -> attribute of a span or event."""


def annotations_of(trajectory_id: str, nodes: Iterable[Node]) -> tuple[Annotation, ...]:
    """Outcome and reward attributes and evaluation events, as annotation rows.

    The id of a row is a hash of what it says, so that deriving again adds nothing.
    """
    found: dict[str, Annotation] = {}
    for node in nodes:
        for annotation in (*_of_attributes(trajectory_id, node), *_of_events(trajectory_id, node)):
            found[annotation.annotation_id] = annotation
    return tuple(sorted(found.values(), key=lambda a: (a.created, a.annotation_id)))


def _of_attributes(trajectory_id: str, node: Node) -> Iterable[Annotation]:
    own = node.span.attributes
    if not _STATEMENTS.isdisjoint(own):
        yield from _of_statements(trajectory_id, node)
    for is_whole, told in evaluations_in(own) if keys_of(node.span).tell_evaluations else ():
        about: AnnotationTarget = "trajectory" if is_whole else _target(node)
        yield from _of_evaluation(trajectory_id, node, about, _when(node), told)


_STATEMENTS: Final = frozenset({semconv.OUTCOME, semconv.REWARD, *_REASONS.values()})
"""Attributes by which a program says something of its run; most spans have none."""


def _when(node: Node) -> int:
    return node.told_ns or node.span.end_ns or node.span.start_ns


def _of_statements(trajectory_id: str, node: Node) -> Iterable[Annotation]:
    own, when = node.span.attributes, _when(node)
    source = text(own.get(semconv.REWARD_SOURCE)) or "explicit"
    outcome = text(own.get(semconv.OUTCOME))
    reward = _finite(own.get(semconv.REWARD))
    target = _target(node)
    if outcome:
        yield _annotation(
            trajectory_id, node, target, "outcome", "explicit", when, value_text=outcome
        )
    if reward is not None:
        yield _annotation(trajectory_id, node, target, "reward", source, when, value_num=reward)
    yield from _reasons(trajectory_id, node, target, "explicit", when, own)


def _target(node: Node) -> AnnotationTarget:
    """What a span tells is about the run, about a sub-agent's part of it, or about a step."""
    is_run = semconv.TASK in node.span.attributes
    if is_run and any(semconv.TASK in up.span.attributes for up in node.ancestors()):
        return "span"
    return "trajectory" if is_run or node.parent is None else "step"


def _reasons(
    trajectory_id: str,
    node: Node,
    target: AnnotationTarget,
    source: str,
    when: int,
    told: Mapping[str, Any],
) -> Iterable[Annotation]:
    for name, key in _REASONS.items():
        reason = _words(told.get(key))
        if reason:
            yield _annotation(trajectory_id, node, target, name, source, when, value_text=reason)


def _of_events(trajectory_id: str, node: Node) -> Iterable[Annotation]:
    events = [
        (log.time_ns or log.observed_ns or 0, log.event_name, _told(log)) for log in node.logs
    ]
    events += [(event.time_ns, event.name, event.attributes) for event in node.span.events]
    target = _target(node)
    for when, name, told in events:
        if name != semconv.EVENT_EVALUATION:
            continue
        yield from _of_evaluation(trajectory_id, node, target, when, told)


def _of_evaluation(
    trajectory_id: str, node: Node, target: AnnotationTarget, when: int, told: Mapping[str, Any]
) -> Iterable[Annotation]:
    name = text(told.get(semconv.EVALUATION_NAME)) or "evaluation"
    source = text(told.get(semconv.ANNOTATION_SOURCE)) or "evaluation"
    number = _finite(told.get(semconv.EVALUATION_VALUE))
    label = _words(told.get(semconv.EVALUATION_LABEL))
    why = _words(told.get(semconv.EVALUATION_EXPLANATION))
    value_json = _words(told.get(semconv.ANNOTATION_JSON))
    if name == "outcome":
        reasons = {semconv.FAILURE_RATIONALE: why, **told}
        yield from _reasons(trajectory_id, node, target, source, when, reasons)
    elif label and why:
        value_json = dumps({"explanation": why})
    yield _annotation(
        trajectory_id,
        node,
        target,
        name,
        source,
        when,
        value_num=number,
        value_text=label or why,
        value_json=value_json,
        kind=_one_of_kinds(told.get(semconv.ANNOTATION_KIND)),
        annotator=text(told.get(semconv.ANNOTATION_ANNOTATOR)),
    )


def _words(value: Any) -> str | None:
    """What somebody wrote, as it is, also where it looks like JSON; blank is nothing."""
    return value if isinstance(value, str) and value.strip() else None


def _finite(value: Any) -> float | None:
    """A number that can be compared and averaged; NaN and infinities say nothing."""
    number = amount(value)
    return number if number is not None and math.isfinite(number) else None


def _one_of_kinds(value: Any) -> AnnotationKind | None:
    return next((kind for kind in get_args(AnnotationKind) if kind == value), None)


def _told(log: Any) -> Mapping[str, Any]:
    body = log.body if isinstance(log.body, Mapping) else {}
    return {**body, **log.attributes}


def _annotation(
    trajectory_id: str,
    node: Node,
    target: AnnotationTarget,
    name: str,
    source: str,
    when_ns: int,
    *,
    value_num: float | None = None,
    value_text: str | None = None,
    value_json: str | None = None,
    kind: AnnotationKind | None = None,
    annotator: str | None = None,
) -> Annotation:
    span = node.span
    key: tuple[object, ...] = (
        span.trace_id,
        span.span_id,
        name,
        source,
        value_num,
        value_text,
        when_ns,
    )
    if annotator or value_json:
        key += (annotator, value_json)
    return Annotation(
        annotation_id=hashlib.sha256(repr(key).encode()).hexdigest()[:32],
        target=target,
        trajectory_id=trajectory_id,
        trace_id=span.trace_id,
        span_id=span.span_id,
        tool_call_id=node.facts.tool_call_id if target == "step" else None,
        name=name,
        kind=kind or _KINDS.get(name, "score" if value_num is not None else "label"),
        value_num=value_num,
        value_text=value_text,
        value_json=value_json,
        source=source,
        annotator=annotator,
        created=_EPOCH + timedelta(microseconds=when_ns // 1000),
    )


def file_changes_of(
    trajectory_id: str, nodes: Sequence[Node], step_of: Mapping[tuple[str, str], int]
) -> tuple[FileChange, ...]:
    """File change events, by step and time; a wrapper's are those of the step above it."""
    changes = []
    for node in nodes:
        step = next(
            (step_of[up.key] for up in (node, *node.ancestors()) if up.key in step_of), None
        )
        for log in node.logs:
            if log.event_name == semconv.EVENT_FILE_CHANGE:
                change = _file_change(trajectory_id, step or 0, _told(log))
                changes.append((step or 0, log.time_ns or log.observed_ns or 0, change))
    changes.sort(key=lambda item: (*item[:2], item[2].path))
    return tuple(change for _, _, change in changes)


def _file_change(trajectory_id: str, step: int, told: Mapping[str, Any]) -> FileChange:
    return FileChange(
        trajectory_id=trajectory_id,
        step=step,
        path=str(told.get(semconv.FILE_PATH) or ""),
        old_path=text(told.get(semconv.FILE_OLD_PATH)),
        sha256_before=text(told.get(semconv.FILE_SHA256_BEFORE)),
        sha256_after=text(told.get(semconv.FILE_SHA256_AFTER)),
        added=count(told.get(semconv.FILE_ADDED)),
        removed=count(told.get(semconv.FILE_REMOVED)),
        is_binary=bool(flag(told.get(semconv.FILE_BINARY))),
        diff=_content(told, semconv.FILE_DIFF),
        content_before=_content(told, semconv.FILE_BEFORE),
        content_after=_content(told, semconv.FILE_AFTER),
    )


def _content(told: Mapping[str, Any], key: str) -> str | None:
    """A file's text as it is: an empty file is "", not unknown."""
    value = told.get(key)
    return value if isinstance(value, str) else None
