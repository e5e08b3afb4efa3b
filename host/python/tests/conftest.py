"""A server, a transport, a profile: the simulator and temporary folders, or with ``--firecrest-config=FILE`` a real server."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

ROOT = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

# Before anything reads them: no test touches the home of whoever runs it. Compiled code is kept between runs.
os.environ.setdefault("XDG_CACHE_HOME", str(TARGET / "test-python-cache"))

pytest_plugins = ["aiida.tools.pytest_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("firecrest")
    group.addoption("--firecrest-config", metavar="FILE", help="run against the server of this configuration, not the simulator")
    group.addoption("--firecrest-no-clean", action="store_true", help="leave the files of the tests on the server")
    group.addoption("--firecrest-requests", action="store_true", help="print the number of requests of each test")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "simulator: needs the simulator: looks at its files, or starts one with knobs of its own")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--firecrest-config"):
        skip = pytest.mark.skip(reason="needs the simulator")
        for item in items:
            if "simulator" in item.keywords:
                item.add_marker(skip)


class Simulator:
    """A simulator as a program, from its start until ``close``."""

    def __init__(self, folder: Path, *arguments: str):
        config = folder / f"{uuid.uuid4().hex}.json"
        program = os.environ.get("FIRECREST_SIMULATOR", str(TARGET / "debug" / "firecrest-simulator"))
        self._process = subprocess.Popen(
            [program, "--config-out", str(config), "--until-stdin-closes", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), "the simulator does not start: cargo build -p firecrest-simulator"
        self.config: dict[str, Any] = json.loads(config.read_text())
        self.config_file = config

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


@pytest.fixture(scope="session")
def start_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Simulator]]:
    """Starts simulators that end with the run."""
    running: list[Simulator] = []

    def start(*arguments: str) -> Simulator:
        simulator = Simulator(tmp_path_factory.mktemp("simulator"), *arguments)
        running.append(simulator)
        return simulator

    yield start
    for simulator in running:
        simulator.close()


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest, start_simulator: Callable[..., Simulator]) -> dict[str, Any]:
    """The configuration file's values."""
    given: Optional[str] = request.config.getoption("--firecrest-config")
    if given:
        return json.loads(Path(given).read_text())
    return start_simulator("--nodes", "16").config


@pytest.fixture(scope="session")
def transport_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Those of them that the transport takes."""
    names = ("url", "token_uri", "client_id", "client_secret", "compute_resource", "temp_directory", "billing_account")
    taken = {name: settings[name] for name in names if name in settings}
    return {"billing_account": None, "max_io_allowed": 8, "checksum_check": False, **taken}


@pytest.fixture(scope="session")
def work_directory(settings: dict[str, Any]) -> str:
    """Where on the server tests may write."""
    folder = settings.get("workdir") or settings["temp_directory"]
    return folder.rstrip("/")


@pytest.fixture
def make_transport(transport_settings: dict[str, Any]) -> Callable[..., Any]:
    """Makes transports for the server."""
    from aiida_firecrest_wasm.transport import FirecrestTransport

    return lambda **more: FirecrestTransport(**{**transport_settings, **more})


@pytest.fixture
def transport(make_transport: Callable[..., Any]) -> Iterator[Any]:
    """An open transport."""
    with make_transport() as opened:
        yield opened


@pytest.fixture
def remote(request: pytest.FixtureRequest, transport: Any, work_directory: str) -> Iterator[str]:
    """A fresh folder on the server, gone after the test."""
    folder = f"{work_directory}/aiida-firecrest-test-{uuid.uuid4().hex[:12]}"
    transport.makedirs(folder)
    yield folder
    if not request.config.getoption("--firecrest-no-clean"):
        transport.rmtree(folder)


@pytest.fixture
def computer(request: pytest.FixtureRequest, transport_settings: dict[str, Any], work_directory: str) -> Iterator[Any]:
    """A configured computer of the loaded profile, with a work directory of its own."""
    from aiida import orm

    workdir = f"{work_directory}/aiida-firecrest-run-{uuid.uuid4().hex[:12]}"
    made = orm.Computer(
        label=f"firecrest-{uuid.uuid4().hex[:12]}",
        hostname="unused",
        workdir=workdir,
        transport_type="firecrest",
        scheduler_type="firecrest",
    ).store()
    made.set_minimum_job_poll_interval(0.5)
    made.set_default_mpiprocs_per_machine(1)
    made.configure(**transport_settings)
    # As `verdi computer test` does: of many calculations that find it missing AiiDA lets one make it, and the others wait.
    with made.get_transport() as opened:
        opened.makedirs(workdir, ignore_existing=True)
    yield made
    if not request.config.getoption("--firecrest-no-clean"):
        with made.get_transport() as opened:
            opened.rmtree(workdir)


@pytest.fixture
def requests_of() -> Callable[[Callable[[], Any]], list[str]]:
    """The requests that a function makes, as ``METHOD /path`` without the token's."""
    import aiida_firecrest_wasm

    def run(function: Callable[[], Any]) -> list[str]:
        before = aiida_firecrest_wasm.request_counts()["requests"]
        function()
        made = aiida_firecrest_wasm.request_counts()["requests"] - before
        latest = aiida_firecrest_wasm.requests()[-made:] if made else []
        return [f"{one['method']} {one['path']}" for one in latest if "token" not in one["path"]]

    return run


@pytest.fixture(autouse=True)
def _count_requests(request: pytest.FixtureRequest) -> Iterator[None]:
    import aiida_firecrest_wasm

    before = aiida_firecrest_wasm.request_counts()
    yield
    after = aiida_firecrest_wasm.request_counts()
    request.config.stash.setdefault(_COUNTED, {})[request.node.nodeid] = {name: after[name] - before[name] for name in after}


_COUNTED: pytest.StashKey[dict[str, dict[str, int]]] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--firecrest-requests"):
        return
    counted = config.stash.get(_COUNTED, {})
    terminalreporter.section("requests of each test, made in this process")
    for name, counts in sorted(counted.items(), key=lambda item: -item[1]["requests"]):
        terminalreporter.write_line(
            f"{counts['requests']:6} requests {counts['sent']:12} bytes sent {counts['received']:12} received  {name}"
        )
    total = sum(counts["requests"] for counts in counted.values())
    terminalreporter.write_line(f"{total:6} requests in all")
