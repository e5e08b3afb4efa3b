"""The journal: one JSON document a line, in the file `.aiida-journal.jsonl` of the folder.

    {"event": "submit", "id": "0f3a…", "time": 1790000000, "name": "…", "script": "#!…", "working_directory": "/run", …}
    {"event": "end", "id": "0f3a…", "time": 1790000060, "state": "RECORDED"}

It is only ever appended to, a record in one write, so that sessions can share it. A line that is no record was torn off by a crash: its
call never returned, so it counts as never written.
"""

import json
import secrets
import time
from dataclasses import dataclass, field

from errors import about
from place import Folder
from transfer import PIECE
from wit_world.imports.aiida_hpc_types import FileKind
from wit_world.imports.wasi_filesystem_types import DescriptorFlags, OpenFlags, PathFlags

FILE = "/.aiida-journal.jsonl"
# Its words for a job's end.
RECORDED, CANCELLED = "RECORDED", "CANCELLED"


@dataclass
class Job:
    """What the journal knows of a job."""

    submitted: dict
    end: dict | None = field(default=None)

    @property
    def id(self) -> str:
        return self.submitted["id"]

    @property
    def held(self) -> bool:
        return bool(self.submitted.get("held"))


class Journal:
    def __init__(self, folder: Folder) -> None:
        self.place = folder / FILE

    def jobs(self) -> dict[str, Job]:
        """All jobs, in the order of their submission."""
        jobs: dict[str, Job] = {}
        for record in self.records():
            if record["event"] == "submit":
                jobs.setdefault(record["id"], Job(record))
            elif record["id"] in jobs and jobs[record["id"]].end is None:
                jobs[record["id"]].end = record
        return jobs

    def submit(self, **fields) -> str:
        # Drawn, not counted: sessions that count would need a lock.
        identifier = secrets.token_hex(8)
        self.append({"event": "submit", "id": identifier, "time": now(), **fields})
        return identifier

    def end(self, job: Job, state: str) -> None:
        job.end = {"event": "end", "id": job.id, "time": now(), "state": state}
        self.append(job.end)

    def records(self):
        for line in self.text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("id"), str) and record.get("event") in ("submit", "end"):
                yield record

    def text(self) -> str:
        if self.place.kind() is not FileKind.REGULAR:
            return ""
        parts, offset = [], 0
        with self.place.open() as reading, about(FILE):
            while True:
                piece, ended = reading.read(PIECE, offset)
                parts.append(piece)
                offset += len(piece)
                if ended:
                    return b"".join(parts).decode(errors="replace")

    def append(self, record: dict) -> None:
        # A line feed at both ends: what a crash tore off stays a line of its own.
        line = f"\n{json.dumps(record)}\n".encode()
        with about(FILE):
            file = self.place.folder.open_at(PathFlags(0), self.place.at, OpenFlags.CREATE, DescriptorFlags.WRITE)
            with file, file.append_via_stream() as stream:
                for start in range(0, len(line), 4096):
                    stream.blocking_write_and_flush(line[start : start + 4096])


def now() -> int:
    return int(time.time())
