//! Expands Slurm's lists of nodes.
//!
//! [`expand`] turns `nid00[684-685,722],login1` into the three names it stands for, in order and with leading zeros
//! kept, by the rules of Slurm's host lists (scontrol(1), `show hostnames`): a name may hold several brackets, and the
//! last one varies fastest. Base-36 ranges, which old machines had, are not known.
//!
//! The list comes from a server, so its cost is bounded before anything is expanded: never more than [`MAX_NODES`]
//! names of [`MAX_NAME_LENGTH`] characters.

use std::fmt;

/// The longest list that is expanded. The largest machines have some ten thousand nodes.
pub const MAX_NODES: usize = 100_000;

/// The longest name of a node: what a domain name may have.
pub const MAX_NAME_LENGTH: usize = 253;

/// Why a list of nodes cannot be expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidNodeList {
    /// It stands for more than [`MAX_NODES`] names.
    TooMany,
    /// It holds a name longer than [`MAX_NAME_LENGTH`].
    NameTooLong,
    /// It is not written as lists of nodes are.
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from its beginning.
        at: usize,
    },
}

impl fmt::Display for InvalidNodeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "the list of nodes stands for more than {MAX_NODES} names"),
            Self::NameTooLong => write!(f, "the list of nodes holds a name of more than {MAX_NAME_LENGTH} characters"),
            Self::Malformed { what, at } => write!(f, "the list of nodes is malformed at byte {at}: {what}"),
        }
    }
}

impl std::error::Error for InvalidNodeList {}

/// A piece of one name.
enum Piece<'a> {
    Text(&'a str),
    Numbers(Vec<Range>),
}

/// Numbers from `first` to `last`, filled up with zeros to `width` digits.
#[derive(Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
    width: usize,
}

impl Range {
    /// How many numbers, or more than anybody may ask for.
    fn count(&self) -> usize {
        usize::try_from(self.last - self.first).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// How many characters its longest number has.
    fn length(&self) -> usize {
        let digits = self.last.checked_ilog10().unwrap_or(0) as usize + 1;
        digits.max(self.width)
    }
}

/// The names that a list stands for.
///
/// A job without nodes has none: Slurm then writes nothing, `None assigned`, `(null)`, or the reason for waiting in
/// parentheses.
pub fn expand(list: &str) -> Result<Vec<String>, InvalidNodeList> {
    let trimmed = list.trim();
    if trimmed.is_empty()
        || trimmed.eq_ignore_ascii_case("none assigned")
        || (trimmed.starts_with('(') && trimmed.ends_with(')'))
    {
        return Ok(Vec::new());
    }

    let mut names = Vec::new();
    let mut reader = Reader { text: list, at: 0 };
    loop {
        reader.skip_separators();
        if reader.peek().is_none() {
            return Ok(names);
        }
        let pieces = reader.name()?;
        let count = pieces.iter().fold(1, |count: usize, piece| match piece {
            Piece::Text(_) => count,
            Piece::Numbers(ranges) => {
                count.saturating_mul(ranges.iter().fold(0, |sum: usize, range| sum.saturating_add(range.count())))
            }
        });
        if count > MAX_NODES - names.len() {
            return Err(InvalidNodeList::TooMany);
        }
        let length = pieces.iter().fold(0, |length, piece| {
            length
                + match piece {
                    Piece::Text(text) => text.len(),
                    Piece::Numbers(ranges) => ranges.iter().map(Range::length).max().unwrap_or(0),
                }
        });
        if length > MAX_NAME_LENGTH {
            return Err(InvalidNodeList::NameTooLong);
        }
        push_names(&pieces, &mut names);
    }
}

/// Appends every name that the pieces make. The recursion is as deep as there are pieces in a name, and each is at
/// least one character of it: [`MAX_NAME_LENGTH`] bounds it.
fn push_names(pieces: &[Piece<'_>], names: &mut Vec<String>) {
    fn extend(pieces: &[Piece<'_>], name: &mut String, names: &mut Vec<String>) {
        let Some((piece, rest)) = pieces.split_first() else {
            names.push(name.clone());
            return;
        };
        let before = name.len();
        match piece {
            Piece::Text(text) => {
                name.push_str(text);
                extend(rest, name, names);
            }
            Piece::Numbers(ranges) => {
                for range in ranges {
                    for number in range.first..=range.last {
                        name.push_str(&format!("{number:0width$}", width = range.width));
                        extend(rest, name, names);
                        name.truncate(before);
                    }
                }
            }
        }
        name.truncate(before);
    }
    extend(pieces, &mut String::new(), names);
}

/// Reads a list from left to right, each character once.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, InvalidNodeList> {
        Err(InvalidNodeList::Malformed { what, at: self.at })
    }

    /// Slurm takes a comma too many as none.
    fn skip_separators(&mut self) {
        while self.peek().is_some_and(|c| c == b',' || c.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// The longest run of bytes that `accept` takes; they must be ASCII.
    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&accept) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn name(&mut self) -> Result<Vec<Piece<'a>>, InvalidNodeList> {
        let mut pieces = Vec::new();
        loop {
            match self.peek() {
                Some(b'[') => {
                    self.at += 1;
                    pieces.push(Piece::Numbers(self.ranges()?));
                }
                Some(c) if is_name_character(c) => pieces.push(Piece::Text(self.take_while(is_name_character))),
                Some(c) if c != b',' && !c.is_ascii_whitespace() => {
                    return self.malformed("this character is in no node's name");
                }
                _ => return Ok(pieces),
            }
            // Stops a name of endless brackets early.
            if pieces.len() > MAX_NAME_LENGTH {
                return Err(InvalidNodeList::NameTooLong);
            }
        }
    }

    /// What follows an opening bracket, with the closing one.
    fn ranges(&mut self) -> Result<Vec<Range>, InvalidNodeList> {
        let mut ranges = Vec::new();
        loop {
            ranges.push(self.range()?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(ranges);
                }
                Some(_) => return self.malformed("expected a digit, '-', ',' or ']'"),
                None => return self.malformed("a bracket is not closed"),
            }
        }
    }

    fn range(&mut self) -> Result<Range, InvalidNodeList> {
        let (first, width) = self.number()?;
        let last = if self.peek() == Some(b'-') {
            self.at += 1;
            self.number()?.0
        } else {
            first
        };
        if last < first {
            return self.malformed("a range ends before it begins");
        }
        // As in Slurm, the first number sets the width.
        Ok(Range { first, last, width })
    }

    /// A number, and how many digits it is written with.
    fn number(&mut self) -> Result<(u64, usize), InvalidNodeList> {
        let start = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return self.malformed("expected a number");
        }
        match digits.parse() {
            Ok(number) => Ok((number, digits.len())),
            Err(_) => Err(InvalidNodeList::Malformed { what: "the number is too large", at: start }),
        }
    }
}

fn is_name_character(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn expands() {
        let cases: [(&str, &[&str]); 17] = [
            ("", &[]),
            ("  ", &[]),
            ("None assigned", &[]),
            ("(null)", &[]),
            ("(Resources)", &[]),
            ("login1", &["login1"]),
            ("a,b", &["a", "b"]),
            (" a, b ,\\n", &["a", "b"]),
            (",,a,,", &["a"]),
            ("nid00[684-685,722-723]", &["nid00684", "nid00685", "nid00722", "nid00723"]),
            ("a[01-03]b[1-2]", &["a01b1", "a01b2", "a02b1", "a02b2", "a03b1", "a03b2"]),
            ("x[08-11].y-z", &["x08.y-z", "x09.y-z", "x10.y-z", "x11.y-z"]),
            ("n[9-11]", &["n9", "n10", "n11"]),
            // The first number's width counts, as in Slurm.
            ("n[1-010]", &["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10"]),
            ("n[0,00,000]", &["n0", "n00", "n000"]),
            ("[1-2]", &["1", "2"]),
            ("n[18446744073709551615]", &["n18446744073709551615"]),
        ];
        for (list, names) in cases {
            let list = list.replace("\\n", "\n");
            assert_eq!(
                expand(&list).as_deref(),
                Ok(&names.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{list:?}"
            );
        }
        let mixed = expand("nid00[684-685,722-723],login1,a[01-03]b[1-2]").unwrap();
        assert_eq!(mixed.len(), 11);
        assert_eq!(mixed[4], "login1");
    }

    #[test]
    fn refuses_what_is_no_list() {
        let cases = [
            ("n[", 2),
            ("n[1", 3),
            ("n[]", 2),
            ("n[1,]", 4),
            ("n[,1]", 2),
            ("n[1-]", 4),
            ("n[-1]", 2),
            ("n[1-2-3]", 5),
            ("n[a]", 2),
            ("n[1 ]", 3),
            ("n[[1]]", 2),
            ("n]", 1),
            ("n[3-2]", 5),
            ("n[18446744073709551616]", 2),
            ("a b[", 4),
            ("a;b", 1),
            ("né", 1),
            ("[1]日", 3),
            ("a\0", 1),
        ];
        for (list, at) in cases {
            match expand(list) {
                Err(InvalidNodeList::Malformed { at: found, .. }) => assert_eq!(found, at, "{list:?}"),
                other => panic!("{list:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn is_bounded_whatever_the_list_asks_for() {
        assert_eq!(expand("n[1-100000]").map(|names| names.len()), Ok(MAX_NODES));
        let too_many = [
            "n[1-100001]".to_owned(),
            "n[1-100000],n".to_owned(),
            "n[0-18446744073709551615]".to_owned(),
            "n[0-18446744073709551615,0-18446744073709551615]".to_owned(),
            "n[1-1000][1-1000]".to_owned(),
            "[1-2]".repeat(100),
            "[0-18446744073709551615]".repeat(5),
            "n,".repeat(MAX_NODES + 1),
        ];
        for list in too_many {
            assert_eq!(expand(&list), Err(InvalidNodeList::TooMany), "{:.60}", list);
        }
        let too_long = [
            "n".repeat(254),
            format!("{}[1-2]", "n".repeat(253)),
            format!("n[{:0>300}]", 1),
            "[1]".repeat(1_000_000),
            format!("{}[1-100000]", "n".repeat(1_000_000)),
        ];
        for list in too_long {
            assert_eq!(expand(&list), Err(InvalidNodeList::NameTooLong), "{:.60}", list);
        }
        assert_eq!(expand(&"n".repeat(253)).map(|names| names.len()), Ok(1));
    }

    /// Part of a name: a text, and after it ranges, each of a first number, how many more, and a width.
    type Part = (String, Vec<(u64, u64, usize)>);

    fn names() -> impl Strategy<Value = Vec<Part>> {
        let ranges = prop::collection::vec((0..2000u64, 0..6u64, 0..6usize), 1..3);
        prop::collection::vec(("[a-z._-]{1,5}", ranges), 1..3)
    }

    proptest! {
        #[test]
        fn anything_has_an_answer(list in prop_oneof![any::<String>(), r"[a1,\[\]0-9 -]{0,20}"]) {
            if let Ok(names) = expand(&list) {
                prop_assert!(names.len() <= MAX_NODES);
                prop_assert!(names.iter().all(|name| !name.is_empty() && name.len() <= MAX_NAME_LENGTH));
            }
        }

        #[test]
        fn a_list_of_plain_names_is_itself(names in prop::collection::vec("[a-z][a-z0-9._-]{0,8}", 0..20)) {
            prop_assert_eq!(expand(&names.join(",")), Ok(names));
        }

        #[test]
        fn the_count_is_the_product(lists in prop::collection::vec(names(), 0..3)) {
            let written = lists
                .iter()
                .map(|name| {
                    name.iter()
                        .map(|(text, ranges)| {
                            let ranges = ranges.iter().map(|(first, more, width)| {
                                format!("{first:0width$}-{}", first + more)
                            });
                            format!("{text}[{}]", ranges.collect::<Vec<_>>().join(","))
                        })
                        .collect::<String>()
                })
                .collect::<Vec<_>>()
                .join(",");
            let count: u64 = lists
                .iter()
                .map(|name| {
                    let in_bracket = |(_, ranges): &Part| {
                        ranges.iter().map(|(_, more, _)| more + 1).sum::<u64>()
                    };
                    name.iter().map(in_bracket).product::<u64>()
                })
                .sum();
            prop_assert_eq!(expand(&written).unwrap().len() as u64, count);
        }
    }
}
