"""Results of tau2-bench: `{"info", "tasks", "simulations"}`, or simulations one by one.

A simulation is the run of an agent against a simulated user. What the user's side tells of itself
(its model's responses, its own tools) is kept in events of the run: it is not the agent's doing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from otel_traj import semconv
from otel_traj.importers.conversation import Conversation
from otel_traj.importers.parts import Records
from otel_traj.importers.times import iso_ns
from otel_traj.importers.transcript import Times, Transcript, rest

NAME: Final = "tau2-bench results"

_NOT_THE_AGENTS_FAULT: Final = frozenset({"user_error", "infrastructure_error", "unexpected_error"})
_NORMAL_ENDS: Final = frozenset({"user_stop", "agent_stop"})

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """A whole file, the part of one that lists tasks, or a simulation by itself or in a frame."""
    if _is_simulation(value) or _is_simulation(value.get("simulation")):
        return True
    return isinstance(value.get("tasks"), list) and isinstance(value.get("info"), Mapping)


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """Simulation by simulation."""
    tasks = {str(task.get("id")): task for task in value.get("tasks") or ()}
    info = value.get("info") or {}
    if _is_simulation(value):
        yield "", _run(value, {}, {}, {})
    elif "simulation" in value:
        yield "", _run(value["simulation"], {}, info, rest(value, "simulation", "info", "tasks"))
    elif not value.get("simulations"):
        yield "", iter(())
    frame = rest(value, "simulations", "tasks", "info")
    for number, simulation in enumerate(value.get("simulations") or (), start=1):
        task = tasks.get(str(simulation.get("task_id")), {})
        yield f"simulation {number}", _run(simulation, task, info, frame)


def _is_simulation(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and {"task_id", "messages"} <= value.keys()
        and not {"termination_reason", "reward_info"}.isdisjoint(value)
    )


def _run(simulation: _Object, task: _Object, info: _Object, frame: _Object) -> Records:
    agent = info.get("agent_info") or {}
    model = agent.get("llm") or frame.get("agent_llm")
    transcript = Transcript(
        "tau2",
        [simulation, task, info, frame],
        agent=agent.get("implementation"),
        trial=simulation.get("trial"),
        times=Times(_ns(simulation.get("start_time")), _ns(simulation.get("end_time"))),
    )
    transcript.describe(task_id=str(simulation["task_id"]), task=_task_text(task))
    conversation = Conversation(transcript, model=model)
    if policy := simulation.get("policy"):
        conversation.hear({"role": "system", "content": policy})
    messages = simulation["messages"] or ()
    n_scripted = _n_scripted(messages)
    for position, message in enumerate(messages):
        _tell(transcript, conversation, message, is_scripted=position < n_scripted)
    conversation.end()
    transcript.answer(conversation.last_text)
    transcript.keep(frame)
    transcript.keep({"task": task or None, "info": info or None})
    transcript.keep(rest(simulation, "task_id", "trial", "messages", "policy"))
    _judge(transcript, simulation)
    yield from transcript.records()


def _task_text(task: _Object) -> str | None:
    """What the user wants, else what the task is there for."""
    instructions = (task.get("user_scenario") or {}).get("instructions")
    if isinstance(instructions, Mapping):
        instructions = instructions.get("task_instructions") or instructions.get("reason_for_call")
    description = task.get("description")
    purpose = description.get("purpose") if isinstance(description, Mapping) else description
    return instructions or task.get("ticket") or purpose


# --- messages ------------------------------------------------------------------------------------


def _n_scripted(messages: Sequence[_Object]) -> int:
    """How many messages a run begins with that no model was asked for: a greeting, a history."""
    answers = [n for n, message in enumerate(messages) if message.get("role") == "assistant"]
    generated = (n for n in answers if messages[n].get("usage") or messages[n].get("raw_data"))
    return next(generated, 1 if answers[:1] == [0] else 0)


def _tell(
    transcript: Transcript, conversation: Conversation, message: _Object, *, is_scripted: bool
) -> None:
    role, ended_ns = message.get("role"), _ns(message.get("timestamp"))
    if is_scripted:
        transcript.at(ended_ns)
        calls = [_call(call) for call in message.get("tool_calls") or ()]
        answered = {"tool_call_id": message.get("id")} if role == "tool" else {}
        said = {"role": role, "content": message.get("content"), **answered}
        conversation.hear({**said, "tool_calls": calls} if calls else said)
        transcript.note("message", rest(message, "role", "content"), at_ns=ended_ns)
    elif role == "assistant":
        _tell_answer(conversation, message, ended_ns)
    elif role == "tool" and (message.get("requestor") or "assistant") == "assistant":
        for result in message.get("tool_messages") or [message]:
            _tell_result(conversation, result, ended_ns)
        if "tool_messages" in message:
            transcript.note("message", rest(message, "tool_messages"))
    else:
        transcript.at(ended_ns)
        if message.get("content") is not None and role != "tool":
            conversation.hear({"role": role, "content": message["content"]})
            transcript.note("message", rest(message, "role", "content"), at_ns=ended_ns)
        else:
            transcript.note("message", message, at_ns=ended_ns)


def _tell_answer(conversation: Conversation, message: _Object, ended_ns: int | None) -> None:
    raw = message.get("raw_data") or {}
    usage = message.get("usage") or {}
    took_s = message.get("generation_time_seconds")
    started_ns = None if took_s is None or ended_ns is None else ended_ns - round(took_s * 1e9)
    choice: _Object = next(iter(raw.get("choices") or ()), {})
    details = (raw.get("usage") or {}).get("prompt_tokens_details") or {}
    conversation.say(
        message.get("content"),
        [_call(call) for call in message.get("tool_calls") or ()],
        times=Times(started_ns, ended_ns),
        attributes={
            semconv.RESPONSE_ID: raw.get("id"),
            semconv.RESPONSE_MODEL: raw.get("model"),
            semconv.FINISH_REASONS: [reason] if (reason := choice.get("finish_reason")) else None,
            semconv.INPUT_TOKENS: usage.get("prompt_tokens"),
            semconv.OUTPUT_TOKENS: usage.get("completion_tokens"),
            semconv.CACHE_READ_TOKENS: details.get("cached_tokens"),
            semconv.COST_USD: message.get("cost"),
        },
        keep=rest(message, "role", "content", "cost"),
    )


def _call(call: _Object) -> dict[str, Any]:
    return {key: call.get(key) for key in ("id", "name", "arguments")}


def _tell_result(conversation: Conversation, message: _Object, ended_ns: int | None) -> None:
    content = message.get("content")
    conversation.run(
        message.get("id"),
        content,
        error=str(content or "") if message.get("error") else None,
        times=Times(None, _ns(message.get("timestamp")) or ended_ns),
        keep=rest(message, "role", "content", "id"),
    )


# --- the verdict ---------------------------------------------------------------------------------


def _judge(transcript: Transcript, simulation: _Object) -> None:
    """A run that the harness or the simulated user spoilt is an error, not the agent's failure."""
    told = simulation.get("reward_info") or {}
    reward, ended = told.get("reward"), simulation.get("termination_reason")
    category = ended if ended and ended not in _NORMAL_ENDS else None
    if ended in _NOT_THE_AGENTS_FAULT:
        transcript.fail(str(ended))
        transcript.outcome("error", category=category)
    elif reward is not None:
        transcript.reward(float(reward), is_verdict=category is None)
        if category is not None:
            is_success = float(reward) >= 1
            transcript.outcome("success" if is_success else "failure", category=category)
    for name, share in (told.get("reward_breakdown") or {}).items():
        transcript.evaluate(str(name), value=share)


def _ns(told: Any) -> int | None:
    return iso_ns(told) if told else None
