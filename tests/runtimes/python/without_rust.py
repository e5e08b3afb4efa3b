"""A plugin of the contract from Python, with nothing but the public package ``wasmtime``: no compiled code of this project's.

    pip install wasmtime==50.0.1
    python without_rust.py PLUGIN.wasm firecrest.json FILE FOLDER

puts FILE into a new directory ``without-rust`` of FOLDER on the cluster, lists that, submits a job that makes the file's checksum, waits for it,
gets what it wrote back beside FILE, prints each step, and removes the directory. ``firecrest.json`` is what ``aiida-firecrest`` takes, too.

What this way lacks, and the package ``aiida-firecrest-wasm`` has (how each was found out: ``../README.md``):

- A list of allowed origins. The package's wasi:http asks whomever the plugin names. A component can bring the list: give the composition of
  ``../guarded.wac`` as PLUGIN, and nothing is asked but the origins of the configuration and those of ``--allow``.
- Connections that are kept: each request opens one.
- This machine's trusted certificates, or others of your choice: the roots are those that the package was built with.
- Several calls at once, or an await: a call blocks its thread (and no other), and an instance serves one call at a time.
- An end that does not need the plugin: Ctrl-C and every limit of time reach it through ``Host.report`` alone, which it calls in transfers, commands
  and waits, up to ten times a second.
- Streams: Python can make none that the plugin could take, so ``read-stream`` and ``write-stream`` are out of reach. ``put`` and ``get`` carry any size.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wasmtime import Config, Engine, Store, WasiConfig
from wasmtime.component import Component, Instance, Linker, Record, Variant

CONTRACT = "aiida:hpc/{}@0.1.0"
MEMORY = 64 * 1024 * 1024


class PluginError(Exception):
    """A failure that the plugin tells: ``kind`` says what can be done about it, and is one of the contract's ``error-kind``."""

    def __init__(self, error: Record):
        self.kind: str = error.kind
        self.subject: str | None = error.subject
        super().__init__(f"{error.kind}: {error.message}")


def record(**fields: Any) -> Record:
    """A record of the contract: its names have hyphens where Python's have underscores."""
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


class Host:
    """What the contract wants of a host beyond WASI: the imports ``progress`` and ``permissions``, for one granted folder."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve(strict=True)
        self.stop = False

    def report(self, _store: Any, status: Record) -> str:
        """How an operation goes; the answer ``stop`` ends it."""
        total = getattr(status, "bytes-total")
        if total:
            line("progress", f"{status.operation} {getattr(status, 'bytes-done')} of {total} bytes")
        return "stop" if self.stop else "proceed"

    def get_mode(self, _store: Any, path: str) -> int | None:
        """A file's permission bits."""
        try:
            return self._inside(path).stat().st_mode & 0o777
        except OSError:
            return None

    def set_mode(self, _store: Any, path: str, mode: int) -> bool:
        """Sets a file's permission bits."""
        try:
            self._inside(path).chmod(mode & 0o777)
        except OSError:
            return False
        return True

    def _inside(self, path: str) -> Path:
        """The plugin's words are not to be trusted: nothing outside the folder, not through a link either."""
        real = Path(path).resolve(strict=True)
        if not real.is_relative_to(self.folder):
            raise PermissionError(path)
        return real

    def link(self, linker: Linker) -> None:
        """Gives the plugin these functions as its imports."""
        with linker.root() as root:
            with root.add_instance(CONTRACT.format("progress")) as progress:
                progress.add_func("report", self.report)
            with root.add_instance(CONTRACT.format("permissions")) as permissions:
                permissions.add_func("get", self.get_mode)
                permissions.add_func("set", self.set_mode)


class Plugin:
    """A plugin's instance, with one folder and one network of its own."""

    def __init__(self, file: Path, host: Host, origins: list[str]):
        config = Config()
        config.cache = True  # Compiled code is kept in the user's cache folder.
        engine = Engine(config)
        linker = Linker(engine)
        linker.add_wasip2()
        linker.add_wasi_http()
        host.link(linker)
        self.store = Store(engine)
        self.store.set_limits(memory_size=MEMORY)
        wasi = WasiConfig()
        wasi.env = [("ALLOWED_ORIGINS", " ".join(origins))]
        wasi.inherit_stderr()
        wasi.preopen_dir(str(host.folder), str(host.folder))
        self.store.set_wasi(wasi)
        self.store.set_wasi_http()
        self.instance: Instance = linker.instantiate(self.store, Component.from_file(engine, str(file)))

    def call(self, interface: str, name: str, *arguments: Any) -> Any:
        """Calls an export. A ``result`` becomes its value or a :class:`PluginError`."""
        index = self.instance.get_export_index(self.store, CONTRACT.format(interface))
        index = index and self.instance.get_export_index(self.store, name, index)
        function = index and self.instance.get_func(self.store, index)
        if not function:
            raise LookupError(f"the plugin exports no {interface}.{name}: is it one of this contract?")
        answer = function(self.store, *arguments)
        # The package tags a result's two cases only where their Python types are the same.
        if isinstance(answer, Variant):
            answer = answer.payload
        if isinstance(answer, Record) and hasattr(answer, "kind") and hasattr(answer, "http-status"):
            raise PluginError(answer)
        return answer


def options(file: Path) -> dict[str, str]:
    """The configuration as the plugin's options, which are text; a secret may be in a file of its own."""
    texts = {}
    for name, value in json.loads(file.read_text()).items():
        texts[name] = value if isinstance(value, str) else json.dumps(value)
    secret = texts.get("client_secret", "")
    if os.path.isabs(secret):
        texts["client_secret"] = Path(secret).read_text().strip()
    return texts


def origins(configuration: dict[str, str]) -> Iterator[str]:
    """Where the configuration says that the plugin goes."""
    for name in ("url", "token_uri"):
        parts = urlsplit(configuration.get(name, ""))
        yield f"{parts.scheme}://{parts.netloc}"


def transfer() -> Record:
    """How files are to travel: verified."""
    return record(
        overwrite="replace", dereference=True, ignore_nonexisting=False, parents=False, verify=True, size=None, mode=None
    )  # fmt: skip


def line(name: str, text: object) -> None:
    """One line of what is printed."""
    print(f"{name:<10}{text}", flush=True)


def job(plugin: Plugin, session: Any, directory: str, file: Path) -> None:
    """A file up, a job, its output back."""

    def call(name: str, *arguments: Any) -> Any:
        return plugin.call("transport", f"[method]session.{name}", session, *arguments)

    put = call("put", str(file), directory, transfer())
    line("put", f"{put.bytes} bytes, verified by {put.verified}")
    for entry in call("list", directory, record(recursive=False, hidden=True, pattern=None)):
        line("list", f"{entry.permissions:o} {entry.size} {entry.path}")
    script = "#!/bin/bash\n#SBATCH --output=checksums.txt\nsha256sum *\n"
    submission = record(
        script=Variant("text", script), working_directory=directory, name="without-rust", account=None, environment=[]
    )  # fmt: skip
    job_id = plugin.call("scheduler", "submit", session, submission)
    line("job", job_id)
    wait = record(until="finished", all=True, timeout_ms=None)
    try:
        ended = plugin.call("scheduler", "wait", session, [job_id], wait)
    except PluginError:
        plugin.call("scheduler", "cancel", session, [job_id])
        raise
    for info in ended.jobs:
        line("state", f"{getattr(info, 'raw-state')}, exit status {getattr(info, 'exit-status')}")
    result = file.with_name("checksums.txt")
    call("get", f"{directory}/checksums.txt", str(result), transfer())
    for text in result.read_text().splitlines():
        line("output", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plugin", type=Path, help="the component")
    parser.add_argument("config", type=Path, help="the configuration, as JSON")
    parser.add_argument("file", type=Path, help="a local file; its folder is granted to the plugin")
    parser.add_argument("folder", help="a folder on the cluster")
    parser.add_argument("--allow", metavar="ORIGIN", action="append", default=[], help="another origin for a guarded plugin, as https://host:port")
    arguments = parser.parse_args()

    file = arguments.file.resolve(strict=True)
    configuration = options(arguments.config)
    started = time.perf_counter()
    host = Host(file.parent)
    # An exception cannot pass through the plugin: the handler leaves word, and the next report answers.
    signal.signal(signal.SIGINT, lambda *_: setattr(host, "stop", True))
    plugin = Plugin(arguments.plugin, host, [*origins(configuration), *arguments.allow])
    line("loaded", f"{time.perf_counter() - started:.3f} s")
    directory = f"{arguments.folder.rstrip('/')}/without-rust"
    try:
        session = plugin.call("transport", "[static]session.open", list(configuration.items()), None)
        line("user", plugin.call("transport", "[method]session.whoami", session).name)
        line("origins", " ".join(plugin.call("transport", "[method]session.origins", session)))
        plugin.call("transport", "[method]session.mkdir", session, directory, False, False)
        try:
            job(plugin, session, directory, file)
        finally:
            plugin.call("transport", "[method]session.remove-tree", session, directory)
    except PluginError as error:
        print(f"error: {error}" + (f" ({error.subject})" if error.subject else ""), file=sys.stderr)
        return 130 if error.kind == "cancelled" else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
