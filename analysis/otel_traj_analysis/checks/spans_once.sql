-- name: spans_once
-- A span is stored once and belongs to at most one trajectory.
-- grain: one row per span that is there more than once

select
    trace_id,  -- trace of the span
    span_id,  -- the span
    count(*) as n_rows,  -- rows of `spans`, should be 1
    count(distinct trajectory_id) as n_runs  -- trajectories that claim it, at most 1
from spans
group by trace_id, span_id
having count(*) > 1
order by trace_id, span_id;
