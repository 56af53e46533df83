"""Trajectories as Chrome traces, which Perfetto and the browsers' own tools show on a time line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from otel_traj.errors import ConfigurationError
from otel_traj.model import SpanRecord, Step, Trajectory
from otel_traj.redaction import Redaction
from otel_traj.store import TrajectoryStore
from otel_traj_exporters import received, redacting
from otel_traj_exporters.files import replacing

PREVIEW: Final = 2_000
"""Characters of arguments and results; the whole of them is no matter of a time line."""


class ChromeExporter:
    """Writes one JSON file of complete events: a process for each run, a thread for each lane.

    Spans in one lane lie within each other or apart, as the format wants it: what runs at the same
    time as its sibling is in a lane of its own.
    """

    def export(
        self,
        trajectories: Iterable[Trajectory],
        path: Path,
        /,
        *,
        store: TrajectoryStore | None = None,
        redaction: Redaction,
    ) -> int:
        """Write the file; one that is there is replaced. Runs without an ended span are left out.

        Args:
            trajectories: What to write.
            path: The file.
            store: Where the trajectories are from.
            redaction: What is replaced on the way out.

        Raises:
            ConfigurationError: No store is given.
        """
        if store is None:
            raise ConfigurationError(
                "The exporter 'chrome' needs the store that the trajectories are from: store=..."
            )
        connection = store.connection()  # one, hence one snapshot
        n = 0
        with replacing(path) as write:
            separator = b'{"displayTimeUnit":"ms","traceEvents":[\n'
            for trajectory in trajectories:
                spans = received.told(connection, trajectory.trajectory_id).spans
                if not spans:
                    continue
                n += 1
                run = redacting.trajectory(redaction, trajectory)
                for event in _events(n, run, [redaction.record(span) for span in spans]):
                    write(separator + json.dumps(event, separators=(",", ":")).encode())
                    separator = b",\n"
            write((separator if n == 0 else b"") + b"\n]}\n")
        return n


def _events(pid: int, run: Trajectory, spans: list[SpanRecord]) -> Iterator[dict[str, Any]]:
    """Names of the run and of its lanes, then its spans and what happened in them."""
    told = run.task or run.user_input
    title = " · ".join(filter(None, (run.agent_name or run.service, told)))
    yield _named("process_name", pid, 0, title[:200] or run.trajectory_id)
    lane_of = _lanes(spans)
    for lane in range(max(lane_of.values()) + 1):
        yield _named("thread_name", pid, lane, "run" if lane == 0 else f"beside {lane}")
    steps = {(step.trace_id, step.span_id): step for step in run.steps if step.kind != "user"}
    for span in spans:
        key = (span.trace_id, span.span_id)
        step = steps.get(key)
        at = {"pid": pid, "tid": lane_of[key]}
        yield {
            **at,
            "name": span.name,
            "cat": step.kind if step else span.kind.lower(),
            "ph": "X",
            "ts": span.start_ns / 1000,
            "dur": (_end(span) - span.start_ns) / 1000,
            "args": _told(run, span, step),
        }
        for event in span.events:
            name = event.name or "event"
            yield {**at, "name": name, "cat": "event", "ph": "i", "s": "t"} | {
                "ts": event.time_ns / 1000
            }


def _named(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}


def _end(span: SpanRecord) -> int:
    return max(span.start_ns, span.end_ns or span.start_ns)


def _lanes(spans: Iterable[SpanRecord]) -> dict[tuple[str, str], int]:
    """Span -> its lane: that of its parent where it fits, else the first where it does."""
    lanes: list[list[int]] = []  # of each the ends of the spans that are under way, inmost last
    lane_of: dict[tuple[str, str], int] = {}
    for span in sorted(spans, key=lambda span: (span.start_ns, -_end(span))):
        above = lane_of.get((span.trace_id, span.parent_span_id or ""))
        candidates = [*([above] if above is not None else []), *range(len(lanes))]
        lane = next((i for i in candidates if _fits(lanes[i], span)), len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(_end(span))
        lane_of[span.trace_id, span.span_id] = lane
    return lane_of


def _fits(under_way: list[int], span: SpanRecord) -> bool:
    """Whether a span lies within what its lane has under way; what has ended is taken off."""
    while under_way and under_way[-1] <= span.start_ns:
        under_way.pop()
    return not under_way or _end(span) <= under_way[-1]


def _told(run: Trajectory, span: SpanRecord, step: Step | None) -> dict[str, Any]:
    """What one sees of a span when it is clicked; nothing that is not known."""
    told: Mapping[str, Any] = {"span_id": span.span_id, "status": span.status_message}
    if step is not None:
        told = {
            **told,
            "step": step.step,
            "turn": step.turn,
            "agent": step.agent_name,
            "model": step.response_model or step.model,
            "tool": step.tool_name,
            "arguments": step.arguments,
            "result": step.result,
            "answer": step.output_text,
            "error": step.error_message or step.error_type,
            "input_tokens": step.input_tokens,
            "output_tokens": step.output_tokens,
            "cost_usd": step.cost_usd,
            "reward": step.reward,
        }
    if span.parent_span_id is None:
        told = {**told, "trajectory_id": run.trajectory_id}
    return {
        name: value[:PREVIEW] if isinstance(value, str) else value
        for name, value in told.items()
        if value is not None
    }
