"""Hosts that share nothing with ours but the contract: the bare ``wasmtime`` command line, and Python with the public package ``wasmtime`` alone.

    python3 tests/runtimes/test_runtimes.py [Python] [BareWasmtime] [Guarded]

Needs what ``cargo test`` has built: the simulator, the plugin and the two components of this folder. The tools it gets itself (``.ci/tool``,
``.ci/wasmtime-py``). What the README says that a host cannot do is proved here as well.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from made import PATIENCE, TARGET, built, made, plugin  # noqa: E402

SIMULATOR = Path(os.environ.get("FIRECREST_SIMULATOR", TARGET / "debug" / "firecrest-simulator"))
EXAMPLE = HERE / "python" / "without_rust.py"
# Large enough for the object store, an origin that only the server names.
LARGE = 6 << 20


@functools.cache
def folder() -> Path:
    """For what is made on the way."""
    path = Path(tempfile.mkdtemp(prefix="runtimes-"))
    unittest.addModuleCleanup(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.cache
def composed(name: str) -> Path:
    """A composition of this folder."""
    wasm = folder() / f"{name}.wasm"
    packages = {"command": built("hpc-command"), "firecrest": plugin(), "stand-in": built("hpc-stand-in")}
    source = HERE / f"{name}.wac"
    used = {package: file for package, file in packages.items() if f"new aiida:{package} " in source.read_text()}
    deps = [word for package, file in used.items() for word in ("--dep", f"aiida:{package}={file}")]
    subprocess.run([made("tool", "wac"), "compose", source, "-o", wasm, *deps], check=True)
    return wasm


@functools.cache
def command() -> Path:
    """The composed command as machine code: compiled once, by the command line itself."""
    compiled = folder() / "command.cwasm"
    subprocess.run([made("tool", "wasmtime"), "compile", composed("command"), "-o", compiled], check=True)
    return compiled


class Counter:
    """Passes connections on to a server, and counts them."""

    def __init__(self, url: str):
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self.server = (parts.hostname, parts.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.server) as server:
            up = threading.Thread(target=self._pass_on, args=(client, server), daemon=True)
            up.start()
            self._pass_on(server, client)
            up.join()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


class Bench:
    """A server that counts connections, and a local file that is to travel."""

    def __init__(self, *arguments: str, size: int = 10_000):
        self.folder = Path(tempfile.mkdtemp(prefix="runtimes-")).resolve()
        self.file = self.folder / "numbers.txt"
        self.content = random.Random(size).randbytes(size)
        self.file.write_bytes(self.content)
        self.file.chmod(0o750)
        self.config_file = self.folder / "firecrest.json"
        words = [SIMULATOR, "--config-out", self.config_file, "--admin", "0", "--until-stdin-closes", *arguments]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.url, self._admin = self._process.stdout.readline().strip(), self._process.stdout.readline().split()[-1]
        assert self.url.startswith("http://127.0.0.1:"), "the simulator does not start: run `cargo build -p firecrest-simulator`"
        self.counter = Counter(self.url)
        self.config: dict[str, Any] = json.loads(self.config_file.read_text())
        for name in ("url", "token_uri"):
            parts = urlsplit(self.config[name])
            self.config[name] = self.counter.origin + parts.path
        self.config_file.write_text(json.dumps(self.config))

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()
        self.counter.listener.close()
        shutil.rmtree(self.folder)

    @property
    def home(self) -> str:
        return self.config["workdir"]

    def admin(self, path: str) -> Any:
        with urllib.request.urlopen(self._admin + path, timeout=PATIENCE) as answer:
            return json.load(answer)

    def left(self) -> list[str]:
        """What the directories of the two programs hold, if they are still there."""
        return [name for name in ("hpc-command", "without-rust") if Path(self.home, name).exists()]

    def bare(self, *grants: str, origins: Optional[str] = None) -> list[Any]:
        """The bare runtime's command line; the options and the allowed origins are in its environment."""
        self.environment = {
            f"AIIDA_FIRECREST_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in self.config.items()
        }
        self.environment["ALLOWED_ORIGINS"] = self.counter.origin if origins is None else origins
        run = [made("tool", "wasmtime"), "run", "--allow-precompiled", "-S", "inherit-env", *grants]
        return [*run, command(), self.home, self.file]

    def python(self, component: Path, *arguments: str) -> list[Any]:
        """Python's command line."""
        self.environment = {}
        python = made("wasmtime-py") / "bin" / "python"
        return [python, EXAMPLE, component, self.config_file, self.file, self.home, *arguments]

    def start(self, words: list[Any]) -> subprocess.Popen[str]:
        # Nothing of this machine's user; compiled code is kept between runs.
        cache = TARGET / "test-python-cache"
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_CACHE_HOME": str(cache), **self.environment}
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


class Runtimes(unittest.TestCase):
    def bench(self, *arguments: str, size: int = 10_000) -> Bench:
        bench = Bench(*arguments, size=size)
        self.addCleanup(bench.close)
        return bench

    def end(self, bench: Bench, words: list[Any]) -> tuple[int, str, str]:
        process = bench.start(words)
        stdout, stderr = process.communicate(timeout=PATIENCE)
        return process.returncode, stdout, stderr

    def succeeds(self, bench: Bench, words: list[Any]) -> dict[str, str]:
        """What it printed, by the first word of each line; of several the last."""
        code, stdout, stderr = self.end(bench, words)
        self.assertEqual((code, stderr), (0, ""), stdout)
        self.assertEqual(bench.left(), [])
        return dict(line.split(maxsplit=1) for line in stdout.splitlines())

    def fails(self, bench: Bench, words: list[Any], kind: str, naming: str) -> None:
        """It ends with one line, that names the kind and the thing; and leaves nothing."""
        code, _, stderr = self.end(bench, words)
        self.assertEqual((code, stderr.count("\n")), (1, 1), stderr)
        self.assertTrue(stderr.startswith(f"error: {kind}: "), stderr)
        self.assertIn(naming, stderr)
        self.assertEqual(bench.left(), [])

    def connections_are_not_kept(self, bench: Bench) -> None:
        requests = len(bench.admin("/requests"))
        self.assertGreater(requests, 5)
        self.assertEqual(bench.counter.connections, requests)

    def checksum(self, bench: Bench) -> str:
        return f"{hashlib.sha256(bench.content).hexdigest()}  {bench.file.name}"


class BareWasmtime(Runtimes):
    def test_takes_a_file_and_a_job_through_their_lives(self) -> None:
        bench = self.bench()
        said = self.succeeds(bench, bench.bare("-S", "http", "--dir", f"{bench.folder}::{bench.folder}"))
        self.assertEqual(said["user"], bench.config["username"])
        self.assertEqual(said["put"], "10000 bytes, verified by checksum")
        # The stand-in knows no permission bits: they are the cluster's own.
        self.assertEqual(said["list"], "644 10000 numbers.txt")
        self.assertEqual(said["state"], "COMPLETED, exit status 0")
        self.assertEqual(said["output"], self.checksum(bench))
        self.connections_are_not_kept(bench)

    def test_without_http_it_names_the_missing_import(self) -> None:
        bench = self.bench()
        code, _, stderr = self.end(bench, bench.bare())
        self.assertNotEqual(code, 0)
        self.assertIn("wasi:http/", stderr)
        self.assertEqual(bench.counter.connections, 0)

    def test_without_a_granted_folder_local_files_are_forbidden(self) -> None:
        bench = self.bench()
        self.fails(bench, bench.bare("-S", "http"), "permission-denied", str(bench.file))

    def test_only_a_listed_origin_is_asked(self) -> None:
        bench = self.bench()
        port = urlsplit(bench.counter.origin).port
        others = ["", "*", "http://127.0.0.1", f"http://127.0.0.1:{port}0", f"http://localhost:{port}", f"127.0.0.1:{port}"]
        for listed in [*others, f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port}/", f"http://127.0.0.1.elsewhere:{port}"]:
            with self.subTest(listed):
                self.fails(bench, bench.bare("-S", "http", origins=listed), "permission-denied", "does not allow")
        self.assertEqual(bench.counter.connections, 0)
        self.fails(
            bench, bench.bare("-S", "http", origins=f"https://elsewhere HTTP://127.0.0.1:{port}"), "permission-denied", ""
        )
        self.assertGreater(bench.counter.connections, 0)

    def test_a_wrong_call_is_told_in_one_line(self) -> None:
        bench = self.bench()
        self.fails(bench, bench.bare("-S", "http")[:-1], "usage", "FOLDER FILE")

    def test_a_signal_ends_it_and_leaves_what_it_had_begun(self) -> None:
        bench = self.bench("--queue-wait", "600")
        process = bench.start(bench.bare("-S", "http", "--dir", f"{bench.folder}::{bench.folder}"))
        wait_for(process, "job")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        self.assertNotEqual(process.returncode, 0)
        self.assertEqual(bench.left(), ["hpc-command"])


class Python(Runtimes):
    def test_takes_a_file_and_a_job_through_their_lives(self) -> None:
        bench = self.bench()
        said = self.succeeds(bench, bench.python(plugin()))
        self.assertEqual(said["user"], bench.config["username"])
        self.assertEqual(said["put"], "10000 bytes, verified by checksum")
        self.assertEqual(said["list"], "750 10000 numbers.txt")
        self.assertEqual(said["state"], "COMPLETED, exit status 0")
        self.assertEqual(said["output"], self.checksum(bench))
        self.connections_are_not_kept(bench)

    def test_a_signal_stops_it_and_leaves_nothing(self) -> None:
        bench = self.bench("--queue-wait", "600")
        process = bench.start(bench.python(plugin()))
        wait_for(process, "job")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertTrue(stderr.startswith("error: cancelled: "), stderr)
        self.assertEqual(bench.left(), [])

    def test_local_files_outside_the_granted_folder_have_no_permission_bits(self) -> None:
        code = (
            "import os, pathlib, sys; sys.path.insert(0, sys.argv[1]); from without_rust import Host\n"
            "host = Host(pathlib.Path(sys.argv[2])); os.symlink('/etc/passwd', sys.argv[2] + '/out')\n"
            "inside, outside = sys.argv[2] + '/numbers.txt', ['/etc/passwd', sys.argv[2] + '/out', sys.argv[2] + '/../..', sys.argv[2] + '/none']\n"
            "assert host.get_mode(None, inside) == 0o750 and host.set_mode(None, inside, 0o4700) and host.get_mode(None, inside) == 0o700\n"
            "assert not any(host.get_mode(None, path) for path in outside) and not any(host.set_mode(None, path, 0o644) for path in outside)\n"
        )
        bench = self.bench()
        python = bench.python(plugin())[0]
        code_, _, stderr = self.end(bench, [python, "-c", code, EXAMPLE.parent, bench.folder])
        self.assertEqual((code_, stderr), (0, ""))

    def test_a_failure_is_told_by_its_kind(self) -> None:
        bench = self.bench()
        self.fails(bench, [*bench.python(plugin())[:-1], f"{bench.home}/none"], "not-found", f"{bench.home}/none")


class Guarded(Runtimes):
    def test_python_asks_any_origin_but_with_a_guarded_plugin_only_those_listed(self) -> None:
        bench = self.bench(size=LARGE)
        self.succeeds(bench, bench.python(plugin()))
        self.fails(bench, bench.python(composed("guarded")), "permission-denied", "does not allow")
        store = self.succeeds(bench, bench.python(plugin()))["origins"]
        self.succeeds(bench, bench.python(composed("guarded"), "--allow", store))


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    """Reads until a line that begins so, and a little longer: the wait for the job has to begin."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(word):
            time.sleep(1)
            return
    raise AssertionError(f"no {word}: {process.stderr.read() if process.stderr else ''}")


if __name__ == "__main__":
    # Who runs this in the background has children that ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main()
