//! A command on the cluster, run as a short job.

use std::time::Duration;

use super::job::{Output, Work};
use crate::error::{Error, Result};
use crate::remote::RemotePath;
use crate::scheduler::service::is_identifier;
use crate::session::Session;

/// See the WIT record `command`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Command {
    pub line: String,
    pub working_directory: Option<String>,
    pub environment: Vec<(String, String)>,
    pub stdin: Vec<u8>,
    pub time_limit: Option<u32>,
}

impl Session {
    /// Runs a command, waits for it, and returns what it left.
    pub async fn exec(&self, command: &Command) -> Result<Output> {
        if command.line.contains('\0') {
            return Err(Error::invalid("line", "a command cannot hold a NUL character"));
        }
        if let Some((name, _)) =
            command.environment.iter().find(|(name, value)| !is_identifier(name) || value.contains('\0'))
        {
            return Err(Error::invalid(
                name,
                format!("'{name}' is not the name of an environment variable, or its value holds NUL"),
            ));
        }
        let working_directory = command.working_directory.as_deref().map(RemotePath::parse).transpose()?;
        let work = Work {
            operation: "exec",
            subject: &command.line,
            home: working_directory.is_none(),
            // As in `sh -c`: a syntax error in it is an exit code of its own and cannot reach our script.
            body: format!("exec bash -c {}", crate::shell::quote(&command.line)),
            working_directory,
            environment: &command.environment,
            stdin: &command.stdin,
            time_limit: command.time_limit.map(|seconds| Duration::from_secs(seconds.into())),
            caller: None,
        };
        self.run(work).await
    }
}
