"""AiiDA's scheduler over FirecREST: Slurm, as the component speaks it."""

from __future__ import annotations

import posixpath
import re
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Optional, Union, overload

from aiida.common.datastructures import CodeRunMode
from aiida.common.exceptions import InternalError
from aiida.schedulers import Scheduler, SchedulerError
from aiida.schedulers.datastructures import JobInfo, JobState, JobTemplate, MachineInfo
from aiida.schedulers.plugins.slurm import SlurmJobResource

from . import _native, calling
from .calling import do
from .errors import FirecrestError, InvalidArgumentError, OutcomeUnknownError

if TYPE_CHECKING:
    from aiida.engine.processes.exit_code import ExitCode

    from .transport import FirecrestTransport

_YOUNG = 60.0
"""Seconds after its submission in which a job that the server does not know is awaited: recorded were up to 4."""

_PLAIN = (
    "job_id", "title", "exit_status", "terminating_signal", "annotation", "job_owner", "num_mpiprocs", "num_cpus", "num_machines",
    "queue_name", "account", "qos", "wallclock_time_seconds", "requested_wallclock_time_seconds", "cpu_time", "raw_data",
)  # fmt: skip

_NUMBERS = ("num_machines", "num_mpiprocs_per_machine", "num_cores_per_machine", "num_cores_per_mpiproc", "tot_num_mpiprocs")

_ENDS = {
    "OUT_OF_MEMORY": "ERROR_SCHEDULER_OUT_OF_MEMORY",
    "TIMEOUT": "ERROR_SCHEDULER_OUT_OF_WALLTIME",
    "DEADLINE": "ERROR_SCHEDULER_OUT_OF_WALLTIME",
    "NODE_FAIL": "ERROR_SCHEDULER_NODE_FAILURE",
    "BOOT_FAIL": "ERROR_SCHEDULER_NODE_FAILURE",
}

_submitted: dict[str, float] = {}
"""Jobs that this process submitted not long ago, and when."""

_unclear: set[tuple[str, str]] = set()
"""Working directories, by server, of submissions whose answer was lost."""


class FirecrestScheduler(Scheduler):
    """A plugin to connect to a FirecREST server.
    It must be used together with the 'firecrest' transport plugin.
    """

    transport: FirecrestTransport
    _job_resource_class = SlurmJobResource
    _features: ClassVar[dict[str, bool]] = {"can_query_by_user": False}
    _logger = Scheduler._logger.getChild("firecrest")

    # Scripts

    def get_submit_script(self, job_tmpl: JobTemplate) -> str:
        """The job script: byte for byte what AiiDA's own Slurm plugin writes. Sends nothing.

        :raises ValueError: a field of the template is not acceptable; the message names it.
        """
        if not isinstance(job_tmpl, JobTemplate):
            raise InternalError("job_tmpl should be of type JobTemplate")
        if job_tmpl.shebang == "":
            # For AiiDA an empty first line; the contract has no word for it.
            return "\n" + self._script(job_tmpl, shebang="#!").split("\n", 1)[1]
        return self._script(job_tmpl)

    def _get_submit_script_header(self, job_tmpl: JobTemplate) -> str:
        """The lines for the scheduler alone."""
        script = self._script(job_tmpl, job_environment=[], prepend_text=None, append_text=None, codes_info=[], parallel=False)
        return script.split("\n", 1)[1].strip("\n")

    def _script(self, job_tmpl: JobTemplate, **replaced: Any) -> str:
        return calling.blocking(lambda: do(_native.script({**_template(job_tmpl), **replaced})))

    # Jobs

    def submit_job(self, working_directory: str, filename: str) -> Union[str, ExitCode]:
        """Submits a script that is in its working directory, and returns the job's id.

        A submission whose answer was lost is looked up before it is sent again.

        :returns: the id, or the exit code for an account that the scheduler refuses.
        :raises SchedulerError: the scheduler refuses the script, with its own words.
        """
        try:
            job_id: str = self._run(self._submit, str(working_directory), str(filename))
        except InvalidArgumentError as error:
            words = f"{error} {error.server_message or ''}"
            if re.search(r"invalid account|invalid.*account.*combination", words, re.IGNORECASE):
                from aiida.engine import CalcJob

                self.logger.error("Submission refused: %s", error)
                return CalcJob.exit_codes.ERROR_SCHEDULER_INVALID_ACCOUNT
            raise SchedulerError(f"Error during submission: {error}") from error
        except FirecrestError as error:
            raise SchedulerError(f"Error during submission: {error}") from error
        _submitted[job_id] = time.monotonic()
        return job_id

    async def _submit(self, working_directory: str, filename: str) -> str:
        client = self.transport._client
        key = (repr(client), working_directory)
        if key in _unclear:
            found = await self._lost(working_directory)
            _unclear.discard(key)
            if found is not None:
                return found
        try:
            return await do(client.submit(posixpath.join(working_directory, filename), working_directory))
        except OutcomeUnknownError:
            _unclear.add(key)
            found = await self._lost(working_directory)
            if found is None:
                raise
            _unclear.discard(key)
            return found

    async def _lost(self, working_directory: str) -> Optional[str]:
        """The latest job of mine in this directory: AiiDA gives each job one of its own."""
        listing = await do(self.transport._client.jobs())
        mine = [job for job in listing["jobs"] if (job["working_directory"] or "").rstrip("/") == working_directory.rstrip("/")]
        return max(mine, key=lambda job: job["submission_time"] or 0)["job_id"] if mine else None

    @overload
    def get_jobs(
        self, jobs: Optional[list[str]] = None, user: Optional[str] = None, as_dict: Literal[False] = False
    ) -> list[JobInfo]: ...

    @overload
    def get_jobs(
        self, jobs: Optional[list[str]] = None, user: Optional[str] = None, as_dict: Literal[True] = ...
    ) -> dict[str, JobInfo]: ...

    def get_jobs(
        self, jobs: Optional[list[str]] = None, user: Optional[str] = None, as_dict: bool = False
    ) -> Union[list[JobInfo], dict[str, JobInfo]]:
        """What the scheduler knows of jobs: one request for any number of them.

        :param jobs: their ids; none: all of mine, those of the last day included. A job that the scheduler does not know (any more) is
            left out, which to AiiDA means that it is done; one that was submitted a moment ago is undetermined.
        :param user: other users' jobs are not shown by the server; so only whether it is me would matter, and it is ignored.
        :param as_dict: a dictionary with the ids as its keys.
        """
        ids = None if jobs is None else [str(job) for job in ([jobs] if isinstance(jobs, (str, int)) else jobs)]
        if ids == []:
            return {} if as_dict else []
        try:
            listing = self._run(self._jobs, ids)
        except FirecrestError as error:
            raise SchedulerError(f"Error while asking for jobs: {error}") from error
        found = [_info(job) for job in listing["jobs"]]
        now = time.monotonic()
        for job_id in [job_id for job_id, since in _submitted.items() if now - since > _YOUNG]:
            del _submitted[job_id]
        found += [
            JobInfo({"job_id": job_id, "job_state": JobState.UNDETERMINED})
            for job_id in listing["missing"]
            if job_id in _submitted
        ]
        return {info.job_id: info for info in found} if as_dict else found

    async def _jobs(self, ids: Optional[list[str]]) -> dict[str, Any]:
        return await do(self.transport._client.jobs(ids))

    def kill_job(self, jobid: str) -> bool:
        """Asks the scheduler to end a job; one that has ended already is as good as killed.

        :returns: false: there is no such job, or it could not be ended; the log says why.
        """
        try:
            (outcome,) = self._run(self._cancel, str(jobid))
        except FirecrestError as error:
            self.logger.error("Unable to kill job %s: %s", jobid, error)
            return False
        if outcome in ("cancelled", "already-finished"):
            return True
        self.logger.error("Unable to kill job %s: %s", jobid, outcome)
        return False

    async def _cancel(self, job_id: str) -> list[str]:
        return await do(self.transport._client.cancel([job_id]))

    # What was left

    def can_get_detailed_job_info(self) -> bool:
        """It can."""
        return True

    def _get_detailed_job_info_command(self, job_id: str) -> str:
        """No command is run; that there is one tells older versions of AiiDA that detailed information can be had."""
        return f"GET /compute/…/jobs/{job_id}"

    def get_detailed_job_info(self, job_id: str) -> dict[str, Union[str, int]]:
        """The job's accounting, in the form that ``sacct --parsable`` has: a line of names, one for the job, one for each step.

        :raises SchedulerError: the server cannot be asked now. A job that it does not know is no error, but a ``retval`` of 1.
        """
        try:
            details = self._run(self._details, str(job_id))
        except FileNotFoundError as error:
            return {"retval": 1, "stdout": "", "stderr": str(error)}
        except FirecrestError as error:
            # AiiDA asks again; without the accounting it would not see why a job failed.
            raise SchedulerError(f"Error while asking for the accounting of job {job_id}: {error}") from error
        return {"retval": 0, "stdout": _table(details), "stderr": ""}

    async def _details(self, job_id: str) -> dict[str, Any]:
        return await do(self.transport._client.details(job_id))

    def parse_output(
        self,
        detailed_job_info: Optional[dict[str, Union[str, int]]] = None,
        stdout: Optional[str] = None,
        stderr: Optional[str] = None,
    ) -> Optional[ExitCode]:
        """AiiDA's exit code for a job that ran out of memory or time or lost its node; none: nothing of that kind.

        :raises TypeError: an argument is of the wrong type.
        :raises ValueError: ``detailed_job_info`` is not what :meth:`get_detailed_job_info` returned.
        """
        from aiida.engine import CalcJob

        codes = CalcJob.exit_codes
        if detailed_job_info is not None:
            state = _state(detailed_job_info)
            if state in _ENDS:
                return getattr(codes, _ENDS[state])
        if stderr is not None:
            if not isinstance(stderr, str):
                raise TypeError(f"stderr should be a string, not {type(stderr).__name__}")
            if re.search(r"exceeded.*memory limit|oom.kill", stderr, re.IGNORECASE):
                return codes.ERROR_SCHEDULER_OUT_OF_MEMORY
            if re.search(r"cancelled at.*due to time limit", stderr, re.IGNORECASE):
                return codes.ERROR_SCHEDULER_OUT_OF_WALLTIME
            if re.search(r"cancelled at.*due to node failure", stderr, re.IGNORECASE):
                return codes.ERROR_SCHEDULER_NODE_FAILURE
        return None

    def _run(self, function: Any, *arguments: Any) -> Any:
        transport = self.transport
        if not hasattr(transport, "_client"):
            raise SchedulerError(f"the scheduler 'firecrest' needs the transport 'firecrest', not {transport}")
        return calling.blocking(function, *arguments)


def _info(job: dict[str, Any]) -> JobInfo:
    info = JobInfo({name: job[name] for name in _PLAIN if job[name] is not None})
    info.job_state = JobState(job["job_state"])
    info.job_substate = job["raw_state"]
    for name in ("submission_time", "dispatch_time", "finish_time"):
        if job[name] is not None:
            info[name] = datetime.fromtimestamp(job[name], tz=timezone.utc)
    if job["allocated_machines"]:
        info.allocated_machines = [
            MachineInfo({name: value for name, value in machine.items() if value is not None})
            for machine in job["allocated_machines"]
        ]
    if job["allocated_machines_raw"]:
        info.allocated_machines_raw = job["allocated_machines_raw"]
    return info


def _template(job: JobTemplate) -> dict[str, Any]:
    """AiiDA's template as the contract's."""
    environment = job.job_environment or {}
    if not isinstance(environment, dict):
        raise ValueError("If you provide job_environment, it must be a dictionary")
    if not job.job_resource:
        raise ValueError("Job resources (as the num_machines) are required for the SLURM scheduler plugin")
    priority = job.priority
    return {
        "shebang": job.shebang,
        "submit_as_hold": bool(job.submit_as_hold),
        "rerunnable": bool(job.rerunnable),
        "job_environment": [(str(name), str(value)) for name, value in environment.items()],
        "environment_variables_double_quotes": bool(job.environment_variables_double_quotes),
        "working_directory": job.working_directory,
        "email": job.email,
        "email_on_started": bool(job.email_on_started),
        "email_on_terminated": bool(job.email_on_terminated),
        "job_name": job.job_name,
        "sched_output_path": job.sched_output_path,
        "sched_error_path": job.sched_error_path,
        "sched_join_files": bool(job.sched_join_files),
        "queue_name": job.queue_name,
        "account": job.account,
        "qos": job.qos,
        "job_resource": {name: _number(name, job.job_resource.get(name)) for name in _NUMBERS},
        "priority": None if priority is None else str(priority),
        "max_memory_kb": _number("max_memory_kb", job.max_memory_kb),
        "max_wallclock_seconds": _number("max_wallclock_seconds", job.max_wallclock_seconds),
        "custom_scheduler_commands": job.custom_scheduler_commands,
        "prepend_text": job.prepend_text,
        "append_text": job.append_text,
        "import_sys_environment": bool(job.import_sys_environment),
        "parallel": job.codes_run_mode == CodeRunMode.PARALLEL,
        "codes_info": [_code(code) for code in job.codes_info or []],
    }


def _number(name: str, value: Any) -> Optional[int]:
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a whole number! It is instead '{value}'") from error


def _code(code: Any) -> dict[str, Any]:
    return {
        "prepend_cmdline_params": [str(text) for text in code.prepend_cmdline_params],
        "cmdline_params": [str(text) for text in code.cmdline_params],
        "use_double_quotes": tuple(bool(flag) for flag in code.use_double_quotes),
        "wrap_cmdline_params": bool(code.wrap_cmdline_params),
        "stdin_name": code.stdin_name,
        "stdout_name": code.stdout_name,
        "stderr_name": code.stderr_name,
        "join_files": bool(code.join_files),
    }


def _table(details: dict[str, Any]) -> str:
    job = details["info"]
    whole = {
        "JobID": job["job_id"],
        "JobName": job["title"],
        "User": job["job_owner"],
        "Account": job["account"],
        "Partition": job["queue_name"],
        "QOS": job["qos"],
        "State": job["raw_state"],
        "Reason": job["annotation"],
        "ExitCode": _exit(job),
        "AllocNodes": job["num_machines"],
        "AllocCPUS": job["num_cpus"],
        "NodeList": job["allocated_machines_raw"],
        "ElapsedRaw": job["wallclock_time_seconds"],
        "TimelimitRaw": job["requested_wallclock_time_seconds"],
        "CPUTimeRAW": job["cpu_time"],
        "Submit": _when(job["submission_time"]),
        "Start": _when(job["dispatch_time"]),
        "End": _when(job["finish_time"]),
        "WorkDir": job["working_directory"],
    }
    lines = [list(whole), [_cell(value) for value in whole.values()]]
    for step in details["steps"]:
        one = {
            "JobID": step["id"],
            "JobName": step["name"],
            "State": step["raw_state"],
            "ExitCode": _exit(step),
            "ElapsedRaw": step["wallclock_time_seconds"],
        }
        lines.append([_cell(one.get(name)) for name in whole])
    # --parsable puts a bar behind the last field, too.
    return "".join("|".join(line) + "|\n" for line in lines)


def _exit(job: dict[str, Any]) -> Optional[str]:
    if job["exit_status"] is None and job["terminating_signal"] is None:
        return None
    return f"{job['exit_status'] or 0}:{job['terminating_signal'] or 0}"


def _when(seconds: Optional[int]) -> Optional[str]:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).replace("|", "/").split())


def _state(detailed_job_info: Any) -> str:
    if not isinstance(detailed_job_info, dict):
        raise TypeError(f"detailed_job_info should be a dictionary, not {type(detailed_job_info).__name__}")
    if "stdout" not in detailed_job_info:
        raise ValueError("the `detailed_job_info` does not contain the required key `stdout`.")
    stdout = detailed_job_info["stdout"]
    if not isinstance(stdout, str):
        raise TypeError(f"detailed_job_info.stdout should be a string, not {type(stdout).__name__}")
    if not stdout and detailed_job_info.get("retval"):
        # The accounting could not be had; AiiDA has kept the reason.
        return ""
    lines = stdout.splitlines()
    if len(lines) < 2:
        raise ValueError("the `detailed_job_info.stdout` contained less than two lines.")
    names, values = lines[0].split("|"), lines[1].split("|")
    if len(names) != len(values):
        raise ValueError(
            f"first and second line in `detailed_job_info.stdout` differ in length: {len(names)} vs {len(values)}"
        )
    # sacct writes `CANCELLED by 1001`.
    return dict(zip(names, values)).get("State", "").split(" ")[0]
