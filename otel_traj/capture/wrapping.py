"""Functions of every kind with a span round each call: plain, async, generators of both sorts.

A generator's span lasts from the first item asked for to the last, and is current only while the
body runs: between two items the caller's own spans are. What is raised, in or into it, is passed on
unchanged; what it gave up to then is recorded.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from otel_traj.capture.handles import SpanHandle

F = TypeVar("F", bound=Callable[..., Any])
Begin: TypeAlias = "Callable[[tuple[Any, ...], Mapping[str, Any]], SpanHandle]"
Note: TypeAlias = Callable[[Any, Any], None]


def nothing(handle: Any, result: Any) -> None:
    """The note of those who do not record results."""


def wrap(function: F, begin: Begin, note: Note = nothing) -> F:
    """A function that does the same and is recorded.

    Args:
        function: Anything callable; a `staticmethod` or `classmethod` stays one.
        begin: Makes the span of a call from its arguments. Must not raise.
        note: Gets the span and what the call returned; of a generator, the list of its items. Must
            not raise.
    """
    if isinstance(function, staticmethod | classmethod):
        return cast(F, type(function)(wrap(function.__func__, begin, note)))
    if inspect.isasyncgenfunction(function):
        wrapper: Any = _async_generator(function, begin, note)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, begin, note)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, begin, note)
    else:
        wrapper = _plain(function, begin, note)
    return cast(F, functools.wraps(function)(wrapper))


def _plain(function: Callable[..., Any], begin: Begin, note: Note) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as handle:
            result = function(*args, **kwargs)
            note(handle, result)
            return result

    return call


def _coroutine(function: Callable[..., Any], begin: Begin, note: Note) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as handle:
            result = await function(*args, **kwargs)
            note(handle, result)
            return result

    return call


def _generator(function: Callable[..., Any], begin: Begin, note: Note) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        """`yield from` by hand (PEP 380), to leave the span whenever the body pauses."""
        handle, items, error = begin(args, kwargs), [], None
        handle._begin()
        try:
            body = function(*args, **kwargs)
            proceed: Callable[[], Any] = functools.partial(next, body)
            while True:
                handle._attach()
                try:
                    item = proceed()
                finally:
                    handle._detach()
                items.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    body.close()
                    raise
                except BaseException as thrown:
                    proceed = functools.partial(body.throw, thrown)
                else:
                    proceed = functools.partial(body.send, sent)
        except StopIteration as stop:
            return stop.value
        except BaseException as raised:
            error = raised
            raise
        finally:
            note(handle, items)
            handle._end(error)

    return call


def _async_generator(function: Callable[..., Any], begin: Begin, note: Note) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        """As `_generator`; a pause may resume in another task, so the span is left at each."""
        handle, items, error = begin(args, kwargs), [], None
        handle._begin()
        try:
            body = function(*args, **kwargs)
            proceed: Callable[[], Any] = body.__anext__
            while True:
                handle._attach()
                try:
                    item = await proceed()
                finally:
                    handle._detach()
                items.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    await body.aclose()
                    raise
                except BaseException as thrown:
                    proceed = functools.partial(body.athrow, thrown)
                else:
                    proceed = functools.partial(body.asend, sent)
        except StopAsyncIteration:
            return
        except BaseException as raised:
            error = raised
            raise
        finally:
            note(handle, items)
            handle._end(error)

    return call
