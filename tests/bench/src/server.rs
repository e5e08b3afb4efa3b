//! The server: the simulator, in a process of its own, steered and counted through its admin port.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::http::Http;

/// What the real server takes for a file operation, and for a question about jobs, in milliseconds (recorded with 2.5.7 over SSH).
pub(crate) const FILE_OPERATION_MS: u64 = 7;
pub(crate) const JOB_QUERY_MS: u64 = 90;
/// And for `sbatch` and `scancel`.
pub(crate) const JOB_COMMAND_MS: u64 = 9;
/// How long a job waits in the queue, in seconds: little, for the peers' sake. It is the same for all, and centres' are longer.
pub(crate) const QUEUE_WAIT_S: f64 = 1.0;

pub(crate) struct Server {
    _child: Child,
    http: Http,
    admin: String,
    _folder: tempfile::TempDir,
    /// The clients' configuration.
    pub(crate) config: Value,
}

/// What a work asked of the server: requests to the API and to the object store, tokens apart, and bytes of bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    pub(crate) s3_requests: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Server {
    /// Starts the program with its files under a folder that goes with it, below `place`.
    pub(crate) async fn start(program: &Path, place: &Path, latency_ms: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("fcb-").tempdir_in(place)?;
        let config = folder.path().join("config.json");
        let latency = latency_ms.to_string();
        let mut command = Command::new(program);
        command
            .args(["--admin", "0", "--nodes", "200", "--token-lifetime", "3600", "--until-stdin-closes"])
            .args(["--latency", &latency, "--s3-latency", &latency])
            .args(["--file-operation-cost", &FILE_OPERATION_MS.to_string()])
            .args(["--job-query-cost", &JOB_QUERY_MS.to_string()])
            .args(["--job-command-cost", &JOB_COMMAND_MS.to_string()])
            .args(["--queue-wait", &QUEUE_WAIT_S.to_string()])
            .arg("--root")
            .arg(folder.path().join("root"))
            .arg("--config-out")
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        lines.next_line().await?.context("the simulator did not start")?;
        let admin = lines.next_line().await?.context("the simulator has no admin port")?;
        let config = serde_json::from_slice(&std::fs::read(&config)?)?;
        Ok(Self { _child: child, http: Http::new(), admin, _folder: folder, config })
    }

    /// A text of the configuration.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.config[name].as_str().unwrap_or_default()
    }

    /// The user's home: the same path here and on the cluster.
    pub(crate) fn home(&self) -> PathBuf {
        self.text("workdir").into()
    }

    pub(crate) async fn forget(&self) -> Result<()> {
        self.admin("DELETE", "/requests", None).await.map(drop)
    }

    pub(crate) async fn counts(&self) -> Result<Counts> {
        Ok(serde_json::from_value(self.admin("GET", "/counts", None).await?)?)
    }

    /// Adds running jobs that no process stands behind. Their ids.
    pub(crate) async fn add_jobs(&self, count: usize) -> Result<Vec<String>> {
        let wanted = json!({ "count": count, "state": "RUNNING" });
        Ok(serde_json::from_value(self.admin("POST", "/jobs", Some(&wanted)).await?)?)
    }

    async fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self.http.ask(method, &format!("{}{path}", self.admin), &[], body.into()).await?;
        anyhow::ensure!(answer.status < 300, "{method} {path}: {}", answer.status);
        if answer.body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&answer.body)?) }
    }
}
