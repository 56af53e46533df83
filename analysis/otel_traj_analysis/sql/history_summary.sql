-- name: history_summary
-- What runs there were, newest first: task, variant, how good, how many steps, how long.
-- grain: one row per run, forks, replays and runs of sub-agents too
-- parameters: agent (text, default null): only runs of this agent
--     task (text, default null): only runs of this task, by its id, or by its text where it has none
--     newest (int, default 20): at most so many runs

with chosen as (
    select
        trajectory_id,
        coalesce(task_id, task) as task,
        agent_name,
        variant_id,
        relation,
        start_time,
        status,
        outcome,
        outcome_source,
        reward,
        n_steps,
        n_tools,
        n_errors,
        duration_s,
        cost_usd,
        row_number() over (order by start_time desc nulls last, trajectory_id) as place
    from trajectories
    where
        (getvariable('agent') is null or agent_name = getvariable('agent'))
        and (getvariable('task') is null or coalesce(task_id, task) = getvariable('task'))
)

select
    trajectory_id,  -- the run, or episode
    task,  -- task id, or its text where there is no id; NULL: no task is named
    agent_name,  -- agent at the top; NULL: no agent is named
    variant_id,  -- variant under test; NULL: none
    relation,  -- fork, replay, revision or subagent; NULL: a run of its own
    start_time,  -- start of the run; NULL: not known
    status,  -- how it ended: open, completed, error, aborted or timeout
    outcome,  -- how good it was: success, failure, partial, error or unknown
    outcome_source,  -- who says so; builtin: nobody did
    reward as final_score,  -- last reward or score given to the run; NULL: none
    n_steps as total_steps,  -- steps
    n_tools,  -- tool executions among them
    n_errors,  -- failed steps
    duration_s as duration_seconds,  -- seconds from start to end; NULL: open, or not known
    cost_usd  -- US dollars; NULL: not known
from chosen
where place <= coalesce(getvariable('newest'), 20)
order by place;
