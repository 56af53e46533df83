-- name: thinking_patterns
-- What agents say before they call a tool, and whether calls with words before them fail less often
-- than calls without.
-- grain: one row per tool and agent that calls it
-- units: one tool execution of a known turn; forks and replays are left out
-- parameters: min_calls (int, default 1): tools with fewer calls are left out
--     agent (text, default null): only calls made by this agent

with chosen as (
    select
        steps.trajectory_id,
        steps.turn,
        steps.kind,
        steps.tool_name,
        steps.agent_name,
        steps.status = 'error' as is_failed,
        len(regexp_extract_all(coalesce(steps.reasoning, steps.output_text), '\S+')) as words
    from steps
    join trajectories on trajectories.trajectory_id = steps.trajectory_id
    where
        steps.kind in ('llm', 'thought', 'tool')
        and steps.turn is not null
        and coalesce(trajectories.relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or steps.agent_name = getvariable('agent'))
),

thoughts as (
    select
        trajectory_id,
        turn,
        sum(words) as words
    from chosen
    where kind <> 'tool'
    group by trajectory_id, turn
),

calls as (
    select
        chosen.trajectory_id,
        chosen.tool_name,
        chosen.agent_name,
        chosen.is_failed,
        nullif(thoughts.words, 0) as words
    from chosen
    left join thoughts
        on thoughts.trajectory_id = chosen.trajectory_id and thoughts.turn = chosen.turn
    where chosen.kind = 'tool'
),

per_tool as (
    select
        tool_name,
        agent_name,
        count(distinct trajectory_id) as n_runs,
        count(*) as n_calls,
        count(words) as n_thought,
        median(words) as median_words,
        count(*) filter (where is_failed and words is not null) as n_errors_thought,
        count(*) filter (where is_failed and words is null) as n_errors_silent
    from calls
    group by tool_name, agent_name
)

select
    tool_name,  -- name as the model used it; NULL: not recorded
    agent_name,  -- agent that makes the calls; NULL: no agent is named
    n_runs,  -- trajectories with at least one call
    n_calls,  -- calls
    n_thought,  -- calls with recorded reasoning, or else text, in their turn
    median_words,  -- median words of these; NULL: none
    n_errors_thought,  -- of n_thought, calls that failed
    n_errors_silent,  -- of the others, calls that failed
    n_errors_thought / nullif(n_thought, 0) as error_rate_thought,  -- in [0, 1]; NULL: none
    n_errors_silent / nullif(n_calls - n_thought, 0) as error_rate_silent  -- in [0, 1]; NULL: none
from per_tool
where n_calls >= coalesce(getvariable('min_calls'), 1)
order by n_calls desc, tool_name nulls last, agent_name nulls last;
