"""AiiDA's transport and scheduler for supercomputers behind FirecREST.

The work is done by a WebAssembly component in a sandbox, which reaches the servers of the configuration, for each transfer the one
local folder that it needs, and nothing else. Importing this package loads neither AiiDA nor the component: both come with their first use.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _native
from .errors import FirecrestError

if TYPE_CHECKING:
    from .scheduler import FirecrestScheduler
    from .transport import FirecrestTransport

__all__ = ["FirecrestError", "FirecrestScheduler", "FirecrestTransport", "request_counts", "requests"]
__version__: str = _native.__version__


def request_counts() -> dict[str, int]:
    """What this process asked of servers so far: ``requests``, ``failed``, ``refused``, and the bytes ``sent`` and ``received``."""
    return _native.counters()


def requests() -> list[dict[str, Any]]:
    """The latest thousand requests one by one, oldest first; without headers, query strings and bodies."""
    return _native.records()


def __getattr__(name: str) -> Any:
    if name == "FirecrestTransport":
        from .transport import FirecrestTransport

        return FirecrestTransport
    if name == "FirecrestScheduler":
        from .scheduler import FirecrestScheduler

        return FirecrestScheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if os.environ.get("AIIDA_FIRECREST_REQUESTS"):
    from ._statistics import write_at_exit

    write_at_exit(os.environ["AIIDA_FIRECREST_REQUESTS"])
