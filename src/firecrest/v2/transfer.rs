//! `filesystem/{system}/transfer/…`: files past the direct limit, through an object store and a job.
//!
//! The scripts of these jobs put the path between double quotes, HTML-escaped, or without quotes at all
//! (`lib/datatransfers/scripts/`, 2.5.7): only a [`PlainPath`] survives that.

use serde::Deserialize;
use serde_json::json;

use super::Api;
use crate::error::{Error, Kind, Result};
use crate::firecrest::Call;
use crate::http::retry::Effect;
use crate::http::{Method, Url};
use crate::remote::RemotePath;

/// A path that means itself in every script of the server: no character that a shell or HTML would read as anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainPath(String);

impl PlainPath {
    /// The path, if it is plain.
    pub fn new(path: &RemotePath) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
        path.as_str().chars().all(plain).then(|| Self(path.as_str().to_owned()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The job that moves the bytes on the cluster's side.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct TransferJob {
    #[serde(alias = "job_id")]
    pub job_id: super::models::Words,
    pub logs: Logs,
}

/// Where that job writes. Nobody else removes these.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Logs {
    #[serde(alias = "output_log")]
    pub output_log: String,
    #[serde(alias = "error_log")]
    pub error_log: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    #[serde(alias = "transfer_job")]
    transfer_job: TransferJob,
    #[serde(alias = "transfer_directives")]
    transfer_directives: Directives,
}

/// Older servers write these names in snake case.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directives {
    #[serde(default, alias = "parts_upload_urls")]
    parts_upload_urls: Vec<String>,
    #[serde(default, alias = "complete_upload_url")]
    complete_upload_url: Option<String>,
    #[serde(default, alias = "max_part_size")]
    max_part_size: Option<u64>,
    #[serde(default, alias = "download_url")]
    download_url: Option<String>,
}

/// An upload that has begun.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Upload {
    pub job: TransferJob,
    /// One address a part, in order.
    pub parts: Vec<Url>,
    pub complete: Url,
    /// Bytes of every part but the last.
    pub part_size: u64,
}

/// A download that has begun.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Download {
    pub job: TransferJob,
    pub url: Url,
}

impl Api {
    fn transfer_path(&self, what: &'static str) -> Vec<&str> {
        vec!["filesystem", &self.system, "transfer", what]
    }

    /// Begins an upload of `size` bytes to a path. Starts the job.
    pub async fn transfer_upload(&self, path: &PlainPath, size: u64, account: Option<&str>) -> Result<Upload> {
        let body = json!({"path": path.as_str(), "account": account,
            "transferDirectives": {"transferMethod": "s3", "fileSize": size}});
        let call = Call::json(Method::Post, self.transfer_path("upload"), &body, Effect::Write, path.as_str());
        let Started { transfer_job: job, transfer_directives: told } = self.client.fetch(&call).await?;
        let parts = told.parts_upload_urls.iter().map(|url| address(url, path)).collect::<Result<Vec<_>>>()?;
        let complete = address(told.complete_upload_url.as_deref().unwrap_or_default(), path)?;
        let part_size = told.max_part_size.filter(|n| *n > 0).ok_or_else(|| strange(path, "it tells no part size"))?;
        if parts.len() as u64 != size.div_ceil(part_size) {
            return Err(strange(path, "the number of its parts does not fit the size"));
        }
        Ok(Upload { job, parts, complete, part_size })
    }

    /// Begins a download. Starts the job.
    pub async fn transfer_download(&self, path: &PlainPath, account: Option<&str>) -> Result<Download> {
        let body = json!({"path": path.as_str(), "account": account, "transferDirectives": {"transferMethod": "s3"}});
        let call = Call::json(Method::Post, self.transfer_path("download"), &body, Effect::Write, path.as_str());
        let Started { transfer_job: job, transfer_directives: told } = self.client.fetch(&call).await?;
        let url = address(told.download_url.as_deref().unwrap_or_default(), path)?;
        Ok(Download { job, url })
    }

    /// Runs a command beside a job of the user's, on its node (`srun --overlap`). The text goes through a shell on the way.
    pub async fn attach(&self, id: &str, command: &str) -> Result<()> {
        let segments = vec!["compute", &self.system, "jobs", id, "attach"];
        let body = json!({ "command": command });
        self.client.call(&Call::json(Method::Put, segments, &body, Effect::Idempotent, id)).await.map(drop)
    }
}

/// An address that holds a signature: it is named by its origin alone.
fn address(url: &str, path: &PlainPath) -> Result<Url> {
    Url::parse(url).map_err(|why| strange(path, &format!("an address of the object store is none: {why}")))
}

fn strange(path: &PlainPath, why: &str) -> Error {
    Error::new(Kind::Other, format!("{}: the server's transfer cannot be used: {why}", path.as_str()))
        .about(path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_go_into_the_servers_scripts() {
        for (path, plain) in [
            ("/home/u/a-b_c.1+2,3:4@5%6=7", true),
            ("/home/u/a b", false),
            ("/home/u/$HOME", false),
            ("/home/u/`id`", false),
            ("/home/u/a&b", false),
            ("/home/u/\"q\"", false),
            ("/home/u/ü", false),
            ("/home/u/*", false),
            ("/home/u/a\nb", false),
            ("/home/u/a\\b", false),
        ] {
            assert_eq!(PlainPath::new(&RemotePath::parse(path).unwrap()).is_some(), plain, "{path}");
        }
    }

    #[test]
    fn both_spellings_are_read() {
        let camel = r#"{"transferJob":{"jobId":"7","system":"c","workingDirectory":"/h","logs":{"outputLog":"/h/o","errorLog":"/h/e"}},
            "transferDirectives":{"transferMethod":"s3","partsUploadUrls":["http://s/1"],"completeUploadUrl":"http://s/c","maxPartSize":8}}"#;
        let snake = r#"{"transferJob":{"jobId":7,"system":"c","workingDirectory":"/h","logs":{"outputLog":"/h/o","errorLog":"/h/e"}},
            "transferDirectives":{"transfer_method":"s3","parts_upload_urls":["http://s/1"],"complete_upload_url":"http://s/c","max_part_size":8}}"#;
        for text in [camel, snake] {
            let started: Started = serde_json::from_str(text).unwrap();
            assert_eq!(started.transfer_job.job_id.joined(), "7");
            assert_eq!(started.transfer_directives.parts_upload_urls, ["http://s/1"]);
            assert_eq!(started.transfer_directives.max_part_size, Some(8));
        }
    }
}
