//! `compute/{system}/jobs…`: jobs, as the server tells them.

use serde_json::json;

use super::Api;
use super::lenient::{Field, JobMetadata};
use super::models::{Job, Jobs};
use crate::error::{Error, Kind, Result};
use crate::firecrest::Call;
use crate::firecrest::errors::SYSTEM_NOT_FOUND;
use crate::http::Method;
use crate::http::retry::Effect;
use crate::remote::RemotePath;

/// A job as it came, and its text for whoever wants more than we read.
#[derive(Debug, Clone)]
pub struct RawJob {
    /// What we read.
    pub job: Job,
    /// JSON.
    pub raw: String,
}

/// Where a script is.
#[derive(Debug, Clone)]
pub enum Script {
    /// On the cluster.
    Path(RemotePath),
    /// Here.
    Text(String),
}

/// A job to submit.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Submission {
    pub script: Script,
    pub working_directory: RemotePath,
    pub name: Option<String>,
    pub account: Option<String>,
    pub environment: Vec<(String, String)>,
}

impl Api {
    fn jobs_path(&self) -> Vec<&str> {
        vec!["compute", &self.system, "jobs"]
    }

    fn job_path<'a>(&'a self, id: &'a str) -> Vec<&'a str> {
        vec!["compute", &self.system, "jobs", id]
    }

    /// Submits; the scheduler's id of the job. `directory`: the working directory, as it is to be spelled.
    pub async fn submit(&self, submission: &Submission, directory: &str) -> Result<String> {
        let mut job = json!({
            "workingDirectory": directory,
            // Always an object: to a list the server answers 500 and drops the connection.
            "env": serde_json::Map::from_iter(submission.environment.iter().map(|(k, v)| (k.clone(), json!(v)))),
        });
        let subject = match &submission.script {
            Script::Path(path) => {
                job["scriptPath"] = json!(path.as_str());
                path.as_str()
            }
            Script::Text(text) => {
                job["script"] = json!(text);
                submission.working_directory.as_str()
            }
        };
        for (key, value) in [("name", &submission.name), ("account", &submission.account)] {
            if let Some(value) = value {
                job[key] = json!(value);
            }
        }
        let body = json!({ "job": job });
        let answer: serde_json::Value =
            self.client.fetch(&Call::json(Method::Post, self.jobs_path(), &body, Effect::Write, subject)).await?;
        Field::new(&answer).at("jobId").text().ok_or_else(|| {
            let message = "the server took the job but did not tell its id";
            Error::new(Kind::OutcomeUnknown, message).about(subject)
        })
    }

    /// All of the user's jobs: those queued or running, and those of the last day.
    pub async fn jobs(&self) -> Result<Vec<RawJob>> {
        self.jobs_within(vec![]).await
    }

    /// Those queued or running, and those of the last hour (servers before 2.5.7: of the last day).
    pub async fn latest_jobs(&self) -> Result<Vec<RawJob>> {
        self.jobs_within(vec![("time_window", "1h")]).await
    }

    async fn jobs_within(&self, query: Vec<(&str, &str)>) -> Result<Vec<RawJob>> {
        let call = Call::get(self.jobs_path(), query, &self.system);
        self.read(self.client.fetch::<Jobs>(&call).await?, &self.system)
    }

    /// One job; none: the scheduler does not know it.
    pub async fn job(&self, id: &str) -> Result<Option<RawJob>> {
        let call = Call::get(self.job_path(id), vec![], id);
        match self.client.fetch::<Jobs>(&call).await {
            Ok(jobs) => Ok(self.read(jobs, id)?.into_iter().find(|found| found.job.job_id.joined() == id)),
            Err(error) if error.kind == Kind::NotFound && !error.server_said(SYSTEM_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a job was submitted with.
    pub async fn job_metadata(&self, id: &str) -> Result<JobMetadata> {
        let mut segments = self.job_path(id);
        segments.push("metadata");
        Ok(JobMetadata::read(&self.client.fetch(&Call::get(segments, vec![], id)).await?))
    }

    /// `scancel`.
    pub async fn cancel(&self, id: &str) -> Result<()> {
        let call =
            Call { method: Method::Delete, effect: Effect::Idempotent, ..Call::get(self.job_path(id), vec![], id) };
        match self.client.call(&call).await {
            // No id is used again: however late the first request comes to its end, it cannot strike another job.
            Err(lost) if lost.kind == Kind::OutcomeUnknown => self.client.call(&call).await.map(drop),
            settled => settled.map(drop),
        }
    }

    fn read(&self, jobs: Jobs, subject: &str) -> Result<Vec<RawJob>> {
        let read = jobs.jobs.into_iter().map(|raw| {
            let job = self.client.parse(raw.get().as_bytes(), subject)?;
            Ok(RawJob { job, raw: raw.get().to_owned() })
        });
        read.collect()
    }
}
