"""What the server says of files, as AiiDA's attributes."""

from __future__ import annotations

import posixpath
import stat
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Optional

from aiida.transports.util import FileAttribute

from .calling import do, each

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ._native import Client

_TYPE_BITS = {
    "regular": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "block-device": stat.S_IFBLK,
    "character-device": stat.S_IFCHR,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}


def attributes_of(found: dict[str, Any]) -> FileAttribute:
    """Of one file that was looked at."""
    return FileAttribute(
        {
            "st_size": found["size"],
            "st_uid": found["uid"],
            "st_gid": found["gid"],
            "st_mode": found["mode"],
            "st_atime": found["accessed"],
            "st_mtime": found["modified"],
        }
    )


async def with_attributes(client: Client, folder: str, entries: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Of a whole listing.

    A listing names owners and tells local times; AiiDA wants numbers and times since 1970. So one entry of each pair of owner and group is
    looked at, and what differs between the two answers holds for the others. Symlinks are looked at to see whether they lead to
    directories.
    """
    samples: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    for name, entry in entries:
        samples.setdefault((entry["owner"], entry["group"]), (name, entry))
    links = [name for name, entry in entries if entry["kind"] == "symlink"]

    async def look(name: str, follow: bool) -> Optional[dict[str, Any]]:
        path = posixpath.join(folder, name)
        try:
            return await do(client.stat(path) if follow else client.lstat(path))
        except (FileNotFoundError, NotADirectoryError):
            # Gone meanwhile, or a dangling symlink.
            return None

    def looker(name: str, follow: bool) -> Callable[[], Coroutine[Any, Any, Optional[dict[str, Any]]]]:
        return lambda: look(name, follow)

    seen = await each(
        [looker(name, False) for name, _ in samples.values()] + [looker(name, True) for name in links]
    )
    numbers = {pair: found for pair, found in zip(samples, seen)}
    led_to = dict(zip(links, seen[len(samples) :]))
    offset = 0.0
    for (_, entry), found in zip(samples.values(), seen):
        told = _seconds(entry["modified"])
        if found is not None and told is not None:
            offset = found["modified"] - told
            break

    listed = []
    for name, entry in entries:
        found = numbers[entry["owner"], entry["group"]]
        told = _seconds(entry["modified"])
        modified = None if told is None else int(told + offset)
        attributes = FileAttribute(
            {
                "st_size": entry["size"],
                "st_uid": found and found["uid"],
                "st_gid": found and found["gid"],
                "st_mode": _TYPE_BITS.get(entry["kind"], 0) | entry["permissions"],
                "st_atime": modified,
                "st_mtime": modified,
            }
        )
        target = led_to.get(name)
        is_dir = entry["kind"] == "directory" or (target is not None and target["kind"] == "directory")
        listed.append({"name": name, "attributes": attributes, "isdir": is_dir})
    return listed


def _seconds(told: str) -> Optional[float]:
    """A time as the listing tells it, read as if its zone were UTC."""
    try:
        return datetime.fromisoformat(told).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
