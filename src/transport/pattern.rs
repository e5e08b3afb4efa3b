//! Shell patterns for one name: `*`, `?`, `[a-z]`, `[!a-z]`, as in Python's fnmatch, which AiiDA uses (glob(7)).
//!
//! The time is at most the product of both lengths: a hostile pattern cannot make it explode.

/// Does the whole name match?
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // The last star, and up to where it has eaten the name.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if let Some(next) = one(&pattern, p, name[n]) {
            p = next;
            n += 1;
            continue;
        }
        match star {
            Some((at, eaten)) => {
                star = Some((at, eaten + 1));
                p = at + 1;
                n = eaten + 1;
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Matches one character at `p`; where the pattern goes on, if it does.
fn one(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => match set(pattern, p + 1) {
            Some((negated, body, end)) => (contains(body, c) != negated).then_some(end),
            // A bracket that is never closed stands for itself.
            None => (c == '[').then_some(p + 1),
        },
        literal => (*literal == c).then_some(p + 1),
    }
}

/// The set that begins at `from`: negated, its characters, and where the pattern goes on. A `]` in the first place belongs to it.
fn set(pattern: &[char], from: usize) -> Option<(bool, &[char], usize)> {
    let negated = pattern.get(from) == Some(&'!');
    let start = if negated { from + 1 } else { from };
    let length = pattern.get(start + 1..)?.iter().position(|c| *c == ']')? + 1;
    Some((negated, &pattern[start..start + length], start + length + 1))
}

fn contains(body: &[char], c: char) -> bool {
    let mut i = 0;
    while i < body.len() {
        if i + 2 < body.len() && body[i + 1] == '-' {
            if (body[i]..=body[i + 2]).contains(&c) {
                return true;
            }
            i += 3;
        } else if body[i] == c {
            return true;
        } else {
            i += 1;
        }
    }
    false
}

/// Does the text hold a character that makes it a pattern?
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_fnmatch_does() {
        for (pattern, name, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt~", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]", "]", true),
            ("[!]]", "x", true),
            ("[", "[", true),
            ("[a", "[a", true),
            ("[a-]", "-", true),
            ("ü*", "ünï", true),
            ("", "", true),
            ("", "a", false),
            ("***", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("[z-a]", "m", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn no_explosion() {
        assert!(!matches(&format!("{}b", "*a".repeat(500)), &"a".repeat(5_000)));
    }

    proptest! {
        #[test]
        fn a_name_without_magic_matches_itself_alone(name in "[^*?\\[]{0,20}", other in "[^*?\\[]{0,20}") {
            prop_assert!(matches(&name, &name));
            prop_assert_eq!(matches(&name, &other), name == other);
        }

        #[test]
        fn a_star_matches_what_it_stands_for(a in "[a-z]{0,8}", middle in "\\PC{0,8}", b in "[a-z]{0,8}") {
            let (pattern, name) = (format!("{a}*{b}"), format!("{a}{middle}{b}"));
            prop_assert!(matches(&pattern, &name));
        }
    }
}
