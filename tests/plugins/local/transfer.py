"""Files and trees from one granted folder to another: put, get, copy and copy-to are this, with other ends.

A file is written beside its target under a name of its own and then renamed over it, so that a target is either the old one or the
new one. A tree is not: some files may be there when it fails, each of them whole.
"""

import hashlib
from dataclasses import dataclass

from componentize_py_types import Err
from errors import about, failure, invalid
from patterns import expand, is_pattern
import passing
from place import FOLLOW, Place
from watch import Watch
from wit_world.exports.transport import OverwritePolicy, TransferOptions, TransferSummary, Verification
from wit_world.imports.aiida_hpc_types import ErrorKind, FileKind
from wit_world.imports.wasi_filesystem_types import Descriptor

# Bytes in the guest at once.
PIECE = 256 << 10

DEFAULT = TransferOptions(OverwritePolicy.REPLACE, False, False, False, None, None, None)


@dataclass
class Transfer:
    """One call: what it may do, and what it did."""

    options: TransferOptions
    watch: Watch
    files: int = 0
    directories: int = 0
    bytes: int = 0
    skipped: int = 0
    # The outermost directory that was written to: met again inside the source, it would be copied for ever.
    made: tuple[int, int] | None = None

    def summary(self) -> TransferSummary:
        verified = Verification.CHECKSUM if self.options.verify else Verification.SIZE
        return TransferSummary(self.files, self.directories, self.bytes, self.skipped, verified if self.files else Verification.NONE)

    def run(self, source: Place, target: Place, root: Place | None = None) -> TransferSummary:
        """`root`: where `source` may be a pattern, the folder that it is expanded below."""
        kind = source.kind(self.options.dereference)
        if kind is FileKind.REGULAR:
            self.expect(source)
        if kind is not None:
            self.one(source, target)
        elif root is not None and is_pattern(source.name):
            found = expand(root, source.name)
            if found:
                self.many(found, target)
            else:
                self.missing(source, "nothing matches")
        else:
            self.missing(source, "nothing there")
        self.watch.whole()
        return self.summary()

    def expect(self, source: Place) -> None:
        """A single file: what there will be to move is known, and whether it is what the caller takes it for."""
        size = source.stat().size
        if self.options.size not in (None, size):
            message = f"{source.shown} has {size} bytes, not {self.options.size}"
            raise failure(ErrorKind.CHECKSUM_MISMATCH, source.shown, message)
        self.watch.expect(size)

    def missing(self, source: Place, why: str) -> None:
        if not self.options.ignore_nonexisting:
            raise failure(ErrorKind.NOT_FOUND, source.shown, f"{source.shown}: {why}")
        self.skipped += 1

    def many(self, found: list[Place], target: Place) -> None:
        if self.options.parents:
            target.mkdirs()
        kind = target.kind()
        if kind is None:
            raise failure(ErrorKind.NOT_FOUND, target.shown, f"{target.shown}: the directory for a pattern's matches is not there")
        if kind is not FileKind.DIRECTORY:
            raise failure(ErrorKind.NOT_A_DIRECTORY, target.shown, f"{target.shown}: a pattern's matches go into a directory")
        for source in found:
            self.move(source, target.child(source.last), ())

    def one(self, source: Place, target: Place) -> None:
        if target.is_directory() and source.last:
            target = target.child(source.last)
        elif self.options.parents and target.name:
            target.parent().mkdirs()
        self.move(source, target, ())

    def move(self, source: Place, target: Place, above: tuple) -> None:
        kind = source.kind(self.options.dereference)
        if kind is FileKind.DIRECTORY:
            self.tree(source, target, above)
        elif kind is FileKind.REGULAR:
            self.file(source, target)
        elif kind is FileKind.SYMLINK:
            self.link(source, target)
        elif kind is None:
            self.missing(source, "a link to nothing")
        else:
            raise invalid(source.shown, f"{source.shown} is neither a file nor a directory nor a symlink")

    def may_write(self, target: Place) -> bool:
        """Is the way free? False: left alone, and counted."""
        there = target.kind(follow=False)
        if there is FileKind.DIRECTORY:
            raise failure(ErrorKind.IS_A_DIRECTORY, target.shown, f"{target.shown} is a directory")
        if there is None or self.options.overwrite is OverwritePolicy.REPLACE:
            return True
        if self.options.overwrite is OverwritePolicy.FAIL:
            raise failure(ErrorKind.ALREADY_EXISTS, target.shown, f"{target.shown} is there already")
        self.skipped += 1
        return False

    def tree(self, source: Place, target: Place, above: tuple) -> None:
        me = identity(source)
        if me in above or me == self.made:
            raise invalid(source.shown, f"{source.shown} leads back to a directory around it, or to the target")
        if source.base == target.base and f"{target.name}/".startswith(f"{source.name}/".lstrip("/")):
            raise invalid(target.shown, f"{target.shown} lies in {source.shown}")
        there = target.kind()
        if there is None:
            target.mkdir()
        elif there is not FileKind.DIRECTORY:
            raise failure(ErrorKind.NOT_A_DIRECTORY, target.shown, f"{target.shown} is not a directory")
        elif self.options.overwrite is OverwritePolicy.FAIL:
            raise failure(ErrorKind.ALREADY_EXISTS, target.shown, f"{target.shown} is there already")
        self.made = self.made or identity(target)
        self.directories += 1
        for name, _ in source.entries():
            self.move(source.child(name), target.child(name), (*above, me))
        self.keep_mode(source, target, None)

    def link(self, source: Place, target: Place) -> None:
        if not self.may_write(target):
            return
        points_to = source.read_link()
        part = beside(target)
        with about(target.shown):
            part.folder.symlink_at(points_to, part.at)
        replace(part, target)

    def file(self, source: Place, target: Place) -> None:
        if not self.may_write(target):
            return
        part = beside(target)
        digest = hashlib.sha256() if self.options.verify else None
        try:
            with source.open() as reading, part.open(to_read=False, create=True) as writing:
                size = pour(reading, writing, source.shown, digest, self.watch)
            self.verify(part, target, size, digest)
            self.keep_mode(source, part, self.options.mode)
        except Err:
            discard(part)
            raise
        replace(part, target)
        self.files += 1
        self.bytes += size
        self.watch.file()

    def verify(self, part: Place, target: Place, size: int, digest) -> None:
        written = part.stat().size
        same = written == size and (digest is None or sha256(part) == digest.hexdigest())
        if not same:
            raise failure(ErrorKind.CHECKSUM_MISMATCH, target.shown, f"{target.shown}: what was written is not what was read")

    def keep_mode(self, source: Place, target: Place, given: int | None) -> None:
        """The bytes matter more than the bits: a host may keep none."""
        mode = source.mode() if given is None else given
        if mode is not None:
            target.set_mode(mode)


def identity(place: Place) -> tuple[int, int]:
    """The same for the same directory, whatever way leads there."""
    with about(place.shown):
        found = place.folder.metadata_hash_at(FOLLOW, place.at)
    return found.lower, found.upper


def beside(target: Place) -> Place:
    if not target.name:
        raise failure(ErrorKind.IS_A_DIRECTORY, target.shown, f"{target.shown} is a directory")
    return passing.beside(target)


def discard(part: Place) -> None:
    """What was begun goes, if it is there; the first error is the one to tell."""
    try:
        part.remove(directory=False)
    except Err:
        pass


def replace(part: Place, target: Place) -> None:
    try:
        part.rename(target)
    except Err:
        discard(part)
        raise


def pour(reading: Descriptor, writing: Descriptor, shown: str, digest, watch: Watch) -> int:
    """All bytes of a file, by offsets: no stream has to be waited for. Their number."""
    offset = 0
    while True:
        with about(shown):
            piece, ended = reading.read(PIECE, offset)
        write_all(writing, piece, offset, shown)
        if digest is not None:
            digest.update(piece)
        offset += len(piece)
        watch.moved(len(piece))
        if ended:
            return offset


def write_all(writing: Descriptor, piece: bytes, offset: int, shown: str) -> None:
    done = 0
    with about(shown):
        while done < len(piece):
            done += writing.write(piece[done:], offset + done)


def sha256(place: Place) -> str:
    digest, offset = hashlib.sha256(), 0
    with place.open() as reading, about(place.shown):
        while True:
            piece, ended = reading.read(PIECE, offset)
            digest.update(piece)
            offset += len(piece)
            if ended:
                return digest.hexdigest()
