-- name: tool_errors
-- What failed calls say, tool by tool: how often, in how many runs, whether the tool worked again
-- later in the run, and which errors look like the harness's.
-- grain: one row per tool and class of its errors
-- units: one failed call of a tool, or failed hand-over; forks and replays are left out
-- parameters: agent (text, default null): only runs of this agent
--     tool (text, default null): only calls of this tool

with failed as (
    select
        failed_calls.trajectory_id,
        failed_calls.step,
        failed_calls.trace_id,
        failed_calls.span_id,
        failed_calls.tool_name,
        failed_calls.signature,
        trajectories.start_time
    from failed_calls
    join trajectories on trajectories.trajectory_id = failed_calls.trajectory_id
    where
        coalesce(trajectories.relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or trajectories.agent_name = getvariable('agent'))
        and (getvariable('tool') is null or failed_calls.tool_name = getvariable('tool'))
),

ends as (
    select
        trajectory_id,
        tool_name,
        max(step) as last_step,
        max(step) filter (where status = 'ok') as last_ok_step
    from steps
    where kind in ('tool', 'handoff')
    group by trajectory_id, tool_name
),

classes as (
    select
        failed.tool_name,
        failed.signature,
        count(*) as n_calls,
        count(distinct failed.trajectory_id) as n_runs,
        count(distinct failed.trajectory_id) filter (where attempts.left_out is null) as n_judged,
        count(distinct failed.trajectory_id) filter (
            where attempts.left_out is null and not attempts.is_success
        ) as n_failure,
        count(*) filter (where ends.last_step > failed.step) as n_again,
        count(*) filter (where ends.last_ok_step > failed.step) as n_recovered,
        min(failed.start_time) as first_seen,
        max(failed.start_time) as last_seen,
        min_by(
            {
                'trajectory_id': failed.trajectory_id,
                'trace_id': failed.trace_id,
                'span_id': failed.span_id
            },
            row(failed.trajectory_id, failed.step),
            3
        ) as examples
    from failed
    join ends on ends.trajectory_id = failed.trajectory_id and ends.tool_name = failed.tool_name
    join attempts on attempts.trajectory_id = failed.trajectory_id
    group by failed.tool_name, failed.signature
),

told as (
    select
        classes.tool_name,
        classes.signature,
        classes.n_calls,
        classes.n_runs,
        classes.n_judged,
        classes.n_failure,
        classes.n_again,
        classes.n_recovered,
        classes.first_seen,
        classes.last_seen,
        classes.examples,
        case
            when error_classes.is_confirmed then 'confirmed'
            when error_classes.is_proposed then 'proposed'
        end as harness
    from classes
    left join error_classes
        on
            error_classes.tool_name = classes.tool_name
            and error_classes.signature = classes.signature
)

select
    tool_name,  -- name as the model used it
    signature,  -- what its errors say, see `failed_calls`; NULL: they say nothing
    harness,  -- the harness's: proposed or confirmed (`otel-traj annotate --infrastructure`)
    n_calls,  -- failed calls
    n_calls / sum(n_calls) over (partition by tool_name) as share,  -- of the tool's failed calls
    n_runs,  -- runs with such a call
    n_judged,  -- of these, attempts that were judged
    n_failure,  -- of these, failures
    n_again,  -- failed calls after which the run called the tool again
    n_recovered,  -- failed calls after which the tool worked in the same run
    first_seen,  -- start of the first run with it; NULL: not told
    last_seen,  -- start of the last run with it; NULL: not told
    examples  -- the first three
from told
order by n_calls desc, tool_name, signature nulls last;
