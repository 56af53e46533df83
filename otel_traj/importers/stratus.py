"""Traces of the Stratus meta-agent (SREGym): tool calls and thoughts of one agent at one problem.

    {"trace_id", "agent_type", "problem_context", "tool_calls": [...], "thinking_steps": [...],
     "start_time", "end_time", "success", "final_submission"}

Times are Unix seconds. A call's is taken for its begin, as only so the order of calls is that of
their times in every trace. Some traces hold the `repr` of objects in
their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_traj import semconv
from otel_traj.dialects.reprs import from_repr
from otel_traj.importers.parts import Records
from otel_traj.importers.transcript import Times, Transcript, rest

NAME: Final = "Stratus trace"

_MARKS: Final = frozenset({"trace_id", "agent_type", "problem_context", "tool_calls"})
_S: Final = 10**9  # nanoseconds

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """One trace."""
    return value.keys() >= _MARKS


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """The trace."""
    yield "", _run(value)


def _run(value: _Object) -> Records:
    problem = _object(value.get("problem_context") or {})
    transcript = Transcript(
        "stratus",
        value,
        agent=str(value["agent_type"]).rpartition(".")[2].lower(),
        times=Times(_ns(value.get("start_time")), _ns(value.get("end_time"))),
    )
    transcript.describe(
        task_id=problem.get("problem_id"),
        task=problem.get("app_description"),
    )
    if problem.get("initial_state") is not None:
        transcript.initial_state(problem["initial_state"])
    calls = [("tool", _object(item)) for item in value["tool_calls"] or ()]
    thoughts = [("thought", _object(item)) for item in value.get("thinking_steps") or ()]
    # A thought and the call that it chose may have one time: the thought comes first.
    for kind, told in sorted([*thoughts, *calls], key=lambda item: item[1].get("timestamp") or 0):
        (_tell_call if kind == "tool" else _tell_thought)(transcript, told)
    transcript.answer(value.get("final_submission"))
    transcript.keep(rest(problem, "problem_id", "app_description", "initial_state"))
    known = ("problem_context", "tool_calls", "thinking_steps", "final_submission")
    transcript.keep(rest(value, *known))
    if isinstance(value.get("success"), bool):
        transcript.outcome("success" if value["success"] else "failure")
    for name, verdict in (value.get("oracle_results_enhanced") or {}).items():
        if isinstance(verdict, Mapping) and isinstance(verdict.get("success"), bool):
            transcript.evaluate(f"oracle.{name}", value=verdict["success"])
    yield from transcript.records()


def _tell_call(transcript: Transcript, call: _Object) -> None:
    response = call.get("response")
    started_ns, took_s = _ns(call.get("timestamp")), call.get("duration")
    ended_ns = None if started_ns is None or took_s is None else started_ns + round(took_s * _S)
    transcript.tool_call(
        call.get("tool_name"),
        call.get("arguments"),
        response,
        error=str(response) if call.get("success") is False else None,
        times=Times(started_ns, ended_ns),
        keep=rest(call, "tool_name", "arguments", "response"),
    )


def _tell_thought(transcript: Transcript, thought: _Object) -> None:
    transcript.thought(
        str(thought.get("reasoning") or ""),
        about=thought.get("tool_choice"),
        times=Times(_ns(thought.get("timestamp")), None),
        attributes={semconv.STEP_JUSTIFICATION: thought.get("justification")},
        keep=rest(thought, "reasoning", "tool_choice", "justification"),
    )


def _object(item: Any) -> _Object:
    """An object, also where it came as text.

    Raises:
        ValueError: A text of another form.
    """
    told = from_repr(item) if isinstance(item, str) else item
    if not isinstance(told, Mapping):
        raise ValueError(f"no object: {str(item)[:60]!r}")
    return told


def _ns(seconds: Any) -> int | None:
    return None if seconds is None else round(float(seconds) * _S)
