//! Names of what does not stay: each has the mark of the instance that made it, by which it is found when that was killed.

/// How such a name on the cluster begins.
pub const PREFIX: &str = ".aiida-firecrest-";

/// The instance's mark as text.
pub fn mark(mark: u64) -> String {
    format!("{mark:016x}")
}

/// Is it such a text? Nothing else may be put into a pattern of names to remove.
pub fn is_mark(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a name ends in: the mark, and bits that are this one's own.
pub fn own(mark: u64, random: u64) -> String {
    format!("{mark:016x}-{:08x}", random as u32)
}

/// A hidden name in a granted folder.
pub fn part(mark: u64, random: u64) -> String {
    format!(".{}.part", own(mark, random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_mark() {
        let text = mark(0xab);
        assert_eq!(text, "00000000000000ab");
        assert!(is_mark(&text));
        assert_eq!(part(0xab, u64::MAX), ".00000000000000ab-ffffffff.part");
        for other in ["", "ab", "00000000000000AB", "00000000000000a*", "00000000000000ab0"] {
            assert!(!is_mark(other), "{other}");
        }
    }
}
