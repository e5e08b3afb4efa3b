//! The bodies of the API, read leniently: what an answer has beside these fields is not ours, and most fields can be null.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::lenient::Field;

/// Most answers put what was asked for under `output`.
#[derive(Debug, Deserialize)]
pub struct Output<T> {
    /// What was asked for.
    pub output: T,
}

/// `ops/stat`. Times in Unix seconds.
#[derive(Debug, Clone, Copy)]
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

impl Stat {
    /// Reads it; none where one of its numbers is missing.
    pub fn read(answer: &serde_json::Value) -> Option<Self> {
        let stat = Field::new(answer).at("output");
        let number = |key| stat.at(key).number();
        let small = |key| number(key).and_then(|n| u32::try_from(n).ok());
        let time = |key| stat.at(key).signed();
        Some(Self {
            mode: small("mode")?,
            ino: number("ino")?,
            dev: number("dev")?,
            nlink: number("nlink")?,
            uid: small("uid")?,
            gid: small("gid")?,
            size: number("size")?,
            atime: time("atime")?,
            ctime: time("ctime")?,
            mtime: time("mtime")?,
        })
    }
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
