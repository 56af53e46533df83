-- name: coverage
-- What recordings do not tell, and what to record to know more.
-- grain: one row per agent of the run and thing that can be told
-- units: one run, or one step of it, as `of` says; forks and replays are left out
-- parameters: agent (text, default null): only runs of this agent

with runs as (
    select
        trajectory_id,
        agent_name,
        task_id,
        task,
        outcome_source,
        agent_version,
        duration_us,
        status
    from trajectories
    where
        coalesce(relation, '') not in ('fork', 'replay')
        and (getvariable('agent') is null or agent_name = getvariable('agent'))
),

of_runs as (
    select
        agent_name,
        count(*) as n_runs,
        count(*) filter (where outcome_source <> 'builtin') as n_judged,
        count(*) filter (where coalesce(task_id, task) is not null) as n_task,
        count(agent_version) as n_version,
        count(*) filter (where status <> 'open') as n_ended,
        count(duration_us) filter (where status <> 'open') as n_timed
    from runs
    group by agent_name
),

of_steps as (
    select
        runs.agent_name,
        count(*) filter (where steps.kind = 'llm') as n_llm,
        count(*) filter (where steps.kind = 'tool') as n_tools,
        count(coalesce(steps.new_messages, steps.output_text, steps.tool_calls))
            filter (where steps.kind = 'llm') as n_messages,
        count(steps.input_tokens) filter (where steps.kind = 'llm') as n_tokens,
        count(steps.cost_usd) filter (where steps.kind = 'llm') as n_cost,
        count(coalesce(steps.model, steps.response_model)) filter (where steps.kind = 'llm')
            as n_model,
        count(steps.reasoning) filter (where steps.kind = 'llm') as n_reasoning,
        count(steps.arguments) filter (where steps.kind = 'tool') as n_arguments,
        count(coalesce(steps.result, steps.model_saw, steps.error_message))
            filter (where steps.kind = 'tool') as n_result,
        count(*) filter (where steps.kind = 'tool' and steps.effect <> 'unknown') as n_effect
    from steps
    join runs on runs.trajectory_id = steps.trajectory_id
    group by runs.agent_name
),

-- Whose fault an error is that looks like the harness's is told once it is confirmed.
of_errors as (
    select
        runs.agent_name,
        count(*) filter (where error_classes.is_confirmed or error_classes.is_proposed) as n_harness,
        count(*) filter (where error_classes.is_confirmed) as n_confirmed
    from failed_calls
    join runs on runs.trajectory_id = failed_calls.trajectory_id
    join error_classes
        on
            error_classes.tool_name = failed_calls.tool_name
            and error_classes.signature = failed_calls.signature
    group by runs.agent_name
),

counted as (
    select
        of_runs.agent_name,
        of_runs.n_runs,
        of_runs.n_judged,
        of_runs.n_task,
        of_runs.n_version,
        of_runs.n_ended,
        of_runs.n_timed,
        of_steps.n_llm,
        of_steps.n_tools,
        of_steps.n_messages,
        of_steps.n_tokens,
        of_steps.n_cost,
        of_steps.n_model,
        of_steps.n_reasoning,
        of_steps.n_arguments,
        of_steps.n_result,
        of_steps.n_effect,
        of_errors.n_harness,
        of_errors.n_confirmed
    from of_runs
    left join of_steps on of_steps.agent_name is not distinct from of_runs.agent_name
    left join of_errors on of_errors.agent_name is not distinct from of_runs.agent_name
),

told as (
    select
        agent_name,
        unnest([
            {'what': 'outcome', 'of': 'run', 'n': n_runs, 'n_told': n_judged},
            {'what': 'task', 'of': 'run', 'n': n_runs, 'n_told': n_task},
            {'what': 'agent version', 'of': 'run', 'n': n_runs, 'n_told': n_version},
            {'what': 'duration', 'of': 'ended run', 'n': n_ended, 'n_told': n_timed},
            {'what': 'messages', 'of': 'model call', 'n': n_llm, 'n_told': n_messages},
            {'what': 'model', 'of': 'model call', 'n': n_llm, 'n_told': n_model},
            {'what': 'tokens', 'of': 'model call', 'n': n_llm, 'n_told': n_tokens},
            {'what': 'cost', 'of': 'model call', 'n': n_llm, 'n_told': n_cost},
            {'what': 'reasoning', 'of': 'model call', 'n': n_llm, 'n_told': n_reasoning},
            {'what': 'arguments', 'of': 'tool call', 'n': n_tools, 'n_told': n_arguments},
            {'what': 'result', 'of': 'tool call', 'n': n_tools, 'n_told': n_result},
            {'what': 'effect', 'of': 'tool call', 'n': n_tools, 'n_told': n_effect},
            {'what': 'fault', 'of': 'failed call', 'n': n_harness, 'n_told': n_confirmed}
        ]) as thing
    from counted
),

advice as (
    select
        what,
        remedy
    from (
        values
        ('outcome', 'run.outcome(...), an evaluation, or a rule in rules.toml; else no rate'),
        ('task', 'trajectory(task, task_id=...): tries at one task are compared by it'),
        ('agent version', 'gen_ai.agent.version: versions are compared by it'),
        ('duration', 'spans with a start and an end'),
        ('messages', 'turn on content capture of the instrumentation'),
        ('model', 'gen_ai.request.model'),
        ('tokens', 'gen_ai.usage.input_tokens; in streams ask the provider for usage'),
        ('cost', 'a price in prices.toml for models that no price list knows'),
        ('reasoning', 'a model and an instrumentation that tell it; many do not'),
        ('arguments', 'turn on content capture of the instrumentation'),
        ('result', 'turn on content capture, or wrap the tool with otel_traj.tool'),
        ('effect', 'otel_traj.tool(effect=...): read, idempotent or effect'),
        ('fault', 'otel-traj annotate --infrastructure lists and confirms such errors')
    ) as remedies(what, remedy)
)

select
    told.agent_name,  -- agent at the top of the run; NULL: no agent is named
    told.thing.what as what,  -- what can be told
    told.thing.of as of,  -- of what: run, ended run, model call, tool call or failed call
    told.thing.n as n,  -- how many there are
    told.thing.n_told as n_told,  -- those of which it is told
    told.thing.n_told / told.thing.n as share,  -- in [0, 1]
    case when told.thing.n_told < told.thing.n then advice.remedy end as remedy  -- NULL: all told
from told
join advice on advice.what = told.thing.what
where told.thing.n > 0
order by told.agent_name nulls last, share, told.thing.what;
