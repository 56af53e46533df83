-- name: variants
-- Which whole sequences of calls runs take, how many take each, and how often that succeeds.
-- grain: one row per sequence of calls
-- units: one run; forks and replays are left out, runs without a call have no sequence
-- parameters: agent (text, default null): only calls made by this agent
--     symbol (text, default 'tool'): what a call is called by: tool, status (failed calls apart)
--     collapse (bool, default false): the same call several times in a row is one, written `call+`
--     min_runs (int, default 1): sequences of fewer runs are left out

with calls as (
    select
        steps.trajectory_id,
        steps.step,
        case
            when coalesce(getvariable('symbol'), 'tool') = 'tool' or steps.status <> 'error'
                then steps.tool_name
            else steps.tool_name || ' failed'
        end as symbol
    from steps
    join trajectories on trajectories.trajectory_id = steps.trajectory_id
    where
        steps.kind in ('tool', 'handoff')
        and steps.tool_name is not null
        and coalesce(trajectories.relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or steps.agent_name = getvariable('agent'))
),

in_order as (
    select
        trajectory_id,
        step,
        symbol,
        coalesce(getvariable('collapse'), false) and symbol = lag(symbol) over run as is_same,
        coalesce(getvariable('collapse'), false) and symbol = lead(symbol) over run as goes_on
    from calls
    window run as (partition by trajectory_id order by step)
),

runs as (
    select
        trajectory_id,
        list(case when goes_on then symbol || '+' else symbol end order by step) as calls
    from in_order
    where is_same is distinct from true
    group by trajectory_id
),

sequences as (
    select
        runs.calls,
        count(*) as n_runs,
        count(attempts.is_success) filter (where attempts.left_out is null) as n_judged,
        count(*) filter (where attempts.left_out is null and attempts.is_success) as n_success,
        min(runs.trajectory_id) as trajectory_id
    from runs
    join attempts on attempts.trajectory_id = runs.trajectory_id
    group by runs.calls
),

with_shares as (
    select
        calls,
        n_runs,
        n_runs / sum(n_runs) over () as share,
        n_judged,
        n_success,
        trajectory_id
    from sequences
)

select
    calls,  -- tools and hand-overs in order; with `collapse` `call+`: several times in a row
    len(calls) as n_calls,  -- how many
    n_runs,  -- runs that did exactly this
    share,  -- of the runs that make any call, in (0, 1]
    n_judged,  -- of n_runs, attempts judged as success or not, each told once
    n_success,  -- of these, successes
    n_success / nullif(n_judged, 0) as success_rate,  -- in [0, 1]; NULL: nothing judged
    trajectory_id  -- one of the runs
from with_shares
where n_runs >= coalesce(getvariable('min_runs'), 1)
order by n_runs desc, calls;
