"""Tells the host how an operation goes, and hears whether it may go on."""

import time

from errors import failure
from wit_world.imports import progress
from wit_world.imports.aiida_hpc_types import ErrorKind

# The contract's at most ten times a second.
PAUSE = 0.1


class Watch:
    """One operation. Used as a context: the last report is made at its end."""

    def __init__(self, operation: str, path: str, bytes_total: int | None = None) -> None:
        self.status = progress.Status(operation, path, 0, bytes_total, 0, None)
        self.told = 0.0

    def __enter__(self) -> "Watch":
        self.report()
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            progress.report(self.status)

    def expect(self, size: int) -> None:
        """One file of that many bytes is what there is to move."""
        self.status.bytes_total, self.status.files_total = size, 1

    def whole(self) -> None:
        """What was done is all that there was."""
        self.status.bytes_total, self.status.files_total = self.status.bytes_done, self.status.files_done

    def moved(self, count: int) -> None:
        self.status.bytes_done += count
        self.tick()

    def file(self) -> None:
        self.status.files_done += 1
        self.tick()

    def tick(self) -> None:
        if time.monotonic() - self.told >= PAUSE:
            self.report()

    def report(self) -> None:
        self.told = time.monotonic()
        if progress.report(self.status) is progress.Answer.STOP:
            raise failure(ErrorKind.CANCELLED, self.status.path, f"{self.status.operation} was stopped by the host")
