-- name: latency
-- Where the time of runs goes: what model calls, tools and the rest take, and how much of it the
-- run had to wait for.
-- grain: one row per agent of the run and kind of step, and one of kind `between`
-- units: one step of a run that has ended and whose times are known; forks and replays are left out
-- parameters: agent (text, default null): only runs of this agent
--     trajectory_id (text, default null): only this trajectory, by its whole id

with runs as (
    select
        trajectory_id,
        agent_name,
        duration_us
    from trajectories
    where
        duration_us is not null
        and coalesce(relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or agent_name = getvariable('agent'))
        and (getvariable('trajectory_id') is null or trajectory_id = getvariable('trajectory_id'))
),

timed as (
    select
        steps.trajectory_id,
        runs.agent_name,
        steps.step,
        steps.parent_step,
        steps.kind,
        epoch_us(steps.start_time) as begins,
        epoch_us(steps.start_time) + steps.duration_us as ends,
        steps.duration_us,
        steps.ttft_us
    from steps
    join runs on runs.trajectory_id = steps.trajectory_id
    where steps.start_time is not null and steps.duration_us is not null
),

-- A tool in which an agent works is no work of its own: the steps in it are.
containers as (
    select distinct
        outside.trajectory_id,
        outside.step
    from timed as outside
    join timed as inside
        on
            inside.trajectory_id = outside.trajectory_id
            and inside.parent_step = outside.step
            and inside.begins < outside.ends
),

-- Of steps that run at once the run waits for the one that ends last, from its start on.
-- Those that it waits for one after the other end one after the other.
in_order as (
    select
        trajectory_id,
        agent_name,
        kind,
        begins,
        ends,
        max(ends) over (
            partition by trajectory_id
            order by begins
            rows between unbounded preceding and 1 preceding
        ) as last_end
    from timed
    anti join containers
        on containers.trajectory_id = timed.trajectory_id and containers.step = timed.step
),

waited as (
    select
        agent_name,
        kind,
        least(ends, lead(begins) over (partition by trajectory_id order by ends)) - begins
            as critical_us
    from in_order
    where ends > last_end or last_end is null
),

critical as (
    select
        agent_name,
        kind,
        sum(critical_us) as critical_us
    from waited
    group by agent_name, kind
),

per_agent as (
    select
        agent_name,
        count(*) as n_runs,
        sum(duration_us) as duration_us
    from runs
    group by agent_name
),

per_kind as (
    select
        agent_name,
        kind,
        count(distinct trajectory_id) as n_runs,
        count(*) as n_steps,
        sum(duration_us) as total_us,
        quantile_cont(duration_us, [0.5, 0.95]) as quantiles_us,
        median(ttft_us) as ttft_us
    from timed
    group by agent_name, kind
),

told as (
    select
        per_kind.agent_name,
        per_kind.kind,
        per_kind.n_runs,
        per_kind.n_steps,
        per_kind.total_us,
        per_kind.quantiles_us,
        per_kind.ttft_us,
        coalesce(critical.critical_us, 0) as critical_us
    from per_kind
    left join critical
        on
            critical.agent_name is not distinct from per_kind.agent_name
            and critical.kind = per_kind.kind
    union all
    select
        per_agent.agent_name,
        'between',
        per_agent.n_runs,
        0,
        null,
        null,
        null,
        per_agent.duration_us - sum(coalesce(critical.critical_us, 0))
    from per_agent
    left join critical on critical.agent_name is not distinct from per_agent.agent_name
    group by per_agent.agent_name, per_agent.n_runs, per_agent.duration_us
)

select
    told.agent_name,  -- agent at the top of the run; NULL: no agent is named
    told.kind,  -- kind of step; between: no step runs, or only one that contains others
    told.n_runs,  -- runs that have such steps; of `between` all
    told.n_steps,  -- steps whose start and duration are known; of `between` 0
    told.total_us / 1e6 as total_s,  -- seconds they take together, side by side too; NULL: between
    told.quantiles_us[1] / 1e6 as median_s,  -- median seconds of a step; NULL: between
    told.quantiles_us[2] / 1e6 as p95_s,  -- seconds that 95 % stay below; NULL: between
    told.ttft_us / 1e6 as median_ttft_s,  -- median seconds to the first chunk; NULL: not told
    told.critical_us / 1e6 as critical_s,  -- seconds on the critical path: what runs waited for
    told.critical_us / nullif(per_agent.duration_us, 0) as critical_share  -- of the runs' time
from told
join per_agent on per_agent.agent_name is not distinct from told.agent_name
order by told.agent_name nulls last, critical_s desc, told.kind;
