-- name: failure_patterns
-- What runs that fail do and runs that succeed do not, among tries at the same task: errors, calls
-- made again and again, how it ended; and errors of the harness, which no agent could avoid.
-- grain: one row per pattern, and one of kind `all` for all runs; patterns that the very same runs
--     show are one row
-- units: one attempt that was judged; repetitions word for word, forks and replays do not count
-- parameters: agent (text, default null): only runs of this agent
--     min_runs (int, default 5): runs that must show a pattern, and runs that must not
--     max_patterns (int, default 10000): most patterns compared, those that most can tell of
--     builtin_outcomes (bool, default false): count runs that nobody judged by how they ended
-- labels: contrast

with attempted as (
    select
        trajectory_id,
        coalesce(task, '(no task)') as task,
        agent_name,
        agent_version,
        is_success,
        case
            when left_out <> 'unjudged' or not coalesce(getvariable('builtin_outcomes'), false)
                then left_out
            when is_success is null then 'open'
        end as left_out
    from attempts
    where getvariable('agent') is null or agent_name = getvariable('agent')
),

units as (
    select
        trajectory_id,
        not is_success as is_failure,
        concat_ws(' · ', task, agent_name, agent_version) as stratum,
        case when md5_number_lower(task) % 2 = 0 then 'a' else 'b' end as half
    from attempted
    where left_out is null
),

calls as (
    select
        steps.trajectory_id,
        steps.trace_id,
        steps.span_id,
        row_number() over (partition by steps.trajectory_id order by steps.step) as place,
        steps.tool_name,
        coalesce(steps.arguments, '') as arguments,
        steps.status = 'error' as failed,
        case
            when steps.status = 'error' then steps.tool_name || ' failed' else steps.tool_name
        end as symbol,
        failed_calls.signature
    from steps
    left join failed_calls
        on failed_calls.trajectory_id = steps.trajectory_id and failed_calls.step = steps.step
    where
        steps.kind in ('tool', 'handoff')
        and steps.tool_name is not null
        and steps.trajectory_id in (select trajectory_id from units)
),

runs as (
    select
        units.trajectory_id,
        units.is_failure,
        units.stratum,
        units.half,
        count(calls.place) as n_calls
    from units
    left join calls on calls.trajectory_id = units.trajectory_id
    group by all
),

followed as (
    select
        trajectory_id,
        tool_name,
        place,
        row_number() over (
            partition by trajectory_id, tool_name, arguments order by place
        ) as nth,
        lead(symbol) over (partition by trajectory_id order by place) as next_symbol,
        lead(place) over (partition by trajectory_id, tool_name order by place) as tried_again,
        failed,
        symbol
    from calls
),

shown as (
    select trajectory_id, 'error' as kind, [tool_name, signature] as pattern, min(place) as place
    from calls
    where signature is not null
    group by all
    union all
    select trajectory_id, 'failed', [tool_name], min(place)
    from calls
    where failed
    group by all
    union all
    select trajectory_id, 'again', [tool_name, '3 times the same'], min(place)
    from followed
    where nth = 3
    group by all
    union all
    select trajectory_id, 'given up', [tool_name], place
    from followed
    where failed and tried_again is null
    union all
    select trajectory_id, 'next', [symbol, next_symbol], min(place) + 1
    from followed
    where next_symbol is not null
    group by all
    union all
    select trajectory_id, 'ends', [symbol], place
    from followed
    where next_symbol is null
    union all
    select trajectory_id, 'tool', [tool_name], min(place)
    from calls
    group by all
),

harness as (
    select [tool_name, signature] as pattern
    from error_classes
    where is_proposed
),

-- From here on a pattern is its number: lists of texts are slow to compare.
numbered as materialized (
    select
        hash(kind, pattern) as number,
        kind,
        pattern,
        trajectory_id,
        place
    from shown
),

seen as (
    select
        number,
        any_value(kind) as kind,
        any_value(pattern) as pattern,
        count(*) as n_runs,
        sum(hash(trajectory_id)::hugeint) as who
    from numbered
    group by number
),

-- Patterns that the same runs show cannot be told apart: the simplest stands for all.
distinguishable as (
    select
        min_by(named, simplicity) as chosen,
        list(kind || ': ' || array_to_string(pattern, ' → ') order by simplicity)[2:6] as same_runs,
        least(n_runs, (select count(*) from runs) - n_runs) as n_telling
    from (
        select
            kind,
            pattern,
            n_runs,
            who,
            row(
                strpos('error, failed, given up, again, tool, next, ends', kind),
                len(pattern),
                pattern
            ) as simplicity,
            {
                'number': number, 'kind': kind, 'pattern': pattern, 'simplicity': simplicity
            } as named
        from seen
        where
            n_runs between coalesce(getvariable('min_runs'), 5)
            and (select count(*) from runs) - coalesce(getvariable('min_runs'), 5)
            or pattern in (select pattern from harness)
    )
    group by who, n_runs
),

-- The fewer runs show a pattern, or the fewer do not, the less they can tell of it.
patterns as (
    select
        chosen.number as number,
        chosen.kind as kind,
        chosen.pattern as pattern,
        same_runs
    from distinguishable
    qualify
        row_number() over (order by n_telling desc, chosen.simplicity)
        <= coalesce(getvariable('max_patterns'), 10000)
),

support as materialized (
    select
        numbered.number,
        numbered.place,
        runs.trajectory_id,
        runs.is_failure,
        runs.stratum,
        runs.n_calls
    from numbered
    join patterns on patterns.number = numbered.number
    join runs on runs.trajectory_id = numbered.trajectory_id
),

-- A long run has more room for a pattern, and long runs fail: at a landmark only runs that got so
-- far are compared, by what they did up to there. Landmark 0 compares whole runs.
landmarks as (
    select 0 as landmark
    union
    select unnest(quantile_disc(n_calls, [0.25, 0.5, 0.75])) from runs
),

reached as (
    select
        landmarks.landmark,
        runs.stratum,
        runs.half,
        count(*) as n,
        count(*) filter (where runs.is_failure) as n_failure
    from landmarks
    join runs on runs.n_calls >= landmarks.landmark
    group by all
),

showed as (
    select
        support.number,
        landmarks.landmark,
        support.stratum,
        count(*) as n,
        count(*) filter (where support.is_failure) as n_failure
    from landmarks
    join support
        on
            landmarks.landmark = 0
            or (support.n_calls >= landmarks.landmark and support.place <= landmarks.landmark)
    group by all
),

tables as (
    select
        showed.number,
        list_sort(list({
            'landmark': showed.landmark,
            'stratum': showed.stratum,
            'half': reached.half,
            'with_failure': showed.n_failure,
            'with_success': showed.n - showed.n_failure,
            'without_failure': reached.n_failure - showed.n_failure,
            'without_success': reached.n - reached.n_failure - showed.n + showed.n_failure
        })) as strata
    from reached
    join showed on showed.landmark = reached.landmark and showed.stratum = reached.stratum
    group by showed.number
),

counts as (
    select
        number,
        count(*) as n_runs,
        count(*) filter (where is_failure) as n_failure,
        arg_min(
            {'trajectory_id': trajectory_id, 'place': place}, (not is_failure, trajectory_id), 3
        ) as shown_by
    from support
    group by number
),

examples as (
    select
        told.number,
        list({
            'trajectory_id': calls.trajectory_id,
            'trace_id': calls.trace_id,
            'span_id': calls.span_id
        } order by told.nth) as examples
    from calls
    join (
        select
            number,
            unnest(shown_by) as run,
            generate_subscripts(shown_by, 1) as nth
        from counts
    ) as told on told.run.trajectory_id = calls.trajectory_id and told.run.place = calls.place
    group by told.number
),

base as (
    select
        count(*) filter (where left_out is null) as n,
        count(*) filter (where left_out is null and not is_success) as n_failure,
        histogram(left_out)::map(varchar, bigint) as left_out
    from attempted
    having count(*) > 0
),

rows_of_answer as (
    select
        'all' as kind,
        []::varchar[] as pattern,
        []::varchar[] as same_runs,
        n as n_runs,
        n_failure,
        0 as n_without,
        0 as n_without_failure,
        left_out,
        (select count(*) from distinguishable) - (select count(*) from patterns) as n_not_compared,
        [] as strata,
        [] as examples,
        false as is_harness
    from base
    union all
    select
        patterns.kind,
        patterns.pattern,
        patterns.same_runs,
        counts.n_runs,
        counts.n_failure,
        base.n - counts.n_runs,
        base.n_failure - counts.n_failure,
        null,
        null,
        tables.strata,
        examples.examples,
        patterns.pattern in (select pattern from harness)
    from patterns
    join counts on counts.number = patterns.number
    join tables on tables.number = patterns.number
    join examples on examples.number = patterns.number
    cross join base
)

select
    kind,  -- all, error, failed, given up, again, tool, next or ends
    pattern,  -- its calls in order; of `error` the tool and what its errors say
    n_runs,  -- runs that show it
    n_failure,  -- of these, runs that failed
    n_failure / nullif(n_runs, 0) as failure_rate,  -- in [0, 1]; NULL: no runs
    n_without,  -- runs that do not show it
    n_without_failure,  -- of these, runs that failed
    n_without_failure / nullif(n_without, 0) as failure_rate_without,  -- in [0, 1]; NULL: no runs
    same_runs,  -- other patterns that exactly these runs show; up to five
    is_harness,  -- an error that no call of the tool survives, and no agent can help
    strata,  -- the counts by task, agent and version; `landmark` 0: whole runs, else first calls
    examples,  -- up to three runs with the span that completes the pattern, failures first
    left_out,  -- of kind `all`: runs that do not count, by reason; NULL: another kind, or none
    n_not_compared  -- of kind `all`: patterns beyond `max_patterns`; NULL: another kind
from rows_of_answer
order by kind <> 'all', abs(failure_rate - failure_rate_without) desc, n_runs desc, kind, pattern;
