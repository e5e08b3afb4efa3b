//! Words of a shell script: names that cannot become code.

/// One word, whatever is in it, quoted for a POSIX shell (POSIX.1-2017, Shell Command Language 2.2.2). NUL cannot be in a word: callers
/// refuse it first.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A path whose last name is a pattern: everything is quoted but `*`, `?` and sets, so that the shell expands those and nothing else.
pub fn quote_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut literal = String::new();
    for c in pattern.chars() {
        match c {
            '*' | '?' | '[' | ']' | '!' | '-' => {
                flush(&mut out, &mut literal);
                // In a set, `!` and `-` have to stay bare to mean what they do; elsewhere they mean themselves.
                out.push(c);
            }
            _ => literal.push(c),
        }
    }
    flush(&mut out, &mut literal);
    out
}

fn flush(out: &mut String, literal: &mut String) {
    if !literal.is_empty() {
        out.push_str(&quote(literal));
        literal.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// What a real shell makes of the words.
    fn words(script: &str) -> Vec<String> {
        let output = Command::new("bash").args(["-c", &format!("set -f; printf '%s\\0' {script}")]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn nasty_names_stay_names() {
        for name in ["", "it's", "$(id)", "`id`", "a\nb", "a; rm -rf /", "\\", "\"", "*", "~", "-n", "&|<>", "!!", "ü"]
        {
            assert_eq!(words(&quote(name)), [name]);
        }
        assert_eq!(words(&quote_pattern("/a b/$x/*'[!a-c]?")), ["/a b/$x/*'[!a-c]?"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_is_one_word(text in "[^\\x00]{0,40}") {
            prop_assert_eq!(words(&quote(&text)), [text.clone()]);
            prop_assert_eq!(words(&quote_pattern(&text)).concat(), text);
        }
    }
}
