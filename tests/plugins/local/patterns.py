"""Shell patterns over a folder: `*`, `?`, `[a-z]`, `[!a-z]`, and `**` for any depth."""

import re
from collections.abc import Callable, Iterator

from place import Place
from wit_world.imports.aiida_hpc_types import FileKind

SPECIAL = re.compile(r"[*?\[]")


def is_pattern(text: str) -> bool:
    return SPECIAL.search(text) is not None


def matcher(pattern: str, hidden: bool = False) -> Callable[[str], bool]:
    """Matches one name. A leading dot has to be matched literally, unless hidden names were asked for."""
    compiled = re.compile(translate(pattern), re.DOTALL)
    shy = not hidden and not pattern.startswith(".")
    return lambda name: not (shy and name.startswith(".")) and compiled.fullmatch(name) is not None


def translate(pattern: str) -> str:
    """fnmatch's own has no class that holds `]` after `!` as POSIX reads it, and caches by pattern; this is all that is needed."""
    out, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "[" and (end := class_end(pattern, at)) is not None:
            body = pattern[at:end]
            negated = body[0] in "!^"
            body = (body[1:] if negated else body).replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
            out.append(f"[{'^' if negated else ''}{body}]")
            at = end + 1
        else:
            out.append(re.escape(char))
    return "".join(out)


def class_end(pattern: str, at: int) -> int | None:
    """A `]` that comes first is a member, not the end."""
    first = at + 1 if pattern[at : at + 1] in ("!", "^") else at
    end = pattern.find("]", first + 1)
    return end if end >= 0 else None


def expand(root: Place, pattern: str) -> list[Place]:
    """What matches an absolute pattern below a folder's root, sorted by path."""
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    found = {place.name: place for place in walk(root, names)}
    return [found[name] for name in sorted(found)]


def walk(place: Place, names: list[str]) -> Iterator[Place]:
    if not names:
        if place.kind(follow=False) is not None:
            yield place
        return
    name, rest = names[0], names[1:]
    if name == "**":
        yield from walk(place, rest)
        for child, kind in listed(place):
            # Links to directories are not descended into: they may lead back.
            if kind is FileKind.DIRECTORY and not child.startswith("."):
                yield from walk(place.child(child), names)
            elif not rest and not child.startswith("."):
                yield place.child(child)
    elif is_pattern(name):
        fits = matcher(name)
        for child, _ in listed(place):
            if fits(child):
                yield from walk(place.child(child), rest)
    else:
        yield from walk(place.child(name), rest)


def listed(place: Place) -> list[tuple[str, FileKind]]:
    return place.entries() if place.is_directory() else []
