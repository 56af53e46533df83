"""Calls -> rows: steps in order, the header, what the run says of itself."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from otel_traj import semconv
from otel_traj.assembly.actors import acting_in, agent_of
from otel_traj.assembly.asks import ARGUMENTS_OF_ASK
from otel_traj.assembly.calls import Actor, Call
from otel_traj.assembly.ending import Ending, find_ending
from otel_traj.assembly.keys import keys_of
from otel_traj.assembly.requests import Request, read_requests
from otel_traj.assembly.runs import Run
from otel_traj.assembly.said import annotations_of, file_changes_of
from otel_traj.assembly.tree import Node, roots
from otel_traj.dialects.canonical import CANON_VERSION
from otel_traj.dialects.convert import amount, flag, text, texts
from otel_traj.dialects.messages import as_text, calls_to_json, dumps, to_json
from otel_traj.dialects.sampling import share_of
from otel_traj.model import (
    Assembly,
    Effect,
    MergedSpan,
    Repair,
    SpanRecord,
    Step,
    Trajectory,
    TrajectorySpan,
)

DERIVE_VERSION: Final = "1"
"""Raised when the same spans give other rows than before; rows of older versions are re-derived."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(ns: int | None) -> datetime | None:
    """Unix nanoseconds as a UTC time, cut to microseconds; None where Python's calendar ends."""
    if ns is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return None


def to_rows(run: Run, calls: Sequence[Call], *, ids: Ids, is_open: bool) -> Assembly:
    """All rows of one run.

    Args:
        run: Its spans.
        calls: Its calls, complete and in order.
        ids: Its trajectory id and aliases.
        is_open: It still goes on.
    """
    trajectory_id = ids.trajectory_id
    actors = acting_in(calls)
    for index, actor in enumerate(actors):
        actor.index = index
    steps = _steps(trajectory_id, calls, actors)
    top = _top_of(run)
    ending = find_ending(run, calls, top, is_open=is_open)
    step_of = _step_of_spans(calls)
    changes = file_changes_of(trajectory_id, run.nodes, step_of)
    header = _header(ids, run, calls, steps, actors, top, ending)
    object.__setattr__(header, "steps", steps)
    object.__setattr__(header, "file_changes", changes)
    members = tuple(
        TrajectorySpan(
            trajectory_id=trajectory_id,
            trace_id=node.span.trace_id,
            span_id=node.span.span_id,
            step=step_of.get(node.key),
        )
        for node in run.nodes
        if not node.span.is_open
    )
    return Assembly(header, members, annotations_of(trajectory_id, run.nodes))


class Ids:
    """The id of a run: the user's, else the one its traces already have, else made of its root."""

    def __init__(self, run: Run, known: Mapping[str, str], *, is_part_of_trace: bool) -> None:
        top = _top_of(run)
        given = next(
            (
                str(node.span.attributes[semconv.TRAJECTORY_ID])
                for node in run.nodes
                if node.span.attributes.get(semconv.TRAJECTORY_ID)
            ),
            None,
        )
        root = top.span.span_id if not top.is_orphan else (top.span.parent_span_id or "")
        made = hashlib.sha256(f"{run.trace_ids[0]}{root}".encode()).hexdigest()[:20]
        held = [] if is_part_of_trace else [known[t] for t in run.trace_ids if t in known]
        candidates = list(dict.fromkeys([*held, *([given] if given else [made])]))
        self.trajectory_id = candidates[0]
        self.aliases = tuple(candidates[1:])


# --- steps -------------------------------------------------------------------------------------


def _steps(trajectory_id: str, calls: Sequence[Call], actors: Sequence[Actor]) -> tuple[Step, ...]:
    number = {call: index for index, call in enumerate(calls)}
    paths = _agent_paths(actors)
    turns = _turns(calls)
    siblings = Counter(call.asked_by for call in calls if call.asked_by is not None)
    requests = read_requests(calls)
    tools = {c.node: c for c in calls if c.told_by == "span" and c.kind in ("tool", "handoff")}
    steps = []
    for call in calls:
        parent = _cause(call, tools)
        asker = call.asked_by
        told = _step_of_call(call, requests.get(call))
        steps.append(
            Step(
                trajectory_id=trajectory_id,
                step=number[call],
                turn=turns[call],
                parent_step=number[parent] if parent is not None else None,
                agent_run=call.actor.index if call.actor is not None else None,
                agent_path=paths.get(call.actor) if call.actor is not None else None,
                group_id=number[asker] if asker is not None and siblings[asker] > 1 else None,
                **told,
            )
        )
    return tuple(steps)


def _step_of_call(call: Call, request: Request | None) -> dict[str, Any]:
    facts, span = call.facts, call.node.span
    is_own = call.told_by == "span" and call.kind != "user"
    made_up = _made_up(call.node)
    fields: dict[str, Any] = {
        "kind": call.kind,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "merged_spans": _merged_spans(call) if call.merged else (),
        "start_time": time_of(call.start_ns) or _EPOCH,
        "end_time": None if "end_time" in made_up else time_of(call.end_ns),
        "duration_us": _duration(call),
        "start_seq": span.start_seq if is_own and span.attributes else None,
        "status": _status(call),
        "error_type": facts.error_type,
        "error_message": facts.error_message,
        "agent_name": call.actor.name if call.actor and call.actor.name else facts.agent_name,
        "inferred": tuple(dict.fromkeys((*call.inferred, *_lacking_in_source(call)))),
    }
    if call.kind == "llm" and request is not None:
        fields |= _model_columns(call, request)
    elif call.kind in ("tool", "handoff"):
        fields |= _tool_columns(call)
    elif call.kind in ("retrieval", "memory"):
        fields |= {
            "tool_name": facts.tool_name,
            "arguments": as_text(facts.query),
            "result": as_text(facts.documents),
        }
    elif call.kind == "thought":
        fields["tool_name"] = facts.tool_name
    elif call.kind == "user" and request is not None:
        fields["new_messages"] = to_json(request.new)
    if is_own and keys_of(span).tell_of_step:
        fields |= _own_columns(span)
    return fields


def _merged_spans(call: Call) -> tuple[MergedSpan, ...]:
    return tuple(
        MergedSpan(node.span.trace_id, node.span.span_id, rule, confidence)
        for node, rule, confidence in call.merged
    )


def _model_columns(call: Call, request: Request) -> dict[str, Any]:
    facts, hashes = call.facts, request.hashes
    said, asks = facts.output or (), call.asks
    grade, reason = _grade_model_call(call, request)
    return {
        "provider": facts.provider,
        "model": facts.model,
        "response_model": facts.response_model,
        "response_id": facts.response_id,
        "finish_reason": facts.finish_reason,
        "stream": facts.stream,
        "ttft_us": facts.ttft_us,
        "input_tokens": facts.input_tokens,
        "output_tokens": facts.output_tokens,
        "cache_read_tokens": facts.cache_read_tokens,
        "cache_write_tokens": facts.cache_write_tokens,
        "reasoning_tokens": facts.reasoning_tokens,
        "cost_usd": facts.cost_usd,
        "cost_source": "recorded" if facts.cost_usd is not None else None,
        "output_text": _joined(message.text for message in said),
        "reasoning": _joined(message.reasoning for message in said),
        "tool_calls": calls_to_json(asks) if asks else None,
        "new_messages": to_json(request.new) if request.new else None,
        "output": to_json(said) if said else None,
        "request_hash": hashes.request,
        "system_hash": hashes.system,
        "tools_hash": hashes.tools,
        "messages_hash": hashes.messages,
        "params_hash": hashes.params,
        "prefix_hash": hashes.prefix,
        "canon_version": CANON_VERSION if any(hashes) else None,
        "grade": grade,
        "grade_reason": reason,
    }


def _tool_columns(call: Call) -> dict[str, Any]:
    facts = call.facts
    told = facts.arguments is not None, facts.result is not None or facts.failed
    grade, reason = {
        (True, True): ("A", None),
        (False, True): ("B", "arguments are not told"),
        (True, False): ("D", "no result is told"),
        (False, False): ("D", "neither arguments nor result are told"),
    }[told]
    if grade == "A" and (changed := _redacted(call)):
        grade, reason = "C", f"redacted: {', '.join(changed)}"
    columns: dict[str, Any] = {
        "tool_name": facts.tool_name,
        "tool_call_id": facts.tool_call_id,
        "tool_type": facts.tool_type,
        "effect": _effect(call.node),
        "arguments": as_text(facts.arguments),
        "result": as_text(facts.result),
        "model_saw": as_text(call.seen.value) if call.seen is not None else None,
        "grade": grade,
        "grade_reason": reason,
    }
    if call.kind == "handoff":
        columns |= {
            "handoff_from": facts.handoff_from or (call.actor.name if call.actor else None),
            "handoff_to": facts.handoff_to,
            "handoff_mode": call.handoff_mode,
        }
        if columns["result"] is None:
            columns["result"] = columns["model_saw"]
    if call.handoff_mode == "transfer":
        columns["grade"] = columns["grade_reason"] = None  # a replay has nothing to answer
    return columns


def _own_columns(span: SpanRecord) -> dict[str, Any]:
    """What our own API says of a step."""
    attributes = span.attributes
    columns = {
        "reward": amount(attributes.get(semconv.STEP_REWARD)),
        "cumulative_reward": amount(attributes.get(semconv.STEP_CUMULATIVE_REWARD)),
        "done": flag(attributes.get(semconv.STEP_DONE)),
        "test_pass_rate": amount(attributes.get(semconv.STEP_TEST_PASS_RATE)),
        "security_flags": texts(attributes.get(semconv.STEP_SECURITY_FLAGS)) or None,
        "observation": as_text(attributes.get(semconv.STEP_OBSERVATION)),
        "reasoning": text(attributes.get(semconv.STEP_REASONING)),
    }
    justification = attributes.get(semconv.STEP_JUSTIFICATION)
    if justification is not None:
        columns["attributes"] = dumps({semconv.STEP_JUSTIFICATION: justification})
    return {name: value for name, value in columns.items() if value is not None}


def _effect(node: Node) -> Effect | None:
    told = node.span.attributes.get(semconv.TOOL_EFFECT)
    return next((effect for effect in get_args(Effect) if effect == told), None)


def _grade_model_call(call: Call, request: Request) -> tuple[str, str | None]:
    """How far this call can be replayed: A all told, B only the answer, C not whole, D nothing."""
    facts = call.facts
    asked, answer = facts.input or (), facts.output or ()
    is_answered = bool(answer) or bool(facts.failed)  # an error is an answer
    if not is_answered:
        return "D", "the answer is not told"
    if all(message.is_hollow for message in asked):
        is_told = any(message.has_content for message in answer)
        return ("B", "the request is not told") if is_told else ("D", "no content is told")
    lacking = "; ".join(_lacking(call, request))
    return ("C", lacking) if lacking else ("A", None)


def _lacking(call: Call, request: Request) -> Iterable[str]:
    """What of a request and its answer is not told, though most is."""
    facts = call.facts
    if facts.cut_keys:
        yield f"cut off: {', '.join(facts.cut_keys)}"
    elif hollow := sum(m.is_hollow for m in (*(facts.input or ()), *(facts.output or ()))):
        yield f"messages without their content: {hollow}"
    if changed := _redacted(call):
        yield f"redacted: {', '.join(changed)}"
    if dropped := call.node.span.dropped_attributes:
        yield f"attributes that were dropped: {dropped}"
    if facts.model is None and facts.response_model is None:
        yield "the model is not told"
    if request.lacks_tools:
        yield "tool definitions are not told"
    if request.lacks_history:
        yield "the messages before these are not told"


def _redacted(call: Call) -> list[str]:
    """Attributes of a call's spans and logs that do not hold what was said (`otel_traj.redaction`).

    What the model was sent and the tool gave cannot be had from them any more.
    """
    nodes = [call.node, *(node for node, _, _ in call.merged)]
    if call.asked_by is not None and ARGUMENTS_OF_ASK in call.inferred:
        nodes.append(call.asked_by.node)
    return sorted({key for node in nodes for key in _redacted_of(node)})


def _redacted_of(node: Node) -> tuple[str, ...]:
    told = [node.span.attributes, *(log.attributes for log in node.logs)]
    return tuple(
        key
        for attributes in told
        if semconv.REDACTED in attributes
        for key in texts(attributes[semconv.REDACTED])
    )


def _made_up(node: Node) -> tuple[str, ...]:
    """What the source of a span lacked, and who wrote the span made up or concluded."""
    own = node.span.attributes
    return texts(own[semconv.REPAIRED]) if semconv.REPAIRED in own else ()


_TIMES: Final = ("start_time", "end_time")


def _lacking_in_source(call: Call) -> Iterable[str]:
    """What of a step its span tells although its source did not."""
    is_own = call.told_by == "span" and call.kind != "user"
    for name in _made_up(call.node):
        if name == "start_time":
            yield "start_time: order in the source"
        elif is_own and name not in (*_TIMES, "trace_id", "span_id"):
            yield f"{name}: the importer"


def _duration(call: Call) -> int | None:
    span = call.node.span
    if call.told_by == "messages" or call.kind == "user" or span.end_ns is None:
        return None
    if not set(_TIMES).isdisjoint(_made_up(call.node)):
        return None
    # A clock that ran backwards tells no duration.
    return (span.end_ns - span.start_ns) // 1000 if span.end_ns >= span.start_ns else None


def _status(call: Call) -> str:
    if call.told_by == "span" and call.kind != "user" and call.node.span.is_open:
        return "open"
    return "error" if call.facts.failed else "ok"


def _joined(texts: Iterable[str | None]) -> str | None:
    return "\n".join(text for text in texts if text) or None


def _agent_paths(actors: Sequence[Actor]) -> dict[Actor, str]:
    """`root.0/researcher.1`: who was invoked by whom, with the index of each invocation."""
    paths: dict[Actor, str] = {}
    for actor in actors:
        own = f"{actor.name or 'root'}.{actor.index}"
        above = paths.get(actor.above) if actor.above is not None else None
        paths[actor] = f"{above}/{own}" if above else own
    return paths


def _turns(calls: Sequence[Call]) -> dict[Call, int | None]:
    """A turn begins with each model call; what it asked for is part of it, however late."""
    turns: dict[Call, int | None] = {}
    now: dict[Actor | None, int] = {}
    begun = 0
    for call in calls:
        if call.kind == "llm":
            turns[call] = now[call.actor] = begun
            begun += 1
        elif call.kind == "user":
            turns[call] = begun
        elif call.asked_by is not None:
            turns[call] = turns[call.asked_by]
        else:
            turns[call] = now.get(call.actor, begun - 1 if begun else None)
    return turns


def _cause(call: Call, tools: Mapping[Node, Call]) -> Call | None:
    """The step a step comes from: the call that asked, or the delegation it runs in."""
    if call.asked_by is not None:
        return call.asked_by
    if call.kind == "user":
        return None
    return next(
        (
            tools[above]
            for above in call.node.ancestors()
            if above in tools and tools[above].order < call.order
        ),
        None,
    )


# --- header ------------------------------------------------------------------------------------


def _top_of(run: Run) -> Node:
    """The root that tells most of the run: our own span, an agent or workflow, else the first."""
    tops = roots(run.nodes)
    candidates = [
        next((n for n in run.nodes if semconv.TASK in n.span.attributes), None),
        next((n for n in tops if n.facts.kind in ("agent", "workflow")), None),
        next((n for n in tops if n.children), None),
    ]
    return next((node for node in candidates if node is not None), run.nodes[0])


def _header(
    ids: Ids,
    run: Run,
    calls: Sequence[Call],
    steps: Sequence[Step],
    actors: Sequence[Actor],
    top: Node,
    ending: Ending,
) -> Trajectory:
    own = top.span.attributes
    ended = [node.end_ns for node in run.nodes if not node.span.is_open]
    start = min(node.start_ns for node in run.nodes)
    end = None if ending.status == "open" else max(ended, default=None)
    made_up = _made_up(top)
    is_timed = set(_TIMES).isdisjoint(made_up)
    llms = [step for step in steps if step.kind == "llm"]
    repairs = _repairs(run, calls)
    n_redacted = sum(len(_redacted_of(node)) for node in run.nodes)
    agents = tuple(dict.fromkeys(actor.name for actor in actors if actor.name))
    metadata = {
        key[len(semconv.METADATA_PREFIX) :]: value
        for key, value in own.items()
        if key.startswith(semconv.METADATA_PREFIX)
    }
    return Trajectory(
        trajectory_id=ids.trajectory_id,
        aliases=ids.aliases,
        trace_ids=tuple(run.trace_ids),
        root_span_id=top.span.span_id if not top.is_orphan else None,
        parent_trajectory_id=text(own.get(semconv.PARENT_TRAJECTORY_ID)),
        relation=_one_of(own.get(semconv.RELATION), ("fork", "replay", "revision", "subagent")),
        generation=_integer(own.get(semconv.GENERATION)),
        operator=text(own.get(semconv.OPERATOR)),
        task_id=text(own.get(semconv.TASK_ID)),
        task=text(own.get(semconv.TASK)),
        user_input=ending.user_input,
        final_answer=ending.final_answer,
        agent_name=_agent_name(top, agents),
        agent_id=_first(run, "agent_id"),
        agent_version=_first(run, "agent_version"),
        agents=agents,
        service=text(top.span.resource.get(semconv.SERVICE_NAME)),
        variant_id=text(own.get(semconv.VARIANT_ID)),
        prompt_version=text(own.get(semconv.PROMPT_VERSION)),
        guideline_ids=texts(own.get(semconv.GUIDELINE_IDS)),
        arm=text(own.get(semconv.ARM)),
        conversation_id=_first(run, "conversation_id"),
        session_id=_first(run, "session_id"),
        user_id=_first(run, "user_id"),
        start_time=time_of(start) or _EPOCH,
        end_time=None if "end_time" in made_up else time_of(end),
        duration_us=(end - start) // 1000 if end is not None and is_timed else None,
        status=ending.status,
        error_type=ending.error_type,
        error_message=ending.error_message,
        error_category=text(own.get(semconv.ERROR_CATEGORY)),
        failure_rationale=text(own.get(semconv.FAILURE_RATIONALE)),
        fix_applied=text(own.get(semconv.FIX_APPLIED)),
        n_spans=sum(not node.span.is_open for node in run.nodes),
        n_steps=len(steps),
        n_turns=len(llms),
        n_llm=len(llms),
        n_tools=sum(step.kind == "tool" for step in steps),
        n_handoffs=sum(step.kind == "handoff" for step in steps),
        n_errors=sum(step.status == "error" for step in steps),
        n_llm_errors=sum(step.status == "error" for step in llms),
        n_open=sum(node.span.is_open for node in run.nodes),
        input_tokens=_sum(step.input_tokens for step in llms),
        output_tokens=_sum(step.output_tokens for step in llms),
        cache_read_tokens=_sum(step.cache_read_tokens for step in llms),
        cache_write_tokens=_sum(step.cache_write_tokens for step in llms),
        reasoning_tokens=_sum(step.reasoning_tokens for step in llms),
        models=_distinct(step.response_model or step.model for step in llms),
        tools=tuple(s.tool_name for s in steps if s.kind == "tool" and s.tool_name),
        dialects=_distinct(d for node in run.nodes for d in node.facts.dialects),
        n_duplicates=sum(len(call.merged) for call in calls),
        n_orphans=sum(node.is_orphan for node in run.nodes),
        n_truncated=_truncated(run),
        n_missing_content=sum(step.grade == "D" for step in steps),
        n_dropped_attributes=sum(node.span.dropped_attributes for node in run.nodes),
        repairs=repairs,
        stitch_confidence=min((c for _, c in run.rules), default=None),
        grade=_grade(steps),
        sampling_rate=_sampling_rate(run),
        complete=ending.status != "open",
        derive_version=DERIVE_VERSION,
        initial_state=as_text(own.get(semconv.INITIAL_STATE)),
        metadata=dumps(metadata) if metadata else None,
        attributes=dumps({semconv.REDACTED: n_redacted}) if n_redacted else None,
    )


def _agent_name(top: Node, agents: Sequence[str]) -> str | None:
    """The outermost agent that does something; one that does nothing is only a label."""
    name = agent_of(top)
    return agents[0] if agents and name not in agents else name


def _repairs(run: Run, calls: Sequence[Call]) -> tuple[Repair, ...]:
    """What was concluded rather than read, by rule."""
    found = [(f"stitched: {rule}", confidence) for rule, confidence in run.rules]
    found += [(f"left apart: {rule}", 0.5) for rule in run.apart]
    for call in calls:
        found += [(f"merged: {rule}", confidence) for _, rule, confidence in call.merged]
        found += [(rule, 0.9) for rule in dict.fromkeys(call.inferred)]
    for node in run.nodes:
        if node.is_orphan:
            found.append(("orphan span", 0.8))
        if node.span.end_ns is not None and node.span.end_ns < node.span.start_ns:
            found.append(("clock ran backwards", 1.0))
        if not {"trace_id", "span_id"}.isdisjoint(_made_up(node)):
            found.append(("ids made from content", 1.0))
    counts = Counter(rule for rule, _ in found)
    return tuple(
        Repair(rule, n, min(c for r, c in found if r == rule)) for rule, n in sorted(counts.items())
    )


def _truncated(run: Run) -> int:
    """Values that were cut: by us (they say so) or by an SDK limit (their JSON ends too early)."""
    return sum(len(node.facts.cut_keys) + keys_of(node.span).n_truncated for node in run.nodes)


def _grade(steps: Sequence[Step]) -> Any:
    """The worst grade of a step; None without gradable steps."""
    return max((step.grade for step in steps if step.grade), default=None)


def _sampling_rate(run: Run) -> float | None:
    """The least share that a span tells: a run is whole where all of its spans were kept."""
    shares = (share_of(node.span) for node in run.nodes)
    return min((share for share in shares if share is not None), default=None)


def _step_of_spans(calls: Sequence[Call]) -> dict[tuple[str, str], int]:
    """(trace, span) -> the step that it tells; owners before merged spans."""
    step_of: dict[tuple[str, str], int] = {}
    for number, call in enumerate(calls):
        if call.told_by == "span" and call.kind != "user":
            step_of[call.node.key] = number
    for number, call in enumerate(calls):
        for node, _, _ in call.merged:
            step_of.setdefault(node.key, number)
    return step_of


def _first(run: Run, fact: str) -> str | None:
    return next((v for node in run.nodes if (v := getattr(node.facts, fact))), None)


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum of what is known; None when nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _distinct(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _one_of(value: Any, allowed: tuple[str, ...]) -> Any:
    return value if value in allowed else None
