//! The demo's trees: a folder with everything that gets lost on the way, and one large file.

use crate::json;
use crate::output::{Failure, bytes};
use aiida_firecrest_host::transport::{TransferOptions, TransferSummary, Verification};
use aiida_firecrest_host::{Error, Session};
use rand::Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

/// Past every direct limit: only an object store carries it.
pub(crate) const LARGE: u64 = 64 << 20;

/// Names that a shell, a terminal, or tar itself would take for something else.
const NASTY: [&str; 8] =
    ["a b", "-rf", "$HOME; true", "it's \"quoted\"", "back\\slash", "new\nline", "<&>", "ünï 日本 🦀"];

const NASTY_FOLDER: &str = "a 'folder' & more";

/// What a tree holds at one place.
#[derive(PartialEq, Eq)]
enum Node {
    Directory,
    File(Vec<u8>),
    Link(String),
}

/// One step of the demo: what to print, and what to put into the document.
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) document: Value,
}

struct Stopwatch {
    since: Instant,
    requests: u64,
}

impl Stopwatch {
    fn start(session: &Session) -> Stopwatch {
        Stopwatch { since: Instant::now(), requests: session.telemetry().counters().requests }
    }

    fn read(&self, session: &Session) -> (u64, f64) {
        (session.telemetry().counters().requests - self.requests, self.since.elapsed().as_secs_f64())
    }
}

/// Puts a tree, gets it, and compares all: names, bytes, permissions, links.
pub(crate) async fn tree(session: &mut Session, folder: &str, local: &Path) -> Result<Step, Failure> {
    let (there, back) = (local.join("tree"), local.join("back"));
    let nodes = make(&there).map_err(|error| Error::io(&there, error))?;
    let before = read(&there).map_err(|error| Error::io(&there, error))?;
    let options = TransferOptions { dereference: false, ..TransferOptions::default() };
    let remote = format!("{folder}/tree");
    let watch = Stopwatch::start(session);
    let put = session.put(&there, &remote, &options).await?;
    let (put_requests, put_seconds) = watch.read(session);
    let watch = Stopwatch::start(session);
    let got = session.get(&remote, &back, &options).await?;
    let (get_requests, get_seconds) = watch.read(session);
    let after = read(&back).map_err(|error| Error::io(&back, error))?;
    compare(&before, &after)?;
    for (what, summary) in [("put", &put), ("get", &got)] {
        if summary.files != nodes.files {
            return Err(Failure::Wrong(format!(
                "{what} of a tree: {} files in place of {}",
                summary.files, nodes.files
            )));
        }
    }
    Ok(Step {
        text: format!(
            "{} files, {} directories, {}: put in {put_requests} requests, {put_seconds:.1} s, got in {get_requests}, \
             {get_seconds:.1} s, the same bit by bit",
            nodes.files,
            nodes.directories,
            bytes(put.bytes)
        ),
        document: json!({
            "files": nodes.files, "directories": nodes.directories, "bytes": put.bytes,
            "put": {"requests": put_requests, "seconds": put_seconds}, "get": {"requests": get_requests, "seconds": get_seconds},
        }),
    })
}

struct Made {
    files: u64,
    directories: u64,
}

fn make(root: &Path) -> std::io::Result<Made> {
    let mut random = rand::rng();
    let mut made = Made { files: 0, directories: 0 };
    let mut directory = |path: &Path| {
        made.directories += 1;
        fs::create_dir(path)
    };
    directory(root)?;
    directory(&root.join("empty folder"))?;
    directory(&root.join(".hidden"))?;
    directory(&root.join(NASTY_FOLDER))?;
    let deep = (0..12).fold(root.join("deep"), |path, level| path.join(format!("level {level} of a long way down")));
    let mut levels: Vec<&Path> = deep.ancestors().take_while(|path| *path != root).collect();
    levels.reverse();
    levels.into_iter().try_for_each(&mut directory)?;
    let mut file = |path: &Path, length: usize, mode: u32| {
        let mut content = vec![0; length];
        random.fill(&mut content[..]);
        made.files += 1;
        fs::write(path, content)?;
        set_mode(path, mode)
    };
    for number in 0..20_u32 {
        file(&root.join(format!("file {number:02}")), 1000 * number as usize, 0o644)?;
    }
    for name in NASTY {
        file(&root.join(name), 10, 0o644)?;
        file(&root.join(NASTY_FOLDER).join(name), 512, 0o644)?;
    }
    file(&root.join(".hidden/empty"), 0, 0o644)?;
    file(&root.join("run.sh"), 100, 0o755)?;
    file(&root.join("private.key"), 100, 0o600)?;
    file(&deep.join("x".repeat(200)), 3, 0o644)?;
    make_link("../deep/nowhere", &root.join(".hidden/link"))?;
    Ok(made)
}

#[cfg(unix)]
fn make_link(target: &str, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn make_link(_target: &str, _link: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> std::io::Result<()> {
    Ok(())
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

/// All that is below, with permissions; a link has none of its own.
fn read(root: &Path) -> std::io::Result<BTreeMap<std::path::PathBuf, (Node, u32)>> {
    let mut nodes = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            let (node, mode) = if metadata.is_symlink() {
                (Node::Link(fs::read_link(&path)?.to_string_lossy().into_owned()), 0)
            } else if metadata.is_dir() {
                open.push(path.clone());
                (Node::Directory, mode(&metadata))
            } else {
                (Node::File(fs::read(&path)?), mode(&metadata))
            };
            nodes.insert(path.strip_prefix(root).unwrap_or(&path).to_owned(), (node, mode));
        }
    }
    Ok(nodes)
}

type Nodes = BTreeMap<std::path::PathBuf, (Node, u32)>;

/// The same names and bytes; the same permissions for the owner, and none more for others: a cluster's umask may take some.
fn compare(before: &Nodes, after: &Nodes) -> Result<(), Failure> {
    let wrong = |path: &Path, what: &str| Failure::Wrong(format!("the tree came back otherwise: {path:?} {what}"));
    for (path, (node, mode)) in before {
        match after.get(path) {
            None => return Err(wrong(path, "is missing")),
            Some((other, _)) if other != node => return Err(wrong(path, "is something else")),
            Some((_, other)) if (mode ^ other) & 0o700 != 0 || other & !mode != 0 => {
                return Err(wrong(path, &format!("has the permissions {other:03o} in place of {mode:03o}")));
            }
            Some(_) => {}
        }
    }
    match after.keys().find(|path| !before.contains_key(*path)) {
        Some(path) => Err(wrong(path, "was not in it")),
        None => Ok(()),
    }
}

/// Puts a large file through the object store, gets it, and compares checksums of all three.
pub(crate) async fn large(session: &mut Session, folder: &str, local: &Path) -> Result<Step, Failure> {
    let (there, back) = (local.join("large.bin"), local.join("large.back"));
    let sum = noise(&there, LARGE).map_err(|error| Error::io(&there, error))?;
    let remote = format!("{folder}/large.bin");
    let options = TransferOptions { verify: Some(true), ..TransferOptions::default() };
    let watch = Stopwatch::start(session);
    let put = session.put(&there, &remote, &options).await?;
    let (put_requests, put_seconds) = watch.read(session);
    checked("put", &put)?;
    let watch = Stopwatch::start(session);
    let got = session.get(&remote, &back, &options).await?;
    let (get_requests, get_seconds) = watch.read(session);
    checked("get", &got)?;
    let came = hash(&back).map_err(|error| Error::io(&back, error))?;
    if came != sum {
        return Err(Failure::Wrong(format!("the large file came back otherwise: SHA-256 {came} in place of {sum}")));
    }
    Ok(Step {
        text: format!(
            "{} through the object store: put in {put_requests} requests, {put_seconds:.1} s, got in {get_requests}, \
             {get_seconds:.1} s, same checksum",
            bytes(LARGE)
        ),
        document: json!({
            "bytes": LARGE, "sha256": sum, "verified": json::verification(put.verified),
            "put": {"requests": put_requests, "seconds": put_seconds}, "get": {"requests": get_requests, "seconds": get_seconds},
        }),
    })
}

fn checked(what: &str, summary: &TransferSummary) -> Result<(), Failure> {
    if summary.bytes == LARGE && summary.verified == Verification::Checksum {
        return Ok(());
    }
    let verified = json::verification(summary.verified);
    Err(Failure::Wrong(format!("{what} of the large file: {} bytes, verified by {verified}", summary.bytes)))
}

/// Writes random bytes and returns their SHA-256.
fn noise(path: &Path, length: u64) -> std::io::Result<String> {
    let mut file = fs::File::create(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    let mut random = rand::rng();
    for _ in 0..length / block.len() as u64 {
        random.fill(&mut block[..]);
        hasher.update(&block);
        file.write_all(&block)?;
    }
    Ok(hex(&hasher.finalize()))
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&block[..count]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_like_itself_and_like_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("t");
        let made = make(&root).unwrap();
        let before = read(&root).unwrap();
        // The root, which is not below itself, and the link.
        assert_eq!(before.len() as u64, made.files + made.directories);
        assert!(compare(&before, &read(&root).unwrap()).is_ok());
        set_mode(&root.join("run.sh"), 0o644).unwrap();
        assert!(compare(&before, &read(&root).unwrap()).is_err());
        set_mode(&root.join("run.sh"), 0o755).unwrap();
        fs::remove_dir(root.join("empty folder")).unwrap();
        assert!(compare(&before, &read(&root).unwrap()).is_err());
        assert!(compare(&read(&root).unwrap(), &before).is_err());
    }
}
