-- name: outcomes
-- How the attempts at each task ended. Judged attempts make the success rate; attempts that nobody
-- judged stand apart, because a run that did not crash is not a success.
-- grain: one row per task
-- units: one attempt; forks, replays and runs of sub-agents are no attempts (`n_derived`)
-- parameters: min_runs (int, default 1): tasks with fewer attempts are left out
--     agent (text, default null): only trajectories of this agent

with broken as (
    select failed_calls.trajectory_id
    from failed_calls
    join infrastructure
        on
            infrastructure.tool_name = failed_calls.tool_name
            and infrastructure.signature = failed_calls.signature
),

chosen as (
    select
        coalesce(task_id, task) as task,
        case
            when relation in ('fork', 'replay', 'subagent') then 'derived'
            when trajectory_id in (select trajectory_id from broken) then 'error'
            when outcome_source = 'builtin' then 'unjudged'
            else outcome
        end as verdict,
        outcome,
        outcome_source,
        reward
    from trajectories
    where getvariable('agent') is null or agent_name = getvariable('agent')
),

per_task as (
    select
        task,
        count(*) filter (where verdict <> 'derived') as n,
        count(*) filter (where verdict in ('success', 'partial', 'failure')) as n_judged,
        count(*) filter (where verdict = 'success') as n_success,
        count(*) filter (where verdict = 'partial') as n_partial,
        count(*) filter (where verdict = 'failure') as n_failure,
        count(*) filter (where verdict = 'error') as n_error,
        count(*) filter (where verdict = 'unknown') as n_unknown,
        count(*) filter (where verdict = 'unjudged') as n_unjudged,
        count(*) filter (where verdict = 'unjudged' and outcome = 'success') as n_only_completed,
        count(*) filter (where verdict = 'unjudged' and outcome = 'error') as n_only_crashed,
        count(*) filter (where verdict = 'unjudged' and outcome = 'unknown') as n_only_open,
        count(*) filter (where verdict <> 'derived' and outcome_source = 'explicit') as n_explicit,
        count(*) filter (where verdict <> 'derived' and outcome_source = 'evaluation')
            as n_evaluation,
        count(*) filter (where verdict <> 'derived' and outcome_source like 'rule:%') as n_rule,
        count(*) filter (where verdict = 'derived') as n_derived,
        count(reward) filter (where verdict <> 'derived') as n_reward,
        avg(reward) filter (where verdict <> 'derived') as mean_reward
    from chosen
    group by task
)

select
    task,  -- task id, or its text where there is no id; NULL: the runs that name no task
    n,  -- attempts; n_judged + n_error + n_unknown + n_unjudged
    n_success / nullif(n_judged, 0) as success_rate,  -- in [0, 1]; NULL: nothing judged
    n_judged,  -- attempts judged as success, partial or failure
    n_success,  -- judged: reached what was asked
    n_partial,  -- judged: reached some of it; no success in the rate
    n_failure,  -- judged: did not reach it
    n_error,  -- harness or provider broke it, as was said or confirmed; left out of the rate
    n_unknown,  -- judged: cannot be told; left out of the rate
    n_unjudged,  -- nobody judged these; n_only_completed + n_only_crashed + n_only_open
    n_only_completed,  -- unjudged, ended without an error: not known to be a success
    n_only_crashed,  -- unjudged, ended in an error, an abort or a timeout
    n_only_open,  -- unjudged, has not ended or was cut off
    n_explicit,  -- verdicts given by the program or a person
    n_evaluation,  -- verdicts given by an evaluator
    n_rule,  -- verdicts given by a rule of the store's rules.toml
    n_derived,  -- forks, replays and sub-agent runs of this task, counted nowhere else
    n_reward,  -- attempts that have a reward
    mean_reward  -- mean reward of those; NULL: none has one
from per_task
where n >= coalesce(getvariable('min_runs'), 1)
order by n desc, task nulls last;
