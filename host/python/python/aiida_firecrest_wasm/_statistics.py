"""What a process asked of servers, written when it ends: for processes that nobody looks into, such as a daemon's workers."""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from pathlib import Path

from . import _native


def write_at_exit(prefix: str) -> None:
    """Writes ``PREFIX.PROCESS.json`` at the end of this process, if it made any request: the sums, and the statuses of the latest thousand."""
    atexit.register(_write, prefix, os.getpid())


def _write(prefix: str, process: int) -> None:
    counters = _native.counters()
    if os.getpid() != process or not counters["requests"]:
        return
    statuses = Counter(str(one["status"]) for one in _native.records())
    Path(f"{prefix}.{process}.json").write_text(json.dumps({**counters, "statuses": dict(statuses)}) + "\n")
