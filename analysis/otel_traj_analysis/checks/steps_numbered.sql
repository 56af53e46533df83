-- name: steps_numbered
-- The steps of a trajectory are numbered 0, 1, 2 ... without gap or repeat.
-- grain: one row per trajectory whose steps are not

with numbers as (
    select
        trajectory_id,
        count(*) as n_steps,
        count(distinct step) as n_numbers,
        min(step) as first_number,
        max(step) as last_number
    from steps
    group by trajectory_id
)

select
    trajectory_id,  -- the run
    n_steps,  -- rows of `steps`
    n_numbers,  -- different numbers they have, should be n_steps
    first_number,  -- lowest number, should be 0
    last_number  -- highest number, should be n_steps - 1
from numbers
where n_numbers <> n_steps or first_number <> 0 or last_number <> n_steps - 1
order by trajectory_id;
