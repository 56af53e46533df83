-- name: rows_have_owners
-- Steps, spans and file changes belong to a trajectory that is there, and to a step that is there.
-- grain: one row per view, trajectory and step that is named and missing

with named as (
    select 'steps' as view_name, trajectory_id, null as step from steps
    union all
    select 'trajectory_spans', trajectory_id, step from trajectory_spans
    union all
    select 'file_changes', trajectory_id, step from file_changes
)

select
    named.view_name,  -- view that names the owner
    named.trajectory_id,  -- run that is named
    named.step,  -- step that is named; NULL: only the run is
    trajectories.trajectory_id is not null as is_run_there,  -- whether the run is there
    count(*) as n_rows  -- rows that name it
from named
left join trajectories on trajectories.trajectory_id = named.trajectory_id
left join steps on steps.trajectory_id = named.trajectory_id and steps.step = named.step
where trajectories.trajectory_id is null or (named.step is not null and steps.step is null)
group by named.view_name, named.trajectory_id, named.step, trajectories.trajectory_id
order by named.view_name, named.trajectory_id, named.step nulls first;
