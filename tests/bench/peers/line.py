"""How a peer is asked: one line of JSON a task on stdin, one line of JSON an answer on stdout.

A task is ``{"op": NAME, …}``; the answer ``{"seconds": S, "result": {…}}`` or ``{"seconds": S, "error": TEXT}``. Only the work itself is
timed: neither the start of the interpreter nor the reading of the task.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import time
from typing import Any


class NoSuchCall(Exception):
    """The peer has nothing for this work."""


def serve(peer: Any) -> None:
    """Answers tasks until stdin ends; each is a method of ``peer`` named as its ``op``, plain or a coroutine function."""
    # What a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    for line in sys.stdin:
        task = json.loads(line)
        work = getattr(peer, task.pop("op"), None)
        start = time.perf_counter()
        try:
            if work is None:
                raise NoSuchCall("no call for it")
            result = loop.run_until_complete(work(**task)) if inspect.iscoroutinefunction(work) else work(**task)
            answer = {"seconds": time.perf_counter() - start, "result": result or {}}
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its result
            text = f"{type(error).__name__}: {error}".split("\n")[0]
            answer = {"seconds": time.perf_counter() - start, "error": text[:300]}
        answers.write(json.dumps(answer) + "\n")


async def at_once(calls: Any, most: int = 100) -> list[Any]:
    """All calls at once, at most so many under way."""
    gate = asyncio.Semaphore(most)

    async def one(call: Any) -> Any:
        async with gate:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))
