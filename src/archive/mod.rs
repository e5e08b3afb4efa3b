//! Folder trees as tar streams: what a member is, how it is written, how it is read, and where it may land.
//!
//! A tree travels between this machine and the cluster as one tar stream, with GNU tar at the other end. Both sides of
//! it here work block by block: no file, no list of members and no stream is ever held whole, so memory does not grow
//! with the tree. Nothing here reads or writes anything: [`mod@write`] makes the blocks around the contents, [`read`]
//! cuts a stream into members and contents, and [`target`] says where a member may be put, or that it may not. gzip is
//! another layer, around this one.
//!
//! The formats: ustar and pax are POSIX.1-2017 pax(1), "ustar Interchange Format" and "pax Header Block"; GNU's own is
//! the GNU tar manual, "Basic Tar Format" (`tar.h`).

mod error;
#[cfg(all(test, unix))]
mod interop;
pub mod read;
pub mod target;
pub mod write;

pub use error::{ArchiveError, Refusal};
pub use read::{Event, Reader};
pub use target::{Limits, Link, Placement, Skip, Targets};

/// Bytes in a block: a header is one, and contents are padded to whole ones.
pub const BLOCK: usize = 512;

/// One member of an archive, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name in the archive, with slashes. A directory's has no slash at its end here; in the stream it does.
    ///
    /// From a reader it is as hostile as its archive: see [`Targets`]. For a writer it comes from a file system, so it
    /// is not empty and holds no NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// The permission bits with set-user-id, set-group-id and sticky: `0o7777` and nothing beyond.
    pub mode: u32,
    /// Last modification, in whole seconds since 1970, rounded down.
    pub mtime: i64,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File {
        /// Bytes of content.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it says, as it says it.
        target: Vec<u8>,
    },
    /// Another name of a file that came before: GNU tar's way with the second and later links of one file. Trees of
    /// ours have none.
    Hardlink {
        /// The other name, in the archive.
        target: Vec<u8>,
    },
    /// A device, a FIFO, or something that only its maker knows, by its type flag.
    Other(u8),
}

impl Member {
    /// Bytes of content: none but for a file.
    pub fn size(&self) -> u64 {
        match self.kind {
            MemberKind::File { size } => size,
            _ => 0,
        }
    }
}
