"""The traces that a meta-agent learns from: collected by id, or by decorators and context.

    @trace_tool_call
    def kubectl(command: str) -> str: ...

    @trace_agent_execution("diagnosis")
    def diagnose(problem: ProblemContext) -> Result: ...

    MetaAgent().get_trace_statistics()

A trace is a trajectory: its agent type is the agent, its problem the task, its tool calls and
thoughts are steps. Agents recorded in any other way are traces, too.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_traj import semconv
from otel_traj.capture import TrajectorySpan, current, tool
from otel_traj.capture.guard import guard
from otel_traj.capture.handles import SpanHandle
from otel_traj.capture.wrapping import wrap
from otel_traj.compat import patterns, runs
from otel_traj.compat.patterns import Pattern

if TYPE_CHECKING:
    from otel_traj.model import Step
    from otel_traj.model import Trajectory as StoredTrajectory

__all__ = [
    "AgentTrace",
    "MetaAgent",
    "Pattern",
    "ProblemContext",
    "ThinkingStep",
    "ToolCall",
    "trace_agent_execution",
    "trace_thinking_step",
    "trace_tool_call",
]

F = TypeVar("F", bound=Callable[..., Any])

CURRENT: Final = "current_trace_id"
"""In the place of an id: the trace around the call. None means the same."""

_OPEN_TRACES: Final = 10_000
_GOOD: Final = frozenset({"success", "succeeded", "ok", "passed", "completed", "done", "solved"})
_BAD: Final = frozenset({"failure", "failed", "error", "aborted", "timeout", "unsolved"})


# --- values ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProblemContext:
    """What an agent was to solve."""

    problem_id: str
    app_name: str | None = None
    app_namespace: str | None = None
    app_description: str | None = None
    fault_type: str | None = None
    initial_state: Any = None


@dataclass(frozen=True)
class ToolCall:
    """One tool call; `duration` in seconds."""

    tool_name: str
    arguments: Any
    success: bool
    response: Any
    duration: float | None
    timestamp: datetime


@dataclass(frozen=True)
class ThinkingStep:
    """What the agent thought, which tool it chose, and why that one."""

    reasoning: str | None
    tool_choice: str | None
    justification: str | None
    timestamp: datetime


@dataclass(frozen=True)
class AgentTrace:
    """One run of an agent, as the store tells it; None is unknown.

    Attributes:
        success: None while nobody judged it.
        total_duration: Seconds; None while it is open.
        success_rate: Share of tool calls that succeeded, in [0, 1].
        accuracy_score, partial_credit: What the oracle said under these names.
    """

    trace_id: str
    agent_type: str | None
    problem_context: ProblemContext
    start_time: datetime
    end_time: datetime | None
    success: bool | None
    final_submission: str | None
    ground_truth: Any
    oracle_results: Any
    tool_calls: tuple[ToolCall, ...] = field(repr=False)
    thinking_steps: tuple[ThinkingStep, ...] = field(repr=False)
    total_duration: float | None
    tool_call_count: int
    thinking_step_count: int
    success_rate: float | None
    accuracy_score: float | None
    partial_credit: float | None


# --- recording by id ---------------------------------------------------------------------------


class MetaAgent:
    """Collects the traces of agents; safe to share between threads.

    Nothing of it raises into an agent: a call about a trace that is not open is counted in
    `ignored`, and the first of its kind told as a warning.
    """

    def __init__(self, store: Path | str | None = None) -> None:
        """Prepare to record; begins a recording into `store` unless one is on.

        Args:
            store: Folder of the store; None for that of the recording that is on, else
                `OTEL_TRAJ_STORE`, else `./traces`.

        Raises:
            ConfigurationError: The recording that is on goes into another store.
        """
        runs.ensure_recording_into(store)
        self._store = store
        self._lock = threading.Lock()  # protects `_open`
        self._open: OrderedDict[str, runs.OpenRun] = OrderedDict()
        self._ignored = runs.Ignored()

    @property
    def ignored(self) -> int:
        """Calls about traces that were not open."""
        return self._ignored.total

    def collect_agent_trace(
        self, trace_id: str, agent_type: str, problem_context: ProblemContext
    ) -> str:
        """Begin a trace, until `end_agent_trace`.

        Args:
            trace_id: Its id, new for each.
            agent_type: Any name.
            problem_context: What is to be solved.
        """
        runs.ensure_recording()
        run = runs.OpenRun(_Run(agent_type, problem_context, trace_id))
        with self._lock:
            former = self._open.pop(trace_id, None)
            self._open[trace_id] = run
            if former is None and len(self._open) > _OPEN_TRACES:
                _, former = self._open.popitem(last=False)
        if former is not None:
            self._ignored.add(
                "unended", "A trace was begun again, or never ended; it ends unjudged"
            )
            former.end()
        return trace_id

    def add_tool_call(
        self,
        trace_id: str | None,
        tool_name: str,
        arguments: Any = None,
        success: bool = True,
        response: Any = None,
        duration: float | None = None,
    ) -> None:
        """Tell a tool call that is over; `duration` in seconds."""
        run = self._run(trace_id, tool_name)
        if run is not None:
            ended = time.time()
            error = None if success else str(response) if response is not None else "failed"
            run.step(
                tool_name,
                arguments=arguments,
                result=response,
                error=error,
                started=ended - (duration or 0.0),
                ended=ended,
            )

    def add_thinking_step(
        self,
        trace_id: str | None,
        reasoning: str,
        tool_choice: str | None = None,
        justification: str | None = None,
    ) -> None:
        """Tell what the agent thought."""
        run = self._run(trace_id, "a thinking step")
        if run is not None:
            with run.current(), _Thought() as thought:
                thought.tell(reasoning, tool_choice, justification)

    def end_agent_trace(
        self,
        trace_id: str,
        success: bool | None,
        final_submission: Any = None,
        ground_truth: Any = None,
        oracle_results: Any = None,
    ) -> None:
        """End a trace.

        Args:
            trace_id: Its id.
            success: Whether the problem was solved; None if nobody knows yet.
            final_submission: What the agent handed in.
            ground_truth: What would have been right.
            oracle_results: What a judge says; its numbers become scores of the trace.
        """
        with self._lock:
            run = self._open.pop(trace_id, None)
        if run is None:
            self._ignored.add("trace", "No trace %r is open: its end is not recorded", trace_id)
            return
        _tell_end(run.run, success, final_submission, ground_truth, oracle_results)
        run.end()

    def _run(self, trace_id: str | None, what: str) -> TrajectorySpan | None:
        with self._lock:
            known = self._open.get(trace_id or CURRENT)
        if known is not None:
            return known.run
        run = current() if trace_id in (None, CURRENT) else None
        if run is None:
            self._ignored.add("trace", "No trace %r is open: %s is not recorded", trace_id, what)
        return run

    # --- reading -------------------------------------------------------------------------------

    def get_trace(self, trace_id: str) -> AgentTrace | None:
        """The trace of exactly this id, open or ended; None if there is none."""
        found = self._found(trace_id=trace_id, limit=1)
        return found[0] if found else None

    def get_traces(
        self,
        agent_type: str | None = None,
        problem_id: str | None = None,
        limit: int | None = None,
    ) -> list[AgentTrace]:
        """Traces, newest first; of one agent type, of one problem, at most `limit`."""
        return self._found(agent_type=agent_type, problem_id=problem_id, limit=limit)

    def _found(
        self,
        *,
        trace_id: str | None = None,
        agent_type: str | None = None,
        problem_id: str | None = None,
        limit: int | None = None,
    ) -> list[AgentTrace]:
        store = runs.opened(self._store)
        rows = store.sql(
            _TRACES,
            {
                "id": trace_id,
                "agent": agent_type,
                "problem": problem_id,
                "limit": 2**62 if limit is None else limit,
            },
        ).fetchall()
        return [_trace(store.trajectory(found_id), verdict) for found_id, verdict in rows]

    def get_trace_statistics(self, agent_type: str | None = None) -> dict[str, Any]:
        """What the ended traces come to, of one agent type or of all.

        Returns:
            `total`; `judged`, those with outcome success, failure or partial; `successful`;
            `success_rate`, of the judged ones; `avg_duration` in s; `avg_tool_calls`;
            `most_used_tools`, up to ten with their counts; `common_failed_prefixes`, the first
            three tools of failed traces with their counts, up to five. None is unknown.
        """
        [counts] = self._rows(_STATISTICS, {"agent": agent_type})
        return {
            **counts,
            "most_used_tools": {
                row["tool"]: row["n"] for row in self._rows(_TOOLS, {"agent": agent_type})
            },
            "common_failed_prefixes": [
                {"tools": row["prefix"], "count": row["n"]}
                for row in self._rows(_PREFIXES, {"agent": agent_type})
            ],
        }

    def get_patterns(self, agent_type: str | None = None) -> list[Pattern]:
        """What ended traces have in common, of one agent type or of all.

        Raises:
            MissingExtraError: The extra `analysis` is not installed.
        """
        return patterns.find(runs.opened(self._store), agent_type)

    def get_pattern_summary(
        self, agent_type: str | None = None, *, confidence_threshold: float = 0.7
    ) -> dict[str, Any]:
        """How many patterns there are, and which may be relied on.

        Returns:
            `total_patterns`; `patterns_by_type`, for each type that occurs `count` and
            `high_confidence`; `high_confidence_patterns`, the patterns whose `confidence` (not
            `seed_confidence`) reaches the threshold.

        Raises:
            MissingExtraError: The extra `analysis` is not installed.
        """
        return patterns.summary(self.get_patterns(agent_type), confidence_threshold)

    def _rows(self, query: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return runs.rows(runs.opened(self._store), query, parameters)


# What somebody judged; where nobody did, an exception says that a trace failed, and else nobody
# knows.
_TRACES: Final = """
select trajectory_id,
    case when outcome_source <> 'builtin' then outcome when status = 'error' then 'failure' end
from trajectories
where ($id is null or trajectory_id = $id)
    and ($agent is null or agent_name = $agent)
    and ($problem is null or task_id = $problem)
order by start_time desc, trajectory_id limit $limit"""

_STATISTICS: Final = """
with ended as (
    select duration_s, n_tools,
        case when outcome_source <> 'builtin' then outcome when status = 'error' then 'failure' end
        as verdict
    from trajectories
    where status <> 'open' and ($agent is null or agent_name = $agent)
)
select count(*) as total,
    count(*) filter (verdict in ('success', 'failure', 'partial')) as judged,
    count(*) filter (verdict = 'success') as successful,
    successful / nullif(judged, 0) as success_rate,
    avg(duration_s) as avg_duration,
    avg(n_tools) as avg_tool_calls
from ended"""

_TOOLS: Final = """
select tool, count(*) as n
from (
    select unnest(tools) as tool from trajectories
    where status <> 'open' and ($agent is null or agent_name = $agent)
)
group by tool order by n desc, tool limit 10"""

_PREFIXES: Final = """
select tools[1:3] as prefix, count(*) as n
from trajectories
where status <> 'open' and ($agent is null or agent_name = $agent) and len(tools) > 0
    and (outcome = 'failure' or (outcome_source = 'builtin' and status = 'error'))
group by prefix order by n desc, prefix limit 5"""


def _trace(run: StoredTrajectory, verdict: str | None) -> AgentTrace:
    told = json.loads(run.metadata or "{}")
    calls = tuple(_tool_call(step) for step in run.steps if step.kind == "tool")
    thoughts = tuple(_thinking_step(step) for step in run.steps if step.kind == "thought")
    oracle = _json(told.get("oracle_results"))
    return AgentTrace(
        trace_id=run.trajectory_id,
        agent_type=run.agent_name,
        problem_context=ProblemContext(
            problem_id=run.task_id or run.task or "",
            initial_state=_json(run.initial_state),
            **{name: told.get(name) for name in _PROBLEM_TEXTS},
        ),
        start_time=run.start_time,
        end_time=run.end_time,
        success={"success": True, "failure": False, "partial": False}.get(verdict or ""),
        final_submission=run.final_answer,
        ground_truth=_json(told.get("ground_truth")),
        oracle_results=oracle,
        tool_calls=calls,
        thinking_steps=thoughts,
        total_duration=run.duration_s,
        tool_call_count=len(calls),
        thinking_step_count=len(thoughts),
        success_rate=sum(call.success for call in calls) / len(calls) if calls else None,
        accuracy_score=_number(oracle, "accuracy_score"),
        partial_credit=_number(oracle, "partial_credit"),
    )


def _tool_call(step: Step) -> ToolCall:
    return ToolCall(
        tool_name=step.tool_name or "",
        arguments=_json(step.arguments),
        success=step.status == "ok",
        response=_json(step.result) if step.result is not None else step.error_message,
        duration=None if step.duration_us is None else step.duration_us / 1e6,
        timestamp=step.start_time,
    )


def _thinking_step(step: Step) -> ThinkingStep:
    more = json.loads(step.attributes or "{}")
    return ThinkingStep(
        reasoning=step.reasoning,
        tool_choice=step.tool_name,
        justification=more.get(semconv.STEP_JUSTIFICATION),
        timestamp=step.start_time,
    )


def _json(text: Any) -> Any:
    """The value of a JSON text; anything else is itself."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(told: Any, name: str) -> float | None:
    value = told.get(name) if isinstance(told, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


# --- what is told ------------------------------------------------------------------------------

_PROBLEM_TEXTS: Final = ("app_name", "app_namespace", "app_description", "fault_type")


class _Run(runs.FailingRun):
    """A run at a problem, whose result may say whether it went well."""

    def __init__(
        self, agent_type: str, problem: ProblemContext, trace_id: str | None = None
    ) -> None:
        super().__init__(
            problem.app_description or problem.problem_id,
            agent=agent_type,
            trajectory_id=trace_id,
            attributes={semconv.TASK_ID: problem.problem_id},
        )
        self._problem = problem

    def _begin(self, *, parent: Context | None = None, started_ns: int | None = None) -> None:
        super()._begin(parent=parent, started_ns=started_ns)
        texts = {name: getattr(self._problem, name) for name in _PROBLEM_TEXTS}
        self.metadata({name: told for name, told in texts.items() if told is not None})
        self.initial_state(self._problem.initial_state)

    @guard("judge a result")
    def judge(self, result: Any) -> None:
        success = succeeded(result)
        if success is not None:
            self.outcome("success" if success else "failure")


def _tell_end(
    run: TrajectorySpan,
    success: bool | None,
    final_submission: Any,
    ground_truth: Any,
    oracle_results: Any,
) -> None:
    if success is not None:
        run.outcome("success" if success else "failure")
    if final_submission is not None:
        run.final_answer(final_submission)
    told = {"ground_truth": ground_truth, "oracle_results": oracle_results}
    run.metadata({name: value for name, value in told.items() if value is not None})
    if isinstance(oracle_results, Mapping):
        for name in oracle_results:
            score = _number(dict(oracle_results), name)
            if score is not None:
                run.annotate(str(name), score, kind="score", source="oracle")


class _Thought(SpanHandle):
    """A step in which nothing is done but thinking."""

    def __init__(self) -> None:
        super().__init__("think", SpanKind.INTERNAL, {semconv.STEP_KIND: "thought"})

    def tell(
        self, reasoning: str | None, tool_choice: str | None, justification: str | None
    ) -> None:
        self._set(semconv.TOOL_NAME, tool_choice)
        self._set_content(semconv.STEP_REASONING, reasoning)
        self._set_content(semconv.STEP_JUSTIFICATION, justification)

    @guard("record a thought")
    def tell_result(self, result: Any) -> None:
        """Of a function: its text, or the three facts by name, or in order."""
        names = ("reasoning", "tool_choice", "justification")
        told = _fields(result)
        if told is None:
            parts = list(result) if isinstance(result, tuple | list) else [str(result)]
            told = dict(zip(names, parts, strict=False))
        self.tell(*(told.get(name) for name in names))


def succeeded(result: Any) -> bool | None:
    """Whether a result says that it is one: a bool, its `success`, or its `status` as text.

    None when it does not say.
    """
    if isinstance(result, bool):
        return result
    told = {"status": result} if isinstance(result, str) else _fields(result)
    if told is None:
        told = {name: getattr(result, name, None) for name in ("success", "status")}
    if isinstance(told.get("success"), bool):
        return bool(told["success"])
    status = told.get("status")
    word = str(getattr(status, "value", status)).strip().lower()
    return True if word in _GOOD else False if word in _BAD else None


def _fields(result: Any) -> dict[str, Any] | None:
    if isinstance(result, Mapping):
        return dict(result)
    if is_dataclass(result) and not isinstance(result, type):
        return {f.name: getattr(result, f.name) for f in fields(result)}
    return None


# --- decorators --------------------------------------------------------------------------------


def trace_agent_execution(agent_type: str) -> Callable[[F], F]:
    """Make each call of a function a trace; what it calls joins by context.

    The problem is the argument that is a `ProblemContext`, else the function's name. The result
    says whether it went well (see `succeeded`); an exception is a failure and goes on unchanged.
    Plain and async functions, and generators.
    """

    def decorate(function: F) -> F:
        name = getattr(function, "__name__", agent_type)

        def begin(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> SpanHandle:
            given = (a for a in (*args, *kwargs.values()) if isinstance(a, ProblemContext))
            runs.ensure_recording()
            return _Run(agent_type, next(given, ProblemContext(name)))

        return wrap(function, begin, _Run.judge)

    return decorate


@overload
def trace_tool_call(function: F, /) -> F: ...
@overload
def trace_tool_call(
    trace_id: str | None = None, /, *, name: str | None = None
) -> Callable[[F], F]: ...
def trace_tool_call(given: Any = None, /, *, name: str | None = None) -> Any:
    """Record each call of a function as a tool call of the trace around it, as `otel_traj.tool`.

    Args:
        given: The function; or nothing, or the word "current_trace_id" of earlier code.
        name: What the model calls the tool; the function's own name if None.

    Raises:
        ValueError: Another trace id: decorators follow the context.
    """
    return tool(given) if callable(given) else _named_tool(given, name)


@overload
def trace_thinking_step(function: F, /) -> F: ...
@overload
def trace_thinking_step(trace_id: str | None = None, /) -> Callable[[F], F]: ...
def trace_thinking_step(given: Any = None, /) -> Any:
    """Record what a function gives as a thought of the trace around it.

    It gives a text, or `reasoning`, `tool_choice` and `justification` as a tuple, map or dataclass.

    Args:
        given: The function; or nothing, or the word "current_trace_id" of earlier code.

    Raises:
        ValueError: Another trace id: decorators follow the context.
    """
    if not callable(given):
        _in_context(given)
        return trace_thinking_step
    return wrap(given, lambda args, kwargs: _Thought(), _Thought.tell_result)


def _named_tool(trace_id: str | None, name: str | None) -> Callable[[F], F]:
    _in_context(trace_id)
    return tool(name=name)


def _in_context(trace_id: str | None) -> None:
    if trace_id not in (None, CURRENT):
        raise ValueError(
            f"A decorator records into the trace around the call, not into {trace_id!r}; to tell"
            " of a trace by its id there are `MetaAgent.add_tool_call` and `add_thinking_step`"
        )
