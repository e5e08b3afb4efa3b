"""AiiDA's scheduler on the server: scripts, jobs, and what they leave."""

from __future__ import annotations

import time
from typing import Any, Callable

import pytest
from aiida.common.datastructures import CodeRunMode
from aiida.schedulers import SchedulerError
from aiida.schedulers.datastructures import JobState, JobTemplate, JobTemplateCodeInfo
from aiida.schedulers.plugins.slurm import SlurmJobResource, SlurmScheduler

PATIENCE = 120


@pytest.fixture
def scheduler(transport):
    from aiida_firecrest_wasm.scheduler import FirecrestScheduler

    made = FirecrestScheduler()
    made.set_transport(transport)
    return made


def template(**more: Any) -> JobTemplate:
    job = JobTemplate()
    job.job_resource = SlurmJobResource(num_machines=1, num_mpiprocs_per_machine=1)
    job.codes_info = [JobTemplateCodeInfo(cmdline_params=["sleep", "1"], stdout_name="out it")]
    job.codes_run_mode = CodeRunMode.SERIAL
    job.max_wallclock_seconds = 60
    job.sched_output_path, job.sched_error_path = "_out.txt", "_err.txt"
    for name, value in more.items():
        setattr(job, name, value)
    return job


@pytest.fixture
def submit(scheduler, transport, remote, tmp_path) -> Callable[..., str]:
    def run(body: str, **more: Any) -> str:
        script = scheduler.get_submit_script(template(append_text=body, job_name="the job", **more))
        (tmp_path / "job.sh").write_text(script)
        transport.putfile(tmp_path / "job.sh", f"{remote}/job.sh")
        return scheduler.submit_job(remote, "job.sh")

    return run


def wait(scheduler: Any, job_id: str) -> Any:
    """The last that is heard of a job."""
    end = time.monotonic() + PATIENCE
    last = None
    while time.monotonic() < end:
        info = scheduler.get_jobs(jobs=[job_id], as_dict=True).get(job_id)
        if info is None:
            return last
        last = info
        if info.job_state == JobState.DONE:
            return info
        time.sleep(0.3)
    raise AssertionError(f"{job_id} is {last} after {PATIENCE} s")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"shebang": ""},
        {"shebang": "#!/bin/sh"},
        {"job_environment": {"A": "1 2", "B": "$HOME"}, "environment_variables_double_quotes": True},
        {"prepend_text": "module load x", "append_text": "echo done", "custom_scheduler_commands": "#SBATCH -C gpu"},
        {"job_name": "ä strange/name!", "account": "a", "qos": "q", "queue_name": "p", "priority": 100, "max_memory_kb": 2048},
        {"email": "a@b.c", "email_on_started": True, "email_on_terminated": True, "submit_as_hold": True, "rerunnable": True},
        {"sched_join_files": True, "import_sys_environment": True, "max_wallclock_seconds": 200000},
        {"codes_run_mode": CodeRunMode.PARALLEL},
    ],
)
def test_scripts_are_those_of_aiidas_own_plugin(more):
    from aiida_firecrest_wasm.scheduler import FirecrestScheduler

    ours, theirs = FirecrestScheduler(), SlurmScheduler()
    job = template(**more)
    assert ours.get_submit_script(job) == theirs.get_submit_script(job)
    assert ours._get_submit_script_header(job) == theirs._get_submit_script_header(job)


@pytest.mark.parametrize("name, value", [("max_wallclock_seconds", 0), ("max_wallclock_seconds", "x"), ("max_memory_kb", -1)])
def test_a_template_that_cannot_be_is_refused_by_name(name, value):
    from aiida_firecrest_wasm.scheduler import FirecrestScheduler

    with pytest.raises(ValueError, match=name):
        FirecrestScheduler().get_submit_script(template(**{name: value}))


def test_a_job_from_its_submission_to_its_accounting(scheduler, transport, submit, remote):
    job_id = submit("echo hello; sleep 1")
    info = wait(scheduler, job_id)
    assert (info.job_id, info.job_state, info.title, info.exit_status) == (job_id, JobState.DONE, "thejob", 0)
    assert info.job_owner == transport.whoami()
    assert info.queue_name and info.job_substate == "COMPLETED"
    assert info.num_machines == 1
    assert info.requested_wallclock_time_seconds == 60
    assert info.wallclock_time_seconds >= 1
    assert info.submission_time is None or info.submission_time <= info.dispatch_time
    assert info.dispatch_time <= info.finish_time
    assert info.serialize()
    details = scheduler.get_detailed_job_info(job_id)
    assert details["retval"] == 0
    names, values = (line.split("|") for line in details["stdout"].splitlines()[:2])
    told = dict(zip(names, values))
    assert (told["JobID"], told["State"], told["ExitCode"]) == (job_id, "COMPLETED", "0:0")
    assert scheduler.can_get_detailed_job_info()
    assert scheduler.parse_output(details, "", "") is None
    assert "hello" in transport.exec_command_wait("cat _out.txt", workdir=remote)[1]


def test_many_jobs_are_one_request(scheduler, submit, requests_of):
    ids = [submit("true") for _ in range(3)]
    for job_id in ids:
        wait(scheduler, job_id)
    found: dict[str, Any] = {}
    made = requests_of(lambda: found.update(scheduler.get_jobs(jobs=ids, as_dict=True)))
    assert set(found) == set(ids)
    assert len(made) == 1, made
    listed = scheduler.get_jobs(jobs=ids)
    assert sorted(info.job_id for info in listed) == sorted(ids)
    mine = scheduler.get_jobs(user="whoever", as_dict=True)
    assert set(ids) <= set(mine)
    assert scheduler.get_jobs(jobs=[]) == []
    assert not scheduler.get_feature("can_query_by_user")


def test_an_unknown_job_is_left_out_and_a_young_one_is_undetermined(scheduler, submit, monkeypatch):
    from aiida_firecrest_wasm import scheduler as module

    assert scheduler.get_jobs(jobs=["987654321"]) == []
    monkeypatch.setitem(module._submitted, "987654321", time.monotonic())
    (info,) = scheduler.get_jobs(jobs=["987654321"])
    assert info.job_state == JobState.UNDETERMINED
    monkeypatch.setitem(module._submitted, "987654321", time.monotonic() - 1000)
    assert scheduler.get_jobs(jobs=["987654321"]) == []


def test_a_job_is_killed(scheduler, submit):
    job_id = submit("sleep 600")
    assert scheduler.kill_job(job_id)
    info = wait(scheduler, job_id)
    assert info is None or info.job_substate.startswith("CANCELLED")
    assert not scheduler.kill_job("987654321")


def test_a_refused_script_says_why(scheduler, transport, remote, tmp_path):
    (tmp_path / "job.sh").write_text("no shebang\n")
    transport.putfile(tmp_path / "job.sh", f"{remote}/job.sh")
    with pytest.raises(SchedulerError, match="#!"):
        scheduler.submit_job(remote, "job.sh")
    with pytest.raises(SchedulerError):
        scheduler.submit_job(remote, "missing.sh")


def test_a_refused_account_is_aiidas_exit_code(scheduler, submit):
    code = submit("true", account="no-such-account")
    assert getattr(code, "status", None) == 131, code


@pytest.mark.parametrize(
    "state, status",
    [("OUT_OF_MEMORY", 110), ("TIMEOUT", 120), ("NODE_FAIL", 140), ("COMPLETED", None), ("CANCELLED by 1001", None)],
)
def test_the_accounting_is_understood(state, status):
    from aiida_firecrest_wasm.scheduler import FirecrestScheduler, _state, _table

    names = ("job_id title job_owner account queue_name qos annotation num_machines num_cpus allocated_machines_raw cpu_time "
             "wallclock_time_seconds requested_wallclock_time_seconds submission_time dispatch_time finish_time "
             "working_directory exit_status terminating_signal").split()  # fmt: skip
    details = {"info": {**dict.fromkeys(names), "raw_state": state}, "steps": []}
    told = {"retval": 0, "stdout": _table(details), "stderr": ""}
    assert _state(told) == state.split(" ")[0]
    code = FirecrestScheduler().parse_output(told, "", "")
    assert (code and code.status) == status


@pytest.mark.parametrize(
    "text, status",
    [
        ("slurmstepd: error: Exceeded job memory limit", 110),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.", 110),
        ("line\nslurmstepd: error: *** JOB 1 ON n CANCELLED AT 2026-11-24T00:00:00 DUE TO TIME LIMIT ***", 120),
        ("slurmstepd: error: *** JOB 1 ON n CANCELLED AT 2026-11-24T00:00:00 DUE TO NODE FAILURE, SEE SLURMCTLD LOG ***", 140),
        ("all is well", None),
    ],
)
def test_what_slurm_writes_to_stderr_is_understood(text, status):
    from aiida_firecrest_wasm.scheduler import FirecrestScheduler

    code = FirecrestScheduler().parse_output(None, "", text)
    assert (code and code.status) == status


def test_what_is_no_accounting_is_refused():
    from aiida_firecrest_wasm.scheduler import FirecrestScheduler

    parse = FirecrestScheduler().parse_output
    for given, error in (("text", TypeError), ({}, ValueError), ({"stdout": 1}, TypeError), ({"stdout": "one"}, ValueError),
                         ({"stdout": "a|b\n1\n"}, ValueError)):  # fmt: skip
        with pytest.raises(error):
            parse(given)
    with pytest.raises(TypeError):
        parse(None, "", 1)
    assert parse({"retval": 1, "stdout": "", "stderr": "not found"}, "", "") is None


@pytest.mark.simulator
def test_another_transport_is_refused():
    from aiida.plugins import TransportFactory

    from aiida_firecrest_wasm.scheduler import FirecrestScheduler

    scheduler = FirecrestScheduler()
    scheduler.set_transport(TransportFactory("core.local")())
    with pytest.raises(SchedulerError, match="needs the transport 'firecrest'"):
        scheduler.get_jobs()
