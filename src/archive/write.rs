//! The blocks before, behind and after the contents of an archive that is written.
//!
//! A stream is, for each member, its [`head`], its content, [`padding`] zeros; and [`END`] at the end. It is the same
//! for the same tree: no owner (user and group 0 without a name, so that whoever unpacks it owns the files), no time
//! but the files' own.
//!
//! A member is a ustar header where that can say all of it, and else a pax extended header before it. Names go into
//! ustar as the bytes they are, UTF-8 or not: every tar in use keeps them, and GNU tar unpacks them alike in every
//! locale. In a pax record GNU tar takes a name for UTF-8 and turns it into its locale's encoding, or keeps the bytes
//! where that fails, as in the C locale; so in a Latin-1 locale, and only there, a name of over 100 bytes with letters
//! beyond ASCII lands in Latin-1.

use super::{BLOCK, Member, MemberKind};

/// The end of an archive: two blocks of zeros.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Bytes of a ustar header's name and link name; a name may be this long, and then has no NUL behind it.
const NAME: usize = 100;
/// Bytes of a ustar header's prefix, which joins the name with a slash.
const PREFIX: usize = 155;
/// The first number that eleven octal digits, the size and the time of a ustar header, cannot say.
const OCTAL_END: u64 = 1 << 33;

/// The blocks that precede the content of a member.
pub fn head(member: &Member) -> Vec<u8> {
    let path = stored_path(member);
    let (flag, target) = match &member.kind {
        MemberKind::File { .. } => (b'0', &[][..]),
        MemberKind::Hardlink { target } => (b'1', target.as_slice()),
        MemberKind::Symlink { target } => (b'2', target.as_slice()),
        MemberKind::Directory => (b'5', &[][..]),
        MemberKind::Other(flag) => (*flag, &[][..]),
    };
    let split = split(&path);
    let seconds = u64::try_from(member.mtime).ok().filter(|n| *n < OCTAL_END);
    let size = Some(member.size()).filter(|n| *n < OCTAL_END);

    let mut records = Vec::new();
    if split.is_none() {
        record(&mut records, "path", &path);
    }
    if target.len() > NAME || target.contains(&0) {
        record(&mut records, "linkpath", target);
    }
    if size.is_none() {
        record(&mut records, "size", member.size().to_string().as_bytes());
    }
    if seconds.is_none() {
        record(&mut records, "mtime", member.mtime.to_string().as_bytes());
    }

    let mut out = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        // A tar that knows no pax would unpack the records as a file of this name; Python's tarfile gives it the same.
        let header = Header {
            name: b"././@PaxHeader",
            mode: 0o644,
            size: records.len() as u64,
            flag: b'x',
            ..Header::default()
        };
        out.extend_from_slice(&header.block());
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
    }
    // What the records say takes the place of these fields, which hold what fits.
    let (prefix, name) = split.unwrap_or((&[], &path));
    let header = Header {
        prefix,
        name,
        mode: member.mode & 0o7777,
        size: size.unwrap_or(0),
        mtime: seconds.unwrap_or(0),
        flag,
        target,
    };
    out.extend_from_slice(&header.block());
    out
}

/// Zeros behind a content of this size, to the next whole block.
pub fn padding(size: u64) -> usize {
    // Less than a block, so it fits any usize.
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// Bytes that a member takes in the stream: its head, its content and the padding.
pub fn length(member: &Member) -> u64 {
    let size = member.size();
    (head(member).len() as u64).saturating_add(size).saturating_add(padding(size) as u64)
}

/// The name in the stream. The slash at its end is what makes a directory of it in the oldest readers, and what would
/// make a directory of a file in GNU tar.
fn stored_path(member: &Member) -> Vec<u8> {
    let mut path = super::read::without_slash(&member.path).to_vec();
    if member.kind == MemberKind::Directory && path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path
}

/// Prefix and name, where a path fits in a ustar header; the slash between them is not stored. A NUL would end either
/// early.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.contains(&0) {
        return None;
    }
    if path.len() <= NAME {
        return Some((&[], path));
    }
    // The name as long as it can be. Neither part may be empty: an empty prefix does not join, so an absolute path
    // would lose its slash, and an empty name is no name.
    let first = path.len() - NAME - 1;
    let slash = first + path[first..path.len() - 1].iter().position(|byte| *byte == b'/')?;
    (1..=PREFIX).contains(&slash).then(|| (&path[..slash], &path[slash + 1..]))
}

/// Appends a pax record, `length key=value newline`. The length counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A ustar header. Names that are too long are cut.
#[derive(Default)]
struct Header<'a> {
    prefix: &'a [u8],
    name: &'a [u8],
    mode: u32,
    size: u64,
    mtime: u64,
    flag: u8,
    target: &'a [u8],
}

impl Header<'_> {
    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, room: usize, bytes: &[u8]| {
            let n = bytes.len().min(room);
            block[at..at + n].copy_from_slice(&bytes[..n]);
        };
        put(0, NAME, self.name);
        put(100, 8, format!("{:07o}", self.mode).as_bytes());
        // User and group.
        put(108, 8, b"0000000");
        put(116, 8, b"0000000");
        put(124, 12, format!("{:011o}", self.size).as_bytes());
        put(136, 12, format!("{:011o}", self.mtime).as_bytes());
        // The checksum counts itself as spaces.
        put(148, 8, b"        ");
        put(156, 1, &[self.flag]);
        put(157, NAME, self.target);
        put(257, 8, b"ustar\x0000");
        // Device numbers.
        put(329, 8, b"0000000");
        put(337, 8, b"0000000");
        put(345, PREFIX, self.prefix);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: impl Into<Vec<u8>>, size: u64) -> Member {
        Member { path: path.into(), kind: MemberKind::File { size }, mode: 0o644, mtime: 1_700_000_000 }
    }

    /// The records of the extended header, if there is one.
    fn records(member: &Member) -> Option<String> {
        let head = head(member);
        (head[156] == b'x')
            .then(|| String::from_utf8_lossy(&head[BLOCK..head.len() - BLOCK]).trim_end_matches('\0').to_owned())
    }

    #[test]
    fn a_plain_header_is_ustar_to_the_byte() {
        let head = head(&file("dir/é.txt", 5));
        assert_eq!(head.len(), BLOCK);
        for (at, bytes) in [
            (0, &b"dir/\xc3\xa9.txt\0"[..]),
            (100, b"0000644\0"),
            (108, b"0000000\0"),
            (116, b"0000000\0"),
            (124, b"00000000005\0"),
            (136, b"14524770400\0"),
            (156, b"0\0"),
            (257, b"ustar\x0000"),
            (265, &[0; 64]),
            (345, &[0; 167]),
        ] {
            assert_eq!(&head[at..at + bytes.len()], bytes, "at {at}");
        }
        assert_eq!(&head[154..156], b"\0 ");
    }

    #[test]
    fn names_take_the_prefix_before_they_take_pax() {
        let long = |n: usize| "x".repeat(n);
        for (path, expected) in [
            (long(100), Some(("".to_owned(), long(100)))),
            (long(101), None),
            (format!("d/{}", long(98)), Some((String::new(), format!("d/{}", long(98))))),
            (format!("d/{}", long(99)), Some(("d".into(), long(99)))),
            (format!("d/{}", long(101)), None),
            (format!("{}/{}", long(155), long(100)), Some((long(155), long(100)))),
            (format!("{}/{}", long(156), long(10)), None),
            (format!("/{}", long(100)), None),
            (format!("{}/", long(100)), None),
            (format!("d/{}/", long(99)), Some(("d".into(), format!("{}/", long(99))))),
            (format!("{}/{}", long(60), long(60)), Some((long(60), long(60)))),
            ("nul\0".into(), None),
        ] {
            let parts = split(path.as_bytes());
            let expected = expected.as_ref().map(|(a, b)| (a.as_bytes(), b.as_bytes()));
            assert_eq!(parts, expected, "{path}");
        }
    }

    #[test]
    fn pax_says_only_what_ustar_cannot() {
        let plain = file("a", (1 << 33) - 1);
        assert_eq!(records(&plain), None);
        assert_eq!(records(&file("a", 1 << 33)).unwrap(), "19 size=8589934592\n");
        let early = Member { mtime: -1, ..plain.clone() };
        assert_eq!(records(&early).unwrap(), "12 mtime=-1\n");
        let late = Member { mtime: 1 << 33, ..plain };
        assert_eq!(records(&late).unwrap(), "20 mtime=8589934592\n");
        let link = |n| Member { kind: MemberKind::Symlink { target: vec![b't'; n] }, ..file("a", 0) };
        assert_eq!(records(&link(100)), None);
        assert_eq!(records(&link(101)).unwrap(), format!("115 linkpath={}\n", "t".repeat(101)));
        assert_eq!(records(&file("p".repeat(101), 0)).unwrap(), format!("111 path={}\n", "p".repeat(101)));
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for n in 0..2000 {
            let mut out = Vec::new();
            record(&mut out, "path", &vec![b'x'; n]);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.split_once(' ').unwrap().0, text.len().to_string());
        }
    }

    #[test]
    fn padding_fills_the_block() {
        for (size, expected) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511), (u64::MAX, 1), (1 << 40, 0)] {
            assert_eq!(padding(size), expected, "{size}");
        }
        assert_eq!(length(&file("a", 0)), 512);
        assert_eq!(length(&file("a", 1)), 1024);
        assert_eq!(length(&file("a", 1 << 33)), 1536 + (1 << 33));
        assert_eq!(length(&file("a", u64::MAX)), u64::MAX);
    }

    #[test]
    fn a_directory_has_a_slash_and_a_file_has_none() {
        let directory = |path: &str| Member { kind: MemberKind::Directory, ..file(path, 0) };
        for (member, name) in [
            (directory("a"), &b"a/\0"[..]),
            (directory("a/"), b"a/\0"),
            (directory("."), b"./\0"),
            (file("a/", 0), b"a\0"),
        ] {
            assert_eq!(&head(&member)[..name.len()], name);
        }
    }
}
