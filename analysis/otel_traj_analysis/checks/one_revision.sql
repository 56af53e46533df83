-- name: one_revision
-- Every trajectory is visible in exactly one revision, and its rows are of that revision.
-- grain: one row per trajectory, view and revision that should not be visible

with rows_of_derived_views as (
    select trajectory_id, rev, 'trajectories' as view_name from trajectories
    union all
    select trajectory_id, rev, 'steps' as view_name from steps
    union all
    select trajectory_id, rev, 'trajectory_spans' as view_name from trajectory_spans
    union all
    select trajectory_id, rev, 'file_changes' as view_name from file_changes
),

newest_revisions as (
    select
        trajectory_id,
        max(rev) as rev,
        count(*) as n_headers
    from trajectories
    group by trajectory_id
),

revisions as (
    select
        trajectory_id,
        view_name,
        rev,
        count(*) as n_rows
    from rows_of_derived_views
    group by trajectory_id, view_name, rev
)

select
    revisions.trajectory_id,  -- the run
    revisions.view_name,  -- view that shows the rows
    revisions.rev,  -- their revision
    newest_revisions.rev as newest_rev,  -- newest revision among the headers
    revisions.n_rows,  -- visible rows of this revision
    newest_revisions.n_headers  -- visible headers of the run, should be 1
from revisions
join newest_revisions on newest_revisions.trajectory_id = revisions.trajectory_id
where
    revisions.rev <> newest_revisions.rev
    or (revisions.view_name = 'trajectories' and revisions.n_rows > 1)
order by revisions.trajectory_id, revisions.view_name, revisions.rev;
