"""pyfirecrest alone: what a user writes with it who does without AiiDA, each work with the fewest of its calls."""

from __future__ import annotations

import asyncio
import fnmatch
import os
from typing import Any

from line import at_once, serve

import firecrest
from firecrest.v2 import AsyncFirecrest

PAUSE = 1.0
"""Seconds between two looks at jobs that are waited for, as of the other peers."""

ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"}


class Bare:
    """The asyncio client."""

    def configure(self, config: dict[str, Any]) -> None:
        self.config = config
        self.system = config["compute_resource"]
        self.account = config["billing_account"]
        self.client = self._client()

    def _client(self) -> Any:
        config = self.config
        with_secret = firecrest.ClientCredentialsAuth(config["client_id"], config["client_secret"], config["token_uri"])
        return AsyncFirecrest(config["url"], with_secret)

    async def open(self, path: str) -> dict[str, Any]:
        return {"size": (await self._client().stat(self.system, path))["size"]}

    # Files

    async def stat(self, path: str) -> dict[str, Any]:
        return {"size": (await self.client.stat(self.system, path))["size"]}

    async def _exists(self, path: str) -> bool:
        try:
            await self.client.stat(self.system, path)
        except firecrest.FirecrestException:
            return False
        return True

    async def exists(self, paths: list[str], at_once_: bool) -> dict[str, Any]:
        if at_once_:
            return {"count": sum(await at_once(self._exists(path) for path in paths))}
        return {"count": sum([await self._exists(path) for path in paths])}

    async def mkdir(self, path: str) -> None:
        await self.client.mkdir(self.system, path)

    async def _list(self, path: str) -> list[dict[str, Any]]:
        return await self.client.list_files(self.system, path, show_hidden=True)

    async def list(self, path: str) -> dict[str, Any]:
        return {"count": len(await self._list(path))}

    async def list_attributes(self, path: str) -> dict[str, Any]:
        entries = await self._list(path)
        return {"count": len(entries), "size": sum(int(entry["size"]) for entry in entries)}

    async def glob(self, pattern: str) -> dict[str, Any]:
        folder, last = os.path.split(pattern)
        return {"count": len(fnmatch.filter([entry["name"] for entry in await self._list(folder)], last))}

    async def put(self, local: str, remote: str, verify: bool | None) -> None:
        folder, name = os.path.split(remote)
        await self.client.upload(self.system, local, folder, name, account=self.account, blocking=True)

    async def get(self, remote: str, local: str, verify: bool | None) -> None:
        await self.client.download(self.system, remote, local, account=self.account, blocking=True)

    async def put_tree(self, local: str, remote: str, each: bool) -> None:
        """It has no call for a folder: directory by directory, then eight files at once."""
        await self.client.mkdir(self.system, remote)
        uploads = []
        for folder, directories, files in os.walk(local):
            there = os.path.normpath(os.path.join(remote, os.path.relpath(folder, local)))
            for name in directories:
                await self.client.mkdir(self.system, os.path.join(there, name))
            uploads += [self.put(os.path.join(folder, name), os.path.join(there, name), None) for name in files]
        await at_once(uploads, 8)

    async def get_tree(self, remote: str, local: str, each: bool) -> None:
        downloads, left = [], [(remote, local)]
        while left:
            there, here = left.pop()
            os.makedirs(here)
            for entry in await self._list(there):
                pair = (os.path.join(there, entry["name"]), os.path.join(here, entry["name"]))
                left.append(pair) if entry["type"] == "d" else downloads.append(self.get(*pair, None))
        await at_once(downloads, 8)

    async def copy(self, path: str, target: str) -> None:
        await self.client.cp(self.system, path, target, account=self.account, blocking=True)

    async def rename(self, path: str, target: str) -> None:
        await self.client.mv(self.system, path, target, account=self.account, blocking=True)

    async def remove_tree(self, path: str) -> None:
        await self.client.rm(self.system, path, account=self.account, blocking=True)

    # Jobs

    async def submit(self, folder: str, script: str) -> dict[str, Any]:
        done = await self.client.submit(self.system, folder, script_remote_path=f"{folder}/{script}")
        return {"id": str(done["jobId"])}

    async def jobs(self, ids: list[str]) -> dict[str, Any]:
        """One listing for many; for one its own question."""
        if len(ids) == 1:
            try:
                return {"count": len(await self.client.job_info(self.system, ids[0]))}
            except firecrest.FirecrestException:
                return {"count": 0}
        wanted = set(ids)
        return {"count": sum(str(job["jobId"]) in wanted for job in await self.client.job_info(self.system))}

    async def cancel(self, id: str) -> dict[str, Any]:
        await self.client.cancel_job(self.system, id)
        return {"done": True}

    async def watch(self, folder: str, script: str, count: int) -> dict[str, Any]:
        submitted = await at_once((self.submit(folder, script) for _ in range(count)), 8)
        waiting = {job["id"] for job in submitted}
        while True:
            jobs = await self.client.job_info(self.system)
            waiting -= {str(job["jobId"]) for job in jobs if job["status"]["state"].split()[0] in ENDED}
            if not waiting:
                return {"count": count}
            await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    serve(Bare())
