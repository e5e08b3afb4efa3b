//! A peer of Python: a process that lives as long as the bench, see `peers/line.py`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::task::{Outcome, Task};

/// To import AiiDA takes seconds, on a busy machine many.
const GET_READY: Duration = Duration::from_secs(120);

pub(crate) struct Driver {
    python: PathBuf,
    script: PathBuf,
    argument: Option<&'static str>,
    home: PathBuf,
    config: Value,
    process: Option<Process>,
}

struct Process {
    child: Child,
    tasks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    /// `home`: where AiiDA and the cache of compiled code may write.
    pub(crate) fn new(python: &Path, script: PathBuf, argument: Option<&'static str>, home: &Path) -> Self {
        Self { python: python.to_owned(), script, argument, home: home.to_owned(), config: Value::Null, process: None }
    }

    /// Runs a task, for so long at most: then the process is ended, and a new one started for the next task.
    pub(crate) async fn run(&mut self, task: &Task, cap: Duration) -> Outcome {
        if let Task::Configure { config } = task {
            self.config = config.clone();
            return match self.ask(task, GET_READY).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::of(0.0, Err(error)),
            };
        }
        if self.process.is_none() {
            let again = Task::Configure { config: self.config.clone() };
            match self.ask(&again, GET_READY).await {
                Ok(Outcome { error: None, .. }) => {}
                Ok(failed) => return failed,
                Err(error) => return Outcome::of(0.0, Err(error)),
            }
        }
        self.ask(task, cap).await.unwrap_or_else(|error| Outcome::of(0.0, Err(error)))
    }

    async fn ask(&mut self, task: &Task, cap: Duration) -> Result<Outcome> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let mut line = serde_json::to_vec(task)?;
        line.push(b'\n');
        process.tasks.write_all(&line).await.context("a peer has ended")?;
        let mut answer = String::new();
        match tokio::time::timeout(cap, process.answers.read_line(&mut answer)).await {
            Ok(read) => {
                anyhow::ensure!(read? > 0, "a peer has ended without an answer");
                self.process = Some(process);
                Ok(serde_json::from_str(&answer)?)
            }
            Err(_) => {
                process.child.kill().await?;
                Ok(Outcome { seconds: cap.as_secs_f64(), result: Value::Null, error: None, capped: true })
            }
        }
    }

    fn start(&self) -> Result<Process> {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).args(self.argument).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command.env("AIIDA_PATH", &self.home).env("XDG_CACHE_HOME", self.home.join("cache"));
        // What a library warns of would tear the table; with FIRECREST_BENCH_STDERR it is shown.
        if std::env::var_os("FIRECREST_BENCH_STDERR").is_none() {
            command.stderr(Stdio::null());
        }
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.python.display()))?;
        let tasks = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Process { child, tasks, answers })
    }
}
