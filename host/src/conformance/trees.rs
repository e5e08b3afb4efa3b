//! Folders and patterns between the two machines.

use super::bench::{Bench, keeping_links, local_content, local_link, local_mode, local_names, noise};
use super::judge::{Finding, Judge, Outcome, Step, holds, same};
use super::{Behaviour, behaviour};
use crate::transport::{OverwritePolicy, TransferOptions, TransferSummary, Verification};
use crate::types::ErrorKind;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!(
        "put",
        of_a_folder_and_back_is_the_same,
        "A folder goes and comes back the same: empty files and folders, hidden names, modes, links",
        queued
    ),
    behaviour!(
        "put",
        of_a_folder_counts,
        "A folder's summary counts its files, directories and bytes, both ways",
        queued
    ),
    behaviour!(
        "put",
        of_a_folder_becomes_the_target_or_an_entry_of_it,
        "A folder becomes the target, or an entry of it where that is a directory already",
        queued
    ),
    behaviour!(
        "put",
        of_a_folder_onto_a_file_is_not_a_directory,
        "A folder onto a file is not-a-directory, and the file stays",
        queued
    ),
    behaviour!(
        "put",
        of_a_folder_without_its_parent_is_not_found,
        "A folder into a missing directory is not-found, unless parents are to be made",
        queued
    ),
    behaviour!(
        "put",
        of_a_folder_merges_by_policy,
        "A folder that is there is merged into; files that are there are replaced, skipped or refused as asked",
        queued
    ),
    behaviour!(
        "put",
        of_a_folder_follows_links_when_asked,
        "With dereference what symlinks point to is moved, without it the symlinks",
        queued
    ),
    behaviour!(
        "put",
        of_a_circle_is_refused,
        "Symlinks that lead in a circle are an error when they are to be followed, and end",
        queued
    ),
    behaviour!(
        "put",
        of_hostile_names_in_a_folder,
        "In a folder every name goes and comes: quotes, newlines, shell code, dashes",
        queued
    ),
    behaviour!(
        "put",
        of_a_pattern_moves_what_matches,
        "A local pattern moves what matches, and is not-found where nothing does",
        queued
    ),
    behaviour!("put", of_a_folder_can_be_verified, "A folder can be verified by checksums, both ways", queued),
    behaviour!(
        "get",
        of_a_folder_becomes_the_target_or_an_entry_of_it_too,
        "A remote folder becomes the local target, or an entry of it where that is a folder already",
        queued
    ),
    behaviour!(
        "get",
        of_a_folder_onto_a_file_is_not_a_directory_too,
        "A remote folder onto a local file is not-a-directory, and the file stays",
        queued
    ),
    behaviour!(
        "get",
        of_a_pattern_brings_what_matches,
        "A remote pattern brings what matches, and is not-found where nothing does",
        queued
    ),
    behaviour!(
        "get",
        of_a_pattern_needs_a_folder,
        "What matches a pattern goes into a folder that is there, else it is not-a-directory or not-found",
        queued
    ),
    behaviour!(
        "get",
        of_a_folder_merges_by_policy_too,
        "A local folder is merged into; files that are there are replaced, skipped or refused as asked",
        queued
    ),
];

/// Everything below a local folder: what it is, its bits, its bytes or its target.
fn picture(root: &Path) -> Step<BTreeMap<String, String>> {
    let failed = |error: std::io::Error| Finding::Undecided(format!("a look at {}: {error}", root.display()));
    let (mut all, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let metadata = fs::symlink_metadata(&path).map_err(failed)?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let what = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).map_err(failed)?.display())
            } else if metadata.is_dir() {
                open.push(path);
                "directory".to_owned()
            } else {
                let bytes = fs::read(&path).map_err(failed)?;
                format!("file {:o}, {}", mode(&metadata), super::bytes::sha256(&bytes))
            };
            all.insert(name, what);
        }
    }
    Ok(all)
}

#[cfg(unix)]
fn mode(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_metadata: &fs::Metadata) -> u32 {
    0
}

/// A local folder `name` with what a calculation may hold.
fn tree(b: &Bench, name: &str) -> Step<PathBuf> {
    let root = b.local_folder(name)?;
    b.local_folder(&format!("{name}/empty folder"))?;
    b.local_folder(&format!("{name}/.hidden/deeper"))?;
    b.local_file(&format!("{name}/.hidden/deeper/.x"), b"hidden")?;
    b.local_file(&format!("{name}/empty"), b"")?;
    b.local_file(&format!("{name}/binary"), &noise(50_000))?;
    b.local_file_with(&format!("{name}/script.sh"), b"#!/bin/sh\n", 0o755)?;
    b.local_file_with(&format!("{name}/private"), b"p", 0o600)?;
    Ok(root)
}

async fn put(b: &mut Bench, local: &Path, remote: &str, options: &TransferOptions) -> Step<TransferSummary> {
    b.session.put(local, remote, options).await.done(format!("put of {} to {remote}", local.display()))
}

async fn get(b: &mut Bench, remote: &str, local: &Path, options: &TransferOptions) -> Step<TransferSummary> {
    b.session.get(remote, local, options).await.done(format!("get of {remote} to {}", local.display()))
}

/// Puts a folder, gets it again and compares the two.
async fn round_trip(b: &mut Bench, source: &Path, options: &TransferOptions) -> Outcome {
    let (remote, back) = (b.remote("tree"), b.local("back"));
    put(b, source, &remote, options).await?;
    get(b, &remote, &back, options).await?;
    let (there, here) = (picture(source)?, picture(&back)?);
    for (name, what) in &there {
        same(format!("{name:?} after the way there and back"), here.get(name), Some(what))?;
    }
    same("the number of names", here.len(), there.len())
}

async fn of_a_folder_and_back_is_the_same(b: &mut Bench) -> Outcome {
    let source = tree(b, "source")?;
    local_link("empty", &source.join("link"))?;
    local_link("empty folder", &source.join("link to folder"))?;
    local_link("nowhere", &source.join("dangling"))?;
    round_trip(b, &source, &keeping_links()).await
}

async fn of_a_folder_counts(b: &mut Bench) -> Outcome {
    let (source, remote) = (tree(b, "source")?, b.remote("tree"));
    let put = put(b, &source, &remote, &TransferOptions::default()).await?;
    let got = get(b, &remote, &b.local("back"), &TransferOptions::default()).await?;
    for (way, summary) in [("put", put), ("get", got)] {
        let counted = (summary.files, summary.directories, summary.bytes, summary.skipped);
        same(format!("files, directories, bytes, skipped of {way}"), counted, (5, 4, 50_017, 0))?;
    }
    Ok(())
}

async fn of_a_folder_becomes_the_target_or_an_entry_of_it(b: &mut Bench) -> Outcome {
    let (source, target) = (b.local_folder("tree")?, b.remote("target"));
    b.local_file("tree/a", b"1")?;
    put(b, &source, &target, &TransferOptions::default()).await?;
    b.names(&target, &["a"]).await?;
    put(b, &source, &target, &TransferOptions::default()).await?;
    b.names(&target, &["a", "tree"]).await?;
    b.content(&format!("{target}/tree/a"), b"1").await
}

async fn of_a_folder_onto_a_file_is_not_a_directory(b: &mut Bench) -> Outcome {
    let (source, file) = (tree(b, "tree")?, b.file("file", b"kept").await?);
    let did = format!("put of a folder onto {file}, a file");
    b.session.put(&source, &file, &TransferOptions::default()).await.refused(did, &[ErrorKind::NotADirectory])?;
    b.content(&file, b"kept").await
}

async fn of_a_folder_without_its_parent_is_not_found(b: &mut Bench) -> Outcome {
    let (source, target) = (b.local_folder("tree")?, b.remote("no/such/place"));
    b.local_file("tree/a", b"1")?;
    let did = format!("put of a folder to {target} without parents");
    b.session.put(&source, &target, &TransferOptions::default()).await.refused(did, &[ErrorKind::NotFound])?;
    b.gone(&b.remote("no")).await?;
    put(b, &source, &target, &TransferOptions { parents: true, ..TransferOptions::default() }).await?;
    b.content(&format!("{target}/a"), b"1").await
}

fn with(overwrite: OverwritePolicy) -> TransferOptions {
    TransferOptions { overwrite, ..TransferOptions::default() }
}

async fn of_a_folder_merges_by_policy(b: &mut Bench) -> Outcome {
    let source = b.local_folder("tree")?;
    b.local_file("tree/a", b"new")?;
    b.local_file("tree/b", b"new")?;
    let target = b.directory("tree").await?;
    let old = b.file("tree/a", b"old").await?;
    b.file("tree/kept", b"kept").await?;
    let folder = b.folder();
    let did = "put of a folder onto one that is there, with fail";
    b.session.put(&source, &folder, &with(OverwritePolicy::Fail)).await.refused(did, &[ErrorKind::AlreadyExists])?;
    b.content(&old, b"old").await?;
    let summary = put(b, &source, &folder, &with(OverwritePolicy::Skip)).await?;
    same("files and skipped with skip", (summary.files, summary.skipped), (1, 1))?;
    b.content(&old, b"old").await?;
    put(b, &source, &folder, &with(OverwritePolicy::Replace)).await?;
    b.content(&old, b"new").await?;
    b.names(&target, &["a", "b", "kept"]).await
}

async fn of_a_folder_follows_links_when_asked(b: &mut Bench) -> Outcome {
    let (source, remote) = (b.local_folder("tree")?, b.remote("tree"));
    b.local_folder("tree/sub")?;
    b.local_file("tree/sub/x", b"x")?;
    local_link("sub", &source.join("folder link"))?;
    local_link("sub/x", &source.join("file link"))?;
    put(b, &source, &remote, &TransferOptions::default()).await?;
    use crate::types::FileKind::{Directory, Regular, Symlink};
    for (name, kind) in [("folder link", Directory), ("file link", Regular)] {
        let path = format!("{remote}/{name}");
        same(format!("the kind of {path}"), b.session.lstat(&path).await.done(format!("lstat of {path}"))?.kind, kind)?;
    }
    b.content(&format!("{remote}/folder link/x"), b"x").await?;
    let kept = b.remote("kept");
    put(b, &source, &kept, &keeping_links()).await?;
    let path = format!("{kept}/folder link");
    same(format!("the kind of {path}"), b.session.lstat(&path).await.done(format!("lstat of {path}"))?.kind, Symlink)
}

async fn of_a_circle_is_refused(b: &mut Bench) -> Outcome {
    let (source, remote) = (b.local_folder("tree")?, b.remote("tree"));
    b.local_file("tree/a", b"1")?;
    local_link(".", &source.join("circle"))?;
    let did = "put of a folder with a symlink to itself, to be followed";
    b.session
        .put(&source, &remote, &TransferOptions::default())
        .await
        .refused(did, &[ErrorKind::InvalidArgument])
        .map(drop)
}

/// Names that shells, forms and listings trip over.
const HOSTILE: [&str; 24] = [
    "it's",
    "say \"hi\"",
    "a&b<c>d",
    "$HOME",
    "`id`",
    "$(id)",
    "new\nline",
    "tab\t",
    "back\\slash",
    "-rf",
    "--help",
    " lead",
    "trail ",
    "ünï €",
    "*",
    "?",
    "[a]",
    "semi;colon",
    "%20",
    "#",
    "~",
    "a=b",
    "...",
    "\u{1F600}",
];

async fn of_hostile_names_in_a_folder(b: &mut Bench) -> Outcome {
    let source = b.local_folder("source")?;
    for name in HOSTILE {
        b.local_file(&format!("source/{name}"), name.as_bytes())?;
    }
    b.local_file(&format!("source/{}", "n".repeat(255)), b"the longest name")?;
    round_trip(b, &source, &keeping_links()).await
}

async fn of_a_pattern_moves_what_matches(b: &mut Bench) -> Outcome {
    let (source, target) = (b.local_folder("source")?, b.directory("target").await?);
    for name in ["a.txt", "b.txt", "c.dat"] {
        b.local_file(&format!("source/{name}"), name.as_bytes())?;
    }
    let summary = put(b, &source.join("*.txt"), &target, &TransferOptions::default()).await?;
    same("files", summary.files, 2)?;
    b.names(&target, &["a.txt", "b.txt"]).await?;
    let none = b.session.put(source.join("*.none"), &target, &TransferOptions::default()).await;
    none.refused("put of a pattern that matches nothing", &[ErrorKind::NotFound]).map(drop)
}

async fn of_a_folder_can_be_verified(b: &mut Bench) -> Outcome {
    let (source, remote) = (tree(b, "source")?, b.remote("tree"));
    let verify = TransferOptions { verify: Some(true), ..TransferOptions::default() };
    let put = put(b, &source, &remote, &verify).await?;
    let got = get(b, &remote, &b.local("back"), &verify).await?;
    same("how both were verified", (put.verified, got.verified), (Verification::Checksum, Verification::Checksum))
}

async fn of_a_folder_becomes_the_target_or_an_entry_of_it_too(b: &mut Bench) -> Outcome {
    let (remote, local) = (b.directory("tree").await?, b.local("target"));
    b.file("tree/a", b"1").await?;
    get(b, &remote, &local, &TransferOptions::default()).await?;
    local_names(&local, &["a"])?;
    get(b, &remote, &local, &TransferOptions::default()).await?;
    local_names(&local, &["a", "tree"])?;
    local_content(&local.join("tree/a"), b"1")
}

async fn of_a_folder_onto_a_file_is_not_a_directory_too(b: &mut Bench) -> Outcome {
    let (remote, local) = (b.directory("tree").await?, b.local_file("file", b"kept")?);
    b.file("tree/a", b"1").await?;
    let got = b.session.get(&remote, &local, &TransferOptions::default()).await;
    got.refused("get of a folder onto a local file", &[ErrorKind::NotADirectory])?;
    local_content(&local, b"kept")
}

async fn three_files(b: &mut Bench) -> Step<String> {
    let remote = b.directory("source").await?;
    for name in ["a.txt", "b.txt", "c.dat"] {
        b.file(&format!("source/{name}"), name.as_bytes()).await?;
    }
    Ok(remote)
}

async fn of_a_pattern_brings_what_matches(b: &mut Bench) -> Outcome {
    let (remote, local) = (three_files(b).await?, b.local_folder("target")?);
    let summary = get(b, &format!("{remote}/*.txt"), &local, &TransferOptions::default()).await?;
    same("files", summary.files, 2)?;
    local_names(&local, &["a.txt", "b.txt"])?;
    local_content(&local.join("b.txt"), b"b.txt")?;
    let none = format!("{remote}/*.none");
    let got = b.session.get(&none, &local, &TransferOptions::default()).await;
    got.refused(format!("get of {none}"), &[ErrorKind::NotFound])?;
    let ignore = TransferOptions { ignore_nonexisting: true, ..TransferOptions::default() };
    same("files of nothing", get(b, &none, &local, &ignore).await?.files, 0)
}

async fn of_a_pattern_needs_a_folder(b: &mut Bench) -> Outcome {
    let remote = format!("{}/*.txt", three_files(b).await?);
    let got = b.session.get(&remote, b.local("missing"), &TransferOptions::default()).await;
    // The contract names no kind for it: both are true.
    let kinds = [ErrorKind::NotADirectory, ErrorKind::NotFound];
    got.refused(format!("get of {remote} to a missing folder"), &kinds).map(drop)
}

async fn of_a_folder_merges_by_policy_too(b: &mut Bench) -> Outcome {
    let remote = b.directory("tree").await?;
    b.file("tree/a", b"new").await?;
    b.file("tree/b", b"new").await?;
    let (folder, old) = (b.local_folder("down/tree")?, b.local_file("down/tree/a", b"old")?);
    b.local_file("down/tree/kept", b"kept")?;
    let down = b.local("down");
    let did = "get of a folder onto one that is there, with fail";
    b.session.get(&remote, &down, &with(OverwritePolicy::Fail)).await.refused(did, &[ErrorKind::AlreadyExists])?;
    local_content(&old, b"old")?;
    let summary = get(b, &remote, &down, &with(OverwritePolicy::Skip)).await?;
    same("files and skipped with skip", (summary.files, summary.skipped), (1, 1))?;
    local_content(&old, b"old")?;
    get(b, &remote, &down, &with(OverwritePolicy::Replace)).await?;
    local_content(&old, b"new")?;
    local_names(&folder, &["a", "b", "kept"])?;
    local_mode(&old, mode(&fs::metadata(folder.join("b")).map_err(|e| Finding::Undecided(e.to_string()))?))?;
    holds("the folder", folder.is_dir(), "a folder", &folder)
}
