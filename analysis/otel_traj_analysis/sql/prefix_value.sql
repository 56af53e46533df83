-- name: prefix_value
-- Which beginnings of runs end well: the success of all runs of a task that made the same first
-- calls, and for every run that failed the call at which most of its chances went.
-- grain: one row per beginning that some runs share and others of the task leave: one more call, or
--     the end instead of one; one of kind `start` for each task; and one of kind `all`
-- units: one attempt that was judged; repetitions word for word, forks and replays do not count
-- parameters: agent (text, default null): only runs of this agent
--     symbol (text, default 'tool'): calls differ by tool, status (failed apart) or arguments
--     max_calls (int, default 30): calls of a run that are looked at
--     min_siblings (int, default 3): runs that must have gone on in another way to blame a call
--     prior_runs (float, default 4.0): runs ending as all of the task do, added to every beginning
--     across_tasks (bool, default false): take all runs as of one task, whatever is easy or hard
--     builtin_outcomes (bool, default false): count runs that nobody judged by how they ended

with attempted as (
    select
        trajectory_id,
        case when not coalesce(getvariable('across_tasks'), false) then task end as task,
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
        dense_rank() over (order by task, agent_name, agent_version) as tree
    from attempted
    where left_out is null
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
        end as symbol
    from steps
    where
        kind in ('tool', 'handoff')
        and tool_name is not null
        and trajectory_id in (select trajectory_id from units)
    qualify place <= coalesce(getvariable('max_calls'), 30)
),

begun as (
    select trajectory_id, step, trace_id, span_id, place, 'call' as kind, symbol
    from calls
    union all
    select trajectories.trajectory_id, null, trace_ids[1], root_span_id, 0, 'start', null
    from trajectories
    join units on units.trajectory_id = trajectories.trajectory_id
),

-- A run that ends parts from those that go on: its end is told like a call. Where runs are followed
-- no further all of them end, and none parts.
moments as (
    select trajectory_id, step, trace_id, span_id, place, kind, symbol
    from begun
    union all
    select
        trajectory_id,
        max_by(step, place),
        max_by(trace_id, place),
        max_by(span_id, place),
        max(place) + 1,
        'end',
        '(end)'
    from begun
    group by trajectory_id
),

-- Two beginnings are the same when the hashes of their calls, each with its place, add up alike.
beginnings as (
    select
        moments.trajectory_id,
        moments.step,
        moments.trace_id,
        moments.span_id,
        moments.place,
        moments.kind,
        moments.symbol,
        units.tree,
        units.is_success,
        hash(moments.place, moments.kind, moments.symbol)::hugeint as last_hash,
        sum(hash(moments.place, moments.kind, moments.symbol)::hugeint) over (
            partition by moments.trajectory_id order by moments.place
        ) as prefix
    from moments
    join units on units.trajectory_id = moments.trajectory_id
),

nodes as (
    select
        tree,
        place,
        prefix,
        any_value(prefix - last_hash) as parent,
        any_value(kind) as kind,
        any_value(trajectory_id) as trajectory_id,
        count(*) as n_runs,
        count(*) filter (where is_success) as n_success
    from beginnings
    group by tree, place, prefix
),

valued as (
    select
        nodes.tree,
        nodes.place,
        nodes.prefix,
        nodes.parent,
        nodes.kind,
        nodes.trajectory_id,
        nodes.n_runs,
        nodes.n_success,
        (
            nodes.n_success
            + coalesce(getvariable('prior_runs'), 4.0) * starts.n_success / starts.n_runs
        ) / (nodes.n_runs + coalesce(getvariable('prior_runs'), 4.0)) as value
    from nodes
    join nodes as starts on starts.tree = nodes.tree and starts.kind = 'start'
),

-- Where all runs of a beginning go on alike, nothing is decided.
parted as (
    select
        node.tree,
        node.place,
        node.prefix,
        node.kind,
        node.trajectory_id,
        node.n_runs,
        node.n_success,
        node.value,
        node.value - parent.value as change,
        parent.n_runs - node.n_runs as n_siblings,
        parent.n_success - node.n_success as n_siblings_success
    from valued as node
    left join valued as parent
        on
            parent.tree = node.tree
            and parent.place = node.place - 1
            and parent.prefix = node.parent
    where node.kind = 'start' or node.n_runs < parent.n_runs
),

blamed as (
    select
        beginnings.trajectory_id,
        min_by(parted.place, row(parted.change, parted.place)) as place
    from beginnings
    join parted
        on
            parted.tree = beginnings.tree
            and parted.place = beginnings.place
            and parted.prefix = beginnings.prefix
    where
        not beginnings.is_success
        and parted.change < 0
        and parted.n_siblings >= coalesce(getvariable('min_siblings'), 3)
    group by beginnings.trajectory_id
),

examples as (
    select
        beginnings.tree,
        beginnings.place,
        beginnings.prefix,
        count(blamed.trajectory_id) as n_blamed,
        list({
            'trajectory_id': beginnings.trajectory_id,
            'is_success': beginnings.is_success,
            'is_blamed': blamed.trajectory_id is not null,
            'step': beginnings.step,
            'trace_id': beginnings.trace_id,
            'span_id': beginnings.span_id
        } order by
            blamed.trajectory_id is null, beginnings.is_success, beginnings.trajectory_id
        )[:3] as examples
    from beginnings
    join parted
        on
            parted.tree = beginnings.tree
            and parted.place = beginnings.place
            and parted.prefix = beginnings.prefix
    left join blamed
        on blamed.trajectory_id = beginnings.trajectory_id and blamed.place = beginnings.place
    group by beginnings.tree, beginnings.place, beginnings.prefix
),

sequences as (
    select trajectory_id, list(symbol order by place) as symbols
    from moments
    where kind <> 'start' and trajectory_id in (select trajectory_id from parted)
    group by trajectory_id
),

rows_of_answer as (
    select
        'all' as kind,
        null::varchar as task,
        null::varchar as agent_name,
        null::varchar as agent_version,
        []::varchar[] as calls,
        count(*) filter (where left_out is null) as n_runs,
        count(*) filter (where left_out is null and is_success) as n_success,
        null::double as value,
        null::double as change,
        null::bigint as n_siblings,
        null::bigint as n_siblings_success,
        null::bigint as n_blamed,
        [] as examples,
        histogram(left_out)::map(varchar, bigint) as left_out
    from attempted
    having count(*) > 0
    union all
    select
        parted.kind,
        attempted.task,
        attempted.agent_name,
        attempted.agent_version,
        sequences.symbols[:parted.place],
        parted.n_runs,
        parted.n_success,
        parted.value,
        parted.change,
        parted.n_siblings,
        parted.n_siblings_success,
        examples.n_blamed,
        examples.examples,
        null
    from parted
    join examples
        on
            examples.tree = parted.tree
            and examples.place = parted.place
            and examples.prefix = parted.prefix
    join attempted on attempted.trajectory_id = parted.trajectory_id
    join sequences on sequences.trajectory_id = parted.trajectory_id
)

select
    kind,  -- all, start, call or end
    task,  -- task of the runs; NULL: of kind `all`, across tasks, or no task is told
    agent_name,  -- agent at the top of the runs; NULL: not named
    agent_version,  -- its version; NULL: not recorded
    calls,  -- first calls of the runs, in order; the last one parts them from others
    n_runs,  -- runs that begin so
    n_success,  -- of these, runs that succeeded
    value,  -- chance of success, in [0, 1]: of these runs and of `prior_runs` like all of the task
    change,  -- by the last call; NULL: of kind `start`, where nothing was decided yet
    n_siblings,  -- runs that did the same until then, and something else instead of the last call
    n_siblings_success,  -- of these, runs that succeeded
    n_blamed,  -- failed runs whose chances no other call lowers as much
    examples,  -- up to three of the runs, blamed ones first, with the span of the last call made
    left_out  -- of kind `all`: runs that do not count, by reason; NULL: another kind, or none
from rows_of_answer
order by kind <> 'all', n_blamed * change, change, task, agent_name, agent_version, calls;
