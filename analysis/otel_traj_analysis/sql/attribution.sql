-- name: attribution
-- Where runs went wrong: the step that is most likely the mistake and the agent that took it, told
-- by rules over errors, repetitions, hand-overs and what was said; then the next suspects.
-- grain: one row per run and suspected step, the likeliest first; one row without a step for a run
--     of which no rule can tell
-- units: one run that failed; forks and replays are left out, errors of the harness are nobody's
-- parameters: every_run (bool, default false): runs that did not fail too
--     top (int, default 3): suspected steps per run
--     min_loop (int, default 3): times that make the same act with the same result a loop
--     min_stretch (int, default 5): calls without progress that make a stretch
--     trajectory_id (text, default null): only this trajectory, by its whole id

-- How often a rule points to the step and to the agent at fault: docs/attribution.md says which are
-- measured. MAST and TRAIL are published taxonomies of what agents do wrong.
with rules as (
    from (values
        (
            'task_dropped', 'task', '2.3 Task derailment',
            'Goal Deviation', 0.9::double, 0.95::double
        ),
        ('timed_out', 'timeout', null, 'Timeout Issues', 0.6, 0.6),
        ('cut_off_output', 'format', null, 'Formatting Errors', 0.55, 0.55),
        ('failed_inference', 'error', null, 'Service Errors', 0.55, 0.55),
        ('call_timed_out', 'timeout', null, 'Timeout Issues', 0.5, 0.7),
        ('call_contended', 'contention', null, 'Task Orchestration', 0.5, 0.7),
        ('call_malformed', 'format', null, 'Formatting Errors', 0.5, 0.7),
        ('call_failed', 'error', null, null, 0.5, 0.7),
        (
            'lost_update', 'contention', '2.4 Information withholding',
            'Task Orchestration', 0.5, 0.5
        ),
        (
            'unanswered_handoff', 'handoff', '2.5 Ignored other agent''s input',
            'Task Orchestration', 0.5, 0.5
        ),
        ('new_claims', 'claim', '3.2 No or incomplete verification', 'Language-only', 0.45, 0.6),
        (
            'early_conclusion', 'claim', '3.1 Premature termination',
            'Instruction Non-compliance', 0.4, 0.65
        ),
        (
            'first_answer', 'claim', '3.2 No or incomplete verification',
            'Poor Information Retrieval', 0.35, 0.6
        ),
        ('broken_off', 'error', null, 'Service Errors', 0.3, 0.65),
        ('corrected', 'claim', '3.3 Incorrect verification', 'Language-only', 0.3, 0.3),
        ('ignored_error', 'error', null, 'Tool Output Misinterpretation', 0.3, 0.3),
        (
            'lost_context', 'context', '1.4 Loss of conversation history',
            'Context Handling Failures', 0.25, 0.25
        ),
        ('loop', 'loop', '1.3 Step repetition', 'Resource Abuse', 0.25, 0.25),
        ('no_progress', 'loop', '1.5 Unaware of termination conditions', 'Resource Abuse', 0.2, 0.2)
    ) as names(rule, mode, mast, trail, score, agent_score)
),

runs as (
    select
        trajectory_id,
        status,
        start_time,
        list_distinct(
            regexp_extract_all(lower(coalesce(task, user_input)), '[[:alnum:]]{4,}')
        ) as words
    from trajectories
    where
        coalesce(relation, '') not in ('fork', 'replay')
        and (
            outcome in ('failure', 'partial', 'error')
            or coalesce(getvariable('every_run'), false)
        )
        and (getvariable('trajectory_id') is null or trajectory_id = getvariable('trajectory_id'))
),

told as (
    select
        steps.trajectory_id,
        steps.step,
        steps.turn,
        steps.agent_run,
        steps.agent_name,
        steps.kind,
        steps.kind in ('llm', 'thought', 'handoff') as is_move,
        steps.status,
        steps.tool_name,
        steps.arguments,
        steps.result,
        steps.handoff_to,
        -- A call of a tool belongs to the move that decided on it: the last one of its turn.
        coalesce(
            max(steps.step) filter (where is_move) over (
                partition by steps.trajectory_id, steps.turn order by steps.step
            ),
            steps.step
        ) as decision,
        lower(steps.finish_reason) in ('length', 'max_tokens') as is_cut_off,
        steps.input_tokens,
        steps.new_messages as heard,
        case
            when steps.kind = 'handoff' then steps.arguments
            when steps.kind in ('llm', 'thought')
                then concat_ws(
                    ' ',
                    steps.reasoning,
                    steps.output_text,
                    array_to_string(json_extract_string(steps.tool_calls, '$[*].arguments'), ' ')
                )
            else coalesce(steps.result, steps.model_saw, steps.error_message)
        end as text
    from steps
    semi join runs on runs.trajectory_id = steps.trajectory_id
),

moves as (
    select
        trajectory_id,
        step,
        kind,
        agent_name,
        status,
        result,
        handoff_to,
        is_cut_off,
        input_tokens,
        text,
        row_number() over run as place,
        first_value(agent_name) over run as opener,
        lag(agent_name) over run as previous_agent,
        lead(agent_name) over run as next_agent,
        lag(step) over run as previous_step,
        lag(input_tokens) over invocation as previous_tokens,
        min(agent_name) over whole <> max(agent_name) over whole as is_of_several
    from told
    where is_move
    window
        run as (partition by trajectory_id order by step),
        invocation as (partition by trajectory_id, agent_run order by step),
        whole as (partition by trajectory_id)
),

failures as (
    select
        told.trajectory_id,
        told.step,
        told.decision,
        told.tool_name,
        case
            when regexp_matches(failed_calls.signature, 'time[d -]*out|deadline exceeded')
                then 'call_timed_out'
            when regexp_matches(failed_calls.signature, 'lock|conflict|busy|concurrent')
                then 'call_contended'
            when
                regexp_matches(
                    failed_calls.signature,
                    'json|pars(e|ing)|syntax|schema|validation|malformed|argument|unexpected'
                )
                then 'call_malformed'
            else 'call_failed'
        end as rule
    from told
    join failed_calls
        on failed_calls.trajectory_id = told.trajectory_id and failed_calls.step = told.step
    left join error_classes
        on
            error_classes.tool_name = failed_calls.tool_name
            and error_classes.signature = failed_calls.signature
    where not coalesce(error_classes.is_proposed or error_classes.is_confirmed, false)
),

-- A coordinator opens the run; all others are asked by it and answer it; and it thinks before it
-- asks, so it takes two moves in a row.
coordinated as (
    select
        trajectory_id,
        any_value(opener) as coordinator,
        min(step) filter (where agent_name <> opener) as first_answer,
        max(step) filter (where agent_name <> opener) as last_answer
    from moves
    group by trajectory_id
    having
        any_value(is_of_several)
        and not bool_or(
            next_agent <> agent_name
            and opener <> next_agent
            and (opener <> agent_name or previous_agent is distinct from opener)
        )
),

ends as (
    select
        told.trajectory_id,
        max(told.step) as step,
        arg_max(told.agent_name, told.step) as agent_name,
        any_value(runs.status) as status,
        any_value(runs.status) <> 'completed'
        or coalesce(regexp_matches(
            arg_max(told.text, told.step),
            '(?i)traceback \(most recent|\btimed? ?out\b'
            || '|\b(max|maximum|limit|budget|quota)\b.* (reached|exceeded)\b'
        ), false) as is_cut_off
    from told
    join runs on runs.trajectory_id = told.trajectory_id
    group by told.trajectory_id
),

-- Figures and names, each where it is told first: what a move brings in that nobody told before.
first_told as (
    select
        trajectory_id,
        word,
        min(step) as step
    from (
        select
            trajectory_id,
            step,
            unnest(
                regexp_extract_all(text, '\b(?:\d[\d,.]*\d|\d|[A-Z][[:alnum:]]{2,})\b')
            ) as word
        from (
            select trajectory_id, step, text
            from told
            union all
            -- What a move hears comes before what it says.
            select trajectory_id, step - 0.5, heard
            from told
        )
    )
    group by trajectory_id, word
),

claims as (
    select
        moves.trajectory_id,
        moves.step,
        count(*) as n_words
    from first_told
    join moves on moves.trajectory_id = first_told.trajectory_id and moves.step = first_told.step
    -- The opening of several agents hands the task round.
    where moves.place > 1 or not moves.is_of_several
    group by moves.trajectory_id, moves.step
    having count(*) >= 3
),

contents as (
    select
        trajectory_id,
        step,
        decision,
        kind,
        status,
        hash(kind, agent_name, tool_name, arguments, status, text) as content,
        -- Short texts repeat by themselves.
        text is not null
        and case when kind = 'tool' then arguments is not null else len(text) >= 80 end as is_told
    from told
    where is_move or kind = 'tool'
),

repetitions as (
    select
        trajectory_id,
        step,
        decision,
        kind,
        content,
        is_told,
        status = 'error' as is_failed,
        row_number() over (partition by trajectory_id, content order by step) as nth,
        count(*) over (partition by trajectory_id, content) as n_same
    from contents
),

-- Calls that bring nothing new are of one stretch when the same number of others came before.
stretches as (
    select
        trajectory_id,
        step,
        decision,
        is_failed or (is_told and nth > 1) as is_stuck,
        count(*) filter (where not is_stuck) over (
            partition by trajectory_id order by step
        ) as stretch
    from repetitions
    where kind = 'tool'
),

overwritten as (
    select
        told.trajectory_id,
        told.step,
        told.decision,
        told.agent_run,
        file_changes.sha256_before,
        lag(told.step) over file as previous_step,
        lag(told.agent_run) over file as previous_run,
        lag(file_changes.sha256_after) over file as sha256_left
    from told
    join file_changes
        on file_changes.trajectory_id = told.trajectory_id and file_changes.step = told.step
    window file as (partition by told.trajectory_id, file_changes.path order by told.step)
),

findings as (
    select
        moves.trajectory_id,
        'task_dropped' as rule,
        moves.step,
        [moves.step] as evidence
    from moves
    join runs on runs.trajectory_id = moves.trajectory_id
    where
        moves.place = 1
        and moves.is_of_several
        and len(runs.words) >= 5
        and len(moves.text) >= 400
        and len(
            list_intersect(runs.words, regexp_extract_all(lower(moves.text), '[[:alnum:]]{4,}'))
        ) / len(runs.words) < 0.3
    union all
    select trajectory_id, 'timed_out', step, [step]
    from ends
    where status = 'timeout'
    union all
    select trajectory_id, 'cut_off_output', step, [step]
    from moves
    where is_cut_off
    union all
    select trajectory_id, 'failed_inference', step, [step]
    from moves
    where kind = 'llm' and status = 'error'
    union all
    select trajectory_id, arg_min(rule, step), arg_min(decision, step), [min(step)]
    from failures
    group by trajectory_id
    union all
    select trajectory_id, 'lost_update', decision, [previous_step, step]
    from overwritten
    where agent_run <> previous_run and sha256_before <> sha256_left
    union all
    select moves.trajectory_id, 'unanswered_handoff', moves.step, [moves.step]
    from moves
    where
        moves.kind = 'handoff'
        and moves.handoff_to is not null
        and moves.result is null
        and not exists (
            from told
            where
                told.trajectory_id = moves.trajectory_id
                and told.step > moves.step
                and told.agent_name = moves.handoff_to
        )
    union all
    select trajectory_id, 'new_claims', arg_max(step, (n_words, -step)), []
    from claims
    anti join coordinated on coordinated.trajectory_id = claims.trajectory_id
    group by trajectory_id
    union all
    select coordinated.trajectory_id, 'early_conclusion', min(moves.step), [any_value(ends.step)]
    from coordinated
    join ends on ends.trajectory_id = coordinated.trajectory_id
    join moves
        on
            moves.trajectory_id = coordinated.trajectory_id
            and moves.step > coordinated.last_answer
    where ends.agent_name = coordinated.coordinator and not ends.is_cut_off
    group by coordinated.trajectory_id
    union all
    select trajectory_id, 'first_answer', first_answer, []
    from coordinated
    union all
    select ends.trajectory_id, 'broken_off', ends.step, [ends.step]
    from ends
    join moves on moves.trajectory_id = ends.trajectory_id and moves.step = ends.step
    left join coordinated on coordinated.trajectory_id = ends.trajectory_id
    where ends.is_cut_off and moves.agent_name is distinct from coordinated.coordinator
    union all
    select trajectory_id, 'corrected', previous_step, [step]
    from moves
    where
        previous_step is not null
        and regexp_matches(
            text,
            '(?i)\b(was|were|is|are) (incorrect|wrong|mistaken)\b|\bmade an? (mistake|error)\b'
            || '|\bcorrection:|\bapologi[sz]e\b'
        )
    union all
    select failures.trajectory_id, 'ignored_error', min(moves.step), [failures.step]
    from failures
    join moves on moves.trajectory_id = failures.trajectory_id and moves.step > failures.step
    where
        not exists (
            from told
            where
                told.trajectory_id = failures.trajectory_id
                and told.step > failures.step
                and told.tool_name = failures.tool_name
        )
    group by failures.trajectory_id, failures.step
    union all
    select trajectory_id, 'lost_context', step, [step]
    from moves
    where input_tokens / previous_tokens < 0.5
    union all
    select
        trajectory_id,
        'loop',
        any_value(decision) filter (where nth = 2),
        list(step order by step)
    from repetitions
    where is_told and n_same >= coalesce(getvariable('min_loop'), 3)
    group by trajectory_id, content
    union all
    select trajectory_id, 'no_progress', arg_min(decision, step), list(step order by step)
    from stretches
    where is_stuck
    group by trajectory_id, stretch
    having count(*) >= coalesce(getvariable('min_stretch'), 5)
),

suspects as (
    select
        findings.trajectory_id,
        findings.step,
        arg_max(rules.rule, (rules.score, rules.rule)) as rule,
        max(rules.score) as score,
        list_sort(list_distinct(list(findings.rule))) as rules,
        list_distinct(flatten(list(findings.evidence)) || [findings.step]) as evidence
    from findings
    join rules on rules.rule = findings.rule
    group by findings.trajectory_id, findings.step
),

ranked as (
    select
        trajectory_id,
        step,
        rule,
        score,
        rules,
        evidence,
        row_number() over (partition by trajectory_id order by score desc, step) as rank
    from suspects
),

-- Who is asked apart from where: an agent may be known better than its step.
at_fault as (
    select
        findings.trajectory_id,
        arg_max(told.agent_name, (rules.agent_score, -findings.step)) as agent_name
    from findings
    join rules on rules.rule = findings.rule
    join told on told.trajectory_id = findings.trajectory_id and told.step = findings.step
    group by findings.trajectory_id
),

-- A loop may be long: its first steps tell it.
shown as (
    select
        steps.trajectory_id,
        ranked.step as suspect,
        list(
            {'step': steps.step, 'trace_id': steps.trace_id, 'span_id': steps.span_id}
            order by steps.step
        ) as spans
    from ranked
    join steps
        on
            steps.trajectory_id = ranked.trajectory_id
            and list_contains(list_sort(ranked.evidence)[:10], steps.step)
    group by steps.trajectory_id, ranked.step
)

select
    runs.trajectory_id,  -- the run
    ranked.rank as rank,  -- 1: the likeliest; NULL: no rule can tell
    at_fault.agent_name as at_fault,  -- agent that is likeliest to have made the mistake
    ranked.step as step,  -- step that is suspected
    told.agent_name as agent_name,  -- agent that took it; NULL: no agent is named
    rules.rule as rule,  -- the strongest rule that points to it
    rules.mode as mode,  -- task, claim, error, timeout, format, contention, handoff, context, loop
    rules.mast as mast,  -- failure mode in MAST; NULL: it has none for this
    rules.trail as trail,  -- category in TRAIL; NULL: it has none for this
    ranked.score as score,  -- of the rule, in [0, 1]: how often it points to the mistake
    ranked.rules as rules,  -- all rules that point to the step, by name
    shown.spans as spans  -- up to 10 steps that show it, with trace and span, in order
from runs
left join ranked
    on
        ranked.trajectory_id = runs.trajectory_id
        and ranked.rank <= coalesce(getvariable('top'), 3)
left join rules on rules.rule = ranked.rule
left join at_fault on at_fault.trajectory_id = runs.trajectory_id
left join told on told.trajectory_id = ranked.trajectory_id and told.step = ranked.step
left join shown on shown.trajectory_id = ranked.trajectory_id and shown.suspect = ranked.step
order by runs.start_time desc, runs.trajectory_id, rank;
