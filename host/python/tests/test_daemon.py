"""AiiDA's daemon: two workers, RabbitMQ between them, and a server that allows only so many requests."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

COUNT = 100
PATIENCE = 1500
VERDI = str(Path(sys.executable).with_name("verdi"))
RABBITMQ = Path("/usr/lib/rabbitmq/bin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """RabbitMQ on loopback, with folders and a name of its own; its port."""
    if not (RABBITMQ / "rabbitmq-server").exists():
        pytest.skip("no RabbitMQ here: `make test` installs it")
    epmd_port, port, distribution = free_port(), free_port(), free_port()
    home = tmp_path / "rabbitmq"
    for name in ("data", "log", "home"):
        (home / name).mkdir(parents=True)
    # As AiiDA asks for it: without that limit a worker may wait for a job for days.
    (home / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{port}\nconsumer_timeout = 31622400000\nvm_memory_high_watermark.absolute = 512MB\n")
    (home / "plugins").write_text("[].\n")
    environment = {
        **os.environ,
        "HOME": str(home / "home"),
        "RABBITMQ_NODENAME": f"test-{secrets.token_hex(4)}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    # Erlang would start one of its own that outlives the test.
    names = subprocess.Popen(["epmd", "-port", str(epmd_port), "-address", "127.0.0.1"], stdout=subprocess.DEVNULL)
    server = subprocess.Popen(
        [str(RABBITMQ / "rabbitmq-server")], env=environment, stdout=(home / "out").open("w"), stderr=subprocess.STDOUT
    )
    try:
        end = time.monotonic() + 120
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None and time.monotonic() < end, (home / "out").read_text()
            time.sleep(0.2)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=60)
        names.terminate()
        names.wait(timeout=60)


@pytest.mark.simulator
def test_a_daemon_of_two_workers_loses_nothing_and_sends_nothing_twice(broker, start_simulator, tmp_path):
    simulator = start_simulator("--nodes", "16", "--quota", "40/2")
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ, "HOME": str(home), "AIIDA_PATH": str(home), "NO_COLOR": "1", "PATH": f"{Path(VERDI).parent}:{os.environ['PATH']}",
        "AIIDA_FIRECREST_REQUESTS": str(tmp_path / "requests"),
    }  # fmt: skip
    environment.pop("AIIDA_PROFILE", None)

    def run(*command: str, patience: float = 300) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patience)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    client = [sys.executable, str(Path(__file__).with_name("daemon_client.py"))]
    run(VERDI, "profile", "setup", "core.sqlite_dos", "-n", "-p", "test", "--email", "a@b.c", "--first-name", "A", "--last-name", "B",
        "--institution", "C", "--set-as-default", "--broker", "none")  # fmt: skip
    run(VERDI, "profile", "configure-broker", "core.rabbitmq", "test", "-f", "-n", "--broker-protocol", "amqp", "--broker-username", "guest",
        "--broker-password", "guest", "--broker-host", "127.0.0.1", "--broker-port", str(broker), "--broker-virtual-host", "")  # fmt: skip
    # A worker takes as much as it may: neither may take all.
    run(VERDI, "config", "set", "daemon.worker_process_slots", str(COUNT * 2 // 3))
    run(VERDI, "daemon", "start", "2")
    try:
        run(*client, "submit", str(COUNT), str(simulator.config_file))
        found = json.loads(run(*client, "wait", str(PATIENCE), patience=PATIENCE + 120).splitlines()[-1])
    finally:
        log = "".join(path.read_text() for path in home.rglob("aiida-test.log"))
        try:
            run(VERDI, "daemon", "stop", "--timeout", "120")
        finally:
            # Nothing that a test starts outlives it.
            for path in (home / ".aiida" / "daemon").glob("circus-*.pid"):
                os.kill(int(path.read_text()), signal.SIGTERM)
        shutil.copytree(home / ".aiida" / "daemon" / "log", tmp_path / "log", dirs_exist_ok=True)

    assert len(found) == COUNT
    assert {(one["state"], one["exit_status"]) for one in found} == {("finished", 0)}, (found, log[-5000:])
    assert all(one["sum"] == one["x"] + 1000 for one in found)
    assert len({one["job_id"] for one in found}) == COUNT

    # What the cluster has seen: each calculation once.
    from aiida_firecrest_wasm.transport import FirecrestTransport

    settings = {name: simulator.config[name] for name in ("url", "token_uri", "client_id", "client_secret", "compute_resource")}
    listing = FirecrestTransport(**settings)._client.jobs().wait()
    folders = Counter(job["working_directory"] for job in listing["jobs"])
    assert len(listing["jobs"]) == COUNT, folders
    assert set(folders.values()) == {1}
    assert {job["job_id"] for job in listing["jobs"]} == {one["job_id"] for one in found}

    # Both have worked, and felt the quota; nobody else did.
    counted = [json.loads(path.read_text()) for path in tmp_path.glob("requests.*.json")]
    assert len([one for one in counted if one["requests"] > COUNT]) == 2, counted
    assert sum(one["statuses"].get("429", 0) for one in counted) > 0, counted
    assert "429" not in log and "quota" not in log.lower()
