"""A place in a granted folder: an open folder, and the way from there.

Every name is resolved by the host below the open folder, never above it: neither `..` nor a symlink leads out. So there is nothing
to check here for safety; what is checked is what POSIX would refuse as well.

Folders are opened anew in each call. A host may grant others for the next one, and what was open before then reads as nothing.
"""

from dataclasses import dataclass

from componentize_py_types import Err
from errors import about, code_of, failure, invalid
from wit_world.imports import permissions, preopens
from wit_world.imports.aiida_hpc_types import ErrorKind, FileKind
from wit_world.imports.wasi_filesystem_types import (
    Descriptor,
    DescriptorFlags,
    DescriptorStat,
    DescriptorType,
    ErrorCode,
    OpenFlags,
    PathFlags,
)

FOLLOW = PathFlags.SYMLINK_FOLLOW
STAY = PathFlags(0)

KINDS = {
    DescriptorType.REGULAR_FILE: FileKind.REGULAR,
    DescriptorType.DIRECTORY: FileKind.DIRECTORY,
    DescriptorType.SYMBOLIC_LINK: FileKind.SYMLINK,
    DescriptorType.BLOCK_DEVICE: FileKind.BLOCK_DEVICE,
    DescriptorType.CHARACTER_DEVICE: FileKind.CHARACTER_DEVICE,
    DescriptorType.FIFO: FileKind.FIFO,
    DescriptorType.SOCKET: FileKind.SOCKET,
}


@dataclass(frozen=True)
class Place:
    """What one path names."""

    folder: Descriptor
    # Relative to the folder; empty for the folder itself.
    name: str
    # As the caller calls it, for errors and for joining.
    shown: str
    # The folder's absolute path on the host, for permission bits.
    base: str

    @property
    def at(self) -> str:
        return self.name or "."

    @property
    def last(self) -> str:
        """Its own name, also where it is the granted folder itself. Empty for the cluster's root."""
        names = [name for name in self.shown.split("/") if name not in ("", ".")]
        return names[-1] if names else ""

    def child(self, name: str) -> "Place":
        inner = f"{self.name}/{name}" if self.name else name
        return Place(self.folder, inner, f"{self.shown.rstrip('/')}/{name}", self.base)

    def parent(self) -> "Place":
        above = self.shown.rstrip("/").rpartition("/")[0] or "/"
        return Place(self.folder, self.name.rpartition("/")[0], above, self.base)

    def stat(self, follow: bool = True) -> DescriptorStat:
        with about(self.shown):
            return self.folder.stat_at(FOLLOW if follow else STAY, self.at)

    def kind(self, follow: bool = True) -> FileKind | None:
        """None: nothing there (a dangling link, where links are followed)."""
        try:
            found = self.folder.stat_at(FOLLOW if follow else STAY, self.at)
        except Err as error:
            if code_of(error) in (ErrorCode.NO_ENTRY, ErrorCode.NOT_DIRECTORY):
                return None
            with about(self.shown):
                raise
        return KINDS.get(found.type, FileKind.UNKNOWN)

    def is_directory(self) -> bool:
        return self.kind() is FileKind.DIRECTORY

    def open(self, to_read: bool = True, create: bool = False, directory: bool = False) -> Descriptor:
        flags = DescriptorFlags.READ if to_read else DescriptorFlags.WRITE
        how = OpenFlags.CREATE | OpenFlags.EXCLUSIVE if create else OpenFlags(0)
        if directory:
            how |= OpenFlags.DIRECTORY
        with about(self.shown):
            return self.folder.open_at(STAY if create else FOLLOW, self.at, how, flags)

    def entries(self) -> list[tuple[str, FileKind]]:
        """Name and kind of what is in a directory, links not followed."""
        found = []
        with about(self.shown), self.open(directory=True) as folder, folder.read_directory() as stream:
            while (entry := stream.read_directory_entry()) is not None:
                found.append((entry.name, KINDS.get(entry.type, FileKind.UNKNOWN)))
        return sorted(found)

    def mkdir(self) -> None:
        with about(self.shown):
            self.folder.create_directory_at(self.at)

    def mkdirs(self) -> None:
        """With missing parents. What is there already is no error here."""
        if self.is_directory():
            return
        if self.name:
            self.parent().mkdirs()
        try:
            self.folder.create_directory_at(self.at)
        except Err as error:
            # Another session may have been quicker.
            if code_of(error) is ErrorCode.EXIST:
                if self.is_directory():
                    return
                raise failure(ErrorKind.NOT_A_DIRECTORY, self.shown, f"{self.shown} is not a directory") from None
            with about(self.shown):
                raise

    def remove(self, directory: bool) -> None:
        with about(self.shown):
            if directory:
                self.folder.remove_directory_at(self.at)
            else:
                self.folder.unlink_file_at(self.at)

    def rename(self, target: "Place") -> None:
        with about(target.shown):
            self.folder.rename_at(self.at, target.folder, target.at)

    def read_link(self) -> str:
        with about(self.shown):
            return self.folder.readlink_at(self.at)

    def mode(self) -> int | None:
        """Permission bits, where the host tells them."""
        return permissions.get(f"{self.base}/{self.name}".rstrip("/"))

    def set_mode(self, mode: int) -> bool:
        return permissions.set(f"{self.base}/{self.name}".rstrip("/"), mode)


def names_of(path: str, what: str) -> list[str]:
    """The names of an absolute path. `..` stays: it is for the host to resolve, where links are known."""
    if not path.startswith("/"):
        raise invalid(path, f"{path!r}: {what} has to be absolute")
    if "\0" in path:
        raise invalid(path, f"{what} holds a NUL character")
    return [name for name in path.split("/") if name not in ("", ".")]


def granted(path: str, what: str = "a local path") -> Place:
    """A path on the host, under the innermost granted folder around it."""
    names = names_of(path, what)
    if ".." in names:
        raise invalid(path, f"{path}: {what} may not hold '..'")
    best: Place | None = None
    for folder, name in preopens.get_directories():
        above = [part for part in name.split("/") if part]
        if names[: len(above)] == above and (best is None or len(name) > len(best.base)):
            best = Place(folder, "/".join(names[len(above) :]), path, name.rstrip("/"))
    if best is None:
        raise failure(ErrorKind.PERMISSION_DENIED, path, f"{path}: no folder around it is granted to this plugin")
    return best


class Folder:
    """The folder that is the cluster: `/` of every remote path."""

    def __init__(self, path: str) -> None:
        self.path = "/" + "/".join(names_of(path, "the option folder"))

    def __truediv__(self, path: str) -> Place:
        names = names_of(path, "a remote path")
        outer = granted(self.path, "the option folder")
        try:
            inner = outer.folder.open_at(FOLLOW, outer.at, OpenFlags.DIRECTORY, writable(outer.folder))
        except Err:
            with about(self.path):
                raise
        return Place(inner, "/".join(names), path, self.path)

    def check(self) -> None:
        """It is granted, there, and a folder."""
        self / "/"


def writable(folder: Descriptor) -> DescriptorFlags:
    """A folder is opened for writing inside it only where it was granted so."""
    may = folder.get_flags() & DescriptorFlags.MUTATE_DIRECTORY
    return DescriptorFlags.READ | may
