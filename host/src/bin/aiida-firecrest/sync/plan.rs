//! What to do, by pure rules: two trees in, a plan out.

use std::collections::{BTreeMap, BTreeSet};

/// Paths relative to the folder, with what is there. A path sorts before what lies below it.
pub(super) type Tree = BTreeMap<String, Item>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link(String),
    /// Neither: left alone on both sides, and what is below it, too.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    pub(super) mode: u32,
    /// Unix time of the last change, as far as it is known.
    pub(super) modified: Option<i64>,
}

impl Item {
    /// Bytes that a transfer moves.
    pub(super) fn size(&self) -> u64 {
        if self.kind == Kind::File { self.bytes } else { 0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Differs(&'static str),
    /// SHA-256 has to decide.
    Unsure,
}

/// Are two files of one path the same? A file of another size is not; one of the same size and time is, unless checksums are wanted; of
/// everything else the checksum decides.
pub(super) fn verdict(source: &Item, target: &Item, checksum: bool) -> Verdict {
    if source.bytes != target.bytes {
        return Verdict::Differs("size");
    }
    if source.bytes == 0 || (!checksum && same_time(source.modified, target.modified)) {
        return Verdict::Same;
    }
    Verdict::Unsure
}

/// To the second. The cluster's zone is known for one day of the year alone: with summer time an hour is added or missing.
fn same_time(one: Option<i64>, other: Option<i64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => matches!(one.abs_diff(other), 0 | 3600),
        _ => false,
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Files on both sides, to be looked at.
    pub(super) both: Vec<String>,
    /// Files and symlinks to move, and why.
    pub(super) copies: BTreeMap<String, &'static str>,
    /// Directories that the target lacks.
    pub(super) directories: Vec<String>,
    /// Things of another kind that have to go first.
    pub(super) displaced: Vec<String>,
    /// What the source does not have and has to go.
    pub(super) removals: Vec<String>,
    /// What the source does not have and may stay.
    pub(super) extras: Vec<String>,
    /// Permissions for files that are the same otherwise.
    pub(super) modes: BTreeMap<String, u32>,
    pub(super) skipped: Vec<String>,
    pub(super) unchanged: usize,
}

impl Plan {
    /// The error is the path of a directory that is in the way.
    pub(super) fn new(source: &Tree, target: &Tree, delete: bool) -> Result<Plan, String> {
        let mut plan = Plan::default();
        let mut gone: BTreeSet<&str> = BTreeSet::new();
        let mut closed: BTreeSet<&str> = BTreeSet::new();
        for (path, item) in source {
            if item.kind == Kind::Other {
                plan.skipped.push(path.clone());
                closed.insert(path);
                continue;
            }
            let there = target.get(path).filter(|_| !above(path).any(|path| gone.contains(path)));
            let mut reason = "new";
            match there {
                None => {}
                Some(there) if there.kind == Kind::Other => {
                    plan.skipped.push(path.clone());
                    closed.insert(path);
                    continue;
                }
                Some(there) => match (&item.kind, &there.kind) {
                    (Kind::Directory, Kind::Directory) => continue,
                    (Kind::File, Kind::File) => {
                        plan.both.push(path.clone());
                        continue;
                    }
                    (Kind::Link(one), Kind::Link(other)) if one == other => {
                        plan.unchanged += 1;
                        continue;
                    }
                    (one, other) => {
                        if *other == Kind::Directory && !delete {
                            return Err(path.clone());
                        }
                        plan.displaced.push(path.clone());
                        gone.insert(path);
                        reason = if matches!((one, other), (Kind::Link(_), Kind::Link(_))) { "target" } else { "kind" };
                    }
                },
            }
            if above(path).any(|path| closed.contains(path)) {
                plan.skipped.push(path.clone());
            } else if item.kind == Kind::Directory {
                plan.directories.push(path.clone());
            } else {
                plan.copies.insert(path.clone(), reason);
            }
        }
        let mut extra: BTreeSet<&str> = BTreeSet::new();
        for (path, item) in target {
            let handled = |path: &str| gone.contains(path) || extra.contains(path) || closed.contains(path);
            if source.contains_key(path) || above(path).any(handled) {
                continue;
            }
            extra.insert(path);
            match (delete, &item.kind) {
                (true, Kind::Other) => plan.skipped.push(path.clone()),
                (true, _) => plan.removals.push(path.clone()),
                (false, _) => plan.extras.push(path.clone()),
            }
        }
        Ok(plan)
    }

    pub(super) fn copy(&mut self, path: String, reason: &'static str) {
        self.copies.insert(path, reason);
    }

    /// The bytes are the same. Of the permissions the owner's are compared: the others follow from each side's umask.
    pub(super) fn same(&mut self, path: &str, source: &Item, target: &Item) {
        if (source.mode ^ target.mode) & 0o700 == 0 {
            self.unchanged += 1;
        } else {
            self.modes.insert(path.to_owned(), source.mode & 0o777);
        }
    }
}

/// The directories above a path, the nearest first.
pub(super) fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |path| parent(path))
}

pub(super) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// May a name from elsewhere be joined to a folder of this machine?
pub(super) fn is_inside(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

/// The first path that lies below something that is no directory.
pub(super) fn below_no_directory(tree: &Tree) -> Option<&str> {
    tree.keys()
        .find(|path| above(path).any(|path| tree.get(path).is_some_and(|item| item.kind != Kind::Directory)))
        .map(String::as_str)
}

/// How files come from the cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// A directory as a whole (empty: the folder itself); of what comes, only what is needed is kept.
    Whole(String),
    File(String),
}

/// What a directory as a whole costs in requests: stat, pack, fetch, remove, and one more for a place to pack in.
const WHOLE: usize = 5;
/// What the server sends in one answer; an archive over it is fetched file by file anyway, after it was packed in vain.
const ARCHIVE: u64 = 3_900_000;

/// A directory comes as a whole where more files are needed than that costs in requests, where they are at least half of its bytes,
/// and where it fits one answer; else each file by itself. One with a symlink to an absolute path does not come as a whole: the plugin's
/// sandbox makes no such link, and the plugin would refuse it all.
pub(super) fn groups(source: &Tree, needed: &BTreeSet<&str>) -> Vec<Group> {
    #[derive(Default)]
    struct Sum {
        needed: usize,
        bytes: u64,
        all: u64,
        archive: u64,
        refused: bool,
    }
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for (path, item) in source {
        for directory in above(path).chain([""]) {
            let sum = sums.entry(directory).or_default();
            sum.all += item.size();
            sum.refused |= matches!(&item.kind, Kind::Link(target) if target.starts_with('/'));
            // A head, and blocks of 512 bytes; a long name has a second head.
            sum.archive += item.size().next_multiple_of(512) + if path.len() > 90 { 1536 } else { 512 };
            if needed.contains(path.as_str()) {
                sum.needed += 1;
                sum.bytes += item.size();
            }
        }
    }
    let mut whole: BTreeSet<&str> = BTreeSet::new();
    for (directory, sum) in &sums {
        let covered = above(directory).chain([""]).any(|path| whole.contains(path));
        if !covered && !sum.refused && sum.needed > WHOLE && sum.bytes * 2 >= sum.all && sum.archive <= ARCHIVE {
            whole.insert(directory);
        }
    }
    let mut groups: Vec<Group> = whole.iter().map(|directory| Group::Whole((*directory).to_owned())).collect();
    let single = needed.iter().filter(|path| !above(path).chain([""]).any(|path| whole.contains(path)));
    groups.extend(single.map(|path| Group::File((*path).to_owned())));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, bytes: u64, modified: Option<i64>) -> Item {
        Item { kind, bytes, mode: 0o644, modified }
    }

    fn file(bytes: u64) -> Item {
        item(Kind::File, bytes, Some(1000))
    }

    fn directory() -> Item {
        item(Kind::Directory, 4096, None)
    }

    fn link(target: &str) -> Item {
        item(Kind::Link(target.into()), 1, None)
    }

    fn tree(items: &[(&str, Item)]) -> Tree {
        items.iter().map(|(path, item)| ((*path).to_owned(), item.clone())).collect()
    }

    #[test]
    fn size_then_time_then_checksum() {
        let at = |bytes, modified| item(Kind::File, bytes, modified);
        let rule = |one: &Item, other: &Item| verdict(one, other, false);
        assert_eq!(rule(&at(1, Some(5)), &at(2, Some(5))), Verdict::Differs("size"));
        assert_eq!(rule(&at(1, Some(5)), &at(1, Some(5))), Verdict::Same);
        assert_eq!(rule(&at(1, Some(5)), &at(1, Some(3605))), Verdict::Same, "summer time");
        for other in [Some(6), Some(3606), Some(7205), None] {
            assert_eq!(rule(&at(1, Some(5)), &at(1, other)), Verdict::Unsure, "{other:?}");
        }
        assert_eq!(rule(&at(0, Some(5)), &at(0, None)), Verdict::Same, "empty files need no checksum");
        assert_eq!(verdict(&at(1, Some(5)), &at(1, Some(5)), true), Verdict::Unsure);
    }

    #[test]
    fn only_what_differs_is_done() {
        let source = tree(&[
            ("a", file(1)),
            ("d", directory()),
            ("d/new", file(2)),
            ("d/same", link("x")),
            ("e", directory()),
            ("l", link("now")),
        ]);
        let target = tree(&[
            ("a", file(1)),
            ("d", directory()),
            ("d/same", link("x")),
            ("l", link("before")),
            ("old", directory()),
            ("old/x", file(1)),
        ]);
        let plan = Plan::new(&source, &target, false).unwrap();
        assert_eq!(plan.both, ["a"]);
        assert_eq!(plan.copies, BTreeMap::from([("d/new".into(), "new"), ("l".into(), "target")]));
        assert_eq!((plan.directories, plan.displaced), (vec!["e".to_owned()], vec!["l".to_owned()]));
        assert_eq!((plan.removals, plan.extras, plan.unchanged), (vec![], vec!["old".to_owned()], 1));
        let plan = Plan::new(&source, &target, true).unwrap();
        assert_eq!((plan.removals, plan.extras), (vec!["old".to_owned()], vec![]));
    }

    #[test]
    fn a_directory_gives_way_only_to_delete() {
        let source = tree(&[("a", file(1)), ("b", directory()), ("b/x", file(1))]);
        let target = tree(&[("a", directory()), ("a/x", file(1)), ("b", link("/etc"))]);
        assert_eq!(Plan::new(&source, &target, false), Err("a".to_owned()));
        let plan = Plan::new(&source, &target, true).unwrap();
        assert_eq!(plan.displaced, ["a", "b"]);
        assert!(plan.removals.is_empty(), "what is below goes with it");
        assert_eq!(plan.copies, BTreeMap::from([("a".into(), "kind"), ("b/x".into(), "new")]));
        assert_eq!(plan.directories, ["b"]);
    }

    #[test]
    fn devices_are_left_alone() {
        let source = tree(&[("d", directory()), ("d/x", file(1)), ("s", item(Kind::Other, 0, None))]);
        let target = tree(&[("d", item(Kind::Other, 0, None)), ("s", file(1)), ("t", item(Kind::Other, 0, None))]);
        let plan = Plan::new(&source, &target, true).unwrap();
        assert!(plan.copies.is_empty() && plan.removals.is_empty() && plan.displaced.is_empty(), "{plan:?}");
        assert_eq!(plan.skipped, ["d", "d/x", "s", "t"]);
    }

    #[test]
    fn the_owners_permissions_count() {
        let mut plan = Plan::default();
        let with = |mode| Item { mode, ..file(1) };
        plan.same("a", &with(0o755), &with(0o644));
        plan.same("b", &with(0o644), &with(0o600));
        assert_eq!((plan.modes, plan.unchanged), (BTreeMap::from([("a".into(), 0o755)]), 1));
    }

    #[test]
    fn names_that_lead_elsewhere_are_told() {
        for path in ["", "/a", "..", "a/../b", "a//b", "./a", "a/", "a\0"] {
            assert!(!is_inside(path), "{path:?}");
        }
        assert!(is_inside("a/..b/c d\n") && is_inside("...") && is_inside("\\..\\x"));
        let trap = tree(&[("a", link("/etc")), ("a/passwd", file(1))]);
        assert_eq!(below_no_directory(&trap), Some("a/passwd"));
        assert_eq!(below_no_directory(&tree(&[("a", directory()), ("a/b", file(1)), ("c/d", file(1))])), None);
    }

    #[test]
    fn many_files_come_as_a_whole_and_few_by_themselves() {
        let names: Vec<String> = (0..20).map(|i| format!("d/{i:02}")).collect();
        let mut source: Tree = names.iter().map(|name| (name.clone(), file(10))).collect();
        source.insert("d".into(), directory());
        source.insert("big".into(), file(1 << 30));
        let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(groups(&source, &all), [Group::Whole("d".into())]);
        let some: BTreeSet<&str> = names[..5].iter().map(String::as_str).collect();
        assert_eq!(groups(&source, &some).len(), 5);
        let both: BTreeSet<&str> = all.iter().copied().chain(["big"]).collect();
        assert_eq!(groups(&source, &both), [Group::Whole("d".into()), Group::File("big".into())]);
        source.remove("big");
        assert_eq!(groups(&source, &all), [Group::Whole(String::new())]);
        source.insert("near".into(), link("../x"));
        assert_eq!(groups(&source, &all), [Group::Whole(String::new())]);
        source.insert("far".into(), link("/etc"));
        assert_eq!(groups(&source, &all), [Group::Whole("d".into())]);
    }
}
