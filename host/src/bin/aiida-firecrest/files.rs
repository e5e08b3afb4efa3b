//! Commands about files.

use crate::args::{Ls, Overwrite, Stat, Transfer};
use crate::context::{Context, absolute};
use crate::json;
use crate::output::{Failure, bytes, mode, shown, table, time};
use aiida_firecrest_host::transport::{
    Entry, ListOptions, OverwritePolicy, TransferOptions, TransferSummary, Verification,
};
use aiida_firecrest_host::{Error, Session, types};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

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
    let mut session = context.session().await?;
    let bar = context.follow(&mut session)?;
    let options = options(arguments);
    let mut total = nothing();
    for source in &arguments.sources {
        add(&mut total, session.put(absolute(Path::new(source))?, &arguments.target, &options).await?);
    }
    bar.finish_and_clear();
    context.output.answer(|| json::summary(&total), || summary(&total))
}

pub(crate) async fn get(context: &Context, arguments: &Transfer) -> Result<(), Failure> {
    let target = absolute(Path::new(&arguments.target))?;
    let mut session = context.session().await?;
    let bar = context.follow(&mut session)?;
    let options = options(arguments);
    let mut total = nothing();
    for source in &arguments.sources {
        add(&mut total, session.get(source, &target, &options).await?);
    }
    bar.finish_and_clear();
    context.output.answer(|| json::summary(&total), || summary(&total))
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

fn nothing() -> TransferSummary {
    TransferSummary { files: 0, directories: 0, bytes: 0, skipped: 0, verified: Verification::Checksum }
}

fn add(total: &mut TransferSummary, one: TransferSummary) {
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
        text += &format!(", {} directories", total.directories);
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
