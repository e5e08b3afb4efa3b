//! Names that Slurm makes: of nodes, and of a job's files.

/// The names of so many nodes.
pub(crate) fn node_names(count: u32) -> Vec<String> {
    if count == 1 {
        return vec!["localhost".into()];
    }
    (1..=count).map(|number| format!("nid{number:04}")).collect()
}

/// Fills in a file name's placeholders, as sbatch has them.
pub(crate) fn placeholders(text: &str, id: u64, name: &str, user: &str) -> String {
    // A backslash turns them off.
    if text.contains('\\') {
        return text.replace('\\', "");
    }
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut width = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            width.push(digit);
        }
        let pad = width.parse::<usize>().unwrap_or(0).min(10);
        match chars.next() {
            Some('j' | 'J' | 'A') => out.push_str(&format!("{id:0pad$}")),
            Some('x') => out.push_str(name),
            Some('u') => out.push_str(user),
            Some('N') => out.push_str("localhost"),
            Some('n' | 't' | 's') => out.push_str(&format!("{:0pad$}", 0)),
            Some('a') => out.push_str("4294967294"),
            Some('%') => out.push('%'),
            other => {
                out.push('%');
                out.push_str(&width);
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        let fill = |text: &str| placeholders(text, 46, "my", "me");
        assert_eq!(fill("slurm-%j.out"), "slurm-46.out");
        assert_eq!(fill("%x-%5j-%u-%%-%q"), "my-00046-me-%-%q");
        assert_eq!(fill("\\%j"), "%j");
    }

    #[test]
    fn nodes_have_names() {
        assert_eq!(node_names(1), ["localhost"]);
        assert_eq!(node_names(2), ["nid0001", "nid0002"]);
    }
}
