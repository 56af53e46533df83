"""The decorator `tool`: each call of a function is a step, with its arguments and what it gave."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, overload

from otel_traj.capture.guard import guard
from otel_traj.capture.handles import Effect, ToolCallSpan
from otel_traj.capture.wrapping import wrap

F = TypeVar("F", bound=Callable[..., Any])

_REASONING: Final = "reasoning"


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *, name: str | None = None, effect: Effect = "unknown", max_bytes: int | None = None
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    effect: Effect = "unknown",
    max_bytes: int | None = None,
) -> F | Callable[[F], F]:
    """Record each call of a function as a tool execution.

    Plain and async functions, generators and async generators, methods. Arguments are recorded by
    name, also positional ones and defaults, and the result whole. A call that raises is a failed
    step, and raises as before. An argument called `reasoning` becomes the step's reasoning.

    Args:
        function: What to record, where the decorator stands without parentheses.
        name: What the model calls it; the function's own name if None.
        effect: What running it again would do: `read` nothing, `idempotent` the same, `effect`
            something more. Replays run only what is allowed.
        max_bytes: Keep so much of the arguments and of the result, with a mark where they were cut,
            their length and their hash. None keeps them whole.
    """

    def decorate(function: F) -> F:
        described = getattr(function, "__func__", function)
        called: str = name or getattr(described, "__name__", None) or type(described).__name__
        parameters = _parameters(described)

        def begin(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ToolCallSpan:
            arguments: dict[str, Any] = {}
            with guard("bind arguments"):
                arguments = _bound(parameters, args, kwargs)
            reasoning = arguments.pop(_REASONING, None)
            return ToolCallSpan(
                called,
                arguments=arguments,
                reasoning=reasoning,
                effect=effect,
                max_bytes=max_bytes,
            )

        return wrap(function, begin, ToolCallSpan.result)

    return decorate if function is None else decorate(function)


def _parameters(function: Any) -> inspect.Signature | None:
    """The signature; None for builtins that have none."""
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        return None


def _bound(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments by name, without the instance of a method; as given if they do not fit."""
    try:
        if signature is None:
            raise TypeError("no signature")
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # the call itself will say what is wrong
        return {"args": args, "kwargs": kwargs} if args else dict(kwargs)
    bound.apply_defaults()
    arguments: dict[str, Any] = {}
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        if position == 0 and name in ("self", "cls"):
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments |= bound.arguments[name]
        elif parameter.kind is not parameter.VAR_POSITIONAL or bound.arguments[name]:
            arguments[name] = bound.arguments[name]
    return arguments
