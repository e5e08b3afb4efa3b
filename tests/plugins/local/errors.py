"""The contract's error, made from what wasi:filesystem says."""

from collections.abc import Iterator
from contextlib import contextmanager

from componentize_py_types import Err
from wit_world.imports.aiida_hpc_types import Error, ErrorKind
from wit_world.imports.wasi_filesystem_types import ErrorCode

# What a caller can do about it. What is not here is `other`.
KINDS = {
    ErrorCode.ACCESS: ErrorKind.PERMISSION_DENIED,
    ErrorCode.NOT_PERMITTED: ErrorKind.PERMISSION_DENIED,
    ErrorCode.READ_ONLY: ErrorKind.PERMISSION_DENIED,
    ErrorCode.NO_ENTRY: ErrorKind.NOT_FOUND,
    ErrorCode.EXIST: ErrorKind.ALREADY_EXISTS,
    ErrorCode.NOT_DIRECTORY: ErrorKind.NOT_A_DIRECTORY,
    ErrorCode.IS_DIRECTORY: ErrorKind.IS_A_DIRECTORY,
    ErrorCode.NOT_EMPTY: ErrorKind.NOT_EMPTY,
    ErrorCode.INVALID: ErrorKind.INVALID_ARGUMENT,
    ErrorCode.LOOP: ErrorKind.INVALID_ARGUMENT,
    ErrorCode.NAME_TOO_LONG: ErrorKind.INVALID_ARGUMENT,
    ErrorCode.ILLEGAL_BYTE_SEQUENCE: ErrorKind.INVALID_ARGUMENT,
    ErrorCode.FILE_TOO_LARGE: ErrorKind.TOO_LARGE,
    ErrorCode.UNSUPPORTED: ErrorKind.UNSUPPORTED,
    ErrorCode.BUSY: ErrorKind.UNAVAILABLE,
    ErrorCode.TEXT_FILE_BUSY: ErrorKind.UNAVAILABLE,
    ErrorCode.INSUFFICIENT_SPACE: ErrorKind.UNAVAILABLE,
    ErrorCode.QUOTA: ErrorKind.UNAVAILABLE,
    ErrorCode.INTERRUPTED: ErrorKind.UNAVAILABLE,
}


def failure(kind: ErrorKind, subject: str, message: str) -> Err[Error]:
    """An error to raise."""
    return Err(Error(kind, message, subject, None, None, None, None))


def invalid(subject: str, message: str) -> Err[Error]:
    return failure(ErrorKind.INVALID_ARGUMENT, subject, message)


def unsupported(operation: str, reason: str) -> Err[Error]:
    return failure(ErrorKind.UNSUPPORTED, operation, f"{operation}: {reason}")


@contextmanager
def about(subject: str) -> Iterator[None]:
    """What wasi:filesystem refuses inside becomes an error of the contract about this path."""
    try:
        yield
    except Err as error:
        if not isinstance(error.value, ErrorCode):
            raise
        kind = KINDS.get(error.value, ErrorKind.OTHER)
        words = error.value.name.lower().replace("_", " ")
        raise failure(kind, subject, f"{subject}: {words}") from None


def code_of(error: Err) -> ErrorCode | None:
    """What wasi:filesystem said, if it was that."""
    return error.value if isinstance(error.value, ErrorCode) else None
