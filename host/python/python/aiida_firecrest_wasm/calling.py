"""One body for a method and its asynchronous twin.

Every method is written once, as a coroutine that awaits native calls. Run by asyncio it waits for nothing but the event loop. Run by
:func:`blocking` it never yields: each native call waits in place with the GIL released. So a blocking method needs no event loop, works
in any thread and inside a running loop, and KeyboardInterrupt cancels the request that is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ._native import Call

T = TypeVar("T")

_IN_PLACE: ContextVar[bool] = ContextVar("_IN_PLACE", default=False)


def in_place() -> bool:
    """Is this coroutine run by :func:`blocking`?"""
    return _IN_PLACE.get()


async def do(call: Call[T]) -> T:
    """Runs a native call: awaited, or waited for, as the coroutine around it is run."""
    return call.wait() if _IN_PLACE.get() else await call


def blocking(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
    """Runs a coroutine function of this package to its end.

    AiiDA's workers call blocking methods inside their event loop, with a portal of greenback's around them: then the loop goes on
    meanwhile, as it does for AiiDA's own transports.
    """
    if _portal():
        import greenback

        result: T = greenback.await_(function(*args, **kwargs))
        return result
    coroutine = function(*args, **kwargs)
    token = _IN_PLACE.set(True)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    finally:
        _IN_PLACE.reset(token)
        coroutine.close()
    raise RuntimeError(f"{function!r} waits for something other than the server: await it")


async def each(functions: list[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """Runs all of them: together where there is an event loop, one by one where there is none. The first error ends it."""
    if in_place():
        return [await function() for function in functions]
    tasks = [asyncio.ensure_future(function()) for function in functions]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _portal() -> bool:
    try:
        asyncio.get_running_loop()
        import greenback
    except (RuntimeError, ImportError):
        return False
    return bool(greenback.has_portal())
