//! Looking: `stat`, `lstat`, `exists`, `list`, `glob`.

use super::bench::{Bench, LIST};
use super::judge::{Judge, Outcome, Step, holds, same};
use super::{Behaviour, behaviour};
use crate::transport::ListOptions;
use crate::types::{ErrorKind, FileKind};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("stat", tells_a_files_attributes, "Stat tells kind, size, mode, links, owner and times of a file"),
    behaviour!("stat", tells_a_directory, "Stat tells a directory, in its kind and in its mode"),
    behaviour!("stat", follows_a_symlink, "Stat follows a symlink, through several of them"),
    behaviour!("stat", of_a_missing_path_is_not_found, "A missing path is not-found, and the subject"),
    behaviour!("stat", of_a_dangling_symlink_is_not_found, "A dangling symlink is not-found"),
    behaviour!(
        "stat",
        below_a_closed_directory_is_denied,
        "A path below a directory that cannot be searched is permission-denied"
    ),
    behaviour!("stat", of_a_relative_path_is_refused, "A relative path is invalid-argument before anything is sent"),
    behaviour!("stat", of_a_nul_is_refused, "A path with NUL is invalid-argument before anything is sent"),
    behaviour!("stat", sees_through_dots_and_slashes, "Dots and doubled slashes in a path change nothing"),
    behaviour!("stat", tells_the_time_of_a_change, "A file just written was modified just now"),
    behaviour!("lstat", tells_the_link_itself, "Lstat tells a symlink itself, a dangling one too"),
    behaviour!("lstat", of_a_file_is_stat, "Lstat of what is no symlink is stat"),
    behaviour!("lstat", of_a_missing_path_is_not_found_either, "Lstat of a missing path is not-found"),
    behaviour!("exists", is_true_for_what_is_there, "Files, directories and symlinks to them exist"),
    behaviour!(
        "exists",
        is_false_for_what_is_not,
        "Missing paths, dangling symlinks and what would lie below a file do not exist"
    ),
    behaviour!(
        "exists",
        is_an_error_where_one_cannot_look,
        "What lies below a closed directory is permission-denied, not absent"
    ),
    behaviour!(
        "list",
        tells_all_attributes,
        "A listing tells kind, size, permissions, owner, time and a symlink's target"
    ),
    behaviour!("list", hides_hidden_names, "Names with a leading dot are listed only when asked for"),
    behaviour!(
        "list",
        keeps_to_a_pattern,
        "A pattern chooses by the last name, and matches a leading dot only literally unless hidden ones are asked for"
    ),
    behaviour!(
        "list",
        goes_down_and_follows_no_link,
        "A recursive listing has everything below, and does not descend into symlinks"
    ),
    behaviour!(
        "list",
        matches_patterns_at_every_depth,
        "With a pattern a recursive listing has the matches of every depth"
    ),
    behaviour!("list", of_an_empty_directory_is_empty, "An empty directory has no entries"),
    behaviour!("list", of_a_file_is_not_a_directory, "Listing a file is not-a-directory, through a symlink too"),
    behaviour!("list", of_a_missing_directory_is_not_found, "Listing a missing directory is not-found"),
    behaviour!("list", goes_through_a_symlink, "A directory is listed through a symlink to it"),
    behaviour!(
        "list",
        fails_on_a_closed_directory,
        "One unreadable directory fails a recursive listing with permission-denied"
    ),
    behaviour!("list", has_hundreds_of_entries, "A directory of three hundred entries is listed whole"),
    behaviour!("glob", finds_what_matches, "Stars, question marks and brackets match within one name"),
    behaviour!("glob", finds_at_any_depth, "Two stars match at any depth"),
    behaviour!("glob", matches_leading_dots_literally, "A leading dot has to be matched literally"),
    behaviour!("glob", of_nothing_is_no_error, "A pattern that matches nothing gives nothing"),
    behaviour!("glob", without_a_wildcard_is_a_look, "Without a wildcard the path itself is found, if it is there"),
    behaviour!("glob", is_sorted, "What a glob finds is sorted"),
    behaviour!("glob", of_a_relative_pattern_is_refused, "A relative pattern is invalid-argument"),
];

async fn tells_a_files_attributes(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"12345").await?;
    b.session.chmod(&path, 0o640).await.done(format!("chmod of {path} to 640"))?;
    b.mode(&path, 0o640).await?;
    let stat = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    same("kind, size and links", (stat.kind, stat.size, stat.links), (FileKind::Regular, 5, 1))?;
    same("st_mode", format!("{:o}", stat.mode), "100640".to_owned())?;
    holds(
        "inode and times",
        stat.inode > 0 && stat.modified > 0 && stat.changed >= stat.modified - 1,
        "above zero",
        &stat,
    )
}

async fn tells_a_directory(b: &mut Bench) -> Outcome {
    let path = b.directory("d").await?;
    let stat = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    same("kind and type bits", (stat.kind, stat.mode & 0o170_000), (FileKind::Directory, 0o040_000))
}

async fn follows_a_symlink(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"12345").await?;
    b.link("file", "once").await?;
    let twice = b.link("once", "twice").await?;
    let stat = b.session.stat(&twice).await.done(format!("stat of {twice}"))?;
    let real = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    same("kind, size and inode", (stat.kind, stat.size, stat.inode), (FileKind::Regular, 5, real.inode))
}

async fn of_a_missing_path_is_not_found(b: &mut Bench) -> Outcome {
    for path in [b.remote("missing"), b.remote("missing/below")] {
        let error = b.session.stat(&path).await.refused(format!("stat of {path}"), &[ErrorKind::NotFound])?;
        same("the error's subject", error.subject.as_deref(), Some(path.as_str()))?;
        holds("the error's message", !error.message.is_empty(), "a sentence", &error)?;
    }
    Ok(())
}

async fn of_a_dangling_symlink_is_not_found(b: &mut Bench) -> Outcome {
    let path = b.link("nowhere", "dangling").await?;
    b.session.stat(&path).await.refused(format!("stat of {path}"), &[ErrorKind::NotFound]).map(drop)
}

async fn below_a_closed_directory_is_denied(b: &mut Bench) -> Outcome {
    let directory = b.directory("closed").await?;
    let path = b.file("closed/file", b"1").await?;
    b.close(&directory).await?;
    let denied = [ErrorKind::PermissionDenied];
    b.session.stat(&path).await.refused(format!("stat of {path}"), &denied)?;
    b.session.lstat(&path).await.refused(format!("lstat of {path}"), &denied).map(drop)
}

async fn of_a_relative_path_is_refused(b: &mut Bench) -> Outcome {
    let before = b.sent();
    let refused = [ErrorKind::InvalidArgument];
    for path in ["a", "./a", "../a", "~/a", ""] {
        b.session.stat(path).await.refused(format!("stat of {path:?}"), &refused)?;
        b.session.list(path, &LIST).await.refused(format!("list of {path:?}"), &refused)?;
        b.session.mkdir(path, true, true).await.refused(format!("mkdir of {path:?}"), &refused)?;
        b.session.write(path, b"1", None).await.refused(format!("write to {path:?}"), &refused)?;
        b.session.read(path, 0, None).await.refused(format!("read of {path:?}"), &refused)?;
        b.session.remove_tree(path).await.refused(format!("remove-tree of {path:?}"), &refused)?;
    }
    b.silent("these calls", before)
}

async fn of_a_nul_is_refused(b: &mut Bench) -> Outcome {
    let (before, path) = (b.sent(), b.remote("a\0b"));
    let refused = [ErrorKind::InvalidArgument];
    b.session.stat(&path).await.refused("stat of a path with NUL", &refused)?;
    b.session.write(&path, b"1", None).await.refused("write to a path with NUL", &refused)?;
    b.session.mkdir(&path, true, true).await.refused("mkdir of a path with NUL", &refused)?;
    b.silent("these calls", before)
}

async fn sees_through_dots_and_slashes(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    b.directory("d").await?;
    let odd = format!("{}//.//d/../file", b.folder());
    let one = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    let two = b.session.stat(&odd).await.done(format!("stat of {odd}"))?;
    same("the inode", two.inode, one.inode)
}

async fn tells_the_time_of_a_change(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    let stat = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    // Clocks of clusters are wrong by minutes, never by days.
    holds("the time of modification", (stat.modified - now).abs() < 86_400, format!("about {now}"), &stat.modified)
}

async fn tells_the_link_itself(b: &mut Bench) -> Outcome {
    b.directory("d").await?;
    for target in ["d", "nowhere"] {
        let path = b.link(target, &format!("to-{target}")).await?;
        let stat = b.session.lstat(&path).await.done(format!("lstat of {path}"))?;
        same(format!("the kind of {path}"), stat.kind, FileKind::Symlink)?;
        same(format!("the size of {path}"), stat.size, target.len() as u64)?;
    }
    Ok(())
}

async fn of_a_file_is_stat(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"12345").await?;
    let one = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    let two = b.session.lstat(&path).await.done(format!("lstat of {path}"))?;
    same(
        "kind, size, mode, inode",
        (two.kind, two.size, two.mode, two.inode),
        (one.kind, one.size, one.mode, one.inode),
    )
}

async fn of_a_missing_path_is_not_found_either(b: &mut Bench) -> Outcome {
    let path = b.remote("missing");
    b.session.lstat(&path).await.refused(format!("lstat of {path}"), &[ErrorKind::NotFound]).map(drop)
}

async fn is_true_for_what_is_there(b: &mut Bench) -> Outcome {
    let (file, directory) = (b.file("file", b"").await?, b.directory("d").await?);
    let (one, two) = (b.link("file", "to-file").await?, b.link("d", "to-d").await?);
    for path in [file, directory, one, two] {
        b.there(&path).await?;
    }
    Ok(())
}

async fn is_false_for_what_is_not(b: &mut Bench) -> Outcome {
    let file = b.file("file", b"1").await?;
    let dangling = b.link("nowhere", "dangling").await?;
    for path in [b.remote("missing"), b.remote("missing/below"), dangling, format!("{file}/below")] {
        same(format!("exists of {path}"), b.session.exists(&path).await.done(format!("exists of {path}"))?, false)?;
    }
    Ok(())
}

async fn is_an_error_where_one_cannot_look(b: &mut Bench) -> Outcome {
    let directory = b.directory("closed").await?;
    let path = b.file("closed/file", b"1").await?;
    b.close(&directory).await?;
    b.session.exists(&path).await.refused(format!("exists of {path}"), &[ErrorKind::PermissionDenied]).map(drop)
}

/// The paths of a listing, sorted.
async fn listed(b: &mut Bench, path: &str, options: &ListOptions) -> Step<Vec<String>> {
    let entries = b.session.list(path, options).await.done(format!("list of {path} with {options:?}"))?;
    let mut paths: Vec<String> = entries.into_iter().map(|entry| entry.path).collect();
    paths.sort();
    Ok(paths)
}

async fn expect(b: &mut Bench, path: &str, options: ListOptions, expected: &[&str]) -> Outcome {
    let paths = listed(b, path, &options).await?;
    same(format!("list of {path} with {options:?}"), paths, expected.iter().map(|&name| name.to_owned()).collect())
}

async fn tells_all_attributes(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    let file = b.file("d/file", b"12345").await?;
    b.session.chmod(&file, 0o750).await.done(format!("chmod of {file} to 750"))?;
    b.mode(&file, 0o750).await?;
    b.directory("d/sub").await?;
    b.link("../some where", "d/link").await?;
    let mut entries = b.session.list(&directory, &LIST).await.done(format!("list of {directory}"))?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let names: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    same("the names", names, vec!["file", "link", "sub"])?;
    let [file, link, sub] = &entries[..] else { unreachable!("three names") };
    same("the file", (file.kind, file.size, file.permissions), (FileKind::Regular, 5, 0o750))?;
    same("its target", (&file.link_target, &file.raw_path), (&None, &None))?;
    same("the link", (link.kind, link.size), (FileKind::Symlink, 13))?;
    same("its target", link.link_target.as_deref(), Some("../some where"))?;
    same("the directory", sub.kind, FileKind::Directory)?;
    for entry in &entries {
        let time = entry.modified.len() == 19 && entry.modified.as_bytes().get(10) == Some(&b'T');
        holds("the time", time, "YYYY-MM-DDTHH:MM:SS", &entry.modified)?;
        holds("owner and group", !entry.owner.is_empty() && !entry.group.is_empty(), "names or numbers", entry)?;
    }
    Ok(())
}

async fn hides_hidden_names(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    for name in ["a", ".b", "..c"] {
        b.file(&format!("d/{name}"), b"").await?;
    }
    expect(b, &directory, LIST, &["a"]).await?;
    expect(b, &directory, ListOptions { hidden: true, ..LIST }, &["..c", ".b", "a"]).await
}

async fn keeps_to_a_pattern(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    for name in ["a.txt", ".b.txt", "c.dat"] {
        b.file(&format!("d/{name}"), b"").await?;
    }
    for (pattern, hidden, expected) in [
        ("*.txt", false, vec!["a.txt"]),
        ("*.txt", true, vec![".b.txt", "a.txt"]),
        (".*", false, vec![".b.txt"]),
        ("[!a].*", false, vec!["c.dat"]),
        ("[a-b].txt", false, vec!["a.txt"]),
        ("?.???", false, vec!["a.txt", "c.dat"]),
        ("nothing", false, vec![]),
    ] {
        expect(b, &directory, ListOptions { recursive: false, hidden, pattern: Some(pattern.into()) }, &expected)
            .await?;
    }
    Ok(())
}

/// A directory `d` with `top.txt`, `sub/deep.txt` and `link`, a symlink to `sub`.
async fn little_tree(b: &mut Bench) -> Step<String> {
    let directory = b.directory("d").await?;
    b.directory("d/sub").await?;
    b.file("d/sub/deep.txt", b"1").await?;
    b.file("d/top.txt", b"1").await?;
    b.link("sub", "d/link").await?;
    Ok(directory)
}

async fn goes_down_and_follows_no_link(b: &mut Bench) -> Outcome {
    let directory = little_tree(b).await?;
    expect(b, &directory, ListOptions { recursive: true, ..LIST }, &["link", "sub", "sub/deep.txt", "top.txt"]).await
}

async fn matches_patterns_at_every_depth(b: &mut Bench) -> Outcome {
    let directory = little_tree(b).await?;
    let options = ListOptions { recursive: true, hidden: false, pattern: Some("*.txt".into()) };
    expect(b, &directory, options, &["sub/deep.txt", "top.txt"]).await
}

async fn of_an_empty_directory_is_empty(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    expect(b, &directory, ListOptions { recursive: true, hidden: true, pattern: None }, &[]).await
}

async fn of_a_file_is_not_a_directory(b: &mut Bench) -> Outcome {
    let file = b.file("file", b"1").await?;
    let link = b.link("file", "link").await?;
    for path in [file, link] {
        b.session.list(&path, &LIST).await.refused(format!("list of {path}"), &[ErrorKind::NotADirectory])?;
    }
    Ok(())
}

async fn of_a_missing_directory_is_not_found(b: &mut Bench) -> Outcome {
    let path = b.remote("missing");
    b.session.list(&path, &LIST).await.refused(format!("list of {path}"), &[ErrorKind::NotFound]).map(drop)
}

async fn goes_through_a_symlink(b: &mut Bench) -> Outcome {
    b.directory("d").await?;
    b.file("d/file", b"1").await?;
    let link = b.link("d", "link").await?;
    expect(b, &link, LIST, &["file"]).await
}

async fn fails_on_a_closed_directory(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    let closed = b.directory("d/closed").await?;
    b.close(&closed).await?;
    let denied = [ErrorKind::PermissionDenied];
    let all = ListOptions { recursive: true, ..LIST };
    b.session.list(&directory, &all).await.refused(format!("recursive list of {directory}"), &denied)?;
    b.session.list(&closed, &LIST).await.refused(format!("list of {closed}"), &denied)?;
    expect(b, &directory, LIST, &["closed"]).await
}

async fn has_hundreds_of_entries(b: &mut Bench) -> Outcome {
    let names: Vec<String> = (0..300).map(|number| format!("file-{number:03}")).collect();
    let local = b.local_folder("many")?;
    for name in &names {
        b.local_file(&format!("many/{name}"), b"")?;
    }
    let remote = b.remote("many");
    b.session.put(&local, &remote, &Default::default()).await.done("put of 300 empty files")?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    b.names(&remote, &names).await
}

/// Directories `a1`, `a2` and `b1`, each with `x.txt`, `y.dat` and `.hidden.txt`.
async fn three_directories(b: &mut Bench) -> Outcome {
    for directory in ["a1", "a2", "b1"] {
        b.directory(directory).await?;
        for file in ["x.txt", "y.dat", ".hidden.txt"] {
            b.file(&format!("{directory}/{file}"), b"1").await?;
        }
    }
    Ok(())
}

async fn globbed(b: &mut Bench, pattern: &str, expected: &[&str]) -> Outcome {
    let pattern = b.remote(pattern);
    let expected: Vec<String> = expected.iter().map(|name| b.remote(name)).collect();
    let found = b.session.glob(&pattern).await.done(format!("glob of {pattern}"))?;
    same(format!("glob of {pattern}"), found, expected)
}

async fn finds_what_matches(b: &mut Bench) -> Outcome {
    three_directories(b).await?;
    globbed(b, "a1/*.txt", &["a1/x.txt"]).await?;
    globbed(b, "a*/*.txt", &["a1/x.txt", "a2/x.txt"]).await?;
    globbed(b, "a?", &["a1", "a2"]).await?;
    globbed(b, "[ab]1/[!x]*", &["a1/y.dat", "b1/y.dat"]).await
}

async fn finds_at_any_depth(b: &mut Bench) -> Outcome {
    three_directories(b).await?;
    globbed(b, "**/y.dat", &["a1/y.dat", "a2/y.dat", "b1/y.dat"]).await
}

async fn matches_leading_dots_literally(b: &mut Bench) -> Outcome {
    three_directories(b).await?;
    globbed(b, "a1/.*", &["a1/.hidden.txt"]).await?;
    globbed(b, "a1/*hidden*", &[]).await
}

async fn of_nothing_is_no_error(b: &mut Bench) -> Outcome {
    b.file("a3", b"a file").await?;
    globbed(b, "nothing*", &[]).await?;
    globbed(b, "missing/*", &[]).await?;
    globbed(b, "a3/*", &[]).await
}

async fn without_a_wildcard_is_a_look(b: &mut Bench) -> Outcome {
    b.file("a", b"1").await?;
    globbed(b, "a", &["a"]).await?;
    globbed(b, "b", &[]).await
}

async fn is_sorted(b: &mut Bench) -> Outcome {
    for name in ["c", "a", "b10", "b9"] {
        b.file(name, b"").await?;
    }
    globbed(b, "*", &["a", "b10", "b9", "c"]).await
}

async fn of_a_relative_pattern_is_refused(b: &mut Bench) -> Outcome {
    b.session.glob("a*").await.refused("glob of a*", &[ErrorKind::InvalidArgument]).map(drop)
}
