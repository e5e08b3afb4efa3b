//! Where a member may be put: nowhere but in the folder that the archive is unpacked into.
//!
//! [`Targets::place`] turns a member into a [`Placement`], whose path is relative to that folder, in UTF-8, without
//! `.`, `..`, empty names and NUL. An absolute name or one with a `..` is refused and not bent into shape as GNU tar
//! does: no tree of ours has one. A name that is not UTF-8 is refused too, for the file system's interface in the
//! sandbox takes nothing else, and under another name the member would be lost. So are devices and FIFOs: leaving one
//! out in silence would be no true copy of the tree.
//!
//! **Symlinks are made last.** An archive can hold a symlink to elsewhere and then a member below it. To have no such
//! link on the disk while anything is written, a symlink is only remembered ([`Placement::Remembered`]), and
//! [`Targets::into_links`] gives them all when the stream has ended, the deepest first. A member below a remembered
//! link is refused. On a file system that takes `A` and `a` for one name the comparison can miss, and the order still
//! holds: a link's own parents are made before any link that they could be taken for. So links are made as they are
//! written, also those that lead elsewhere, as AiiDA has it with dereference=False: making one follows none. A caller
//! that would rather refuse those asks [`climbs`].
//!
//! What is left to the caller: the links that were in the folder before. It opens what it writes without following a
//! link, or writes aside and renames, and then the second of two members of one name replaces the first, as with tar.
//!
//! Only links are remembered, within [`Limits`]; files and directories cost no memory, however many there are.

use super::{ArchiveError, Member, MemberKind, Refusal};
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// How much may be remembered. By reckoning the default takes 10 MiB of wasm32 at most: the names; 16 bytes of
/// allocation and 30 of the map for each link; and, while they are made, 16 bytes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Symlinks in one archive.
    pub links: usize,
    /// Bytes of their names and targets.
    pub link_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { links: 100_000, link_bytes: 4 << 20 }
    }
}

/// What to do with a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Nothing; its content is to be passed over.
    Skip(Skip),
    /// Make a directory if there is none.
    Directory {
        /// `.` is the folder itself.
        path: String,
    },
    /// Write a file, in the place of what an earlier member put there.
    File {
        /// Where. Its parents may have no members of their own, and are then to be made.
        path: String,
    },
    /// Nothing yet: it is a symlink, and comes with [`Targets::into_links`].
    Remembered,
    /// Write a copy of a file that came before; the sandbox makes no promise of hard links, and the bytes are what
    /// counts.
    CopyOf {
        /// Where.
        path: String,
        /// The file, which an archive from tar has had before. It is not the same as `path`.
        of: String,
    },
}

/// Why there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Its name has no more components than are stripped, as with tar's `--strip-components`.
    Stripped,
    /// It is a hard link to itself.
    Itself,
}

/// A symlink to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where. Its parents may be still to be made.
    pub path: String,
    /// What it says, as the archive says it: it may lead anywhere.
    pub target: String,
}

/// The rules for one archive, and the symlinks that it has had so far.
#[derive(Debug)]
pub struct Targets {
    strip: usize,
    limits: Limits,
    /// Key and target of each link. A key is a path with NULs for slashes, which sort before everything: what lies
    /// below a path then follows it with nothing in between. No link lies below another.
    links: BTreeMap<Box<str>, Box<str>>,
    /// Bytes in `links`.
    bytes: usize,
}

impl Targets {
    /// The rules for an archive whose names lose their first `strip` components.
    pub fn new(strip: usize, limits: Limits) -> Self {
        Self { strip, limits, links: BTreeMap::new(), bytes: 0 }
    }

    /// Says where a member goes. To be asked for each, in the order of the archive; after an error nothing more of it
    /// is to be unpacked.
    pub fn place(&mut self, member: &Member) -> Result<Placement, ArchiveError> {
        let refused = |why| ArchiveError::refused(&member.path, why);
        let key = match key(&member.path, self.strip).map_err(refused)? {
            Some(key) if !key.is_empty() => key,
            Some(_) if member.kind == MemberKind::Directory => return Ok(Placement::Directory { path: ".".into() }),
            _ if self.strip == 0 => return Err(refused(Refusal::Empty)),
            _ => return Ok(Placement::Skip(Skip::Stripped)),
        };
        if self.below_a_link(&key) {
            return Err(refused(Refusal::BelowSymlink));
        }
        if member.kind != MemberKind::Directory && self.above_a_link(&key) {
            return Err(refused(Refusal::OverDirectory));
        }
        match &member.kind {
            MemberKind::Directory => {
                self.forget(&key);
                Ok(Placement::Directory { path: path(&key) })
            }
            MemberKind::File { .. } => {
                self.forget(&key);
                Ok(Placement::File { path: path(&key) })
            }
            MemberKind::Symlink { target } => {
                let target = text(target).map_err(refused)?;
                if target.is_empty() {
                    return Err(refused(Refusal::EmptyTarget));
                }
                self.remember(key, target.into())
            }
            MemberKind::Hardlink { target } => {
                let of = self::key(target, self.strip)
                    .map_err(refused)?
                    .filter(|of| !of.is_empty() && !self.below_a_link(of))
                    .ok_or_else(|| refused(Refusal::LinkedElsewhere))?;
                if of == key {
                    return Ok(Placement::Skip(Skip::Itself));
                }
                // GNU tar writes the second name of a symlink as a hard link to it.
                if let Some(target) = self.links.get(of.as_str()) {
                    let target = target.clone();
                    return self.remember(key, target);
                }
                self.forget(&key);
                Ok(Placement::CopyOf { path: path(&key), of: path(&of) })
            }
            MemberKind::Other(flag) => Err(refused(Refusal::Special(*flag))),
        }
    }

    /// All links that stay, to be made in this order when the rest of the archive is in place: the deepest first.
    pub fn into_links(self) -> impl Iterator<Item = Link> {
        let mut by_depth: Vec<Vec<Link>> = Vec::new();
        for (key, target) in self.links {
            let depth = key.bytes().filter(|byte| *byte == 0).count();
            if by_depth.len() <= depth {
                by_depth.resize_with(depth + 1, Vec::new);
            }
            by_depth[depth].push(Link { path: path(&key), target: target.into() });
        }
        by_depth.into_iter().rev().flatten()
    }

    /// Does a link lie on the way to this key? The one that could is the last before it.
    fn below_a_link(&self, key: &str) -> bool {
        let before = self.links.range::<str, _>((Unbounded, Excluded(key))).next_back();
        before.is_some_and(|(link, _)| lies_below(key, link))
    }

    /// Does a link lie below this key? The one that could is the first behind it.
    fn above_a_link(&self, key: &str) -> bool {
        let behind = self.links.range::<str, _>((Excluded(key), Unbounded)).next();
        behind.is_some_and(|(link, _)| lies_below(link, key))
    }

    fn remember(&mut self, key: String, target: Box<str>) -> Result<Placement, ArchiveError> {
        self.forget(&key);
        let too_large = |what, limit: usize| Err(ArchiveError::TooLarge { what, limit: limit as u64 });
        if self.links.len() >= self.limits.links {
            return too_large("the number of symlinks", self.limits.links);
        }
        let bytes = self.bytes + key.len() + target.len();
        if bytes > self.limits.link_bytes {
            return too_large("bytes in the names of symlinks", self.limits.link_bytes);
        }
        self.bytes = bytes;
        self.links.insert(key.into(), target);
        Ok(Placement::Remembered)
    }

    /// A later member of the same name takes the place of a link.
    fn forget(&mut self, key: &str) {
        if let Some(target) = self.links.remove(key) {
            self.bytes -= key.len() + target.len();
        }
    }
}

/// Can following this link lead out of the tree that it lies in?
///
/// `link` is its path in the tree, as in [`Link::path`]. Only a target that first goes up, no further than to the
/// tree's folder, and then down stays within it. Up after down counts as leaving, for the way down can be another link,
/// to `.` for example. So where this is false for every link of an archive, no chain of them leaves the tree.
pub fn climbs(link: &str, target: &str) -> bool {
    let names = |path| str::split(path, '/').filter(|name| !matches!(*name, "" | "."));
    let mut ups = names(link).count().saturating_sub(1);
    let mut down = false;
    target.starts_with('/')
        || names(target).any(|name| {
            if name != ".." {
                down = true;
                return false;
            }
            let out = down || ups == 0;
            ups = ups.saturating_sub(1);
            out
        })
}

/// The key of a name without its first components; None where it has fewer of them. As in GNU tar, a `.` is a component
/// when it comes to stripping, and slashes in a row are one. A name with `..` is refused wherever that is.
fn key(name: &[u8], strip: usize) -> Result<Option<String>, Refusal> {
    if name.is_empty() {
        return Err(Refusal::Empty);
    }
    let name = text(name)?;
    if name.starts_with('/') {
        return Err(Refusal::Absolute);
    }
    let mut key = String::new();
    let mut count = 0;
    for component in name.split('/').filter(|component| !component.is_empty()) {
        count += 1;
        match component {
            ".." => return Err(Refusal::Climbs),
            "." => {}
            _ if count <= strip => {}
            _ => {
                if !key.is_empty() {
                    key.push('\0');
                }
                key.push_str(component);
            }
        }
    }
    Ok((count >= strip).then_some(key))
}

/// The path of a key.
fn path(key: &str) -> String {
    key.replace('\0', "/")
}

fn lies_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above).is_some_and(|rest| rest.starts_with('\0'))
}

/// What the file system's interface takes.
fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.contains(&0) {
        return Err(Refusal::Nul);
    }
    std::str::from_utf8(bytes).map_err(|_| Refusal::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(path: impl Into<Vec<u8>>, kind: MemberKind) -> Member {
        Member { path: path.into(), kind, mode: 0o644, mtime: 0 }
    }

    fn file(path: &str) -> Member {
        member(path, MemberKind::File { size: 1 })
    }

    fn directory(path: &str) -> Member {
        member(path, MemberKind::Directory)
    }

    fn symlink(path: &str, target: &str) -> Member {
        member(path, MemberKind::Symlink { target: target.into() })
    }

    fn hardlink(path: &str, target: &str) -> Member {
        member(path, MemberKind::Hardlink { target: target.into() })
    }

    fn targets() -> Targets {
        Targets::new(0, Limits::default())
    }

    fn why(result: Result<Placement, ArchiveError>) -> Refusal {
        match result {
            Err(ArchiveError::Refused { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    fn links(targets: Targets) -> Vec<(String, String)> {
        targets.into_links().map(|link| (link.path, link.target)).collect()
    }

    #[test]
    fn names_that_are_kept() {
        for (name, strip, expected) in [
            ("a", 0, Some("a")),
            ("a/b", 0, Some("a/b")),
            ("./a/./b", 0, Some("a/b")),
            ("a//b", 0, Some("a/b")),
            ("a\\..\\b", 0, Some("a\\..\\b")),
            ("...", 0, Some("...")),
            ("a/..b/.c", 0, Some("a/..b/.c")),
            ("-x", 0, Some("-x")),
            ("ü\n'\"", 0, Some("ü\n'\"")),
            ("top/a/b", 1, Some("a/b")),
            ("./a/b", 1, Some("a/b")),
            ("top//a", 1, Some("a")),
            ("top/a/b", 2, Some("b")),
            ("top/a/b", 3, None),
            ("top/a/b", 4, None),
            ("top", 1, None),
        ] {
            let placement = Targets::new(strip, Limits::default()).place(&file(name)).unwrap();
            let expected = match expected {
                Some(path) => Placement::File { path: path.into() },
                None => Placement::Skip(Skip::Stripped),
            };
            assert_eq!(placement, expected, "{name} {strip}");
        }
    }

    #[test]
    fn directories_and_the_folder_itself() {
        for (name, strip, expected) in [
            ("a/b/", 0, Some("a/b")),
            (".", 0, Some(".")),
            ("./", 0, Some(".")),
            ("top", 1, Some(".")),
            ("top/", 1, Some(".")),
            ("./", 1, Some(".")),
            ("top", 2, None),
        ] {
            let placement = Targets::new(strip, Limits::default()).place(&directory(name)).unwrap();
            let expected = match expected {
                Some(path) => Placement::Directory { path: path.into() },
                None => Placement::Skip(Skip::Stripped),
            };
            assert_eq!(placement, expected, "{name} {strip}");
        }
    }

    #[test]
    fn names_that_are_refused() {
        for (name, expected) in [
            (&b""[..], Refusal::Empty),
            (b".", Refusal::Empty),
            (b"/", Refusal::Absolute),
            (b"/etc/passwd", Refusal::Absolute),
            (b"//x", Refusal::Absolute),
            (b"..", Refusal::Climbs),
            (b"../x", Refusal::Climbs),
            (b"a/../b", Refusal::Climbs),
            (b"a/..", Refusal::Climbs),
            (b"./../x", Refusal::Climbs),
            (b"a\0b", Refusal::Nul),
            (b"a/caf\xe9", Refusal::NotUtf8),
        ] {
            assert_eq!(why(targets().place(&member(name, MemberKind::File { size: 0 }))), expected, "{name:?}");
        }
        // What is stripped is looked at all the same.
        assert_eq!(why(Targets::new(1, Limits::default()).place(&file("../x"))), Refusal::Climbs);
        assert_eq!(why(Targets::new(2, Limits::default()).place(&file("/x"))), Refusal::Absolute);
        for flag in [b'3', b'4', b'6', b'Z'] {
            assert_eq!(why(targets().place(&member("a", MemberKind::Other(flag)))), Refusal::Special(flag));
        }
    }

    #[test]
    fn nothing_goes_below_a_symlink() {
        let mut targets = targets();
        assert_eq!(targets.place(&symlink("d/a", "/etc")), Ok(Placement::Remembered));
        for name in ["d/a/x", "./d//a/x/y", "d/a/b/c"] {
            for member in [file(name), directory(name), symlink(name, "x"), hardlink(name, "x")] {
                assert_eq!(why(targets.place(&member)), Refusal::BelowSymlink, "{member:?}");
            }
        }
        // Near it in the order, but not below it.
        for name in ["d/a!", "d/a.b/c", "d/a0", "d/b/a", "d/ab/c", "da", "d/a\u{1}/x"] {
            assert!(targets.place(&file(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_symlink_takes_no_directory_with_symlinks() {
        let mut targets = targets();
        targets.place(&symlink("d/e/a", "x")).unwrap();
        for member in [symlink("d", "/etc"), symlink("d/e", "."), file("d"), hardlink("d/e", "x")] {
            assert_eq!(why(targets.place(&member)), Refusal::OverDirectory, "{member:?}");
        }
        assert!(targets.place(&directory("d")).is_ok());
        assert_eq!(links(targets), [("d/e/a".into(), "x".into())]);
    }

    #[test]
    fn the_later_member_of_one_name_wins() {
        let mut targets = targets();
        for name in ["a", "b", "c", "d"] {
            targets.place(&symlink(name, "/etc")).unwrap();
        }
        targets.place(&file("a")).unwrap();
        targets.place(&directory("b")).unwrap();
        assert_eq!(targets.place(&file("b/x")), Ok(Placement::File { path: "b/x".into() }));
        targets.place(&hardlink("c", "a")).unwrap();
        targets.place(&symlink("d", "other")).unwrap();
        assert_eq!(targets.place(&file("x")), targets.place(&file("x")));
        assert_eq!(targets.bytes, "dother".len());
        assert_eq!(links(targets), [("d".into(), "other".into())]);
    }

    #[test]
    fn hard_links_become_copies() {
        let mut targets = Targets::new(1, Limits::default());
        let copy = |path: &str, of: &str| Ok(Placement::CopyOf { path: path.into(), of: of.into() });
        assert_eq!(targets.place(&hardlink("top/b", "top/a")), copy("b", "a"));
        assert_eq!(targets.place(&hardlink("./b/c", "./a")), copy("b/c", "a"));
        assert_eq!(targets.place(&hardlink("top/a", "top//a")), Ok(Placement::Skip(Skip::Itself)));
        for (of, expected) in [
            ("../a", Refusal::Climbs),
            ("/etc/passwd", Refusal::Absolute),
            ("", Refusal::Empty),
            ("top", Refusal::LinkedElsewhere),
            ("top/.", Refusal::LinkedElsewhere),
        ] {
            assert_eq!(why(targets.place(&hardlink("top/b", of))), expected, "{of}");
        }
        targets.place(&symlink("top/l", "../../x")).unwrap();
        assert_eq!(why(targets.place(&hardlink("top/b", "top/l/x"))), Refusal::LinkedElsewhere);
        assert_eq!(targets.place(&hardlink("top/m", "top/l")), Ok(Placement::Remembered));
        let same = |name: &str| (name.to_owned(), "../../x".to_owned());
        assert_eq!(links(targets), [same("l"), same("m")]);
    }

    #[test]
    fn symlinks_say_what_they_said_and_come_deepest_first() {
        let mut targets = targets();
        for (path, target) in [("A", "/etc"), ("a/q", "../.."), ("b/c/d", "./x/"), ("b/a", "b"), ("z", "ü\n")] {
            targets.place(&symlink(path, target)).unwrap();
        }
        let expected = [("b/c/d", "./x/"), ("a/q", "../.."), ("b/a", "b"), ("A", "/etc"), ("z", "ü\n")];
        assert_eq!(links(targets), expected.map(|(path, target)| (path.to_owned(), target.to_owned())));
    }

    #[test]
    fn targets_that_cannot_be_made_are_refused() {
        for (target, expected) in
            [(&b""[..], Refusal::EmptyTarget), (b"a\0", Refusal::Nul), (b"\xff", Refusal::NotUtf8)]
        {
            let kind = MemberKind::Symlink { target: target.into() };
            assert_eq!(why(targets().place(&member("a", kind))), expected);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let limits = Limits { links: 2, link_bytes: 10 };
        let mut targets = Targets::new(0, limits);
        targets.place(&symlink("a", "1")).unwrap();
        targets.place(&symlink("b", "1")).unwrap();
        targets.place(&symlink("b", "1234567")).unwrap();
        let too_large = |what, limit| Err(ArchiveError::TooLarge { what, limit });
        assert_eq!(targets.place(&symlink("c", "1")), too_large("the number of symlinks", 2));
        let what = "bytes in the names of symlinks";
        assert_eq!(targets.place(&symlink("b", "12345678")), too_large(what, 10));
        for n in 0..1000 {
            targets.place(&file(&n.to_string())).unwrap();
        }
    }

    #[test]
    fn climbing() {
        for (link, target, expected) in [
            ("a", "b", false),
            ("a", "./b/c", false),
            ("a", ".", false),
            ("a", "..", true),
            ("a", "/b", true),
            ("a", "", false),
            ("d/a", "..", false),
            ("d/a", "../b", false),
            ("d/a", "../..", true),
            ("d/e/a", ".././../b", false),
            ("d/e/a", "../../../b", true),
            ("d/a", "b/..", true),
            ("d/a", "../b/../c", true),
            ("a", "...", false),
        ] {
            assert_eq!(climbs(link, target), expected, "{link} -> {target}");
        }
    }

    fn name() -> impl Strategy<Value = String> {
        let component =
            prop_oneof![8 => "[abA]", 1 => Just("..".to_owned()), 1 => Just(".".to_owned()), 1 => "[a!]{0,2}"];
        proptest::collection::vec(component, 1..5).prop_map(|names| names.join("/"))
    }

    fn any_member() -> impl Strategy<Value = Member> {
        (name(), name(), 0..5).prop_map(|(path, target, kind)| match kind {
            0 => file(&path),
            1 => directory(&path),
            2 | 3 => symlink(&path, &target),
            _ => hardlink(&path, &target),
        })
    }

    /// Is `path` below `above`, by components?
    fn within(path: &str, above: &str) -> bool {
        path.len() > above.len() && path.starts_with(above) && path.as_bytes()[above.len()] == b'/'
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_folder(members in proptest::collection::vec(any_member(), 0..40), strip in 0..3usize) {
            let mut targets = Targets::new(strip, Limits::default());
            for member in &members {
                let Ok(placement) = targets.place(member) else { continue };
                let linked: Vec<String> = targets.links.keys().map(|key| path(key)).collect();
                let paths = match placement {
                    Placement::Directory { path } if path == "." => vec![],
                    Placement::Directory { path } | Placement::File { path } => vec![path],
                    Placement::CopyOf { path, of } => {
                        prop_assert_ne!(&path, &of);
                        vec![path, of]
                    }
                    Placement::Remembered | Placement::Skip(_) => vec![],
                };
                for path in &paths {
                    prop_assert!(path.split('/').all(|name| !matches!(name, "" | "." | "..") && !name.contains('\0')));
                    prop_assert!(!linked.iter().any(|link| link == path || within(path, link)), "{path} {linked:?}");
                }
                for a in &linked {
                    prop_assert!(!linked.iter().any(|b| within(a, b)), "{:?}", linked);
                }
                let bytes: usize = targets.links.iter().map(|(key, target)| key.len() + target.len()).sum();
                prop_assert_eq!(bytes, targets.bytes);
            }
            let depths: Vec<_> = targets.into_links().map(|link| link.path.split('/').count()).collect();
            prop_assert!(depths.is_sorted_by(|a, b| a >= b));
        }

        #[test]
        fn never_panics(
            path in proptest::collection::vec(any::<u8>(), 0..30),
            target in proptest::collection::vec(any::<u8>(), 0..30),
        ) {
            let _ = targets().place(&member(path.clone(), MemberKind::Symlink { target: target.clone() }));
            let _ = targets().place(&member(path.clone(), MemberKind::Hardlink { target: target.clone() }));
            climbs(&String::from_utf8_lossy(&path), &String::from_utf8_lossy(&target));
        }
    }
}
