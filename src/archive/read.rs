//! From a stream to members and contents.
//!
//! A [`Reader`] is fed the stream in pieces of any size and answers with [`Event`]s: for each member a
//! [`Event::Member`], its content in the pieces that the input has, and [`Event::EndOfMember`]; at the end mark one
//! [`Event::End`]. It reads what GNU tar writes in each of its formats (v7, oldgnu, gnu, ustar, pax), and what bsdtar
//! and Python's tarfile write.
//!
//! What it promises, whatever the input: it never panics; it holds one block, one extended header of at most
//! [`EXTENDED`] bytes, and at most six names of at most [`NAME`] bytes; and a stream that was cut is never taken for a
//! whole one, for only the end mark ends it (GNU tar would take the end of the input too, where it is at a block's
//! border).

use super::{ArchiveError, BLOCK, Member, MemberKind};

/// Bytes that an extended header may have: a pax header, a GNU long name.
pub const EXTENDED: u64 = 1 << 20;

/// Bytes that a name or a link's target may have. Two hundred folders, each with the longest name of Linux, are 51,200.
pub const NAME: usize = 1 << 16;

/// What a [`Reader`] finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A member begins.
    Member(Member),
    /// Some of a file's content, never empty. Together the pieces of a file have its size, to the byte.
    Content(&'i [u8]),
    /// The member is complete, with all of its content. It comes for each, also for those without content.
    EndOfMember,
    /// The end mark. What may follow it is swallowed: GNU tar fills up to a record of 10,240 bytes.
    End,
}

/// Reads a stream piece by piece.
///
/// ```
/// use aiida_firecrest::archive::{ArchiveError, Event, Member, MemberKind, Reader, write};
///
/// let member = Member { path: b"a.txt".to_vec(), kind: MemberKind::File { size: 5 }, mode: 0o644, mtime: 0 };
/// let mut stream = write::head(&member);
/// stream.extend_from_slice(b"hello");
/// stream.resize(stream.len() + write::padding(5), 0);
/// stream.extend_from_slice(&write::END);
///
/// let mut reader = Reader::new();
/// let mut content = Vec::new();
/// for piece in stream.chunks(100) {
///     let mut rest = piece;
///     loop {
///         let (used, event) = reader.feed(rest)?;
///         rest = &rest[used..];
///         match event {
///             Some(Event::Member(found)) => assert_eq!(found, member),
///             Some(Event::Content(bytes)) => content.extend_from_slice(bytes),
///             Some(Event::EndOfMember | Event::End) => {}
///             None => break,
///         }
///     }
/// }
/// reader.finish()?;
/// assert_eq!(content, b"hello");
/// # Ok::<(), ArchiveError>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    state: State,
    block: [u8; BLOCK],
    /// Bytes of `block` that are there.
    filled: usize,
    /// Bytes of the stream that were read.
    at: u64,
    /// The first block was a header, or zeros.
    begun: bool,
    /// The last block was one of zeros.
    zero: bool,
    /// What pax `g` headers say of all members to come.
    global: Overrides,
    /// What pax `x` headers say of the next member, together with what `g` headers say.
    local: Option<Overrides>,
    /// GNU's long name for the next member.
    long_path: Option<Vec<u8>>,
    /// GNU's long link name for the next member.
    long_target: Option<Vec<u8>>,
}

#[derive(Debug)]
enum State {
    /// Gathering a header.
    Header,
    /// Gathering an extended header.
    Extended { flag: u8, at: u64, left: u64, skip: u64, bytes: Vec<u8> },
    /// In a member, with this much content to come, and this much behind it that is not content.
    Member { left: u64, skip: u64 },
    /// Between a member or an extended header and the next header.
    Skip(u64),
    /// Behind the end mark.
    Done,
    /// It went wrong, and stays so.
    Failed(ArchiveError),
}

/// What extended headers say in place of the header.
#[derive(Debug, Clone, Default)]
struct Overrides {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<i64>,
    /// A record of GNU's sparse formats 0.0, 0.1 or 1.0 was seen.
    sparse: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        Self {
            state: State::Header,
            block: [0; BLOCK],
            filled: 0,
            at: 0,
            begun: false,
            zero: false,
            global: Overrides::default(),
            local: None,
            long_path: None,
            long_target: None,
        }
    }

    /// Reads on. Answers with the bytes of the input that are done with, and with what was found.
    ///
    /// To be called with the bytes that follow, until it finds nothing (None): all of the input is then done with. An
    /// event can come when the input is empty. After an error every call gives the same error.
    pub fn feed<'i>(&mut self, bytes: &'i [u8]) -> Result<(usize, Option<Event<'i>>), ArchiveError> {
        let mut rest = bytes;
        match self.advance(&mut rest) {
            Ok(event) => Ok((bytes.len() - rest.len(), event)),
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    /// To be called when the stream has ended: an error where it did not come to its end mark.
    pub fn finish(&self) -> Result<(), ArchiveError> {
        match &self.state {
            State::Done => Ok(()),
            State::Failed(error) => Err(error.clone()),
            _ => Err(ArchiveError::Truncated { at: self.at }),
        }
    }

    fn advance<'i>(&mut self, rest: &mut &'i [u8]) -> Result<Option<Event<'i>>, ArchiveError> {
        loop {
            match &mut self.state {
                State::Header => {
                    let piece = take(rest, (BLOCK - self.filled) as u64, &mut self.at);
                    self.block[self.filled..self.filled + piece.len()].copy_from_slice(piece);
                    self.filled += piece.len();
                    if self.filled < BLOCK {
                        return Ok(None);
                    }
                    self.filled = 0;
                    if let Some(event) = self.header()? {
                        return Ok(Some(event));
                    }
                }
                State::Extended { flag, at, left, skip, bytes } => {
                    let piece = take(rest, *left, &mut self.at);
                    bytes.extend_from_slice(piece);
                    *left -= piece.len() as u64;
                    if *left > 0 {
                        return Ok(None);
                    }
                    let (flag, at, skip, bytes) = (*flag, *at, *skip, std::mem::take(bytes));
                    self.extended(flag, at, &bytes)?;
                    self.state = State::Skip(skip);
                }
                State::Member { left: 0, skip } => {
                    self.state = State::Skip(*skip);
                    return Ok(Some(Event::EndOfMember));
                }
                State::Member { left, .. } => {
                    let piece = take(rest, *left, &mut self.at);
                    *left -= piece.len() as u64;
                    return Ok((!piece.is_empty()).then_some(Event::Content(piece)));
                }
                State::Skip(0) => self.state = State::Header,
                State::Skip(left) => {
                    let piece = take(rest, *left, &mut self.at);
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    *left -= piece.len() as u64;
                }
                State::Done => {
                    take(rest, u64::MAX, &mut self.at);
                    return Ok(None);
                }
                State::Failed(error) => return Err(error.clone()),
            }
        }
    }

    /// Understands a block that was gathered where a header stands.
    fn header(&mut self) -> Result<Option<Event<'static>>, ArchiveError> {
        let at = self.at - BLOCK as u64;
        let damaged = |why| Err(ArchiveError::Damaged { at, why });
        let block = &self.block;
        if block.iter().all(|byte| *byte == 0) {
            self.begun = true;
            if self.local.is_some() || self.long_path.is_some() || self.long_target.is_some() {
                return damaged("an extended header without a member");
            }
            if !self.zero {
                self.zero = true;
                return Ok(None);
            }
            self.state = State::Done;
            return Ok(Some(Event::End));
        }
        if !checksum(block) {
            return match self.begun {
                true => damaged("the checksum of the header is wrong"),
                false => Err(ArchiveError::NotATar),
            };
        }
        self.begun = true;
        if self.zero {
            // GNU tar stops here with a warning: nobody knows what is lost.
            return damaged("a header behind a block of zeros");
        }
        let Some(size) = number(&block[124..136]).and_then(offset) else {
            return damaged("the size is not a number");
        };
        let flag = block[156];
        match flag {
            // X is Solaris's x.
            b'x' | b'X' | b'g' | b'L' | b'K' => {
                if size > EXTENDED {
                    return Err(ArchiveError::TooLarge { what: "an extended header", limit: EXTENDED });
                }
                self.state = State::Extended {
                    flag,
                    at,
                    left: size,
                    skip: super::write::padding(size) as u64,
                    bytes: Vec::new(),
                };
                Ok(None)
            }
            _ => self.member(flag, size, at).map(|member| Some(Event::Member(member))),
        }
    }

    /// Makes a member of the header and of what was said of it before, and sets out for its content.
    fn member(&mut self, flag: u8, size: u64, at: u64) -> Result<Member, ArchiveError> {
        let block = &self.block;
        let damaged = |why| ArchiveError::Damaged { at, why };
        let said = self.local.take().unwrap_or_else(|| self.global.clone());
        let (long_path, long_target) = (self.long_path.take(), self.long_target.take());
        let path = said.path.or(long_path).unwrap_or_else(|| short_path(block));
        if flag == b'S' || said.sparse {
            return Err(ArchiveError::sparse(&path));
        }
        let mode = number(&block[100..108]).ok_or_else(|| damaged("the mode is not a number"))?;
        let mtime = match said.mtime {
            Some(mtime) => mtime,
            None => number(&block[136..148])
                .and_then(|seconds| i64::try_from(seconds).ok())
                .ok_or_else(|| damaged("the time is not a number"))?,
        };
        let size = said.size.unwrap_or(size);
        let target = || said.target.or(long_target).unwrap_or_else(|| until_nul(&block[157..257]).to_vec());
        let (kind, stored) = match flag {
            // The oldest tars know no directories: a slash at the end of the name makes one. GNU tar holds to it.
            0 | b'0' if path.last() == Some(&b'/') => (MemberKind::Directory, size),
            // 7 is a file in one piece, where a file system knows such.
            0 | b'0' | b'7' => (MemberKind::File { size }, size),
            // Links, devices, directories and FIFOs have no content, whatever the size says: for a directory it may be
            // a quota, for a hard link the size of the file.
            b'1' => (MemberKind::Hardlink { target: target() }, 0),
            b'2' => (MemberKind::Symlink { target: target() }, 0),
            b'5' => (MemberKind::Directory, 0),
            b'3' | b'4' | b'6' => (MemberKind::Other(flag), 0),
            _ => (MemberKind::Other(flag), size),
        };
        let content = if let MemberKind::File { size } = kind { size } else { 0 };
        self.state = State::Member {
            left: content,
            // Both are below 2^63.
            skip: stored - content + super::write::padding(stored) as u64,
        };
        Ok(Member {
            path: match kind {
                MemberKind::Directory => without_slash(&path).to_vec(),
                _ => path,
            },
            kind,
            mode: (mode & 0o7777) as u32,
            mtime,
        })
    }

    /// Keeps what an extended header says.
    fn extended(&mut self, flag: u8, at: u64, bytes: &[u8]) -> Result<(), ArchiveError> {
        match flag {
            b'L' => self.long_path = Some(name(until_nul(bytes))?),
            b'K' => self.long_target = Some(name(until_nul(bytes))?),
            b'g' => self.global.read(bytes, at)?,
            _ => self.local.get_or_insert_with(|| self.global.clone()).read(bytes, at)?,
        }
        Ok(())
    }
}

impl Overrides {
    /// Takes in the records of a pax header: `length key=value newline`, the length in decimal and of all of it. The
    /// last of a key counts, an empty value unsays it, and keys that are not known here are left alone.
    fn read(&mut self, mut bytes: &[u8], at: u64) -> Result<(), ArchiveError> {
        let damaged = |why| ArchiveError::Damaged { at, why };
        // GNU tar stops at a NUL.
        while bytes.first().is_some_and(|byte| *byte != 0) {
            let broken = || damaged("a record of the extended header is broken");
            let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(broken)?;
            let length = decimal(&bytes[..space])
                .and_then(|length| usize::try_from(length).ok())
                .filter(|length| (space + 2..=bytes.len()).contains(length))
                .ok_or_else(broken)?;
            let (record, next) = bytes.split_at(length);
            bytes = next;
            let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(broken)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
            let (key, value) = (&record[..equals], Some(&record[equals + 1..]).filter(|v| !v.is_empty()));
            match key {
                b"path" => self.path = value.map(name).transpose()?,
                b"linkpath" => self.target = value.map(name).transpose()?,
                b"size" => {
                    self.size = value
                        .map(|v| decimal(v).and_then(offset).ok_or_else(|| damaged("the size is not a number")))
                        .transpose()?;
                }
                b"mtime" => {
                    self.mtime =
                        value.map(|v| seconds(v).ok_or_else(|| damaged("the time is not a number"))).transpose()?;
                }
                _ => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }
}

/// Cuts off the front of the input what is wanted of it.
fn take<'i>(rest: &mut &'i [u8], wanted: u64, at: &mut u64) -> &'i [u8] {
    // Compared as u64: a usize of wasm32 has four bytes.
    let n = wanted.min(rest.len() as u64) as usize;
    let (piece, behind) = rest.split_at(n);
    *rest = behind;
    *at += n as u64;
    piece
}

/// A directory's name without the slashes at its end; of slashes alone, one stays.
pub(super) fn without_slash(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte != b'/') {
        Some(last) => &path[..=last],
        None => &path[..path.len().min(1)],
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// A name of an extended header, within its bound.
fn name(bytes: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    if bytes.len() > NAME {
        return Err(ArchiveError::TooLarge { what: "a name", limit: NAME as u64 });
    }
    Ok(bytes.to_vec())
}

/// The name of a header. Only POSIX's magic has a prefix: GNU's (`ustar`, two spaces) keeps times there, and v7 has no
/// magic.
fn short_path(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = until_nul(&block[345..500]);
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
}

/// Is the sum of a header's bytes what it says? The field itself counts as spaces. Some tars summed signed bytes, and
/// GNU tar takes either.
fn checksum(block: &[u8; BLOCK]) -> bool {
    let bytes = || {
        let (before, after) = (&block[..148], &block[156..]);
        before.iter().chain(&[b' '; 8]).chain(after).copied()
    };
    let unsigned: i128 = bytes().map(i128::from).sum();
    let signed: i128 = bytes().map(|byte| i128::from(byte as i8)).sum();
    number(&block[148..156]).is_some_and(|sum| sum == unsigned || sum == signed)
}

/// A number of a header: octal, spaces before it, NUL or space behind it where there is room; or, where the first bit
/// is set, GNU's base 256, which is big-endian two's complement of the other bits. An empty field is zero.
fn number(field: &[u8]) -> Option<i128> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let start = if first & 0x40 != 0 { -1 } else { 0 };
        let high = (start << 7) | i128::from(first & 0x7f);
        // At most twelve bytes, so 95 bits.
        return Some(field[1..].iter().fold(high, |n, byte| (n << 8) | i128::from(*byte)));
    }
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(|byte| !(b'0'..=b'7').contains(byte)).unwrap_or(digits.len());
    let ends_well = digits.get(end).is_none_or(|byte| matches!(byte, 0 | b' '));
    ends_well.then(|| digits[..end].iter().fold(0, |n, digit| (n << 3) | i128::from(digit - b'0')))
}

/// A size that the stream's offsets can count.
fn offset(number: i128) -> Option<u64> {
    u64::try_from(number).ok().filter(|n| i64::try_from(*n).is_ok())
}

/// Decimal digits and nothing else.
fn decimal(text: &[u8]) -> Option<i128> {
    let digits = (1..=20).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |n, digit| n * 10 + i128::from(digit - b'0')))
}

/// Seconds with a fraction, rounded down, as pax(1) has them.
fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = decimal(parts.next()?)?;
    let fraction = parts.next().unwrap_or(b"");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let past = fraction.iter().any(|digit| *digit != b'0');
    i64::try_from(if negative { -whole - i128::from(past) } else { whole }).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::write::{self, END};
    use super::*;
    use proptest::prelude::*;

    /// Everything in a stream that comes in pieces of these sizes, over and over.
    pub fn read_all(stream: &[u8], sizes: &[usize]) -> Result<Vec<(Member, Vec<u8>)>, ArchiveError> {
        let mut reader = Reader::new();
        let mut members: Vec<(Member, Vec<u8>)> = Vec::new();
        let (mut open, mut ended) = (false, false);
        let mut rest = stream;
        let mut sizes = sizes.iter().cycle();
        while !rest.is_empty() {
            let (mut piece, behind) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
            rest = behind;
            loop {
                let (used, event) = reader.feed(piece)?;
                piece = &piece[used..];
                match event {
                    Some(Event::Member(member)) => {
                        assert!(!open && !ended);
                        open = true;
                        members.push((member, Vec::new()));
                    }
                    Some(Event::Content(bytes)) => {
                        assert!(open && !bytes.is_empty());
                        members.last_mut().unwrap().1.extend_from_slice(bytes);
                    }
                    Some(Event::EndOfMember) => {
                        let (member, content) = members.last().unwrap();
                        assert_eq!(content.len() as u64, member.size());
                        assert!(std::mem::take(&mut open));
                    }
                    Some(Event::End) => {
                        assert!(!open && !std::mem::replace(&mut ended, true));
                    }
                    None => {
                        assert_eq!(piece, b"");
                        break;
                    }
                }
            }
        }
        reader.finish()?;
        assert!(ended);
        Ok(members)
    }

    pub fn append(stream: &mut Vec<u8>, member: &Member, content: &[u8]) {
        stream.extend_from_slice(&write::head(member));
        stream.extend_from_slice(content);
        stream.resize(stream.len() + write::padding(content.len() as u64), 0);
    }

    fn archive(members: &[(Member, Vec<u8>)]) -> Vec<u8> {
        let mut stream = Vec::new();
        for (member, content) in members {
            append(&mut stream, member, content);
        }
        stream.extend_from_slice(&END);
        stream
    }

    fn file(path: &str, size: u64) -> Member {
        Member { path: path.into(), kind: MemberKind::File { size }, mode: 0o644, mtime: 7 }
    }

    /// A header with its checksum made right again.
    fn sealed(mut block: Vec<u8>) -> Vec<u8> {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    /// An empty file's header with other bytes in it.
    fn patched(changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut block = write::head(&file("a", 0));
        for (at, bytes) in changes {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        sealed(block)
    }

    /// An extended header.
    fn extended(flag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = patched(&[(124, format!("{:011o}", content.len()).as_bytes()), (156, &[flag])]);
        out.extend_from_slice(content);
        out.resize(out.len() + write::padding(content.len() as u64), 0);
        out
    }

    fn records(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut out = String::new();
        for (key, value) in pairs {
            let length = (1..).find(|n: &usize| n.to_string().len() + key.len() + value.len() + 3 == *n).unwrap();
            out.push_str(&format!("{length} {key}={value}\n"));
        }
        out.into_bytes()
    }

    fn only(blocks: &[Vec<u8>]) -> Result<Member, ArchiveError> {
        let mut members = read_all(&[blocks.concat(), END.to_vec()].concat(), &[1000])?;
        assert_eq!(members.len(), 1);
        Ok(members.remove(0).0)
    }

    #[test]
    fn numbers() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"12 garbage", Some(0o12)),
            (b"0x10\0", None),
            (b"18\0", None),
            (b"-1\0", None),
            (b"", None),
            (b"\x80\0\0\0\0\0\0\x02\x40\0\0\0", Some(9 << 30)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", Some(-256)),
            (b"\xbf\xff", Some(0x3fff)),
        ] {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }

    #[test]
    fn times_are_rounded_down() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1350244992.023960108", Some(1_350_244_992)),
            ("-1", Some(-1)),
            ("-1.0", Some(-1)),
            ("-1.5", Some(-2)),
            ("-0.5", Some(-1)),
            ("5.", Some(5)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775808.5", None),
            ("", None),
            (".5", None),
            ("1e9", None),
            ("1.x", None),
            ("+1", None),
            ("--1", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn slashes_at_the_end() {
        for (path, expected) in [("a/", "a"), ("a//", "a"), ("a", "a"), ("./", "."), ("/", "/"), ("//", "/"), ("", "")]
        {
            assert_eq!(without_slash(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn type_flags() {
        let link = || b"to".to_vec();
        for (flag, name, kind) in [
            (b'0', "a", MemberKind::File { size: 0 }),
            (0, "a", MemberKind::File { size: 0 }),
            (b'7', "a", MemberKind::File { size: 0 }),
            (0, "a/", MemberKind::Directory),
            (b'0', "a/", MemberKind::Directory),
            (b'5', "a", MemberKind::Directory),
            (b'5', "a/", MemberKind::Directory),
            (b'1', "a", MemberKind::Hardlink { target: link() }),
            (b'2', "a", MemberKind::Symlink { target: link() }),
            (b'3', "a", MemberKind::Other(b'3')),
            (b'6', "a", MemberKind::Other(b'6')),
            (b'V', "a", MemberKind::Other(b'V')),
            (0xff, "a", MemberKind::Other(0xff)),
        ] {
            let member = only(&[patched(&[(0, name.as_bytes()), (156, &[flag]), (157, b"to")])]).unwrap();
            assert_eq!((member.kind, member.path), (kind, b"a".to_vec()), "{flag}");
        }
    }

    #[test]
    fn only_files_have_content_and_what_is_unknown_is_passed_over() {
        let size: (usize, &[u8]) = (124, b"00000001001");
        for flag in [b'1', b'2', b'3', b'4', b'5', b'6'] {
            assert_eq!(only(&[patched(&[size, (156, &[flag])])]).unwrap().size(), 0);
        }
        for change in [(156, &b"D"[..]), (0, b"a/")] {
            assert_eq!(only(&[patched(&[size, change]), vec![b'x'; 1024]]).unwrap().size(), 0);
        }
    }

    #[test]
    fn prefixes_are_posix_only() {
        let path = |magic: &[u8]| only(&[patched(&[(257, magic), (345, b"dir")])]).unwrap().path;
        assert_eq!(path(b"ustar\x0000"), b"dir/a");
        assert_eq!(path(b"ustar  \0"), b"a");
        assert_eq!(path(&[0; 8]), b"a");
    }

    #[test]
    fn pax_records() {
        let plain = || patched(&[(157, b"to"), (156, b"2")]);
        let pax = |flag, pairs: &[(&str, &str)]| extended(flag, &records(pairs));
        let path = |blocks: &[Vec<u8>]| String::from_utf8(only(blocks).unwrap().path).unwrap();
        assert_eq!(path(&[pax(b'x', &[("path", "é\n=x")]), plain()]), "é\n=x");
        assert_eq!(path(&[pax(b'X', &[("path", "b")]), plain()]), "b");
        assert_eq!(path(&[pax(b'x', &[("path", "b"), ("path", "c")]), plain()]), "c");
        assert_eq!(path(&[pax(b'x', &[("path", "b"), ("path", "")]), plain()]), "a");
        assert_eq!(path(&[pax(b'x', &[("comment", "b"), ("atime", "x")]), plain()]), "a");
        assert_eq!(path(&[pax(b'g', &[("path", "g")]), plain()]), "g");
        assert_eq!(path(&[pax(b'g', &[("path", "g")]), pax(b'x', &[("path", "b")]), plain()]), "b");
        assert_eq!(path(&[pax(b'g', &[("path", "g")]), pax(b'x', &[("path", "")]), plain()]), "a");
        assert_eq!(path(&[extended(b'x', b""), plain()]), "a");
        assert_eq!(path(&[extended(b'x', b"10 path=b\n\0\0\0"), plain()]), "b");
        assert_eq!(path(&[extended(b'L', b"long\0"), plain()]), "long");
        assert_eq!(path(&[extended(b'L', b"long\0"), pax(b'x', &[("path", "b")]), plain()]), "b");
        let member = only(&[pax(b'x', &[("linkpath", "l"), ("mtime", "-2.5")]), plain()]).unwrap();
        assert_eq!((member.kind, member.mtime), (MemberKind::Symlink { target: b"l".to_vec() }, -3));
        let member = only(&[extended(b'K', b"k\0"), plain()]).unwrap();
        assert_eq!(member.kind, MemberKind::Symlink { target: b"k".to_vec() });
        let sized = [pax(b'x', &[("size", "3")]), patched(&[]), patched(&[])];
        assert_eq!(only(&sized).unwrap().size(), 3);
    }

    #[test]
    fn what_is_said_of_one_member_ends_with_it_and_what_is_said_of_all_does_not() {
        let stream = [
            extended(b'g', &records(&[("mtime", "1")])),
            extended(b'x', &records(&[("mtime", "2"), ("path", "b")])),
            patched(&[]),
            extended(b'L', b"c\0"),
            patched(&[]),
            patched(&[]),
            END.to_vec(),
        ]
        .concat();
        let found: Vec<_> =
            read_all(&stream, &[512]).unwrap().into_iter().map(|(member, _)| (member.path, member.mtime)).collect();
        assert_eq!(found, [(b"b".to_vec(), 2), (b"c".to_vec(), 1), (b"a".to_vec(), 1)]);
    }

    #[test]
    fn broken_headers_are_told() {
        let broken = "a record of the extended header is broken";
        for content in [
            &b"x"[..],
            b" ",
            b"9999 path=b\n",
            b"3 p",
            b"0 \n",
            b"1 \n",
            b"2 \n",
            b"10 path=bc",
            b"8 pathb\n",
            b"9 path=b\nx",
            b"-1 path=b\n",
            b"99999999999999999999 path=b\n",
        ] {
            let result = only(&[extended(b'x', content), patched(&[])]);
            assert_eq!(result, Err(ArchiveError::Damaged { at: 0, why: broken }), "{content:?}");
        }
        for (change, why) in [
            ((124, &b"zzz"[..]), "the size is not a number"),
            ((124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "the size is not a number"),
            ((124, b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), "the size is not a number"),
            ((136, b"zzz"), "the time is not a number"),
            ((136, b"\x80\0\0\x80\0\0\0\0\0\0\0\0"), "the time is not a number"),
            ((100, b"zzz"), "the mode is not a number"),
        ] {
            assert_eq!(only(&[patched(&[change])]), Err(ArchiveError::Damaged { at: 0, why }));
        }
        let stray = [patched(&[]), extended(b'L', b"x"), END.to_vec()].concat();
        let why = "an extended header without a member";
        assert_eq!(read_all(&stray, &[9]), Err(ArchiveError::Damaged { at: 1536, why }));
        let lone = [patched(&[]), vec![0; 512], patched(&[])].concat();
        let why = "a header behind a block of zeros";
        assert_eq!(read_all(&lone, &[9]), Err(ArchiveError::Damaged { at: 1024, why }));
    }

    #[test]
    fn garbage_is_no_tar_and_later_garbage_is_damage() {
        for bytes in [vec![b'x'; 600], [&b"\x1f\x8b\x08"[..], &[0; 600]].concat()] {
            assert_eq!(read_all(&bytes, &[7]), Err(ArchiveError::NotATar));
        }
        let stream = [patched(&[]), vec![b'x'; 512]].concat();
        let why = "the checksum of the header is wrong";
        assert_eq!(read_all(&stream, &[7]), Err(ArchiveError::Damaged { at: 512, why }));
    }

    #[test]
    fn an_error_stays() {
        let mut reader = Reader::new();
        assert_eq!(reader.feed(&[b'x'; 512]), Err(ArchiveError::NotATar));
        assert_eq!(reader.feed(&patched(&[])), Err(ArchiveError::NotATar));
        assert_eq!(reader.finish(), Err(ArchiveError::NotATar));
    }

    #[test]
    fn sparse_files_are_refused() {
        let sparse = Err(ArchiveError::Sparse { path: "a".into() });
        assert_eq!(only(&[patched(&[(156, b"S")])]), sparse);
        for key in ["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.offset"] {
            assert_eq!(only(&[extended(b'x', &records(&[(key, "1")])), patched(&[])]), sparse);
        }
    }

    #[test]
    fn bounds() {
        let long = |flag, n: usize| patched(&[(124, format!("{n:011o}").as_bytes()), (156, &[flag])]);
        for flag in [b'x', b'g', b'L', b'K'] {
            let error = only(&[long(flag, (1 << 20) + 1)]).unwrap_err();
            let what = "an extended header";
            assert_eq!(error, ArchiveError::TooLarge { what, limit: 1 << 20 });
        }
        let name = |n: usize| only(&[extended(b'L', &vec![b'x'; n]), patched(&[])]).map(|m| m.path.len());
        assert_eq!(name(1 << 16), Ok(1 << 16));
        assert_eq!(name((1 << 16) + 1), Err(ArchiveError::TooLarge { what: "a name", limit: 1 << 16 }));
        // A comment may fill the whole of it.
        let comment = "x".repeat((1 << 20) - 17);
        let content = records(&[("comment", &comment)]);
        assert_eq!(content.len(), 1 << 20);
        assert!(only(&[extended(b'x', &content), patched(&[])]).is_ok());
    }

    #[test]
    fn an_archive_of_nothing_and_what_follows_the_end() {
        assert_eq!(read_all(&END, &[512]), Ok(vec![]));
        assert_eq!(read_all(&[0; 10_240], &[100]), Ok(vec![]));
        let trailing = [&END[..], &[b'x'; 5000]].concat();
        assert_eq!(read_all(&trailing, &[100]), Ok(vec![]));
    }

    #[test]
    fn every_cut_is_noticed() {
        let stream = archive(&[
            (file(&"long".repeat(60), 600), vec![b'x'; 600]),
            (Member { kind: MemberKind::Directory, ..file("d", 0) }, vec![]),
        ]);
        assert!(read_all(&stream, &[300]).is_ok());
        for n in 0..stream.len() {
            let at = n as u64;
            assert_eq!(read_all(&stream[..n], &[300]), Err(ArchiveError::Truncated { at }));
        }
    }

    fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
        // Slashes and letters, with any other byte but NUL now and then.
        let byte = prop_oneof![4 => Just(b'/'), 20 => b'a'..b'e', 2 => 1..=255u8];
        prop_oneof![3 => 1..20usize, 2 => 95..110usize, 2 => 150..165usize, 2 => 250..262usize, 1 => Just(longest)]
            .prop_flat_map(move |n| proptest::collection::vec(byte.clone(), n))
    }

    fn member() -> impl Strategy<Value = (Member, Vec<u8>)> {
        let kind = prop_oneof![
            4 => (0..1600u64).prop_map(|size| MemberKind::File { size }),
            1 => Just(MemberKind::Directory),
            1 => bytes(3000).prop_map(|target| MemberKind::Symlink { target }),
            1 => bytes(3000).prop_map(|target| MemberKind::Hardlink { target }),
            1 => prop_oneof![Just(b'3'), Just(b'6'), Just(b'Z')].prop_map(MemberKind::Other),
        ];
        let mtime = prop_oneof![4 => 0..2_000_000_000i64, 1 => any::<i64>(), 1 => (1i64 << 33) - 2..(1 << 33) + 2];
        (bytes(5000), kind, 0..=0o7777u32, mtime, any::<u8>()).prop_map(|(path, kind, mode, mtime, fill)| {
            // A file's name has no slash at its end, a directory's loses it.
            let path = without_slash(&path).to_vec();
            let path = if path == b"/" { b"/a".to_vec() } else { path };
            let member = Member { path, kind, mode, mtime };
            let content = vec![fill; member.size() as usize];
            (member, content)
        })
    }

    fn members() -> impl Strategy<Value = Vec<(Member, Vec<u8>)>> {
        proptest::collection::vec(member(), 0..6)
    }

    fn sizes() -> impl Strategy<Value = Vec<usize>> {
        prop_oneof![Just(vec![1]), Just(vec![1 << 20]), proptest::collection::vec(1..1500usize, 1..8)]
    }

    /// Reads as far as it goes, and holds the reader to its bounds.
    fn survive(stream: &[u8], sizes: &[usize]) -> Result<(), TestCaseError> {
        let mut reader = Reader::new();
        let mut rest = stream;
        let mut sizes = sizes.iter().cycle();
        let mut content = 0;
        'stream: while !rest.is_empty() {
            let (mut piece, behind) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
            rest = behind;
            loop {
                let Ok((used, event)) = reader.feed(piece) else { break 'stream };
                piece = &piece[used..];
                match event {
                    Some(Event::Member(member)) => {
                        prop_assert!(member.path.len() <= NAME && member.mode <= 0o7777);
                    }
                    Some(Event::Content(bytes)) => content += bytes.len(),
                    Some(_) => {}
                    None => break,
                }
                if let State::Extended { bytes, .. } = &reader.state {
                    prop_assert!(bytes.capacity() <= 2 * EXTENDED as usize);
                }
            }
            prop_assert!(piece.is_empty());
        }
        prop_assert!(content <= stream.len() && reader.at <= stream.len() as u64);
        let _ = reader.finish();
        Ok(())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(members in members(), sizes in sizes()) {
            prop_assert_eq!(read_all(&archive(&members), &sizes), Ok(members));
        }

        #[test]
        fn lengths_are_exact((member, content) in member()) {
            let mut stream = Vec::new();
            append(&mut stream, &member, &content);
            prop_assert_eq!(stream.len() as u64, write::length(&member));
            prop_assert_eq!(stream.len() % BLOCK, 0);
        }

        #[test]
        fn sizes_past_any_disk(size in 0..=i64::MAX as u64, path in bytes(300)) {
            let path = [b"a", without_slash(&path), b"a"].concat();
            let member = Member { path, kind: MemberKind::File { size }, mode: 0o600, mtime: 0 };
            let head = write::head(&member);
            let (used, event) = Reader::new().feed(&head).unwrap();
            prop_assert_eq!((used, event), (head.len(), Some(Event::Member(member))));
        }

        #[test]
        fn no_input_panics(stream in proptest::collection::vec(any::<u8>(), 0..3000), sizes in sizes()) {
            survive(&stream, &sizes)?;
        }

        /// With checksums made right, so that the change gets past the door.
        #[test]
        fn no_mutation_panics(
            members in members(),
            sizes in sizes(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1..20usize), 1..12),
            seal in any::<bool>(),
        ) {
            let mut stream = archive(&members);
            for (index, byte, run) in changes {
                let at = index.index(stream.len());
                let end = (at + run).min(stream.len());
                stream[at..end].fill(byte);
                let block = at / BLOCK * BLOCK;
                if seal {
                    let block = &mut stream[block..block + BLOCK];
                    block.copy_from_slice(&sealed(block.to_vec()));
                }
            }
            survive(&stream, &sizes)?;
        }

        #[test]
        fn no_extended_header_panics(
            content in "([0-9]{1,3} |path=|size=|mtime=|linkpath=|GNU.sparse.|[0-9.-]{1,22}|\n|\0|\\PC){0,20}",
        ) {
            survive(&[extended(b'x', content.as_bytes()), patched(&[]), END.to_vec()].concat(), &[100])?;
        }
    }
}
