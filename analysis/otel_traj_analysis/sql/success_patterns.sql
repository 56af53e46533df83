-- name: success_patterns
-- What runs that succeed do and runs that fail do not, among tries at the same task: tools, orders,
-- repetitions and omissions, each with the counts that can confirm or refute it.
-- grain: one row per pattern, and one of kind `all` for all runs; patterns that the very same runs
--     show are one row
-- units: one attempt that was judged; repetitions word for word, forks and replays do not count
-- parameters: agent (text, default null): only runs of this agent
--     symbol (text, default 'tool'): what a pattern is made of: tool, status (failed calls apart)
--     max_length (int, default 5): most calls in a row that make a pattern
--     max_gap (int, default 3): most other calls between two calls of a `gapped` pattern
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
        is_success,
        concat_ws(' · ', task, agent_name, agent_version) as stratum,
        case when md5_number_lower(task) % 2 = 0 then 'a' else 'b' end as half
    from attempted
    where left_out is null
),

calls as (
    select
        trajectory_id,
        trace_id,
        span_id,
        row_number() over (partition by trajectory_id order by step) as place,
        case
            when coalesce(getvariable('symbol'), 'tool') = 'tool' or status <> 'error'
                then tool_name
            else tool_name || ' failed'
        end as symbol
    from steps
    where
        kind in ('tool', 'handoff')
        and tool_name is not null
        and trajectory_id in (select trajectory_id from units)
),

runs as (
    select
        units.trajectory_id,
        units.is_success,
        units.stratum,
        units.half,
        count(calls.place) as n_calls,
        coalesce(list(calls.symbol order by calls.place) filter (calls.symbol is not null), [])
            as symbols
    from units
    left join calls on calls.trajectory_id = units.trajectory_id
    group by all
),

in_a_row as (
    select
        trajectory_id,
        list_slice(symbols, place, place + length - 1) as pattern,
        min(place + length - 1) as place,
        bool_or(place = 1) as at_start
    from (
        select
            trajectory_id,
            symbols,
            length,
            unnest(range(1, len(symbols) - length + 2)) as place
        from runs
        cross join range(1, coalesce(getvariable('max_length'), 5) + 1) as lengths(length)
    )
    group by all
),

pairs as (
    select distinct
        first.trajectory_id,
        first.symbol as first,
        second.symbol as second,
        second.place
    from calls as first
    join calls as second
        on
            second.trajectory_id = first.trajectory_id
            and second.place
            between first.place + 1 and first.place + 1 + coalesce(getvariable('max_gap'), 3)
),

with_gaps as (
    select trajectory_id, [first, second] as pattern, min(place) as place
    from pairs
    group by all
    union all
    select pairs.trajectory_id, [pairs.first, pairs.second, third.symbol], min(third.place)
    from pairs
    join calls as third
        on
            third.trajectory_id = pairs.trajectory_id
            and third.place
            between pairs.place + 1 and pairs.place + 1 + coalesce(getvariable('max_gap'), 3)
    group by all
),

firsts as (
    select trajectory_id, symbol, min(place) as place, list(place order by place) as places
    from calls
    group by all
),

shown as (
    select trajectory_id, 'tool' as kind, pattern, place
    from in_a_row
    where len(pattern) = 1
    union all
    select trajectory_id, 'count', [symbol, '>= ' || n], places[n]
    from firsts
    cross join (values (2), (3), (5), (10)) as thresholds(n)
    where len(places) >= n
    union all
    select trajectory_id, 'loop', pattern, place
    from in_a_row
    where len(pattern) = 3 and len(list_distinct(pattern)) = 1
    union all
    select trajectory_id, 'start', pattern, len(pattern)
    from in_a_row
    where at_start and len(pattern) <= 3
    union all
    select trajectory_id, 'sequence', pattern, place
    from in_a_row
    where len(list_distinct(pattern)) > 1
    union all
    select later.trajectory_id, 'before', [earlier.symbol, later.symbol], min(later.place)
    from firsts as earlier
    join calls as later
        on
            later.trajectory_id = earlier.trajectory_id
            and later.symbol <> earlier.symbol
            and later.place > earlier.place
    group by all
    union all
    select later.trajectory_id, 'without', [other.symbol, later.symbol], later.place
    from firsts as later
    cross join (select distinct symbol from calls) as other
    anti join firsts as earlier
        on
            earlier.trajectory_id = later.trajectory_id
            and earlier.symbol = other.symbol
            and earlier.place <= later.place
    union all
    select trajectory_id, 'gapped', pattern, place
    from with_gaps
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
                strpos('tool, count, loop, start, sequence, before, without, gapped', kind),
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
        runs.is_success,
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
        count(*) filter (where runs.is_success) as n_success
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
        count(*) filter (where support.is_success) as n_success
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
            'with_success': showed.n_success,
            'with_failure': showed.n - showed.n_success,
            'without_success': reached.n_success - showed.n_success,
            'without_failure': reached.n - reached.n_success - showed.n + showed.n_success
        })) as strata
    from reached
    join showed on showed.landmark = reached.landmark and showed.stratum = reached.stratum
    group by showed.number
),

counts as (
    select
        number,
        count(*) as n_runs,
        count(*) filter (where is_success) as n_success,
        arg_min(
            {'trajectory_id': trajectory_id, 'place': place}, (not is_success, trajectory_id), 3
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
        count(*) filter (where left_out is null and is_success) as n_success,
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
        n_success,
        0 as n_without,
        0 as n_without_success,
        left_out,
        (select count(*) from distinguishable) - (select count(*) from patterns) as n_not_compared,
        [] as strata,
        [] as examples
    from base
    union all
    select
        patterns.kind,
        patterns.pattern,
        patterns.same_runs,
        counts.n_runs,
        counts.n_success,
        base.n - counts.n_runs,
        base.n_success - counts.n_success,
        null,
        null,
        tables.strata,
        examples.examples
    from patterns
    join counts on counts.number = patterns.number
    join tables on tables.number = patterns.number
    join examples on examples.number = patterns.number
    cross join base
)

select
    kind,  -- all, tool, count, loop, start, sequence, before, without or gapped
    pattern,  -- its calls in order; of `without` the call left out, then the one that comes
    n_runs,  -- runs that show it
    n_success,  -- of these, runs that succeeded
    n_success / nullif(n_runs, 0) as success_rate,  -- in [0, 1]; NULL: no runs
    n_without,  -- runs that do not show it
    n_without_success,  -- of these, runs that succeeded
    n_without_success / nullif(n_without, 0) as success_rate_without,  -- in [0, 1]; NULL: no runs
    same_runs,  -- other patterns that exactly these runs show; up to five
    strata,  -- the counts by task, agent and version; `landmark` 0: whole runs, else first calls
    examples,  -- up to three runs with the span that completes the pattern, successes first
    left_out,  -- of kind `all`: runs that do not count, by reason; NULL: another kind, or none
    n_not_compared  -- of kind `all`: patterns beyond `max_patterns`; NULL: another kind
from rows_of_answer
order by kind <> 'all', abs(success_rate - success_rate_without) desc, n_runs desc, kind, pattern;
