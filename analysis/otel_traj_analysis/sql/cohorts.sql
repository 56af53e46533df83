-- name: cohorts
-- What differs between groups of runs, such as versions, models or arms of an experiment: success,
-- cost, time, tokens and steps, compared at the tasks that both groups tried.
-- grain: one row per cohort and measure, also for the cohort that the others are compared with
-- units: one attempt; repetitions word for word, forks, replays and errors of the harness do not
--     count, and for success only what was judged
-- parameters: split_by (text, default 'agent_version'): column of `trajectories`, or metadata.KEY
--     baseline (text, default null): value to compare with; null: control, or what ran first
--     baseline_where (where, default null): the runs to compare with instead, whatever the column
--     cohort_where (where, default null): the other runs; one condition alone: against the rest
--     agent (text, default null): only runs of this agent
--     builtin_outcomes (bool, default false): count runs that nobody judged by how they ended
-- labels: cohorts

with attempted as (
    select
        trajectory_id as attempt_id,
        coalesce(task, '(no task)') as attempt_at,
        coalesce(repeats, trajectory_id) as original,
        left_out as attempt_left_out,
        is_success
    from attempts
    where getvariable('agent') is null or agent_name = getvariable('agent')
),

-- Runs whose times nobody told begin with the epoch, only to keep their order.
told as (
    select
        attempted.attempt_id as trajectory_id,
        attempted.attempt_at as task,
        attempted.original,
        attempted.is_success,
        case
            when attempted.attempt_left_out <> 'repeated' then attempted.attempt_left_out
            when trajectories.outcome_source = 'builtin' then 'unjudged'
            when trajectories.outcome in ('error', 'unknown') then trajectories.outcome
        end as left_out,
        trajectories.trace_ids[1] as trace_id,
        trajectories.root_span_id as span_id,
        case when year(trajectories.start_time) > 1970 then trajectories.start_time end as began,
        {
            'cost_usd': trajectories.cost_usd,
            'duration_s': trajectories.duration_s,
            'tokens': trajectories.input_tokens + trajectories.output_tokens,
            'steps': trajectories.n_steps,
            'failed_steps': trajectories.n_errors
        }::map(varchar, double) as measures,
        map {
            'agent_name': trajectories.agent_name,
            'agent_version': trajectories.agent_version,
            'prompt_version': trajectories.prompt_version,
            'models': nullif(array_to_string(trajectories.models, ', '), ''),
            'arm': trajectories.arm,
            'service': trajectories.service
        } as facts,
        columns(
            lambda c: c = split_part(coalesce(getvariable('split_by'), 'agent_version'), '.', 1)
        )::varchar as cell,
        regexp_replace(coalesce(getvariable('split_by'), 'agent_version'), '^[^.]+\.?', '') as key
    from trajectories
    join attempted on attempted.attempt_id = trajectories.trajectory_id
),

-- Of two conditions, the one that is not set holds for what the other does not hold for.
grouped as (
    select
        trajectory_id,
        case
            when key = '' then nullif(cell, '[]')
            else json_extract_string(cell, '$."' || key || '"')
        end as value,
        case
            when getvariable('baseline_where') is not null
                then trajectory_id in (select unnest(getvariable('baseline_where')::varchar[]))
            when getvariable('cohort_where') is not null
                then trajectory_id not in (select unnest(getvariable('cohort_where')::varchar[]))
        end as is_baseline,
        case
            when getvariable('cohort_where') is not null
                then trajectory_id in (select unnest(getvariable('cohort_where')::varchar[]))
            when getvariable('baseline_where') is not null
                then trajectory_id not in (select unnest(getvariable('baseline_where')::varchar[]))
        end as is_cohort
    from told
),

-- Two cohorts may do the same word for word: only within one of them that is a repetition.
placed as (
    select
        case
            when grouped.is_baseline is null then coalesce(grouped.value, '(none)')
            when grouped.is_baseline and not grouped.is_cohort then 'baseline'
            when grouped.is_cohort and not grouped.is_baseline then 'cohort'
        end as cohort,
        told.trajectory_id,
        told.task,
        told.original,
        told.trace_id,
        told.span_id,
        told.began,
        told.measures,
        told.facts,
        told.is_success,
        nullif(
            told.left_out,
            case when coalesce(getvariable('builtin_outcomes'), false) then 'unjudged' end
        ) as left_out
    from told
    join grouped on grouped.trajectory_id = told.trajectory_id
),

runs as (
    select
        cohort,
        trajectory_id,
        task,
        trace_id,
        span_id,
        began,
        measures,
        facts,
        is_success,
        case
            when
                bool_or(left_out = 'error' and trajectory_id = original) over (
                    partition by original
                )
                then 'error'
            when row_number() over (partition by cohort, original order by trajectory_id) > 1
                then 'repeated'
            when left_out is null and is_success is null then 'open'
            else left_out
        end as reason,
        reason is null or reason not in ('derived', 'repeated', 'error') as is_attempt
    from placed
),

measured as (
    select
        cohort,
        trajectory_id,
        task,
        trace_id,
        span_id,
        reason,
        is_attempt,
        unnest(list_prepend('success', map_keys(measures))) as measure,
        unnest(
            list_prepend(
                case when reason is null then is_success::int::double end, map_values(measures)
            )
        ) as value
    from runs
    where cohort is not null
),

-- What nobody judged, or ended without a verdict, has cost something all the same.
counted as (
    select
        cohort,
        trajectory_id,
        task,
        trace_id,
        span_id,
        measure,
        value,
        case
            when measure = 'success' or not is_attempt then reason
            when value is null then 'not recorded'
        end as left_out
    from measured
),

totals as (
    select
        cohort,
        measure,
        count(*) filter (where left_out is null) as n_runs,
        count(distinct task) filter (where left_out is null) as n_tasks,
        case when measure = 'success' then sum(value)::bigint end as n_success,
        case
            when measure = 'success' then avg(value)
            else median(value) filter (where left_out is null)
        end as value,
        histogram(left_out)::map(varchar, bigint) as left_out
    from counted
    group by cohort, measure
    qualify measure = 'success' or max(n_runs) over (partition by measure) > 0
),

by_task as (
    select
        cohort,
        measure,
        task,
        count(*) as n,
        case when measure = 'success' then sum(value)::bigint end as n_success,
        case when measure = 'success' then avg(value) else median(value) end as value
    from counted
    where left_out is null
    group by cohort, measure, task
),

periods as (
    select
        cohort,
        count(*) as n,
        min(began) as began_first,
        max(began) as began_last
    from runs
    where cohort is not null and is_attempt
    group by cohort
),

first_of_all as (
    select
        coalesce(
            getvariable('baseline'),
            min_by(
                cohort,
                row(
                    cohort not in ('baseline', 'control'),
                    cohort = '(none)',
                    began_first is null,
                    began_first,
                    -n,
                    cohort
                )
            )
        ) as cohort,
        case
            when getvariable('baseline_where') is null and getvariable('cohort_where') is null
                then coalesce(getvariable('split_by'), 'agent_version')
        end as split_by,
        (select count(*) from runs where cohort is null) as n_in_none
    from periods
),

shared as (
    select
        it.cohort,
        it.measure,
        list({
            'task': it.task,
            'n': it.n,
            'n_success': it.n_success,
            'value': it.value,
            'n_baseline': base.n,
            'n_baseline_success': base.n_success,
            'baseline_value': base.value
        } order by it.task) as tasks
    from by_task as it
    join by_task as base on base.task = it.task and base.measure = it.measure
    join first_of_all on first_of_all.cohort = base.cohort
    where it.cohort <> base.cohort
    group by it.cohort, it.measure
),

-- What else changed: facts that both told and of which they have no value in common.
facts as (
    select cohort, what, list(distinct value order by value) as told
    from (
        select cohort, unnest(map_keys(facts)) as what, unnest(map_values(facts)) as value
        from runs
        where is_attempt
    )
    where value is not null
    group by cohort, what
),

differing as (
    select it.cohort, list(it.what order by it.what) as also_differ
    from facts as it
    join facts as base on base.what = it.what and not list_has_any(base.told, it.told)
    join first_of_all on first_of_all.cohort = base.cohort
    where it.what is distinct from first_of_all.split_by
    group by it.cohort
),

examples as (
    select
        counted.cohort,
        counted.measure,
        list({
            'task': counted.task,
            'trajectory_id': counted.trajectory_id,
            'trace_id': counted.trace_id,
            'span_id': counted.span_id
        } order by
            abs(counted.value - base.value) desc nulls last, counted.trajectory_id
        )[:3] as examples
    from counted
    left join (
        select by_task.task, by_task.measure, by_task.value
        from by_task
        join first_of_all on first_of_all.cohort = by_task.cohort
    ) as base on base.task = counted.task and base.measure = counted.measure
    where counted.left_out is null
    group by counted.cohort, counted.measure
)

select
    totals.cohort,  -- value of its runs, (none) where there is none; baseline or cohort: conditions
    totals.measure,  -- success, cost_usd, duration_s, tokens, steps or failed_steps
    first_of_all.cohort as baseline,  -- the cohort it is compared with; of itself its own name
    totals.n_runs,  -- runs of which it is known
    totals.n_tasks,  -- tasks of these
    totals.n_success,  -- runs that succeeded; NULL: another measure
    totals.value,  -- share in [0, 1] that succeeded, else the median; NULL: known of no run
    shared.tasks,  -- tasks that both tried: runs and rate, or median, of each; NULL: no task
    periods.began_first,  -- start of its first run; NULL: nobody told when
    periods.began_last,  -- start of its last run; NULL: nobody told when
    coalesce(first_of_all.split_by, '') = 'arm' as is_assigned,  -- as arms of an experiment
    differing.also_differ,  -- what else differs in all runs, as models; NULL: nothing that is told
    examples.examples,  -- up to three runs with their root spans, farthest from the baseline first
    first_of_all.n_in_none,  -- runs that are in no cohort, because both conditions hold or neither
    totals.left_out  -- runs that do not count for the measure, by reason; NULL: none
from totals
join first_of_all on true
join periods on periods.cohort = totals.cohort
left join shared on shared.cohort = totals.cohort and shared.measure = totals.measure
left join differing on differing.cohort = totals.cohort
left join examples on examples.cohort = totals.cohort and examples.measure = totals.measure
order by
    list_position(
        ['success', 'cost_usd', 'duration_s', 'tokens', 'steps', 'failed_steps'], totals.measure
    ),
    totals.cohort <> first_of_all.cohort,
    totals.cohort;
