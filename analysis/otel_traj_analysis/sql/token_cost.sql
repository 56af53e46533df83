-- name: token_cost
-- What the model calls of each agent used and cost, with the number of calls that do not say; by
-- task and by the tools that they ask for, if wanted.
-- grain: one row per agent, provider and model; per task and per tools asked for, if wanted
-- units: one model call, failed ones too; forks and replays are left out
-- parameters: agent (text, default null): only calls made by this agent
--     by_task (bool, default false): a row for each task
--     by_tool (bool, default false): a row for each set of tools that a call asks for

with calls as (
    select
        steps.agent_name,
        steps.provider,
        coalesce(steps.model, steps.response_model) as model,
        case
            when coalesce(getvariable('by_task'), false)
                then coalesce(trajectories.task_id, trajectories.task, trajectories.user_input)
        end as task,
        case
            when coalesce(getvariable('by_tool'), false)
                then list_sort(list_distinct(json_extract_string(
                    coalesce(steps.tool_calls, '[]'), '$[*].name'
                )))
        end as asked,
        steps.trajectory_id,
        steps.input_tokens,
        steps.output_tokens,
        steps.cache_read_tokens,
        steps.cache_write_tokens,
        steps.reasoning_tokens,
        steps.cost_usd,
        steps.cost_source
    from steps
    join trajectories on trajectories.trajectory_id = steps.trajectory_id
    where
        steps.kind = 'llm'
        and coalesce(trajectories.relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or steps.agent_name = getvariable('agent'))
),

-- The sum of two absurd counts may pass 64 bits: then it is unknown, like what nobody tells.
per_model as (
    select
        agent_name,
        provider,
        model,
        task,
        asked,
        count(distinct trajectory_id) as n_runs,
        count(*) as n_calls,
        try_cast(sum(input_tokens) as bigint) as input_tokens,
        count(*) filter (where input_tokens is null) as n_input_unknown,
        try_cast(sum(output_tokens) as bigint) as output_tokens,
        count(*) filter (where output_tokens is null) as n_output_unknown,
        try_cast(sum(cache_read_tokens) as bigint) as cache_read_tokens,
        count(*) filter (where cache_read_tokens is null) as n_cache_read_unknown,
        try_cast(sum(cache_write_tokens) as bigint) as cache_write_tokens,
        count(*) filter (where cache_write_tokens is null) as n_cache_write_unknown,
        try_cast(sum(reasoning_tokens) as bigint) as reasoning_tokens,
        count(*) filter (where reasoning_tokens is null) as n_reasoning_unknown,
        sum(cost_usd) as cost_usd,
        count(*) filter (where cost_usd is null) as n_cost_unknown,
        list(distinct cost_source) filter (where cost_source is not null) as cost_sources
    from calls
    group by agent_name, provider, model, task, asked
)

select
    agent_name,  -- agent that made the calls; NULL: no agent is named
    provider,  -- provider as recorded; NULL: not recorded
    model,  -- model asked for, else the one that answered; NULL: not recorded
    task,  -- task id, else what was asked; NULL: all tasks, or not recorded
    asked,  -- tools that the call asks for, sorted; empty: none; NULL: whatever they ask for
    n_runs,  -- trajectories with at least one call
    n_calls,  -- model calls
    input_tokens,  -- sum over the calls that say, cached ones included; NULL: no call says
    n_input_unknown,  -- calls that do not say
    output_tokens,  -- sum over the calls that say, reasoning included; NULL: no call says
    n_output_unknown,  -- calls that do not say
    cache_read_tokens,  -- part of input_tokens read from a cache; NULL: no call says
    n_cache_read_unknown,  -- calls that do not say; many providers are silent when there are none
    cache_write_tokens,  -- part of input_tokens written to a cache; NULL: no call says
    n_cache_write_unknown,  -- calls that do not say
    reasoning_tokens,  -- part of output_tokens spent on reasoning; NULL: no call says
    n_reasoning_unknown,  -- calls that do not say
    cost_usd,  -- sum over the calls with a known cost, US dollars; NULL: none is known
    n_cost_unknown,  -- calls whose cost is unknown: the true sum is higher by theirs
    coalesce(list_sort(cost_sources), []) as cost_sources  -- who tells the known costs; empty: none
from per_model
order by
    cost_usd desc nulls last,
    input_tokens desc nulls last,
    agent_name nulls last,
    provider nulls last,
    model nulls last,
    task nulls last,
    asked;
