-- name: words_known
-- Columns with a fixed vocabulary hold a word of it.
-- grain: one row per view, column and word that is not in the vocabulary

with words as (
    select 'trajectories.status' as place, status as word,
        status in ('open', 'completed', 'error', 'aborted', 'timeout') as is_known
    from trajectories
    union all
    select 'trajectories.outcome', outcome,
        outcome in ('success', 'failure', 'partial', 'error', 'unknown')
    from trajectories
    union all
    select 'trajectories.outcome_source', outcome_source,
        outcome_source in ('explicit', 'evaluation', 'builtin') or outcome_source like 'rule:%'
    from trajectories
    union all
    select 'trajectories.relation', relation,
        relation is null or relation in ('fork', 'replay', 'revision', 'subagent')
    from trajectories
    union all
    select 'steps.kind', kind,
        kind in ('user', 'llm', 'tool', 'handoff', 'retrieval', 'memory', 'thought', 'other')
    from steps
    union all
    select 'steps.status', status, status in ('ok', 'error', 'aborted', 'open')
    from steps
)

select
    place,  -- view and column
    word,  -- what stands there; NULL: nothing, where a word must be
    count(*) as n_rows  -- how often
from words
where coalesce(is_known, false) = false
group by place, word
order by place, word nulls first;
