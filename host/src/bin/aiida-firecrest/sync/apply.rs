//! Does what is planned.

use super::Ends;
use super::crew::{Crew, work};
use super::local;
use super::plan::{Group, Kind, Plan, above, groups, parent};
use crate::context::Context;
use crate::meter::Meter;
use crate::output::{Failure, shown};
use aiida_firecrest_host::transport::{OverwritePolicy, TransferOptions, TransferSummary};
use aiida_firecrest_host::types::{ErrorKind, FileKind};
use aiida_firecrest_host::{Error, Session};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

/// What it took.
#[derive(Default)]
pub(super) struct Done {
    /// Calls of `put` or `get`.
    pub(super) transfers: usize,
}

const OPTIONS: TransferOptions = TransferOptions {
    overwrite: OverwritePolicy::Replace,
    dereference: false,
    ignore_nonexisting: false,
    parents: true,
    verify: None,
    size: None,
    mode: None,
};

// ---- to the cluster

pub(super) async fn push(context: &Context, crew: &mut Crew, ends: &Ends, plan: &Plan) -> Result<Done, Failure> {
    let total = plan.copies.keys().map(|path| ends.here[path].size()).sum();
    let meter = context.meter(Some(total), Some(plan.copies.len() as u64));
    meter.follow(&mut crew.first, 0)?;
    let session = &mut crew.first;
    for path in &plan.displaced {
        meter.check()?;
        remove(session, ends, path).await?;
    }
    let mut done = Done::default();
    if !plan.copies.is_empty() || !plan.directories.is_empty() || ends.remote_missing {
        let (stage, left) = Stage::new(ends, plan)?;
        meter.check()?;
        if stage.used || ends.remote_missing {
            done.transfers += stage.send(session, ends).await?;
        }
        for path in left {
            meter.check()?;
            let (place, remote) = (ends.local.join(&path), format!("{}/{path}", ends.remote));
            if let Kind::Link(target) = &ends.here[&path].kind {
                session.symlink(target, &remote).await?;
            } else {
                let one = session.put(&place, &remote, &OPTIONS).await?;
                meter.ended(0, one.bytes, one.files);
            }
            done.transfers += 1;
        }
    }
    for (path, mode) in &plan.modes {
        meter.check()?;
        session.chmod(&format!("{}/{path}", ends.remote), *mode).await?;
    }
    for path in &plan.removals {
        meter.check()?;
        remove(session, ends, path).await?;
    }
    meter.clear();
    Ok(done)
}

async fn remove(session: &mut Session, ends: &Ends, path: &str) -> Result<(), Failure> {
    let place = format!("{}/{path}", ends.remote);
    let removed = match ends.there[path].kind {
        Kind::Directory => session.remove_tree(&place).await,
        Kind::Link(_) => session.remove(&place, Some(FileKind::Symlink)).await,
        Kind::File | Kind::Other => session.remove(&place, Some(FileKind::Regular)).await,
    };
    match removed {
        Err(error) if error.plugin_kind() == Some(ErrorKind::NotFound) => Ok(()),
        removed => Ok(removed?),
    }
}

/// A folder of hard links to what is to be put, under the name that REMOTE has.
struct Stage {
    /// Removed when it is dropped.
    _folder: TempDir,
    root: PathBuf,
    /// There is something in it.
    used: bool,
}

impl Stage {
    /// Returns also what could not be linked.
    fn new(ends: &Ends, plan: &Plan) -> Result<(Stage, Vec<String>), Failure> {
        let name = ends.remote.rsplit('/').next().unwrap_or_default();
        let sample = plan.copies.keys().find(|path| ends.here[*path].kind == Kind::File);
        let folder = linkable(&ends.local, sample.map(|path| ends.local.join(path)).as_deref())?;
        let root = folder.path().join(name);
        let failed = |place: &Path| {
            let place = place.to_owned();
            move |error| Failure::from(Error::io(place, error))
        };
        fs::create_dir(&root).map_err(failed(&root))?;
        let mut used = false;
        let mut left = Vec::new();
        // A directory's permissions come along, so that those on the cluster stay as they are here; set at last, for one may be read-only.
        let mut modes = BTreeSet::new();
        for path in &plan.directories {
            local::make_directories(&root, path)?;
            modes.extend(above(path).chain([path.as_str()]));
            used = true;
        }
        for path in plan.copies.keys() {
            let place = root.join(path);
            local::make_directories(&root, parent(path).unwrap_or_default())?;
            modes.extend(above(path));
            let made = match &ends.here[path].kind {
                // The sandbox does not read a link that leads out of it; what it says is known here.
                Kind::Link(target) if target.starts_with('/') => Err(std::io::ErrorKind::Unsupported.into()),
                Kind::Link(target) => local::make_link(target, &place),
                _ => fs::hard_link(ends.local.join(path), &place),
            };
            match made {
                Ok(()) => used = true,
                // Another file system, or a system that allows no links to others' files.
                Err(_) => left.push(path.clone()),
            }
        }
        for path in modes.into_iter().rev() {
            if let Some(item) = ends.here.get(path) {
                let place = root.join(path);
                // Readable to the plugin it has to be.
                local::set_mode(&place, item.mode | 0o500).map_err(failed(&place))?;
            }
        }
        if let Ok(metadata) = fs::metadata(&ends.local) {
            fs::set_permissions(&root, metadata.permissions()).map_err(failed(&root))?;
        }
        Ok((Stage { _folder: folder, root, used }, left))
    }

    /// As one tree. Returns the number of calls.
    async fn send(&self, session: &mut Session, ends: &Ends) -> Result<usize, Failure> {
        // A folder that is there is merged into by its parent; one that is not becomes what is put.
        let around = parent(&ends.remote).filter(|parent| !parent.is_empty()).unwrap_or("/");
        let target = if ends.remote_missing { &ends.remote } else { around };
        match session.put(&self.root, target, &OPTIONS).await {
            // Around a home directory nobody may write: then each of its entries goes by itself.
            Err(error) if error.plugin_kind() == Some(ErrorKind::PermissionDenied) && !ends.remote_missing => {
                self.send_entries(session, ends).await
            }
            sent => Ok(sent.map(|_| 1)?),
        }
    }

    async fn send_entries(&self, session: &mut Session, ends: &Ends) -> Result<usize, Failure> {
        let mut calls = 0;
        let failed = |error| Error::io(&self.root, error);
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let place = format!("{}/{name}", ends.remote);
            calls += 1;
            match ends.here.get(&name).map(|item| &item.kind) {
                Some(Kind::Link(target)) => session.symlink(target, &place).await?,
                Some(Kind::Directory) => drop(session.put(entry.path(), &ends.remote, &OPTIONS).await?),
                _ => drop(session.put(entry.path(), &place, &OPTIONS).await?),
            }
        }
        Ok(calls)
    }
}

impl Drop for Stage {
    /// A read-only directory would stay.
    fn drop(&mut self) {
        let mut open = vec![self.root.clone()];
        while let Some(folder) = open.pop() {
            let _ = local::set_mode(&folder, 0o700);
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            open.extend(
                entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
            );
        }
    }
}

/// A temporary folder on the file system of `sample`: the usual one, else beside the local folder.
fn linkable(local: &Path, sample: Option<&Path>) -> Result<TempDir, Failure> {
    let usual = tempfile::tempdir().map_err(|error| Error::io(std::env::temp_dir(), error))?;
    let links = |folder: &TempDir| {
        let probe = folder.path().join("probe");
        sample.is_none_or(|sample| fs::hard_link(sample, &probe).and_then(|()| fs::remove_file(&probe)).is_ok())
    };
    if links(&usual) {
        return Ok(usual);
    }
    let beside = local.parent().and_then(|parent| {
        tempfile::Builder::new().prefix(".aiida-firecrest-sync-").tempdir_in(parent).ok().filter(links)
    });
    Ok(beside.unwrap_or(usual))
}

// ---- from the cluster

pub(super) async fn pull(context: &Context, crew: &mut Crew, ends: &Ends, plan: &Plan) -> Result<Done, Failure> {
    let total = plan.copies.keys().map(|path| ends.there[path].size()).sum();
    let meter = context.meter(Some(total), Some(plan.copies.len() as u64));
    if !ends.local.exists() {
        fs::create_dir(&ends.local).map_err(|error| Error::io(&ends.local, error))?;
    }
    for path in &plan.displaced {
        meter.check()?;
        local::make_directories(&ends.local, parent(path).unwrap_or_default())?;
        local::remove(&ends.local.join(path))?;
    }
    for path in plan.directories.iter().map(String::as_str).chain(plan.copies.keys().filter_map(|path| parent(path))) {
        local::make_directories(&ends.local, path)?;
    }
    let mut needed = BTreeSet::new();
    for path in plan.copies.keys() {
        let (item, place) = (&ends.there[path], ends.local.join(path));
        match &item.kind {
            Kind::Link(target) => local::make_link(target, &place).map_err(|error| Error::io(&place, error))?,
            // Nothing has to come for an empty file.
            _ if item.bytes == 0 => {
                local::remove(&place)?;
                fs::File::create_new(&place).map_err(|error| Error::io(&place, error))?;
                finish(ends, path);
            }
            _ => {
                needed.insert(path.as_str());
            }
        }
    }
    let done = fetch(context, crew, ends, &needed, &meter).await?;
    for (path, mode) in &plan.modes {
        let place = ends.local.join(path);
        local::set_mode(&place, *mode).map_err(|error| Error::io(&place, error))?;
    }
    // The deepest first: a closed directory lets nobody into those below it.
    for path in plan.directories.iter().rev() {
        let _ = local::set_mode(&ends.local.join(path), ends.there[path].mode);
    }
    for path in &plan.removals {
        meter.check()?;
        local::remove(&ends.local.join(path))?;
    }
    meter.clear();
    Ok(done)
}

/// The permissions and the time that a file has on the cluster. That a time cannot be set costs a checksum later, and no more.
fn finish(ends: &Ends, path: &str) {
    let (item, place) = (&ends.there[path], ends.local.join(path));
    if let (Some(time), Some(_)) = (item.modified.and_then(|time| u64::try_from(time).ok()), ends.zone) {
        let set = |file: fs::File| file.set_modified(UNIX_EPOCH + Duration::from_secs(time));
        let _ = fs::File::options().append(true).open(&place).and_then(set);
    }
    let _ = local::set_mode(&place, item.mode);
}

async fn fetch(
    context: &Context,
    crew: &mut Crew,
    ends: &Ends,
    needed: &BTreeSet<&str>,
    meter: &Meter,
) -> Result<Done, Failure> {
    if needed.is_empty() {
        return Ok(Done::default());
    }
    let policy = context.policy_writing(&ends.local)?;
    // Inside the folder: the plugin may write there, and what comes is moved into place by a rename.
    let aside = tempfile::Builder::new().prefix(".aiida-firecrest-sync-").tempdir_in(&ends.local);
    let aside = aside.map_err(|error| Error::io(&ends.local, error))?;
    let groups = groups(&ends.there, needed);
    let transfers = groups.len();
    let mut sessions = crew.sessions(transfers, &policy).await?;
    for (number, session) in sessions.iter_mut().enumerate() {
        meter.follow(session, number)?;
    }
    let tasks = groups.into_iter().enumerate().map(|(number, group)| {
        let staged = aside.path().join(number.to_string());
        match group {
            Group::Whole(directory) => Task { known: None, path: directory, staged, came: None },
            Group::File(path) => {
                let item = &ends.there[&path];
                let (size, mode) = (Some(item.bytes), Some(item.mode));
                let options = TransferOptions { dereference: true, size, mode, ..OPTIONS };
                Task { known: Some((ends.local.join(&path), options)), path, staged, came: None }
            }
        }
    });
    let tasks = tasks.collect();
    let remote = ends.remote.clone();
    let meter = meter.clone();
    let came = work(sessions, tasks, move |session, slot, mut task: Task| {
        let (meter, remote) = (meter.clone(), remote.clone());
        Box::pin(async move {
            meter.check()?;
            let one = task.fetch(session, &remote).await?;
            meter.ended(slot, one.bytes, one.files);
            Ok(task)
        })
    })
    .await?;
    for task in came {
        let Some(directory) = task.came else {
            finish(ends, &task.path);
            continue;
        };
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let below = needed.iter().copied().filter(|path| path.starts_with(&prefix));
        let kept = below.filter(|path| task.known.is_none() || *path == task.path);
        for path in kept {
            let (from, to) = (task.staged.join(&path[prefix.len()..]), ends.local.join(path));
            let regular = fs::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_file());
            if !regular {
                return Err(Failure::Wrong(format!(
                    "{}/{} has changed meanwhile: run it again",
                    ends.remote,
                    shown(path)
                )));
            }
            local::make_directories(&ends.local, parent(path).unwrap_or_default())?;
            fs::rename(&from, &to).map_err(|error| Error::io(&to, error))?;
            finish(ends, path);
        }
    }
    Ok(Done { transfers })
}

/// A file, or a directory as a whole.
struct Task {
    path: String,
    /// Of a file: where it goes, and what is known of it.
    known: Option<(PathBuf, TransferOptions)>,
    /// Where a directory as a whole goes.
    staged: PathBuf,
    /// The directory that came.
    came: Option<String>,
}

impl Task {
    async fn fetch(&mut self, session: &mut Session, remote: &str) -> Result<TransferSummary, Failure> {
        let place = |path: &str| if path.is_empty() { remote.to_owned() } else { format!("{remote}/{path}") };
        let mut directory = self.path.as_str();
        if let Some((target, options)) = &self.known {
            match session.get(&place(&self.path), target, options).await {
                // A name that no request can carry, with a single quote for example, comes in an archive of what is around it.
                Err(error) if error.plugin_kind() == Some(ErrorKind::InvalidArgument) => {
                    directory = parent(&self.path).unwrap_or_default();
                }
                got => return Ok(got?),
            }
        }
        loop {
            match session.get(&place(directory), &self.staged, &OPTIONS).await {
                Err(error) if error.plugin_kind() == Some(ErrorKind::InvalidArgument) && !directory.is_empty() => {
                    directory = parent(directory).unwrap_or_default();
                }
                got => {
                    self.came = Some(directory.to_owned());
                    return Ok(got?);
                }
            }
        }
    }
}
