//! The component through the Rust host, in this process.
//!
//! An instance serves one call at a time: a crew of eight sessions, opened from the first one's state, does what runs at once. Eight is the
//! option `max_io_allowed` of all peers.

use std::time::Instant;

use aiida_firecrest_host::scheduler::{JobQuery, ScriptSource, Submission, WaitCondition, WaitOptions};
use aiida_firecrest_host::transport::{ListOptions, TransferOptions};
use aiida_firecrest_host::{Options, Plugin, Policy, Session};
use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::task::{Outcome, Task};

pub(crate) const CREW: usize = 8;

pub(crate) struct Ours {
    plugin: Plugin,
    options: Options,
    crew: Vec<Session>,
}

impl Ours {
    pub(crate) fn new(plugin: Plugin) -> Self {
        Self { plugin, options: Options::new(), crew: Vec::new() }
    }

    pub(crate) async fn run(&mut self, task: &Task) -> Outcome {
        let start = Instant::now();
        let result = self.act(task).await;
        Outcome::of(start.elapsed().as_secs_f64(), result)
    }

    async fn configure(&mut self, config: &Value) -> Result<Value> {
        self.options = options(config)?;
        let mut first = Session::open(&self.plugin, &self.options, &Policy::default()).await?;
        let state = first.state().await?;
        self.crew = vec![first];
        while self.crew.len() < CREW {
            self.crew.push(Session::open_with(&self.plugin, &self.options, &Policy::default(), Some(&state)).await?);
        }
        Ok(Value::Null)
    }

    async fn act(&mut self, task: &Task) -> Result<Value> {
        if let Task::Configure { config } = task {
            return self.configure(config).await;
        }
        if let Task::Open { path } = task {
            let mut session = Session::open(&self.plugin, &self.options, &Policy::default()).await?;
            return Ok(json!({ "size": session.stat(path).await?.size }));
        }
        match task {
            Task::Exists { paths, at_once: true } => return self.exists_at_once(paths).await,
            Task::Watch { folder, script, count } => return self.watch(folder, script, *count).await,
            _ => {}
        }
        let session = self.crew.first_mut().context("not configured")?;
        let all = ListOptions { recursive: false, hidden: true, pattern: None };
        match task {
            Task::Stat { path } => Ok(json!({ "size": session.stat(path).await?.size })),
            Task::Exists { paths, .. } => {
                let mut count = 0;
                for path in paths {
                    count += usize::from(session.exists(path).await?);
                }
                Ok(json!({ "count": count }))
            }
            Task::Mkdir { path } => nothing(session.mkdir(path, false, false).await),
            Task::List { path } => Ok(json!({ "count": session.list(path, &all).await?.len() })),
            Task::ListAttributes { path } => {
                let entries = session.list(path, &all).await?;
                let size: u64 = entries.iter().map(|entry| entry.size).sum();
                Ok(json!({ "count": entries.len(), "size": size }))
            }
            Task::Glob { pattern } => Ok(json!({ "count": session.glob(pattern).await?.len() })),
            Task::Put { local, remote, verify } => {
                nothing(session.put(local, remote, &TransferOptions { verify: *verify, ..Default::default() }).await)
            }
            Task::Get { remote, local, verify } => {
                nothing(session.get(remote, local, &TransferOptions { verify: *verify, ..Default::default() }).await)
            }
            Task::PutTree { local, remote, .. } => nothing(session.put(local, remote, &Default::default()).await),
            Task::GetTree { remote, local, .. } => nothing(session.get(remote, local, &Default::default()).await),
            Task::Copy { path, target } => nothing(session.copy(path, target, false).await),
            Task::Rename { path, target } => nothing(session.rename(path, target).await),
            Task::RemoveTree { path } => nothing(session.remove_tree(path).await),
            Task::Submit { folder, script } => Ok(json!({ "id": session.submit(&submission(folder, script)).await? })),
            Task::Jobs { ids } => Ok(json!({ "count": session.jobs(&JobQuery::Ids(ids.clone())).await?.jobs.len() })),
            Task::Cancel { id } => {
                let outcomes = session.cancel(std::slice::from_ref(id)).await?;
                let done = format!("{outcomes:?}").contains("Cancelled");
                Ok(json!({ "done": done }))
            }
            other => anyhow::bail!("no call for {other:?}"),
        }
    }

    async fn exists_at_once(&mut self, paths: &[String]) -> Result<Value> {
        let crew = self.crew.iter_mut().enumerate().map(|(number, session)| async move {
            let mut count = 0;
            for path in paths.iter().skip(number).step_by(CREW) {
                count += usize::from(session.exists(path).await?);
            }
            Ok::<usize, aiida_firecrest_host::Error>(count)
        });
        let counts = try_join_all(crew).await?;
        Ok(json!({ "count": counts.iter().sum::<usize>() }))
    }

    async fn watch(&mut self, folder: &str, script: &str, count: usize) -> Result<Value> {
        let submission = submission(folder, script);
        let crew = self.crew.iter_mut().enumerate().map(|(number, session)| {
            let submission = &submission;
            async move {
                let mut ids = Vec::new();
                for _ in (number..count).step_by(CREW) {
                    ids.push(session.submit(submission).await?);
                }
                Ok::<_, aiida_firecrest_host::Error>(ids)
            }
        });
        let ids = try_join_all(crew).await?.concat();
        let session = self.crew.first_mut().context("not configured")?;
        let until = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: None };
        let listing = session.wait(&ids, &until).await?;
        Ok(json!({ "count": listing.jobs.len() + listing.missing.len() }))
    }
}

/// A configuration as the peers get it: no checksums but where they are asked for, or where it is the default.
pub(crate) fn options(config: &Value) -> Result<Options> {
    let mut config = config.clone();
    if let Some(values) = config.as_object_mut() {
        values.remove("checksum_check");
    }
    Ok(Options::from_json(&config.to_string())?)
}

fn submission(folder: &str, script: &str) -> Submission {
    Submission {
        script: ScriptSource::Path(format!("{folder}/{script}")),
        working_directory: folder.to_owned(),
        name: None,
        account: None,
        environment: Vec::new(),
    }
}

fn nothing<T>(result: aiida_firecrest_host::Result<T>) -> Result<Value> {
    result?;
    Ok(Value::Null)
}
