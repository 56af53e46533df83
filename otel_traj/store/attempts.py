"""The view `attempts`: what counts as one try at a task, and why the rest does not.

Analyses of success and failure start here, so that all of them count the same runs.
"""

from __future__ import annotations

from typing import Final

SQL: Final = """\
with headers as (
    select trajectory_id, coalesce(task_id, task, user_input) as task, agent_name, agent_version,
        start_time, outcome, outcome_source, reward, n_steps, tools, final_answer,
        coalesce(relation, '') in ('fork', 'replay', 'subagent') as is_derived
    from trajectories
), alike as (
    select trajectory_id from headers
    where not is_derived and n_steps > 0
    qualify count(*) over (partition by task, agent_name, n_steps, tools, final_answer) > 1
), contents as (
    -- Steps without content are alike in any two runs: such runs are not known to be the same.
    select trajectory_id,
        hash(list(
            hash(kind, model, tool_name, arguments, result, output_text, reasoning,
                case when kind = 'user' then new_messages end)
            order by step
        )) as content
    from steps semi join alike using (trajectory_id)
    group by trajectory_id
    having bool_and(
        coalesce(arguments, result, output_text, reasoning, tool_calls, new_messages) is not null
    )
), repeats as (
    select trajectory_id,
        first_value(trajectory_id) over (
            partition by task, agent_name, content order by start_time, trajectory_id
        ) as first_id
    from headers join contents using (trajectory_id)
), told as (
    select h.*, case when r.first_id <> h.trajectory_id then r.first_id end as repeats
    from headers h left join repeats r using (trajectory_id)
)
select trajectory_id, task, agent_name, agent_version, start_time, outcome,
    case
        when outcome = 'success' then true
        when outcome in ('failure', 'partial') then false
        when outcome = 'error' and outcome_source = 'builtin' then false
    end as is_success,
    reward,
    case
        when is_derived then 'derived'
        when repeats is not null then 'repeated'
        when outcome_source = 'builtin' then 'unjudged'
        when outcome in ('error', 'unknown') then outcome
    end as left_out,
    repeats
from told"""
"""Over the public views `trajectories` and `steps`."""
