"""Local files: what AiiDA's semantics need beyond the sandbox.

The component sees one granted folder and follows no symlink that leads out of it. Where AiiDA says that symlinks are followed, they are
followed here, before the folder is granted.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import AccessDeniedError, NotFoundError


def read_secret(value: str) -> str:
    """The secret itself, or the text of the file whose absolute path is given.

    :raises ValueError: the file cannot be read. The message holds its path, never its text.
    """
    path = os.path.expanduser(value)
    if not os.path.isabs(path):
        return value
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"client_secret: the file {path} cannot be read: {error.strerror}") from error
    if not text:
        raise ValueError(f"client_secret: the file {path} is empty")
    return text


def resolved(target: str) -> str:
    """Where a local target really is: what is written to a symlink is written to what it leads to."""
    return os.path.realpath(target) if os.path.islink(target) else target


def replace(source: str, target: str) -> str:
    """Moves a file over another one, for :func:`shutil.copytree`."""
    return str(shutil.move(source, target)) if not os.path.lexists(target) else _over(source, target)


def _over(source: str, target: str) -> str:
    os.replace(source, target)
    return target


@contextmanager
def self_contained(folder: str, name: str, dereference: bool) -> Iterator[str]:
    """The folder under this name, such that no symlink has to be followed out of it.

    It is the folder itself, as a rule. Where it has another name, or symlinks that lead out of it and are to be followed, it is a
    copy: of hard links where the file system allows, so that no bytes are written.
    """
    if os.path.basename(folder) == name and not (dereference and _leaves(folder)):
        yield folder
        return
    # Beside the folder hard links are possible, but who may read a folder need not be allowed to write beside it.
    with tempfile.TemporaryDirectory(prefix="aiida-firecrest-") as around:
        copy = os.path.join(around, name)
        try:
            shutil.copytree(folder, copy, symlinks=not dereference, copy_function=_link)
        except shutil.Error as error:
            source, _, why = error.args[0][0]
            raise NotFoundError(f"{source}: {why}", subject=source) from error
        yield copy


def has_absolute_links(folder: str) -> bool:
    """Is there a symlink below it whose target is absolute? The sandbox reads none such."""
    return any(os.path.isabs(os.readlink(link)) for link in _links(folder))


def pack(folder: str, archive: str) -> None:
    """Packs what is in a folder, symlinks as they are."""
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, arcname=".")


def unpack(archive: str, folder: str) -> None:
    """Unpacks an archive whose members lie in one directory, which becomes the folder.

    It comes from a cluster: nothing in it is written outside the folder. So symlinks are made last, when nothing can go through them any more,
    and no name leads up or away.
    """
    links = []
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = [part for part in member.name.split("/") if part not in ("", ".")][1:]
            if ".." in parts:
                raise AccessDeniedError(f"{member.name}: leads out of {folder}")
            path = os.path.join(folder, *parts)
            if member.issym():
                links.append((member.linkname, path))
            elif member.isdir():
                os.makedirs(path, exist_ok=True)
            elif member.isreg():
                os.makedirs(os.path.dirname(path), exist_ok=True)
                source = tar.extractfile(member)
                assert source is not None
                with source, open(path, "wb") as file:
                    shutil.copyfileobj(source, file)
                os.chmod(path, member.mode & 0o777)
    for target, path in links:
        if os.path.lexists(path):
            os.remove(path)
        os.symlink(target, path)


def _leaves(folder: str) -> bool:
    """Is there a symlink below it that the sandbox would not follow: to an absolute path, or out of the folder?"""
    inside = folder.rstrip("/") + "/"
    return any(os.path.isabs(os.readlink(link)) or not os.path.realpath(link).startswith(inside) for link in _links(folder))


def _links(folder: str) -> Iterator[str]:
    """The symlinks below a folder."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield entry.path
                elif entry.is_dir():
                    waiting.append(entry.path)


def _link(source: str, target: str) -> str:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
    return target
