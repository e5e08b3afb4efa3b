"""The contract's `transport`: files of one granted folder.

The module's and the class's names are those that componentize-py looks for: an interface's resources are classes of the module that is
called like the interface.
"""

from __future__ import annotations

import time

import passing
from componentize_py_types import Err
from errors import about, failure, invalid, unsupported
from patterns import expand, is_pattern, matcher
from options import settings
from place import FOLLOW, STAY, Folder, Place, granted
from transfer import DEFAULT, Transfer, beside, discard, replace, sha256, write_all
from watch import Watch
from wit_world import exports
from wit_world.exports import configuration
from wit_world.exports.transport import Entry, FileStat, ListOptions, TransferOptions, TransferSummary
from wit_world.imports import streams
from wit_world.imports.aiida_hpc_types import ErrorKind, FileKind
from wit_world.imports.wasi_filesystem_types import DescriptorStat

# What `read` and `write` take: the bytes are in the guest's memory twice, as the call's and as Python's own.
MOST = 16 << 20
# Bytes between a file and a stream at once; wasi:io's own limit for a write that waits is 4 KiB.
PIECE = 64 << 10
STREAM_WRITE = 4096

# Type bits of st_mode.
TYPES = {FileKind.REGULAR: 0o100000, FileKind.DIRECTORY: 0o040000, FileKind.SYMLINK: 0o120000}
# wasi:filesystem has no owners. 65534 is the kernel's own number for one that it cannot name.
NOBODY, NOBODY_NAME = 65534, "nobody"


class Session(exports.transport.Session):
    """An open folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    @classmethod
    def open(cls, values, state) -> "Session":
        folder = Folder(settings(values))
        folder.check()
        return cls(folder)

    def state(self) -> bytes:
        """Opening costs nothing that another session could be spared."""
        return b""

    def origins(self) -> list[str]:
        return []

    def mark(self) -> str:
        return passing.mark()

    def tidy(self, mark: str, places: list[str]) -> int:
        """What a session that was killed left beside the targets of its calls."""
        if len(mark) != 16 or set(mark) - set("0123456789abcdef"):
            raise invalid(mark, f"{mark!r} is not a mark: 16 hexadecimal digits")
        return sum(passing.tidy(mark, self.folder / place) for place in places)

    def whoami(self) -> configuration.Identity:
        # No numbers: whoever the host runs as, WASI does not tell.
        return configuration.Identity(NOBODY_NAME, None, NOBODY_NAME, None, [NOBODY_NAME], [], None)

    # ---- what is there

    def stat(self, path: str) -> FileStat:
        return attributes(self.folder / path, follow=True)

    def lstat(self, path: str) -> FileStat:
        return attributes(self.folder / path, follow=False)

    def exists(self, path: str) -> bool:
        return (self.folder / path).kind() is not None

    def list(self, path: str, options: ListOptions) -> list[Entry]:
        place = self.folder / path
        if place.stat().type.name != "DIRECTORY":
            raise failure(ErrorKind.NOT_A_DIRECTORY, path, f"{path} is not a directory")
        fits = matcher("*" if options.pattern is None else options.pattern, options.hidden)
        return list(listing(place, "", options, fits))

    def glob(self, pattern: str) -> list[str]:
        return [f"/{place.name}" for place in expand(self.folder / "/", checked(pattern))]

    # ---- changes

    def mkdir(self, path: str, parents: bool, exist_ok: bool) -> None:
        place = self.folder / path
        there = place.kind(follow=False)
        if there is not None:
            if exist_ok and place.is_directory():
                return
            raise failure(ErrorKind.ALREADY_EXISTS, path, f"{path} is there already")
        if parents:
            place.parent().mkdirs()
        place.mkdir()

    def remove(self, path: str, kind: FileKind | None) -> None:
        """What the caller believes it to be does not matter: looking is free here."""
        place = not_root(self.folder / path)
        found = place.kind(follow=False)
        if found is None:
            raise failure(ErrorKind.NOT_FOUND, path, f"{path}: nothing there")
        place.remove(directory=found is FileKind.DIRECTORY)

    def remove_tree(self, path: str) -> None:
        place = not_root(self.folder / path)
        found = place.kind(follow=False)
        if found is None:
            raise failure(ErrorKind.NOT_FOUND, path, f"{path}: nothing there")
        with Watch("remove-tree", path) as watch:
            remove_tree(place, found, watch)

    def rename(self, path: str, new_path: str) -> None:
        source, target = not_root(self.folder / path), not_root(self.folder / new_path)
        source.stat(follow=False)
        # WASI has no rename that replaces nothing: between this look and the rename somebody else can put something there.
        if target.kind(follow=False) is not None:
            raise failure(ErrorKind.ALREADY_EXISTS, new_path, f"{new_path} is there already")
        source.rename(target)

    def copy(self, path: str, target: str, dereference: bool) -> None:
        options = TransferOptions(DEFAULT.overwrite, dereference, False, False, None, None, None)
        source = self.folder / path
        with Watch("copy", path) as watch:
            Transfer(options, watch).run(source, self.folder / target, pattern_root(self.folder, source))

    def symlink(self, target: str, link: str) -> None:
        if target.startswith("/"):
            raise unsupported("symlink", "the sandbox makes no link with an absolute target")
        place = not_root(self.folder / link)
        with about(link):
            place.folder.symlink_at(target, place.at)

    def read_link(self, path: str) -> str:
        place = self.folder / path
        if place.stat(follow=False).type.name != "SYMBOLIC_LINK":
            raise invalid(path, f"{path} is not a symlink")
        return place.read_link()

    def chmod(self, path: str, mode: int) -> None:
        if mode & ~0o7777:
            raise invalid(path, f"{mode:o}: permission bits are at most 7777")
        place = self.folder / path
        place.stat()
        if mode & ~0o777:
            raise unsupported("chmod", "the host keeps no more than the nine permission bits")
        if not place.set_mode(mode):
            raise failure(ErrorKind.PERMISSION_DENIED, path, f"{path}: the host does not set its permission bits")

    def chown(self, path: str, uid: int | None, gid: int | None) -> None:
        if uid is not None or gid is not None:
            raise unsupported("chown", "WASI has no owners")
        (self.folder / path).stat()

    # ---- bytes

    def checksum(self, path: str) -> str:
        return sha256(regular(self.folder / path))

    def read(self, path: str, offset: int, length: int | None) -> bytes:
        place = regular(self.folder / path)
        size = max(0, place.stat().size - offset)
        wanted = size if length is None else min(size, length)
        if wanted > MOST:
            raise failure(ErrorKind.TOO_LARGE, path, f"{path}: {wanted} bytes, and one read takes {MOST}: use get or read-stream")
        return b"".join(pieces(place, offset, wanted))

    def write(self, path: str, bytes: bytes, mode: int | None) -> None:
        if len(bytes) > MOST:
            raise failure(ErrorKind.TOO_LARGE, path, f"{path}: {len(bytes)} bytes, and one write takes {MOST}: use put or write-stream")
        write_whole(self.folder / path, iter([bytes]), len(bytes), mode)

    def read_stream(self, path: str, offset: int, length: int | None, into: streams.OutputStream) -> int:
        place = regular(self.folder / path)
        size = max(0, place.stat().size - offset)
        wanted = size if length is None else min(size, length)
        sent = 0
        with Watch("read-stream", path, wanted) as watch:
            for piece in pieces(place, offset, wanted):
                for start in range(0, len(piece), STREAM_WRITE):
                    try:
                        into.blocking_write_and_flush(piece[start : start + STREAM_WRITE])
                    except Err:
                        raise failure(ErrorKind.OTHER, path, f"{path}: the host's stream took no more after {sent} bytes") from None
                sent += len(piece)
                watch.moved(len(piece))
        return sent

    def write_stream(self, path: str, from_: streams.InputStream, size: int, mode: int | None) -> None:
        with Watch("write-stream", path, size) as watch:
            write_whole(self.folder / path, incoming(from_, size, watch), size, mode)

    def put(self, local: str, remote: str, options: TransferOptions) -> TransferSummary:
        source = granted(local)
        root = Place(source.folder, "", source.base or "/", source.base)
        with Watch("put", remote) as watch:
            return Transfer(options, watch).run(source, self.folder / remote, root)

    def get(self, remote: str, local: str, options: TransferOptions) -> TransferSummary:
        source = self.folder / remote
        with Watch("get", remote) as watch:
            return Transfer(options, watch).run(source, granted(local), pattern_root(self.folder, source))

    def copy_to(self, path: str, other: "Session", target: str, options: TransferOptions) -> TransferSummary:
        source = self.folder / path
        with Watch("copy-to", path) as watch:
            return Transfer(options, watch).run(source, other.folder / target, pattern_root(self.folder, source))

    # ---- what no folder can do

    def compress(self, sources, archive, options) -> None:
        raise unsupported("compress", "this plugin packs no archives")

    def extract(self, archive, target, options) -> None:
        raise unsupported("extract", "this plugin unpacks no archives")

    def exec(self, command):
        raise unsupported("exec", "a sandbox has no processes")


def attributes(place: Place, follow: bool) -> FileStat:
    found = place.stat(follow)
    kind = place.kind(follow)
    with about(place.shown):
        inode = place.folder.metadata_hash_at(FOLLOW if follow else STAY, place.at).lower
    return FileStat(
        kind=kind or FileKind.UNKNOWN,
        mode=TYPES.get(kind, 0) | permission_bits(place, kind),
        size=found.size,
        inode=inode,
        device=0,
        links=found.link_count,
        uid=NOBODY,
        gid=NOBODY,
        accessed=seconds(found.data_access_timestamp),
        modified=seconds(found.data_modification_timestamp),
        changed=seconds(found.status_change_timestamp),
    )


def permission_bits(place: Place, kind: FileKind | None) -> int:
    """A link's own bits mean nothing, and are 0o777 on Linux; where the host tells none, what it lets us do."""
    if kind is FileKind.SYMLINK:
        return 0o777
    mode = place.mode()
    return mode if mode is not None else (0o755 if kind is FileKind.DIRECTORY else 0o644)


def seconds(when) -> int:
    return when.seconds if when is not None else 0


def listing(place: Place, prefix: str, options: ListOptions, fits):
    for name, kind in place.entries():
        child = place.child(name)
        if fits(name):
            yield entry(child, f"{prefix}{name}", kind)
        if options.recursive and kind is FileKind.DIRECTORY and (options.hidden or not name.startswith(".")):
            yield from listing(child, f"{prefix}{name}/", options, fits)


def entry(place: Place, path: str, kind: FileKind) -> Entry:
    found: DescriptorStat = place.stat(follow=False)
    return Entry(
        path=path,
        raw_path=None,
        kind=kind,
        size=found.size,
        permissions=permission_bits(place, kind),
        owner=NOBODY_NAME,
        group=NOBODY_NAME,
        modified=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds(found.data_modification_timestamp))),
        link_target=place.read_link() if kind is FileKind.SYMLINK else None,
    )


def remove_tree(place: Place, kind: FileKind, watch: Watch) -> None:
    if kind is FileKind.DIRECTORY:
        for name, inner in place.entries():
            remove_tree(place.child(name), inner, watch)
    place.remove(directory=kind is FileKind.DIRECTORY)
    watch.file()


def not_root(place: Place) -> Place:
    if not place.name:
        raise failure(ErrorKind.PERMISSION_DENIED, place.shown, f"{place.shown} is the granted folder itself")
    return place


def regular(place: Place) -> Place:
    kind = place.kind()
    if kind is None:
        place.stat()
    if kind is FileKind.DIRECTORY:
        raise failure(ErrorKind.IS_A_DIRECTORY, place.shown, f"{place.shown} is a directory")
    if kind is not FileKind.REGULAR:
        raise invalid(place.shown, f"{place.shown} is not a regular file")
    return place


def checked(pattern: str) -> str:
    if not pattern.startswith("/"):
        raise invalid(pattern, f"{pattern!r}: a pattern has to be absolute")
    return pattern


def pattern_root(folder: Folder, source: Place) -> Place | None:
    return folder / "/" if is_pattern(source.name) else None


def pieces(place: Place, offset: int, wanted: int):
    """Bytes of a file from an offset on; fewer where it has become shorter."""
    with place.open() as reading:
        while wanted > 0:
            with about(place.shown):
                piece, ended = reading.read(min(PIECE, wanted), offset)
            if piece:
                yield piece
            offset += len(piece)
            wanted -= len(piece)
            if ended:
                return


def incoming(stream: streams.InputStream, size: int, watch: Watch):
    """What a stream of the host's holds. Waiting for it is the host's work: its pollable is awaited here, and not its bytes."""
    got = 0
    while got < size:
        try:
            piece = stream.read(min(PIECE, size - got))
            if not piece:
                with stream.subscribe() as ready:
                    ready.block()
                continue
        except Err as error:
            if isinstance(error.value, streams.StreamError_Closed):
                return
            raise failure(ErrorKind.OTHER, watch.status.path, f"the host's stream failed after {got} of {size} bytes") from None
        got += len(piece)
        watch.moved(len(piece))
        yield piece


def write_whole(place: Place, content, size: int, mode: int | None) -> None:
    """Makes or replaces a file with all of this, or leaves what was there."""
    there = place.kind()
    if there is FileKind.DIRECTORY:
        raise failure(ErrorKind.IS_A_DIRECTORY, place.shown, f"{place.shown} is a directory")
    # A file that is there keeps its bits: it gets other bytes, and is another file for the sake of a crash alone.
    if mode is None and there is not None:
        mode = place.mode()
    part, done = beside(place), 0
    try:
        with part.open(to_read=False, create=True) as writing:
            for piece in content:
                write_all(writing, piece, done, place.shown)
                done += len(piece)
        if done != size:
            raise invalid(place.shown, f"{place.shown}: the stream ended after {done} of {size} bytes")
        if mode is not None:
            part.set_mode(mode)
    except Err:
        discard(part)
        raise
    replace(part, place)

