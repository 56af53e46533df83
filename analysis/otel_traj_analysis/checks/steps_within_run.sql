-- name: steps_within_run
-- A step starts no earlier and ends no later than its trajectory, as far as both are known.
-- grain: one row per step outside

select
    steps.trajectory_id,  -- the run
    steps.step,  -- the step
    steps.start_time,  -- its start
    steps.end_time,  -- its end; NULL: not known
    trajectories.start_time as run_start_time,  -- start of the run
    trajectories.end_time as run_end_time  -- end of the run; NULL: open
from steps
join trajectories on trajectories.trajectory_id = steps.trajectory_id
where
    steps.start_time < trajectories.start_time
    or steps.start_time > trajectories.end_time
    or steps.end_time > trajectories.end_time
order by steps.trajectory_id, steps.step;
