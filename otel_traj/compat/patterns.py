"""The patterns of a meta-agent: its own formulas, and beside them what the counts allow to believe.

The earlier formulas count what good runs do and never look at what bad runs do as well, so they
find patterns in chance (`docs/patterns.md`). They are kept to the last digit as `seed_confidence`;
`confidence` is that of the analyses, 0 where nothing is established.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from otel_traj.compat import runs

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

PatternType: TypeAlias = Literal[
    "success_pattern",
    "failure_pattern",
    "tool_effectiveness",
    "thinking_pattern",
    "performance_optimization",
]

LEAST_USES: Final = 3
EFFECTIVE: Final = 0.8
PROBLEMATIC: Final = 0.5
LONG_THOUGHT_WORDS: Final = 20
MANY_CALLS: Final = 10
PERFORMANCE_CONFIDENCE: Final = 0.8
EXAMPLES: Final = 3


@dataclass(frozen=True)
class Pattern:
    """Something that runs have in common.

    Attributes:
        confidence: Lower bound of what it promises, in [0, 1]; 0 if nothing is established.
        seed_confidence: What the earlier system said, in [0, 1].
        frequency: Occurrences, by the earlier system's count.
        examples: Ids of up to three traces that show it.
    """

    pattern_type: PatternType
    description: str
    confidence: float
    frequency: int
    examples: tuple[str, ...]
    recommendations: tuple[str, ...]
    seed_confidence: float


@dataclass(frozen=True)
class _Trace:
    """What the formulas look at: calls in order, as tool and whether it failed."""

    trace_id: str
    verdict: str | None
    calls: Sequence[tuple[str, bool]]
    thoughts: Sequence[tuple[str, str]]

    @property
    def succeeded(self) -> bool:
        return self.verdict == "success"

    @property
    def failed(self) -> bool:
        return self.verdict in ("failure", "partial")

    @property
    def tools(self) -> list[str]:
        return [tool for tool, _ in self.calls]


def find(store: TrajectoryStore, agent_type: str | None = None) -> list[Pattern]:
    """All patterns of a store, by type and then the earlier system's confidence.

    Raises:
        MissingExtraError: The extra `analysis` is not installed.
    """
    told = [
        _Trace(
            row["trajectory_id"],
            row["verdict"],
            [(call["tool"], call["failed"]) for call in row["calls"]],
            [(thought["tool"], thought["reasoning"]) for thought in row["thoughts"]],
        )
        for row in runs.rows(store, _TRACES, {"agent": agent_type})
    ]
    return [
        *_success(told, _established(store, "success_patterns", agent_type)),
        *_failure(told, _established(store, "failure_patterns", agent_type)),
        *_tools(told),
        *_thoughts(told),
        *_performance(told),
    ]


def summary(patterns: Sequence[Pattern], threshold: float) -> dict[str, Any]:
    """How many there are of each type, and those whose confidence reaches the threshold."""
    high = [pattern for pattern in patterns if pattern.confidence >= threshold]
    by_type = Counter(pattern.pattern_type for pattern in patterns)
    high_by_type = Counter(pattern.pattern_type for pattern in high)
    return {
        "total_patterns": len(patterns),
        "patterns_by_type": {
            kind: {"count": n, "high_confidence": high_by_type[kind]} for kind, n in by_type.items()
        },
        "high_confidence_patterns": high,
    }


# --- the formulas --------------------------------------------------------------------------------


def _success(told: Sequence[_Trace], established: Mapping[str, float]) -> Iterator[Pattern]:
    """Contiguous sequences of two to five tools; repeats within a trace count."""
    good = [trace for trace in told if trace.succeeded]
    counts: Counter[tuple[str, ...]] = Counter()
    shown: defaultdict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    for trace in good:
        for sequence in _sequences(trace.tools):
            counts[sequence] += 1
            shown[sequence][trace.trace_id] = None
    for sequence, n in counts.most_common():
        if n >= 2:
            name = " → ".join(sequence)
            yield Pattern(
                "success_pattern",
                f"Successful runs call {name}",
                established.get(f"sequence: {name}", 0.0),
                n,
                _first(shown[sequence]),
                (f"Consider calling {name} in this order",),
                min(n / len(good), 1.0),
            )


def _sequences(tools: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for length in range(2, 6):
        for start in range(len(tools) - length + 1):
            yield tuple(tools[start : start + length])


def _failure(told: Sequence[_Trace], established: Mapping[str, float]) -> Iterator[Pattern]:
    """The three tools that fail most often in failed traces."""
    bad = [trace for trace in told if trace.failed]
    counts = Counter(tool for trace in bad for tool, failed in trace.calls if failed)
    for tool, n in counts.most_common(3):
        yield Pattern(
            "failure_pattern",
            f"Failed runs have failed calls of {tool}",
            established.get(f"failed: {tool}", 0.0),
            n,
            _first(trace.trace_id for trace in bad if (tool, True) in trace.calls),
            (f"Check arguments and preconditions of {tool}",),
            min(n / len(bad), 1.0),
        )


def _tools(told: Sequence[_Trace]) -> Iterator[Pattern]:
    from otel_traj_analysis import statistics

    calls: Counter[str] = Counter(tool for trace in told for tool in trace.tools)
    failures = Counter(tool for trace in told for tool, failed in trace.calls if failed)
    for tool, n in calls.most_common():
        rate = (n - failures[tool]) / n
        if n < LEAST_USES or PROBLEMATIC <= rate <= EFFECTIVE:
            continue
        is_good = rate > EFFECTIVE
        counted = n - failures[tool] if is_good else failures[tool]
        yield Pattern(
            "tool_effectiveness",
            f"{tool} is {'highly effective' if is_good else 'problematic'}",
            statistics.wilson(counted, n).low,
            n,
            _first(trace.trace_id for trace in told if tool in trace.tools),
            (f"Prefer {tool}" if is_good else f"Look for another way than {tool}",),
            rate if is_good else 1 - rate,
        )


def _thoughts(told: Sequence[_Trace]) -> Iterator[Pattern]:
    """Tools before which successful traces think at length; confidence: their share of the uses."""
    uses = Counter(tool for trace in told for tool, _ in trace.thoughts)
    words: defaultdict[str, list[int]] = defaultdict(list)
    for trace in told:
        for tool, reasoning in trace.thoughts if trace.succeeded else ():
            words[tool].append(len(reasoning.split()))
    for tool, n in uses.most_common():
        lengths = words[tool]
        if n >= LEAST_USES and lengths and sum(lengths) / len(lengths) > LONG_THOUGHT_WORDS:
            yield Pattern(
                "thinking_pattern",
                f"Successful runs think at length before {tool}",
                0.0,
                n,
                _first(t.trace_id for t in told if t.succeeded and tool in dict(t.thoughts)),
                (f"Say why before calling {tool}",),
                len(lengths) / n,
            )


def _performance(told: Sequence[_Trace]) -> Iterator[Pattern]:
    good = [trace for trace in told if trace.succeeded]
    n_calls = sum(len(trace.calls) for trace in good)
    if good and n_calls / len(good) > MANY_CALLS:
        yield Pattern(
            "performance_optimization",
            f"A successful run takes {n_calls / len(good):.1f} tool calls",
            0.0,
            len(good),
            _first(trace.trace_id for trace in good if len(trace.calls) > MANY_CALLS),
            ("Look for calls that could be left out",),
            PERFORMANCE_CONFIDENCE,
        )


def _first(trace_ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(trace_ids)[:EXAMPLES]


# --- what may be believed ------------------------------------------------------------------------


def _established(store: TrajectoryStore, name: str, agent_type: str | None) -> dict[str, float]:
    """Pattern, as `kind: a → b` -> confidence, of those that an analysis established."""
    from otel_traj import analysis

    rows = analysis.run(store, name, agent=agent_type).to_arrow_table().to_pylist()
    found = {}
    for row in rows:
        if row["confidence"]:
            own = f"{row['kind']}: {' → '.join(row['pattern'])}"
            # What exactly the same runs show cannot be told apart, so it is as sure.
            for pattern in (own, *(row["same_runs"] or ())):
                found[pattern] = float(row["confidence"])
    return found


# What somebody judged; where nobody did, an exception says that a trace failed.
_TRACES: Final = """
with told as (
    select trajectory_id,
        list({'tool': tool_name, 'failed': status = 'error'} order by step)
            filter (kind = 'tool' and tool_name is not null) as calls,
        list({'tool': tool_name, 'reasoning': coalesce(reasoning, '')} order by step)
            filter (kind = 'thought' and tool_name is not null) as thoughts
    from steps group by trajectory_id
)
select trajectory_id,
    case when outcome_source <> 'builtin' then outcome when status = 'error' then 'failure' end
        as verdict,
    coalesce(calls, []) as calls, coalesce(thoughts, []) as thoughts
from trajectories left join told using (trajectory_id)
where status <> 'open' and ($agent is null or agent_name = $agent)
    and coalesce(relation, '') not in ('fork', 'replay')
order by start_time, trajectory_id"""
