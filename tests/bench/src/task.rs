//! What a peer is asked to do, and what came of it: the same words for all of them, in JSON for those of Python.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One work. Remote paths are absolute; a file's `verify` is none where the peer is to do as it does by default.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Task {
    /// Takes this configuration (aiida-firecrest's JSON) and gets ready. Not timed.
    Configure {
        config: Value,
    },
    /// A new session, up to its first answer: the size of that file.
    Open {
        path: String,
    },
    Stat {
        path: String,
    },
    Exists {
        paths: Vec<String>,
        #[serde(rename = "at_once_")]
        at_once: bool,
    },
    Mkdir {
        path: String,
    },
    List {
        path: String,
    },
    ListAttributes {
        path: String,
    },
    Glob {
        pattern: String,
    },
    Put {
        local: PathBuf,
        remote: String,
        verify: Option<bool>,
    },
    Get {
        remote: String,
        local: PathBuf,
        verify: Option<bool>,
    },
    /// `each`: file by file, where the peer has another way, too.
    PutTree {
        local: PathBuf,
        remote: String,
        each: bool,
    },
    GetTree {
        remote: String,
        local: PathBuf,
        each: bool,
    },
    Copy {
        path: String,
        target: String,
    },
    Rename {
        path: String,
        target: String,
    },
    RemoveTree {
        path: String,
    },
    /// The script's name in that remote folder.
    Submit {
        folder: String,
        script: String,
    },
    Jobs {
        ids: Vec<String>,
    },
    Cancel {
        id: String,
    },
    /// Submits so many and waits until all have ended.
    Watch {
        folder: String,
        script: String,
        count: usize,
    },
}

/// What a work took, and gave.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Outcome {
    /// Of the work alone, as the peer measured it.
    pub(crate) seconds: f64,
    #[serde(default)]
    pub(crate) result: Value,
    /// Why it did not end well.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// It was ended because it took too long; `seconds` is then how long it was let.
    #[serde(skip)]
    pub(crate) capped: bool,
}

impl Outcome {
    /// Of a peer in this process.
    pub(crate) fn of(seconds: f64, result: anyhow::Result<Value>) -> Self {
        match result {
            Ok(result) => Self { seconds, result, error: None, capped: false },
            Err(error) => Self { seconds, result: Value::Null, error: Some(format!("{error:#}")), capped: false },
        }
    }
}
