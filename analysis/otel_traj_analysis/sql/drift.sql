-- name: drift
-- How an agent changes from week to week: success, failed calls, steps, time and cost, with the
-- versions and models that ran; the newest week first.
-- grain: one row per agent and week in which it ran, and one of week NULL for its runs whose time
--     nobody told
-- units: one run; forks and replays are left out
-- parameters: agent (text, default null): only runs of this agent

with begun as (
    select
        trajectory_id,
        agent_name,
        date_trunc('week', start_time at time zone 'UTC')::date as week,
        agent_version,
        models,
        n_steps,
        n_tools,
        n_errors,
        duration_s,
        cost_usd
    from trajectories
    where
        coalesce(relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or agent_name = getvariable('agent'))
),

-- Runs whose times nobody told begin with the epoch, only to keep their order.
runs as (
    select
        trajectory_id,
        agent_name,
        case when year(week) > 1970 then week end as week,
        agent_version,
        models,
        n_steps,
        n_tools,
        n_errors,
        case when year(week) > 1970 then duration_s end as duration_s,
        cost_usd
    from begun
),

weeks as (
    select
        runs.agent_name,
        runs.week,
        count(*) as n_runs,
        count(attempts.is_success) filter (where attempts.left_out is null) as n_judged,
        count(*) filter (where attempts.left_out is null and attempts.is_success) as n_success,
        sum(runs.n_tools) as n_tools,
        sum(runs.n_errors) as n_errors,
        avg(runs.n_steps) as mean_steps,
        median(runs.duration_s) as median_duration_s,
        avg(runs.cost_usd) as mean_cost_usd,
        list_sort(list(distinct runs.agent_version) filter (where runs.agent_version is not null))
            as agent_versions,
        list_sort(list_distinct(flatten(list(runs.models)))) as models
    from runs
    join attempts on attempts.trajectory_id = runs.trajectory_id
    group by runs.agent_name, runs.week
),

rates as (
    select
        agent_name,
        week,
        n_runs,
        n_judged,
        n_success,
        n_success / nullif(n_judged, 0) as success_rate,
        n_tools,
        n_errors,
        mean_steps,
        median_duration_s,
        mean_cost_usd,
        coalesce(agent_versions, []) as agent_versions,
        models
    from weeks
)

select
    agent_name,  -- agent at the top of the run; NULL: no agent is named
    week,  -- Monday of the week in which the runs began, UTC; NULL: nobody told when
    n_runs,  -- runs
    n_judged,  -- of these, attempts judged as success or not, each told once
    n_success,  -- of these, successes
    success_rate,  -- in [0, 1]; NULL: nothing judged
    success_rate - lag(success_rate) over (
        partition by agent_name, week is null order by week
    ) as success_change,  -- from the agent's last week before; NULL: unknown in one of the two
    n_tools,  -- tool executions
    n_errors,  -- failed steps
    mean_steps,  -- mean steps of a run
    median_duration_s,  -- median seconds of the runs that ended; NULL: none is known
    mean_cost_usd,  -- mean US dollars of the runs whose cost is known; NULL: none is
    agent_versions,  -- versions that ran, sorted; empty: none is recorded
    models  -- models that were called, sorted; empty: none is recorded
from rates
order by agent_name nulls last, week desc nulls last;
