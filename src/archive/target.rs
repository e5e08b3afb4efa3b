//! Where a member may be put: nowhere but in the folder that the archive is unpacked into.
//!
//! [`Targets::place`] turns a member into a [`Placement`], whose path is relative to that folder, in UTF-8, without `.`, `..`, empty
//! names and NUL. An absolute name or one with a `..` is refused and not bent into shape as GNU tar does: no tree of ours has one.
//! A name that is not UTF-8 is refused too, for the file system's interface in the sandbox takes nothing else, and under another
//! name the member would be lost. So are devices and FIFOs: leaving one out in silence would be no true copy of the tree.
//!
//! **Symlinks are made last.** An archive can hold a symlink to elsewhere and then a member below it. To have no such link on the disk
//! while anything is written, a symlink is only remembered ([`Placement::Remembered`]), and [`Targets::into_links`] gives them all
//! when the stream has ended, the deepest first. A member below a remembered link is refused. On a file system that takes `A` and
//! `a` for one name the comparison can miss, and the order still holds: a link's own parents are made before any link that they
//! could be taken for. So links are made as they are written, also those that lead elsewhere, as AiiDA has it with
//! dereference=False: making one follows none. A caller that would rather refuse those asks [`climbs`].
//!
//! What is left to the caller: the links that were in the folder before. It opens what it writes without following a link, or
//! writes aside and renames, and then the second of two members of one name replaces the first, as with tar.
//!
//! Only links are remembered, within [`Limits`]; files and directories cost no memory, however many there are.

use super::{ArchiveError, Member, MemberKind, Refusal};
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// How much may be remembered. The default takes less than 9 MiB on wasm32 when it is used up: the names, two allocations of
/// at most 16 bytes beyond them and 24 bytes of the map for each link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Symlinks in one archive.
    pub links: usize,
    /// Bytes of their names and targets.
    pub link_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links: 100_000,
            link_bytes: 4 << 20,
        }
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
    /// Write a copy of a file that came before; the sandbox makes no promise of hard links, and the bytes are what counts.
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
    /// Key and target of each link. A key is a path with NULs for slashes, which sort before everything: what lies below a path
    /// then follows it with nothing in between. No link lies below another.
    links: BTreeMap<Box<str>, Box<str>>,
    /// Bytes in `links`.
    bytes: usize,
}

impl Targets {
    /// The rules for an archive whose names lose their first `strip` components.
    pub fn new(strip: usize, limits: Limits) -> Self {
        Self {
            strip,
            limits,
            links: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Says where a member goes. To be asked for each, in the order of the archive; after an error nothing more of it is to be
    /// unpacked.
    pub fn place(&mut self, member: &Member) -> Result<Placement, ArchiveError> {
        let refused = |why| ArchiveError::refused(&member.path, why);
        let key = key(&member.path, self.strip).map_err(refused)?;
        if let MemberKind::Other(flag) = member.kind {
            return Err(refused(Refusal::Special(flag)));
        }
        let key = match key {
            Some(key) if !key.is_empty() => key,
            Some(_) if member.kind == MemberKind::Directory => return Ok(Placement::Directory { path: ".".into() }),
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
                let target = std::str::from_utf8(target).map_err(|_| refused(Refusal::NotUtf8))?;
                if target.is_empty() {
                    return Err(refused(Refusal::EmptyTarget));
                }
                if target.contains('\0') {
                    return Err(refused(Refusal::Nul));
                }
                self.remember(key, target.into())
            }
            MemberKind::Hardlink { target } => self.hardlink(key, target).map_err(|error| match error {
                Ok(error) => error,
                Err(why) => refused(why),
            })?,
            MemberKind::Other(flag) => Err(refused(Refusal::Special(*flag))),
        }
    }

    /// All links that stay, to be made in this order when the rest of the archive is in place: the deepest first.
    pub fn into_links(self) -> impl ExactSizeIterator<Item = Link> {
        let mut links: Vec<_> = self.links.into_iter().collect();
        let depth = |key: &str| key.bytes().filter(|byte| *byte == 0).count();
        links.sort_unstable_by(|(a, _), (b, _)| depth(b).cmp(&depth(a)).then_with(|| a.cmp(b)));
        links.into_iter().map(|(key, target)| Link {
            path: path(&key),
            target: target.into(),
        })
    }
}
