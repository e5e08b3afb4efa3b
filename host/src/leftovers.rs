//! What a process that is killed leaves behind, remembered on this machine so that the next one removes it.
//!
//! A transfer makes things on its way: parts of files beside their targets, archives, hidden folders and jobs on the cluster. The call that
//! makes them removes them, after an error and a stop as well; but after SIGKILL, a power cut, or a call whose future was
//! dropped there is nobody left to do it. So each session that begins such a call keeps one small file, locked as long as the session
//! lives, that says which places its call is about. [`Session::open`](crate::Session::open) looks for files without a living owner that
//! are about the same server and user, has the plugin `tidy` the cluster, removes the parts from the local places, and then the file.
//! Targets are not touched: they are the old ones or whole anyway.
//!
//! A file holds addresses, a client id and paths, no secret; its mode is 0600. Where none can be kept nothing is remembered, which is
//! no error.

use crate::error::Error;
use crate::options::Options;
use crate::plugin::Plugin;
use crate::secrets::sounds_secret;
use crate::types::ErrorKind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Raised when a file's content changes its meaning.
const FORMAT: u32 = 1;

/// A file nobody asks about is kept this long: the server may be away for a while.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Places of calls that ended in doubt, for each session; the oldest are forgotten.
const MOST_PLACES: usize = 100;

/// A file that is longer is not one of these.
const LONGEST: u64 = 4 << 20;

/// Where it is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Journal {
    /// `aiida-firecrest/sessions` in the user's state folder: `$XDG_STATE_HOME`, else `~/.local/state`.
    #[default]
    User,
    /// In this folder, which is made if missing.
    Folder(PathBuf),
    /// Nowhere.
    Off,
}

impl Journal {
    /// The folder; none where it is off or the user has no home.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        use etcetera::BaseStrategy;
        match self {
            Journal::User => {
                let base = etcetera::choose_base_strategy().ok()?;
                // Systems without such a folder have one for data.
                let state = base.state_dir().unwrap_or_else(|| base.data_dir());
                Some(state.join("aiida-firecrest").join("sessions"))
            }
            Journal::Folder(folder) => Some(folder.clone()),
            Journal::Off => None,
        }
    }
}

/// Whose things they are: of which plugin, and what names the server, the system and the user among its options. A stranger's plugin is
/// known by its checksum, and by all its options that do not sound secret: which of them matter is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Owner {
    plugin: Option<String>,
    options: BTreeMap<String, String>,
}

impl Owner {
    pub(crate) fn of(plugin: &Plugin, options: &Options) -> Owner {
        let stranger = (!plugin.is_built_in()).then(|| plugin.inspection().sha256.clone());
        Owner { plugin: stranger, options: BTreeMap::new() }.with(options)
    }

    /// The same plugin with other options.
    pub(crate) fn with(&self, options: &Options) -> Owner {
        let told = options.iter().filter(|(name, _)| match self.plugin {
            None => matches!(*name, "url" | "compute_resource" | "client_id"),
            Some(_) => !sounds_secret(name),
        });
        let told = told.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Owner { plugin: self.plugin.clone(), options: told.collect() }
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    owner: Owner,
    mark: String,
    places: Vec<Place>,
}

/// What one call is about.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// On the cluster.
    pub(crate) remote: String,
    /// On this machine, where the call may write.
    pub(crate) local: Option<PathBuf>,
}

impl Place {
    /// On the cluster alone; an empty path stands for the folder of temporary files.
    pub(crate) fn remote(path: &str) -> Place {
        Place { remote: path.to_owned(), local: None }
    }
}

/// Which owners' files this process has looked for; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Journals(Arc<Mutex<HashSet<(PathBuf, Owner)>>>);

impl Journals {
    fn lock(&self) -> MutexGuard<'_, HashSet<(PathBuf, Owner)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is it time to look? Once a process, and again when something was left in it.
    pub(crate) fn due(&self, folder: &Path, owner: &Owner) -> bool {
        self.lock().insert((folder.to_owned(), owner.clone()))
    }
}

/// The file of one session. It goes with the session, unless a call of it was not finished.
pub(crate) struct Entry {
    journals: Journals,
    folder: PathBuf,
    path: PathBuf,
    /// Locked.
    file: File,
    record: Record,
    /// A call is under way: the last place is its own.
    working: bool,
}

impl Entry {
    /// Begins one. None: it cannot be kept, or the mark is none.
    pub(crate) fn begin(journals: &Journals, folder: &Path, owner: &Owner, mark: &str) -> Option<Entry> {
        if !is_mark(mark) {
            tracing::debug!("the plugin tells no mark: what it leaves is not remembered");
            return None;
        }
        match create(folder, mark) {
            Ok((path, file)) => Some(Entry {
                journals: journals.clone(),
                folder: folder.to_owned(),
                path,
                file,
                record: Record { format: FORMAT, owner: owner.clone(), mark: mark.to_owned(), places: Vec::new() },
                working: false,
            }),
            Err(error) => {
                tracing::debug!(folder = %folder.display(), %error, "what is left is not remembered");
                None
            }
        }
    }

    /// A call begins that may leave something.
    pub(crate) fn note(&mut self, place: Place) {
        if self.record.places.len() == MOST_PLACES {
            self.record.places.remove(0);
        }
        self.record.places.push(place);
        self.working = true;
        if let Err(error) = self.write() {
            tracing::debug!(path = %self.path.display(), %error, "what is left is not remembered");
        }
    }

    /// The call has ended. In doubt: the server may have kept it from cleaning up.
    pub(crate) fn settle<T>(&mut self, ended: &Result<T, Error>) {
        let in_doubt = matches!(ended, Err(Error::Plugin { error, .. }) if matches!(
            error.kind,
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::OutcomeUnknown | ErrorKind::RateLimited
                | ErrorKind::Unauthenticated
        ));
        if !in_doubt {
            self.record.places.pop();
        }
        self.working = false;
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.record)?;
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(&text)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.working || !self.record.places.is_empty() {
            self.journals.lock().remove(&(self.folder.clone(), self.record.owner.clone()));
        } else {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Under another name until it is locked: a file with the right name and without a lock is a dead session's.
fn create(folder: &Path, mark: &str) -> io::Result<(PathBuf, File)> {
    private_folder(folder)?;
    // An instance has one mark, and may have sessions to several servers.
    let name = format!("{mark}-{:08x}", rand::random::<u32>());
    let (aside, path) = (folder.join(format!("{name}.new")), folder.join(format!("{name}.json")));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&aside)?;
    file.lock()?;
    fs::rename(&aside, &path)?;
    Ok((path, file))
}

fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn is_mark(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a dead session left. Its file stays locked until this is dropped.
pub(crate) struct Leftovers {
    path: PathBuf,
    _file: File,
    record: Record,
}

impl Leftovers {
    /// Those of an owner, in a folder. Files that nobody has asked for in a long time are removed on the way.
    pub(crate) fn find(folder: &Path, owner: &Owner) -> Vec<Leftovers> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter_map(|path| {
                let left = dead(&path);
                if left.as_ref().is_none_or(|left| left.record.owner != *owner) {
                    forget_old(&path);
                    return None;
                }
                left
            })
            .collect()
    }

    pub(crate) fn mark(&self) -> &str {
        &self.record.mark
    }

    /// The places on the cluster.
    pub(crate) fn remote(&self) -> Vec<String> {
        self.record.places.iter().map(|place| place.remote.clone()).filter(|place| !place.is_empty()).collect()
    }

    /// Removes the parts from the places on this machine. Returns their number.
    pub(crate) fn tidy_local(&self) -> u32 {
        let start = format!(".{}-", self.record.mark);
        let local = self.record.places.iter().filter_map(|place| place.local.as_deref());
        local
            .map(|place| {
                place.parent().map_or(0, |around| remove_parts(around, &start, false))
                    + remove_parts(place, &start, true)
            })
            .sum()
    }

    /// There is nothing left of it.
    pub(crate) fn forget(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The file of a session that is no more. None, too, for one that was cut short by the crash itself, or is of another version.
fn dead(path: &Path) -> Option<Leftovers> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    file.try_lock().ok()?;
    let mut text = String::new();
    let read = (&mut file).take(LONGEST).read_to_string(&mut text);
    let record = read.ok().and_then(|_| serde_json::from_str::<Record>(&text).ok());
    let record = record.filter(|record| record.format == FORMAT && is_mark(&record.mark))?;
    Some(Leftovers { path: path.to_owned(), _file: file, record })
}

/// Removes a file that nobody has asked about in a long time. One in use is younger: it is written at each call.
fn forget_old(path: &Path) {
    let age = path.metadata().and_then(|known| known.modified()).ok().and_then(|time| time.elapsed().ok());
    if age.is_some_and(|age| age > KEPT) {
        let _ = fs::remove_file(path);
    }
}

/// Removes what has such a name in a folder, and in those below it.
fn remove_parts(folder: &Path, start: &str, deep: bool) -> u32 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let mut count = 0;
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(start) && name.ends_with(".part") {
            let removed = if kind.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            count += u32::from(removed.is_ok());
        } else if deep && kind.is_dir() {
            count += remove_parts(&entry.path(), start, true);
        }
    }
    count
}
