-- name: first_divergence
-- Where two groups of runs of the same tasks first part: what each called next after the same
-- first calls, how often, how it ended, and whether they had been told the same.
-- grain: one row per task, beginning after which runs of both groups went on in different ways, and
--     call that came next; and one of kind `all`
-- units: one attempt at a task that both groups tried; repetitions word for word, forks, replays
--     and errors of the harness do not count
-- parameters: split_by (text, default 'is_success'): column of `trajectories`, or metadata.KEY
--     baseline (text, default 'true'): its value in the first group
--     cohort (text, default 'false'): its value in the second group
--     baseline_where (where, default null): the runs of the first group instead
--     cohort_where (where, default null): those of the second; one condition alone: all others
--     agent (text, default null): only runs of this agent
--     symbol (text, default 'tool'): calls differ by tool, status (failed apart) or arguments
--     max_calls (int, default 30): calls of a run that are looked at
--     builtin_outcomes (bool, default false): count runs that nobody judged by how they ended

with attempted as (
    select
        trajectory_id as attempt_id,
        coalesce(task, '(no task)') as attempt_at,
        left_out as attempt_left_out,
        case
            when left_out is null
                or (left_out = 'unjudged' and coalesce(getvariable('builtin_outcomes'), false))
                then is_success
        end as is_success
    from attempts
    where getvariable('agent') is null or agent_name = getvariable('agent')
),

told as (
    select
        attempted.attempt_id as trajectory_id,
        attempted.attempt_at as task,
        attempted.attempt_left_out as left_out,
        attempted.is_success,
        columns(
            lambda c: c = split_part(coalesce(getvariable('split_by'), 'is_success'), '.', 1)
        )::varchar as cell,
        regexp_replace(coalesce(getvariable('split_by'), 'is_success'), '^[^.]+\.?', '') as key
    from trajectories
    join attempted on attempted.attempt_id = trajectories.trajectory_id
),

-- Of two conditions, the one that is not set holds for what the other does not hold for.
grouped as (
    select
        trajectory_id,
        task,
        is_success,
        left_out,
        case when key = '' then cell else json_extract_string(cell, '$."' || key || '"') end
            as value,
        case
            when getvariable('baseline_where') is not null
                then trajectory_id in (select unnest(getvariable('baseline_where')::varchar[]))
            when getvariable('cohort_where') is not null
                then trajectory_id not in (select unnest(getvariable('cohort_where')::varchar[]))
            else value = coalesce(getvariable('baseline'), 'true')
        end as is_baseline,
        case
            when getvariable('cohort_where') is not null
                then trajectory_id in (select unnest(getvariable('cohort_where')::varchar[]))
            when getvariable('baseline_where') is not null
                then trajectory_id not in (select unnest(getvariable('baseline_where')::varchar[]))
            else value = coalesce(getvariable('cohort'), 'false')
        end as is_cohort
    from told
),

chosen as (
    select
        trajectory_id,
        task,
        is_success,
        is_baseline,
        case
            when left_out in ('derived', 'repeated', 'error') then left_out
            when is_baseline and is_cohort then 'in both groups'
            when not is_baseline and not is_cohort then 'in neither group'
            when is_baseline is null then coalesce(left_out, 'in neither group')
        end as left_out
    from grouped
),

shared as (
    select task
    from chosen
    where left_out is null
    group by task
    having bool_or(is_baseline) and not bool_and(is_baseline)
),

units as (
    select
        chosen.trajectory_id,
        chosen.task,
        chosen.is_baseline,
        chosen.is_success,
        case
            when chosen.left_out is null and shared.task is null then 'task of one group'
            else chosen.left_out
        end as left_out
    from chosen
    left join shared on shared.task = chosen.task
),

calls as (
    select
        trajectory_id,
        step,
        trace_id,
        span_id,
        row_number() over (partition by trajectory_id order by step) as place,
        case coalesce(getvariable('symbol'), 'tool')
            when 'tool' then tool_name
            when 'status' then tool_name || case when status = 'error' then ' failed' else '' end
            else tool_name || coalesce(' ' || arguments, '')
        end as symbol,
        md5_number_lower(coalesce(result, model_saw, error_message)) as response
    from steps
    where
        kind in ('tool', 'handoff')
        and tool_name is not null
        and trajectory_id in (select trajectory_id from units where left_out is null)
    qualify place <= coalesce(getvariable('max_calls'), 30)
),

begun as (
    select
        trajectory_id,
        step,
        trace_id,
        span_id,
        place,
        'call' as kind,
        symbol,
        response
    from calls
    union all
    select trajectories.trajectory_id, null, trace_ids[1], root_span_id, 0, 'start', null, null
    from trajectories
    join units on units.trajectory_id = trajectories.trajectory_id
    where units.left_out is null
),

-- A run that ends parts from those that go on: its end is told like a call. Where runs are followed
-- no further all of them end, and none parts.
moments as (
    select trajectory_id, step, trace_id, span_id, place, kind, symbol, response
    from begun
    union all
    select
        trajectory_id,
        max_by(step, place),
        max_by(trace_id, place),
        max_by(span_id, place),
        max(place) + 1,
        'end',
        '(end)',
        null
    from begun
    group by trajectory_id
),

-- Two beginnings are the same when the hashes of their calls, each with its place, add up alike.
-- So are two series of answers, where all of them were recorded.
beginnings as (
    select
        moments.trajectory_id,
        moments.step,
        moments.trace_id,
        moments.span_id,
        moments.place,
        moments.kind,
        moments.symbol,
        units.task,
        units.is_baseline,
        units.is_success,
        hash(moments.place, moments.kind, moments.symbol)::hugeint as last_hash,
        sum(hash(moments.place, moments.kind, moments.symbol)::hugeint) over run as prefix,
        case
            when count(moments.response) over run = moments.place
                then sum(moments.response::hugeint * moments.place) over run
        end as responses
    from moments
    join units on units.trajectory_id = moments.trajectory_id
    window run as (partition by moments.trajectory_id order by moments.place)
),

nodes as (
    select
        task,
        place,
        prefix,
        any_value(prefix - last_hash) as parent,
        any_value(kind) as kind,
        any_value(symbol) as symbol,
        any_value(trajectory_id) as trajectory_id,
        count(*) filter (where is_baseline) as n_baseline,
        count(*) filter (where is_baseline and is_success) as n_baseline_success,
        count(*) filter (where not is_baseline) as n_cohort,
        count(*) filter (where not is_baseline and is_success) as n_cohort_success,
        case when count(responses) = count(*) then min(responses) = max(responses) end
            as is_told_alike,
        min({
            'trajectory_id': trajectory_id,
            'step': step,
            'trace_id': trace_id,
            'span_id': span_id
        }) filter (where is_baseline) as baseline_example,
        min({
            'trajectory_id': trajectory_id,
            'step': step,
            'trace_id': trace_id,
            'span_id': span_id
        }) filter (where not is_baseline) as cohort_example
    from beginnings
    group by task, place, prefix
),

-- Each pair of a run of one group and a run of the other parts once: after what both began with.
choices as (
    select
        here.task,
        here.place,
        here.trajectory_id,
        here.is_told_alike,
        here.n_baseline as n_baseline_here,
        here.n_cohort as n_cohort_here,
        next.kind,
        next.symbol,
        next.n_baseline,
        next.n_baseline_success,
        next.n_cohort,
        next.n_cohort_success,
        next.baseline_example,
        next.cohort_example,
        here.n_baseline * here.n_cohort - (
            sum(next.n_baseline * next.n_cohort) over (partition by here.task, here.prefix)
        )::bigint as n_parted,
        max(here.n_baseline * here.n_cohort) over (partition by here.task) as n_pairs
    from nodes as next
    join nodes as here
        on
            here.task = next.task
            and here.place = next.place - 1
            and here.prefix = next.parent
),

sequences as (
    select trajectory_id, list(symbol order by place) as symbols
    from moments
    where kind <> 'start' and trajectory_id in (select trajectory_id from choices)
    group by trajectory_id
),

rows_of_answer as (
    select
        'all' as kind,
        null as task,
        []::varchar[] as calls,
        null as next,
        null as n_parted,
        null as share_parted,
        count(*) filter (where left_out is null and is_baseline) as n_baseline,
        count(*) filter (where left_out is null and is_baseline and is_success)
            as n_baseline_success,
        count(*) filter (where left_out is null and not is_baseline) as n_cohort,
        count(*) filter (where left_out is null and not is_baseline and is_success)
            as n_cohort_success,
        null as n_baseline_here,
        null as n_cohort_here,
        null as is_told_alike,
        null as baseline_example,
        null as cohort_example,
        histogram(left_out)::map(varchar, bigint) as left_out
    from units
    having count(*) > 0
    union all
    select
        choices.kind,
        choices.task,
        sequences.symbols[:choices.place],
        choices.symbol,
        choices.n_parted,
        choices.n_parted / choices.n_pairs,
        choices.n_baseline,
        choices.n_baseline_success,
        choices.n_cohort,
        choices.n_cohort_success,
        choices.n_baseline_here,
        choices.n_cohort_here,
        choices.is_told_alike,
        choices.baseline_example,
        choices.cohort_example,
        null
    from choices
    join sequences on sequences.trajectory_id = choices.trajectory_id
    where choices.n_parted > 0
)

select
    kind,  -- all, call, or end: the run ended instead of a call
    task,  -- task that both groups tried; NULL: of kind `all`
    calls,  -- calls that the runs have in common up to there, in order; empty: they part at once
    next,  -- call that came next; NULL: of kind `all`
    n_parted,  -- pairs of a run of each group that part here; NULL: of kind `all`
    share_parted,  -- of all pairs of the task, in (0, 1]; NULL: of kind `all`
    n_baseline,  -- runs of the first group that went on so; of kind `all`: that are compared
    n_baseline_success,  -- of these, runs that succeeded
    n_cohort,  -- runs of the second group that went on so; of kind `all`: that are compared
    n_cohort_success,  -- of these, runs that succeeded
    n_baseline_here,  -- runs of the first group that got there; NULL: of kind `all`
    n_cohort_here,  -- runs of the second group that got there; NULL: of kind `all`
    is_told_alike,  -- all common calls gave the same results; NULL: no calls, or not all recorded
    baseline_example,  -- one of the runs of the first group, with the span of the next call
    cohort_example,  -- one of the runs of the second group, with the span of the next call
    left_out  -- of kind `all`: runs that are not compared, by reason; NULL: another kind, or none
from rows_of_answer
order by kind <> 'all', n_parted desc, task, calls, n_baseline + n_cohort desc, next;
