//! Single files between the two machines: `put`, `get`.

use super::bench::{
    Bench, keeping_links, local_content, local_file_id, local_link, local_mode, local_names, noise, nothing_at,
};
use super::judge::{Judge, Outcome, holds, lacks, same};
use super::{Behaviour, behaviour};
use crate::transport::{OverwritePolicy, TransferOptions, Verification};
use crate::types::ErrorKind;

pub(super) const PUT: &[Behaviour] = &[
    behaviour!("put", brings_content_and_mode, "Content and permission bits arrive: of no byte, one, a MiB"),
    behaviour!("put", sets_the_mode_that_is_given, "The mode given wins over the file's"),
    behaviour!(
        "put",
        goes_into_a_directory,
        "A file goes into a directory that is there, under its own name, through a symlink too"
    ),
    behaviour!("put", replaces_by_default, "An old target is replaced"),
    behaviour!(
        "put",
        fails_or_skips_as_asked,
        "With `fail` an old target is already-exists, with `skip` it is left and counted; new ones are made by both"
    ),
    behaviour!(
        "put",
        looks_in_the_directory_for_its_policy,
        "Into a directory the overwrite policy is about the file in it"
    ),
    behaviour!("put", makes_parents_only_when_asked, "Missing parents are not-found, and made with the flag"),
    behaviour!(
        "put",
        of_a_missing_file_is_not_found,
        "A missing source is not-found, and nothing at all where it may be missing"
    ),
    behaviour!(
        "put",
        verifies_when_asked,
        "With `verify` the checksums are compared, and that is what the summary says"
    ),
    behaviour!("put", of_a_link_itself, "With dereference off a symlink arrives as a symlink", queued),
    behaviour!("put", from_outside_is_denied, "A local path outside every granted folder is permission-denied"),
    behaviour!(
        "put",
        into_a_closed_directory_is_denied,
        "A target in a directory that may not be written to is permission-denied"
    ),
    behaviour!(
        "put",
        past_the_limit_arrives_whole,
        "A file past the upload limit arrives whole and verified, with its mode",
        queued
    ),
];

pub(super) const GET: &[Behaviour] = &[
    behaviour!("get", brings_content_and_mode_back, "Content and permission bits come: of no byte, one, a MiB"),
    behaviour!("get", sets_the_local_mode_that_is_given, "The mode given wins over the remote file's"),
    behaviour!("get", goes_into_a_folder, "A file goes into a local folder that is there, under its own name"),
    behaviour!(
        "get",
        replaces_in_one_step,
        "An old local file is replaced by another one, not written over, and nothing lies beside it"
    ),
    behaviour!(
        "get",
        fails_or_skips_locally_as_asked,
        "With `fail` an old local file is already-exists, with `skip` it is left and counted"
    ),
    behaviour!(
        "get",
        makes_local_parents_only_when_asked,
        "Missing local parents are an error, and made with the flag"
    ),
    behaviour!(
        "get",
        of_a_missing_remote_file_is_not_found,
        "A missing source is not-found, and nothing at all where it may be missing"
    ),
    behaviour!(
        "get",
        of_the_wrong_size_is_a_mismatch,
        "A size that is not the file's is checksum-mismatch, and nothing is left"
    ),
    behaviour!(
        "get",
        verifies_what_came_when_asked,
        "With `verify` the checksums are compared, and that is what the summary says"
    ),
    behaviour!("get", of_a_remote_link_itself, "With dereference off a symlink comes as a symlink"),
    behaviour!("get", to_outside_is_denied, "A local target outside every granted folder is permission-denied"),
    behaviour!(
        "get",
        of_a_closed_file_leaves_the_old_one,
        "A file that may not be read is permission-denied, and the old local file stays"
    ),
    behaviour!(
        "get",
        past_the_limit_comes_whole,
        "A file past the download limit comes whole and verified, with its mode",
        queued
    ),
];

const FAIL: OverwritePolicy = OverwritePolicy::Fail;
const SKIP: OverwritePolicy = OverwritePolicy::Skip;

fn plain() -> TransferOptions {
    TransferOptions::default()
}

async fn brings_content_and_mode(b: &mut Bench) -> Outcome {
    for (size, mode) in [(0, 0o644), (1, 0o755), (1024, 0o600), (b.a_mib(), 0o444)] {
        let (name, content) = (format!("of-{size}"), noise(size));
        let (local, remote) = (b.local_file_with(&name, &content, mode)?, b.remote(&name));
        let summary =
            b.session.put(&local, &remote, &plain()).await.done(format!("put of {size} bytes to {remote}"))?;
        same("files, bytes, skipped", (summary.files, summary.bytes, summary.skipped), (1, size as u64, 0))?;
        b.content(&remote, &content).await?;
        b.mode(&remote, mode).await?;
    }
    Ok(())
}

async fn sets_the_mode_that_is_given(b: &mut Bench) -> Outcome {
    let (local, remote) = (b.local_file_with("file", b"1", 0o755)?, b.remote("file"));
    let options = TransferOptions { mode: Some(0o640), ..plain() };
    b.session.put(&local, &remote, &options).await.done(format!("put to {remote}, mode 640"))?;
    b.mode(&remote, 0o640).await
}

async fn goes_into_a_directory(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    let link = b.link("d", "link").await?;
    for (name, content, target) in [
        ("a", b"abc".as_slice(), directory.clone()),
        ("empty", b"", directory.clone()),
        ("c", b"1", format!("{link}/")),
    ] {
        let local = b.local_file(name, content)?;
        b.session.put(&local, &target, &plain()).await.done(format!("put of {name} to {target}, a directory"))?;
        b.content(&format!("{directory}/{name}"), content).await?;
    }
    b.names(&directory, &["a", "c", "empty"]).await
}

async fn replaces_by_default(b: &mut Bench) -> Outcome {
    let (local, remote) = (b.local_file("file", b"new")?, b.file("file", b"much longer old content").await?);
    b.session.put(&local, &remote, &plain()).await.done(format!("put to {remote}, which is there"))?;
    b.content(&remote, b"new").await
}

async fn fails_or_skips_as_asked(b: &mut Bench) -> Outcome {
    let (local, remote) = (b.local_file("file", b"new")?, b.file("file", b"old").await?);
    let (fail, skip) = (TransferOptions { overwrite: FAIL, ..plain() }, TransferOptions { overwrite: SKIP, ..plain() });
    let did = format!("put to {remote}, which is there, with fail");
    b.session.put(&local, &remote, &fail).await.refused(did, &[ErrorKind::AlreadyExists])?;
    let summary = b.session.put(&local, &remote, &skip).await.done(format!("put to {remote} with skip"))?;
    same("files and skipped", (summary.files, summary.skipped), (0, 1))?;
    b.content(&remote, b"old").await?;
    for (name, options) in [("one", fail), ("two", skip)] {
        let free = b.remote(name);
        let summary =
            b.session.put(&local, &free, &options).await.done(format!("put to {free}, which is not there"))?;
        same("files and skipped", (summary.files, summary.skipped), (1, 0))?;
        b.content(&free, b"new").await?;
    }
    Ok(())
}

async fn looks_in_the_directory_for_its_policy(b: &mut Bench) -> Outcome {
    let (local, directory) = (b.local_file("file", b"new")?, b.directory("d").await?);
    let fail = TransferOptions { overwrite: FAIL, ..plain() };
    b.session.put(&local, &directory, &fail).await.done(format!("put into {directory} with fail"))?;
    b.content(&format!("{directory}/file"), b"new").await?;
    let did = format!("put into {directory} with fail once more");
    b.session.put(&local, &directory, &fail).await.refused(did, &[ErrorKind::AlreadyExists]).map(drop)
}

async fn makes_parents_only_when_asked(b: &mut Bench) -> Outcome {
    for (name, content) in [("file", b"abc".as_slice()), ("empty", b"")] {
        let (local, remote) = (b.local_file(name, content)?, b.remote(&format!("{name}-a/b/file")));
        let did = format!("put to {remote} without parents");
        b.session.put(&local, &remote, &plain()).await.refused(did, &[ErrorKind::NotFound])?;
        b.gone(&b.remote(&format!("{name}-a"))).await?;
        let parents = TransferOptions { parents: true, ..plain() };
        b.session.put(&local, &remote, &parents).await.done(format!("put to {remote} with parents"))?;
        b.content(&remote, content).await?;
    }
    Ok(())
}

async fn of_a_missing_file_is_not_found(b: &mut Bench) -> Outcome {
    let (local, remote) = (b.local("missing"), b.remote("target"));
    let error =
        b.session.put(&local, &remote, &plain()).await.refused("put of a missing file", &[ErrorKind::NotFound])?;
    same("the error's subject", error.subject.as_deref(), local.to_str())?;
    let ignore = TransferOptions { ignore_nonexisting: true, ..plain() };
    let summary = b.session.put(&local, &remote, &ignore).await.done("put of a file that may be missing")?;
    same("files", summary.files, 0)?;
    b.gone(&remote).await
}

async fn verifies_when_asked(b: &mut Bench) -> Outcome {
    let verify = TransferOptions { verify: Some(true), ..plain() };
    for (name, content) in [("file", b"abc".as_slice()), ("empty", b"")] {
        let (local, remote) = (b.local_file(name, content)?, b.remote(name));
        let summary = b.session.put(&local, &remote, &verify).await.done(format!("verified put to {remote}"))?;
        same("how it was verified", summary.verified, Verification::Checksum)?;
    }
    Ok(())
}

async fn of_a_link_itself(b: &mut Bench) -> Outcome {
    let (link, remote) = (b.local("link"), b.remote("there"));
    local_link("no/where at all", &link)?;
    b.session.put(&link, &remote, &keeping_links()).await.done(format!("put of a symlink to {remote}"))?;
    let told = b.session.read_link(&remote).await.done(format!("read-link of {remote}"))?;
    same(format!("read-link of {remote}"), told.as_str(), "no/where at all")?;
    let did = "put of a dangling symlink that is to be followed";
    b.session.put(&link, &b.remote("other"), &plain()).await.refused(did, &[ErrorKind::NotFound]).map(drop)
}

async fn from_outside_is_denied(b: &mut Bench) -> Outcome {
    let (outside, remote) = (std::env::current_exe().unwrap_or_else(|_| "/etc/passwd".into()), b.remote("file"));
    let did = format!("put of {}", outside.display());
    b.session.put(&outside, &remote, &plain()).await.refused(did, &[ErrorKind::PermissionDenied])?;
    b.gone(&remote).await
}

async fn into_a_closed_directory_is_denied(b: &mut Bench) -> Outcome {
    let (local, directory) = (b.local_file("file", b"1")?, b.directory("closed").await?);
    b.close(&directory).await?;
    let remote = format!("{directory}/file");
    b.session
        .put(&local, &remote, &plain())
        .await
        .refused(format!("put to {remote}"), &[ErrorKind::PermissionDenied])
        .map(drop)
}

async fn past_the_limit_arrives_whole(b: &mut Bench) -> Outcome {
    let limit = b.limit_within_reach(|system| system.upload_limit, "upload limit")?;
    let content = noise(usize::try_from(limit).unwrap_or_default() + 1);
    let (local, remote) = (b.local_file_with("large", &content, 0o750)?, b.remote("large"));
    let verify = TransferOptions { verify: Some(true), ..plain() };
    let did = format!("put of {} bytes to {remote}", content.len());
    let summary = match b.session.put(&local, &remote, &verify).await {
        Err(error) if error.plugin_kind() == Some(ErrorKind::TooLarge) && no_way_for_large_files(b) => {
            return Err(lacks("the system has no way for larger files"));
        }
        other => other.done(&did)?,
    };
    same(
        "bytes and how they were verified",
        (summary.bytes, summary.verified),
        (content.len() as u64, Verification::Checksum),
    )?;
    let sum = b.session.checksum(&remote).await.done(format!("checksum of {remote}"))?;
    same(format!("the checksum of {remote}"), sum, super::bytes::sha256(&content))?;
    b.mode(&remote, 0o750).await
}

fn no_way_for_large_files(b: &Bench) -> bool {
    b.shared.system().is_some_and(|system| system.transfer_method.is_none())
}

async fn brings_content_and_mode_back(b: &mut Bench) -> Outcome {
    for (size, mode) in [(0, 0o644), (1, 0o755), (1024, 0o600), (b.a_mib(), 0o440)] {
        let (name, content) = (format!("of-{size}"), noise(size));
        let (remote, local) = (b.file(&name, &content).await?, b.local(&name));
        b.session.chmod(&remote, mode).await.done(format!("chmod of {remote} to {mode:o}"))?;
        b.mode(&remote, mode).await?;
        let summary = b.session.get(&remote, &local, &plain()).await.done(format!("get of {remote}"))?;
        same("files, bytes, skipped", (summary.files, summary.bytes, summary.skipped), (1, size as u64, 0))?;
        local_content(&local, &content)?;
        local_mode(&local, mode)?;
    }
    Ok(())
}

async fn sets_the_local_mode_that_is_given(b: &mut Bench) -> Outcome {
    let (remote, local) = (b.file("file", b"1").await?, b.local("file"));
    let options = TransferOptions { mode: Some(0o700), ..plain() };
    b.session.get(&remote, &local, &options).await.done(format!("get of {remote}, mode 700"))?;
    local_mode(&local, 0o700)
}

async fn goes_into_a_folder(b: &mut Bench) -> Outcome {
    let (remote, folder) = (b.file("file", b"abc").await?, b.local_folder("d")?);
    b.session.get(&remote, &folder, &plain()).await.done(format!("get of {remote} into a folder"))?;
    local_content(&folder.join("file"), b"abc")?;
    local_names(&folder, &["file"])
}

async fn replaces_in_one_step(b: &mut Bench) -> Outcome {
    let (remote, folder) = (b.file("file", b"new").await?, b.local_folder("d")?);
    let local = b.local_file("d/file", b"a longer old one")?;
    let before = local_file_id(&local);
    b.session.get(&remote, &local, &plain()).await.done(format!("get of {remote} over an old file"))?;
    local_content(&local, b"new")?;
    local_names(&folder, &["file"])?;
    let after = local_file_id(&local);
    holds("the local file", after.is_none() || after != before, "another file than before", &"the same inode")
}

async fn fails_or_skips_locally_as_asked(b: &mut Bench) -> Outcome {
    let (remote, local) = (b.file("file", b"new").await?, b.local_file("file", b"old")?);
    let (fail, skip) = (TransferOptions { overwrite: FAIL, ..plain() }, TransferOptions { overwrite: SKIP, ..plain() });
    let did = "get over an old file with fail";
    b.session.get(&remote, &local, &fail).await.refused(did, &[ErrorKind::AlreadyExists])?;
    let summary = b.session.get(&remote, &local, &skip).await.done("get over an old file with skip")?;
    same("files and skipped", (summary.files, summary.skipped), (0, 1))?;
    local_content(&local, b"old")?;
    let free = b.local("free");
    b.session.get(&remote, &free, &fail).await.done("get to a free name with fail")?;
    local_content(&free, b"new")
}

async fn makes_local_parents_only_when_asked(b: &mut Bench) -> Outcome {
    let (remote, local) = (b.file("file", b"abc").await?, b.local("a/b/file"));
    let did = "get into a missing folder without parents";
    b.session.get(&remote, &local, &plain()).await.refused(did, &[ErrorKind::NotFound])?;
    nothing_at(&b.local("a"))?;
    let parents = TransferOptions { parents: true, ..plain() };
    b.session.get(&remote, &local, &parents).await.done("get into a missing folder with parents")?;
    local_content(&local, b"abc")
}

async fn of_a_missing_remote_file_is_not_found(b: &mut Bench) -> Outcome {
    let (remote, folder) = (b.remote("missing"), b.local_folder("d")?);
    let local = folder.join("file");
    let error =
        b.session.get(&remote, &local, &plain()).await.refused(format!("get of {remote}"), &[ErrorKind::NotFound])?;
    same("the error's subject", error.subject.as_deref(), Some(remote.as_str()))?;
    let ignore = TransferOptions { ignore_nonexisting: true, ..plain() };
    let summary = b.session.get(&remote, &local, &ignore).await.done("get of a file that may be missing")?;
    same("files", summary.files, 0)?;
    local_names(&folder, &[])
}

async fn of_the_wrong_size_is_a_mismatch(b: &mut Bench) -> Outcome {
    let (remote, folder) = (b.file("file", b"abc").await?, b.local_folder("d")?);
    for size in [0, 2, 4] {
        let told = TransferOptions { size: Some(size), ..plain() };
        let did = format!("get of {remote}, three bytes, told to be {size}");
        b.session.get(&remote, folder.join("file"), &told).await.refused(did, &[ErrorKind::ChecksumMismatch])?;
        local_names(&folder, &[])?;
    }
    let told = TransferOptions { size: Some(3), ..plain() };
    b.session.get(&remote, folder.join("file"), &told).await.done(format!("get of {remote}, told to be 3"))?;
    local_content(&folder.join("file"), b"abc")
}

async fn verifies_what_came_when_asked(b: &mut Bench) -> Outcome {
    let verify = TransferOptions { verify: Some(true), ..plain() };
    for (name, content) in [("file", b"abc".as_slice()), ("empty", b"")] {
        let (remote, local) = (b.file(name, content).await?, b.local(name));
        let summary = b.session.get(&remote, &local, &verify).await.done(format!("verified get of {remote}"))?;
        same("how it was verified", summary.verified, Verification::Checksum)?;
        local_content(&local, content)?;
    }
    Ok(())
}

async fn of_a_remote_link_itself(b: &mut Bench) -> Outcome {
    let (remote, local) = (b.link("no/where at all", "link").await?, b.local("link"));
    b.session.get(&remote, &local, &keeping_links()).await.done(format!("get of {remote}, a symlink"))?;
    let target = std::fs::read_link(&local).map_err(|error| error.to_string());
    same("where the local symlink points", target, Ok("no/where at all".into()))?;
    let did = format!("get of {remote}, a dangling symlink that is to be followed");
    b.session.get(&remote, b.local("other"), &plain()).await.refused(did, &[ErrorKind::NotFound]).map(drop)
}

async fn to_outside_is_denied(b: &mut Bench) -> Outcome {
    let remote = b.file("file", b"1").await?;
    let outside = std::env::temp_dir().join(format!("{}-outside", b.shared.tag));
    let did = format!("get to {}", outside.display());
    b.session.get(&remote, &outside, &plain()).await.refused(did, &[ErrorKind::PermissionDenied])?;
    nothing_at(&outside)
}

async fn of_a_closed_file_leaves_the_old_one(b: &mut Bench) -> Outcome {
    let remote = b.file("closed", b"new").await?;
    b.close(&remote).await?;
    let (folder, local) = (b.local_folder("d")?, b.local_file("d/file", b"old")?);
    b.session
        .get(&remote, &local, &plain())
        .await
        .refused(format!("get of {remote}"), &[ErrorKind::PermissionDenied])?;
    local_content(&local, b"old")?;
    local_names(&folder, &["file"])
}

async fn past_the_limit_comes_whole(b: &mut Bench) -> Outcome {
    let limit = b.limit_within_reach(|system| system.download_limit, "download limit")?;
    let content = noise(usize::try_from(limit).unwrap_or_default() + 1);
    let (local, remote, back) = (b.local_file("large", &content)?, b.remote("large"), b.local("back"));
    let verify = TransferOptions { verify: Some(true), mode: Some(0o640), ..plain() };
    b.session.put(&local, &remote, &verify).await.done(format!("put of {} bytes to {remote}", content.len()))?;
    let options = TransferOptions { verify: Some(true), ..plain() };
    let summary = match b.session.get(&remote, &back, &options).await {
        Err(error) if error.plugin_kind() == Some(ErrorKind::TooLarge) && no_way_for_large_files(b) => {
            return Err(lacks("the system has no way for larger files"));
        }
        other => other.done(format!("get of {remote}"))?,
    };
    same(
        "bytes and how they were verified",
        (summary.bytes, summary.verified),
        (content.len() as u64, Verification::Checksum),
    )?;
    local_content(&back, &content)?;
    local_mode(&back, 0o640)
}
