"""Which trajectories of a store a replay buffer gives, as ids in their order.

They are runs that ended, each attempt once: forks and replays of a run, and what its sub-agents
did, are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from otel_traj.compat.trajectories import OutcomeTag, check_text, checked_outcome

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

Priority = Literal["uniform", "advantage"]

ATTEMPTS: Final = """
with attempts as (
    select *, case
            when outcome_source <> 'builtin' and outcome <> 'error' then outcome else 'unknown'
        end as verdict
    from trajectories where coalesce(relation, '') not in ('fork', 'replay', 'subagent')
)"""
"""`verdict`: what somebody judged; not to crash is no judgement, and `error` says nothing."""

# Keys are exponential with rate `weight`: the smallest n are a sample without replacement in which
# each draw is proportional to the weights of those that are left (Efraimidis and Spirakis 2006).
_SAMPLE: Final = f"""{ATTEMPTS},
weighted as (
    select trajectory_id, task, verdict,
        case when $priority = 'advantage'
            then pow(coalesce(abs(reward - avg(reward) over (partition by task)), 0) + 0.01, 0.6)
            else 1
        end as weight,
        case when $seed is null then 1 - random()
            else (('0x' || left(md5($seed || ':' || trajectory_id), 13))::ubigint + 0.5)
                / pow(2, 52)
        end as chance
    from attempts where status <> 'open' and ($outcome is null or verdict = $outcome)
), keyed as (
    select trajectory_id, task, verdict, -ln(chance) / weight as key from weighted
)
select trajectory_id from keyed
order by
    case when $is_stratified then row_number() over (partition by task, verdict order by key) end,
    key
limit $n"""  # noqa: S608 - SQL of ours

_BY_TASK: Final = f"""{ATTEMPTS}
select trajectory_id from attempts
where status <> 'open' and verdict = $outcome and contains(lower(task), lower($task))
order by case when $is_best_first then reward end desc nulls last,
    start_time desc, trajectory_id
limit $n"""  # noqa: S608 - SQL of ours

_BY_AGENT: Final = f"""{ATTEMPTS}
select trajectory_id from attempts
where status <> 'open' and ($agent is null or agent_name = $agent)
    and ($outcome is null or verdict = $outcome)
order by start_time desc, trajectory_id
limit $n"""  # noqa: S608 - SQL of ours


def sampled(
    store: TrajectoryStore,
    n: int,
    outcome: str | None,
    *,
    seed: int | None,
    is_stratified: bool,
    priority: Priority,
) -> list[str]:
    """Up to `n` at random, each at most once; see `ReplayBuffer.sample_trajectories`."""
    if priority not in get_args(Priority):
        known = ", ".join(get_args(Priority))
        raise ValueError(f"priority {priority!r} is none of {known}")
    return _ids(
        store,
        _SAMPLE,
        n=_at_least_one("n", n),
        outcome=None if outcome is None else checked_outcome(outcome).value,
        seed=None if seed is None else str(seed),
        is_stratified=is_stratified,
        priority=priority,
    )


def of_task(store: TrajectoryStore, task: str, top_n: int, outcome: OutcomeTag) -> list[str]:
    """Those with a text in their task, whatever its case; successes by reward, others newest first.

    Raises:
        ValueError: The task is blank, or fewer than one is wanted.
    """
    check_text("task_type", task)
    return _ids(
        store,
        _BY_TASK,
        task=task.strip(),
        outcome=outcome.value,
        is_best_first=outcome is OutcomeTag.SUCCESS,
        n=_at_least_one("top_n", top_n),
    )


def of_agent(
    store: TrajectoryStore, agent: str | None, outcome: str | None, limit: int
) -> list[str]:
    """Those of an agent, and of an outcome, newest first; None is any.

    Raises:
        ValueError: There is no such outcome, or fewer than one is wanted.
    """
    return _ids(
        store,
        _BY_AGENT,
        agent=agent,
        outcome=None if outcome is None else checked_outcome(outcome).value,
        n=_at_least_one("limit", limit),
    )


def _at_least_one(name: str, n: object) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{name} is a whole number from 1, not {n!r}")
    return n


def _ids(store: TrajectoryStore, query: str, **parameters: Any) -> list[str]:
    return [row[0] for row in store.sql(query, parameters).fetchall()]
