"""What `trajectory()`, `inference()` and `tool_call()` return: spans of ours, current in a block.

Each is used with `with` or `async with`. Whatever is told to it travels on the span, or on log
records with the span's context, so it reaches the store and a Collector alike. Before
`instrument()` and after `shutdown()` the same calls do nothing, and the block runs as ever. What
the block raises is noted and goes on unchanged, whatever it is.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import Token
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, cast, get_args

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode

from otel_traj import semconv
from otel_traj.capture import state, wrapping
from otel_traj.capture.guard import guard
from otel_traj.capture.messages import input_messages, output_message
from otel_traj.capture.values import as_json, as_scalar, as_text, canonical_json, limited

if TYPE_CHECKING:
    from otel_traj.capture.file_change import Content

Outcome = Literal["success", "failure", "partial", "error", "unknown"]
Effect = Literal["read", "idempotent", "effect", "unknown"]
AnnotationKind = Literal["reward", "outcome", "score", "label", "feedback", "comment"]
FileDiff = tuple[str, str | bytes | None, str | bytes | None]
"""Path, content before, content after; None where the file did not exist or is deleted."""

F = TypeVar("F", bound=Callable[..., Any])

_CURRENT: Final = context_api.create_key("otel-traj-trajectory")
_UNSET: Final = object()


class SpanHandle:
    """A span that is current inside a block; not to be made by hand."""

    def __init__(self, name: str, kind: SpanKind, attributes: Mapping[str, Any]) -> None:
        """Note what the span will be; it starts with the block."""
        self._name = name
        self._kind = kind
        self._attributes = {key: value for key, value in attributes.items() if value is not None}
        self._span: Span = INVALID_SPAN
        self._recording: state.Active | None = None
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> Self:
        self._begin()
        self._attach()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._detach()
        self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make this the parent of what the block records; may be entered again and again."""
        self._attach()
        try:
            yield
        finally:
            self._detach()

    @guard("begin a span")
    def _begin(self, *, parent: Context | None = None, started_ns: int | None = None) -> None:
        self._recording = state.active()
        if self._recording is not None:
            self._span = self._recording.tracer.start_span(
                self._name,
                context=parent,
                kind=self._kind,
                attributes=self._attributes,
                start_time=started_ns,
            )

    @guard("end a span")
    def _end(self, error: BaseException | None = None, *, ended_ns: int | None = None) -> None:
        try:
            if error is not None:
                self._fail(error)
        finally:
            self._span.end(ended_ns)

    def _context(self) -> Context:
        """The present context, with this span in it if there is one."""
        present = context_api.get_current()
        return trace.set_span_in_context(self._span, present) if self._recording else present

    @guard("make a span current")
    def _attach(self) -> None:
        self._tokens.append(context_api.attach(self._context()))

    @guard("leave a span")
    def _detach(self) -> None:
        if self._tokens:
            token = self._tokens.pop()
            # Where another task leaves the block than entered it, there is nothing to be left:
            # no fault, though `context_api.detach` would log one.
            with contextlib.suppress(ValueError):
                token.var.reset(token)

    def _fail(self, error: BaseException) -> None:
        self._span.set_attribute(semconv.ERROR_TYPE, _type_name(error))
        self._span.set_status(Status(StatusCode.ERROR, _message(error)))
        self._span.record_exception(error)

    @property
    def _records_content(self) -> bool:
        return self._recording is not None and self._recording.content

    def _set(self, key: str, value: Any) -> None:
        if value is not None:
            self._span.set_attribute(key, value)

    def _set_content(self, key: str, value: Any, form: Callable[[Any], Any] = as_text) -> None:
        """Set what may be private, and need not even be encoded where content is off."""
        if value is not None and self._records_content:
            self._span.set_attribute(key, form(value))

    def _emit(self, event: str, attributes: Mapping[str, Any]) -> None:
        """A log record with this span's context."""
        if self._recording is not None:
            self._recording.emit(
                event,
                {key: value for key, value in attributes.items() if value is not None},
                self._context(),
            )

    def _evaluate(
        self,
        name: str,
        *,
        value: float | None = None,
        label: str | None = None,
        source: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell a judgement, also of a span that has ended."""
        self._emit(
            semconv.EVENT_EVALUATION,
            {
                semconv.EVALUATION_NAME: name,
                semconv.EVALUATION_VALUE: value,
                semconv.EVALUATION_LABEL: label,
                semconv.ANNOTATION_SOURCE: source or "explicit",
                **(more or {}),
            },
        )

    @guard("record an annotation")
    def annotate(
        self,
        name: str,
        value: Any,
        *,
        kind: AnnotationKind | None = None,
        source: str = "explicit",
        annotator: str | None = None,
    ) -> None:
        """Say something of the run or step, in it or after it; `TrajectoryStore.annotate` as well.

        Args:
            name: What it says: `outcome`, `reward`, or a name of your own.
            value: Number, text, or anything that JSON can tell.
            kind: What sort of statement it is: reward, outcome, score, label, feedback or comment.
                None for what name and value suggest.
            source: Which rule, tool or test says so; `explicit` for somebody who knows.
            annotator: Person or program.
        """
        from otel_traj import statements  # with the library of numbers, not for every program

        said = statements.check(name, value, kind)
        self._evaluate(
            name,
            value=said.number,
            label=said.text,
            source=source,
            more={
                semconv.ANNOTATION_KIND: said.kind,
                semconv.ANNOTATION_ANNOTATOR: annotator,
                semconv.ANNOTATION_JSON: None if said.other is None else as_json(said.other),
            },
        )

    @property
    def _has_ended(self) -> bool:
        return self._recording is not None and not self._span.is_recording()


class InferenceSpan(SpanHandle):
    """One call of a model; for clients that no instrumentor knows."""

    def __init__(self, model: str, *, provider: str, input: Any = None) -> None:
        """Note the request; see `inference`."""
        super().__init__(
            f"{semconv.OP_CHAT} {model}",
            SpanKind.CLIENT,
            {
                semconv.OPERATION: semconv.OP_CHAT,
                semconv.PROVIDER: provider,
                semconv.REQUEST_MODEL: model,
            },
        )
        self._input = input
        self._output: dict[str, Any] = {}

    def _begin(self, *, parent: Context | None = None, started_ns: int | None = None) -> None:
        super()._begin(parent=parent, started_ns=started_ns)
        with guard("record an input"):
            self._set_content(semconv.INPUT_MESSAGES, self._input, input_messages)

    @guard("record an output")
    def output(
        self,
        text: str | None = None,
        *,
        tool_calls: Sequence[Mapping[str, Any]] = (),
        finish_reason: str | None = None,
        response_id: str | None = None,
        response_model: str | None = None,
    ) -> None:
        """Tell what the model answered.

        Args:
            text: Its text.
            tool_calls: What it asked for, as `{"id", "name", "arguments"}` or as OpenAI gives them.
            finish_reason: Why it stopped: stop, length, content_filter, tool_call, error.
            response_id: The provider's id of the response; joins this with other accounts of it.
            response_model: The model that answered, if it is not the one asked for.
        """
        self._set(semconv.RESPONSE_ID, response_id)
        self._set(semconv.RESPONSE_MODEL, response_model)
        self._set(semconv.FINISH_REASONS, [finish_reason] if finish_reason else None)
        self._output |= {"text": text, "tool_calls": list(tool_calls)}
        self._set_content(semconv.OUTPUT_MESSAGES, self._output, output_message)

    @guard("record usage")
    def usage(
        self,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        *,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> None:
        """Tell the tokens: `input_tokens` with cached ones, `output_tokens` with reasoning."""
        self._set(semconv.INPUT_TOKENS, input_tokens)
        self._set(semconv.OUTPUT_TOKENS, output_tokens)
        self._set(semconv.CACHE_READ_TOKENS, cache_read_tokens)
        self._set(semconv.CACHE_WRITE_TOKENS, cache_write_tokens)
        self._set(semconv.REASONING_TOKENS, reasoning_tokens)

    @guard("record reasoning")
    def reasoning(self, text: str) -> None:
        """Tell the model's own reasoning."""
        self._output["reasoning"] = text
        self._set_content(semconv.OUTPUT_MESSAGES, self._output, output_message)


class ToolCallSpan(SpanHandle):
    """One execution of a tool: a step."""

    def __init__(
        self,
        name: str,
        *,
        arguments: Any = None,
        call_id: str | None = None,
        reasoning: str | None = None,
        effect: Effect = "unknown",
        max_bytes: int | None = None,
    ) -> None:
        """Note the call; see `tool_call`, and `tool` for `max_bytes`."""
        super().__init__(
            f"{semconv.OP_EXECUTE_TOOL} {name}",
            SpanKind.INTERNAL,
            {
                semconv.OPERATION: semconv.OP_EXECUTE_TOOL,
                semconv.TOOL_NAME: name,
                semconv.TOOL_CALL_ID: call_id,
                semconv.TOOL_EFFECT: None if effect == "unknown" else effect,
            },
        )
        self._arguments = arguments
        self._reasoning = reasoning
        self._max_bytes = max_bytes
        self._run: TrajectorySpan | None = None
        self._reward = 0.0
        self._flags: list[str] = []

    def _begin(self, *, parent: Context | None = None, started_ns: int | None = None) -> None:
        super()._begin(parent=parent, started_ns=started_ns)
        with guard("record arguments"):
            self._run = current(parent)
            # Now, as the tool may change what it was given.
            if self._arguments is not None and self._records_content:
                self._set_limited(semconv.TOOL_CALL_ARGUMENTS, as_json(self._arguments))
            self._set_content(semconv.STEP_REASONING, self._reasoning)

    @guard("record a result")
    def result(self, result: Any) -> None:
        """Tell what the tool gave: a text as it is, anything else as JSON, whole."""
        if self._records_content:
            self._set_limited(semconv.TOOL_CALL_RESULT, as_text(result))

    def _set_limited(self, key: str, text: str) -> None:
        self._span.set_attributes(limited(key, text, self._max_bytes))

    @guard("record an error")
    def error(self, error: str | BaseException) -> None:
        """Tell that the tool failed, where it did not raise."""
        if isinstance(error, BaseException):
            self._fail(error)
        else:
            self._set(semconv.ERROR_TYPE, "_OTHER")
            self._span.set_status(Status(StatusCode.ERROR, error))

    @guard("record a reward")
    def reward(self, reward: float, *, source: str | None = None) -> None:
        """Give the step a reward, higher is better; `cumulative_reward` of the run follows."""
        reward = _finite(reward)
        if self._has_ended:
            self._evaluate("reward", value=reward, source=source)
            return
        self._set(semconv.STEP_REWARD, reward)
        if self._run is not None:
            total = self._run._add_reward(reward - self._reward)
            self._set(semconv.STEP_CUMULATIVE_REWARD, total)
        self._reward = reward

    @guard("record the end of an episode")
    def done(self, done: bool = True) -> None:
        """Tell whether the environment's episode ended with this step."""
        self._set(semconv.STEP_DONE, bool(done))

    @guard("record an observation")
    def observe(self, observation: Any) -> None:
        """Tell what the environment showed after the step, as far as the agent sees it."""
        self._set_content(semconv.STEP_OBSERVATION, observation, as_json)

    @guard("record a file change")
    def file_diff(
        self, path: str, before: Content, after: Content, *, old_path: str | None = None
    ) -> None:
        """Tell that the step changed a file.

        Args:
            path: Where it is now.
            before: Its content, None if it did not exist.
            after: Its content, None if it was deleted.
            old_path: Where it was, if it was moved.
        """
        if self._recording is not None:
            from otel_traj.capture.file_change import file_change

            change = file_change(
                str(path), before, after, old_path=old_path, contents=self._records_content
            )
            self._emit(semconv.EVENT_FILE_CHANGE, change)

    @guard("record a test pass rate")
    def test_pass_rate(self, rate: float) -> None:
        """Tell the share of tests that pass after the step, in [0, 1]."""
        if not 0 <= rate <= 1:
            raise ValueError(f"A test pass rate is in [0, 1], not {rate!r}")
        self._set(semconv.STEP_TEST_PASS_RATE, float(rate))

    @guard("record a security flag")
    def security_flag(self, flag: str) -> None:
        """Tell that the step did something that wants a look; may be called several times."""
        self._flags.append(flag)
        self._set(semconv.STEP_SECURITY_FLAGS, self._flags)


class TrajectorySpan(SpanHandle):
    """One attempt at one task; nested in another one, a sub-agent of it."""

    def __init__(
        self,
        task: str,
        *,
        agent: str | None = None,
        trajectory_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        **identity: Any,
    ) -> None:
        """Note what the run is; see `trajectory`."""
        super().__init__(
            f"{semconv.OP_INVOKE_AGENT} {agent}" if agent else semconv.OP_INVOKE_AGENT,
            SpanKind.INTERNAL,
            {
                **(attributes or {}),
                semconv.OPERATION: semconv.OP_INVOKE_AGENT,
                semconv.AGENT_NAME: agent,
                semconv.TASK: task,
                semconv.TRAJECTORY_ID: trajectory_id,
                **identity,
            },
        )
        self._again = functools.partial(
            TrajectorySpan,
            task,
            agent=agent,
            trajectory_id=trajectory_id,
            attributes=attributes,
            **identity,
        )
        self._given_id = trajectory_id
        self._id = trajectory_id or os.urandom(10).hex()
        self._total = 0.0
        self._lock = threading.Lock()  # protects `_total`: steps may run in several threads
        self._is_judged = False

    @property
    def id(self) -> str:
        """The trajectory's id in the store; of a sub-agent, that of the run it is part of."""
        return self._id

    def __call__(self, function: F) -> F:
        """Record each call of a function as a run of its own."""
        return wrapping.wrap(function, lambda args, kwargs: self._again())

    @guard("begin a trajectory")
    def _begin(self, *, parent: Context | None = None, started_ns: int | None = None) -> None:
        above = current(parent)
        super()._begin(parent=parent, started_ns=started_ns)
        context = self._span.get_span_context()
        if above is not None and self._given_id is None:
            self._id = above.id
        elif self._given_id is None and context.is_valid:
            # As assembly would make it, but told, so that it holds whatever stands above this span.
            self._id = _digest(f"{context.trace_id:032x}{context.span_id:016x}")
            self._set(semconv.TRAJECTORY_ID, self._id)

    def _end(self, error: BaseException | None = None, *, ended_ns: int | None = None) -> None:
        # A run that somebody stopped is neither a success nor the agent's failure.
        if type(error).__name__ == "CancelledError" and not self._is_judged:
            self.outcome("partial")
        super()._end(error, ended_ns=ended_ns)

    def _context(self) -> Context:
        return context_api.set_value(_CURRENT, self, super()._context())

    def _add_reward(self, reward: float) -> float:
        with self._lock:
            self._total += reward
            return self._total

    @guard("record an outcome")
    def outcome(
        self,
        outcome: Outcome,
        *,
        rationale: str | None = None,
        error_category: str | None = None,
        fix_applied: str | None = None,
    ) -> None:
        """Say how good the attempt was, in the run or after it.

        Args:
            outcome: `error` is a fault of harness or provider, not of the agent: such runs are left
                out of success rates.
            rationale: Why, in a sentence.
            error_category: What kind of failure, in your own words; failures are grouped by it.
            fix_applied: What was done about it.
        """
        if outcome not in get_args(Outcome):
            raise ValueError(f"No outcome {outcome!r}; there is {get_args(Outcome)}")
        self._is_judged = True
        reasons = {semconv.ERROR_CATEGORY: error_category, semconv.FIX_APPLIED: fix_applied}
        if self._has_ended:
            reasons[semconv.EVALUATION_EXPLANATION] = rationale
            self._evaluate("outcome", label=outcome, more=reasons)
            return
        reasons[semconv.FAILURE_RATIONALE] = rationale
        for key, value in {semconv.OUTCOME: outcome, **reasons}.items():
            self._set(key, value)

    @guard("record a reward")
    def reward(self, reward: float, *, source: str | None = None) -> None:
        """Give the run a reward, higher is better, in the run or after it.

        Args:
            reward: What the environment or a rule says it is worth.
            source: Who says so, such as "unit-test".
        """
        reward = _finite(reward)
        if self._has_ended:
            self._evaluate("reward", value=reward, source=source)
            return
        self._set(semconv.REWARD, reward)
        self._set(semconv.REWARD_SOURCE, source)

    @guard("record the initial state")
    def initial_state(self, state: Any) -> None:
        """Tell the state of the environment that the run began with."""
        self._set_content(semconv.INITIAL_STATE, state, as_json)

    @guard("record metadata")
    def metadata(self, values: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Attach values of your own, by name."""
        for key, value in {**(values or {}), **more}.items():
            self._set(f"{semconv.METADATA_PREFIX}{key}", as_scalar(value))

    @guard("record the final answer")
    def final_answer(self, answer: Any) -> None:
        """Tell what the run gave back to its caller."""
        self._set_content(
            semconv.OUTPUT_MESSAGES, answer, lambda given: output_message({"text": as_text(given)})
        )

    def checkpoint(self, name: str, state: Any) -> str:
        """Save what is needed to continue from here.

        Args:
            name: What you call it.
            state: Anything that JSON can tell; compared and replayed as JSON.

        Returns:
            The checkpoint's id, the same for the same state in the same run.
        """
        text = ""
        with guard("encode a checkpoint"):
            text = canonical_json(state)
        checkpoint_id = _digest("\0".join((self._id, name, text)))
        with guard("record a checkpoint"):
            self._emit(
                semconv.EVENT_CHECKPOINT,
                {
                    semconv.CHECKPOINT_ID: checkpoint_id,
                    semconv.CHECKPOINT_NAME: name,
                    semconv.CHECKPOINT_STATE: text if self._records_content else None,
                },
            )
        return checkpoint_id

    def step(
        self,
        name: str,
        *,
        arguments: Any = None,
        result: Any = _UNSET,
        error: str | BaseException | None = None,
        call_id: str | None = None,
        reasoning: str | None = None,
        effect: Effect = "unknown",
        reward: float | None = None,
        done: bool | None = None,
        observation: Any = None,
        file_diffs: Iterable[FileDiff] = (),
        test_pass_rate: float | None = None,
        security_flags: Iterable[str] = (),
        started: datetime | float | None = None,
        ended: datetime | float | None = None,
    ) -> ToolCallSpan:
        """Record a step that is over, for agents that report afterwards.

        Args:
            name: The tool's name.
            arguments: What it was given.
            result: What it gave.
            error: That it failed, and how.
            call_id: The id of the request for it.
            reasoning: Why the agent did it.
            effect: What running it again would do, as for `tool`.
            reward: What it was worth, higher is better.
            done: Whether the environment's episode ended with it.
            observation: What the environment showed after it.
            file_diffs: Files it changed.
            test_pass_rate: Share of tests that pass after it, in [0, 1].
            security_flags: What wants a look.
            started: When it began; a number is Unix time in seconds. Default: when it ended.
            ended: When it ended. Default: now.
        """
        call = ToolCallSpan(
            name, arguments=arguments, call_id=call_id, reasoning=reasoning, effect=effect
        )
        with guard("record a step"):
            ended_ns = _nanoseconds(ended)
            call._begin(parent=self._context(), started_ns=_nanoseconds(started) or ended_ns)
            try:
                if result is not _UNSET:
                    call.result(result)
                if error is not None:
                    call.error(error)
                if reward is not None:
                    call.reward(reward)
                if done is not None:
                    call.done(done)
                if test_pass_rate is not None:
                    call.test_pass_rate(test_pass_rate)
                call.observe(observation)
                for flag in security_flags:
                    call.security_flag(flag)
                for diff in file_diffs:
                    call.file_diff(*diff)
            finally:
                call._end(ended_ns=ended_ns)
        return call


def current(context: Context | None = None) -> TrajectorySpan | None:
    """The innermost run of a context, the present one by default."""
    return cast("TrajectorySpan | None", context_api.get_value(_CURRENT, context))


def _nanoseconds(instant: datetime | float | None) -> int | None:
    if instant is None:
        return None
    seconds = instant.timestamp() if isinstance(instant, datetime) else instant
    return round(seconds * 1e9)


def _finite(reward: float) -> float:
    """A reward that can be compared; the guard of the verb tells of another one."""
    if not math.isfinite(reward):
        raise ValueError(f"A reward is a finite number, not {reward!r}")
    return float(reward)


def _digest(text: str) -> str:
    """20 hex digits of SHA-256, as assembly makes ids."""
    import hashlib  # 8 ms of OpenSSL, not for `import otel_traj`

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def _type_name(error: BaseException) -> str:
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the user's code
        return f"<{type(error).__qualname__}: str raised>"
