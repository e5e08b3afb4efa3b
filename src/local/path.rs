//! Which granted folder a local path lies under.

/// Finds the longest folder that holds `path`, and what remains below it (`.` for the folder itself).
///
/// Both are absolute. A path with a `..` is under no folder: where it leads depends on symlinks, and the host would have to be
/// trusted twice.
pub fn below<'p>(folders: &[String], path: &'p str) -> Option<(usize, &'p str)> {
    if !path.starts_with('/') || path.split('/').any(|name| name == "..") || path.contains('\0') {
        return None;
    }
    let mut best: Option<(usize, usize, &'p str)> = None;
    for (i, folder) in folders.iter().enumerate() {
        let folder = folder.trim_end_matches('/');
        let Some(rest) = path.strip_prefix(folder) else {
            continue;
        };
        if !(rest.is_empty() || rest.starts_with('/')) {
            continue;
        }
        let rest = rest.trim_start_matches('/');
        let rest = if rest.is_empty() { "." } else { rest };
        if best.is_none_or(|(_, length, _)| folder.len() > length) {
            best = Some((i, folder.len(), rest));
        }
    }
    best.map(|(i, _, rest)| (i, rest))
}

/// Parent and last name of a relative path: `a/b` is `("a", "b")`, `b` is `(".", "b")`. None where there is no last name.
pub fn split(relative: &str) -> Option<(&str, &str)> {
    let trimmed = relative.trim_end_matches('/');
    let (parent, name) = trimmed.rsplit_once('/').unwrap_or((".", trimmed));
    if name.is_empty() || name == "." || name == ".." { None } else { Some((parent, name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_folder_wins_and_nothing_leaves_it() {
        let folders = ["/data".to_owned(), "/data/in/".to_owned(), "/".to_owned()];
        assert_eq!(below(&folders, "/data/in/x/y"), Some((1, "x/y")));
        assert_eq!(below(&folders, "/data/in"), Some((1, ".")));
        assert_eq!(below(&folders, "/data/inner"), Some((0, "inner")));
        assert_eq!(below(&folders, "/etc/x"), Some((2, "etc/x")));
        assert_eq!(below(&folders[..2], "/etc/x"), None);
        assert_eq!(below(&folders, "/data/../etc"), None);
        assert_eq!(below(&folders, "data/x"), None);
        assert_eq!(below(&folders, "/data/a\0b"), None);
    }

    #[test]
    fn splitting() {
        assert_eq!(split("a/b"), Some(("a", "b")));
        assert_eq!(split("b"), Some((".", "b")));
        assert_eq!(split("a/b/"), Some(("a", "b")));
        assert_eq!(split("."), None);
    }
}
