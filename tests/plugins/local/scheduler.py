"""The contract's `scheduler` over a journal.

**Nothing is run.** A sandbox has no processes, and this plugin has no interpreter: a job is written down, with its script, and counts as
ended when it is first asked for (state `done`, in the scheduler's word `RECORDED`, without an exit status, for there was none). One whose
script holds the line `#JOURNAL hold` stays `queued-held` until it is cancelled.
"""

import json
import time

from componentize_py_types import Err
from errors import failure, invalid, unsupported
from journal import CANCELLED, RECORDED, Job, Journal
from script import DIRECTIVE, HOLD, named, render
from transport import MOST, Session
from watch import Watch
from wit_world import exports
from wit_world.exports.scheduler import (
    CancelOutcome,
    CancelOutcome_AlreadyFinished,
    CancelOutcome_Cancelled,
    CancelOutcome_Failed,
    CancelOutcome_NotFound,
    JobDetails,
    JobInfo,
    JobListing,
    JobQuery,
    JobQuery_Ids,
    JobState,
    JobTemplate,
    Node,
    Partition,
    Reservation,
    ScriptSource_Path,
    Submission,
    WaitOptions,
)
from wit_world.imports import monotonic_clock, poll
from wit_world.imports.aiida_hpc_types import ErrorKind, FileKind

QUEUE = "journal"
DAY = 24 * 60 * 60
# A held job is looked at again, and the host asked whether to go on, after so many nanoseconds.
PAUSE = 100_000_000


class Scheduler(exports.Scheduler):
    def script(self, template: JobTemplate) -> str:
        return render(template)

    def submit(self, session: Session, submission: Submission) -> str:
        directory = submission.working_directory
        kind = (session.folder / directory).kind()
        if kind is None:
            raise failure(ErrorKind.NOT_FOUND, directory, f"{directory}: no such working directory")
        if kind is not FileKind.DIRECTORY:
            raise failure(ErrorKind.NOT_A_DIRECTORY, directory, f"{directory} is not a directory")
        text = text_of(session, submission)
        if not text.startswith("#!"):
            raise invalid("script", "the script does not begin with #!")
        queue = told(text, "queue")
        if queue not in (None, QUEUE):
            raise invalid(queue, f"there is no partition {queue!r}: {QUEUE} is the only one")
        return Journal(session.folder).submit(
            name=submission.name or told(text, "name"),
            account=submission.account,
            environment=named("environment", submission.environment),
            working_directory=directory,
            held=HOLD in text.splitlines(),
            script=text,
        )

    def jobs(self, session: Session, query: JobQuery) -> JobListing:
        journal = Journal(session.folder)
        known = settled(journal)
        if isinstance(query, JobQuery_Ids):
            return chosen(known, checked(query.value))
        since = time.time() - DAY
        recent = [job for job in known.values() if job.end is None or job.end["time"] >= since]
        return JobListing([info(job) for job in recent], [])

    def cancel(self, session: Session, ids: list[str]) -> list[CancelOutcome]:
        journal = Journal(session.folder)
        known = settled(journal)
        return [cancelled(journal, known.get(identifier)) for identifier in checked(ids, unique=False)]

    def wait(self, session: Session, ids: list[str], options: WaitOptions) -> JobListing:
        journal, wanted = Journal(session.folder), checked(ids)
        deadline = None if options.timeout_ms is None else time.monotonic() + options.timeout_ms / 1000
        with Watch("wait", ",".join(wanted)) as watch:
            while True:
                known = settled(journal)
                # `started` is as far as `finished` here: a job that is not held has ended.
                far = [identifier not in known or known[identifier].end is not None for identifier in wanted]
                if not far or (all(far) if options.all else any(far)) or (deadline is not None and time.monotonic() >= deadline):
                    return chosen(known, wanted)
                with monotonic_clock.subscribe_duration(PAUSE) as timer:
                    poll.poll([timer])
                watch.tick()

    def details(self, session: Session, id: str) -> JobDetails:
        checked([id])
        job = settled(Journal(session.folder)).get(id)
        if job is None:
            raise failure(ErrorKind.NOT_FOUND, id, f"{id}: no such job")
        return JobDetails(info(job), [], job.submitted.get("script"), None, None, None)

    def partitions(self, session: Session) -> list[Partition]:
        return [Partition(QUEUE, None, None, "UP")]

    def nodes(self, session: Session) -> list[Node]:
        raise unsupported("nodes", "a journal has none")

    def reservations(self, session: Session) -> list[Reservation]:
        return []


def text_of(session: Session, submission: Submission) -> str:
    if not isinstance(submission.script, ScriptSource_Path):
        return submission.script.value
    path = submission.script.value
    return session.read(path, 0, MOST).decode(errors="replace")


def told(script: str, field: str) -> str | None:
    """What the script itself says."""
    begin = f"{DIRECTIVE} {field}="
    return next((line[len(begin) :] for line in script.splitlines() if line.startswith(begin)), None)


def checked(ids: list[str], unique: bool = True) -> list[str]:
    for identifier in ids:
        if not (identifier.isascii() and identifier.isalnum()):
            raise invalid(identifier, f"{identifier!r} is no job id: those are letters and digits")
    return list(dict.fromkeys(ids)) if unique else ids


def settled(journal: Journal) -> dict[str, Job]:
    """All jobs; those that are not held end with this look at them."""
    jobs = journal.jobs()
    for job in jobs.values():
        if job.end is None and not job.held:
            journal.end(job, RECORDED)
    return jobs


def chosen(known: dict[str, Job], ids: list[str]) -> JobListing:
    found = [info(known[identifier]) for identifier in ids if identifier in known]
    return JobListing(found, [identifier for identifier in ids if identifier not in known])


def cancelled(journal: Journal, job: Job | None) -> CancelOutcome:
    if job is None:
        return CancelOutcome_NotFound()
    if job.end is not None:
        return CancelOutcome_AlreadyFinished()
    try:
        journal.end(job, CANCELLED)
    except Err as error:
        return CancelOutcome_Failed(error.value)
    return CancelOutcome_Cancelled()


def info(job: Job) -> JobInfo:
    record, end = job.submitted, job.end
    return JobInfo(
        job_id=job.id,
        title=record.get("name"),
        exit_status=None,
        terminating_signal=None,
        annotation="written down, not run: a sandbox has no processes" if end is not None else "held",
        job_state=JobState.DONE if end is not None else JobState.QUEUED_HELD,
        raw_state=end["state"] if end is not None else "HELD",
        allocated_machines=[],
        allocated_machines_raw=None,
        job_owner=None,
        num_mpiprocs=None,
        num_cpus=None,
        num_machines=None,
        queue_name=QUEUE,
        account=record.get("account"),
        qos=None,
        wallclock_time_seconds=None,
        requested_wallclock_time_seconds=None,
        cpu_time=None,
        submission_time=record["time"],
        dispatch_time=None,
        finish_time=end["time"] if end is not None else None,
        working_directory=record.get("working_directory"),
        raw_data=json.dumps({"submit": {key: value for key, value in record.items() if key != "script"}, "end": end}),
    )
