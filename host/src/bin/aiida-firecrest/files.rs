//! Commands about files.

use crate::args::{Ls, Overwrite, Stat, Transfer};
use crate::context::{Context, absolute};
use crate::json;
use crate::output::{Failure, bytes, mode, shown, table, time};
use crate::pattern::{self, is_pattern};
use aiida_firecrest_host::transport::{
    Entry, ListOptions, OverwritePolicy, TransferOptions, TransferSummary, Verification,
};
use aiida_firecrest_host::types::FileKind;
use aiida_firecrest_host::{Error, Session, types};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

pub(crate) async fn ls(context: &Context, arguments: &Ls) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let options =
        ListOptions { recursive: arguments.recursive, hidden: arguments.all, pattern: arguments.pattern.clone() };
    let mut listings: Vec<(&str, Vec<Entry>)> = Vec::new();
    for path in &arguments.paths {
        let mut entries = session.list(path, &options).await?;
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        listings.push((path, entries));
    }
    let document = || {
        let listing = |(path, entries): &(&str, Vec<Entry>)| json!({"path": path, "entries": entries.iter().map(json::entry).collect::<Vec<_>>()});
        Value::Array(listings.iter().map(listing).collect())
    };
    let lines = || {
        let several = listings.len() > 1;
        let part = |(path, entries): &(&str, Vec<Entry>)| {
            let body = if arguments.long {
                table(&[], &[3], entries.iter().map(long))
            } else {
                entries.iter().map(|entry| shown(&entry.path)).collect::<Vec<_>>().join("\n")
            };
            if several { format!("{}:\n{body}", shown(path)) } else { body }
        };
        listings.iter().map(part).collect::<Vec<_>>().join("\n\n")
    };
    context.output.answer(document, lines)
}

fn long(entry: &Entry) -> Vec<String> {
    let target = entry.link_target.as_ref().map_or_else(String::new, |target| format!(" -> {}", shown(target)));
    vec![
        mode(entry.kind, entry.permissions),
        entry.owner.clone(),
        entry.group.clone(),
        entry.size.to_string(),
        entry.modified.replace('T', " "),
        format!("{}{target}", shown(&entry.path)),
    ]
}

pub(crate) async fn stat(context: &Context, arguments: &Stat) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let mut stats = Vec::new();
    for path in &arguments.paths {
        let stat = if arguments.dereference { session.stat(path).await? } else { session.lstat(path).await? };
        stats.push((path, stat));
    }
    let document = || Value::Array(stats.iter().map(|(path, stat)| json::stat(path, stat)).collect());
    let lines = || {
        let part = |(path, stat): &(&String, aiida_firecrest_host::transport::FileStat)| {
            let row = |name: &str, value: String| vec![name.to_owned(), value];
            table(
                &[],
                &[],
                [
                    row("path", shown(path)),
                    row("kind", json::kind(stat.kind).to_owned()),
                    row("size", format!("{} ({} bytes)", bytes(stat.size), stat.size)),
                    row("mode", format!("{:04o} {}", stat.mode & 0o7777, mode(stat.kind, stat.mode))),
                    row("owner", format!("uid {}, gid {}", stat.uid, stat.gid)),
                    row("inode", format!("{} on device {}, {} links", stat.inode, stat.device, stat.links)),
                    row("modified", time(stat.modified)),
                    row("accessed", time(stat.accessed)),
                    row("changed", time(stat.changed)),
                ],
            )
        };
        stats.iter().map(part).collect::<Vec<_>>().join("\n\n")
    };
    context.output.answer(document, lines)
}

pub(crate) async fn mkdir(context: &Context, parents: bool, paths: &[String]) -> Result<(), Failure> {
    let mut session = context.session().await?;
    for path in paths {
        session.mkdir(path, parents, parents).await?;
    }
    context.output.answer(|| json!({"made": paths}), String::new)
}

pub(crate) async fn rm(context: &Context, recursive: bool, paths: &[String]) -> Result<(), Failure> {
    let mut session = context.session().await?;
    for path in paths {
        if recursive {
            session.remove_tree(path).await?;
        } else {
            session.remove(path, None).await?;
        }
    }
    context.output.answer(|| json!({"removed": paths}), String::new)
}

pub(crate) async fn put(context: &Context, arguments: &Transfer) -> Result<(), Failure> {
    let mut sources = Vec::new();
    for source in &arguments.sources {
        let path = absolute(Path::new(source))?;
        if !arguments.recursive
            && let Some(directory) = local_directory(&path)
        {
            return Err(Failure::needs_recursive(&directory.to_string_lossy()));
        }
        sources.push(path);
    }
    let mut session = context.session().await?;
    // The plugin learns a tree's size as it goes; the bar is for people, and this machine knows it.
    let sizes = if context.output.is_interactive() { local_sizes(&sources) } else { None };
    let meter = context.meter(sizes.map(|(bytes, _)| bytes), sizes.map(|(_, files)| files));
    meter.follow(&mut session, 0)?;
    let options = options(arguments);
    let mut total = nothing();
    for source in sources {
        meter.check()?;
        let one = session.put(source, &arguments.target, &options).await?;
        meter.ended(0, one.bytes, one.files);
        add(&mut total, one);
    }
    meter.clear();
    context.output.answer(|| json::summary(&total), || summary(&total))
}

pub(crate) async fn get(context: &Context, arguments: &Transfer) -> Result<(), Failure> {
    let target = absolute(Path::new(&arguments.target))?;
    // Before anything is asked of the server.
    if let Some(folder) = target.parent().filter(|folder| !arguments.parents && !folder.exists()) {
        return Err(Error::Folder { path: folder.to_owned(), reason: "there is none".into(), missing: true }.into());
    }
    let mut session = context.session().await?;
    let mut plans = Vec::new();
    for source in &arguments.sources {
        let mut options = options(arguments);
        if !arguments.recursive {
            // The plugin asks for this stat where it is not told the size: looking first costs no request.
            match session.stat(source).await {
                Ok(stat) if stat.kind == FileKind::Directory => return Err(Failure::needs_recursive(source)),
                Ok(stat) if stat.kind == FileKind::Regular && stat.size > 0 => {
                    options.size = Some(stat.size);
                    options.mode = options.mode.or(Some(stat.mode & 0o777));
                }
                Ok(_) => {}
                Err(error) if error.plugin_kind() == Some(types::ErrorKind::NotFound) && is_pattern(source) => {
                    if let Some(directory) = matching_directory(&mut session, source, true).await? {
                        return Err(Failure::needs_recursive(&directory));
                    }
                }
                Err(error) if error.plugin_kind() == Some(types::ErrorKind::NotFound) && options.ignore_nonexisting => {
                }
                Err(error) => return Err(error.into()),
            }
        }
        plans.push((source, options));
    }
    let known = plans.iter().map(|(_, options)| options.size).sum::<Option<u64>>();
    let meter = context.meter(known, known.map(|_| plans.len() as u64));
    meter.follow(&mut session, 0)?;
    let mut total = nothing();
    for (source, options) in plans {
        meter.check()?;
        let one = session.get(source, &target, &options).await?;
        meter.ended(0, one.bytes, one.files);
        add(&mut total, one);
    }
    meter.clear();
    context.output.answer(|| json::summary(&total), || summary(&total))
}

/// The first directory that a local source of `put` names: itself, or one that its pattern matches.
fn local_directory(path: &Path) -> Option<PathBuf> {
    if path.exists() {
        return path.is_dir().then(|| path.to_owned());
    }
    let pattern = path.file_name()?.to_str().filter(|name| is_pattern(name))?;
    let entries = std::fs::read_dir(path.parent()?).ok()?.flatten();
    let mut directories: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| pattern::matches(pattern, name)))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    directories.into_iter().next()
}

/// Bytes and files of what will be put, following symlinks. None: a pattern, or what cannot be looked at, or too much to count.
fn local_sizes(sources: &[PathBuf]) -> Option<(u64, u64)> {
    const MOST: usize = 200_000;
    let (mut bytes, mut files, mut seen) = (0, 0, 0);
    let mut open = sources.to_vec();
    while let Some(path) = open.pop() {
        seen += 1;
        let metadata = std::fs::metadata(&path).ok().filter(|_| seen < MOST)?;
        if metadata.is_dir() {
            open.extend(std::fs::read_dir(&path).ok()?.flatten().map(|entry| entry.path()));
        } else {
            bytes += metadata.len();
            files += 1;
        }
    }
    Some((bytes, files))
}

/// The first directory that a remote source names: itself, or one that its pattern matches. What is not there is for the plugin to
/// say.
pub(crate) async fn remote_directory(
    session: &mut Session,
    path: &str,
    follow: bool,
) -> Result<Option<String>, Failure> {
    let stat = if follow { session.stat(path).await } else { session.lstat(path).await };
    match stat {
        Ok(stat) => Ok((stat.kind == FileKind::Directory).then(|| path.to_owned())),
        Err(error) if error.plugin_kind() == Some(types::ErrorKind::NotFound) && is_pattern(path) => {
            matching_directory(session, path, follow).await
        }
        // A name that no request can carry, with a single quote for example: its directory's listing has it.
        Err(error) if error.plugin_kind() == Some(types::ErrorKind::InvalidArgument) => {
            match listed(session, path).await {
                Some(FileKind::Directory) => Ok(Some(path.to_owned())),
                Some(kind) if kind != FileKind::Symlink || !follow => Ok(None),
                _ => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// What a path is, by the listing of its directory. None: it is not there, or its directory cannot be listed either.
async fn listed(session: &mut Session, path: &str) -> Option<FileKind> {
    let (folder, name) = path.trim_end_matches('/').rsplit_once('/')?;
    let folder = if folder.is_empty() { "/" } else { folder };
    let options = ListOptions { recursive: false, hidden: true, pattern: None };
    let entries = session.list(folder, &options).await.ok()?;
    entries.into_iter().find(|entry| entry.path == name).map(|entry| entry.kind)
}

/// The first directory among what a remote pattern matches: one listing where the last name alone is a pattern, else a glob and a
/// listing for each folder with matches.
async fn matching_directory(session: &mut Session, pattern: &str, follow: bool) -> Result<Option<String>, Failure> {
    let (folder, name) = pattern.trim_end_matches('/').rsplit_once('/').unwrap_or(("", pattern));
    let mut folders: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    if is_pattern(folder) || name.contains("**") {
        for path in session.glob(pattern).await? {
            if let Some((folder, name)) = path.rsplit_once('/') {
                folders.entry(folder.to_owned()).or_default().get_or_insert_default().push(name.to_owned());
            }
        }
    } else {
        folders.insert(folder.to_owned(), None);
    }
    for (folder, names) in folders {
        let options = ListOptions {
            recursive: false,
            hidden: names.is_some(),
            pattern: names.is_none().then(|| name.to_owned()),
        };
        let listed = session.list(if folder.is_empty() { "/" } else { &folder }, &options).await;
        let mut entries = match listed {
            Ok(entries) => entries,
            Err(error) if error.plugin_kind() == Some(types::ErrorKind::NotFound) => continue,
            Err(error) => return Err(error.into()),
        };
        entries.retain(|entry| names.as_ref().is_none_or(|names| names.contains(&entry.path)));
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        for entry in entries {
            let path = format!("{folder}/{}", entry.path);
            let directory = match entry.kind {
                FileKind::Directory => true,
                FileKind::Symlink if follow => {
                    session.stat(&path).await.is_ok_and(|stat| stat.kind == FileKind::Directory)
                }
                _ => false,
            };
            if directory {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

fn options(arguments: &Transfer) -> TransferOptions {
    TransferOptions {
        overwrite: match arguments.overwrite {
            Overwrite::Replace => OverwritePolicy::Replace,
            Overwrite::Fail => OverwritePolicy::Fail,
            Overwrite::Skip => OverwritePolicy::Skip,
        },
        dereference: !arguments.no_dereference,
        ignore_nonexisting: arguments.ignore_missing,
        parents: arguments.parents,
        verify: match (arguments.verify, arguments.no_verify) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        size: None,
        mode: arguments.mode,
    }
}

pub(crate) fn nothing() -> TransferSummary {
    TransferSummary { files: 0, directories: 0, bytes: 0, skipped: 0, verified: Verification::Checksum }
}

pub(crate) fn add(total: &mut TransferSummary, one: TransferSummary) {
    let rank = |verification| match verification {
        Verification::None => 0,
        Verification::Size => 1,
        Verification::Checksum => 2,
    };
    total.files += one.files;
    total.directories += one.directories;
    total.bytes += one.bytes;
    total.skipped += one.skipped;
    // All together are as sure as the least sure of them.
    if rank(one.verified) < rank(total.verified) {
        total.verified = one.verified;
    }
}

fn summary(total: &TransferSummary) -> String {
    let mut text = format!("{} {}", total.files, if total.files == 1 { "file" } else { "files" });
    if total.directories > 0 {
        text +=
            &format!(", {} {}", total.directories, if total.directories == 1 { "directory" } else { "directories" });
    }
    text += &format!(", {}", bytes(total.bytes));
    if total.skipped > 0 {
        text += &format!(", {} skipped", total.skipped);
    }
    match total.verified {
        Verification::None => text,
        Verification::Size => text + ", verified by size",
        Verification::Checksum => text + ", verified by checksum",
    }
}

pub(crate) async fn cat(context: &Context, paths: &[String]) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let mut documents = Vec::new();
    for path in paths {
        let content = match session.read(path, 0, None).await {
            Err(error) if too_large(&error) && !context.output.is_json() => {
                large(context, &mut session, path).await?;
                continue;
            }
            content => content?,
        };
        if context.output.is_json() {
            // Text that is not UTF-8 cannot be in JSON as it is.
            documents.push(match String::from_utf8(content) {
                Ok(text) => json!({"path": path, "text": text}),
                Err(error) => json!({"path": path, "bytes": error.into_bytes()}),
            });
        } else {
            context.output.bytes(&content)?;
        }
    }
    if context.output.is_json() { context.output.document(&Value::Array(documents)) } else { Ok(()) }
}

fn too_large(error: &Error) -> bool {
    error.plugin_kind() == Some(types::ErrorKind::TooLarge)
}

/// A file past the direct limit comes by way of a temporary file.
async fn large(context: &Context, session: &mut Session, path: &str) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| Error::io(std::env::temp_dir(), error))?;
    let local = folder.path().join("file");
    session.get(path, &local, &TransferOptions::default()).await?;
    let failed = |error| Failure::Error(Error::io(&local, error));
    let mut file = std::fs::File::open(&local).map_err(failed)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(()),
            count => context.output.bytes(&buffer[..count])?,
        }
    }
}

pub(crate) async fn chmod(context: &Context, mode: u32, paths: &[String]) -> Result<(), Failure> {
    let mut session = context.session().await?;
    for path in paths {
        session.chmod(path, mode).await?;
    }
    context.output.answer(|| json!({"changed": paths, "mode": mode}), String::new)
}

pub(crate) async fn checksum(context: &Context, paths: &[String]) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let mut sums = Vec::new();
    for path in paths {
        sums.push((path, session.checksum(path).await?));
    }
    let document = || Value::Array(sums.iter().map(|(path, sum)| json!({"path": path, "sha256": sum})).collect());
    let lines = || sums.iter().map(|(path, sum)| format!("{sum}  {}", shown(path))).collect::<Vec<_>>().join("\n");
    context.output.answer(document, lines)
}
