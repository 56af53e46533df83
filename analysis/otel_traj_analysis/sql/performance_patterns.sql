-- name: performance_patterns
-- Where success costs more calls than it has to: how far apart the runs are that succeed at the
-- same task, and which one did it with least.
-- grain: one row per task and agent with at least `min_success` successes
-- units: one attempt judged as a success; what failed stands beside it as a median
-- parameters: min_success (int, default 2): tasks with fewer successes are left out
--     agent (text, default null): only runs of this agent

with judged as (
    select
        attempts.task,
        attempts.agent_name,
        attempts.trajectory_id,
        attempts.is_success,
        trajectories.n_tools,
        trajectories.duration_s,
        trajectories.cost_usd
    from attempts
    join trajectories on trajectories.trajectory_id = attempts.trajectory_id
    where
        attempts.left_out is null
        and attempts.is_success is not null
        and (getvariable('agent') is null or attempts.agent_name = getvariable('agent'))
),

per_task as (
    select
        task,
        agent_name,
        count(*) filter (where is_success) as n_success,
        count(*) filter (where not is_success) as n_failure,
        min(n_tools) filter (where is_success) as least_tools,
        median(n_tools) filter (where is_success) as median_tools,
        max(n_tools) filter (where is_success) as most_tools,
        median(n_tools) filter (where not is_success) as median_tools_failed,
        median(duration_s) filter (where is_success) as median_duration_s,
        median(cost_usd) filter (where is_success) as median_cost_usd,
        arg_min(trajectory_id, (n_tools, trajectory_id)) filter (where is_success) as best,
        arg_max(trajectory_id, (n_tools, trajectory_id)) filter (where is_success) as worst
    from judged
    group by task, agent_name
)

select
    task,  -- task id, or its text where there is no id; NULL: no task is named
    agent_name,  -- agent at the top; NULL: no agent is named
    n_success,  -- attempts judged as a success
    n_failure,  -- attempts judged as none
    least_tools,  -- tool calls of the success with least
    median_tools,  -- median tool calls of the successes
    most_tools,  -- tool calls of the success with most
    1 - least_tools / nullif(median_tools, 0) as savable,  -- share of calls; NULL: no calls
    median_tools_failed,  -- median tool calls of those that failed; NULL: none failed
    median_duration_s,  -- median seconds of the successes; NULL: not known
    median_cost_usd,  -- median US dollars of the successes; NULL: not known
    best as best_trajectory_id,  -- success with least calls
    worst as worst_trajectory_id  -- success with most calls
from per_task
where n_success >= coalesce(getvariable('min_success'), 2)
order by median_tools - least_tools desc, task nulls last, agent_name nulls last;
