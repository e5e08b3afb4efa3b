//! What the integration tests stand on: the built component in one engine, and for each test a server of its own.
//!
//! A [`Rig`] is a running simulator and an open session on it; dropping it ends both. Tests run in parallel in one process and share
//! the engine, as sessions of one program do. With `FIRECREST_REQUESTS=1` each rig's end prints what its first session asked of the server
//! (cargo shows it with `-- --nocapture`). Nothing here sleeps for a fixed time: [`eventually`] asks until it is so.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aiida_firecrest_host::configuration::OptionDescription;
use aiida_firecrest_host::types::{self, ErrorKind};
use aiida_firecrest_host::{CodeCache, Engine, Error, Journal, Options, Plugin, Policy, Result, Session};
use firecrest_simulator::{Knobs, RequestRecord, Simulator};
use tempfile::TempDir;

/// Longer than anything takes, on a busy machine of two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache = CodeCache::Folder(target_folder().join("test-code-cache"));
    Engine::new(&cache).expect("an engine")
});

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| Plugin::built_in(engine()).expect("the built component"));

/// The build's folder (`target`, as a rule): this program lies in `TARGET/PROFILE/deps`.
pub fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("this program's path");
    program.ancestors().nth(3).expect("the target folder").to_owned()
}

/// The engine of all tests.
pub fn engine() -> &'static Engine {
    &ENGINE
}

/// The component, compiled once.
pub fn plugin() -> &'static Plugin {
    &PLUGIN
}

/// A server, a session on it, and a local folder.
pub struct Rig {
    /// The server.
    pub simulator: Simulator,
    /// The session that most tests need.
    pub session: Session,
    /// Local files.
    pub folder: TempDir,
}

/// What a rig is made of, where the default is not what a test wants.
pub struct Setup {
    knobs: Box<dyn FnOnce(&mut Knobs)>,
    options: Vec<(&'static str, String)>,
    policy: Policy,
}

impl Setup {
    /// Turns knobs of the server before it starts.
    #[must_use]
    pub fn knobs(mut self, change: impl FnOnce(&mut Knobs) + 'static) -> Setup {
        self.knobs = Box::new(change);
        self
    }

    /// Sets an option of the plugin.
    #[must_use]
    pub fn option(mut self, name: &'static str, value: impl ToString) -> Setup {
        self.options.push((name, value.to_string()));
        self
    }

    /// Another policy than the default.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Setup {
        self.policy = policy;
        self
    }

    /// Starts the server alone.
    pub async fn serve(self) -> (Simulator, Options, Policy) {
        let simulator = Simulator::builder().adjust(self.knobs).start().await.expect("a simulator");
        let mut options = options(&simulator);
        for (name, value) in self.options {
            options.set(name, value);
        }
        (simulator, options, self.policy)
    }

    /// Starts the server, opens the session, and forgets the requests of both.
    pub async fn open(self) -> Rig {
        let (simulator, options, policy) = self.serve().await;
        let session = Session::open(plugin(), &options, &policy).await.expect("a session");
        simulator.clear_requests();
        Rig { simulator, session, folder: tempfile::tempdir().expect("a temporary folder") }
    }
}

/// The simulator's configuration, but without checksums after transfers: they cost a request, and tests count.
pub fn options(simulator: &Simulator) -> Options {
    let mut options = Options::from_json(&simulator.config().to_string()).expect("the simulator's configuration");
    options.set("checksum_check", "false");
    options
}

/// With `FIRECREST_REQUESTS=1`: the statistics of this test's requests, as `aiida-firecrest --requests` prints them.
impl Drop for Rig {
    fn drop(&mut self) {
        if std::env::var_os("FIRECREST_REQUESTS").is_some_and(|value| value == "1") {
            let name = std::thread::current().name().unwrap_or("a test").to_owned();
            eprintln!("{name}\n{}", self.session.telemetry().report());
        }
    }
}

impl Rig {
    /// The default server and an open session; no request counted yet.
    pub async fn open() -> Rig {
        Rig::setup().open().await
    }

    /// To change the default.
    pub fn setup() -> Setup {
        Setup { knobs: Box::new(|_| {}), options: Vec::new(), policy: Policy::default().remember(Journal::Off) }
    }

    /// What the session was opened with, as far as the server says it.
    pub fn options(&self) -> Options {
        options(&self.simulator)
    }

    /// A path in the user's home: on the cluster, and on this machine's disk.
    pub fn remote(&self, name: &str) -> String {
        format!("{}/{name}", self.simulator.home())
    }

    /// A local path.
    pub fn local(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A local file with this content and mode.
    pub fn local_file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.local(name);
        fs::write(&path, content).expect("a local file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        path
    }

    /// A file on the cluster that the user owns, made without a request.
    pub fn place(&self, name: &str, content: &[u8]) -> String {
        let path = self.remote(name);
        fs::write(&path, content).expect("a remote file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode");
        self.give_to_user(&path);
        path
    }

    /// A directory on the cluster that the user owns, made without a request.
    pub fn place_directory(&self, name: &str) -> String {
        let path = self.remote(name);
        fs::create_dir(&path).expect("a remote directory");
        self.give_to_user(&path);
        path
    }

    /// A symlink on the cluster, made without a request.
    pub fn place_link(&self, target: &str, name: &str) -> String {
        let path = self.remote(name);
        std::os::unix::fs::symlink(target, &path).expect("a remote link");
        path
    }

    /// Something of the cluster's that only its system administrator can reach, be the test's user root or not.
    pub fn forbid(&self, path: &str) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o0)).expect("a mode");
    }

    fn give_to_user(&self, path: &str) {
        let uid = self.simulator.uid();
        let metadata = fs::metadata(self.simulator.home()).expect("the home");
        let gid = std::os::unix::fs::MetadataExt::gid(&metadata);
        // Where the tests do not run as root, it is the user's already.
        let _ = chown(path, Some(uid), Some(gid));
    }

    /// Runs an operation. Its result, and the requests that it made: see [`seen`].
    pub async fn count<T>(&mut self, operation: impl AsyncFnOnce(&mut Session) -> T) -> (T, Vec<String>) {
        self.simulator.clear_requests();
        let result = operation(&mut self.session).await;
        (result, seen(&self.simulator))
    }

    /// Another session on the same server with the same options, from the first one's state.
    pub async fn another(&mut self) -> Session {
        let state = self.session.state().await.expect("a state");
        let options = self.options();
        Session::open_with(plugin(), &options, &Policy::default(), Some(&state)).await.expect("another session")
    }
}

/// The requests that the server saw, in order of arrival, as method and path template: `GET filesystem/ops/stat`,
/// `DELETE compute/jobs/{id}`, `POST token`. The system's name is left out.
pub fn seen(simulator: &Simulator) -> Vec<String> {
    simulator.requests().iter().map(template).collect()
}

/// A record as method and path template, see [`seen`].
pub fn template(record: &RequestRecord) -> String {
    if record.path.ends_with("/protocol/openid-connect/token") {
        return format!("{} token", record.method);
    }
    let mut names: Vec<&str> = record.path.trim_matches('/').split('/').collect();
    let jobs = names.iter().position(|name| *name == "jobs");
    if let Some(id) = jobs.and_then(|at| names.get_mut(at + 1)) {
        *id = "{id}";
    }
    let named = names.len() > 2 || names.first() == Some(&"compute");
    if named {
        names.remove(1);
    }
    format!("{} {}", record.method, names.join("/"))
}

/// The requests, each kind once with its number: for operations that make many at once.
pub fn tally(requests: &[String]) -> Vec<(usize, &str)> {
    let mut tally: Vec<(usize, &str)> = Vec::new();
    for request in requests {
        match tally.iter_mut().find(|(_, known)| known == request) {
            Some((count, _)) => *count += 1,
            None => tally.push((1, request)),
        }
    }
    tally
}

/// The kind of a failure of the plugin's; anything else is a failure of the test.
#[track_caller]
pub fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    failure(result).kind
}

/// The plugin's own error; anything else is a failure of the test.
#[track_caller]
pub fn failure<T: std::fmt::Debug>(result: Result<T>) -> types::Error {
    match result {
        Err(Error::Plugin { error, .. }) => *error,
        other => panic!("the plugin's own error was expected, not {other:?}"),
    }
}

/// Asks until the answer is yes, and fails after [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let what = what.to_owned();
    async move {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A future that has to end within [`PATIENCE`].
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Bytes without a pattern, the same every time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(next).collect()
}

/// A file's permission bits.
pub fn mode(path: impl AsRef<Path>) -> u32 {
    let path = path.as_ref();
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o7777
}

/// The names in a local folder, sorted.
pub fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The plugin's options by name.
pub async fn described() -> Vec<OptionDescription> {
    plugin().options().await.expect("the options")
}
