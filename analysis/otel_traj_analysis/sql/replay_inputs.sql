-- name: replay_inputs
-- For each model and tool call the request and the response as recorded, and what is missing to
-- issue the call again.
-- grain: one row per model call or tool execution
-- parameters: trajectory_id (text, default null): only this trajectory, by its whole id
--     newest (int, default 100): at most so many trajectories, as requests are long

with chosen as (
    select trajectory_id
    from steps
    where getvariable('trajectory_id') is null or trajectory_id = getvariable('trajectory_id')
    group by trajectory_id
    qualify
        row_number() over (order by max(start_time) desc nulls last, trajectory_id)
        <= coalesce(getvariable('newest'), 100)
),

calls as (
    select
        trajectory_id,
        step,
        kind,
        agent_path,
        group_id,
        trace_id,
        span_id,
        status,
        error_type,
        error_message,
        provider,
        model,
        response_model,
        tool_name,
        tool_call_id,
        effect,
        arguments,
        new_messages,
        output_text,
        tool_calls,
        finish_reason,
        response_id,
        case when kind = 'llm' then output else result end as response,
        request_hash,
        tools_hash,
        grade,
        grade_reason
    from steps
    where
        kind in ('llm', 'tool')
        and trajectory_id in (select trajectory_id from chosen)
),

-- Several spans may tell of one call. Its request is taken whole from one of them, best the owner:
-- parts of two tellings put together are a request that nobody sent.
tellings as (
    select
        calls.trajectory_id,
        calls.step,
        spans.trace_id,
        spans.span_id,
        spans.system_instructions,
        spans.input_messages,
        spans.tool_definitions,
        spans.temperature,
        spans.top_p,
        spans.attributes,
        row_number() over (
            partition by calls.trajectory_id, calls.step
            order by
                spans.input_messages is null,
                spans.span_id <> calls.span_id,
                spans.start_ns,
                spans.trace_id,
                spans.span_id
        ) as place
    from calls
    join spans on spans.trajectory_id = calls.trajectory_id and spans.step = calls.step
    where calls.kind = 'llm'
)

select
    calls.trajectory_id,  -- the run
    calls.step,  -- number of the step; calls are issued in this order
    calls.kind,  -- llm or tool
    calls.agent_path,  -- invocation that makes the call
    calls.group_id,  -- shared in a parallel group, any order inside; NULL: alone
    calls.trace_id,  -- trace of the span that tells of the call
    calls.span_id,  -- that span
    request.span_id as request_span_id,  -- span the request is from; NULL: tool, or none stored
    calls.provider,  -- provider of the model; NULL: not recorded
    calls.model,  -- model asked for; NULL: not recorded
    calls.response_model,  -- model that answered; NULL: tool, or not recorded
    request.system_instructions,  -- JSON as sent; NULL: none, or told inside the messages
    request.input_messages,  -- all messages sent, JSON as sent; NULL: not told in this form
    calls.new_messages,  -- messages that no earlier step carried, JSON; in every vocabulary
    request.tool_definitions,  -- JSON as sent; NULL: none, or not told in this form
    request.temperature,  -- NULL: the provider's default, or not recorded
    request.top_p,  -- NULL: the provider's default, or not recorded
    try_cast(
        request.attributes ->> '$."gen_ai.request.max_tokens"' as bigint
    ) as max_tokens,  -- limit of the answer, tokens; NULL: none, or not recorded
    try_cast(
        request.attributes ->> '$."gen_ai.request.seed"' as bigint
    ) as seed,  -- NULL: none, or not recorded
    request.attributes as request_attributes,  -- what else it says, JSON: other vocabularies
    calls.tool_name,  -- tool executed; NULL: model call, or not recorded
    calls.tool_call_id,  -- id the model gave the call; NULL: model call, or not recorded
    calls.effect,  -- read and idempotent are safe to issue again; NULL: model call, or not declared
    calls.arguments,  -- arguments of the tool, JSON or text; NULL: model call, or not recorded
    calls.status,  -- ok, error, aborted or open
    calls.error_type,  -- class or code of the error; NULL: none
    calls.error_message,  -- its text; NULL: none
    calls.response,  -- messages of the model's answer or the tool's result; NULL: not recorded
    calls.output_text,  -- text of the model's answer; NULL: tool, or none
    calls.tool_calls,  -- calls that the model asked for, JSON; NULL: tool, or none
    calls.finish_reason,  -- why the model stopped; NULL: tool, or not recorded
    calls.response_id,  -- provider's id of the answer; NULL: tool, or not recorded
    calls.request_hash,  -- hash of the canonical request; NULL: it is not known whole
    calls.grade,  -- A all told, B only the answer, C not whole, D nothing; NULL: not graded
    calls.grade_reason,  -- what is not told, as assembly says it; NULL: grade A, or not graded
    list_filter(
        [
            case when kind = 'llm' and coalesce(model, response_model) is null then 'model' end,
            case
                when kind = 'llm' and coalesce(request.input_messages, new_messages) is null
                    then 'messages'
            end,
            case
                -- Other vocabularies have them under keys such as llm.tools.0, function_tools.
                when
                    tool_calls <> '[]'
                    and coalesce(request.tool_definitions, tools_hash) is null
                    and not regexp_matches(
                        coalesce(request.attributes, ''),
                        '[".\\_](tools|functions|tool_definitions)[".\\]'
                    )
                    then 'tools'
            end,
            case when kind = 'tool' and tool_name is null then 'tool_name' end,
            case when kind = 'tool' and arguments is null then 'arguments' end,
            case
                when status <> 'error' and coalesce(response, output_text, tool_calls) is null
                    then 'response'
            end,
            case
                when status = 'error' and coalesce(error_type, error_message) is null
                    then 'error'
            end,
            case
                when
                    regexp_matches(request.attributes, '"traj\.truncated\.[^"\\]*":')
                    or contains(grade_reason, 'cut off')
                    then 'cut_text'
            end,
            case
                when
                    contains(grade_reason, 'without their content')
                    or contains(grade_reason, 'no content')
                    then 'content'
            end,
            case when contains(grade_reason, 'were dropped') then 'dropped_attributes' end,
            case when contains(grade_reason, 'messages before these') then 'history' end
        ],
        lambda word: word is not null
    ) as missing  -- what would have to be recorded too; empty: nothing that is known of
from calls
left join tellings as request
    on
        request.trajectory_id = calls.trajectory_id
        and request.step = calls.step
        and request.place = 1
order by calls.trajectory_id, calls.step;
