//! Tests against GNU tar: what it writes is read, what is written it unpacks, and both give the same tree. And against
//! a disk: what is hostile stays in its folder.

use super::read::tests::{append, read_all};
use super::*;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// A folder that goes away with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("archive-interop-{process}-{n}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// GNU tar with nothing of the environment but the language.
fn tar(language: &str, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new("tar");
    command.env_remove("TAR_OPTIONS").env_remove("POSIXLY_CORRECT").env("LC_ALL", language);
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it with this input; it has to succeed without a word.
fn run(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Both pipes may be full at once.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// What an entry of a tree holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
}

/// A tree: what is at each path, its mode, and its time. Links have neither.
type Tree = BTreeMap<String, (Held, u32, i64)>;

fn walk(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            let entry = if about.is_dir() {
                left.push(path.clone());
                (Held::Directory, about.mode() & 0o7777, about.mtime())
            } else if about.is_symlink() {
                (Held::Symlink(fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()), 0, 0)
            } else {
                (Held::File(fs::read(&path).unwrap()), about.mode() & 0o7777, about.mtime())
            };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            tree.insert(name, entry);
        }
    }
    tree
}

/// Gives an entry its mode and time.
fn finish(path: &Path, mode: u32, mtime: i64) {
    let time = match u64::try_from(mtime) {
        Ok(after) => UNIX_EPOCH + Duration::from_secs(after),
        Err(_) => UNIX_EPOCH - Duration::from_secs(mtime.unsigned_abs()),
    };
    File::open(path).unwrap().set_modified(time).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Writes a tree to the disk.
fn plant(root: &Path, tree: &Tree) {
    for (path, (held, ..)) in tree {
        let path = root.join(path);
        match held {
            Held::File(content) => fs::write(path, content).unwrap(),
            Held::Directory => fs::create_dir(path).unwrap(),
            Held::Symlink(target) => symlink(std::ffi::OsStr::from_bytes(target), path).unwrap(),
        }
    }
    // What is in a directory changes its time, so the deepest are finished first.
    for (path, (held, mode, mtime)) in tree.iter().rev() {
        if !matches!(held, Held::Symlink(_)) {
            finish(&root.join(path), *mode, *mtime);
        }
    }
}

/// A name of this many bytes below `top`, in components of at most this many.
fn long(bytes: usize, component: usize) -> String {
    let mut path = String::from("top");
    while path.len() < bytes {
        let n = (bytes - path.len() - 1).min(component);
        // No slash may come to stand at the end.
        let n = if bytes - path.len() - 1 - n == 1 { n - 1 } else { n };
        path.push('/');
        path.push_str(&"n".repeat(n));
    }
    assert_eq!(path.len(), bytes);
    path
}

/// All that a tree can have. `small` keeps to what ustar can store.
fn tree(small: bool) -> Tree {
    let mut tree = Tree::new();
    let put = |tree: &mut Tree, path: &str, held: Held, mode: u32, mtime: i64| {
        for (slash, _) in path.match_indices('/') {
            tree.entry(path[..slash].to_owned()).or_insert((Held::Directory, 0o755, 1_600_000_000));
        }
        tree.insert(path.to_owned(), (held, mode, mtime));
    };
    let file = |n: usize| Held::File((0..n).map(|i| (i * 7 % 251) as u8).collect());
    for n in [0, 1, 511, 512, 513, 10_240, 100_001] {
        put(&mut tree, &format!("top/sizes/{n}"), file(n), 0o644, 1_700_000_000 + n as i64);
    }
    for mode in [0o400, 0o600, 0o755, 0o777, 0o4755, 0o2755, 0o1644, 0o640] {
        put(&mut tree, &format!("top/modes/{mode:o}"), file(3), mode, 1);
        put(&mut tree, &format!("top/modes/d{mode:o}"), Held::Directory, mode | 0o700, 2);
    }
    for name in [
        "ü ñ 日本.txt",
        "new\nline",
        "tab\tand \\ back",
        "-rf",
        "'quote'",
        "\"double\"",
        "$HOME `x` & < > | ;",
        ".hidden",
        "*",
        " ",
        "~",
        "a..b",
        "…",
        "%s",
        "@x",
        "C:x",
    ] {
        put(&mut tree, &format!("top/names/{name}"), file(2), 0o644, 3);
        put(&mut tree, &format!("top/{name}/{name}"), Held::Directory, 0o755, 4);
    }
    for n in [50, 99, 100, 101, 155, 156, 157, 250, 254, 255, 256, 257, 300, 1000] {
        for component in [50, 90, 98, 100, 155, 250] {
            if small && (n > 157 || component > 90) {
                continue;
            }
            put(&mut tree, &format!("{}f", long(n - 1, component)), file(4), 0o600, 5);
            put(&mut tree, &format!("{}d", long(n - 1, component)), Held::Directory, 0o700, 6);
        }
    }
    let mut targets = vec!["names", ".", "..", "../../outside", "/etc/passwd", "no\nwhere ü", "./sizes//0"];
    let (hundred, more, much) = ("t".repeat(100), "t".repeat(101), "ü/".repeat(500));
    targets.push(&hundred);
    if !small {
        targets.extend([more.as_str(), &much]);
    }
    for (i, target) in targets.iter().enumerate() {
        put(&mut tree, &format!("top/links/{i}"), Held::Symlink(target.as_bytes().to_vec()), 0, 0);
    }
    if !small {
        put(&mut tree, &format!("top/deep{}", "/deep".repeat(200)), file(5), 0o644, 7);
        put(&mut tree, &format!("{}l", long(299, 250)), Held::Symlink(b"x".to_vec()), 0, 0);
        put(&mut tree, &format!("top/{}", "ü".repeat(120)), file(6), 0o644, 8);
        put(&mut tree, "top/old", file(7), 0o644, -5);
        put(&mut tree, "top/late", file(7), 0o644, (1 << 33) + 5);
    }
    tree
}

/// A tree as an archive of ours.
fn pack(tree: &Tree) -> Vec<u8> {
    let mut stream = Vec::new();
    for (path, (held, mode, mtime)) in tree {
        let (kind, content) = match held {
            Held::File(content) => (MemberKind::File { size: content.len() as u64 }, content.as_slice()),
            Held::Directory => (MemberKind::Directory, &[][..]),
            Held::Symlink(target) => (MemberKind::Symlink { target: target.clone() }, &[][..]),
        };
        let member = Member { path: path.as_bytes().to_vec(), kind, mode: *mode, mtime: *mtime };
        append(&mut stream, &member, content);
    }
    stream.extend_from_slice(&write::END);
    stream
}

/// Unpacks as the rules say. A parent is made where it is missing, and followed like any path.
fn unpack(stream: &[u8], root: &Path, strip: usize) -> Result<(), ArchiveError> {
    let mut targets = Targets::new(strip, Limits::default());
    let parents = |path: &Path| fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut directories = Vec::new();
    for (member, content) in read_all(stream, &[10_240])? {
        match targets.place(&member)? {
            Placement::Skip(_) | Placement::Remembered => {}
            Placement::Directory { path } => {
                fs::create_dir_all(root.join(&path)).unwrap();
                directories.push((path, member));
            }
            Placement::File { path } => {
                let path = root.join(path);
                parents(&path);
                let _ = fs::remove_file(&path);
                fs::write(&path, content).unwrap();
                finish(&path, member.mode, member.mtime);
            }
            Placement::CopyOf { path, of } => {
                let (path, of) = (root.join(path), root.join(of));
                parents(&path);
                let _ = fs::remove_file(&path);
                fs::copy(of, &path).unwrap();
                finish(&path, member.mode, member.mtime);
            }
        }
    }
    for Link { path, target } in targets.into_links() {
        let path = root.join(path);
        parents(&path);
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }
    for (path, member) in directories.iter().rev() {
        finish(&root.join(path), member.mode, member.mtime);
    }
    Ok(())
}

/// Compares tree with tree, and shows the first difference alone.
fn same(found: &Tree, expected: &Tree) {
    for (path, entry) in expected {
        assert_eq!(found.get(path), Some(entry), "{path:?}");
    }
    for path in found.keys() {
        assert!(expected.contains_key(path), "{path:?}");
    }
}

#[test]
fn what_gnu_tar_writes_is_read() {
    for (format, small) in [("gnu", false), ("pax", false), ("oldgnu", false), ("ustar", true), ("gnu", true)] {
        let (source, target) = (Scratch::new(), Scratch::new());
        let expected = tree(small);
        plant(&source.0, &expected);
        let command = tar("C", &[&format!("--format={format}"), "--sort=name", "-cf", "-", "top"], &source.0);
        let stream = run(command, b"");
        let mut found = Tree::new();
        for (member, content) in read_all(&stream, &[700]).unwrap() {
            let (held, mode, mtime) = match member.kind {
                MemberKind::File { .. } => (Held::File(content), member.mode, member.mtime),
                MemberKind::Directory => (Held::Directory, member.mode, member.mtime),
                MemberKind::Symlink { target } => (Held::Symlink(target), 0, 0),
                other => panic!("{other:?}"),
            };
            found.insert(String::from_utf8(member.path).unwrap(), (held, mode, mtime));
        }
        same(&found, &expected);
        for sizes in [[1], [512]] {
            assert!(read_all(&stream, &sizes).is_ok());
        }
        unpack(&stream, &target.0, 0).unwrap();
        same(&walk(&target.0), &expected);
    }
}

#[test]
fn what_is_written_gnu_tar_unpacks() {
    for language in ["C", "C.UTF-8"] {
        let target = Scratch::new();
        let expected = tree(false);
        let stream = pack(&expected);
        // Of times before 1970 it warns.
        run(tar(language, &["--warning=no-timestamp", "-xpf", "-"], &target.0), &stream);
        same(&walk(&target.0), &expected);
        let listed = run(tar(language, &["-tf", "-", "--quoting-style=literal"], &target.0), &stream);
        let names = expected
            .iter()
            .map(|(path, (held, ..))| format!("{path}{}\n", if *held == Held::Directory { "/" } else { "" }));
        assert!(String::from_utf8(listed).unwrap() == names.collect::<String>());
    }
}

#[test]
fn an_archive_of_the_folder_itself() {
    let (source, target) = (Scratch::new(), Scratch::new());
    let expected = tree(true);
    plant(&source.0, &expected);
    finish(&source.0.join("top"), 0o750, 9);
    let stream = run(tar("C", &["-cf", "-", "-C", "top", "."], &source.0), b"");
    unpack(&stream, &target.0, 0).unwrap();
    same(&walk(&target.0), &walk(&source.0.join("top")));
    let about = fs::metadata(&target.0).unwrap();
    assert_eq!((about.mode() & 0o7777, about.mtime()), (0o750, 9));
    // And with the folder stripped.
    let (again, stream) = (Scratch::new(), run(tar("C", &["-cf", "-", "top"], &source.0), b""));
    unpack(&stream, &again.0, 1).unwrap();
    same(&walk(&again.0), &walk(&source.0.join("top")));
}

#[test]
fn hard_links_come_back_as_files() {
    for format in ["gnu", "ustar", "pax"] {
        let (source, target) = (Scratch::new(), Scratch::new());
        let folder = source.0.join("top/inner");
        fs::create_dir_all(&folder).unwrap();
        let long = "n".repeat(if format == "ustar" { 80 } else { 200 });
        let first = folder.join("a").join(&long);
        fs::create_dir(folder.join("a")).unwrap();
        fs::write(&first, "shared").unwrap();
        symlink("a", folder.join("m")).unwrap();
        for (of, name) in [(&first, "b"), (&first, "z"), (&folder.join("m"), "n")] {
            fs::hard_link(of, folder.join(name)).unwrap();
        }
        let command = tar("C", &[&format!("--format={format}"), "--sort=name", "-cf", "-", "top"], &source.0);
        let stream = run(command, b"");
        let members = read_all(&stream, &[512]).unwrap();
        let links = members.iter().filter(|(member, _)| matches!(member.kind, MemberKind::Hardlink { .. }));
        assert_eq!(links.count(), 3);
        unpack(&stream, &target.0, 0).unwrap();
        same(&walk(&target.0), &walk(&source.0));
        assert_eq!(fs::metadata(target.0.join("top/inner/z")).unwrap().nlink(), 1);
    }
}

#[test]
fn sizes_of_nine_gibibytes() {
    let source = Scratch::new();
    let size = 9 << 30;
    File::create(source.0.join("large")).unwrap().set_len(size).unwrap();
    for format in ["gnu", "pax"] {
        let mut child = tar("C", &[&format!("--format={format}"), "-cf", "-", "large"], &source.0).spawn().unwrap();
        let mut start = vec![0; 4 * BLOCK];
        child.stdout.take().unwrap().read_exact(&mut start).unwrap();
        child.wait().unwrap();
        let event = Reader::new().feed(&start).unwrap().1;
        let Some(Event::Member(member)) = event else { panic!("{event:?}") };
        assert_eq!(member.size(), size, "{format}");
        // It lists the header before it misses the content.
        let mut command = tar("C", &["-tvf", "-"], &source.0);
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&write::head(&member)).unwrap();
        let listed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(listed.contains(" 9663676416 ") && listed.ends_with(" large\n"), "{listed}");
    }
}

#[test]
fn sparse_files_of_gnu_tar_are_refused() {
    let source = Scratch::new();
    File::create(source.0.join("holes")).unwrap().set_len(1 << 20).unwrap();
    for arguments in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let stream = run(tar("C", &[arguments, &["--sparse", "-cf", "-", "holes"]].concat(), &source.0), b"");
        assert!(matches!(read_all(&stream, &[512]), Err(ArchiveError::Sparse { .. })), "{arguments:?}");
    }
}

#[test]
fn names_that_are_no_text_are_read_and_refused() {
    let name = [&b"caf\xe9"[..], &[b'x'; 150]].concat();
    let source = Scratch::new();
    // Some file systems have no such names.
    if fs::write(source.0.join(std::ffi::OsStr::from_bytes(&name)), "x").is_err() {
        return;
    }
    for format in ["gnu", "pax"] {
        let stream = run(tar("C", &[&format!("--format={format}"), "-cf", "-", "."], &source.0), b"");
        let (member, content) = read_all(&stream, &[512]).unwrap().remove(1);
        assert_eq!((member.path, content), ([&b"./"[..], &name].concat(), b"x".to_vec()), "{format}");
        let refused = unpack(&stream, &source.0, 0);
        assert!(matches!(refused, Err(ArchiveError::Refused { why: Refusal::NotUtf8, .. })));
    }
}

#[test]
fn nothing_hostile_leaves_its_folder() {
    let link = |path: &str, target: &str| (path.to_owned(), MemberKind::Symlink { target: target.into() });
    let hard = |path: &str, target: &str| (path.to_owned(), MemberKind::Hardlink { target: target.into() });
    let file = |path: &str| (path.to_owned(), MemberKind::File { size: 3 });
    let folder = |path: &str| (path.to_owned(), MemberKind::Directory);
    for (members, allowed) in [
        (vec![file("../outside/x")], false),
        (vec![file("a/../../outside/x")], false),
        (vec![link("a", "../outside"), file("a/x")], false),
        (vec![link("a", "../outside"), file("./a//x")], false),
        (vec![link("a", "."), link("a/b", "../outside"), file("b/x")], false),
        (vec![folder("d"), link("d/a", ".."), file("d/a/../outside/x")], false),
        (vec![link("a", "../outside"), hard("b", "a"), file("b/x")], false),
        (vec![hard("x", "../outside/secret")], false),
        (vec![link("a", "../outside"), hard("x", "a/secret")], false),
        (vec![link("a/b", "x"), link("a", "../outside")], false),
        (vec![link("a", "../outside"), folder("a"), file("a/x")], true),
        (vec![link("x", "../outside/secret"), file("x")], true),
        (vec![file("x"), link("x", "../outside/secret")], true),
        (vec![link("a", "../outside/secret"), hard("x", "a")], true),
    ] {
        let scratch = Scratch::new();
        let (inside, outside) = (scratch.0.join("inside"), scratch.0.join("outside"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        let mut stream = Vec::new();
        for (path, kind) in &members {
            let member = Member { path: path.clone().into(), kind: kind.clone(), mode: 0o755, mtime: 0 };
            append(&mut stream, &member, if member.size() == 3 { b"bad" } else { b"" });
        }
        stream.extend_from_slice(&write::END);
        assert_eq!(unpack(&stream, &inside, 0).is_ok(), allowed, "{members:?}");
        let left: Vec<_> = walk(&outside).into_iter().map(|(path, (held, ..))| (path, held)).collect();
        assert_eq!(left, [("secret".to_owned(), Held::File(b"secret".to_vec()))], "{members:?}");
        assert!(!walk(&inside).values().any(|(held, ..)| *held == Held::File(b"secret".to_vec())));
    }
}
