"""AiiDA on a FirecREST server, from nothing: ``make demo-aiida``.

Takes the server's configuration from ``AIIDA_FIRECREST_CONFIG``, as the simulator's ``--run`` gives it. Makes a profile in a temporary
folder, sets a computer up, runs ten additions on it at once, and prints what came of them and what was asked of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

COUNT = 10
VERDI = str(Path(sys.executable).with_name("verdi"))


@contextlib.contextmanager
def temporary_profile() -> Iterator[Path]:
    """A folder that is AiiDA's for this process, with a profile in it; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aiida-firecrest-demo-"))
    os.environ["AIIDA_PATH"] = str(folder)
    try:
        subprocess.run(
            [VERDI, "profile", "setup", "core.sqlite_dos", "-n", "-p", "demo", "--email", "demo@localhost", "--first-name", "A",
             "--last-name", "B", "--institution", "C", "--set-as-default", "--broker", "none"],
            check=True, capture_output=True,
        )  # fmt: skip
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def line(name: str, text: object) -> None:
    """One line of what is printed."""
    print(f"{name:<10}{text}", flush=True)


@contextlib.contextmanager
def measured(name: str) -> Iterator[None]:
    """Prints how long it took and how many requests it made."""
    import aiida_firecrest_wasm

    started, before = time.monotonic(), aiida_firecrest_wasm.request_counts()["requests"]
    yield
    made = aiida_firecrest_wasm.request_counts()["requests"] - before
    line(name, f"{time.monotonic() - started:.1f} s, {made} requests")


def import_time() -> str:
    """How long the import takes in a fresh interpreter, and then the component, from the cache of compiled code."""
    code = (
        "import time; a = time.perf_counter(); import aiida_firecrest_wasm; b = time.perf_counter()\n"
        "aiida_firecrest_wasm._native.options().wait(); c = time.perf_counter()\n"
        "print(f'{(b - a) * 1000:.0f} ms; the component, from the cache: {(c - b) * 1000:.0f} ms')"
    )
    run = lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()  # noqa: E731
    run()
    return run()


def main() -> int:
    settings = json.loads(Path(os.environ["AIIDA_FIRECREST_CONFIG"]).read_text())
    line("server", settings["url"])
    line("import", import_time())
    with temporary_profile():
        return run(settings)


def run(settings: dict) -> int:
    from aiida import load_profile, orm
    from aiida.cmdline.commands.cmd_verdi import verdi
    from aiida.manage import get_manager

    load_profile("demo")
    workdir = (settings.get("workdir") or settings["temp_directory"]).rstrip("/") + "/aiida-firecrest-demo"
    computer = orm.Computer(
        label="cluster", hostname="unused", workdir=workdir, transport_type="firecrest", scheduler_type="firecrest"
    ).store()
    computer.set_minimum_job_poll_interval(0.5)
    computer.set_default_mpiprocs_per_machine(1)
    names = ("url", "token_uri", "client_id", "client_secret", "compute_resource", "billing_account", "temp_directory")
    computer.configure(**{name: settings[name] for name in names if name in settings}, max_io_allowed=8, checksum_check=False)
    line("computer", f"{computer.label}, work directory {workdir}")

    said = io.StringIO()
    with measured("test"), contextlib.redirect_stdout(said):
        verdi.main(["computer", "test", "cluster"], standalone_mode=False)
    line("", said.getvalue().strip().splitlines()[-1])

    code = orm.InstalledCode(
        label="sh", computer=computer, filepath_executable="/bin/sh", default_calc_job_plugin="core.arithmetic.add"
    ).store()
    runner = get_manager().get_runner()
    nodes = []
    with measured(f"{COUNT} runs"):
        for number in range(COUNT):
            builder = code.get_builder()
            builder.x, builder.y = orm.Int(number), orm.Int(number * number)
            builder.metadata.options.resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
            builder.metadata.options.max_wallclock_seconds = 60
            nodes.append(runner.schedule(builder))
        runner.loop.run_until_complete(asyncio.wait_for(ended(nodes), timeout=600))
    wrong = 0
    for number, node in enumerate(nodes):
        result = node.outputs.sum.value if node.is_finished_ok else f"exit status {node.exit_status}"
        wrong += result != number + number * number
        line("", f"{number} + {number * number} = {result}   calculation {node.pk}, job {node.get_job_id()}")
    with computer.get_transport() as transport:
        transport.rmtree(workdir)
    runner.close()
    line("ok" if not wrong else "wrong", "every result is as it should be" if not wrong else f"{wrong} of {COUNT} results")
    return 1 if wrong else 0


async def ended(nodes: list) -> None:
    """Returns when all have ended."""
    while not all(node.is_terminated for node in nodes):
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
