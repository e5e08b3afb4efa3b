//! `filesystem/{system}/transfer/…`: files past the direct limit, through an object store and a job.
//!
//! The scripts of these jobs put the path between double quotes, HTML-escaped, or without quotes at all
//! (`lib/datatransfers/scripts/`, 2.5.7): only a [`PlainPath`] survives that.

use serde_json::{Value, json};

use super::Api;
use super::lenient::Field;
use crate::error::{Error, Kind, Result};
use crate::firecrest::Call;
use crate::http::retry::Effect;
use crate::http::{Method, Url};
use crate::remote::RemotePath;
use crate::scheduler::once::steps;

/// A path that means itself in every script of the server: no character that a shell or HTML would read as anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainPath(String);

impl PlainPath {
    /// The path, if it is plain.
    pub fn new(path: &RemotePath) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
        path.as_str().chars().all(plain).then(|| Self(path.as_str().to_owned()))
    }

    /// The same path in a spelling of its own, by which a job that was given it is told from others: an instance's mark, and its own bits.
    pub fn spelled(&self, mark: u64, bits: u64) -> Self {
        match self.0.rsplit_once('/') {
            Some((parent, name)) => Self(format!("{parent}{}{}/./{name}", steps(mark), steps(bits))),
            None => self.clone(),
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The job that moves the bytes on the cluster's side.
#[derive(Debug, Clone)]
pub struct TransferJob {
    /// The scheduler's id.
    pub job_id: String,
    /// Where that job writes. Nobody else removes these.
    pub output_log: String,
    /// Where it writes its errors.
    pub error_log: String,
}

/// What has begun. Older servers write its names in snake case.
struct Started {
    job: TransferJob,
    parts_upload_urls: Vec<String>,
    complete_upload_url: Option<String>,
    max_part_size: Option<u64>,
    download_url: Option<String>,
}

impl Started {
    fn read(answer: &Value) -> Self {
        let answer = Field::new(answer);
        let job = answer.either(["transferJob", "transfer_job"]);
        let logs = job.at("logs");
        let told = answer.either(["transferDirectives", "transfer_directives"]);
        // The first servers with this call had them beside the job.
        let find = |keys: [&str; 2]| told.either(keys).text().or_else(|| answer.either(keys).text());
        let urls = ["partsUploadUrls", "parts_upload_urls"];
        let mut parts: Vec<String> = told.either(urls).list().filter_map(Field::text).collect();
        if parts.is_empty() {
            parts = answer.either(urls).list().filter_map(Field::text).collect();
        }
        Self {
            job: TransferJob {
                job_id: job.either(["jobId", "job_id"]).text().unwrap_or_default(),
                output_log: logs.either(["outputLog", "output_log"]).text().unwrap_or_default(),
                error_log: logs.either(["errorLog", "error_log"]).text().unwrap_or_default(),
            },
            parts_upload_urls: parts,
            complete_upload_url: find(["completeUploadUrl", "complete_upload_url"]),
            max_part_size: find(["maxPartSize", "max_part_size"]).and_then(|size| size.parse().ok()),
            download_url: find(["downloadUrl", "download_url"]),
        }
    }
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
        let told = Started::read(&self.client.fetch(&call).await?);
        let parts = told.parts_upload_urls.iter().map(|url| address(url, path)).collect::<Result<Vec<_>>>()?;
        let complete = address(told.complete_upload_url.as_deref().unwrap_or_default(), path)?;
        let part_size = told.max_part_size.filter(|n| *n > 0).ok_or_else(|| strange(path, "it tells no part size"))?;
        if parts.len() as u64 != size.div_ceil(part_size) {
            return Err(strange(path, "the number of its parts does not fit the size"));
        }
        Ok(Upload { job: told.job, parts, complete, part_size })
    }

    /// Begins a download. Starts the job.
    pub async fn transfer_download(&self, path: &PlainPath, account: Option<&str>) -> Result<Download> {
        let body = json!({"path": path.as_str(), "account": account, "transferDirectives": {"transferMethod": "s3"}});
        let call = Call::json(Method::Post, self.transfer_path("download"), &body, Effect::Write, path.as_str());
        let told = Started::read(&self.client.fetch(&call).await?);
        let url = address(told.download_url.as_deref().unwrap_or_default(), path)?;
        Ok(Download { job: told.job, url })
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
            let started = Started::read(&serde_json::from_str(text).unwrap());
            assert_eq!((started.job.job_id.as_str(), started.job.error_log.as_str()), ("7", "/h/e"));
            assert_eq!(started.parts_upload_urls, ["http://s/1"]);
            assert_eq!((started.max_part_size, started.complete_upload_url.as_deref()), (Some(8), Some("http://s/c")));
        }
    }
}
