"""AiiDA's transport over FirecREST."""

from __future__ import annotations

import fnmatch
import glob
import os
import posixpath
import shlex
import shutil
import stat
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from pathlib import PurePath
from typing import Any, ClassVar, Optional, TypeVar, Union

from aiida.common.exceptions import InvalidOperation
from aiida.common.lang import classproperty
from aiida.transports.transport import AsyncTransport, Transport, has_magic
from aiida.transports.util import FileAttribute

from . import _native, calling, local
from .attributes import attributes_of, with_attributes
from .calling import do, each
from .errors import AlreadyExistsError, DirectoryError, NotDirectoryError, NotFoundError, TooLargeError

T = TypeVar("T")
AnyPath = Union[str, PurePath]

_SMALL = 4 * 1024 * 1024
"""Up to so many bytes a file is first sent as one piece. Servers take 5 MiB in one request, as shipped."""

_COMPRESSION = {"tar": "none", "tar.gz": "gzip", "tar.bz2": "bzip2", "tar.xz": "xz"}


class FirecrestTransport(AsyncTransport):
    """A plugin to connect to a FirecREST server.
    It must be used together with the 'firecrest' scheduler plugin.
    Authentication parameters:
      url: URL to the FirecREST server
      token_uri: URI for retrieving FirecREST authentication tokens
      client_id: FirecREST client ID
      client_secret: FirecREST client secret, or the absolute path of a file that holds it
      compute_resource: Name of the system, for example 'daint' or 'eiger'
      billing_account: Operations longer than 5 seconds run as jobs, which some systems bill to an account
      temp_directory: A directory on the server for temporary files (compression, extraction, etc.)
      max_io_allowed: Maximum number of concurrent I/O operations
      checksum_check: Whether to validate the checksum of each file transferred
      api_version: Version of the server; 0 asks the server
      small_file_size_mb: Below this size, file bytes will be sent in a single API call; 0 asks the server.
    """

    # None of AiiDA's common options means anything here: there is no shell to log in to, and no connection to save.
    _common_auth_options: ClassVar[list[Any]] = []
    _DEFAULT_SAFE_OPEN_INTERVAL = 0.0

    def __init__(
        self,
        *,
        url: str,
        token_uri: str,
        client_id: str,
        client_secret: str,
        compute_resource: str,
        temp_directory: Optional[str] = None,
        billing_account: Optional[str] = None,
        max_io_allowed: int = 8,
        checksum_check: bool = False,
        **kwargs: Any,
    ):
        """Takes the values that ``verdi computer configure`` asks for; nothing is sent before the first call.

        :param client_secret: the secret, or the absolute path of a file that holds it.
        :param kwargs: ``api_version``, ``small_file_size_mb``, ``token_auth_method``, ``requests_per_minute`` and ``request_timeout_s``
            as the plugin describes them. What AiiDA passes beyond that, and what older versions of aiida-firecrest stored, is ignored.
        :raises ValueError: a value is missing or of the wrong type; the message names it.
        """
        kwargs.setdefault("safe_interval", 0)
        given: dict[str, Any] = {
            "url": url,
            "token_uri": token_uri,
            "client_id": client_id,
            "client_secret": client_secret,
            "compute_resource": compute_resource,
            "billing_account": billing_account,
            "temp_directory": temp_directory,
            "max_io_allowed": max_io_allowed,
            # Not given: then files past the direct limit are still verified.
            "checksum_check": checksum_check or None,
        }
        for name in ("api_version", "small_file_size_mb", "token_auth_method", "requests_per_minute", "request_timeout_s"):
            given[name] = kwargs.pop(name, None)
        super().__init__(**kwargs)
        for name in ("url", "token_uri", "client_id", "client_secret", "compute_resource"):
            if not isinstance(given[name], str) or not given[name].strip():
                raise ValueError(f"{name} must be a text that is not empty")
        if isinstance(max_io_allowed, bool) or not isinstance(max_io_allowed, int) or max_io_allowed < 1:
            raise ValueError(f"max_io_allowed must be a whole number from 1 on, not {max_io_allowed!r}")
        given["client_secret"] = local.read_secret(client_secret)
        self._machine = compute_resource
        self.checksum_check = bool(checksum_check)
        self._max_io_allowed = max_io_allowed
        self._temp_directory = temp_directory
        options = {name: _text(value) for name, value in given.items() if value is not None}
        self._client = _native.Client(options, max_io_allowed)

    @classproperty
    def auth_options(cls) -> Any:  # noqa: N805
        """What ``verdi computer configure firecrest`` asks for: the plugin's own description of its options."""
        from .configure import auth_options

        return auth_options()

    def __str__(self) -> str:
        return self.__class__.__name__

    @property
    def max_io_allowed(self) -> int:
        """So many calls run at once; others wait."""
        return self._max_io_allowed

    def run_command_blocking(self, func: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """Runs one of this class's coroutine functions to its end. Needs no event loop; KeyboardInterrupt cancels the request."""
        return calling.blocking(func, *args, **kwargs)

    # Opening and closing

    async def open_async(self) -> None:
        """Gets a token and asks the server for its version and limits, if this process has not done so yet.

        :raises InvalidOperation: it is open.
        """
        if self._is_open:
            raise InvalidOperation("Cannot open the transport twice")
        await do(self._client.open())
        self._is_open = True

    async def close_async(self) -> None:
        """Marks it as closed: there is no connection of its own to close.

        :raises InvalidOperation: it is closed.
        """
        if not self._is_open:
            raise InvalidOperation("Cannot close the transport: it is already closed")
        self._is_open = False

    if not hasattr(AsyncTransport, "__aenter__"):
        # Before AiiDA 2.8: `async with`, nested as `with` is.
        async def __aenter__(self) -> FirecrestTransport:
            if self._enters == 0:
                if self._is_open:
                    self._enters += 1
                else:
                    await self.open_async()
            self._enters += 1
            return self

        async def __aexit__(self, type_: Any, value: Any, traceback: Any) -> None:
            self._enters -= 1
            if self._enters == 0:
                await self.close_async()

    # Attributes

    async def _stat(self, path: AnyPath) -> Optional[dict[str, Any]]:
        """What the path leads to; none: nothing."""
        path = str(path)
        if not path:
            return None
        try:
            return await do(self._client.stat(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def _kind(self, path: AnyPath) -> Optional[str]:
        found = await self._stat(path)
        return found["kind"] if found is not None else None

    async def path_exists_async(self, path: AnyPath) -> bool:
        """Whether something is there, after following symlinks."""
        return await self._stat(path) is not None

    async def isdir_async(self, path: AnyPath) -> bool:
        """Whether it is a directory, or a symlink that leads to one."""
        return await self._kind(path) == "directory"

    async def isfile_async(self, path: AnyPath) -> bool:
        """Whether it is a regular file, or a symlink that leads to one."""
        return await self._kind(path) == "regular"

    async def get_attribute_async(self, path: AnyPath) -> FileAttribute:
        """The attributes of the path itself: a symlink is not followed, as in AiiDA's other transports."""
        return attributes_of(await do(self._client.lstat(str(path))))

    async def get_mode_async(self, path: AnyPath) -> int:
        """The permission bits that chmod would set: of what a symlink leads to."""
        return stat.S_IMODE((await do(self._client.stat(str(path))))["mode"])

    async def chmod_async(self, path: AnyPath, mode: int) -> None:
        """Sets permission bits; a symlink is followed."""
        if isinstance(mode, bool) or not isinstance(mode, int):
            raise TypeError(f"mode must be an integer, not {mode!r}")
        if not 0 <= mode <= 0o7777:
            raise ValueError(f"mode must be between 0 and 0o7777, not {mode:#o}")
        await do(self._client.chmod(str(path), mode))

    async def chown_async(self, path: AnyPath, uid: int, gid: int) -> None:
        """Sets owner and group by number; -1 leaves what is there. The server lets hardly anybody do so: then PermissionError."""
        owner = None if uid == -1 else uid
        group = None if gid == -1 else gid
        await do(self._client.chown(str(path), owner, group))

    async def is_symlink_async(self, path: AnyPath) -> bool:
        """Whether the path itself is a symlink."""
        try:
            return bool((await do(self._client.lstat(str(path))))["kind"] == "symlink")
        except (FileNotFoundError, NotADirectoryError):
            return False

    def is_symlink(self, path: AnyPath) -> bool:
        """Whether the path itself is a symlink."""
        return self.run_command_blocking(self.is_symlink_async, path)

    # Directories

    async def listdir_async(
        self, path: AnyPath, pattern: Optional[str] = None, recursive: bool = False, hidden: bool = True
    ) -> list[str]:
        """The names in a directory, in no order. One request.

        :param pattern: only names that match this shell pattern; a leading dot has to be matched literally.
        :param recursive: everything below, as paths relative to the directory.
        :param hidden: names that begin with a dot, too.
        """
        entries = await do(self._client.list(str(path), recursive, hidden))
        return [name for name in map(_name, entries) if _matches(name, pattern)]

    async def listdir_withattributes_async(self, path: AnyPath, pattern: Optional[str] = None) -> list[dict[str, Any]]:
        """The entries of a directory with their attributes: one request for all, and one for each owner whose number is not known yet.

        A listing tells times without their zone; it is taken from one entry of each owner, and ``st_atime`` is the time of modification.
        """
        path = str(path)
        entries = await do(self._client.list(path))
        chosen = [entry for entry in entries if _matches(_name(entry), pattern)]
        return await with_attributes(self._client, path, [(_name(entry), entry) for entry in chosen])

    async def mkdir_async(self, path: AnyPath, ignore_existing: bool = False) -> None:
        """Makes a directory; its parent has to be there."""
        await do(self._client.mkdir(str(path), False, ignore_existing))

    async def makedirs_async(self, path: AnyPath, ignore_existing: bool = False) -> None:
        """Makes a directory and all that is missing above it."""
        await do(self._client.mkdir(str(path), True, ignore_existing))

    async def normalize_async(self, path: AnyPath = ".") -> str:
        """The path without ``.``, ``..`` and double slashes. By its letters alone: FirecREST resolves no symlinks."""
        return posixpath.normpath(str(path))

    async def remove_async(self, path: AnyPath) -> None:
        """Removes a file or a symlink.

        :raises OSError: nothing there, or a directory.
        """
        path = str(path)
        if (await do(self._client.lstat(path)))["kind"] == "directory":
            raise DirectoryError(f"{path}: is a directory, and remove takes files only", subject=path)
        await do(self._client.remove(path, True))

    async def rmdir_async(self, path: AnyPath) -> None:
        """Removes an empty directory.

        :raises OSError: nothing there, no directory, or not empty.
        """
        path = str(path)
        if (await do(self._client.lstat(path)))["kind"] != "directory":
            raise NotDirectoryError(f"{path}: is not a directory", subject=path)
        await do(self._client.remove(path))

    async def rmtree_async(self, path: AnyPath) -> None:
        """Removes a directory with all that is in it, or a file. What is not there is no error, as in AiiDA's other transports."""
        path = str(path)
        if not path:
            raise NotFoundError("rmtree needs a path")
        try:
            await do(self._client.remove_tree(path))
        except FileNotFoundError:
            pass

    async def rename_async(self, oldpath: AnyPath, newpath: AnyPath) -> None:
        """Moves to a new name, which must not be taken.

        :raises OSError: nothing there, or the new name is taken.
        :raises ValueError: a path is empty.
        """
        source, target = str(oldpath), str(newpath)
        if not source or not target:
            raise ValueError("rename needs two paths that are not empty")
        await do(self._client.rename(source, target))

    async def symlink_async(self, remotesource: AnyPath, remotedestination: AnyPath) -> None:
        """Makes ``remotedestination`` a symlink to ``remotesource``, which may be a pattern: then links of the same names are made in it."""
        target, link = posixpath.normpath(str(remotesource)), posixpath.normpath(str(remotedestination))
        if not has_magic(target):
            await do(self._client.symlink(target, link))
            return
        if has_magic(link):
            raise ValueError("Remotedestination cannot have patterns")
        paths = await do(self._client.glob(target))
        await each([self._linker(path, posixpath.join(link, posixpath.basename(path))) for path in paths])

    def _linker(self, target: str, link: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def make() -> None:
            await do(self._client.symlink(target, link))

        return make

    async def glob_async(self, pathname: AnyPath, ignore_nonexisting: bool = True) -> list[str]:
        """The paths that match a pattern, sorted.

        :param ignore_nonexisting: no match is no error.
        """
        pattern = str(pathname)
        paths = await do(self._client.glob(pattern))
        if not paths and not ignore_nonexisting:
            raise NotFoundError(f"{pattern}: nothing matches", subject=pattern)
        return paths

    async def iglob_async(self, pathname: AnyPath) -> AsyncGenerator[str, None]:
        """The paths that match a pattern, one by one."""
        for path in await self.glob_async(pathname):
            yield path

    def iglob(self, pathname: AnyPath) -> Iterator[str]:
        """The paths that match a pattern, one by one."""
        return iter(self.glob(pathname))

    # On the cluster

    async def copy_async(
        self,
        remotesource: AnyPath,
        remotedestination: AnyPath,
        dereference: bool = False,
        recursive: bool = True,
        preserve: bool = False,
    ) -> None:
        """Copies a file or a directory, into the destination where that is a directory.

        :param remotesource: its last name may be a pattern; several matches need a directory as their destination.
        :param recursive: false: a directory is an error.
        :param preserve: permission bits always come along.
        """
        source, target = _copied(remotesource, remotedestination)
        if has_magic(source):
            if has_magic(target):
                raise ValueError("Pathname patterns are not allowed in the remotedestination")
            paths = await self.glob_async(source, ignore_nonexisting=False)
            if len(paths) > 1:
                if await self._kind(target) != "directory":
                    raise NotDirectoryError(
                        f"{target}: is not a directory, and {len(paths)} things match {source}", subject=target
                    )
                if not has_magic(posixpath.dirname(source)):
                    await do(self._client.copy(source, target, dereference))
                    return
            for path in paths:
                await self._copy(path, target, dereference, recursive)
            return
        await self._copy(source, target, dereference, recursive)

    async def _copy(self, source: str, target: str, dereference: bool, recursive: bool) -> None:
        if not recursive and await self.isdir_async(source):
            raise DirectoryError(f"{source}: is a directory, and recursive is false", subject=source)
        await do(self._client.copy(source, target, dereference))

    async def copyfile_async(
        self, remotesource: AnyPath, remotedestination: AnyPath, dereference: bool = False, preserve: bool = False
    ) -> None:
        """Copies a file.

        :param dereference: false: a symlink is copied as a symlink.
        """
        source, target = _copied(remotesource, remotedestination)
        if (await do(self._client.stat(source)))["kind"] == "directory":
            raise DirectoryError(f"{source}: is a directory, and copyfile takes files", subject=source)
        await do(self._client.copy(source, target, dereference))

    async def copytree_async(
        self, remotesource: AnyPath, remotedestination: AnyPath, dereference: bool = False, preserve: bool = False
    ) -> None:
        """Copies a directory, into the destination where that is a directory."""
        source, target = _copied(remotesource, remotedestination)
        if (await do(self._client.stat(source)))["kind"] != "directory":
            raise NotDirectoryError(f"{source}: is not a directory", subject=source)
        await do(self._client.copy(source, target, dereference))

    async def compress_async(
        self,
        format: str,
        remotesources: Any,
        remotedestination: AnyPath,
        root_dir: AnyPath,
        overwrite: bool = True,
        dereference: bool = False,
    ) -> None:
        """Packs files and directories into an archive on the cluster.

        :param format: ``tar``, ``tar.gz``, ``tar.bz2`` or ``tar.xz``.
        :param remotesources: a path or a list of them, patterns too, all below ``root_dir``.
        :param root_dir: what names in the archive are relative to.
        """
        if format not in _COMPRESSION:
            raise ValueError(f"Unsupported compression format: {format}; supported are {', '.join(_COMPRESSION)}")
        archive, root = str(remotedestination), posixpath.normpath(str(root_dir))
        if not await self.isdir_async(root):
            raise NotDirectoryError(f"The relative root {root} does not exist, or is not a directory.", subject=root)
        sources: list[str] = []
        for source in remotesources if isinstance(remotesources, (list, tuple)) else [remotesources]:
            path = posixpath.normpath(str(source))
            if path == root:
                sources += [posixpath.join(root, name) for name in await self.listdir_async(root)]
            elif has_magic(path):
                sources += await self.glob_async(path, ignore_nonexisting=False)
            else:
                sources.append(path)
        if not sources:
            raise NotFoundError(f"There is nothing to pack in {root}", subject=root)
        await self.makedirs_async(posixpath.dirname(archive), ignore_existing=True)
        await do(self._client.compress(sources, archive, _COMPRESSION[format], root, dereference, overwrite))

    async def extract_async(
        self,
        remotesource: AnyPath,
        remotedestination: AnyPath,
        overwrite: bool = True,
        strip_components: int = 0,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Unpacks an archive on the cluster into a directory, which is made if missing."""
        if not overwrite:
            raise NotImplementedError("The overwrite=False is not implemented yet")
        await do(self._client.extract(str(remotesource), str(remotedestination), strip_components))

    async def exec_command_wait_bytes_async(
        self,
        command: str,
        stdin: Any = None,
        workdir: Optional[AnyPath] = None,
        timeout: Optional[float] = None,
        **kwargs: Any,
    ) -> tuple[int, bytes, bytes]:
        """Runs a command as a short job and waits for it: exit code, stdout, stderr.

        It takes as long as a job takes to be scheduled, and is billed like one.

        :param stdin: text, bytes, or a file-like object of either.
        :param timeout: seconds after which the job is ended.
        """
        limit = None if timeout is None else max(1, int(timeout))
        folder = None if workdir is None or not str(workdir) else str(workdir)
        return await do(self._client.exec(command, folder, _stdin(stdin), limit))

    async def exec_command_wait_async(
        self,
        command: str,
        stdin: Any = None,
        encoding: str = "utf-8",
        workdir: Optional[AnyPath] = None,
        **kwargs: Any,
    ) -> tuple[int, str, str]:
        """As :meth:`exec_command_wait_bytes_async`, decoded."""
        code, stdout, stderr = await self.exec_command_wait_bytes_async(command, stdin, workdir, **kwargs)
        return code, stdout.decode(encoding), stderr.decode(encoding)

    def exec_command_wait_bytes(
        self, command: str, stdin: Any = None, workdir: Optional[AnyPath] = None, **kwargs: Any
    ) -> tuple[int, bytes, bytes]:
        """See :meth:`exec_command_wait_bytes_async`."""
        return self.run_command_blocking(self.exec_command_wait_bytes_async, command, stdin, workdir, **kwargs)

    def _exec_command_internal(self, command: str, workdir: Optional[AnyPath] = None, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "FirecREST has no running command to talk to: use exec_command_wait, which runs it as a job"
        )

    async def exec_command_internal_async(self, command: str, workdir: Optional[AnyPath] = None, **kwargs: Any) -> Any:
        """Not possible: there is no process to talk to."""
        return self._exec_command_internal(command, workdir, **kwargs)

    async def whoami_async(self) -> str:
        """My name on the cluster."""
        return str((await do(self._client.whoami()))["name"])

    def gotocomputer_command(self, remotedir: Optional[AnyPath] = None) -> str:
        """A command that explains: FirecREST opens no shell."""
        lines = [f"FirecREST is a REST API and opens no shell on {self._machine}."]
        if remotedir is not None:
            lines.append(f"The folder there is {remotedir}")
        lines.append("Look at it with: verdi calcjob remotels, verdi calcjob remotecat, verdi data core.remote ls")
        return "printf '%s\\n' " + " ".join(shlex.quote(line) for line in lines)

    # To the cluster

    async def put_async(
        self,
        localpath: AnyPath,
        remotepath: AnyPath,
        dereference: bool = True,
        overwrite: bool = True,
        ignore_nonexisting: bool = False,
        preserve: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Moves a local file or directory to the cluster, into the target where that is a directory.

        :param localpath: absolute; may be a pattern. Several matches need a directory as their target.
        :param dereference: false: symlinks inside a directory stay symlinks.
        :param overwrite: false: something there is an error, and nothing is changed.
        :param ignore_nonexisting: a source that is not there is no error.
        :param preserve: an executable stays one in any case; times are the server's.
        """
        source, target = _put(localpath, remotepath)
        ignore = ignore_nonexisting or kwargs.get("ignore_noexisting", False)
        if has_magic(source) and not os.path.lexists(source):
            await self._put_pattern(source, target, dereference, overwrite, ignore)
        elif os.path.isdir(source):
            await self.puttree_async(localpath, target, dereference, overwrite)
        elif os.path.exists(source):
            await self._send(source, target, overwrite, into=True)
        elif not ignore:
            raise NotFoundError(f"The local path {source} does not exist", subject=source)

    async def _put_pattern(self, source: str, target: str, dereference: bool, overwrite: bool, ignore: bool) -> None:
        if has_magic(target):
            raise ValueError("Pathname patterns are not allowed in the remotepath")
        paths = sorted(glob.glob(source))
        if not paths and not ignore:
            raise NotFoundError(f"{source}: nothing matches", subject=source)
        if len(paths) > 1 and await self._kind(target) != "directory":
            raise NotDirectoryError(
                f"{target}: is not a directory, and {len(paths)} things match {source}", subject=target
            )

        def putter(path: str) -> Callable[[], Coroutine[Any, Any, None]]:
            async def put() -> None:
                if os.path.isdir(path):
                    await self.puttree_async(path, target, dereference, overwrite)
                else:
                    place = posixpath.join(target, os.path.basename(path)) if len(paths) > 1 else target
                    await self._send(path, place, overwrite, into=len(paths) == 1)

            return put

        await each([putter(path) for path in paths])

    async def putfile_async(
        self,
        localpath: AnyPath,
        remotepath: AnyPath,
        dereference: bool = True,
        overwrite: bool = True,
        preserve: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Moves a local file to the cluster, to exactly this path.

        :raises ValueError: the local path is not absolute, or names no file.
        :raises OSError: it does not exist, or the target is a directory, or may not be replaced.
        """
        source, target = _put(localpath, remotepath)
        if not os.path.exists(source):
            raise NotFoundError(f"The local path {source} does not exist", subject=source)
        if not os.path.isfile(source):
            raise ValueError(f"The local path {source} is not a file")
        await self._send(source, target, overwrite, into=False)

    async def _send(self, source: str, target: str, overwrite: bool, into: bool) -> None:
        """One file, to the target, or into it where it is a directory and ``into`` allows that."""
        # The sandbox follows no symlink out of the folder that it is granted: so it is granted the file's real folder.
        real = os.path.realpath(source)
        found = os.stat(real)
        inner = posixpath.join(target, os.path.basename(source))
        if overwrite and not self.checksum_check and found.st_size <= _SMALL:
            mode = stat.S_IMODE(found.st_mode) & 0o777 if found.st_mode & 0o111 else None
            try:
                await do(self._client.write_file(real, target, mode))
                return
            except IsADirectoryError:
                if not into:
                    raise
            except TooLargeError:
                # The server's limit is lower than usual.
                await self._send_large(real, target, inner, overwrite, into)
                return
            await do(self._client.write_file(real, inner, mode))
            return
        await self._send_large(real, target, inner, overwrite, into)

    async def _send_large(self, real: str, target: str, inner: str, overwrite: bool, into: bool) -> None:
        kind = await self._kind(target)
        if kind == "directory":
            if not into:
                raise DirectoryError(f"{target}: is a directory", subject=target)
            target = inner
            kind = None if overwrite else await self._kind(target)
        if kind is not None and not overwrite:
            raise AlreadyExistsError(f"{target}: is already there", subject=target)
        await do(self._client.put(real, target, overwrite))

    async def puttree_async(
        self,
        localpath: AnyPath,
        remotepath: AnyPath,
        dereference: bool = True,
        overwrite: bool = True,
        preserve: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Moves a local directory to the cluster: it becomes the target, or an entry of it where that is a directory.

        :raises ValueError: the local path is not absolute, or no directory.
        :raises OSError: it does not exist, or the target is a file, or may not be replaced.
        """
        source, target = _put(localpath, remotepath)
        if not os.path.exists(source):
            raise NotFoundError(f"The local path {source} does not exist", subject=source)
        if not os.path.isdir(source):
            raise ValueError(f"The local path {source} is not a directory")
        if not overwrite and await self.path_exists_async(target):
            raise AlreadyExistsError(f"{target}: is already there", subject=target)
        target = posixpath.normpath(target)
        # A path that ends in a slash or a dot names no entry: what is in it goes to the target itself.
        nameless = str(localpath).endswith(("/", "/.")) and await self.isdir_async(target)
        # Its real path, but under its own name.
        name = os.path.basename(os.path.normpath(source))
        if not dereference and local.has_absolute_links(os.path.realpath(source)):
            within = not nameless and await self.isdir_async(target)
            await self._put_packed(os.path.realpath(source), posixpath.join(target, name) if within else target)
            return
        with local.self_contained(os.path.realpath(source), name, dereference) as folder:
            if not nameless:
                await do(self._client.put(folder, target, True, dereference))
                return
            for entry in sorted(os.listdir(folder)):
                path = os.path.join(folder, entry)
                if os.path.isdir(path):
                    await do(self._client.put(path, target, True, dereference))
                else:
                    await self._send(path, posixpath.join(target, entry), True, into=False)

    async def _put_packed(self, folder: str, target: str) -> None:
        """A folder with symlinks that the sandbox cannot read, as one archive."""
        remote = self._temporary(posixpath.dirname(target))
        with tempfile.TemporaryDirectory(prefix="aiida-firecrest-") as around:
            archive = os.path.join(around, "packed.tar")
            local.pack(folder, archive)
            try:
                await self._send(archive, remote, True, into=False)
                await do(self._client.extract(remote, target, 0))
            finally:
                await self._forget(remote)

    def _temporary(self, otherwise: str) -> str:
        """A fresh name for an archive on the cluster."""
        return posixpath.join(self._temp_directory or otherwise, f".aiida-firecrest-{uuid.uuid4().hex}.tar")

    async def _forget(self, remote: str) -> None:
        try:
            await do(self._client.remove(remote, True))
        except FileNotFoundError:
            pass

    # From the cluster

    async def get_async(
        self,
        remotepath: AnyPath,
        localpath: AnyPath,
        dereference: bool = True,
        overwrite: bool = True,
        ignore_nonexisting: bool = False,
        preserve: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Moves a file or directory from the cluster, into the local target where that is a directory.

        :param remotepath: may be a pattern. Several matches need a directory as their target.
        :param localpath: absolute.
        :param dereference: false: symlinks inside a directory stay symlinks.
        :param overwrite: false: something there is an error, and nothing is changed.
        :param ignore_nonexisting: a source that is not there is no error.
        """
        source, target = _got(remotepath, localpath)
        if has_magic(source) and has_magic(target):
            raise ValueError("Pathname patterns are not allowed in the localpath")
        ignore = ignore_nonexisting or kwargs.get("ignore_noexisting", False)
        if source.endswith(("/", "/.")) and os.path.isdir(target) and await self.isdir_async(source):
            await self._get_contents(source, target, dereference)
            return
        if not overwrite and os.path.exists(target) and not os.path.isfile(target) and await self.isdir_async(source):
            raise AlreadyExistsError(f"{target}: is already there", subject=target)
        try:
            await do(self._client.get(source, local.resolved(target), overwrite, dereference, ignore))
        except PermissionError:
            if dereference or not await self.isdir_async(source):
                raise
            await self._get_tree(posixpath.normpath(source), target, overwrite, dereference, False)

    async def getfile_async(
        self,
        remotepath: AnyPath,
        localpath: AnyPath,
        dereference: bool = True,
        overwrite: bool = True,
        preserve: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Moves a file from the cluster, to exactly this local path.

        :raises ValueError: the local path is not absolute.
        :raises OSError: nothing there, or a directory on either side, or the local file may not be replaced.
        """
        source, target = _got(remotepath, localpath)
        if os.path.isdir(target):
            raise DirectoryError(f"{target}: is a directory", subject=target)
        if not overwrite and os.path.lexists(target):
            raise AlreadyExistsError(f"{target}: is already there", subject=target)
        found = await do(self._client.stat(source))
        if found["kind"] == "directory":
            raise DirectoryError(f"{source}: is a directory, and getfile takes files", subject=source)
        # Known, so that nobody looks again; but that it is empty the component wants to see itself.
        size = found["size"] or None
        mode = stat.S_IMODE(found["mode"]) & 0o777
        await do(self._client.get(source, local.resolved(target), overwrite, True, False, False, size, mode))

    async def gettree_async(
        self,
        remotepath: AnyPath,
        localpath: AnyPath,
        dereference: bool = True,
        overwrite: bool = True,
        preserve: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Moves a directory from the cluster: it becomes the local target, or an entry of it where that is a directory.

        :raises ValueError: the local path is not absolute.
        :raises OSError: no directory there, or the local target is a file, or may not be replaced.
        """
        source, target = _got(remotepath, localpath)
        if os.path.isfile(target):
            raise NotDirectoryError(f"{target}: cannot copy a directory into a file", subject=target)
        if not overwrite and os.path.lexists(target):
            raise AlreadyExistsError(f"{target}: is already there", subject=target)
        if (await do(self._client.stat(source)))["kind"] != "directory":
            raise NotDirectoryError(f"{source}: is not a directory", subject=source)
        if source.endswith(("/", "/.")) and os.path.isdir(target):
            await self._get_contents(source, target, dereference)
            return
        # AiiDA's own transports make what is missing above the target.
        await self._get_tree(posixpath.normpath(source), target, overwrite, dereference, True)

    async def _get_tree(self, source: str, target: str, overwrite: bool, dereference: bool, parents: bool) -> None:
        try:
            await do(self._client.get(source, local.resolved(target), overwrite, dereference, False, parents))
        except PermissionError:
            if dereference:
                raise
            # The sandbox makes no symlink to an absolute path. Any other refusal comes again.
            folder = os.path.join(target, posixpath.basename(source)) if os.path.isdir(target) else target
            await self._get_packed(source, folder)

    async def _get_packed(self, source: str, folder: str) -> None:
        """A directory with symlinks that the sandbox cannot make, as one archive."""
        remote = self._temporary(posixpath.dirname(source))
        with tempfile.TemporaryDirectory(prefix="aiida-firecrest-") as around:
            archive = os.path.join(around, "packed.tar")
            try:
                await do(self._client.compress([source], remote, "none", None, False, True))
                await do(self._client.get(remote, archive))
            finally:
                await self._forget(remote)
            os.makedirs(folder, exist_ok=True)
            local.unpack(archive, folder)

    async def _get_contents(self, source: str, target: str, dereference: bool) -> None:
        """What is in a directory, into a local one."""
        with tempfile.TemporaryDirectory(dir=target, prefix=".aiida-firecrest-") as folder:
            inner = os.path.join(folder, "contents")
            await self._get_tree(posixpath.normpath(source), inner, True, dereference, False)
            shutil.copytree(inner, target, symlinks=True, dirs_exist_ok=True, copy_function=local.replace)

    # Between computers

    async def copy_from_remote_to_remote_async(
        self, transportdestination: Transport, remotesource: AnyPath, remotedestination: AnyPath, **kwargs: Any
    ) -> None:
        """Copies from this computer to another one, whatever its transport is.

        Between two FirecREST systems it is streamed through. To another transport it goes by way of a local folder, as in AiiDA.

        :param kwargs: ``dereference`` for reading; ``overwrite``, ``ignore_nonexisting`` and ``callback`` for writing.
        """
        dereference = kwargs.pop("dereference", True)
        to_put = {
            "callback": kwargs.pop("callback", None),
            "dereference": True,
            "overwrite": kwargs.pop("overwrite", True),
            "ignore_nonexisting": kwargs.pop("ignore_nonexisting", False),
        }
        if kwargs:
            self.logger.error("Unknown parameters passed to copy_from_remote_to_remote: %s", ", ".join(sorted(kwargs)))
        source, target = str(remotesource), str(remotedestination)
        if isinstance(transportdestination, FirecrestTransport) and to_put["overwrite"] and not has_magic(source):
            try:
                await do(self._client.copy_to(source, transportdestination._client, target, dereference))
                return
            except (TooLargeError, NotImplementedError):
                # Past what can be streamed through: by way of this machine's disk.
                pass
        from aiida.common.folders import SandboxFolder

        with SandboxFolder() as sandbox:
            await self.get_async(source, sandbox.abspath, dereference=dereference)
            for name in sorted(sandbox.get_content_list()):
                path = os.path.join(sandbox.abspath, name)
                if isinstance(transportdestination, AsyncTransport) and not calling.in_place():
                    await transportdestination.put_async(path, target, **to_put)
                else:
                    transportdestination.put(path, target, **to_put)

    def copy_from_remote_to_remote(
        self, transportdestination: Transport, remotesource: AnyPath, remotedestination: AnyPath, **kwargs: Any
    ) -> None:
        """See :meth:`copy_from_remote_to_remote_async`."""
        self.run_command_blocking(
            self.copy_from_remote_to_remote_async, transportdestination, remotesource, remotedestination, **kwargs
        )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _name(entry: dict[str, Any]) -> str:
    raw = entry["raw_path"]
    return os.fsdecode(raw) if raw is not None else entry["path"]


def _matches(name: str, pattern: Optional[str]) -> bool:
    if not pattern:
        return True
    last = posixpath.basename(name)
    return fnmatch.fnmatchcase(last, pattern) and (pattern.startswith(".") or not last.startswith("."))


def _copied(remotesource: AnyPath, remotedestination: AnyPath) -> tuple[str, str]:
    source, target = str(remotesource), str(remotedestination)
    if not source:
        raise ValueError("Input remotesource to copy must be a non empty object")
    if not target:
        raise ValueError("Input remotedestination to copy must be a non empty object")
    if posixpath.normpath(source) == posixpath.normpath(target):
        raise ValueError("Cannot copy from itself to itself")
    return posixpath.normpath(source), target


def _put(localpath: AnyPath, remotepath: AnyPath) -> tuple[str, str]:
    source, target = str(localpath), str(remotepath)
    if not os.path.isabs(source):
        raise ValueError(f"The localpath must be an absolute path, not '{source}'")
    if not posixpath.isabs(target):
        raise OSError(f"The remotepath must be an absolute path, not '{target}'")
    return source, target


def _got(remotepath: AnyPath, localpath: AnyPath) -> tuple[str, str]:
    source, target = str(remotepath), str(localpath)
    if not os.path.isabs(target):
        raise ValueError(f"The localpath must be an absolute path, not '{target}'")
    if not posixpath.isabs(source):
        raise OSError(f"The remotepath must be an absolute path, not '{source}'")
    return source, target


def _stdin(given: Any) -> Optional[bytes]:
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return given.encode()
    read = getattr(given, "read", None)
    if read is None:
        raise ValueError("You can only pass strings, bytes, BytesIO or StringIO objects as stdin")
    return _stdin(read())
