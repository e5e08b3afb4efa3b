//! Folders, up and down.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use aiida_firecrest_host::transport::{OverwritePolicy, TransferOptions};
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_tests::{Rig, kind, noise};

const STAT: &str = "GET filesystem/ops/stat";
const UPLOAD: &str = "POST filesystem/ops/upload";
const EXTRACT: &str = "POST filesystem/ops/extract";
const COMPRESS: &str = "POST filesystem/ops/compress";
const DOWNLOAD: &str = "GET filesystem/ops/download";
const RM: &str = "DELETE filesystem/ops/rm";

/// Everything below a folder: what it is, its bits, its bytes or its target.
fn picture(root: &Path) -> BTreeMap<String, String> {
    fn walk(root: &Path, at: &Path, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let mode = metadata.permissions().mode() & 0o777;
            if metadata.is_symlink() {
                all.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else if metadata.is_dir() {
                all.insert(name, format!("directory {mode:o}"));
                walk(root, &path, all);
            } else {
                let bytes = fs::read(&path).unwrap();
                all.insert(
                    name,
                    format!("file {mode:o} {} {:?}", bytes.len(), bytes.iter().map(|b| u64::from(*b)).sum::<u64>()),
                );
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(root, root, &mut all);
    all
}

/// Folders with this many files of 1 KiB in each.
fn fill(root: &Path, folders: usize, files: usize) {
    for folder in 0..folders {
        let folder = root.join(format!("folder{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..files {
            fs::write(folder.join(format!("file{file}")), noise(1024)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_tree_of_a_thousand_small_files_costs_four_requests_each_way() {
    let mut rig = Rig::open().await;
    for files in [10, 100] {
        let source = rig.local(&format!("tree{files}"));
        fill(&source, 10, files);
        let remote = rig.remote(&format!("there{files}"));
        let put = rig.count(async |session| session.put(&source, &remote, &TransferOptions::default()).await).await;
        assert_eq!(put.1, [STAT, UPLOAD, EXTRACT, RM]);
        let summary = put.0.unwrap();
        assert_eq!((summary.files, summary.directories, summary.bytes), (10 * files as u64, 11, 10_240 * files as u64));
        assert_eq!(picture(Path::new(&remote)), picture(&source));
        let back = rig.local(&format!("back{files}"));
        let got = rig.count(async |session| session.get(&remote, &back, &TransferOptions::default()).await).await;
        assert_eq!(got.1, [STAT, COMPRESS, DOWNLOAD, RM]);
        assert_eq!(got.0.unwrap().files, 10 * files as u64);
        assert_eq!(picture(&back), picture(&source));
    }
}

/// All that a file system can hold and the server can carry, in one.
fn hostile(root: &Path) {
    fs::create_dir_all(root.join("empty folder")).unwrap();
    fs::create_dir_all(root.join(".hidden/.deeper")).unwrap();
    fs::write(root.join(".hidden/.deeper/.x"), b"hidden").unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    for name in [
        "it's",
        "say \"hi\"",
        "a&b<c>d",
        "$HOME",
        "`id`",
        "$(id)",
        "new\nline",
        "tab\t",
        "cr\rx",
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
        "..x",
        "\u{1F600}",
    ] {
        fs::write(root.join(name), name.as_bytes()).unwrap();
    }
    fs::write(root.join("n".repeat(255)), b"longest name").unwrap();
    let mut deep = root.to_owned();
    for i in 0..200 {
        deep.push(format!("d{i:03}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), b"deep").unwrap();
    let long = root.join("l".repeat(120)).join("m".repeat(140));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("long path"), b"long").unwrap();
    fs::write(root.join("script.sh"), b"#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("script.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("private"), b"p").unwrap();
    fs::set_permissions(root.join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(root.join("binary"), noise(100_000)).unwrap();
    symlink("empty", root.join("link")).unwrap();
    symlink("empty folder", root.join("link to folder")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
}

#[tokio::test]
async fn a_hostile_tree_comes_back_bit_by_bit() {
    let mut rig = Rig::open().await;
    let source = rig.local("source");
    hostile(&source);
    let remote = rig.remote("tree");
    let keep = TransferOptions { dereference: false, ..TransferOptions::default() };
    rig.session.put(&source, &remote, &keep).await.unwrap();
    assert_eq!(picture(Path::new(&remote)), picture(&source));
    let back = rig.local("back");
    rig.session.get(&remote, &back, &keep).await.unwrap();
    assert_eq!(picture(&back), picture(&source));
}

#[tokio::test]
async fn links_are_followed_where_they_are_to_be() {
    let mut rig = Rig::open().await;
    let source = rig.local("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("sub/x"), b"x").unwrap();
    symlink("sub", source.join("folder link")).unwrap();
    symlink("sub/x", source.join("file link")).unwrap();
    let follow = TransferOptions { dereference: true, ..TransferOptions::default() };
    let remote = rig.remote("tree");
    rig.session.put(&source, &remote, &follow).await.unwrap();
    assert!(fs::symlink_metadata(format!("{remote}/folder link")).unwrap().is_dir());
    assert_eq!(fs::read(format!("{remote}/folder link/x")).unwrap(), b"x");
    assert!(fs::symlink_metadata(format!("{remote}/file link")).unwrap().is_file());
    // A circle is an error that names it, and not for ever.
    symlink(".", source.join("circle")).unwrap();
    assert_eq!(kind(rig.session.put(&source, &rig.remote("round"), &follow).await), ErrorKind::InvalidArgument);
    assert!(!fs::exists(rig.remote("round")).unwrap());
    fs::remove_file(source.join("circle")).unwrap();
    symlink("nowhere", source.join("dangling")).unwrap();
    assert_eq!(kind(rig.session.put(&source, &rig.remote("round"), &follow).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn merging_replaces_skips_or_fails_as_asked() {
    let mut rig = Rig::open().await;
    let source = rig.local("tree");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), b"new").unwrap();
    fs::write(source.join("b"), b"new").unwrap();
    rig.place_directory("tree");
    let old = rig.place("tree/a", b"old");
    let home = rig.simulator.home().to_owned();
    let with = |overwrite| TransferOptions { overwrite, ..TransferOptions::default() };
    assert_eq!(kind(rig.session.put(&source, &home, &with(OverwritePolicy::Fail)).await), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&old).unwrap(), b"old");
    let summary = rig.session.put(&source, &home, &with(OverwritePolicy::Skip)).await.unwrap();
    assert_eq!((summary.files, summary.skipped), (1, 1));
    assert_eq!(fs::read(&old).unwrap(), b"old");
    assert_eq!(fs::read(rig.remote("tree/b")).unwrap(), b"new");
    rig.session.put(&source, &home, &with(OverwritePolicy::Replace)).await.unwrap();
    assert_eq!(fs::read(&old).unwrap(), b"new");
}

#[tokio::test]
async fn patterns_move_what_matches() {
    let mut rig = Rig::open().await;
    for name in ["a.txt", "b.txt", "c.dat"] {
        rig.local_file(name, name.as_bytes(), 0o644);
    }
    let folder = rig.place_directory("folder");
    let options = TransferOptions::default();
    let summary = rig.session.put(rig.local("*.txt"), &folder, &options).await.unwrap();
    assert_eq!(summary.files, 2);
    assert!(!fs::exists(format!("{folder}/c.dat")).unwrap());
    let down = rig.local("down");
    fs::create_dir(&down).unwrap();
    let summary = rig.session.get(&format!("{folder}/*.txt"), &down, &options).await.unwrap();
    assert_eq!(summary.files, 2);
    assert_eq!(fs::read(down.join("b.txt")).unwrap(), b"b.txt");
    assert_eq!(kind(rig.session.get(&format!("{folder}/*.none"), &down, &options).await), ErrorKind::NotFound);
    assert_eq!(kind(rig.session.put(rig.local("*.none"), &folder, &options).await), ErrorKind::NotFound);
    assert_eq!(
        kind(rig.session.get(&format!("{folder}/*.txt"), rig.local("nowhere"), &options).await),
        ErrorKind::NotADirectory
    );
    let missing = TransferOptions { ignore_nonexisting: true, ..TransferOptions::default() };
    assert_eq!(rig.session.get(&format!("{folder}/*.none"), &down, &missing).await.unwrap().skipped, 1);
}

#[tokio::test]
async fn a_tree_past_one_upload_goes_in_several_and_comes_back_file_by_file() {
    let mut rig = Rig::open().await;
    let source = rig.local("tree");
    fs::create_dir(&source).unwrap();
    for i in 0..30 {
        fs::write(source.join(format!("file{i}")), noise(400_000)).unwrap();
    }
    let remote = rig.remote("tree");
    let (put, seen) = rig.count(async |session| session.put(&source, &remote, &TransferOptions::default()).await).await;
    put.unwrap();
    assert_eq!(seen.iter().filter(|request| *request == UPLOAD).count(), 3, "{seen:?}");
    assert_eq!(picture(Path::new(&remote)), picture(&source));
    let back = rig.local("back");
    rig.session.get(&remote, &back, &TransferOptions::default()).await.unwrap();
    assert_eq!(picture(&back), picture(&source));
    let left: Vec<_> = fs::read_dir(rig.simulator.scratch()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_failed_get_leaves_nothing() {
    let mut rig = Rig::open().await;
    let tree = rig.place_directory("tree");
    let closed = rig.place("tree/closed", b"x");
    rig.forbid(&closed);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let back = rig.local("back");
    let got = rig.session.get(&tree, &back, &TransferOptions::default()).await;
    if rig.simulator.uid() != 0 {
        assert_eq!(kind(got), ErrorKind::PermissionDenied);
        assert!(!back.exists());
    }
    let here: Vec<_> = fs::read_dir(rig.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(here.iter().all(|name| name == "back"), "{here:?}");
}

/// tar complains of everything below what it could not make: the first complaint is the reason.
#[tokio::test]
async fn a_folder_that_may_not_be_written_is_permission_denied_whatever_lies_below() {
    let mut rig = Rig::open().await;
    let tree = rig.local("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    for name in ["f", "sub/f"] {
        fs::write(tree.join(name), name).unwrap();
    }
    let closed = rig.place_directory("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let new = format!("{closed}/new");
    assert_eq!(kind(rig.session.put(&tree, &new, &Default::default()).await), ErrorKind::PermissionDenied);
    assert!(!Path::new(&new).exists());
}
