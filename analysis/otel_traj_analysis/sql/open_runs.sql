-- name: open_runs
-- Which runs hang, still run, or took far longer than their agent usually does, and in which step.
-- grain: one row per run that has not ended, or that took at least `slow_factor` times the usual
-- units: one run; forks and replays are left out, of what is usual too
-- parameters: slow_factor (float, default 5.0): times the usual from which a run is slow
--     min_ended (int, default 5): ended runs of an agent from which on something is usual
--     hung_after_s (float, default 600.0): seconds of silence after which an open run hangs
--     now (timestamp, default null): instant to judge from, where not the present
--     agent (text, default null): only runs of this agent

with runs as (
    select
        trajectory_id,
        agent_name,
        coalesce(task_id, task) as task,
        status = 'open' as is_open,
        start_time,
        case
            when status <> 'open' then duration_s
        end as duration_s,
        case
            when getvariable('now') is null then now()
            else getvariable('now')
        end as present
    from trajectories
    where
        coalesce(relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or agent_name = getvariable('agent'))
),

usual as (
    select
        agent_name,
        median(duration_s) as usual_s
    from runs
    group by agent_name
    having count(duration_s) >= coalesce(getvariable('min_ended'), 5)
),

suspects as (
    select
        runs.trajectory_id,
        runs.agent_name,
        runs.task,
        runs.is_open,
        runs.start_time,
        runs.duration_s,
        runs.present,
        usual.usual_s
    from runs
    left join usual on usual.agent_name is not distinct from runs.agent_name
    where
        runs.is_open
        or runs.duration_s / nullif(usual.usual_s, 0)
        >= coalesce(getvariable('slow_factor'), 5.0)
),

of_suspects as (
    select
        steps.trajectory_id,
        {
            'step': steps.step,
            'kind': steps.kind,
            'name': coalesce(steps.tool_name, steps.model, steps.handoff_to),
            'trace_id': steps.trace_id,
            'span_id': steps.span_id
        } as place,
        steps.step,
        steps.status = 'open' as is_open,
        steps.duration_s,
        coalesce(steps.end_time, steps.start_time) as heard
    from steps
    where steps.trajectory_id in (select suspects.trajectory_id from suspects)
),

-- An open run waits in the last step that is open; a slow one spent most time in the longest.
places as (
    select
        trajectory_id,
        max(heard) as heard,
        max_by(place, step) filter (where is_open) as waits_in,
        max_by(place, duration_s) as longest
    from of_suspects
    group by trajectory_id
),

measured as (
    select
        suspects.trajectory_id,
        suspects.agent_name,
        suspects.task,
        suspects.is_open,
        suspects.start_time,
        case
            when suspects.is_open
                then date_diff(
                    'microsecond', coalesce(places.heard, suspects.start_time), suspects.present
                ) / 1e6
        end as silent_s,
        case
            when suspects.is_open
                then date_diff('microsecond', suspects.start_time, suspects.present) / 1e6
            else suspects.duration_s
        end as elapsed_s,
        suspects.usual_s,
        case when suspects.is_open then places.waits_in else places.longest end as place
    from suspects
    left join places on places.trajectory_id = suspects.trajectory_id
),

judged as (
    select
        case
            when silent_s >= coalesce(getvariable('hung_after_s'), 600.0) then 'hung'
            when is_open then 'running'
            else 'slow'
        end as state,
        trajectory_id,
        agent_name,
        task,
        start_time,
        silent_s,
        elapsed_s,
        usual_s,
        place
    from measured
)

select
    state,  -- hung: open and silent; running: open; slow: ended, late
    trajectory_id,  -- the run
    agent_name,  -- its agent; NULL: no agent is named
    task,  -- task id, or its text where there is no id; NULL: no task is named
    start_time,  -- start of the run
    silent_s,  -- seconds since a step started or ended; NULL: the run has ended
    elapsed_s,  -- seconds that the run takes so far, or took
    usual_s,  -- median seconds of the agent's ended runs; NULL: too few of them
    elapsed_s / nullif(usual_s, 0) as times_usual,  -- elapsed_s in these; NULL: none are known
    place.step as step,  -- open step it waits in, or longest of a slow run; NULL: none is known
    place.kind as kind,  -- kind of that step
    place.name as name,  -- its tool, model or agent; NULL: none
    place.trace_id as trace_id,  -- trace of the span that tells of it
    place.span_id as span_id  -- that span
from judged
order by silent_s desc nulls last, elapsed_s desc, trajectory_id;
