//! What all handlers share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime};

use crate::auth::Auth;
use crate::commands::{Limits, User};
use crate::errors::ApiError;
use crate::faults::{FaultKind, Script};
use crate::jobs::scheduler::{NewJob, Scheduler};
use crate::knobs::{Knobs, Quota, RetryAfter, Service, System};
use crate::paths::{FileSystems, normalise};
use crate::record::Recorder;
use crate::request::Request;
use crate::s3::ObjectStore;

pub(crate) struct State {
    pub(crate) url: String,
    pub(crate) root: PathBuf,
    pub(crate) user: User,
    pub(crate) file_systems: FileSystems,
    pub(crate) auth: Auth,
    pub(crate) recorder: Recorder,
    pub(crate) objects: Arc<ObjectStore>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) knobs: Arc<RwLock<Knobs>>,
    pub(crate) faults: Mutex<Script>,
    pub(crate) quota_used: Mutex<VecDeque<Instant>>,
    pub(crate) refused_uploads: AtomicU32,
    pub(crate) started: SystemTime,
    pub(crate) admin_url: Option<String>,
}

/// What a gateway with a quota says to one request.
pub(crate) struct Gateway {
    pub(crate) refused: bool,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A request's surroundings, once it is known who asks and of which system.
#[derive(Clone)]
pub(crate) struct Ctx {
    pub(crate) state: Arc<State>,
    pub(crate) system: System,
    pub(crate) limits: Limits,
}

impl State {
    pub(crate) fn knobs(&self) -> Knobs {
        crate::read(&self.knobs).clone()
    }

    /// Turns knobs, and tells those who keep a copy.
    pub(crate) fn adjust(&self, change: impl FnOnce(&mut Knobs)) {
        let skew = {
            let mut knobs = crate::write(&self.knobs);
            change(&mut knobs);
            knobs.clock_skew
        };
        self.auth.set_skew(skew);
        self.scheduler.wake();
    }

    /// Adds jobs without processes, in a state such as `COMPLETED`. Their ids.
    pub(crate) fn add_jobs(&self, count: usize, state: &str) -> Vec<String> {
        let knobs = self.knobs();
        let template = NewJob {
            name: "synthetic".into(),
            account: knobs.accounts.first().cloned().unwrap_or_default(),
            partition: knobs.partitions.first().cloned().unwrap_or_default(),
            nodes: 1,
            tasks: 1,
            work_dir: self.user.home.clone(),
            input: "/dev/null".into(),
            output: "slurm-%j.out".into(),
            limit: Some(60),
            minute: Duration::from_secs(60),
            script: "#!/bin/bash\n".into(),
            ..NewJob::default()
        };
        self.scheduler.add(count, state, &template).into_iter().map(|id| id.to_string()).collect()
    }

    /// Is this refusal of an upload one whose reason gets lost? See [`Knobs::unsaid_refusals`].
    pub(crate) fn refuses_unsaid(&self) -> bool {
        let every = crate::read(&self.knobs).unsaid_refusals;
        every > 0 && (self.refused_uploads.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every)
    }

    pub(crate) fn clear_faults(&self) {
        *crate::lock(&self.faults) = Script::default();
        crate::lock(&self.objects.faults).clear();
        crate::lock(&self.objects.struck).clear();
    }

    pub(crate) fn issuer(&self) -> String {
        format!("{}{}", self.url, crate::auth::REALM)
    }

    /// The fault, if any, that strikes this request.
    pub(crate) fn fault(&self, method: &str, path: &str) -> Option<FaultKind> {
        crate::lock(&self.faults).strike(method, path)
    }

    /// Counts one more request against the quota: what the gateway has to say to it.
    pub(crate) fn gateway(&self, quota: Option<Quota>) -> Option<Gateway> {
        let quota = quota?;
        let mut used = crate::lock(&self.quota_used);
        let now = Instant::now();
        while used.front().is_some_and(|first| now.duration_since(*first) >= quota.window) {
            used.pop_front();
        }
        let refused = used.len() as u64 >= u64::from(quota.requests);
        if !refused {
            used.push_back(now);
        }
        let left = used.front().map_or(quota.window, |first| quota.window.saturating_sub(now.duration_since(*first)));
        let remaining = u64::from(quota.requests).saturating_sub(used.len() as u64);
        let seconds = (left + Duration::from_millis(999)).as_secs();
        let mut headers = Vec::new();
        if quota.form == RetryAfter::Announced {
            headers.push(("ratelimit-limit", quota.requests.to_string()));
            headers.push(("ratelimit-remaining", remaining.to_string()));
            headers.push(("ratelimit-reset", seconds.to_string()));
        }
        if refused {
            headers.push(match quota.form {
                RetryAfter::Seconds | RetryAfter::Announced => ("retry-after", seconds.to_string()),
                RetryAfter::RateLimitReset => ("ratelimit-reset", seconds.to_string()),
                RetryAfter::HttpDate => (
                    "retry-after",
                    crate::status::http_date(crate::read(&self.knobs).now() + Duration::from_secs(seconds)),
                ),
            });
        }
        Some(Gateway { refused, headers })
    }

    /// The system of that name.
    pub(crate) fn system(self: &Arc<Self>, name: &str) -> Result<Ctx, ApiError> {
        let knobs = crate::read(&self.knobs);
        let system = knobs
            .systems
            .iter()
            .find(|system| system.name == name)
            .ok_or_else(|| ApiError::new(404, "System not found"))?;
        Ok(Ctx {
            state: self.clone(),
            limits: Limits { time: knobs.command_time_limit, output: knobs.output_buffer(system) },
            system: system.clone(),
        })
    }

    pub(crate) fn healthy(&self, service: &Service) -> bool {
        !crate::read(&self.knobs).unhealthy.contains(service)
    }
}

impl Ctx {
    /// Refuses while the login node is down, or the user has no key for it.
    pub(crate) fn need_ssh(&self) -> Result<(), ApiError> {
        if self.state.healthy(&Service::Ssh) {
            return Ok(());
        }
        Err(ApiError::new(
            503,
            format!("The ssh service for the requested system ({}) is unhealthy.", self.system.name),
        ))
    }

    /// Refuses users other than the one whose key the server has.
    pub(crate) fn need_key(&self, user: &str) -> Result<(), ApiError> {
        if user == self.state.user.name {
            return Ok(());
        }
        Err(ApiError::new(500, format!("('No SSH credentials found for user:{user}',)")))
    }

    pub(crate) fn need_scheduler(&self) -> Result<(), ApiError> {
        if self.state.healthy(&Service::Scheduler) {
            return Ok(());
        }
        Err(ApiError::new(
            503,
            format!("The scheduler service for the requested system ({}) is unhealthy.", self.system.name),
        ))
    }

    /// The checks of every file operation: a path, absolute, in a healthy file system.
    pub(crate) fn need_file_system(&self, request: &Request, has_body: bool) -> Result<(), ApiError> {
        let undecoded = || {
            let error =
                ApiError::new(400, "Unable to decode request and retreive the required path or source_path parameter.");
            // Without a body the server waits for one in a way that breaks its connection.
            if has_body { error } else { error.dropping() }
        };
        let path = match request.param("path") {
            Some(path) => path.to_owned(),
            None => {
                let json = request.json().ok_or_else(undecoded)?;
                let field = ["sourcePath", "source_path", "path"]
                    .iter()
                    .find_map(|name| json.get(name))
                    .ok_or_else(undecoded)?;
                if field.is_null() {
                    return Err(ApiError::new(400, "All filesystem requests require a path or source_path parameter."));
                }
                field.as_str().ok_or_else(undecoded)?.to_owned()
            }
        };
        if !path.starts_with('/') {
            return Err(ApiError::new(400, format!("The provided path ({path}) is not an absolute path.")));
        }
        let normalised = normalise(&path);
        let Some(file_system) = self.state.file_systems.of(&normalised) else {
            return Err(ApiError::new(
                400,
                format!(
                    "The provided path ({normalised}) does not match any of the defined filesystem paths for the requested system ({}).",
                    self.system.name
                ),
            ));
        };
        if !self.state.healthy(&Service::FileSystem(file_system.to_owned())) {
            return Err(ApiError::new(
                503,
                format!("The requested filesystem ({file_system} on {}) is unhealthy.", self.system.name),
            ));
        }
        Ok(())
    }

    /// Refuses a path that leads out of the file systems, or one with a single quote.
    pub(crate) fn confine(&self, tool: &str, path: &str, follow_last: bool) -> Result<(), ApiError> {
        crate::paths::refuse_quotes(&[path])?;
        self.state.file_systems.confine(tool, path, &self.state.user.home, follow_last)
    }

    /// A command of the user on the login node.
    pub(crate) fn command<I, A>(&self, program: &str, arguments: I) -> tokio::process::Command
    where
        I: IntoIterator<Item = A>,
        A: AsRef<std::ffi::OsStr>,
    {
        crate::commands::command(&self.state.user, program, arguments)
    }

    /// Runs a command of the user on the login node.
    pub(crate) async fn run<I, A>(&self, program: &str, arguments: I) -> Result<crate::commands::Output, ApiError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<std::ffi::OsStr>,
    {
        crate::commands::run(self.command(program, arguments), None, self.limits, false).await
    }
}
