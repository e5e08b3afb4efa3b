"""The two AiiDA plugins, ours and aiida-firecrest, through AiiDA's own interface: whatever runs here is the same for both.

``python aiida_pair.py aiida_firecrest_wasm`` or ``… aiida_firecrest``. As AiiDA's workers do, transport methods are awaited on one event
loop, and the scheduler's block.
"""

from __future__ import annotations

import importlib
import sys
import time
import uuid
from typing import Any

from line import at_once, serve

PAUSE = 1.0
"""Seconds between two looks at jobs that are waited for. AiiDA's own least is 10, which would hide what a look costs."""

FIELDS = (
    "url", "token_uri", "client_id", "client_secret", "compute_resource", "temp_directory", "billing_account", "max_io_allowed",
)  # fmt: skip


class Pair:
    """One of the two packages."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.transport_class = importlib.import_module(f"{package}.transport").FirecrestTransport
        self.scheduler_class = importlib.import_module(f"{package}.scheduler").FirecrestScheduler

    # Sessions

    async def configure(self, config: dict[str, Any]) -> None:
        self.config = config
        await self._open()
        self.scheduler = self.scheduler_class()
        self.scheduler.set_transport(self.transport)

    async def _open(self, **changed: Any) -> Any:
        values = {name: self.config[name] for name in FIELDS}
        self.transport = self.transport_class(**{**values, "checksum_check": False, **changed})
        await self.transport.open_async()
        return self.transport

    async def open(self, path: str) -> dict[str, Any]:
        # Sessions of the same configuration are shared in a process by ours: a new one is wanted here.
        before = self.transport
        try:
            opened = await self._open(temp_directory=f"{self.config['temp_directory']}/{uuid.uuid4().hex}")
            return {"size": (await opened.get_attribute_async(path)).st_size}
        finally:
            self.transport = before

    # Files

    async def stat(self, path: str) -> dict[str, Any]:
        return {"size": (await self.transport.get_attribute_async(path)).st_size}

    async def exists(self, paths: list[str], at_once_: bool) -> dict[str, Any]:
        if at_once_:
            found = await at_once(self.transport.path_exists_async(path) for path in paths)
        else:
            found = [await self.transport.path_exists_async(path) for path in paths]
        return {"count": sum(found)}

    async def mkdir(self, path: str) -> None:
        await self.transport.mkdir_async(path)

    async def list(self, path: str) -> dict[str, Any]:
        return {"count": len(await self.transport.listdir_async(path))}

    async def list_attributes(self, path: str) -> dict[str, Any]:
        entries = await self.transport.listdir_withattributes_async(path)
        return {"count": len(entries), "size": sum(entry["attributes"].st_size for entry in entries)}

    async def glob(self, pattern: str) -> dict[str, Any]:
        return {"count": len(await self.transport.glob_async(pattern))}

    async def put(self, local: str, remote: str, verify: bool | None) -> None:
        self.transport.checksum_check = bool(verify)
        await self.transport.put_async(local, remote)

    async def get(self, remote: str, local: str, verify: bool | None) -> None:
        self.transport.checksum_check = bool(verify)
        await self.transport.get_async(remote, local)

    async def put_tree(self, local: str, remote: str, each: bool) -> None:
        if each:
            self.transport.payoff_override = False
        try:
            await self.transport.put_async(local, remote)
        finally:
            if each:
                self.transport.payoff_override = True

    async def get_tree(self, remote: str, local: str, each: bool) -> None:
        if each:
            self.transport.payoff_override = False
        try:
            await self.transport.get_async(remote, local)
        finally:
            if each:
                self.transport.payoff_override = True

    async def copy(self, path: str, target: str) -> None:
        await self.transport.copy_async(path, target)

    async def rename(self, path: str, target: str) -> None:
        await self.transport.rename_async(path, target)

    async def remove_tree(self, path: str) -> None:
        await self.transport.rmtree_async(path)

    # Jobs

    def submit(self, folder: str, script: str) -> dict[str, Any]:
        return {"id": str(self.scheduler.submit_job(folder, script))}

    def jobs(self, ids: list[str]) -> dict[str, Any]:
        return {"count": len(self.scheduler.get_jobs(jobs=ids, as_dict=True))}

    def cancel(self, id: str) -> dict[str, Any]:
        return {"done": bool(self.scheduler.kill_job(id))}

    def watch(self, folder: str, script: str, count: int) -> dict[str, Any]:
        waiting = [str(self.scheduler.submit_job(folder, script)) for _ in range(count)]
        while True:
            known = self.scheduler.get_jobs(jobs=waiting, as_dict=True)
            waiting = [id for id in waiting if id in known and known[id].job_state.value != "done"]
            if not waiting:
                return {"count": count}
            time.sleep(PAUSE)


if __name__ == "__main__":
    serve(Pair(sys.argv[1]))
