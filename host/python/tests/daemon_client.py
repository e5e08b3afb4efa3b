"""What test_daemon.py does with a profile of its own, as a program: the profile of the test run is loaded in pytest's process.

    daemon_client.py submit COUNT SETTINGS    makes a computer and a code, and submits COUNT additions
    daemon_client.py wait SECONDS             waits for them, and prints what came of each as JSON
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from aiida import engine, load_profile, orm


def submit(count: int, settings: dict) -> None:
    computer = orm.Computer(
        label="cluster", hostname="unused", workdir=settings["workdir"].rstrip("/") + "/daemon", transport_type="firecrest",
        scheduler_type="firecrest",
    ).store()  # fmt: skip
    computer.set_minimum_job_poll_interval(1)
    computer.set_default_mpiprocs_per_machine(1)
    names = ("url", "token_uri", "client_id", "client_secret", "compute_resource", "billing_account", "temp_directory")
    computer.configure(**{name: settings[name] for name in names if name in settings}, max_io_allowed=8, checksum_check=False)
    # Made beforehand, as `verdi computer test` does: of many calculations that find it missing AiiDA lets one make it, and the others wait.
    with computer.get_transport() as transport:
        transport.makedirs(computer.get_workdir(), ignore_existing=True)
    code = orm.InstalledCode(
        label="sh", computer=computer, filepath_executable="/bin/sh", default_calc_job_plugin="core.arithmetic.add"
    ).store()
    for number in range(count):
        builder = code.get_builder()
        builder.x, builder.y = orm.Int(number), orm.Int(1000)
        builder.metadata.options.resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        builder.metadata.options.max_wallclock_seconds = 60
        engine.submit(builder)


def wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        rows = orm.QueryBuilder().append(orm.CalcJobNode, project=["id", "attributes.process_state", "attributes.exit_status"]).all()
        if all(state in ("finished", "excepted", "killed") for _, state, _ in rows) or time.monotonic() > end:
            break
        time.sleep(2)
    found = []
    for (node,) in orm.QueryBuilder().append(orm.CalcJobNode, project="*").order_by({orm.CalcJobNode: "id"}).iterall():
        found.append({
            "pk": node.pk, "state": node.process_state.value, "exit_status": node.exit_status, "job_id": node.get_job_id(),
            "x": node.inputs.x.value, "sum": node.outputs.sum.value if "sum" in node.outputs else None, "exception": node.exception,
        })  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    load_profile()
    if sys.argv[1] == "submit":
        submit(int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text()))
    else:
        wait(float(sys.argv[2]))
