-- name: process_map
-- Which call follows which: the directly-follows graph of tools and hand-overs, with where runs
-- start and end, how often they come back to what they did before, and how such runs end.
-- grain: one row per arc: from one call to the next, from the start of runs, to their end
-- units: one run; forks and replays are left out, runs without such a call have no arc
-- parameters: agent (text, default null): only calls made by this agent
--     symbol (text, default 'tool'): what a call is called by: tool, status (failed calls apart)
--     min_runs (int, default 1): arcs that fewer runs take are left out

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
        lag(symbol) over run as previous,
        lead(step) over run is null as is_last
    from calls
    window run as (partition by trajectory_id order by step)
),

taken as (
    select trajectory_id, step, previous as source, symbol as target
    from in_order
    union all
    select trajectory_id, step, symbol, null
    from in_order
    where is_last
),

ways as (
    select
        trajectory_id,
        source,
        target,
        count(*) as n,
        min(step) as step
    from taken
    group by trajectory_id, source, target
),

-- The way by which a run came to a call for the first time; every other way to it is rework.
first_taken as (
    select
        source,
        target,
        count(*) as n
    from (
        select
            arg_min_null(source, step) as source,
            target
        from ways
        group by trajectory_id, target
    )
    group by source, target
),

arcs as (
    select
        ways.source,
        ways.target,
        sum(ways.n)::bigint as n,
        count(*) as n_runs,
        count(attempts.is_success) filter (where attempts.left_out is null) as n_judged,
        count(*) filter (where attempts.left_out is null and attempts.is_success) as n_success,
        min(ways.trajectory_id) as example_id,
        arg_min(ways.step, ways.trajectory_id) as example_step
    from ways
    left join attempts on attempts.trajectory_id = ways.trajectory_id
    group by ways.source, ways.target
),

with_shares as (
    select
        arcs.source,
        arcs.target,
        arcs.n,
        arcs.n_runs,
        arcs.n / sum(arcs.n) over (partition by arcs.source) as share,
        arcs.n - coalesce(first_taken.n, 0) as n_again,
        arcs.n_judged,
        arcs.n_success,
        arcs.n_success / nullif(arcs.n_judged, 0) as success_rate,
        arcs.example_id,
        arcs.example_step
    from arcs
    left join first_taken
        on
            first_taken.source is not distinct from arcs.source
            and first_taken.target is not distinct from arcs.target
)

select
    with_shares.source,  -- call that comes first; NULL: the start of the run
    with_shares.target,  -- call that comes next in the run; NULL: the end of the run
    with_shares.n,  -- times that a run went this way
    with_shares.n_runs,  -- runs that went this way at least once
    with_shares.share,  -- n among all that comes after `source`, in (0, 1]
    with_shares.n_again,  -- of n, times that the run had made the call `target` before: rework
    with_shares.n_judged,  -- of n_runs, attempts judged as success or not, each told once
    with_shares.n_success,  -- of these, successes
    with_shares.success_rate,  -- in [0, 1]; NULL: nothing judged
    steps.trajectory_id,  -- a run that went this way
    steps.trace_id,  -- trace of the first span there
    steps.span_id  -- that span: of `target`, or of `source` where the run ends
from with_shares
join steps
    on
        steps.trajectory_id = with_shares.example_id
        and steps.step = with_shares.example_step
where with_shares.n_runs >= coalesce(getvariable('min_runs'), 1)
order by with_shares.n desc, with_shares.source nulls first, with_shares.target nulls last;
