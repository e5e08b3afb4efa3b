//! The works: what is measured, how each is prepared without a request, and how its result is checked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::place;
use crate::server::Server;
use crate::task::Task;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Open,
    Stat,
    Mkdir,
    Put(u64, Option<bool>),
    Get(u64, Option<bool>),
    Exists(usize, bool),
    List(usize),
    ListAttributes(usize),
    Glob(usize),
    PutTree(usize, bool),
    GetTree(usize, bool),
    Copy,
    Rename,
    RemoveTree,
    Submit,
    Jobs(usize),
    UnknownId,
    Cancel,
    Watch(usize),
}

/// Who takes part.
pub(crate) const PEERS: [&str; 5] = ["us-rust", "us-python", "aiida-firecrest", "pyfirecrest", "floor"];
const US: [&str; 2] = ["us-rust", "us-python"];

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Rounds of a whole run.
    pub(crate) rounds: usize,
    /// Also in a quick run.
    pub(crate) quick: bool,
    /// At which latencies of a whole run, in milliseconds.
    pub(crate) latencies: &'static [u64],
    /// Those that do not take part: they would do the same as in another row, or have another row for it.
    pub(crate) without: &'static [&'static str],
}

const ALL: &[u64] = &[0, 20, 100];
const NEAR: &[u64] = &[0, 20];
const SOME: &[u64] = &[20];
const NONE: &[u64] = &[0];

const fn work(name: &'static str, kind: Kind, rounds: usize, quick: bool, latencies: &'static [u64]) -> Work {
    Work { name, kind, rounds, quick, latencies, without: &[] }
}

const fn but(work: Work, without: &'static [&'static str]) -> Work {
    Work { without, ..work }
}

/// All rows, in the table's order.
pub(crate) const WORKS: &[Work] = &[
    work("open a session", Kind::Open, 7, true, ALL),
    work("stat", Kind::Stat, 31, true, ALL),
    work("mkdir", Kind::Mkdir, 31, true, ALL),
    work("100 × exists, one by one", Kind::Exists(100, false), 3, true, NEAR),
    work("100 × exists, at once", Kind::Exists(100, true), 5, true, ALL),
    work("list 1,000 entries", Kind::List(1000), 7, true, NEAR),
    work("list with attributes, 30", Kind::ListAttributes(30), 3, true, ALL),
    work("list with attributes, 1,000", Kind::ListAttributes(1000), 3, true, SOME),
    work("glob, 100 of 1,000", Kind::Glob(1000), 7, true, NEAR),
    work("put 1 KiB", Kind::Put(KIB, None), 31, true, ALL),
    work("put 900 KiB", Kind::Put(900 * KIB, None), 5, false, NEAR),
    work("put 1 MiB", Kind::Put(MIB, None), 5, true, NEAR),
    work("put 5 MiB", Kind::Put(5 * MIB, None), 5, true, NEAR),
    work("put 64 MiB", Kind::Put(64 * MIB, None), 3, true, NEAR),
    but(work("put 1 GiB, unverified", Kind::Put(GIB, Some(false)), 3, false, NONE), &["us-python"]),
    but(work("put 1 GiB, verified", Kind::Put(GIB, Some(true)), 3, false, NONE), &["pyfirecrest", "aiida-firecrest"]),
    work("get 1 KiB", Kind::Get(KIB, None), 15, true, ALL),
    work("get 900 KiB", Kind::Get(900 * KIB, None), 5, false, NEAR),
    work("get 1 MiB", Kind::Get(MIB, None), 5, true, NEAR),
    work("get 5 MiB", Kind::Get(5 * MIB, None), 5, true, NEAR),
    work("get 64 MiB", Kind::Get(64 * MIB, None), 3, true, NEAR),
    but(work("get 1 GiB, unverified", Kind::Get(GIB, Some(false)), 3, false, NONE), &["us-python"]),
    but(work("get 1 GiB, verified", Kind::Get(GIB, Some(true)), 3, false, NONE), &["pyfirecrest", "aiida-firecrest"]),
    but(work("put a tree of 100 files", Kind::PutTree(100, false), 5, true, ALL), &["pyfirecrest"]),
    but(work("get a tree of 100 files", Kind::GetTree(100, false), 5, true, ALL), &["pyfirecrest"]),
    but(work("put a tree of 1,000 files", Kind::PutTree(1000, false), 5, true, NEAR), &["pyfirecrest"]),
    but(work("get a tree of 1,000 files", Kind::GetTree(1000, false), 5, true, NEAR), &["pyfirecrest"]),
    but(work("put a tree of 1,000 files, file by file", Kind::PutTree(1000, true), 1, true, SOME), &US),
    but(work("get a tree of 1,000 files, file by file", Kind::GetTree(1000, true), 1, false, SOME), &US),
    work("copy", Kind::Copy, 3, true, NEAR),
    work("rename", Kind::Rename, 3, true, NEAR),
    work("remove a tree", Kind::RemoveTree, 7, true, NEAR),
    work("submit", Kind::Submit, 31, true, ALL),
    work("jobs, 1 id", Kind::Jobs(1), 7, true, NEAR),
    work("jobs, 100 ids", Kind::Jobs(100), 3, true, NEAR),
    work("jobs, 1,000 ids", Kind::Jobs(1000), 3, true, SOME),
    work("jobs, an unknown id", Kind::UnknownId, 5, true, NEAR),
    work("cancel", Kind::Cancel, 7, true, NEAR),
    work("200 jobs submitted and watched", Kind::Watch(200), 1, false, SOME),
];

/// A work that can be run once.
pub(crate) struct Prepared {
    pub(crate) task: Task,
    check: Check,
}

enum Check {
    /// These values have to be in the result.
    Result(Vec<(&'static str, Value)>),
    File(PathBuf, PathBuf),
    Tree(PathBuf, PathBuf),
    There(PathBuf),
    Gone(PathBuf),
    Moved(PathBuf, PathBuf, Vec<u8>),
    Text(&'static str),
}

impl Prepared {
    /// Whether the work was done, and rightly.
    pub(crate) fn check(&self, result: &Value) -> Result<()> {
        match &self.check {
            Check::Result(wanted) => {
                for (name, value) in wanted {
                    ensure!(&result[*name] == value, "{name} is {} and not {value}", result[*name]);
                }
                Ok(())
            }
            Check::File(one, other) => place::same_file(one, other),
            Check::Tree(one, other) => place::same_tree(one, other),
            Check::There(path) => {
                ensure!(path.exists(), "it is not there");
                Ok(())
            }
            Check::Gone(path) => {
                ensure!(!path.exists(), "it is still there");
                Ok(())
            }
            Check::Moved(from, to, content) => {
                ensure!(!from.exists(), "the old name is still there");
                ensure!(&fs::read(to)? == content, "other bytes");
                Ok(())
            }
            Check::Text(name) => {
                let text = result[*name].as_str().unwrap_or_default();
                ensure!(!text.is_empty(), "no {name}");
                Ok(())
            }
        }
    }

    /// Makes room again.
    pub(crate) fn clean(&self) {
        let remove = |path: &Path| {
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        };
        match &self.check {
            Check::File(_, made) | Check::Tree(_, made) | Check::There(made) => remove(made),
            _ => {}
        }
    }
}

/// A server with what works need on it, and a local folder.
pub(crate) struct Scene<'a> {
    pub(crate) server: &'a Server,
    pub(crate) local: &'a Path,
    /// Jobs that were added for this row.
    pub(crate) jobs: Vec<String>,
    pub(crate) counter: usize,
}

impl Scene<'_> {
    /// Puts what all rounds of a row share on the server's disk.
    pub(crate) async fn set(&mut self, kind: Kind) -> Result<()> {
        let home = self.server.home();
        match kind {
            Kind::Jobs(count) => self.jobs = self.server.add_jobs(count).await?,
            Kind::List(count) | Kind::ListAttributes(count) | Kind::Glob(count) => {
                place::flat(&home.join("flat"), count)?;
            }
            Kind::Get(size, _) => place::file(&home.join("source"), size, 7)?,
            Kind::Put(size, _) => place::file(&self.local.join("source"), size, 7)?,
            Kind::PutTree(count, _) => place::tree(&self.local.join("tree"), count)?,
            Kind::GetTree(count, _) => place::tree(&home.join("tree"), count)?,
            _ => {}
        }
        place::file(&home.join("one"), 1000, 3)?;
        // Held: no job's processes run beside the next measurement.
        fs::write(home.join("job.sh"), "#!/bin/bash\n#SBATCH --time=00:05:00\n#SBATCH --hold\ntrue\n")?;
        fs::write(home.join("long.sh"), "#!/bin/bash\n#SBATCH --time=00:05:00\nsleep 2\n")?;
        place::give(&home, &home)
    }

    /// Takes away what [`set`](Self::set) put there.
    pub(crate) fn clear(&mut self) {
        for name in ["source", "tree"] {
            let path = self.local.join(name);
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }

    /// Prepares one run.
    pub(crate) async fn prepare(&mut self, kind: Kind) -> Result<Prepared> {
        self.counter += 1;
        let home = self.server.home();
        let name = format!("w{:05}", self.counter);
        let (there, here) = (home.join(&name), self.local.join(&name));
        let remote = utf8(&there)?;
        let one = utf8(&home.join("one"))?;
        let flat = utf8(&home.join("flat"))?;
        let count = |count: usize| Check::Result(vec![("count", count.into())]);
        let (task, check) = match kind {
            Kind::Open => (Task::Open { path: one }, Check::Result(vec![("size", 1000.into())])),
            Kind::Stat => (Task::Stat { path: one }, Check::Result(vec![("size", 1000.into())])),
            Kind::Mkdir => (Task::Mkdir { path: remote }, Check::There(there)),
            Kind::Exists(number, at_once) => {
                // Half of them are there.
                let missing = utf8(&home.join("missing"))?;
                let paths = (0..number).map(|n| if n % 2 == 0 { one.clone() } else { missing.clone() }).collect();
                (Task::Exists { paths, at_once }, count(number / 2))
            }
            Kind::List(number) => (Task::List { path: flat }, count(number)),
            Kind::ListAttributes(number) => {
                let size: u64 = (0..number as u64).sum();
                let check = Check::Result(vec![("count", number.into()), ("size", size.into())]);
                (Task::ListAttributes { path: flat }, check)
            }
            Kind::Glob(number) => {
                // Of 1,000 names f00000.dat to f00999.dat a tenth.
                (Task::Glob { pattern: format!("{flat}/f*7.dat") }, count(number / 10))
            }
            Kind::Put(_, verify) => {
                let local = self.local.join("source");
                (Task::Put { local: local.clone(), remote, verify }, Check::File(local, there))
            }
            Kind::Get(_, verify) => {
                let source = home.join("source");
                (Task::Get { remote: utf8(&source)?, local: here.clone(), verify }, Check::File(source, here))
            }
            Kind::PutTree(_, each) => {
                let local = self.local.join("tree");
                let there = there.join("tree");
                fs::create_dir(home.join(&name))?;
                place::give(&home.join(&name), &home)?;
                (Task::PutTree { local: local.clone(), remote: utf8(&there)?, each }, Check::Tree(local, there))
            }
            Kind::GetTree(_, each) => {
                let source = home.join("tree");
                (Task::GetTree { remote: utf8(&source)?, local: here.clone(), each }, Check::Tree(source, here))
            }
            Kind::Copy => (Task::Copy { path: one, target: remote }, Check::File(home.join("one"), there)),
            Kind::Rename => {
                let old = home.join(format!("{name}-old"));
                fs::write(&old, &name)?;
                place::give(&old, &home)?;
                let task = Task::Rename { path: utf8(&old)?, target: remote };
                (task, Check::Moved(old, there, name.into_bytes()))
            }
            Kind::RemoveTree => {
                place::tree(&there, 100)?;
                place::give(&there, &home)?;
                (Task::RemoveTree { path: remote }, Check::Gone(there))
            }
            Kind::Submit => (Task::Submit { folder: utf8(&home)?, script: "job.sh".into() }, Check::Text("id")),
            Kind::Jobs(number) => (Task::Jobs { ids: self.jobs.clone() }, count(number)),
            Kind::UnknownId => (Task::Jobs { ids: vec!["987654".into()] }, count(0)),
            Kind::Cancel => {
                let id = self.server.add_jobs(1).await?.pop().context("a job")?;
                (Task::Cancel { id }, Check::Result(vec![("done", true.into())]))
            }
            Kind::Watch(number) => {
                let task = Task::Watch { folder: utf8(&home)?, script: "long.sh".into(), count: number };
                (task, count(number))
            }
        };
        Ok(Prepared { task, check })
    }
}

fn utf8(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path that is not UTF-8")?.to_owned())
}
