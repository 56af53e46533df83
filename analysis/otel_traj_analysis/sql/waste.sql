-- name: waste
-- Where runs spend calls that bring nothing new: the same call with the same result, one file read
-- again and again, stretches without progress.
-- grain: one row per finding: a repeated call, a file or a stretch, of one invocation of an agent
-- units: one tool execution; forks and replays are left out; a call may be in several findings
-- parameters: min_loop (int, default 3): calls that make a loop; fewer are a repeat
--     min_stretch (int, default 5): calls without progress that make a stretch
--     trajectory_id (text, default null): only this trajectory, by its whole id
--     agent (text, default null): only calls made by this agent

with executions as (
    select
        steps.trajectory_id,
        steps.agent_run,
        steps.agent_name,
        steps.step,
        steps.tool_name,
        steps.arguments,
        coalesce(steps.result, steps.model_saw, steps.error_message) as response,
        steps.status,
        steps.effect = 'read'
        or regexp_matches(steps.tool_name, '(^|_)(read|open|view|cat|show|load)(_|$)') as is_read,
        steps.duration_s,
        steps.trace_id,
        steps.span_id
    from steps
    join trajectories on trajectories.trajectory_id = steps.trajectory_id
    where
        steps.kind = 'tool'
        and coalesce(trajectories.relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or steps.agent_name = getvariable('agent'))
        and (
            getvariable('trajectory_id') is null
            or steps.trajectory_id = getvariable('trajectory_id')
        )
),

calls as (
    select
        trajectory_id,
        agent_run,
        agent_name,
        step,
        tool_name,
        arguments,
        hash(tool_name, arguments, status, response) as content,
        arguments is not null and response is not null as is_told,
        status = 'error' as is_failed,
        case
            when is_read
                then regexp_extract(arguments, '"(path|file|file_path|filename)" *: *"([^"]+)"', 2)
        end as path,
        duration_s,
        trace_id,
        span_id
    from executions
),

-- A call whose content nobody recorded is not known to repeat another: it counts as new.
in_order as (
    select
        trajectory_id,
        agent_run,
        step,
        content,
        is_failed,
        row_number() over invocation as place,
        is_told and row_number() over same_content > 1 as is_again
    from calls
    window
        same_content as (partition by trajectory_id, agent_run, content order by step),
        invocation as (partition by trajectory_id, agent_run order by step)
),

stretches as (
    select
        trajectory_id,
        agent_run,
        step,
        place - row_number() over (partition by trajectory_id, agent_run order by step) as stretch
    from in_order
    where is_again or is_failed
),

found as (
    select
        'repeat' as kind,
        in_order.trajectory_id,
        in_order.agent_run,
        in_order.content::varchar as what,
        in_order.step,
        in_order.is_again as is_wasted
    from in_order
    semi join in_order as again
        on
            again.is_again
            and again.trajectory_id = in_order.trajectory_id
            and again.agent_run is not distinct from in_order.agent_run
            and again.content = in_order.content
    union all
    select
        'file',
        trajectory_id,
        agent_run,
        tool_name || ' ' || path,
        step,
        row_number() over (partition by trajectory_id, agent_run, tool_name, path order by step) > 1
    from calls
    where path <> ''
    union all
    select 'stretch', trajectory_id, agent_run, stretch::varchar, step, true
    from stretches
),

findings as (
    select
        case
            when found.kind = 'repeat' and count(*) >= coalesce(getvariable('min_loop'), 3)
                then 'loop'
            else found.kind
        end as kind,
        found.trajectory_id,
        any_value(calls.agent_name) as agent_name,
        case when found.kind <> 'stretch' then any_value(calls.tool_name) end as tool_name,
        case
            when found.kind = 'repeat' then any_value(calls.arguments)
            when found.kind = 'file' then any_value(calls.path)
        end as what,
        count(*) as n_calls,
        count(*) filter (where found.is_wasted) as n_wasted,
        sum(calls.duration_s) filter (where found.is_wasted) as wasted_s,
        min(found.step) as first_step,
        max(found.step) as last_step,
        list({'step': calls.step, 'trace_id': calls.trace_id, 'span_id': calls.span_id}
            order by calls.step) as spans
    from found
    join calls on calls.trajectory_id = found.trajectory_id and calls.step = found.step
    group by found.kind, found.trajectory_id, found.agent_run, found.what
    having
        found.kind = 'repeat'
        or (
            found.kind = 'file'
            and count(distinct calls.content) >= coalesce(getvariable('min_loop'), 3)
        )
        or (found.kind = 'stretch' and count(*) >= coalesce(getvariable('min_stretch'), 5))
)

select
    kind,  -- loop or repeat: same call, same result; file: read in parts; stretch: no progress
    trajectory_id,  -- the run
    agent_name,  -- agent that calls; NULL: no agent is named
    tool_name,  -- tool called; NULL: a stretch has several
    what,  -- arguments of the repeated call, or path of the file; NULL: a stretch has neither
    n_calls,  -- calls of the finding
    n_wasted,  -- calls that bring nothing new: all but the first; of a stretch all
    wasted_s,  -- seconds they took; NULL: no duration is known
    first_step,  -- step of the first call
    last_step,  -- step of the last call
    spans  -- step, trace and span of each call, in order
from findings
order by n_wasted desc, trajectory_id, first_step, kind;
