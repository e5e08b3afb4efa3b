//! The cluster's side: one recursive listing, and the time zone of its times.

use super::plan::{Item, Kind, Tree, below_no_directory, is_inside};
use crate::output::{Failure, shown};
use aiida_firecrest_host::Session;
use aiida_firecrest_host::transport::{Entry, ListOptions};
use aiida_firecrest_host::types::{ErrorKind, FileKind};
use std::collections::BTreeMap;

/// Times as the cluster writes them, read as if they were in UTC.
pub(super) type Civil = BTreeMap<String, i64>;

/// What is in the folder. None: it is not there.
pub(super) async fn scan(session: &mut Session, remote: &str) -> Result<Option<(Tree, Civil)>, Failure> {
    // A listing of a symlink would be of what it leads to, and a transfer would replace it.
    let stat = match session.lstat(remote).await {
        Ok(stat) => stat,
        Err(error) if error.plugin_kind() == Some(ErrorKind::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match stat.kind {
        FileKind::Directory => {}
        FileKind::Symlink => {
            let reason = "is a symlink: name the directory that it leads to";
            return Err(Failure::found(ErrorKind::NotADirectory, remote, reason));
        }
        _ => return Err(Failure::found(ErrorKind::NotADirectory, remote, "is no directory")),
    }
    let entries = session.list(remote, &ListOptions { recursive: true, hidden: true, pattern: None }).await?;
    read(entries).map(Some)
}

fn read(entries: Vec<Entry>) -> Result<(Tree, Civil), Failure> {
    let (mut tree, mut civil) = (Tree::new(), Civil::new());
    for entry in entries {
        let path = entry.path;
        if !is_inside(&path) {
            return Err(elsewhere(&path));
        }
        let kind = match (entry.kind, entry.link_target) {
            _ if entry.raw_path.is_some() => Kind::Other,
            (FileKind::Regular, _) => Kind::File,
            (FileKind::Directory, _) => Kind::Directory,
            (FileKind::Symlink, Some(target)) => Kind::Link(target),
            _ => Kind::Other,
        };
        if let Some(time) = seconds(&entry.modified) {
            civil.insert(path.clone(), time);
        }
        tree.insert(path, Item { kind, bytes: entry.size, mode: entry.permissions & 0o777, modified: None });
    }
    match below_no_directory(&tree) {
        // A directory whose name is not UTF-8 hides what is in it.
        Some(path)
            if !super::plan::above(path).any(|path| tree.get(path).is_some_and(|item| item.kind == Kind::Other)) =>
        {
            Err(elsewhere(path))
        }
        _ => Ok((tree, civil)),
    }
}

fn elsewhere(path: &str) -> Failure {
    Failure::Wrong(format!("the server lists a name that leads elsewhere: '{}'", shown(path)))
}

/// Learns the cluster's time zone from one file, where times matter, and sets the times. Returns what was subtracted.
pub(super) async fn set_times(
    session: &mut Session,
    remote: &str,
    here: &Tree,
    there: &mut Tree,
    civil: &Civil,
    pull: bool,
) -> Result<Option<i64>, Failure> {
    let comparable = |path: &str, item: &Item| {
        here.get(path).is_some_and(|ours| ours.kind == Kind::File && ours.bytes == item.bytes && ours.bytes > 0)
    };
    let files = || there.iter().filter(|(path, item)| item.kind == Kind::File && civil.contains_key(*path));
    let Some(sample) = files().find(|(path, item)| comparable(path, item)).or_else(|| files().find(|_| pull)) else {
        return Ok(None);
    };
    let sample = sample.0.clone();
    let stat = match session.lstat(&format!("{remote}/{sample}")).await {
        Ok(stat) => stat,
        // Gone meanwhile: then nothing is known, and checksums decide.
        Err(error) if error.plugin_kind() == Some(ErrorKind::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let zone = civil[&sample] - stat.modified;
    if !is_zone(zone) {
        return Ok(None);
    }
    for (path, item) in there.iter_mut() {
        item.modified = civil.get(path).map(|time| time - zone);
    }
    Ok(Some(zone))
}

/// No place on Earth is further from Greenwich, or off the quarter of an hour; then the sample was changed meanwhile.
fn is_zone(seconds: i64) -> bool {
    seconds % 900 == 0 && (-12 * 3600..=14 * 3600).contains(&seconds)
}

/// `YYYY-MM-DDTHH:MM:SS` as seconds, as if it were in UTC.
fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    let three = |text: &str, by: char| {
        let mut parts = text.split(by).map(number);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(a), Some(b), Some(c), None) => Some((a?, b?, c?)),
            _ => None,
        }
    };
    let ((year, month, day), (hour, minute, second)) = (three(date, '-')?, three(time, ':')?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9999 || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }
    // Howard Hinnant's days_from_civil.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: FileKind) -> Entry {
        Entry {
            path: path.into(),
            raw_path: None,
            kind,
            size: 1,
            permissions: 0o644,
            owner: String::new(),
            group: String::new(),
            modified: "1970-01-01T01:00:00".into(),
            link_target: (kind == FileKind::Symlink).then(|| "/etc".into()),
        }
    }

    #[test]
    fn a_listing_that_leads_elsewhere_ends_it() {
        for path in ["../x", "/etc/passwd", "a/../../x", ""] {
            assert!(matches!(read(vec![entry(path, FileKind::Regular)]), Err(Failure::Wrong(_))), "{path}");
        }
        let trap = vec![entry("a", FileKind::Symlink), entry("a/passwd", FileKind::Regular)];
        assert!(matches!(read(trap), Err(Failure::Wrong(_))));
        let (tree, civil) = read(vec![entry("a", FileKind::Directory), entry("a/b", FileKind::Regular)]).unwrap();
        assert_eq!((tree.len(), civil["a/b"]), (2, 3600));
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        assert_eq!(seconds("1970-01-01T00:00:00"), Some(0));
        assert_eq!(seconds("2000-02-29T00:00:00"), Some(951_782_400));
        assert_eq!(seconds("2025-12-31T23:59:59"), Some(1_767_225_599));
        for text in
            ["", "1970-01-01", "1970-13-01T00:00:00", "x-01-01T00:00:00", "1970-01-01T00:00", "1970-01--1T00:00:00"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert!(is_zone(0) && is_zone(20_700) && is_zone(-3600));
        assert!(!is_zone(60) && !is_zone(15 * 3600 + 900));
    }
}
