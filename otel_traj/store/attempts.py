"""The view `attempts`: what counts as one try at a task, and why the rest does not; and its errors.

Analyses of success and failure start here, so that all of them count the same runs, and call the
same error the same. What to do about errors of the harness: `infrastructure`.
"""

from __future__ import annotations

from typing import Final

ATTEMPTS: Final = """\
with headers as (
    select trajectory_id, coalesce(task_id, task, user_input) as task, agent_name, agent_version,
        start_time, outcome, outcome_source, reward, n_steps, tools, final_answer,
        coalesce(relation, '') in ('fork', 'replay', 'subagent') as is_derived
    from trajectories
), alike as (
    select trajectory_id from headers
    where not is_derived and n_steps > 0
    qualify count(*) over (partition by task, agent_name, n_steps, tools, final_answer) > 1
), shapes as (
    -- Texts are long to read: only of runs that took the same steps.
    select trajectory_id, hash(list(hash(kind, tool_name) order by step)) as shape
    from steps semi join alike using (trajectory_id)
    group by trajectory_id
), of_one_shape as (
    select trajectory_id from headers join shapes using (trajectory_id)
    qualify count(*) over (partition by task, agent_name, shape) > 1
), contents as (
    -- Steps without content are alike in any two runs: such runs are not known to be the same.
    select trajectory_id,
        hash(list(
            hash(kind, model, tool_name, arguments, result, output_text, reasoning,
                case when kind = 'user' then new_messages end)
            order by step
        )) as content
    from steps semi join of_one_shape using (trajectory_id)
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
), broken as (
    select distinct trajectory_id
    from failed_calls semi join infrastructure using (tool_name, signature)
), told as (
    select h.*, case when r.first_id <> h.trajectory_id then r.first_id end as repeats,
        b.trajectory_id is not null as is_broken
    from headers h
    left join repeats r using (trajectory_id)
    left join broken b using (trajectory_id)
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
        when is_broken then 'error'
        when outcome_source = 'builtin' then 'unjudged'
        when outcome in ('error', 'unknown') then outcome
    end as left_out,
    repeats
from told"""
"""Over the public views `trajectories`, `steps`, `failed_calls` and `infrastructure`."""

# Quotations and words with digits differ from call to call; what is left names the error.
FAILED_CALLS: Final = r"""
select trajectory_id, step, trace_id, span_id, tool_name,
    nullif(trim(left(regexp_replace(
        regexp_replace(
            lower(left(coalesce(error_message, result, nullif(error_type, '_OTHER'), ''), 2000)),
            '"[^"]*"|''[^'']*''|[a-z_]*[0-9]+[a-z0-9_:.-]*', '#', 'g'
        ),
        '[\s[:cntrl:]]+', ' ', 'g'
    ), 120)), '') as signature
from steps
where kind in ('tool', 'handoff') and tool_name is not null and status = 'error'"""
"""Over the public view `steps`."""

# An exception of the host's language or of the way to it that no call of the tool survives: often,
# or in several tasks.
ERROR_CLASSES: Final = """\
with classes as (
    select f.tool_name, f.signature, count(*) as n_calls,
        count(distinct f.trajectory_id) as n_runs,
        count(distinct coalesce(t.task_id, t.task, t.user_input, '')) as n_tasks
    from failed_calls f join trajectories t using (trajectory_id)
    where coalesce(t.relation, '') not in ('fork', 'replay')
    group by f.tool_name, f.signature
), working as (
    select distinct tool_name from steps
    where kind in ('tool', 'handoff') and status = 'ok' and tool_name is not null
)
select c.tool_name, c.signature, c.n_calls, c.n_runs, c.n_tasks,
    i.tool_name is null
        and (c.n_calls >= 20 or (c.n_runs >= 5 and c.n_tasks >= 3))
        and c.tool_name not in (select tool_name from working)
        and coalesce(regexp_matches(
            c.signature,
            'positional argument|keyword argument|has no attribute|is not defined|not callable'
            || '|traceback|no module named|nullpointer|undefined is not|exception in thread'
            || '|connection (?:refused|reset|error|aborted)|econn|timed? ?out|unreachable'
            || '|bad gateway|service unavailable|too many requests|rate limit|quota|certificate'
        ), false) as is_proposed,
    i.tool_name is not null as is_confirmed
from classes c
left join infrastructure i on i.tool_name = c.tool_name and i.signature = c.signature"""
"""Over the public views `failed_calls`, `trajectories`, `steps` and `infrastructure`."""

COMPUTED: Final = {
    "failed_calls": FAILED_CALLS,
    "error_classes": ERROR_CLASSES,
    "attempts": ATTEMPTS,
}
"""Public views that are queries over the others -> the query; in order of what they need."""
