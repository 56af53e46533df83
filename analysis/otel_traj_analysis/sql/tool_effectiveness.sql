-- name: tool_effectiveness
-- How often each tool is called, fails and is tried again, and how long it takes.
-- grain: one row per tool, agent that calls it, and version of the run's agent
-- units: one tool execution; forks and replays are left out, hand-overs to agents are no tools
-- parameters: min_calls (int, default 1): tools with fewer calls are left out
--     agent (text, default null): only calls made by this agent

-- A call of which only the model's request tells may have failed for all we know: no ending.
with calls as (
    select
        steps.tool_name,
        steps.agent_name,
        trajectories.agent_version,
        steps.trajectory_id,
        steps.step,
        steps.agent_run,
        steps.group_id,
        case
            when steps.status = 'error' then 'error'
            when
                steps.status = 'ok'
                and (
                    coalesce(steps.result, steps.model_saw) is not null
                    or steps.end_time is not null
                )
                then 'ok'
        end as ending,
        steps.duration_s
    from steps
    join trajectories on trajectories.trajectory_id = steps.trajectory_id
    where
        steps.kind = 'tool'
        and coalesce(trajectories.relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or steps.agent_name = getvariable('agent'))
),

calls_with_previous as (
    select
        tool_name,
        agent_name,
        agent_version,
        trajectory_id,
        group_id,
        ending,
        duration_s,
        lag(ending) over same_tool as previous_ending,
        lag(group_id) over same_tool as previous_group_id
    from calls
    window same_tool as (
        partition by trajectory_id, agent_run, agent_name, tool_name order by step
    )
),

-- A parallel sibling of a failed call was already on its way when that failed: no retry.
calls_with_retry as (
    select
        tool_name,
        agent_name,
        agent_version,
        trajectory_id,
        ending,
        duration_s,
        previous_ending = 'error' and coalesce(group_id <> previous_group_id, true) as is_retry
    from calls_with_previous
),

per_tool as (
    select
        tool_name,
        agent_name,
        agent_version,
        count(distinct trajectory_id) as n_runs,
        count(*) as n_calls,
        count(ending) as n_finished,
        count(*) filter (where ending = 'error') as n_errors,
        count(*) filter (where is_retry) as n_retries,
        count(*) filter (where is_retry and ending = 'ok') as n_retries_ok,
        count(duration_s) filter (where ending is not null) as n_timed,
        avg(duration_s) filter (where ending is not null) as mean_duration_s,
        median(duration_s) filter (where ending is not null) as median_duration_s
    from calls_with_retry
    group by tool_name, agent_name, agent_version
)

select
    tool_name,  -- name as the model used it; NULL: not recorded
    agent_name,  -- agent that made the calls; NULL: no agent is named
    agent_version,  -- version of the agent that the whole run belongs to; NULL: not recorded
    n_runs,  -- trajectories with at least one call
    n_calls,  -- calls, finished or not
    n_finished,  -- calls known to have ended, in a result or an error; not aborted, open, untold
    n_errors,  -- finished calls that failed
    n_errors / nullif(n_finished, 0) as error_rate,  -- in [0, 1]; NULL: none finished
    n_retries,  -- calls after a failed call of the same tool by the same invocation of the agent
    n_retries_ok,  -- retries that succeeded
    n_timed,  -- finished calls whose duration is known
    mean_duration_s,  -- mean over n_timed, seconds; NULL: no duration is known
    median_duration_s  -- median over n_timed, seconds; NULL: no duration is known
from per_tool
where n_calls >= coalesce(getvariable('min_calls'), 1)
order by n_calls desc, tool_name nulls last, agent_name nulls last, agent_version nulls last;
