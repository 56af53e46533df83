-- name: steps_counted
-- What a header counts is what there is: steps, model calls, tool calls, hand-overs, errors.
-- grain: one row per trajectory with a wrong count

with counted as (
    select
        trajectory_id,
        count(*) as n_steps,
        count(*) filter (where kind = 'llm') as n_llm,
        count(*) filter (where kind = 'tool') as n_tools,
        count(*) filter (where kind = 'handoff') as n_handoffs,
        count(*) filter (where status = 'error') as n_errors,
        count(*) filter (where kind = 'llm' and status = 'error') as n_llm_errors
    from steps
    group by trajectory_id
),

told_and_counted as (
    select
        trajectories.trajectory_id,
        trajectories.n_steps,
        coalesce(counted.n_steps, 0) as counted_steps,
        trajectories.n_llm,
        coalesce(counted.n_llm, 0) as counted_llm,
        trajectories.n_tools,
        coalesce(counted.n_tools, 0) as counted_tools,
        trajectories.n_handoffs,
        coalesce(counted.n_handoffs, 0) as counted_handoffs,
        trajectories.n_errors,
        coalesce(counted.n_errors, 0) as counted_errors,
        trajectories.n_llm_errors,
        coalesce(counted.n_llm_errors, 0) as counted_llm_errors
    from trajectories
    left join counted on counted.trajectory_id = trajectories.trajectory_id
)

select
    trajectory_id,  -- the run
    n_steps,  -- steps, as the header says
    counted_steps,  -- rows of `steps`
    n_llm,  -- model calls, as the header says
    counted_llm,  -- rows of kind llm
    n_tools,  -- tool executions, as the header says
    counted_tools,  -- rows of kind tool
    n_handoffs,  -- hand-overs, as the header says
    counted_handoffs,  -- rows of kind handoff
    n_errors,  -- failed steps, as the header says
    counted_errors,  -- rows of status error
    n_llm_errors,  -- failed model calls, as the header says
    counted_llm_errors  -- rows of kind llm and status error
from told_and_counted
where
    n_steps is distinct from counted_steps
    or n_llm is distinct from counted_llm
    or n_tools is distinct from counted_tools
    or n_handoffs is distinct from counted_handoffs
    or n_errors is distinct from counted_errors
    or n_llm_errors is distinct from counted_llm_errors
order by trajectory_id;
