//! What a job asks for, in AiiDA's own terms, and why a request can be refused.
//!
//! The types mirror aiida-core 2.9's `JobTemplate`, `JobTemplateCodeInfo` and the keys of `SlurmJobResource` field for
//! field, so that a caller can hand over an AiiDA template without interpreting it. They are plain data: nothing here
//! checks anything. [`super::resource`] and [`super::script`] do, and report an [`InvalidTemplate`].
//!
//! AiiDA does not tell an empty text from a missing one, except for the shebang. Neither does this module: `Some("")`
//! is as good as `None` everywhere but in [`JobTemplate::shebang`].

use std::fmt;

/// Everything a submit script is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobTemplate {
    /// The script's first line. `None` is `#!/bin/bash`; an empty text leaves the line empty, on purpose.
    pub shebang: Option<String>,
    /// Submit the job held: it waits in the queue until somebody releases it.
    pub submit_as_hold: bool,
    /// Slurm may start the job anew, for instance after a node failed.
    pub rerunnable: bool,
    /// Variables to export before the codes run, in this order.
    pub job_environment: Vec<(String, String)>,
    /// Quote the variables' values with `"`, so that the shell expands what is in them, instead of `'`.
    pub environment_variables_double_quotes: bool,
    /// The folder on the machine that the job runs in. The script does not mention it: submission names it.
    pub working_directory: Option<String>,
    /// Where Slurm sends mail about the job. Without it, mail goes to the job's owner.
    pub email: Option<String>,
    /// Send mail when the job starts.
    pub email_on_started: bool,
    /// Send mail when the job ends, well or badly.
    pub email_on_terminated: bool,
    /// The job's name. Slurm gets it without unusual characters and cut to 128 characters.
    pub job_name: Option<String>,
    /// File for the job's standard output, relative to the working directory.
    pub sched_output_path: Option<String>,
    /// File for the job's standard error, relative to the working directory. Ignored when both are joined.
    pub sched_error_path: Option<String>,
    /// Write standard error into the file of standard output.
    pub sched_join_files: bool,
    /// Slurm's partition.
    pub queue_name: Option<String>,
    /// The account (project) that is charged.
    pub account: Option<String>,
    /// Slurm's quality of service.
    pub qos: Option<String>,
    /// How many nodes, processes and cores. Slurm needs it: a template without it is refused.
    pub job_resource: Option<JobResource>,
    /// Value for `--nice`, as text: `"0"` is a priority, the empty text is none.
    pub priority: Option<String>,
    /// Memory on each node, in units of 1024 bytes. Zero means no limit.
    pub max_memory_kb: Option<i64>,
    /// How long the job may run, in seconds.
    pub max_wallclock_seconds: Option<i64>,
    /// Text (any number of lines) right after the last `#SBATCH` line.
    pub custom_scheduler_commands: Option<String>,
    /// Text (any number of lines) before the codes' command lines.
    pub prepend_text: Option<String>,
    /// Text (any number of lines) after the codes' command lines.
    pub append_text: Option<String>,
    /// Load the user's login environment.
    pub import_sys_environment: bool,
    /// How several codes follow each other.
    pub codes_run_mode: CodesRunMode,
    /// The codes to run.
    pub codes_info: Vec<CodeInfo>,
}

/// How several codes of one job run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CodesRunMode {
    /// One after the other.
    #[default]
    Serial,
    /// All at once; the script waits for the last.
    Parallel,
}

/// One command line of the script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeInfo {
    /// Words before the code's own, such as `mpirun -np 4`, not quoted yet.
    pub prepend_cmdline_params: Vec<String>,
    /// The program and its arguments, not quoted yet.
    pub cmdline_params: Vec<String>,
    /// Quote with `"` instead of `'`: first for the prepended words and the redirections, then for the code's own.
    pub use_double_quotes: (bool, bool),
    /// Make the code's words and its redirections one single argument, as containers need.
    pub wrap_cmdline_params: bool,
    /// File that standard input comes from.
    pub stdin_name: Option<String>,
    /// File that standard output goes to.
    pub stdout_name: Option<String>,
    /// File that standard error goes to. Ignored when both are joined.
    pub stderr_name: Option<String>,
    /// Send standard error where standard output goes.
    pub join_files: bool,
}

/// How much of the machine a job asks for, as the user wrote it: [`JobResource::checked`] completes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobResource {
    /// Nodes.
    pub num_machines: Option<i64>,
    /// MPI processes on each node.
    pub num_mpiprocs_per_machine: Option<i64>,
    /// Cores used on each node.
    pub num_cores_per_machine: Option<i64>,
    /// Cores for each MPI process.
    pub num_cores_per_mpiproc: Option<i64>,
    /// MPI processes altogether.
    pub tot_num_mpiprocs: Option<i64>,
}

/// Why a template cannot become a submit script. Each message names the field and the value it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidTemplate {
    /// The template says nothing about resources.
    ResourceMissing,
    /// Of nodes, processes on each and processes altogether, fewer than two are given.
    ResourceIncomplete {
        /// What was given.
        given: JobResource,
    },
    /// A number that must be one or more, given or worked out from the others, is not.
    BelowOne {
        /// Its field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The number of processes is not nodes times processes on each.
    ProcessesMismatch {
        /// Processes altogether.
        tot_num_mpiprocs: i64,
        /// Nodes.
        num_machines: i64,
        /// Processes on each.
        num_mpiprocs_per_machine: i64,
    },
    /// The cores on a node cannot be dealt out to the processes on it.
    CoresMismatch {
        /// Cores on a node.
        num_cores_per_machine: i64,
        /// Cores for a process, if given.
        num_cores_per_mpiproc: Option<i64>,
        /// Processes on a node.
        num_mpiprocs_per_machine: i64,
    },
    /// Nodes times processes on each is more than any number this module holds.
    TooManyProcesses {
        /// Nodes.
        num_machines: i64,
        /// Processes on each.
        num_mpiprocs_per_machine: i64,
    },
    /// The wall time is zero or less.
    WallTime {
        /// The seconds given.
        value: i64,
    },
    /// The memory is less than zero.
    Memory {
        /// The units of 1024 bytes given.
        value: i64,
    },
    /// A value for one line of the header would end that line, and what follows would be read as lines of its own.
    NotOneLine {
        /// Its field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A text holds the NUL character, which no shell word and no script can. The value stays out of the message: it
    /// may be long, or secret.
    NulCharacter {
        /// Where: a field, with the position in it where there is one.
        field: String,
    },
    /// A variable's name is none to a shell, which would read it as something else.
    EnvironmentName {
        /// The name as given.
        name: String,
    },
}

impl InvalidTemplate {
    /// The field that is at fault.
    pub fn field(&self) -> &str {
        match self {
            Self::ResourceMissing | Self::ResourceIncomplete { .. } | Self::TooManyProcesses { .. } => "job_resource",
            Self::ProcessesMismatch { .. } => "tot_num_mpiprocs",
            Self::CoresMismatch { .. } => "num_cores_per_machine",
            Self::BelowOne { field, .. } | Self::NotOneLine { field, .. } => field,
            Self::WallTime { .. } => "max_wallclock_seconds",
            Self::Memory { .. } => "max_memory_kb",
            Self::NulCharacter { field } => field,
            Self::EnvironmentName { .. } => "job_environment",
        }
    }
}

impl fmt::Display for InvalidTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResourceMissing => f.write_str("job_resource is missing: Slurm needs num_machines at least"),
            Self::ResourceIncomplete { given } => write!(
                f,
                "job_resource needs two of num_machines, num_mpiprocs_per_machine and tot_num_mpiprocs, but has \
                 num_machines = {}, num_mpiprocs_per_machine = {}, tot_num_mpiprocs = {}",
                Maybe(given.num_machines),
                Maybe(given.num_mpiprocs_per_machine),
                Maybe(given.tot_num_mpiprocs),
            ),
            Self::BelowOne { field, value } => write!(f, "{field} must be 1 or more, but is {value}"),
            Self::ProcessesMismatch { tot_num_mpiprocs, num_machines, num_mpiprocs_per_machine } => write!(
                f,
                "tot_num_mpiprocs = {tot_num_mpiprocs} is not num_machines = {num_machines} times \
                 num_mpiprocs_per_machine = {num_mpiprocs_per_machine}",
            ),
            Self::CoresMismatch {
                num_cores_per_machine,
                num_cores_per_mpiproc: Some(num_cores_per_mpiproc),
                num_mpiprocs_per_machine,
            } => write!(
                f,
                "num_cores_per_machine = {num_cores_per_machine} is not num_cores_per_mpiproc = \
                 {num_cores_per_mpiproc} times num_mpiprocs_per_machine = {num_mpiprocs_per_machine}",
            ),
            Self::CoresMismatch { num_cores_per_machine, num_cores_per_mpiproc: None, num_mpiprocs_per_machine } => {
                write!(
                    f,
                    "num_cores_per_machine = {num_cores_per_machine} is not a multiple of num_mpiprocs_per_machine = \
                     {num_mpiprocs_per_machine}",
                )
            }
            Self::TooManyProcesses { num_machines, num_mpiprocs_per_machine } => write!(
                f,
                "num_machines = {num_machines} times num_mpiprocs_per_machine = {num_mpiprocs_per_machine} is too large",
            ),
            Self::WallTime { value } => write!(f, "max_wallclock_seconds must be 1 or more seconds, but is {value}"),
            Self::Memory { value } => {
                write!(f, "max_memory_kb must be 0 (no limit) or more kilobytes, but is {value}")
            }
            Self::NotOneLine { field, value } => {
                write!(f, "{field} must be a single line without NUL characters, but is {}", Excerpt(value))
            }
            Self::NulCharacter { field } => write!(f, "{field} holds a NUL character"),
            Self::EnvironmentName { name } => write!(
                f,
                "job_environment has the name {}: a name must begin with a letter or _ and go on with letters, digits \
                 or _",
                Excerpt(name)
            ),
        }
    }
}

impl std::error::Error for InvalidTemplate {}

/// Shows a number that may not be given.
struct Maybe(Option<i64>);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("nothing"),
        }
    }
}

/// Shows a text on one line, in quotes and escaped, and no more of it than a message has room for.
struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ROOM: usize = 80;
        match self.0.char_indices().nth(ROOM) {
            Some((end, _)) => write!(f, "{:?}… ({} bytes)", &self.0[..end], self.0.len()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_field_and_value_on_one_line() {
        let cases = [
            (InvalidTemplate::ResourceMissing, vec!["job_resource"]),
            (
                InvalidTemplate::ResourceIncomplete {
                    given: JobResource { num_machines: Some(3), ..JobResource::default() },
                },
                vec!["num_machines = 3", "num_mpiprocs_per_machine = nothing", "tot_num_mpiprocs = nothing"],
            ),
            (InvalidTemplate::BelowOne { field: "num_machines", value: -2 }, vec!["num_machines", "-2"]),
            (
                InvalidTemplate::ProcessesMismatch {
                    tot_num_mpiprocs: 7,
                    num_machines: 2,
                    num_mpiprocs_per_machine: 4,
                },
                vec!["tot_num_mpiprocs = 7", "num_machines = 2", "num_mpiprocs_per_machine = 4"],
            ),
            (
                InvalidTemplate::CoresMismatch {
                    num_cores_per_machine: 9,
                    num_cores_per_mpiproc: Some(2),
                    num_mpiprocs_per_machine: 4,
                },
                vec!["num_cores_per_machine = 9", "num_cores_per_mpiproc = 2", "num_mpiprocs_per_machine = 4"],
            ),
            (
                InvalidTemplate::CoresMismatch {
                    num_cores_per_machine: 9,
                    num_cores_per_mpiproc: None,
                    num_mpiprocs_per_machine: 4,
                },
                vec!["num_cores_per_machine = 9", "num_mpiprocs_per_machine = 4"],
            ),
            (
                InvalidTemplate::TooManyProcesses { num_machines: i64::MAX, num_mpiprocs_per_machine: 2 },
                vec!["num_machines = 9223372036854775807", "num_mpiprocs_per_machine = 2"],
            ),
            (InvalidTemplate::WallTime { value: 0 }, vec!["max_wallclock_seconds", "0"]),
            (InvalidTemplate::Memory { value: -1 }, vec!["max_memory_kb", "-1"]),
            (
                InvalidTemplate::NotOneLine { field: "queue_name", value: "a\nb".into() },
                vec!["queue_name", r#""a\nb""#],
            ),
            (
                InvalidTemplate::NulCharacter { field: "codes_info[0].stdin_name".into() },
                vec!["codes_info[0].stdin_name"],
            ),
            (InvalidTemplate::EnvironmentName { name: "A B\n".into() }, vec!["job_environment", r#""A B\n""#]),
        ];
        for (error, parts) in cases {
            let message = error.to_string();
            for part in parts {
                assert!(message.contains(part), "{message:?} lacks {part:?}");
            }
            assert!(!message.contains('\n'), "{message:?}");
        }
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let value = "ä".repeat(500) + "\n";
        let message = InvalidTemplate::NotOneLine { field: "account", value }.to_string();
        assert!(message.ends_with("… (1001 bytes)"), "{message}");
        assert!(message.chars().count() < 200, "{message}");
    }
}
