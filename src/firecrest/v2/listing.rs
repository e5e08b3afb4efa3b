//! From a line of `ops/ls` to an entry.
//!
//! The server runs `ls --quoting-style=c` and takes the quoting half off (`ls_base_command.py`, 2.5.7): `\"` and `\\` are undone, every
//! other escape stays, and non-ASCII bytes are octal escapes, the C locale's way. What is left is undone here. Two names come to the
//! same text on the way, a newline and a backslash followed by `n`, for example: such a text is taken for the escape, for
//! names with newlines and letters beyond ASCII are far more common than names with backslashes.

use super::models::WireEntry;
use crate::error::{Error, Kind, Result};

/// What a name is, by the first letter of `ls -l`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    BlockDevice,
    CharacterDevice,
    Fifo,
    Socket,
    Unknown,
}

impl FileKind {
    /// From `ls -l`.
    pub fn from_letter(letter: &str) -> Self {
        match letter {
            "-" => Self::Regular,
            "d" => Self::Directory,
            "l" => Self::Symlink,
            "b" => Self::BlockDevice,
            "c" => Self::CharacterDevice,
            "p" => Self::Fifo,
            "s" => Self::Socket,
            _ => Self::Unknown,
        }
    }

    /// From `st_mode`, stat(2).
    pub fn from_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::Regular,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o060_000 => Self::BlockDevice,
            0o020_000 => Self::CharacterDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => Self::Unknown,
        }
    }
}

/// One entry, with all that the server says of it. See the WIT record `entry`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Entry {
    pub path: String,
    pub raw_path: Option<Vec<u8>>,
    pub kind: FileKind,
    pub size: u64,
    pub permissions: u32,
    pub owner: String,
    pub group: String,
    pub modified: String,
    pub link_target: Option<String>,
}

impl Entry {
    /// The name behind the last slash.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Makes an entry. A path that is absolute or climbs is refused: nothing that a server says may lead out of the listed directory.
pub fn entry(wire: WireEntry) -> Result<Entry> {
    let (path, raw_path) = text(unescape(&wire.name));
    if path.is_empty() || path.starts_with('/') || path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err(
            Error::new(Kind::Other, format!("the server lists a name that leads elsewhere: '{path}'")).about(path)
        );
    }
    Ok(Entry { path, raw_path, ..attributes(wire) })
}

/// All but the path.
pub fn attributes(wire: WireEntry) -> Entry {
    Entry {
        path: String::new(),
        raw_path: None,
        kind: FileKind::from_letter(&wire.kind),
        size: wire.size,
        permissions: permissions(&wire.permissions),
        owner: wire.user,
        group: wire.group,
        modified: wire.last_modified,
        link_target: wire.link_target.map(|target| text(unescape(&target)).0),
    }
}

/// Text, and the bytes where they are none.
fn text(bytes: Vec<u8>) -> (String, Option<Vec<u8>>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(error.into_bytes())),
    }
}

/// Undoes the escapes of GNU ls (`quotearg.c`, c style). What is no escape stays as it is.
pub fn unescape(name: &str) -> Vec<u8> {
    let bytes = name.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] != b'\\' {
            out.push(bytes[i]);
            i += 1;
            continue;
        }
        let octal = bytes.get(i + 1..i + 4).filter(|d| d[0] <= b'3' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        if let Some(digits) = octal {
            out.push(digits.iter().fold(0, |n, d| (n << 3) | (d - b'0')));
            i += 4;
            continue;
        }
        let simple = bytes.get(i + 1).and_then(|letter| {
            Some(match letter {
                b'a' => 0x07,
                b'b' => 0x08,
                b't' => b'\t',
                b'n' => b'\n',
                b'v' => 0x0b,
                b'f' => 0x0c,
                b'r' => b'\r',
                b'\\' => b'\\',
                b'"' => b'"',
                b'?' => b'?',
                _ => return None,
            })
        });
        match simple {
            Some(byte) => {
                out.push(byte);
                i += 2;
            }
            None => {
                out.push(b'\\');
                i += 1;
            }
        }
    }
    out
}

/// `rwxr-sr-t` to bits; a mark for ACLs behind it (`+`, `.`) is left out, and what is unknown counts as not set.
pub fn permissions(text: &str) -> u32 {
    let mut mode = 0;
    for (i, letter) in text.bytes().take(9).enumerate() {
        let bit = 0o400 >> i;
        let special = [0o4000, 0o2000, 0o1000][i / 3];
        mode |= match letter {
            b'r' | b'w' | b'x' => bit,
            b's' | b't' => bit | special,
            b'S' | b'T' => special,
            _ => 0,
        };
    }
    mode
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(name: &str) -> WireEntry {
        serde_json::from_value(
            serde_json::json!({"name": name, "type": "-", "linkTarget": null, "user": "u", "group": "g",
            "permissions": "rw-r--r--", "lastModified": "2026-11-24T06:19:56", "size": "7"}),
        )
        .unwrap()
    }

    #[test]
    fn recorded_names() {
        for (name, path) in [
            ("sp ace \\303\\251.txt", "sp ace é.txt"),
            ("\\303\\274n\\303\\257.txt", "ünï.txt"),
            ("$HOME.txt", "$HOME.txt"),
            ("back`tick.txt", "back`tick.txt"),
            ("-dash.txt", "-dash.txt"),
            ("new\\nline.txt", "new\nline.txt"),
            ("sub/\\303\\274/x", "sub/ü/x"),
            ("back\\slash", "back\\slash"),
            ("end\\", "end\\"),
            ("\\400", "\\400"),
        ] {
            let entry = entry(wire(name)).unwrap();
            assert_eq!((entry.path.as_str(), entry.raw_path), (path, None));
            assert_eq!((entry.size, entry.permissions, entry.kind), (7, 0o644, FileKind::Regular));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let entry = entry(wire("a\\377b")).unwrap();
        assert_eq!((entry.path.as_str(), entry.raw_path.as_deref()), ("a\u{fffd}b", Some(b"a\xffb".as_slice())));
    }

    #[test]
    fn nothing_leads_elsewhere() {
        for name in ["../x", "/etc/passwd", "a/../../b", "..", ".", "", "a//b", "\\056\\056/x", "\\057etc"] {
            assert!(entry(wire(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn modes() {
        for (text, mode) in [
            ("rwxr-xr-x", 0o755),
            ("rw-------", 0o600),
            ("rwsr-sr-t", 0o7755),
            ("rwSr-Sr-T", 0o7644),
            ("rwxrwxrwx.", 0o777),
            ("rwxr-x---+", 0o750),
            ("???", 0),
            ("", 0),
        ] {
            assert_eq!(permissions(text), mode, "{text}");
        }
    }

    /// What GNU ls and the server do to a name between them.
    fn escape(name: &[u8]) -> String {
        let mut out = String::new();
        for byte in name {
            match byte {
                b'\\' => out.push('\\'),
                b'\n' => out.push_str("\\n"),
                b'\t' => out.push_str("\\t"),
                0x20..0x7f => out.push(*byte as char),
                _ => out.push_str(&format!("\\{byte:03o}")),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn names_without_backslashes_come_back(name in proptest::collection::vec(any::<u8>().prop_filter("", |b| *b != b'\\'), 0..40)) {
            prop_assert_eq!(unescape(&escape(&name)), name);
        }

        #[test]
        fn never_panics(name in "\\PC*") {
            let _ = entry(wire(&name));
            let _ = permissions(&name);
        }
    }
}
