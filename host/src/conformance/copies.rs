//! On the cluster and from session to session: `rename`, `copy`, `copy-to`.

use super::bench::{Bench, noise};
use super::judge::{Judge, Outcome, Step, same};
use super::{Behaviour, behaviour};
use crate::transport::{OverwritePolicy, TransferOptions, Verification};
use crate::types::{ErrorKind, FileKind};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("rename", moves_a_file, "A file is moved to a new name, with its content and mode", queued),
    behaviour!("rename", moves_a_directory, "A directory is moved with all in it", queued),
    behaviour!("rename", moves_a_link_itself, "A symlink is moved, not followed", queued),
    behaviour!("rename", replaces_nothing, "A new name that is taken is already-exists, and both files stay", queued),
    behaviour!("rename", of_a_missing_path_is_not_found, "Renaming what is not there is not-found", queued),
    behaviour!(
        "copy",
        of_a_file_is_another_file,
        "A file is copied with its mode, and the copy is a file of its own",
        queued
    ),
    behaviour!("copy", goes_into_a_directory, "A file is copied into a directory that is there", queued),
    behaviour!("copy", of_an_empty_file_is_empty, "An empty file is copied", queued),
    behaviour!(
        "copy",
        of_a_tree_keeps_or_follows_links,
        "A tree is copied with its symlinks, or with what they point to",
        queued
    ),
    behaviour!(
        "copy",
        of_a_tree_goes_into_a_directory,
        "A tree is copied into a directory that is there, under its own name",
        queued
    ),
    behaviour!("copy", of_a_pattern_goes_into_a_directory, "What matches a pattern is copied into a directory", queued),
    behaviour!(
        "copy",
        of_nothing_is_not_found,
        "Copying what is not there, or what nothing matches, is not-found",
        queued
    ),
    behaviour!(
        "copy",
        of_a_hostile_name_is_that_name,
        "A name with quotes and shell code is copied as that name",
        queued
    ),
    behaviour!(
        "copy-to",
        brings_a_file_to_another_session,
        "A file is copied to another session, with its mode, and verified",
        queued
    ),
    behaviour!("copy-to", brings_a_tree_to_another_session, "A tree is copied to another session", queued),
    behaviour!("copy-to", keeps_to_the_policy, "The overwrite policy holds for the other session's files", queued),
    behaviour!(
        "copy-to",
        of_a_missing_path_is_not_found_either,
        "Copying to another session what is not there is not-found",
        queued
    ),
];

async fn rename(b: &mut Bench, from: &str, to: &str) -> Outcome {
    b.session.rename(from, to).await.done(format!("rename of {from} to {to}"))
}

async fn copy(b: &mut Bench, from: &str, to: &str, dereference: bool) -> Outcome {
    b.session.copy(from, to, dereference).await.done(format!("copy of {from} to {to}, dereference {dereference}"))
}

async fn kind(b: &mut Bench, path: &str) -> Step<FileKind> {
    Ok(b.session.lstat(path).await.done(format!("lstat of {path}"))?.kind)
}

async fn moves_a_file(b: &mut Bench) -> Outcome {
    let (from, to) = (b.file("from", b"1").await?, b.remote("new & name"));
    b.session.chmod(&from, 0o750).await.done(format!("chmod of {from} to 750"))?;
    rename(b, &from, &to).await?;
    b.content(&to, b"1").await?;
    b.mode(&to, 0o750).await?;
    b.gone(&from).await
}

async fn moves_a_directory(b: &mut Bench) -> Outcome {
    let (from, to) = (b.directory("from").await?, b.remote("to"));
    b.file("from/file", b"1").await?;
    rename(b, &from, &to).await?;
    b.content(&format!("{to}/file"), b"1").await?;
    b.gone(&from).await
}

async fn moves_a_link_itself(b: &mut Bench) -> Outcome {
    let file = b.file("file", b"1").await?;
    let (from, to) = (b.link("file", "from").await?, b.remote("to"));
    rename(b, &from, &to).await?;
    same(
        format!("read-link of {to}"),
        b.session.read_link(&to).await.done(format!("read-link of {to}"))?.as_str(),
        "file",
    )?;
    b.content(&file, b"1").await
}

async fn replaces_nothing(b: &mut Bench) -> Outcome {
    let (from, taken) = (b.file("from", b"1").await?, b.file("taken", b"2").await?);
    let did = format!("rename of {from} to {taken}, which is there");
    b.session.rename(&from, &taken).await.refused(did, &[ErrorKind::AlreadyExists])?;
    b.content(&from, b"1").await?;
    b.content(&taken, b"2").await
}

async fn of_a_missing_path_is_not_found(b: &mut Bench) -> Outcome {
    let (from, to) = (b.remote("missing"), b.remote("to"));
    b.session.rename(&from, &to).await.refused(format!("rename of {from}"), &[ErrorKind::NotFound])?;
    b.gone(&to).await
}

async fn of_a_file_is_another_file(b: &mut Bench) -> Outcome {
    let (from, to) = (b.file("from", b"content").await?, b.remote("to"));
    b.session.chmod(&from, 0o750).await.done(format!("chmod of {from} to 750"))?;
    copy(b, &from, &to, true).await?;
    b.content(&to, b"content").await?;
    b.mode(&to, 0o750).await?;
    b.session.write(&to, b"changed", None).await.done(format!("write to {to}"))?;
    b.content(&from, b"content").await
}

async fn goes_into_a_directory(b: &mut Bench) -> Outcome {
    let (from, to) = (b.file("from", b"content").await?, b.directory("d").await?);
    copy(b, &from, &to, true).await?;
    b.content(&format!("{to}/from"), b"content").await
}

async fn of_an_empty_file_is_empty(b: &mut Bench) -> Outcome {
    let (from, to) = (b.file("from", b"").await?, b.remote("to"));
    copy(b, &from, &to, false).await?;
    b.content(&to, b"").await
}

async fn tree(b: &mut Bench) -> Step<String> {
    let tree = b.directory("tree").await?;
    b.file("tree/a", b"1").await?;
    b.directory("tree/sub").await?;
    b.file("tree/sub/.hidden", b"2").await?;
    b.link("a", "tree/link").await?;
    Ok(tree)
}

async fn of_a_tree_keeps_or_follows_links(b: &mut Bench) -> Outcome {
    let tree = tree(b).await?;
    for (name, dereference, expected) in [("kept", false, FileKind::Symlink), ("followed", true, FileKind::Regular)] {
        let to = b.remote(name);
        copy(b, &tree, &to, dereference).await?;
        b.content(&format!("{to}/sub/.hidden"), b"2").await?;
        let link = format!("{to}/link");
        same(format!("the kind of {link}"), kind(b, &link).await?, expected)?;
    }
    Ok(())
}

async fn of_a_tree_goes_into_a_directory(b: &mut Bench) -> Outcome {
    let (tree, to) = (tree(b).await?, b.directory("to").await?);
    copy(b, &tree, &to, false).await?;
    b.names(&to, &["tree"]).await?;
    b.content(&format!("{to}/tree/sub/.hidden"), b"2").await
}

async fn of_a_pattern_goes_into_a_directory(b: &mut Bench) -> Outcome {
    for name in ["a.txt", "b c.txt", "d.dat"] {
        b.file(name, name.as_bytes()).await?;
    }
    let (pattern, to) = (b.remote("*.txt"), b.directory("to").await?);
    copy(b, &pattern, &to, false).await?;
    b.names(&to, &["a.txt", "b c.txt"]).await?;
    b.content(&format!("{to}/b c.txt"), b"b c.txt").await
}

async fn of_nothing_is_not_found(b: &mut Bench) -> Outcome {
    let to = b.directory("to").await?;
    for from in [b.remote("missing"), b.remote("*.none")] {
        b.session.copy(&from, &to, false).await.refused(format!("copy of {from}"), &[ErrorKind::NotFound])?;
    }
    b.names(&to, &[]).await
}

async fn of_a_hostile_name_is_that_name(b: &mut Bench) -> Outcome {
    const NAME: &str = "a & <b> \"c\" 'd' $(touch pwned) -e";
    let (tree, to) = (b.directory("tree").await?, b.remote("to & 'fro'"));
    let source = b.local_folder("source")?;
    b.local_file(&format!("source/{NAME}"), b"1")?;
    b.session.put(&source, &tree, &TransferOptions::default()).await.done("put of a folder with an odd name")?;
    copy(b, &tree, &to, false).await?;
    let back = b.local("back");
    // The odd names travel inside a folder, where every plugin can carry them.
    let folder = b.folder();
    b.session.get(&folder, &back, &TransferOptions::default()).await.done(format!("get of {folder}"))?;
    super::bench::local_content(&back.join("to & 'fro'").join("source").join(NAME), b"1")
}

/// Another session in the same instance, on the same cluster.
async fn peer(b: &mut Bench) -> Step<crate::session::Peer> {
    let shared = b.shared.clone();
    b.session.open_peer(&shared.options, Some(&shared.state)).await.done("open of a second session")
}

async fn brings_a_file_to_another_session(b: &mut Bench) -> Outcome {
    let (content, to) = (noise(100_000), b.remote("to"));
    let from = b.file("from", &content).await?;
    b.session.chmod(&from, 0o750).await.done(format!("chmod of {from} to 750"))?;
    let peer = peer(b).await?;
    let verify = TransferOptions { verify: Some(true), ..TransferOptions::default() };
    let summary = b.session.copy_to(&from, &peer, &to, &verify).await.done(format!("copy-to of {from} to {to}"))?;
    let seen = (summary.files, summary.bytes, summary.verified);
    same("files, bytes and how they were verified", seen, (1, 100_000, Verification::Checksum))?;
    b.content(&to, &content).await?;
    b.mode(&to, 0o750).await
}

async fn brings_a_tree_to_another_session(b: &mut Bench) -> Outcome {
    let (tree, to) = (tree(b).await?, b.remote("to"));
    let peer = peer(b).await?;
    let options = TransferOptions::default();
    b.session.copy_to(&tree, &peer, &to, &options).await.done(format!("copy-to of {tree} to {to}"))?;
    b.names(&to, &["a", "link", "sub"]).await?;
    b.content(&format!("{to}/sub/.hidden"), b"2").await
}

async fn keeps_to_the_policy(b: &mut Bench) -> Outcome {
    let (from, to) = (b.file("from", b"new").await?, b.file("to", b"old").await?);
    let peer = peer(b).await?;
    let with = |overwrite| TransferOptions { overwrite, ..TransferOptions::default() };
    let did = format!("copy-to of {from} to {to}, which is there, with fail");
    b.session
        .copy_to(&from, &peer, &to, &with(OverwritePolicy::Fail))
        .await
        .refused(did, &[ErrorKind::AlreadyExists])?;
    let skipped =
        b.session.copy_to(&from, &peer, &to, &with(OverwritePolicy::Skip)).await.done("the same with skip")?;
    same("files and skipped", (skipped.files, skipped.skipped), (0, 1))?;
    b.content(&to, b"old").await?;
    b.session.copy_to(&from, &peer, &to, &with(OverwritePolicy::Replace)).await.done("the same with replace")?;
    b.content(&to, b"new").await
}

async fn of_a_missing_path_is_not_found_either(b: &mut Bench) -> Outcome {
    let (from, to) = (b.remote("missing"), b.remote("to"));
    let peer = peer(b).await?;
    let copied = b.session.copy_to(&from, &peer, &to, &TransferOptions::default()).await;
    copied.refused(format!("copy-to of {from}"), &[ErrorKind::NotFound]).map(drop)
}
