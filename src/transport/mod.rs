//! What a transport does. Each function is a method of [`crate::session::Session`]; a file holds those that belong together.

pub mod archive;
pub mod cluster;
pub mod copy_to;
pub mod exec;
mod fetch;
pub mod get;
pub mod get_tree;
pub mod glob;
pub mod inspect;
pub mod job;
pub mod large;
pub mod modify;
pub mod pattern;
pub mod put;
pub mod put_tree;
pub mod stream;
mod tidy;

use std::rc::Rc;

use crate::error::Result;
use crate::passing;
use crate::session::Session;
use crate::watch::Watch;

/// What to do when a target is already there. See the WIT enum `overwrite-policy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Overwrite {
    #[default]
    Replace,
    Fail,
    Skip,
}

/// How to move files. See the WIT record `transfer-options`.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct TransferOptions {
    pub overwrite: Overwrite,
    pub dereference: bool,
    pub ignore_nonexisting: bool,
    pub parents: bool,
    pub verify: Option<bool>,
    pub size: Option<u64>,
    pub mode: Option<u32>,
}

/// How sure it is that the bytes arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Verification {
    #[default]
    None,
    Size,
    Checksum,
}

/// What a transfer did. See the WIT record `transfer-summary`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Summary {
    pub files: u64,
    pub directories: u64,
    pub bytes: u64,
    pub skipped: u64,
    pub verified: Verification,
}

impl Summary {
    fn skipped() -> Self {
        Self { skipped: 1, ..Self::default() }
    }
}

/// Several transfers as one; the first that failed is the error. The whole is as sure as the least sure part.
fn sum(each: Vec<Result<Summary>>) -> Result<Summary> {
    let mut all = Summary::default();
    let mut surest = None;
    for one in each {
        let one = one?;
        all.files += one.files;
        all.directories += one.directories;
        all.bytes += one.bytes;
        all.skipped += one.skipped;
        if one.files > 0 {
            surest = Some(surest.map_or(one.verified, |so_far: Verification| so_far.min(one.verified)));
        }
    }
    all.verified = surest.unwrap_or_default();
    Ok(all)
}

impl Session {
    /// The call that is under way.
    fn watch(&self) -> &Rc<Watch> {
        self.api.client.platform().watch()
    }

    /// A name for something that does not stay on the cluster.
    fn passing_name(&self) -> String {
        format!("{}{}", passing::PREFIX, self.passing_mark())
    }

    /// What such names end in: the instance's mark, by which they are found when it is gone, and bits that are this one's own.
    fn passing_mark(&self) -> String {
        let platform = self.api.client.platform();
        passing::own(platform.mark(), platform.random())
    }

    /// A place beside a local path that nobody has.
    fn beside(&self, target: &str) -> String {
        let platform = self.api.client.platform();
        let cut = target.rfind('/').map_or(0, |i| i + 1);
        format!("{}{}", &target[..cut], passing::part(platform.mark(), platform.random()))
    }
}

/// The last name of a local path.
fn local_name(local: &str) -> Option<&str> {
    local.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty() && *name != "." && *name != "..")
}

/// A local path below a folder.
fn local_join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}
