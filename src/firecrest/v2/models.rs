//! The bodies of the API, read leniently: what an answer has beside these fields is not ours, and most fields can be null.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Most answers put what was asked for under `output`.
#[derive(Debug, Deserialize)]
pub struct Output<T> {
    /// What was asked for.
    pub output: T,
}

/// `ops/stat`. Times in Unix seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[allow(missing_docs)]
pub struct Stat {
    pub mode: u32,
    pub ino: u64,
    pub dev: u64,
    pub nlink: u64,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub atime: i64,
    pub ctime: i64,
    pub mtime: i64,
}

/// One line of `ops/ls`, as it comes; `listing.rs` makes an entry of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct WireEntry {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub link_target: Option<String>,
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub permissions: String,
    #[serde(default)]
    pub last_modified: String,
    /// A number in a string; some versions send a number.
    #[serde(default, deserialize_with = "number_or_text")]
    pub size: u64,
}

/// `ops/checksum`.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Checksum {
    pub checksum: String,
}

/// `status/systems`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct Systems {
    pub systems: Vec<System>,
}

/// One system of it.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct System {
    pub name: String,
    #[serde(default)]
    pub scheduler: SchedulerInfo,
    #[serde(default, deserialize_with = "null_is_default")]
    pub services_health: Vec<ServiceHealth>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub file_systems: Vec<FileSystem>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub data_operation: DataOperation,
}

/// `scheduler` of a system.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct SchedulerInfo {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub version: String,
}

/// `servicesHealth` of a system.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ServiceHealth {
    pub service_type: String,
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default)]
    pub healthy: bool,
    #[serde(default)]
    pub message: Option<String>,
}

/// `fileSystems` of a system.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct FileSystem {
    pub path: String,
    #[serde(default)]
    pub data_type: String,
    #[serde(default)]
    pub default_work_dir: bool,
}

/// `dataOperation` of a system. The server writes these names in snake case.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct DataOperation {
    #[serde(default, alias = "maxOpsFileSize")]
    pub max_ops_file_size: Option<u64>,
    #[serde(default, alias = "dataTransfer")]
    pub data_transfer: Option<DataTransfer>,
    #[serde(default, alias = "datatransferJobsDirectives", deserialize_with = "null_is_default")]
    pub datatransfer_jobs_directives: Vec<String>,
}

/// How large files travel.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct DataTransfer {
    #[serde(default, alias = "serviceType")]
    pub service_type: Option<String>,
    #[serde(default, alias = "publicUrl")]
    pub public_url: Option<String>,
    #[serde(default)]
    pub multipart: Option<Multipart>,
}

/// Of an S3 transfer.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[allow(missing_docs)]
pub struct Multipart {
    #[serde(default, alias = "maxPartSize")]
    pub max_part_size: Option<u64>,
}

/// `userinfo`. Ids come as text; the shape changes in 2.6.0, so nothing of it is needed.
#[derive(Debug, Default, Deserialize)]
#[allow(missing_docs)]
pub struct UserInfo {
    #[serde(default)]
    pub user: Named,
    #[serde(default)]
    pub group: Option<Named>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub groups: Vec<Named>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub accounts: Vec<Account>,
}

/// A user or a group.
#[derive(Debug, Default, Deserialize)]
#[allow(missing_docs)]
pub struct Named {
    #[serde(default, deserialize_with = "maybe_number")]
    pub id: Option<u64>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
}

/// An account that jobs can be billed to.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Account {
    pub name: String,
    #[serde(default)]
    pub default: bool,
}

/// `partitions`.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Partitions {
    #[serde(default, deserialize_with = "null_is_default")]
    pub partitions: Vec<Partition>,
}

/// One of them; its state is under the key `partition`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Partition {
    pub name: String,
    #[serde(default, deserialize_with = "maybe_number")]
    pub cpus: Option<u64>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub total_nodes: Option<u64>,
    #[serde(default, rename = "partition")]
    pub state: Option<Words>,
}

/// `nodes`.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Nodes {
    #[serde(default, deserialize_with = "null_is_default")]
    pub nodes: Vec<Node>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Node {
    pub name: String,
    #[serde(default)]
    pub state: Option<Words>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub cpus: Option<u64>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub idle_cpus: Option<u64>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub free_memory: Option<u64>,
    #[serde(default)]
    pub partitions: Option<Words>,
    #[serde(default)]
    pub features: Option<Words>,
}

/// `reservations`.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Reservations {
    #[serde(default, deserialize_with = "null_is_default")]
    pub reservations: Vec<Reservation>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Reservation {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub state: Option<Words>,
    #[serde(default, alias = "nodeList")]
    pub nodes: Option<Words>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub start_time: Option<u64>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub end_time: Option<u64>,
    #[serde(default)]
    pub features: Option<Words>,
}

/// `compression` of compress and extract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
}

impl Compression {
    /// The server's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }
}

/// `POST jobs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Submitted {
    #[serde(default)]
    pub job_id: Option<Words>,
}

/// A list of jobs, each still as it came: it is handed on as raw data, too.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Jobs {
    #[serde(default, deserialize_with = "null_is_default")]
    pub jobs: Vec<Box<serde_json::value::RawValue>>,
}

/// One job.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Job {
    pub job_id: Words,
    #[serde(default)]
    pub name: Option<String>,
    pub status: JobStatus,
    #[serde(default, deserialize_with = "null_is_default")]
    pub tasks: Vec<Task>,
    #[serde(default)]
    pub time: JobTime,
    #[serde(default)]
    pub account: Option<String>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub allocation_nodes: Option<u64>,
    #[serde(default)]
    pub nodes: Option<String>,
    #[serde(default)]
    pub partition: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub working_directory: Option<String>,
}

/// State of a job or of a step.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct JobStatus {
    pub state: Words,
    #[serde(default)]
    pub state_reason: Option<String>,
    #[serde(default)]
    pub exit_code: Option<i32>,
    #[serde(default)]
    pub interrupt_signal: Option<i32>,
}

/// Seconds, and Unix seconds.
#[derive(Debug, Clone, Default, Deserialize)]
#[allow(missing_docs)]
pub struct JobTime {
    #[serde(default)]
    pub elapsed: Option<i64>,
    #[serde(default)]
    pub start: Option<i64>,
    #[serde(default)]
    pub end: Option<i64>,
    #[serde(default)]
    pub limit: Option<i64>,
}

/// A step of a job.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)]
pub struct Task {
    #[serde(default)]
    pub id: Option<Words>,
    #[serde(default)]
    pub name: Option<String>,
    pub status: JobStatus,
    #[serde(default)]
    pub time: JobTime,
}

/// `jobs/{id}/metadata`.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Metadata {
    #[serde(default, deserialize_with = "null_is_default")]
    pub jobs: Vec<JobMetadata>,
}

/// What a job was submitted with.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct JobMetadata {
    #[serde(default)]
    pub script: Option<String>,
    #[serde(default)]
    pub standard_input: Option<String>,
    #[serde(default)]
    pub standard_output: Option<String>,
    #[serde(default)]
    pub standard_error: Option<String>,
}

/// A word, a number, or a list of words: Slurm's versions do not agree on which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Words {
    /// All of them, with commas between.
    pub fn joined(&self) -> String {
        self.0.join(",")
    }
}

// By hand: an untagged enum would be half the size of all other models together.
impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, a number or a list of words")
            }

            fn visit_str<E>(self, word: &str) -> Result<Words, E> {
                Ok(Words(vec![word.to_owned()]))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Words, E> {
                Ok(Words(vec![number.to_string()]))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Words, E> {
                Ok(Words(vec![number.to_string()]))
            }

            fn visit_unit<E>(self) -> Result<Words, E> {
                Ok(Words::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element::<Option<String>>()? {
                    words.extend(word);
                }
                Ok(Words(words))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A number, also in a string; anything else is none.
fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(match &value {
        serde_json::Value::Number(number) => {
            number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64))
        }
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    maybe_number(deserializer)?.ok_or_else(|| serde::de::Error::custom("a size is not a number"))
}
