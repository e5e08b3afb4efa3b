"""Every error that comes from the component or its host, as the exception that AiiDA and Python's own file functions would raise.

All of them are :class:`FirecrestError`, and with it :class:`OSError`, which is what AiiDA's transports raise; each is also the built-in class
that its kind asks for. A program decides by the class, and never has to read a message.
"""

from __future__ import annotations

import errno
from typing import Any, Optional


class FirecrestError(OSError):
    """A failed call. Its text is one line for a person and holds no secret."""

    kind: str = "other"
    """The contract's name of the failure, for example ``not-found``."""
    code: Optional[int] = None
    subject: Optional[str] = None
    """The path, job, option or operation that it is about."""
    http_status: Optional[int] = None
    server_message: Optional[str] = None
    """The server's own text."""
    request_id: Optional[str] = None
    """The server's id of the request, for the people who run the server."""
    retry_after: Optional[float] = None
    """Seconds that the server asked to wait."""

    def __init__(self, message: str = "", **details: Any):
        super().__init__(message)
        self.errno = self.code
        for name, value in details.items():
            setattr(self, name, value)


class NotFoundError(FirecrestError, FileNotFoundError):
    """A path, job, system or local file is not there."""

    kind, code = "not-found", errno.ENOENT


class AlreadyExistsError(FirecrestError, FileExistsError):
    """Something is there, and may not be replaced."""

    kind, code = "already-exists", errno.EEXIST


class NotDirectoryError(FirecrestError, NotADirectoryError):
    """A directory was needed."""

    kind, code = "not-a-directory", errno.ENOTDIR


class DirectoryError(FirecrestError, IsADirectoryError):
    """A file was needed."""

    kind, code = "is-a-directory", errno.EISDIR


class NotEmptyError(FirecrestError):
    """The directory has entries."""

    kind, code = "not-empty", errno.ENOTEMPTY


class AccessDeniedError(FirecrestError, PermissionError):
    """The user, or the sandbox, may not do this."""

    kind, code = "permission-denied", errno.EACCES


class UnauthenticatedError(FirecrestError, PermissionError):
    """The credentials are wrong or have expired."""

    kind, code = "unauthenticated", errno.EPERM


class InvalidArgumentError(FirecrestError, ValueError):
    """An argument, option, name or job script is not acceptable; nothing was changed."""

    kind, code = "invalid-argument", errno.EINVAL


class TooLargeError(FirecrestError):
    """Past a size limit of the server."""

    kind, code = "too-large", errno.EFBIG


class RateLimitedError(FirecrestError, ConnectionError):
    """The server wants fewer requests."""

    kind, code = "rate-limited", errno.EAGAIN


class TimedOutError(FirecrestError, TimeoutError):
    """A time limit ran out."""

    kind, code = "timeout", errno.ETIMEDOUT


class UnavailableError(FirecrestError, ConnectionError):
    """The server, or a part of it, cannot be reached. The same call may succeed later."""

    kind, code = "unavailable", errno.EHOSTUNREACH


class ChecksumMismatchError(FirecrestError, ValueError):
    """Not the bytes that were sent."""

    kind, code = "checksum-mismatch", errno.EIO


class OutcomeUnknownError(FirecrestError):
    """A write was sent, its answer was lost, and whether it happened could not be proved."""

    kind, code = "outcome-unknown", errno.EIO


class CancelledError(FirecrestError):
    """The call was stopped."""

    kind, code = "cancelled", errno.ECANCELED


class UnsupportedError(FirecrestError, NotImplementedError):
    """This plugin, or this server, cannot do that."""

    kind, code = "unsupported", errno.EOPNOTSUPP


class PluginError(FirecrestError, RuntimeError):
    """The component failed: it trapped, took too long, or wanted too much memory."""

    code = errno.EIO


_CLASSES: dict[str, type[FirecrestError]] = {
    cls.kind: cls
    for cls in (
        FirecrestError,
        NotFoundError,
        AlreadyExistsError,
        NotDirectoryError,
        DirectoryError,
        NotEmptyError,
        AccessDeniedError,
        UnauthenticatedError,
        InvalidArgumentError,
        TooLargeError,
        RateLimitedError,
        TimedOutError,
        UnavailableError,
        ChecksumMismatchError,
        OutcomeUnknownError,
        CancelledError,
        UnsupportedError,
    )
}
_OF_HOST: dict[str, type[FirecrestError]] = {
    "usage": InvalidArgumentError,
    "policy": InvalidArgumentError,
    "deadline": TimedOutError,
}
_LOCAL: dict[Optional[int], type[FirecrestError]] = {
    cls.code: cls for cls in (NotFoundError, AlreadyExistsError, NotDirectoryError, DirectoryError, AccessDeniedError)
}


def of_kind(kind: str, message: str, code: Optional[int] = None, **details: Any) -> FirecrestError:
    """The exception for a kind. Called by the native module; ``code`` is the operating system's, for a local file."""
    if kind == "local-file":
        return _LOCAL.get(code, FirecrestError)(message, kind=kind)
    known = _CLASSES.get(kind)
    if known is not None:
        return known(message, **details)
    return _OF_HOST.get(kind, PluginError)(message, kind=kind, **details)
