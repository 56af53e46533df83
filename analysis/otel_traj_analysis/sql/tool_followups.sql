-- name: tool_followups
-- What becomes of what tools give: is it quoted later in the run, is the same tool called again,
-- another one, or none?
-- grain: one row per tool, agent that calls it, and whether the call failed
-- units: one finished tool execution; forks and replays are left out
-- parameters: agent (text, default null): only calls made by this agent
--     max_chars (int, default 20000): so much of each text is looked at
--     max_runs (int, default 5000): so many runs are looked at, chosen by chance, but always alike

with runs as (
    select
        trajectory_id,
        row_number() over (order by md5(trajectory_id)) as nth
    from trajectories
    where coalesce(relation, '') not in ('fork', 'replay')
),

-- Places give an order: what a step says is at twice its number, what its tool gives behind it.
told as (
    select
        steps.trajectory_id,
        steps.step,
        steps.tool_name,
        steps.agent_name,
        steps.agent_run,
        steps.kind,
        case
            when steps.kind <> 'tool' then null
            when steps.status = 'error' then 'error'
            when
                steps.status = 'ok'
                and (
                    coalesce(steps.result, steps.model_saw) is not null
                    or steps.end_time is not null
                )
                then 'ok'
        end as ending,
        concat_ws(
            ' ',
            steps.output_text,
            steps.reasoning,
            steps.tool_calls,
            steps.arguments,
            case when steps.kind = 'user' then steps.new_messages end
        ) as said,
        case
            when steps.kind = 'tool' then coalesce(steps.result, steps.model_saw, steps.error_message)
        end as given
    from steps
    join runs on runs.trajectory_id = steps.trajectory_id
    where runs.nth <= coalesce(getvariable('max_runs'), 5000)
),

texts as (
    select
        trajectory_id,
        step + step as place,
        kind <> 'user' as is_agents,
        said as text
    from told
    union all
    select
        trajectory_id,
        step + step + 1,
        false,
        given
    from told
),

-- Words with a digit or an @, and paths: ids, amounts, dates, addresses. Others come up by themselves.
words as (
    select
        trajectory_id,
        place,
        is_agents,
        trim(unnest(regexp_extract_all(
            left(text, coalesce(getvariable('max_chars'), 20000)),
            '[\w@.:#-]*[0-9@/][\w@./:#-]*'
        )), '.:#-/') as word
    from texts
),

-- A word that a tool was the first to tell, the agent has from there.
first_told as (
    select
        trajectory_id,
        word,
        min(place) as place,
        bool_or(is_agents) as is_said
    from words
    where length(word) >= 4 and regexp_matches(word, '[0-9@]|/.*[./]')
    group by trajectory_id, word
),

news as (
    select
        trajectory_id,
        place,
        bool_or(is_said) as is_quoted
    from first_told
    group by trajectory_id, place
),

calls as (
    select
        trajectory_id,
        step,
        tool_name,
        agent_name,
        ending,
        lead(step) over same_agent as next_step,
        lead(tool_name) over same_agent as next_tool
    from told
    where kind = 'tool'
    window same_agent as (partition by trajectory_id, agent_run, agent_name order by step)
),

classed as (
    select
        calls.trajectory_id,
        calls.tool_name,
        calls.agent_name,
        calls.ending,
        news.place is not null as is_quotable,
        case
            when news.is_quoted then 'used'
            when calls.next_step is null then 'last'
            when calls.next_tool is not distinct from calls.tool_name then 'again'
            else 'other'
        end as follow_up
    from calls
    left join news
        on news.trajectory_id = calls.trajectory_id and news.place = calls.step + calls.step + 1
    where
        calls.ending is not null
        and (getvariable('agent') is null or calls.agent_name = getvariable('agent'))
),

per_tool as (
    select
        tool_name,
        agent_name,
        ending,
        count(*) as n_calls,
        count(distinct trajectory_id) as n_runs,
        count(*) filter (where is_quotable) as n_quotable,
        count(*) filter (where follow_up = 'used') as n_used,
        count(*) filter (where follow_up = 'again') as n_again,
        count(*) filter (where follow_up = 'other') as n_other,
        count(*) filter (where follow_up = 'last') as n_last
    from classed
    group by tool_name, agent_name, ending
)

select
    tool_name,  -- name as the model used it; NULL: not recorded
    agent_name,  -- agent that made the calls; NULL: no agent is named
    ending,  -- ok or error
    n_runs,  -- trajectories with at least one such call
    n_calls,  -- finished calls; n_used + n_again + n_other + n_last
    n_quotable,  -- calls that gave a word of its own: with a digit or @, or a path, not seen before
    n_used,  -- of these, calls of which the agent quotes such a word later, in text or arguments
    n_used / nullif(n_quotable, 0) as used_rate,  -- in [0, 1]; NULL: nothing could be quoted
    n_again,  -- not quoted; the agent's next call is of the same tool
    n_other,  -- not quoted; its next call is of another tool
    n_last  -- not quoted, and it calls no tool any more
from per_tool
order by
    n_calls desc,
    tool_name nulls last,
    agent_name nulls last,
    ending;
