//! `aiida:hpc/scheduler`.

use std::time::Duration;

use super::bindings::aiida::hpc::types::Error;
use super::bindings::exports::aiida::hpc::scheduler as wit;
use super::{Plugin, converted, run, run_watched};
use crate::error::Error as Failure;
use crate::firecrest::v2::jobs::{Script, Submission};
use crate::firecrest::v2::lenient;
use crate::remote::RemotePath;
use crate::scheduler::info::{JobInfo, JobStep};
use crate::scheduler::script::render;
use crate::scheduler::service::{CancelOutcome, JobDetails, JobListing, JobQuery, WaitOptions};
use crate::scheduler::state::JobState;
use crate::scheduler::template::{CodeInfo, CodesRunMode, InvalidTemplate, JobResource, JobTemplate};
use crate::session::Session;

impl wit::Guest for Plugin {
    fn script(template: wit::JobTemplate) -> Result<String, Error> {
        Ok(render(&template.into()).map_err(Failure::from)?)
    }

    fn submit(session: wit::SessionBorrow<'_>, submission: wit::Submission) -> Result<String, Error> {
        let submission = submission.try_into()?;
        Ok(run(session.get::<Session>().submit(submission))?)
    }

    fn jobs(session: wit::SessionBorrow<'_>, query: wit::JobQuery) -> Result<wit::JobListing, Error> {
        Ok(run(session.get::<Session>().jobs(query.into()))?.into())
    }

    fn cancel(session: wit::SessionBorrow<'_>, ids: Vec<String>) -> Result<Vec<wit::CancelOutcome>, Error> {
        Ok(converted(run(session.get::<Session>().cancel(ids))?))
    }

    fn wait(
        session: wit::SessionBorrow<'_>,
        ids: Vec<String>,
        options: wit::WaitOptions,
    ) -> Result<wit::JobListing, Error> {
        let told = ids.join(",");
        Ok(run_watched("wait", &told, session.get::<Session>().wait(ids, options.into()))?.into())
    }

    fn details(session: wit::SessionBorrow<'_>, id: String) -> Result<wit::JobDetails, Error> {
        Ok(run(session.get::<Session>().details(&id))?.into())
    }

    fn partitions(session: wit::SessionBorrow<'_>) -> Result<Vec<wit::Partition>, Error> {
        Ok(converted(run(session.get::<Session>().partitions())?))
    }

    fn nodes(session: wit::SessionBorrow<'_>) -> Result<Vec<wit::Node>, Error> {
        Ok(converted(run(session.get::<Session>().nodes())?))
    }

    fn reservations(session: wit::SessionBorrow<'_>) -> Result<Vec<wit::Reservation>, Error> {
        Ok(converted(run(session.get::<Session>().reservations())?))
    }
}

impl From<InvalidTemplate> for Failure {
    fn from(invalid: InvalidTemplate) -> Self {
        Failure::invalid(invalid.field(), invalid.to_string())
    }
}

impl TryFrom<wit::Submission> for Submission {
    type Error = Failure;

    fn try_from(submission: wit::Submission) -> Result<Self, Failure> {
        Ok(Self {
            script: match submission.script {
                wit::ScriptSource::Path(path) => Script::Path(RemotePath::parse(&path)?),
                wit::ScriptSource::Text(text) => Script::Text(text),
            },
            working_directory: RemotePath::parse(&submission.working_directory)?,
            name: submission.name,
            account: submission.account,
            environment: submission.environment,
        })
    }
}

impl From<wit::JobQuery> for JobQuery {
    fn from(query: wit::JobQuery) -> Self {
        match query {
            wit::JobQuery::Ids(ids) => Self::Ids(ids),
            wit::JobQuery::Mine => Self::Mine,
        }
    }
}

impl From<wit::WaitOptions> for WaitOptions {
    fn from(options: wit::WaitOptions) -> Self {
        Self {
            started: options.until == wit::WaitCondition::Started,
            all: options.all,
            timeout: options.timeout_ms.map(Duration::from_millis),
        }
    }
}

impl From<JobListing> for wit::JobListing {
    fn from(listing: JobListing) -> Self {
        Self { jobs: converted(listing.jobs), missing: listing.missing }
    }
}

impl From<CancelOutcome> for wit::CancelOutcome {
    fn from(outcome: CancelOutcome) -> Self {
        match outcome {
            CancelOutcome::Cancelled => Self::Cancelled,
            CancelOutcome::AlreadyFinished => Self::AlreadyFinished,
            CancelOutcome::NotFound => Self::NotFound,
            CancelOutcome::Failed(error) => Self::Failed(error.into()),
        }
    }
}

impl From<JobState> for wit::JobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Undetermined => Self::Undetermined,
            JobState::Queued => Self::Queued,
            JobState::QueuedHeld => Self::QueuedHeld,
            JobState::Running => Self::Running,
            JobState::Suspended => Self::Suspended,
            JobState::Done => Self::Done,
        }
    }
}

impl From<JobInfo> for wit::JobInfo {
    fn from(info: JobInfo) -> Self {
        let machine = |name| wit::MachineInfo { name, num_mpiprocs: None, num_cpus: None };
        Self {
            job_id: info.job_id,
            title: info.title,
            exit_status: info.exit_status,
            terminating_signal: info.terminating_signal,
            annotation: info.annotation,
            job_state: info.job_state.into(),
            raw_state: info.raw_state,
            allocated_machines: info.allocated_machines.into_iter().map(machine).collect(),
            allocated_machines_raw: info.allocated_machines_raw,
            job_owner: info.job_owner,
            num_machines: info.num_machines,
            queue_name: info.queue_name,
            account: info.account,
            wallclock_time_seconds: info.wallclock_time_seconds,
            requested_wallclock_time_seconds: info.requested_wallclock_time_seconds,
            dispatch_time: info.dispatch_time,
            finish_time: info.finish_time,
            working_directory: info.working_directory,
            raw_data: info.raw_data,
            // FirecREST 2.5.7 does not tell these.
            num_mpiprocs: None,
            num_cpus: None,
            qos: None,
            cpu_time: None,
            submission_time: None,
        }
    }
}

impl From<JobStep> for wit::JobStep {
    fn from(step: JobStep) -> Self {
        Self {
            id: step.id,
            name: step.name,
            raw_state: step.raw_state,
            exit_status: step.exit_status,
            terminating_signal: step.terminating_signal,
            wallclock_time_seconds: step.wallclock_time_seconds,
        }
    }
}

impl From<JobDetails> for wit::JobDetails {
    fn from(details: JobDetails) -> Self {
        Self {
            info: details.info.into(),
            steps: converted(details.steps),
            script: details.script,
            standard_input: details.standard_input,
            standard_output: details.standard_output,
            standard_error: details.standard_error,
        }
    }
}

impl From<lenient::Partition> for wit::Partition {
    fn from(partition: lenient::Partition) -> Self {
        Self {
            name: partition.name,
            cpus: partition.cpus,
            nodes: partition.total_nodes,
            state: partition.state.map(|state| state.joined()).unwrap_or_default(),
        }
    }
}

impl From<lenient::Node> for wit::Node {
    fn from(node: lenient::Node) -> Self {
        Self {
            name: node.name,
            states: node.state.map(|state| state.0).unwrap_or_default(),
            cpus: node.cpus,
            idle_cpus: node.idle_cpus,
            free_memory: node.free_memory,
            partitions: node.partitions.map(|partitions| partitions.0).unwrap_or_default(),
            features: node.features.map(|features| features.joined()),
        }
    }
}

impl From<lenient::Reservation> for wit::Reservation {
    fn from(reservation: lenient::Reservation) -> Self {
        let time = |at: Option<u64>| at.and_then(|at| i64::try_from(at).ok());
        Self {
            name: reservation.name,
            state: reservation.state.map(|state| state.joined()),
            nodes: reservation.nodes.map(|nodes| nodes.joined()),
            start: time(reservation.start_time),
            end: time(reservation.end_time),
            features: reservation.features.map(|features| features.joined()),
        }
    }
}

impl From<wit::JobTemplate> for JobTemplate {
    fn from(template: wit::JobTemplate) -> Self {
        Self {
            shebang: template.shebang,
            submit_as_hold: template.submit_as_hold,
            rerunnable: template.rerunnable,
            job_environment: template.job_environment,
            environment_variables_double_quotes: template.environment_variables_double_quotes,
            working_directory: template.working_directory,
            email: template.email,
            email_on_started: template.email_on_started,
            email_on_terminated: template.email_on_terminated,
            job_name: template.job_name,
            sched_output_path: template.sched_output_path,
            sched_error_path: template.sched_error_path,
            sched_join_files: template.sched_join_files,
            queue_name: template.queue_name,
            account: template.account,
            qos: template.qos,
            job_resource: template.job_resource.map(|resource| JobResource {
                num_machines: resource.num_machines,
                num_mpiprocs_per_machine: resource.num_mpiprocs_per_machine,
                num_cores_per_machine: resource.num_cores_per_machine,
                num_cores_per_mpiproc: resource.num_cores_per_mpiproc,
                tot_num_mpiprocs: resource.tot_num_mpiprocs,
            }),
            priority: template.priority,
            max_memory_kb: template.max_memory_kb,
            max_wallclock_seconds: template.max_wallclock_seconds,
            custom_scheduler_commands: template.custom_scheduler_commands,
            prepend_text: template.prepend_text,
            append_text: template.append_text,
            import_sys_environment: template.import_sys_environment,
            codes_run_mode: match template.codes_run_mode {
                wit::RunMode::Serial => CodesRunMode::Serial,
                wit::RunMode::Parallel => CodesRunMode::Parallel,
            },
            codes_info: converted(template.codes_info),
        }
    }
}

impl From<wit::CodeInfo> for CodeInfo {
    fn from(code: wit::CodeInfo) -> Self {
        Self {
            prepend_cmdline_params: code.prepend_cmdline_params,
            cmdline_params: code.cmdline_params,
            use_double_quotes: code.use_double_quotes,
            wrap_cmdline_params: code.wrap_cmdline_params,
            stdin_name: code.stdin_name,
            stdout_name: code.stdout_name,
            stderr_name: code.stderr_name,
            join_files: code.join_files,
        }
    }
}
