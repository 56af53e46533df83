-- name: tool_effectiveness
-- Which tools work and which fail: calls that fail or are tried again, time and cost, and whether
-- runs that use a tool succeed more often than other tries at the same task.
-- grain: one row per tool, agent that calls it, and version of the run's agent; per week if asked
-- units: one tool execution; forks and replays are left out, hand-overs to agents are no tools. Of
--     runs: one attempt that was judged
-- parameters: min_calls (int, default 1): tools with fewer calls are left out
--     agent (text, default null): only calls made by this agent
--     by_week (bool, default false): a row for each week in which the runs began
-- labels: effectiveness

with runs as (
    select
        trajectory_id,
        agent_version,
        case
            when coalesce(getvariable('by_week'), false)
                then date_trunc('week', start_time at time zone 'UTC')::date
        end as week
    from trajectories
    where coalesce(relation, '') not in ('fork', 'replay')
),

-- A call of which only the model's request tells may have failed for all we know: no ending.
calls as (
    select
        steps.tool_name,
        steps.agent_name,
        runs.agent_version,
        runs.week,
        steps.trajectory_id,
        steps.trace_id,
        steps.span_id,
        steps.step,
        steps.agent_run,
        steps.group_id,
        case
            when steps.status = 'error' then 'error'
            when
                steps.status = 'ok'
                and (
                    coalesce(steps.result, steps.model_saw) is not null
                    or steps.end_time is not null
                )
                then 'ok'
        end as ending,
        steps.duration_s,
        steps.cost_usd
    from steps
    join runs on runs.trajectory_id = steps.trajectory_id
    where
        steps.kind = 'tool'
        and (getvariable('agent') is null or steps.agent_name = getvariable('agent'))
),

calls_with_previous as (
    select
        tool_name,
        agent_name,
        agent_version,
        week,
        trajectory_id,
        trace_id,
        span_id,
        step,
        group_id,
        ending,
        duration_s,
        cost_usd,
        lag(ending) over same_tool as previous_ending,
        lag(group_id) over same_tool as previous_group_id,
        row_number() over (partition by trajectory_id order by step) as place
    from calls
    window same_tool as (
        partition by trajectory_id, agent_run, agent_name, tool_name order by step
    )
),

-- A parallel sibling of a failed call was already on its way when that failed: no retry.
calls_with_retry as (
    select
        tool_name,
        agent_name,
        agent_version,
        week,
        trajectory_id,
        trace_id,
        span_id,
        step,
        ending,
        duration_s,
        cost_usd,
        previous_ending = 'error' and coalesce(group_id <> previous_group_id, true) as is_retry,
        place
    from calls_with_previous
),

per_tool as (
    select
        tool_name,
        agent_name,
        agent_version,
        week,
        count(distinct trajectory_id) as n_runs,
        count(*) as n_calls,
        count(ending) as n_finished,
        count(*) filter (where ending = 'error') as n_errors,
        count(*) filter (where is_retry) as n_retries,
        count(*) filter (where is_retry and ending = 'ok') as n_retries_ok,
        count(duration_s) filter (where ending is not null) as n_timed,
        avg(duration_s) filter (where ending is not null) as mean_duration_s,
        median(duration_s) filter (where ending is not null) as median_duration_s,
        quantile_cont(duration_s, 0.95) filter (where ending is not null) as p95_duration_s,
        sum(cost_usd) as cost_usd,
        count(*) filter (where cost_usd is null) as n_cost_unknown,
        min_by(
            {'trajectory_id': trajectory_id, 'trace_id': trace_id, 'span_id': span_id},
            row(trajectory_id, step),
            3
        ) filter (where ending = 'error') as examples
    from calls_with_retry
    group by tool_name, agent_name, agent_version, week
),

used as (
    select
        tool_name,
        agent_name,
        agent_version,
        week,
        trajectory_id,
        min(place) as place
    from calls_with_retry
    group by tool_name, agent_name, agent_version, week, trajectory_id
),

lengths as (
    select
        trajectory_id,
        count(*) as n_calls
    from calls
    group by trajectory_id
),

units as (
    select
        attempts.trajectory_id,
        attempts.is_success,
        runs.agent_version,
        runs.week,
        concat_ws(
            ' · ',
            coalesce(attempts.task, '(no task)'),
            attempts.agent_name,
            runs.agent_version,
            runs.week
        ) as stratum,
        case when md5_number_lower(attempts.task) % 2 = 0 then 'a' else 'b' end as half,
        coalesce(lengths.n_calls, 0) as n_calls
    from attempts
    join runs on runs.trajectory_id = attempts.trajectory_id
    left join lengths on lengths.trajectory_id = attempts.trajectory_id
    where attempts.left_out is null
),

-- A long run has more room for a tool, and long runs fail: at a landmark only runs that got so far
-- are compared, by what they had called up to there. Landmark 0 compares whole runs.
landmarks as (
    select 0 as landmark
    union
    select unnest(quantile_disc(n_calls, [0.25, 0.5, 0.75])) from units
),

reached as (
    select
        landmarks.landmark,
        units.stratum,
        units.half,
        count(*) as n,
        count(*) filter (where units.is_success) as n_success
    from landmarks
    join units on units.n_calls >= landmarks.landmark
    group by all
),

showed as (
    select
        used.tool_name,
        used.agent_name,
        used.agent_version,
        used.week,
        landmarks.landmark,
        units.stratum,
        count(*) as n,
        count(*) filter (where units.is_success) as n_success
    from used
    join units on units.trajectory_id = used.trajectory_id
    join landmarks
        on
            landmarks.landmark = 0
            or (units.n_calls >= landmarks.landmark and used.place <= landmarks.landmark)
    group by all
),

tables as (
    select
        showed.tool_name,
        showed.agent_name,
        showed.agent_version,
        showed.week,
        sum(showed.n) filter (where showed.landmark = 0) as n_with,
        sum(showed.n_success) filter (where showed.landmark = 0) as n_with_success,
        list({
            'landmark': showed.landmark,
            'stratum': showed.stratum,
            'half': reached.half,
            'with_success': showed.n_success,
            'with_failure': showed.n - showed.n_success,
            'without_success': reached.n_success - showed.n_success,
            'without_failure': reached.n - reached.n_success - showed.n + showed.n_success
        } order by showed.landmark, showed.stratum) as strata
    from reached
    join showed on showed.landmark = reached.landmark and showed.stratum = reached.stratum
    group by showed.tool_name, showed.agent_name, showed.agent_version, showed.week
),

base as (
    select
        agent_version,
        week,
        count(*) as n,
        count(*) filter (where is_success) as n_success
    from units
    group by agent_version, week
),

compared as (
    select
        per_tool.tool_name,
        per_tool.agent_name,
        per_tool.agent_version,
        per_tool.week,
        per_tool.n_runs,
        per_tool.n_calls,
        per_tool.n_finished,
        per_tool.n_errors,
        per_tool.n_retries,
        per_tool.n_retries_ok,
        per_tool.n_timed,
        per_tool.mean_duration_s,
        per_tool.median_duration_s,
        per_tool.p95_duration_s,
        per_tool.cost_usd,
        per_tool.n_cost_unknown,
        per_tool.examples,
        coalesce(tables.n_with, 0)::bigint as n_judged,
        coalesce(tables.n_with_success, 0)::bigint as n_success,
        coalesce(base.n, 0) as n_all,
        coalesce(base.n_success, 0) as n_all_success,
        coalesce(tables.strata, []) as strata
    from per_tool
    left join tables
        on
            tables.tool_name is not distinct from per_tool.tool_name
            and tables.agent_name is not distinct from per_tool.agent_name
            and tables.agent_version is not distinct from per_tool.agent_version
            and tables.week is not distinct from per_tool.week
    left join base
        on
            base.agent_version is not distinct from per_tool.agent_version
            and base.week is not distinct from per_tool.week
)

select
    tool_name,  -- name as the model used it; NULL: not recorded
    agent_name,  -- agent that made the calls; NULL: no agent is named
    agent_version,  -- version of the agent that the whole run belongs to; NULL: not recorded
    week,  -- Monday of the week, UTC; NULL: all weeks, or it is not told when
    n_runs,  -- trajectories with at least one call
    n_calls,  -- calls, finished or not
    n_finished,  -- calls known to have ended, in a result or an error; not aborted, open, untold
    n_errors,  -- finished calls that failed
    n_errors / nullif(n_finished, 0) as error_rate,  -- in [0, 1]; NULL: none finished
    n_retries,  -- calls after a failed call of the same tool by the same invocation of the agent
    n_retries_ok,  -- retries that succeeded
    n_timed,  -- finished calls whose duration is known
    mean_duration_s,  -- mean over n_timed, seconds; NULL: no duration is known
    median_duration_s,  -- median over n_timed, seconds; NULL: no duration is known
    p95_duration_s,  -- 95 % of n_timed take no longer, seconds; NULL: no duration is known
    cost_usd,  -- sum over calls that cost something themselves, US dollars; NULL: none is known
    n_cost_unknown,  -- calls whose cost is unknown
    n_judged,  -- judged attempts with at least one call
    n_success,  -- of these, successes
    n_all - n_judged as n_without,  -- judged attempts of the version and week without a call
    n_all_success - n_success as n_without_success,  -- of these, successes
    strata,  -- judged attempts by task; `landmark` 0: whole runs, else first calls
    coalesce(examples, []) as examples  -- up to three failed calls
from compared
where n_calls >= coalesce(getvariable('min_calls'), 1)
order by
    n_calls desc,
    tool_name nulls last,
    agent_name nulls last,
    agent_version nulls last,
    week desc nulls last;
