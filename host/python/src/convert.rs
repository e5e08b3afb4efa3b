//! The contract's records as Python's dictionaries, and back. Names are the contract's, with underscores.

use aiida_firecrest_host::configuration::{
    FileSystem, Identity, OptionDescription, OptionKind, PluginInfo, ServerInfo, ServiceHealth, SystemInfo,
};
use aiida_firecrest_host::scheduler::{
    CancelOutcome, CodeInfo, JobDetails, JobInfo, JobListing, JobResource, JobState, JobStep, JobTemplate, MachineInfo,
    RunMode,
};
use aiida_firecrest_host::telemetry::{Counters, RequestRecord};
use aiida_firecrest_host::transport::{CommandOutput, Entry, FileStat, TransferSummary, Verification};
use aiida_firecrest_host::types::FileKind;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

/// What a call can answer with.
pub(crate) trait IntoPython: Send + 'static {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>>;
}

/// Bytes, and not a list of numbers.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl IntoPython for Bytes {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(PyBytes::new(py, &self.0).into_any().unbind())
    }
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl IntoPython for $type {
            fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.into_py_any(py)
            }
        }
    )*};
}
plain!((), bool, String, u16, u32, u64, i32, i64, f64, &'static str);

impl<T: IntoPython> IntoPython for Option<T> {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.map_or_else(|| Ok(py.None()), |value| value.into_python(py))
    }
}

impl<T: IntoPython> IntoPython for Vec<T> {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let items = self.into_iter().map(|item| item.into_python(py)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(py, items)?.into_any().unbind())
    }
}

macro_rules! record {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl IntoPython for $type {
            fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                let dict = PyDict::new(py);
                $( dict.set_item(stringify!($field), self.$field.into_python(py)?)?; )*
                Ok(dict.into_any().unbind())
            }
        }
    };
}

macro_rules! names {
    ($type:ty { $($variant:pat => $name:literal),* $(,)? }) => {
        impl IntoPython for $type {
            fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                let name = match self { $($variant => $name),* };
                name.into_py_any(py)
            }
        }
    };
}

names!(OptionKind {
    OptionKind::Text => "text", OptionKind::Secret => "secret", OptionKind::Integer => "integer",
    OptionKind::Number => "number", OptionKind::Flag => "flag",
});
names!(FileKind {
    FileKind::Regular => "regular", FileKind::Directory => "directory", FileKind::Symlink => "symlink",
    FileKind::BlockDevice => "block-device", FileKind::CharacterDevice => "character-device",
    FileKind::Fifo => "fifo", FileKind::Socket => "socket", FileKind::Unknown => "unknown",
});
names!(Verification {
    Verification::None => "none", Verification::Size => "size", Verification::Checksum => "checksum",
});
names!(JobState {
    JobState::Undetermined => "undetermined", JobState::Queued => "queued", JobState::QueuedHeld => "queued held",
    JobState::Running => "running", JobState::Suspended => "suspended", JobState::Done => "done",
});

record!(PluginInfo { name, version, summary });
record!(OptionDescription { name, kind, prompt, help, default, required });
record!(ServiceHealth { kind, path, healthy, message });
record!(FileSystem { path, kind, default_work_directory });
record!(SystemInfo {
    name,
    scheduler,
    scheduler_version,
    services,
    file_systems,
    upload_limit,
    download_limit,
    transfer_method,
    part_size,
});
record!(Identity { name, uid, group, gid, groups, accounts, default_account });
record!(ServerInfo { product, version, systems, user });
record!(FileStat { kind, mode, size, inode, device, links, uid, gid, accessed, modified, changed });
record!(TransferSummary { files, directories, bytes, skipped, verified });
record!(MachineInfo { name, num_mpiprocs, num_cpus });
record!(JobInfo {
    job_id,
    title,
    exit_status,
    terminating_signal,
    annotation,
    job_state,
    raw_state,
    allocated_machines,
    allocated_machines_raw,
    job_owner,
    num_mpiprocs,
    num_cpus,
    num_machines,
    queue_name,
    account,
    qos,
    wallclock_time_seconds,
    requested_wallclock_time_seconds,
    cpu_time,
    submission_time,
    dispatch_time,
    finish_time,
    working_directory,
    raw_data,
});
record!(JobListing { jobs, missing });
record!(JobStep { id, name, raw_state, exit_status, terminating_signal, wallclock_time_seconds });
record!(JobDetails { info, steps, script, standard_input, standard_output, standard_error });
record!(Counters { requests, failed, refused, sent, received });

impl IntoPython for Entry {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let dict = PyDict::new(py);
        dict.set_item("path", self.path)?;
        dict.set_item("raw_path", self.raw_path.map(|raw| PyBytes::new(py, &raw).unbind()))?;
        dict.set_item("kind", self.kind.into_python(py)?)?;
        dict.set_item("size", self.size)?;
        dict.set_item("permissions", self.permissions)?;
        dict.set_item("owner", self.owner)?;
        dict.set_item("group", self.group)?;
        dict.set_item("modified", self.modified)?;
        dict.set_item("link_target", self.link_target)?;
        Ok(dict.into_any().unbind())
    }
}

impl IntoPython for CommandOutput {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        (self.exit_code, PyBytes::new(py, &self.stdout), PyBytes::new(py, &self.stderr)).into_py_any(py)
    }
}

impl IntoPython for RequestRecord {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let dict = PyDict::new(py);
        dict.set_item("method", self.method)?;
        dict.set_item("origin", self.origin)?;
        dict.set_item("path", self.path)?;
        dict.set_item("status", self.status)?;
        dict.set_item("error", self.error)?;
        dict.set_item("sent", self.sent)?;
        dict.set_item("received", self.received)?;
        dict.set_item("seconds", self.duration.as_secs_f64())?;
        Ok(dict.into_any().unbind())
    }
}

/// `cancelled`, `already-finished`, `not-found`, or why it failed.
pub(crate) fn outcome(outcome: CancelOutcome) -> String {
    match outcome {
        CancelOutcome::Cancelled => "cancelled".into(),
        CancelOutcome::AlreadyFinished => "already-finished".into(),
        CancelOutcome::NotFound => "not-found".into(),
        CancelOutcome::Failed(error) => match error.server_message {
            Some(said) => format!("{} (the server says: {said})", error.message),
            None => error.message,
        },
    }
}

/// A job template from a dictionary with all of the contract's fields.
pub(crate) fn template(dict: &Bound<'_, PyDict>) -> PyResult<JobTemplate> {
    let field = Fields(dict);
    Ok(JobTemplate {
        shebang: field.get("shebang")?,
        submit_as_hold: field.get("submit_as_hold")?,
        rerunnable: field.get("rerunnable")?,
        job_environment: field.get("job_environment")?,
        environment_variables_double_quotes: field.get("environment_variables_double_quotes")?,
        working_directory: field.get("working_directory")?,
        email: field.get("email")?,
        email_on_started: field.get("email_on_started")?,
        email_on_terminated: field.get("email_on_terminated")?,
        job_name: field.get("job_name")?,
        sched_output_path: field.get("sched_output_path")?,
        sched_error_path: field.get("sched_error_path")?,
        sched_join_files: field.get("sched_join_files")?,
        queue_name: field.get("queue_name")?,
        account: field.get("account")?,
        qos: field.get("qos")?,
        job_resource: field.get::<Option<Bound<'_, PyDict>>>("job_resource")?.map(|r| resource(&r)).transpose()?,
        priority: field.get("priority")?,
        max_memory_kb: field.get("max_memory_kb")?,
        max_wallclock_seconds: field.get("max_wallclock_seconds")?,
        custom_scheduler_commands: field.get("custom_scheduler_commands")?,
        prepend_text: field.get("prepend_text")?,
        append_text: field.get("append_text")?,
        import_sys_environment: field.get("import_sys_environment")?,
        codes_run_mode: if field.get("parallel")? { RunMode::Parallel } else { RunMode::Serial },
        codes_info: field.get::<Vec<Bound<'_, PyDict>>>("codes_info")?.iter().map(code).collect::<PyResult<_>>()?,
    })
}

fn resource(dict: &Bound<'_, PyDict>) -> PyResult<JobResource> {
    let field = Fields(dict);
    Ok(JobResource {
        num_machines: field.get("num_machines")?,
        num_mpiprocs_per_machine: field.get("num_mpiprocs_per_machine")?,
        num_cores_per_machine: field.get("num_cores_per_machine")?,
        num_cores_per_mpiproc: field.get("num_cores_per_mpiproc")?,
        tot_num_mpiprocs: field.get("tot_num_mpiprocs")?,
    })
}

fn code(dict: &Bound<'_, PyDict>) -> PyResult<CodeInfo> {
    let field = Fields(dict);
    Ok(CodeInfo {
        prepend_cmdline_params: field.get("prepend_cmdline_params")?,
        cmdline_params: field.get("cmdline_params")?,
        use_double_quotes: field.get("use_double_quotes")?,
        wrap_cmdline_params: field.get("wrap_cmdline_params")?,
        stdin_name: field.get("stdin_name")?,
        stdout_name: field.get("stdout_name")?,
        stderr_name: field.get("stderr_name")?,
        join_files: field.get("join_files")?,
    })
}

/// Reads fields; an error names the one that is wrong.
struct Fields<'d, 'py>(&'d Bound<'py, PyDict>);

impl<'py> Fields<'_, 'py> {
    fn get<T>(&self, name: &str) -> PyResult<T>
    where
        T: for<'a> FromPyObject<'a, 'py>,
    {
        let value = match self.0.get_item(name)? {
            Some(value) => value,
            None => self.0.py().None().into_bound(self.0.py()),
        };
        let read: PyResult<T> = value.extract::<T>().map_err(Into::into);
        read.map_err(|error| PyValueError::new_err(format!("{name}: {}", error.value(self.0.py()))))
    }
}
