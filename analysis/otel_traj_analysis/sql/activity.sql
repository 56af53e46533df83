-- name: activity
-- What agents do now: how many run or hang, how many began and ended lately, how well and how fast
-- these went, and what they cost.
-- grain: one row per agent of the run, and one for all agents together, which comes first
-- units: one run; forks and replays are left out
-- parameters: window_s (float, default 3600.0): seconds back from now that are lately
--     hung_after_s (float, default 600.0): seconds of silence after which an open run hangs
--     now (timestamp, default null): instant to judge from, where not the present
--     agent (text, default null): only runs of this agent

with present as (
    select
        case
            when getvariable('now') is null then now()
            else getvariable('now')
        end as moment
),

-- Open runs, and those that ended in the window.
runs as (
    select
        trajectories.trajectory_id,
        trajectories.agent_name,
        trajectories.status,
        trajectories.status = 'open' as is_open,
        trajectories.start_time,
        date_diff('microsecond', trajectories.start_time, present.moment) / 1e6
        < coalesce(getvariable('window_s'), 3600.0) as is_begun,
        trajectories.duration_s,
        case
            when trajectories.outcome_source = 'builtin' then null
            when trajectories.outcome = 'success' then true
            when trajectories.outcome in ('failure', 'partial') then false
        end as is_success,
        trajectories.cost_usd,
        present.moment
    from trajectories
    cross join present
    where
        coalesce(trajectories.relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or trajectories.agent_name = getvariable('agent'))
        and (
            trajectories.status = 'open'
            or date_diff('microsecond', trajectories.end_time, present.moment) / 1e6
            < coalesce(getvariable('window_s'), 3600.0)
        )
),

of_steps as (
    select
        steps.trajectory_id,
        count(*) filter (where steps.status = 'open') as n_open_steps,
        max(coalesce(steps.end_time, steps.start_time)) as heard,
        count(*) filter (where steps.kind = 'tool') as n_tools,
        count(*) filter (where steps.kind = 'tool' and steps.status = 'error') as n_tool_errors
    from steps
    where steps.trajectory_id in (select runs.trajectory_id from runs)
    group by steps.trajectory_id
),

measured as (
    select
        runs.agent_name,
        runs.status,
        runs.is_open,
        runs.is_begun,
        runs.is_open
        and date_diff('microsecond', coalesce(of_steps.heard, runs.start_time), runs.moment) / 1e6
        >= coalesce(getvariable('hung_after_s'), 600.0) as is_hung,
        case when runs.is_open then of_steps.n_open_steps end as n_open_steps,
        case when not runs.is_open then runs.is_success end as is_success,
        case when not runs.is_open then runs.duration_s end as duration_s,
        runs.cost_usd,
        of_steps.n_tools,
        of_steps.n_tool_errors
    from runs
    left join of_steps on of_steps.trajectory_id = runs.trajectory_id
),

model_calls as (
    select
        runs.agent_name,
        grouping(runs.agent_name) = 1 as is_all,
        quantile_cont(steps.duration_s, [0.5, 0.95]) as model_call_s
    from steps
    join runs on runs.trajectory_id = steps.trajectory_id
    where steps.kind = 'llm' and steps.duration_s is not null
    group by grouping sets ((runs.agent_name), ())
),

per_agent as (
    select
        agent_name,
        grouping(agent_name) = 1 as is_all,
        count(*) filter (where is_open and not is_hung) as n_running,
        count(*) filter (where is_hung) as n_hung,
        coalesce(sum(n_open_steps), 0)::bigint as n_open_steps,
        count(*) filter (where is_begun) as n_begun,
        count(*) filter (where not is_open) as n_ended,
        count(*) filter (where status not in ('open', 'completed')) as n_broken,
        count(is_success) as n_judged,
        count(*) filter (where is_success) as n_success,
        coalesce(sum(n_tools), 0)::bigint as n_tools,
        coalesce(sum(n_tool_errors), 0)::bigint as n_tool_errors,
        quantile_cont(duration_s, [0.5, 0.95]) as run_s,
        sum(cost_usd) as cost_usd,
        count(*) filter (where cost_usd is null) as n_cost_unknown
    from measured
    group by grouping sets ((agent_name), ())
    having count(*) > 0
),

told as (
    select
        per_agent.is_all,
        per_agent.agent_name,
        per_agent.n_running,
        per_agent.n_hung,
        per_agent.n_open_steps,
        per_agent.n_begun,
        per_agent.n_ended,
        per_agent.n_broken,
        per_agent.n_judged,
        per_agent.n_success,
        per_agent.n_tools,
        per_agent.n_tool_errors,
        per_agent.run_s,
        model_calls.model_call_s,
        per_agent.cost_usd,
        per_agent.n_cost_unknown
    from per_agent
    left join model_calls
        on
            model_calls.is_all = per_agent.is_all
            and model_calls.agent_name is not distinct from per_agent.agent_name
)

select
    is_all,  -- the row for all agents
    agent_name,  -- agent at the top of the run; NULL: no agent is named, or all
    n_running,  -- runs that have not ended and were heard of lately
    n_hung,  -- runs that have not ended and are silent
    n_open_steps,  -- steps of these that have not ended
    n_begun,  -- runs that began in the window
    n_ended,  -- runs that ended in the window
    60 * n_ended / coalesce(getvariable('window_s'), 3600.0) as ended_per_min,  -- runs
    n_broken,  -- of n_ended, those that ended in an error, an abort or a timeout
    n_broken / nullif(n_ended, 0) as broken_rate,  -- in [0, 1]; NULL: none ended
    n_judged,  -- of n_ended, those judged as success or not
    n_success,  -- of these, successes
    n_success / nullif(n_judged, 0) as success_rate,  -- in [0, 1]; NULL: nothing judged
    n_tools,  -- tool executions of runs that are open or ended in the window
    n_tool_errors,  -- of these, failed
    n_tool_errors / nullif(n_tools, 0) as tool_error_rate,  -- in [0, 1]; NULL: no calls
    run_s[1] as median_run_s,  -- median seconds of the runs that ended; NULL: none
    run_s[2] as p95_run_s,  -- seconds that 95 % of these stay below; NULL: none
    model_call_s[1] as median_model_call_s,  -- median seconds of a model call; NULL: none
    model_call_s[2] as p95_model_call_s,  -- seconds that 95 % of these stay below; NULL: none
    cost_usd,  -- US dollars of runs that are open or ended in the window; NULL: none is known
    n_cost_unknown  -- of these runs, those whose cost is unknown: the true sum is higher by theirs
from told
order by is_all desc, n_running + n_hung desc, n_ended desc, agent_name nulls last;
