-- name: step_timeline
-- What a run did, step by step: who acted, on what, when, for how long, and what came of it.
-- grain: one row per step
-- parameters: trajectory_id (text, default null): only this trajectory, by its whole id

with changed_files as (
    select
        trajectory_id,
        step,
        list_sort(list(path)) as paths
    from file_changes
    where getvariable('trajectory_id') is null or trajectory_id = getvariable('trajectory_id')
    group by trajectory_id, step
),

timeline as (
    select
        steps.trajectory_id,
        trajectories.start_time as run_start_time,
        steps.step,
        steps.turn,
        steps.parent_step,
        steps.agent_path,
        steps.agent_name,
        steps.kind,
        case
            when steps.kind = 'llm' then coalesce(steps.model, steps.response_model)
            when steps.kind = 'handoff' then steps.handoff_to
            else steps.tool_name
        end as action,
        coalesce(changed_files.paths, []) as paths,
        date_diff('microsecond', trajectories.start_time, steps.start_time) / 1e6 as offset_s,
        steps.duration_s,
        steps.status,
        steps.error_type,
        steps.error_message,
        steps.input_tokens,
        steps.output_tokens,
        steps.cost_usd,
        steps.reward,
        steps.test_pass_rate,
        steps.security_flags,
        steps.trace_id,
        steps.span_id
    from steps
    join trajectories on trajectories.trajectory_id = steps.trajectory_id
    left join changed_files
        on changed_files.trajectory_id = steps.trajectory_id and changed_files.step = steps.step
    where
        getvariable('trajectory_id') is null
        or steps.trajectory_id = getvariable('trajectory_id')
)

select
    trajectory_id,  -- the run
    step,  -- number in the order of cause and start, from 0
    turn,  -- decision of an agent that the step belongs to, from 0; NULL: none
    parent_step,  -- step that caused this one; NULL: none or not known
    agent_path,  -- invocation that acts, from the root: root.3/researcher.1
    agent_name,  -- agent that acts; of a hand-over, who hands over; NULL: no agent is named
    kind,  -- user, llm, tool, handoff, retrieval, memory, thought or other
    action,  -- model called, tool executed or agent handed to; NULL: none of these, or unknown
    paths,  -- files that the step changed, as recorded; empty: no change was recorded
    offset_s,  -- seconds from the start of the run to the start of the step
    duration_s,  -- seconds from start to end; NULL: no end is known
    status,  -- ok, error, aborted or open
    error_type,  -- class or code of the error; NULL: none
    error_message,  -- text of the error; NULL: none was recorded
    input_tokens,  -- tokens sent, cached ones included; NULL: not recorded or no model call
    output_tokens,  -- tokens received, reasoning included; NULL: not recorded or no model call
    cost_usd,  -- US dollars; NULL: not known
    reward,  -- reward given to this step; NULL: none
    test_pass_rate,  -- share of tests that pass after this step, in [0, 1]; NULL: not reported
    security_flags,  -- warnings raised at this step; NULL: not reported
    trace_id,  -- trace of the span that tells of the step
    span_id  -- that span; of a tool told only by messages, the model call's
from timeline
order by run_start_time, trajectory_id, step;
