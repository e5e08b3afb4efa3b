"""The package itself: what an import costs, threads, cancelling, errors, stubs."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import aiida_firecrest_wasm
from aiida_firecrest_wasm import FirecrestError, _native, errors

PATIENCE = 60


def test_an_import_loads_neither_aiida_nor_the_component():
    code = (
        "import sys, threading, aiida_firecrest_wasm as a; assert 'aiida' not in sys.modules; assert threading.active_count() == 1; "
        "import os; assert len(os.listdir('/proc/self/task')) == 1; assert a.request_counts()['requests'] == 0; print(a.__version__)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == aiida_firecrest_wasm.__version__


def test_the_stubs_name_what_is_there():
    folder = Path(aiida_firecrest_wasm.__file__).parent
    assert (folder / "py.typed").exists()
    tree = ast.parse((folder / "_native.pyi").read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert functions == {name for name in dir(_native) if not name.startswith("_") and not isinstance(getattr(_native, name), type)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            told = {one.name for one in node.body if isinstance(one, ast.FunctionDef)} - {"__init__"}
            has = {name for name in vars(getattr(_native, node.name)) if not name.startswith("__") or name == "__await__"}
            assert told == has, node.name


def test_errors_are_pythons_own(transport, remote):
    with pytest.raises(FileNotFoundError) as caught:
        transport.listdir(f"{remote}/missing")
    error = caught.value
    assert isinstance(error, FirecrestError)
    assert error.kind == "not-found" and error.subject == f"{remote}/missing" and error.http_status == 404
    assert f"{remote}/missing" in str(error) and "\n" not in str(error) and "[Errno" not in str(error)
    assert error.errno == 2
    for kind, base in (
        ("permission-denied", PermissionError), ("unavailable", ConnectionError), ("timeout", TimeoutError), ("unsupported", NotImplementedError),
        ("invalid-argument", ValueError), ("already-exists", FileExistsError), ("deadline", TimeoutError), ("trapped", RuntimeError),
        ("something-new", OSError),
    ):  # fmt: skip
        made = errors.of_kind(kind, "words", subject="/x")
        assert isinstance(made, base) and isinstance(made, OSError)
        assert (str(made), made.kind, made.subject) == ("words", kind, "/x")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and copy.subject == error.subject


@pytest.mark.parametrize(
    "more, name",
    [({"url": ""}, "url"), ({"client_id": None}, "client_id"), ({"max_io_allowed": 0}, "max_io_allowed"), ({"max_io_allowed": True}, "max_io_allowed"),
     ({"client_secret": "/no/such/file"}, "client_secret")],
)  # fmt: skip
def test_a_bad_configuration_is_named(make_transport, more, name):
    with pytest.raises(ValueError, match=name):
        make_transport(**more)


def test_no_error_shows_the_secret(make_transport):
    transport = make_transport(client_secret="hunter2-hunter2")
    with pytest.raises(PermissionError) as caught:
        transport.open()
    assert caught.value.kind == "unauthenticated"
    assert not transport.is_open
    for shown in (str(caught.value), repr(caught.value), repr(vars(caught.value)), repr(transport), repr(transport._client)):
        assert "hunter2" not in shown


def test_what_aiida_and_older_versions_store_is_taken(make_transport):
    transport = make_transport(
        small_file_size_mb=5.0, api_version="0", machine="unused", safe_interval=3.0, use_login_shell=False, something_else=1
    )
    assert transport.get_safe_open_interval() == 3.0
    assert transport.whoami()


def test_a_cancelled_task_ends_its_call_and_no_other(transport, remote):
    async def run() -> None:
        task = asyncio.ensure_future(transport.exec_command_wait_async("sleep 600"))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await transport.isdir_async(remote)

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


@pytest.mark.simulator
def test_calls_that_wait_have_no_threads_and_hold_no_gil(start_simulator, make_transport):
    settings = start_simulator("--latency", "2000").config
    transport = make_transport(
        **{name: settings[name] for name in ("url", "token_uri", "client_id", "client_secret")}, max_io_allowed=64
    )
    transport.open()
    folder = settings["temp_directory"]
    seen: list[int] = []

    async def run() -> None:
        calls = [asyncio.ensure_future(transport.path_exists_async(folder)) for _ in range(64)]
        while not all(call.done() for call in calls):
            await asyncio.sleep(0.05)
            seen.append(len(os.listdir("/proc/self/task")))
        assert all(call.result() for call in calls)

    before = len(os.listdir("/proc/self/task"))
    asyncio.run(run())
    # While they waited: answers are handed over by a thread of tokio's, for a moment.
    assert seen[len(seen) // 2] < before + 16, (before, seen)

    counted = 0
    waiting = threading.Thread(target=transport.path_exists, args=(folder,))
    waiting.start()
    while waiting.is_alive():
        counted += 1
        time.sleep(0.01)
    assert counted > 10


@pytest.mark.simulator
def test_ctrl_c_cancels(start_simulator, transport_settings, tmp_path):
    settings = start_simulator("--latency", "600000").config
    code = (
        "import signal, sys, json, time; from aiida_firecrest_wasm import FirecrestTransport\n"
        # Ignored in what a shell without job control runs in the background.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "t = FirecrestTransport(**json.loads(sys.argv[1])); print('ready', flush=True)\n"
        "try: t.whoami()\n"
        "except KeyboardInterrupt: print('interrupted'); sys.exit(7)\n"
    )

    given = {**transport_settings, "url": settings["url"], "token_uri": settings["token_uri"]}
    child = subprocess.Popen([sys.executable, "-c", code, json.dumps(given)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=PATIENCE) == 7
    assert child.stdout.read() == "interrupted\n"


def test_a_forked_process_is_told(transport):
    transport.whoami()
    process = os.fork()
    if process == 0:
        try:
            transport.__class__(**{**vars(transport), "url": "http://127.0.0.1:9", "token_uri": "http://x", "client_id": "a",
                                   "client_secret": "b", "compute_resource": "c"})  # fmt: skip
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_a_submission_whose_answer_was_lost_is_found_again(transport, remote, tmp_path, monkeypatch):
    from aiida_firecrest_wasm import scheduler as module

    scheduler = module.FirecrestScheduler()
    scheduler.set_transport(transport)
    (tmp_path / "job.sh").write_text("#!/bin/sh\n#SBATCH --nodes=1\nsleep 1\n")
    transport.putfile(tmp_path / "job.sh", f"{remote}/job.sh")

    class Lossy:
        """The client, but the answer to a submission gets lost."""

        def __init__(self, client, arrives):
            self._client, self._arrives = client, arrives

        def __getattr__(self, name):
            return getattr(self._client, name)

        def submit(self, script, working_directory):
            if self._arrives:
                self._client.submit(script, working_directory).wait()

            class Lost:
                def wait(self):
                    raise errors.OutcomeUnknownError("the answer was lost")

            return Lost()

    client = transport._client
    monkeypatch.setattr(transport, "_client", Lossy(client, arrives=True))
    job_id = scheduler.submit_job(remote, "job.sh")
    mine = [job for job in client.jobs().wait()["jobs"] if job["working_directory"] == remote]
    assert [job["job_id"] for job in mine] == [job_id]

    other = f"{remote}/other"
    transport.mkdir(other)
    transport.putfile(tmp_path / "job.sh", f"{other}/job.sh")
    monkeypatch.setattr(transport, "_client", Lossy(client, arrives=False))
    with pytest.raises(module.SchedulerError, match="lost"):
        scheduler.submit_job(other, "job.sh")
    # AiiDA tries again.
    monkeypatch.setattr(transport, "_client", client)
    again = scheduler.submit_job(other, "job.sh")
    assert again != job_id
