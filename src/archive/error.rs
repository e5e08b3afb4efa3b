//! What can be wrong with an archive.

use crate::error::{Error, Kind};
use std::fmt;

/// Why an archive is not read or not unpacked further. Offsets count the bytes of the uncompressed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveError {
    /// The first block is no header.
    NotATar,
    /// The stream ends before its end mark.
    Truncated {
        /// Bytes that came.
        at: u64,
    },
    /// A header that cannot be right.
    Damaged {
        /// Where its block begins.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file stored with its holes left out (`tar --sparse`): its bytes are not the file's bytes.
    Sparse {
        /// The member.
        path: String,
    },
    /// Past a bound that keeps memory small.
    TooLarge {
        /// What is too large or too many.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// A member that may not be unpacked.
    Refused {
        /// The member; bytes that are no UTF-8 are replaced, and a long name is cut.
        path: String,
        /// Why.
        why: Refusal,
    },
}

/// Why a member may not be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has no name.
    Empty,
    /// Its name begins with a slash.
    Absolute,
    /// Its name has a `..`.
    Climbs,
    /// Its name, or its target, has a NUL.
    Nul,
    /// Its name, or its target, is not UTF-8, and the file system's interface takes nothing else.
    NotUtf8,
    /// It lies below a symlink of the same archive.
    BelowSymlink,
    /// It would take the place of a directory that symlinks of the same archive lie in.
    OverDirectory,
    /// A symlink that points to nothing at all.
    EmptyTarget,
    /// A hard link to what is no file of the unpacked tree.
    LinkedElsewhere,
    /// It is a device, a FIFO or unknown: the type flag.
    Special(u8),
}

/// Characters of a name that an error shows.
const SHOWN: usize = 256;

impl ArchiveError {
    /// A refusal of the member with this name.
    pub(super) fn refused(path: &[u8], why: Refusal) -> Self {
        Self::Refused { path: shown(path), why }
    }

    /// A sparse file with this name.
    pub(super) fn sparse(path: &[u8]) -> Self {
        Self::Sparse { path: shown(path) }
    }
}

/// A name for a person: an archive can make it as long as it likes.
fn shown(path: &[u8]) -> String {
    // No character is longer than four bytes; no more than that is looked at.
    let text = String::from_utf8_lossy(&path[..path.len().min(4 * SHOWN + 4)]);
    match text.char_indices().nth(SHOWN) {
        None => text.into_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it has no name",
            Self::Absolute => "its name is absolute",
            Self::Climbs => "its name has a '..'",
            Self::Nul => "there is a NUL in its name or target",
            Self::NotUtf8 => "its name or target is not UTF-8",
            Self::BelowSymlink => "it lies below a symlink of the same archive",
            Self::OverDirectory => "it takes the place of a directory with symlinks of the same archive",
            Self::EmptyTarget => "it is a symlink to nothing",
            Self::LinkedElsewhere => "it is a hard link to something that is no file of this tree",
            Self::Special(b'3' | b'4') => "it is a device",
            Self::Special(b'6') => "it is a FIFO",
            Self::Special(flag) => return write!(f, "it is of an unknown type ({})", flag.escape_ascii()),
        })
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATar => f.write_str("this is not a tar archive"),
            Self::Truncated { at } => write!(f, "the archive ends early, after {at} bytes"),
            Self::Damaged { at, why } => write!(f, "the archive is damaged at byte {at}: {why}"),
            Self::Sparse { path } => write!(f, "'{path}' is stored as a sparse file, which is not supported"),
            Self::TooLarge { what, limit } => write!(f, "{what} in the archive past the limit of {limit}"),
            Self::Refused { path, why } => write!(f, "'{path}' in the archive is not unpacked: {why}"),
        }
    }
}

impl std::error::Error for ArchiveError {}

impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Self {
        let kind = match &error {
            ArchiveError::Sparse { .. } => Kind::Unsupported,
            ArchiveError::TooLarge { .. } => Kind::TooLarge,
            _ => Kind::Other,
        };
        let plain = Self::new(kind, error.to_string());
        match error {
            ArchiveError::Sparse { path } | ArchiveError::Refused { path, .. } => plain.about(path),
            _ => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_member_and_stays_short() {
        let error = ArchiveError::refused(b"caf\xe9", Refusal::NotUtf8);
        assert_eq!(error.to_string(), "'caf\u{fffd}' in the archive is not unpacked: its name or target is not UTF-8");
        let plain = Error::from(error);
        assert_eq!((plain.kind, plain.info.subject.as_deref()), (Kind::Other, Some("caf\u{fffd}")));
        for name in ["é".repeat(100_000).into_bytes(), vec![0xff; 100_000], vec![b'x'; 100_000]] {
            let text = shown(&name);
            assert_eq!((text.chars().count(), text.ends_with('…')), (SHOWN + 1, true));
        }
        assert_eq!(shown(&[b'x'; SHOWN]), "x".repeat(SHOWN));
    }
}
