//! What a test can turn while the simulator runs.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// A service whose health the server watches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Slurm.
    Scheduler,
    /// The login node.
    Ssh,
    /// A file system, by its path (one of [`crate::Simulator::file_systems`]).
    FileSystem(String),
    /// The object store.
    S3,
}

/// How a job's answers lag behind the job, counted from its start.
///
/// Until `registered` the accounting database does not know the job: it is RUNNING in the queue's form, and a job that has
/// ended by then is not found (404). Until `complete` the database knows only a stub of it: name "allocation", no
/// partition, no working directory, no limit, group root, and PENDING although it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLag {
    /// When the accounting database first knows the job.
    pub registered: Duration,
    /// When the accounting database knows all of it.
    pub complete: Duration,
    /// For how long a cancelled job is COMPLETING.
    pub completing: Duration,
}

impl JobLag {
    /// No lag: every answer is complete at once.
    pub const NONE: Self = Self { registered: Duration::ZERO, complete: Duration::ZERO, completing: Duration::ZERO };

    /// A mild lag with all that was recorded.
    pub const RECORDED: Self = Self {
        registered: Duration::from_millis(300),
        complete: Duration::from_millis(1500),
        completing: Duration::from_millis(700),
    };
}

/// How a gateway says when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryAfter {
    /// `Retry-After: 7`
    Seconds,
    /// `Retry-After: Tue, 24 Nov 2026 06:51:36 GMT`
    HttpDate,
    /// `RateLimit-Reset: 7`
    RateLimitReset,
    /// As Kong's rate-limiting plugin does: every answer carries `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, and a
    /// 429 `Retry-After` in seconds, too.
    Announced,
}

/// A gateway's quota: so many API requests (the token endpoint's do not count) in a window, 429 beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests allowed in a window.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
    /// How the 429 says when the window ends.
    pub form: RetryAfter,
}

impl Quota {
    /// So many requests a minute, refused with `Retry-After` in seconds.
    #[must_use]
    pub const fn per_minute(requests: u32) -> Self {
        Self { requests, window: Duration::from_secs(60), form: RetryAfter::Seconds }
    }
}

/// How the answers to transfer/upload and transfer/download spell what the client needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferKeys {
    /// As today: `transferDirectives.partsUploadUrls`.
    Camel,
    /// As servers of some versions did: `transferDirectives.parts_upload_urls`.
    Snake,
    /// As the first ones did: `partsUploadUrls`, without `transferDirectives`.
    TopLevel,
}

/// One system (cluster) that the server offers. All systems share the files, the user and the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Its name, lower case.
    pub name: String,
    /// The limit of direct uploads, and of a command's output.
    pub max_ops_file_size: u64,
    /// Whether transfer jobs need an account.
    pub account_required: bool,
    /// The largest part of an S3 upload.
    pub max_part_size: u64,
    /// Whether the server was set up with an object store for this system.
    pub object_store: bool,
}

impl System {
    /// A system with the recorded limits: 5 MiB direct, parts of 1 GiB, no account needed.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into().to_lowercase(),
            max_ops_file_size: 5 * 1024 * 1024,
            account_required: false,
            max_part_size: 1024 * 1024 * 1024,
            object_store: true,
        }
    }
}

/// Everything that can be changed while the simulator runs; see [`crate::Simulator::adjust`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Knobs {
    /// Waited before each request is looked at.
    pub latency: Duration,
    /// The version in `f7t-appversion`.
    pub version: String,
    /// Services reported, and treated, as unhealthy.
    pub unhealthy: BTreeSet<Service>,
    /// Lifetime of tokens given out from now on.
    pub token_lifetime: Duration,
    /// The limit for one command on the login node (5 s on the real server).
    pub command_time_limit: Duration,
    /// How long a job waits at least before it starts.
    pub queue_wait: Duration,
    /// Number of nodes: so many one-node jobs run at once.
    pub nodes: u32,
    /// How job answers lag.
    pub job_lag: JobLag,
    /// Added to every squeue/sacct question (about 90 ms on the real server).
    pub job_query_cost: Duration,
    /// Added to every submission and cancellation (about 9 ms on the real server).
    pub job_command_cost: Duration,
    /// Of so many uploads that their command refuses at once, one is answered as the real server does when the command is faster than
    /// it: by a closed channel, without the reason (three to twenty of a hundred there, eight at once). 0: none.
    pub unsaid_refusals: u32,
    /// What a file operation takes at least, once its request is there (about 7 ms on the real server, over SSH).
    pub file_operation_cost: Duration,
    /// How long one minute of a job's time limit lasts (a minute).
    pub minute: Duration,
    /// Between a job's SIGTERM and its SIGKILL.
    pub kill_wait: Duration,
    /// A gateway's quota.
    pub quota: Option<Quota>,
    /// By how many seconds the server's clock is ahead (or, negative, behind): in `Date`, `f7t-timestamp`, a date in `Retry-After`,
    /// tokens' claims and jobs' times. The object store is another machine, whose clock is right.
    pub clock_skew: i64,
    /// The Slurm accounts of the user; the first is the default.
    pub accounts: Vec<String>,
    /// The partitions; the first is the default.
    pub partitions: Vec<String>,
    /// Slurm's version, as told by /status/systems.
    pub slurm_version: String,
    /// The systems; the first is the default.
    pub systems: Vec<System>,
    /// How transfer answers are spelled.
    pub transfer_keys: TransferKeys,
    /// How long an upload's job sleeps between two looks for the object (a minute).
    pub transfer_sleep: Duration,
    /// How long presigned URLs are valid (a week).
    pub s3_url_lifetime: Duration,
    /// The least size of a part that is not the last one (5 MiB).
    pub s3_min_part_size: u64,
    /// Waited before each request to the object store is looked at.
    pub s3_latency: Duration,
}

impl Knobs {
    /// The time by the server's clock.
    pub(crate) fn now(&self) -> SystemTime {
        skewed(SystemTime::now(), self.clock_skew)
    }
}

/// A time as a clock that is so many seconds ahead shows it.
pub(crate) fn skewed(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    moved.unwrap_or(time)
}

impl Knobs {
    /// The room for a command's output: from 2.5.0 on as much as for a file, before 5 MiB for all (`dependencies.py`, `ssh_client.py`).
    pub(crate) fn output_buffer(&self, system: &System) -> u64 {
        let minor = self.version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        if minor.is_some_and(|minor| minor < 5) { 5 * 1024 * 1024 } else { system.max_ops_file_size }
    }
}

impl Default for Knobs {
    fn default() -> Self {
        let mut account = System::new("cluster-account");
        account.max_ops_file_size = 1024 * 1024;
        account.account_required = true;
        account.max_part_size = 8 * 1024 * 1024;
        Self {
            latency: Duration::ZERO,
            version: "2.5.7".into(),
            unhealthy: BTreeSet::new(),
            token_lifetime: Duration::from_secs(300),
            command_time_limit: Duration::from_secs(5),
            queue_wait: Duration::from_millis(100),
            nodes: 2,
            job_lag: JobLag::RECORDED,
            job_query_cost: Duration::ZERO,
            job_command_cost: Duration::ZERO,
            unsaid_refusals: 7,
            file_operation_cost: Duration::ZERO,
            minute: Duration::from_secs(60),
            kill_wait: Duration::from_secs(2),
            quota: None,
            clock_skew: 0,
            accounts: vec!["staff".into(), "users".into(), "myproject".into()],
            partitions: vec!["part01".into(), "part02".into(), "xfer".into()],
            slurm_version: "22.05.8".into(),
            systems: vec![System::new("cluster"), account],
            transfer_keys: TransferKeys::Camel,
            transfer_sleep: Duration::from_secs(60),
            s3_url_lifetime: Duration::from_secs(7 * 24 * 3600),
            s3_min_part_size: 5 * 1024 * 1024,
            s3_latency: Duration::ZERO,
        }
    }
}
