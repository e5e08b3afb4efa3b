//! A running simulator, as tests steer it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::auth::REALM;
use crate::builder::{Builder, Error};
use crate::faults::{Fault, Struck};
use crate::knobs::{Knobs, Service};
use crate::record::RequestRecord;
use crate::s3::{S3Fault, S3RequestRecord};
use crate::state::State;

/// Removes the root that was made for one simulator.
pub(crate) struct Temporary(pub(crate) Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(root) = &self.0 {
            let _ = fs::remove_dir_all(root);
        }
    }
}

/// A running server. Dropping it stops it and ends its jobs.
pub struct Simulator {
    state: Arc<State>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _temporary: Temporary,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("url", &self.state.url)
            .field("root", &self.state.root)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    pub(crate) fn new(
        state: Arc<State>,
        stop: watch::Sender<bool>,
        tasks: Vec<tokio::task::JoinHandle<()>>,
        temporary: Temporary,
    ) -> Self {
        Self { state, stop, tasks, _temporary: temporary }
    }

    /// What to start with.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The server's base URL, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Where tokens are given out.
    #[must_use]
    pub fn token_uri(&self) -> String {
        format!("{}{REALM}/protocol/openid-connect/token", self.state.url)
    }

    /// The client's id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.state.auth.client_id()
    }

    /// The client's secret.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        self.state.auth.client_secret()
    }

    /// The default system's name.
    #[must_use]
    pub fn system(&self) -> String {
        crate::read(&self.state.knobs).systems.first().map(|system| system.name.clone()).unwrap_or_default()
    }

    /// The user's name.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.state.user.name
    }

    /// The user's numeric id, as `stat` and `CANCELLED by …` tell it.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.state.user.uid
    }

    /// The user's home: a remote path, and the same real one.
    #[must_use]
    pub fn home(&self) -> &str {
        &self.state.user.home
    }

    /// The user's scratch folder: a remote path, and the same real one.
    #[must_use]
    pub fn scratch(&self) -> String {
        let scratch = self.state.file_systems.all().last().map_or("", String::as_str);
        format!("{scratch}/{}", self.state.user.name)
    }

    /// The file systems: what remote paths begin with.
    #[must_use]
    pub fn file_systems(&self) -> &[String] {
        self.state.file_systems.all()
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.state.root
    }

    /// A configuration for clients, in aiida-firecrest's JSON, with the secret itself in it.
    #[must_use]
    pub fn config(&self) -> Value {
        let account = crate::read(&self.state.knobs).accounts.first().cloned().unwrap_or_default();
        json!({
            "url": self.url(),
            "token_uri": self.token_uri(),
            "client_id": self.client_id(),
            "client_secret": self.client_secret(),
            "compute_resource": self.system(),
            "temp_directory": self.scratch(),
            "workdir": self.home(),
            "username": self.username(),
            "billing_account": account,
            "max_io_allowed": 8,
            "checksum_check": true,
            "api_version": 0,
            "small_file_size_mb": 0,
            "builder_metadata_options_custom_scheduler_commands": [],
        })
    }

    /// Writes the configuration to a file that only its owner reads, all of it at once.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_config(&self, path: &Path) -> Result<(), Error> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let failed = |error| Error::Config(path.to_owned(), error);
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", uuid::Uuid::new_v4().simple()));
        let aside = PathBuf::from(aside);
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut file| {
                file.write_all(format!("{:#}\n", self.config()).as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&aside, path));
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written.map_err(failed)
    }

    /// The requests so far, in order of arrival; those to the token endpoint too.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.state.recorder.all()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state.recorder.clear();
    }

    /// How many TCP connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.recorder.connections()
    }

    /// How many tokens were given out so far.
    #[must_use]
    pub fn tokens_issued(&self) -> u64 {
        self.state.auth.issued()
    }

    /// The object store's base URL: presigned URLs begin with it.
    #[must_use]
    pub fn s3_url(&self) -> &str {
        self.state.objects.signer.endpoint()
    }

    /// The requests to the object store so far, in order of arrival; those of transfer jobs too.
    #[must_use]
    pub fn s3_requests(&self) -> Vec<S3RequestRecord> {
        self.state.objects.recorder.all()
    }

    /// Forgets the requests to the object store so far.
    pub fn clear_s3_requests(&self) {
        self.state.objects.recorder.clear();
    }

    /// The keys and sizes of the objects in the user's bucket.
    #[must_use]
    pub fn s3_objects(&self) -> Vec<(String, u64)> {
        self.state.objects.store.list(self.username())
    }

    /// Plants a fault for requests to the object store to come.
    pub fn plant_s3(&self, fault: S3Fault) {
        crate::lock(&self.state.objects.faults).push(fault);
    }

    /// Turns knobs while it runs.
    pub fn adjust(&self, change: impl FnOnce(&mut Knobs)) {
        self.state.adjust(change);
    }

    /// Makes a service unhealthy, or healthy again.
    pub fn set_healthy(&self, service: Service, healthy: bool) {
        self.adjust(|knobs| {
            if healthy {
                knobs.unhealthy.remove(&service);
            } else {
                knobs.unhealthy.insert(service);
            }
        });
    }

    /// Plants a fault for requests to come. Of several that fit a request, the one that was planted first strikes.
    pub fn plant(&self, fault: Fault) {
        crate::lock(&self.state.faults).planted.push(fault);
    }

    /// The faults that have not struck as often as they should.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        crate::lock(&self.state.faults).planted.clone()
    }

    /// The faults that struck requests to the API and the token endpoint, in order.
    #[must_use]
    pub fn struck(&self) -> Vec<Struck> {
        crate::lock(&self.state.faults).struck.clone()
    }

    /// The faults that struck requests to the object store, in order; their paths are keys.
    #[must_use]
    pub fn struck_s3(&self) -> Vec<Struck> {
        crate::lock(&self.state.objects.struck).clone()
    }

    /// Takes out all planted faults, those of the object store too, and forgets what struck.
    pub fn clear_faults(&self) {
        self.state.clear_faults();
    }

    /// Where the admin port listens, if it does: see [`Builder::admin`].
    #[must_use]
    pub fn admin_url(&self) -> Option<&str> {
        self.state.admin_url.as_deref()
    }

    /// A token of any user with any lifetime, without asking the token endpoint.
    #[must_use]
    pub fn token(&self, username: &str, lifetime: Duration) -> String {
        self.state.auth.issue(&self.state.issuer(), username, lifetime)
    }

    /// Revokes every token given out so far: its next use is a 401.
    pub fn revoke_tokens(&self) {
        self.state.auth.revoke_all();
    }

    /// Adds jobs without processes, in a state such as `COMPLETED`, `PENDING` or `NODE_FAIL`. Their ids.
    pub fn add_jobs(&self, count: usize, state: &str) -> Vec<String> {
        self.state.add_jobs(count, state)
    }

    /// Sets the state that answers show for a job, whatever it is; `None` shows the real one again. False for an unknown job.
    pub fn set_job_state(&self, job_id: &str, state: Option<&str>) -> bool {
        job_id.parse().is_ok_and(|id| self.state.scheduler.set_state(id, state.map(str::to_owned)))
    }

    /// Releases a held job, as `scontrol release` does. False for an unknown job.
    pub fn release_job(&self, job_id: &str) -> bool {
        job_id.parse().is_ok_and(|id| self.state.scheduler.release(id))
    }

    /// Stops serving and ends all jobs.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        self.state.scheduler.shut_down();
        for task in &self.tasks {
            task.abort();
        }
    }
}
