-- name: causes_precede
-- The step that caused another one is an earlier step of the same trajectory.
-- grain: one row per step whose cause is not

select
    steps.trajectory_id,  -- the run
    steps.step,  -- the step
    steps.parent_step,  -- its cause, as told
    cause.step is not null as is_there  -- whether the run has a step of that number
from steps
left join steps as cause
    on cause.trajectory_id = steps.trajectory_id and cause.step = steps.parent_step
where
    steps.parent_step is not null
    and (cause.step is null or steps.parent_step >= steps.step)
order by steps.trajectory_id, steps.step;
