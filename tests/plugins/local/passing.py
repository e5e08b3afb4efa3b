"""Names of what does not stay, and what a session that was killed left of it."""

import secrets

from componentize_py_types import Err
from place import Place
from wit_world.imports.aiida_hpc_types import FileKind

_mark: str | None = None


def mark() -> str:
    """The instance's. Drawn when it is first asked for: what is drawn while the component is built would be the same for all."""
    global _mark
    if _mark is None:
        _mark = secrets.token_hex(8)
    return _mark


def beside(target: Place) -> Place:
    """A name in the target's folder that nobody else has."""
    # Short, for a name may have 255 bytes at most, and the target's own may be as long.
    return target.parent().child(f".{mark()}-{secrets.token_hex(4)}.part")


def tidy(left_by: str, place: Place) -> int:
    """Removes what has that mark: beside a place, in it, and below."""
    around = _tidy(left_by, place.parent(), deep=False) if place.name else 0
    return around + _tidy(left_by, place, deep=True)


def _tidy(left_by: str, folder: Place, deep: bool) -> int:
    if folder.kind(follow=False) is not FileKind.DIRECTORY:
        return 0
    count = 0
    for name, kind in folder.entries():
        if name.startswith(f".{left_by}-") and name.endswith(".part"):
            try:
                folder.child(name).remove(directory=False)
                count += 1
            except Err:
                continue
        elif deep and kind is FileKind.DIRECTORY:
            count += _tidy(left_by, folder.child(name), deep)
    return count
