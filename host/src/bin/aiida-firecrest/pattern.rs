//! Shell patterns for one name, as the contract's `put` takes them: `*`, `?`, `[a-z]`, `[!a-z]`.

/// Does the text hold a character that makes it a pattern?
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Does the whole name match? A leading dot has to be matched literally.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.chars().collect::<Vec<_>>(), name.chars().collect::<Vec<_>>());
    if name.first() == Some(&'.') && pattern.first() != Some(&'.') {
        return false;
    }
    // reach[n]: the pattern so far matches the first n characters. The work is the product of both lengths.
    let mut reach = vec![false; name.len() + 1];
    reach[0] = true;
    let mut rest = pattern.as_slice();
    while let Some((token, after)) = next(rest) {
        let mut step = vec![false; name.len() + 1];
        for n in 0..=name.len() {
            step[n] = match token {
                Token::Any => reach[n] || (n > 0 && step[n - 1]),
                _ => n > 0 && reach[n - 1] && token.takes(name[n - 1]),
            };
        }
        (reach, rest) = (step, after);
    }
    reach[name.len()]
}

enum Token<'p> {
    Any,
    One,
    Set(bool, &'p [char]),
    Literal(char),
}

impl Token<'_> {
    fn takes(&self, c: char) -> bool {
        match self {
            Token::Any | Token::One => true,
            Token::Literal(literal) => *literal == c,
            Token::Set(negated, body) => {
                let mut rest = *body;
                let mut within = false;
                while let [first, tail @ ..] = rest {
                    match tail {
                        ['-', last, after @ ..] => {
                            within |= (*first..=*last).contains(&c);
                            rest = after;
                        }
                        _ => {
                            within |= *first == c;
                            rest = tail;
                        }
                    }
                }
                within != *negated
            }
        }
    }
}

fn next(pattern: &[char]) -> Option<(Token<'_>, &[char])> {
    let (first, rest) = pattern.split_first()?;
    Some(match first {
        '*' => (Token::Any, rest),
        '?' => (Token::One, rest),
        '[' => {
            let negated = rest.first() == Some(&'!');
            let body = &rest[usize::from(negated)..];
            // A `]` in the first place belongs to the set; a bracket that is never closed stands for itself.
            match body.iter().skip(1).position(|c| *c == ']') {
                Some(end) => (Token::Set(negated, &body[..=end]), &body[end + 2..]),
                None => (Token::Literal('['), rest),
            }
        }
        literal => (Token::Literal(*literal), rest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_shell_does() {
        for (pattern, name, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", ".txt", false),
            (".*", ".a", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[a", "[a", true),
            ("a*b*c", "axxbyyc", true),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
