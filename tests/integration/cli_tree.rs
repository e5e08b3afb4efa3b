//! The command line's put and get of folders, cp, mv, ln, readlink, glob and tree.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use aiida_firecrest_tests::{mode, names};
use serde_json::{Value, json};

use crate::desk::{Desk, argument, one_line, picture, text};

/// Names that a shell, a form, HTML, a script or a listing trips over. A single quote is not among them: see there.
const HOSTILE: [&str; 16] = [
    "with  spaces ",
    "say \"hi\"",
    "a & b < c > d",
    "<b>&amp;",
    "$(touch pwned) `touch pwned`",
    "$HOME",
    "first\nsecond",
    "-rf",
    "--help",
    "ünïcödé 日本語 🦀",
    "; touch pwned #",
    "| touch pwned",
    "100%20+=?",
    ".hidden",
    "~root",
    "back\\slash",
];

fn summary(files: u64, directories: u64, bytes: u64, verified: &str) -> Value {
    json!({"files": files, "directories": directories, "bytes": bytes, "skipped": 0, "verified": verified})
}

// ---- put -r, get -r

#[tokio::test]
async fn a_folder_goes_there_and_back_with_all_that_is_in_it() {
    let desk = Desk::open().await;
    let source = desk.folder(
        "tree",
        &[("a", "12"), ("sub/b", "345"), ("sub/.hidden/c", ""), ("empty/", ""), ("run.sh", "#!/bin/sh\n")],
    );
    fs::set_permissions(desk.path("tree/run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("../a", desk.path("tree/sub/link")).unwrap();
    let there = desk.remote("there");
    let said = desk.ok(&["put", "-r", "-P", &source, &there]).await;
    assert_eq!(said, "4 files, 4 directories, 15 B, verified by checksum\n");
    assert_eq!(picture(&there), picture(&source));
    let said = desk.ok(&["get", "-r", "-P", &there, "back"]).await;
    assert!(
        said.starts_with("4 files, ") && said.contains(" directories, 15 B, ") && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(picture(desk.path("back")), picture(&source));

    // Followed, the link is a file more. The target is there now: the folder becomes an entry of it.
    let counted = desk.json(&["put", "-r", &source, &there]).await;
    assert_eq!((&counted["files"], &counted["directories"], &counted["bytes"]), (&json!(5), &json!(4), &json!(17)));
    assert_eq!(fs::read(format!("{there}/tree/sub/link")).unwrap(), b"12");
    assert!(!fs::symlink_metadata(format!("{there}/tree/sub/link")).unwrap().is_symlink());
    let counted = desk.json(&["get", "-r", &format!("{there}/tree"), "back"]).await;
    assert_eq!((&counted["files"], &counted["skipped"]), (&json!(5), &json!(0)));
    assert_eq!(fs::read(desk.path("back/tree/sub/link")).unwrap(), b"12");
    desk.assert_clean();
}

#[tokio::test]
async fn hostile_names_travel_inside_folders_and_by_themselves() {
    let desk = Desk::open().await;
    let mut files: Vec<(String, &str)> = HOSTILE.iter().map(|name| ((*name).to_owned(), *name)).collect();
    files.extend(HOSTILE.iter().map(|name| (format!("sub {name}/{name}"), *name)));
    files.push(("it's".to_owned(), "it's"));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let source = desk.folder("-tree & 'quote'", &files);
    let there = desk.remote("there \"&\" $(x)\n");
    desk.ok(&["put", "-r", &source, &there]).await;
    assert_eq!(picture(&there), picture(&source));
    desk.ok(&["get", "-r", &there, "--", "-back <&>"]).await;
    assert_eq!(picture(desk.path("-back <&>")), picture(&source));

    let alone = desk.place_directory("alone");
    for name in HOSTILE {
        let (local, remote) = (format!("{source}/{name}"), format!("{alone}/{name}"));
        desk.ok(&["put", &local, &format!("{alone}/")]).await;
        assert_eq!(fs::read_to_string(&remote).unwrap(), name);
        desk.ok(&["get", &remote, &argument(&desk.path("got"))]).await;
        assert_eq!(fs::read_to_string(desk.path("got")).unwrap(), name);
    }
    assert_eq!(names(&alone).len(), HOSTILE.len());
    assert!(!names(desk.simulator.home()).contains(&"pwned".to_owned()));
    desk.assert_clean();
}

/// An option's place is before `--`; a file that looks like one comes after.
#[tokio::test]
async fn a_name_that_looks_like_an_option_stands_after_two_dashes() {
    let desk = Desk::open().await;
    desk.file("-r", "dash");
    desk.ok(&["put", "--", "-r", &desk.remote("-r")]).await;
    assert_eq!(fs::read(desk.remote("-r")).unwrap(), b"dash");
    let output = desk.run(&["put", "-z", "a", "/b"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("-z"));
}

#[tokio::test]
async fn a_folder_wants_r_and_nothing_is_sent_without_it() {
    let desk = Desk::open().await;
    let source = desk.folder("tree", &[("a", "1")]);
    desk.file("file", "1");
    let home = desk.simulator.home().to_owned();
    for source in [source.as_str(), "tree", "tr*", "*e"] {
        desk.simulator.clear_requests();
        let line = desk.names_in_failure(4, "tree", &["put", source, &home]).await;
        assert!(line.contains("-r"), "{line}");
        assert_eq!(desk.simulator.requests().len(), 0);
    }
    // One folder among files: nothing of it all is moved.
    desk.names_in_failure(4, "tree", &["put", "file", "tree", &home]).await;
    assert_eq!(names(&home), [""; 0]);

    let there = desk.place_directory("there");
    desk.place("there/a", b"1");
    desk.place("file", b"1");
    for source in ["there", "th*", "[t]here"].map(|name| desk.remote(name)) {
        let line = desk.names_in_failure(4, &there, &["get", &source, "here"]).await;
        assert!(line.contains("-r"), "{line}");
    }
    desk.names_in_failure(4, &there, &["get", &desk.remote("file"), &there, "."]).await;
    let link = desk.place_link("there", "link");
    desk.names_in_failure(4, &link, &["get", &link, "here"]).await;
    assert!(
        !desk.path("here").exists() && names(desk.folder.path()).iter().filter(|name| *name == "file").count() == 1
    );
}

#[tokio::test]
async fn where_a_folder_lands_is_told_by_what_is_there() {
    let desk = Desk::open().await;
    desk.folder("tree", &[("a", "1"), ("b/c", "2")]);
    let target = desk.remote("target");
    let all = ["a", "b", "b/c"];
    let keys = |root: &str| picture(root).into_keys().collect::<Vec<_>>();
    // Missing: it becomes the target, whatever slashes there are.
    desk.ok(&["put", "-r", "tree/", &format!("{target}/")]).await;
    assert_eq!(keys(&target), all);
    // A directory: an entry of it; the second time it is merged into.
    for _ in 0..2 {
        desk.ok(&["put", "-r", "tree", &target]).await;
        assert_eq!(keys(&target), ["a", "b", "b/c", "tree", "tree/a", "tree/b", "tree/b/c"]);
    }
    desk.ok(&["get", "-r", &format!("{target}/tree/"), "down/"]).await;
    assert_eq!(keys(&argument(&desk.path("down"))), all);
    desk.ok(&["get", "-r", &format!("{target}/tree"), "down"]).await;
    assert_eq!(keys(&argument(&desk.path("down/tree"))), all);
    // A file in the way, on either side, stays as it is.
    let file = desk.place("file", b"x");
    desk.names_in_failure(4, &file, &["put", "-r", "tree", &file]).await;
    let here = desk.file("here", "x");
    desk.names_in_failure(4, &here, &["get", "-r", &target, &here]).await;
    assert_eq!((fs::read(&file).unwrap(), fs::read(&here).unwrap()), (b"x".to_vec(), b"x".to_vec()));
    // A missing parent is an error, or made with -p.
    let deep = desk.remote("no/such");
    desk.names_in_failure(3, &desk.remote("no"), &["put", "-r", "tree", &deep]).await;
    desk.ok(&["put", "-rp", "tree", &deep]).await;
    assert_eq!(keys(&deep), all);
    desk.names_in_failure(3, "nowhere", &["get", "-r", &deep, "nowhere/x"]).await;
    desk.ok(&["get", "-rp", &deep, "nowhere/x"]).await;
    assert_eq!(keys(&argument(&desk.path("nowhere/x"))), all);
    desk.assert_clean();
}

#[tokio::test]
async fn a_source_that_is_missing_is_named_or_ignored() {
    let desk = Desk::open().await;
    let (home, none) = (desk.simulator.home().to_owned(), desk.remote("none"));
    for source in ["none", "none*"] {
        desk.names_in_failure(3, source, &["put", "-r", source, &home]).await;
        let remote = desk.remote(source);
        desk.names_in_failure(3, &remote, &["get", "-r", &remote, "here"]).await;
        desk.names_in_failure(3, &remote, &["get", &remote, "here"]).await;
        for arguments in [["put", source, &home], ["get", &remote, "."]] {
            for recursive in [true, false] {
                let mut all = vec!["--ignore-missing"];
                all.extend(recursive.then_some("-r"));
                let (command, rest) = arguments.split_at(1);
                let all: Vec<&str> = command.iter().copied().chain(all).chain(rest.iter().copied()).collect();
                let document = desk.json(&all).await;
                assert_eq!((&document["files"], &document["skipped"]), (&json!(0), &json!(1)), "{all:?}");
            }
        }
    }
    // Of several the one that is missing is named.
    desk.file("there", "1");
    desk.names_in_failure(3, "none", &["put", "there", "none", &home]).await;
    desk.names_in_failure(3, &none, &["get", &desk.place("x", b"1"), &none, "."]).await;
}

#[tokio::test]
async fn several_sources_and_patterns_go_into_a_directory() {
    let desk = Desk::open().await;
    desk.folder("in", &[("a.txt", "1"), ("b.txt", "22"), ("c.dat", "333"), ("sub/x.txt", "4"), (".h.txt", "5")]);
    let there = desk.place_directory("there");
    let document = desk.json(&["put", "-r", "in/*.txt", "in/sub", "in/c.dat", &there]).await;
    assert_eq!(document, summary(4, 1, 7, "checksum"));
    assert_eq!(picture(&there).into_keys().collect::<Vec<_>>(), ["a.txt", "b.txt", "c.dat", "sub", "sub/x.txt"]);
    fs::create_dir(desk.path("out")).unwrap();
    let document = desk.json(&["get", "-r", &format!("{there}/*.txt"), &format!("{there}/s*"), "out"]).await;
    assert_eq!((&document["files"], &document["bytes"]), (&json!(3), &json!(4)));
    assert_eq!(picture(desk.path("out")).into_keys().collect::<Vec<_>>(), ["a.txt", "b.txt", "sub", "sub/x.txt"]);
    // A file with a pattern's characters in its name is itself first.
    desk.file("[a].txt", "brackets");
    desk.ok(&["put", "[a].txt", &there]).await;
    assert_eq!(fs::read(format!("{there}/[a].txt")).unwrap(), b"brackets");
    desk.ok(&["get", &format!("{there}/[a].txt"), "got"]).await;
    assert_eq!(fs::read(desk.path("got")).unwrap(), b"brackets");
}

#[tokio::test]
async fn what_is_there_is_replaced_kept_or_an_error() {
    let desk = Desk::open().await;
    desk.folder("tree", &[("a", "new"), ("b", "new")]);
    let home = desk.simulator.home().to_owned();
    desk.place_directory("tree");
    let old = desk.place("tree/a", b"old");
    desk.names_in_failure(4, &desk.remote("tree"), &["put", "-r", "--overwrite", "fail", "tree", &home]).await;
    assert_eq!(names(desk.remote("tree")), ["a"]);
    let said = desk.ok(&["put", "-r", "--overwrite", "skip", "tree", &home]).await;
    assert!(said.contains("1 file, ") && said.contains("1 skipped"), "{said}");
    assert_eq!((fs::read(&old).unwrap(), fs::read(desk.remote("tree/b")).unwrap()), (b"old".to_vec(), b"new".to_vec()));
    desk.ok(&["put", "-r", "tree", &home]).await;
    assert_eq!(fs::read(&old).unwrap(), b"new");

    fs::write(desk.path("tree/a"), "mine").unwrap();
    fs::remove_file(desk.path("tree/b")).unwrap();
    let there = desk.remote("tree");
    desk.names_in_failure(4, "tree", &["get", "-r", "--overwrite", "fail", &there, "."]).await;
    assert_eq!(names(desk.path("tree")), ["a"]);
    let document = desk.json(&["get", "-r", "--overwrite", "skip", &there, "."]).await;
    assert_eq!((&document["files"], &document["skipped"]), (&json!(1), &json!(1)));
    assert_eq!(fs::read(desk.path("tree/a")).unwrap(), b"mine");
    desk.ok(&["get", "-r", &there, "."]).await;
    assert_eq!(fs::read(desk.path("tree/a")).unwrap(), b"new");
    let output = desk.run(&["put", "--overwrite", "perhaps", "tree", &home]).await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn checksums_and_permissions_are_as_asked_for() {
    let desk = Desk::open().await;
    let (local, there) = (desk.file("f", "abc"), desk.remote("f"));
    for (flag, put, get) in [("--verify", "checksum", "checksum"), ("--no-verify", "none", "size")] {
        assert_eq!(desk.json(&["put", flag, &local, &there]).await, summary(1, 0, 3, put));
        assert_eq!(desk.json(&["get", flag, &there, "back"]).await, summary(1, 0, 3, get));
    }
    assert_eq!(desk.run(&["put", "--verify", "--no-verify", &local, &there]).await.status.code(), Some(2));
    desk.ok(&["put", "--mode", "750", &local, &there]).await;
    assert_eq!(mode(&there), 0o750);
    desk.ok(&["get", "--mode", "0600", &there, "back"]).await;
    assert_eq!(mode(desk.path("back")), 0o600);
    assert_eq!(desk.run(&["put", "--mode", "9", &local, &there]).await.status.code(), Some(2));
}

// ---- cp

#[tokio::test]
async fn cp_copies_files_to_a_name_or_into_a_directory() {
    let desk = Desk::open().await;
    let (from, to, folder) = (desk.place("from", b"1"), desk.remote("to"), desk.place_directory("folder"));
    assert_eq!(desk.ok(&["cp", &from, &to]).await, "");
    assert_eq!(desk.json(&["cp", &from, &folder]).await, json!({"copied": from, "to": folder}));
    desk.ok(&["cp", &to, &format!("{folder}/other")]).await;
    assert_eq!(names(&folder), ["from", "other"]);
    // A file gives way, as it does to cp(1).
    desk.ok(&["cp", &desk.place("newer", b"2"), &to]).await;
    assert_eq!((fs::read(&to).unwrap(), fs::read(&from).unwrap()), (b"2".to_vec(), b"1".to_vec()));
    let none = desk.remote("none");
    desk.names_in_failure(3, &none, &["cp", &none, &to]).await;
    desk.names_in_failure(3, &none, &["cp", &from, &format!("{none}/below")]).await;
    desk.fails_before_anything_is_sent(7, &["cp", "relative", &to]).await;
    desk.names_in_failure(7, "relative", &["cp", &from, "relative"]).await;
    desk.assert_clean();
}

#[tokio::test]
async fn cp_takes_a_directory_with_r_and_follows_links_with_l() {
    let desk = Desk::open().await;
    let tree = desk.place_directory("tree");
    desk.place("tree/a", b"1");
    desk.place_link("a", "tree/link");
    let link = desk.place_link("tree", "link");
    let line = desk.names_in_failure(4, &tree, &["cp", &tree, &desk.remote("no")]).await;
    assert!(line.contains("-r"), "{line}");
    desk.names_in_failure(4, &tree, &["cp", &desk.remote("tr*"), desk.simulator.home()]).await;
    desk.names_in_failure(4, &link, &["cp", "-L", &link, &desk.remote("no")]).await;
    assert!(!fs::exists(desk.remote("no")).unwrap());

    let kept = desk.remote("kept");
    desk.ok(&["cp", "-r", &tree, &kept]).await;
    assert_eq!(picture(&kept), picture(&tree));
    let followed = desk.remote("followed");
    desk.ok(&["cp", "-rL", &tree, &followed]).await;
    assert_eq!(fs::read(format!("{followed}/link")).unwrap(), b"1");
    assert!(!fs::symlink_metadata(format!("{followed}/link")).unwrap().is_symlink());
    // Into one that is there.
    desk.ok(&["cp", "-r", &tree, &kept]).await;
    assert_eq!(picture(format!("{kept}/tree")), picture(&tree));
    // A link by itself: the link, or what it leads to.
    desk.ok(&["cp", &link, &desk.remote("link2")]).await;
    assert_eq!(fs::read_link(desk.remote("link2")).unwrap().to_str(), Some("tree"));
    desk.ok(&["cp", "-L", &desk.remote("tree/link"), &desk.remote("plain")]).await;
    assert!(fs::symlink_metadata(desk.remote("plain")).unwrap().is_file());
    // A directory onto a file.
    let file = desk.place("file", b"x");
    assert_ne!(desk.run(&["cp", "-r", &tree, &file]).await.status.code(), Some(0));
    assert_eq!(fs::read(&file).unwrap(), b"x");
    desk.assert_clean();
}

#[tokio::test]
async fn cp_and_mv_carry_hostile_names() {
    let desk = Desk::open().await;
    let tree = desk.place_directory("tree");
    for name in HOSTILE.iter().chain(&["it's", "cr\rx"]) {
        desk.place(&format!("tree/{name}"), name.as_bytes());
    }
    let copy = desk.remote("-copy 'of' & \"$(touch pwned)\"\n<x>");
    desk.ok(&["cp", "-r", &tree, &copy]).await;
    assert_eq!(picture(&copy), picture(&tree));
    let moved = desk.remote("moved <&> 'it' ü\n");
    desk.ok(&["mv", &copy, &moved]).await;
    assert_eq!(picture(&moved), picture(&tree));
    for name in HOSTILE.iter().chain(&["it's"]).filter(|name| !name.contains('?')) {
        let (from, to) = (format!("{tree}/{name}"), desk.remote(&format!("one {name}")));
        desk.ok(&["cp", &from, &to]).await;
        desk.ok(&["mv", &to, &format!("{to}2")]).await;
        assert_eq!(fs::read(format!("{to}2")).unwrap(), name.as_bytes());
    }
    assert!(!names(desk.simulator.home()).contains(&"pwned".to_owned()));
    // No request can ask what such a name is: still a directory wants -r.
    let quote = desk.place_directory("it's a directory");
    let line = desk.names_in_failure(4, &quote, &["cp", &quote, &desk.remote("no")]).await;
    assert!(line.contains("-r"), "{line}");
    desk.ok(&["cp", "-r", &quote, &desk.remote("yes")]).await;
    desk.names_in_failure(7, "isn't", &["cp", &desk.remote("isn't"), &desk.remote("no")]).await;
    desk.assert_clean();
}

#[tokio::test]
async fn cp_of_a_pattern_goes_into_a_directory() {
    let desk = Desk::open().await;
    for name in ["a.txt", "b.txt", "c.dat"] {
        desk.place(name, b"1");
    }
    let folder = desk.place_directory("folder");
    desk.ok(&["cp", &desk.remote("*.txt"), &folder]).await;
    assert_eq!(names(&folder), ["a.txt", "b.txt"]);
    let none = desk.remote("*.none");
    desk.names_in_failure(3, &none, &["cp", &none, &folder]).await;
    let file = desk.remote("c.dat");
    desk.names_in_failure(4, &file, &["cp", &desk.remote("*.txt"), &file]).await;
}

// ---- mv

#[tokio::test]
async fn mv_takes_a_new_name_or_a_directory_with_a_slash() {
    let desk = Desk::open().await;
    let (a, b) = (desk.place("a", b"1"), desk.remote("b"));
    assert_eq!(desk.ok(&["mv", &a, &b]).await, "");
    assert!(!fs::exists(&a).unwrap());
    let folder = desk.place_directory("folder");
    let into = format!("{folder}/b");
    assert_eq!(desk.json(&["mv", &b, &format!("{folder}/")]).await, json!({"moved": b, "to": into}));
    assert_eq!(fs::read(&into).unwrap(), b"1");
    // A directory goes with what is in it; a link is moved, not followed.
    let link = desk.place_link("folder", "link");
    desk.ok(&["mv", &link, &desk.remote("link2")]).await;
    assert_eq!(fs::read_link(desk.remote("link2")).unwrap().to_str(), Some("folder"));
    let other = desk.place_directory("other");
    desk.ok(&["mv", &format!("{folder}/"), &format!("{other}/")]).await;
    assert_eq!(fs::read(format!("{other}/folder/b")).unwrap(), b"1");
    desk.assert_clean();
}

#[tokio::test]
async fn mv_replaces_nothing() {
    let desk = Desk::open().await;
    let (a, b, folder) = (desk.place("a", b"1"), desk.place("b", b"2"), desk.place_directory("folder"));
    desk.place("folder/a", b"3");
    let before = picture(desk.simulator.home());
    let dangling = desk.place_link("nowhere", "dangling");
    for (target, named) in [
        (b.as_str(), b.as_str()),
        (&folder, &folder),
        (&format!("{folder}/"), &format!("{folder}/a")),
        (&dangling, &dangling),
    ] {
        desk.names_in_failure(4, named, &["mv", &a, target]).await;
    }
    fs::remove_file(&dangling).unwrap();
    let none = desk.remote("none");
    desk.names_in_failure(3, &none, &["mv", &none, &desk.remote("c")]).await;
    desk.names_in_failure(3, &none, &["mv", &a, &format!("{none}/")]).await;
    desk.fails(4, &["mv", &a, &format!("{b}/")]).await;
    // Into itself.
    assert_ne!(desk.run(&["mv", &folder, &format!("{folder}/sub")]).await.status.code(), Some(0));
    assert_eq!(picture(desk.simulator.home()), before);
    desk.assert_clean();
}

// ---- ln, readlink

#[tokio::test]
async fn links_are_made_and_read_as_they_are_written() {
    let desk = Desk::open().await;
    let (a, link) = (desk.place("a", b"1"), desk.remote("link"));
    assert_eq!(desk.ok(&["ln", "-s", "../x/./y", &link]).await, "");
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("../x/./y"));
    let second = desk.remote("second");
    assert_eq!(desk.json(&["ln", "--symbolic", &a, &second]).await, json!({"link": second, "target": a}));
    assert_eq!(desk.ok(&["readlink", &link, &second]).await, format!("../x/./y\n{a}\n"));
    let document = desk.json(&["readlink", &link, &second]).await;
    assert_eq!(document, json!([{"path": link, "target": "../x/./y"}, {"path": second, "target": a}]));

    let output = desk.run(&["ln", &a, &desk.remote("hard")]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--symbolic"), "{}", text(&output.stderr));
    desk.names_in_failure(4, &a, &["ln", "-s", "x", &a]).await;
    desk.names_in_failure(4, &link, &["ln", "-s", "x", &link]).await;
    desk.names_in_failure(7, &a, &["readlink", &a]).await;
    let none = desk.remote("none");
    desk.names_in_failure(3, &none, &["readlink", &link, &none]).await;
    desk.names_in_failure(3, &none, &["ln", "-s", "x", &format!("{none}/link")]).await;
    assert_eq!(names(desk.simulator.home()), ["a", "link", "second"]);
}

#[tokio::test]
async fn links_carry_hostile_names_and_are_shown_on_one_line() {
    let desk = Desk::open().await;
    for name in HOSTILE {
        let link = desk.remote(&format!("to {name}"));
        desk.ok(&["ln", "-s", "--", name, &link]).await;
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(name));
        if !name.contains('\\') {
            assert_eq!(desk.json(&["readlink", &link]).await[0]["target"], name);
            assert_eq!(desk.ok(&["readlink", &link]).await, format!("{}\n", name.replace('\n', "\\n")));
        }
    }
    // In a link's target a single quote never meets the server's shell; in its name it would.
    let link = desk.remote("link");
    desk.ok(&["ln", "-s", "it's; $(touch pwned)", &link]).await;
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("it's; $(touch pwned)"));
    desk.fails_before_anything_is_sent(7, &["ln", "-s", "/x", &desk.remote("it's")]).await;
    assert!(!names(desk.simulator.home()).contains(&"pwned".to_owned()));
    desk.assert_clean();
}

// ---- glob, tree

#[tokio::test]
async fn glob_prints_what_matches_one_path_a_line() {
    let desk = Desk::open().await;
    for folder in ["d1", "d2", ".d3"] {
        desk.place_directory(folder);
        for name in ["a.txt", "b\nc.txt", ".h.txt"] {
            desk.place(&format!("{folder}/{name}"), b"1");
        }
    }
    let home = desk.simulator.home();
    let at = |path: &str| format!("{home}/{path}");
    assert_eq!(desk.ok(&["glob", &at("d*/a.txt")]).await, format!("{home}/d1/a.txt\n{home}/d2/a.txt\n"));
    assert_eq!(desk.ok(&["glob", &at("d1/*")]).await, format!("{home}/d1/a.txt\n{home}/d1/b\\nc.txt\n"));
    assert_eq!(
        desk.ok(&["glob", &at("d[!1]"), &at("none*"), &at("d?")]).await,
        format!("{home}/d2\n{home}/d1\n{home}/d2\n")
    );
    assert_eq!(desk.ok(&["glob", &at("none*")]).await, "");
    let (some, none) = (at("d1/b*"), at("none/*"));
    let document = desk.json(&["glob", &some, &none]).await;
    assert_eq!(document, json!([{"pattern": some, "paths": [at("d1/b\nc.txt")]}, {"pattern": none, "paths": []}]));
    assert_eq!(desk.json(&["glob", &at("**/.h.txt")]).await[0]["paths"], json!([at("d1/.h.txt"), at("d2/.h.txt")]));
    assert_eq!(desk.json(&["glob", &at(".d*/a*")]).await[0]["paths"], json!([at(".d3/a.txt")]));
    desk.fails_before_anything_is_sent(7, &["glob", "d*"]).await;
    assert_eq!(desk.run(&["glob"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn tree_draws_what_is_there_to_the_depth_asked_for() {
    let desk = Desk::open().await;
    for folder in ["t", "t/a", "t/a/b", "t/.h"] {
        desk.place_directory(folder);
    }
    for file in ["t/x\ny", "t/a/1", "t/a/b/2", "t/.h/3"] {
        desk.place(file, b"12");
    }
    desk.place_link("../a", "t/a/link");
    let root = desk.remote("t");
    assert_eq!(
        desk.ok(&["tree", &root]).await,
        format!(
            "{root}\n├── a\n│   ├── 1\n│   ├── b\n│   │   └── 2\n│   └── link -> ../a\n└── x\\ny\n\n2 directories, 4 files\n"
        )
    );
    assert_eq!(
        desk.ok(&["tree", "-L", "1", &root]).await,
        format!("{root}\n├── a\n└── x\\ny\n\n1 directory, 1 file\n")
    );
    let two = desk.ok(&["tree", "--level", "2", &root]).await;
    assert!(two.contains("│   ├── b\n│   └── link") && two.ends_with("\n\n2 directories, 3 files\n"), "{two}");
    assert!(desk.ok(&["tree", "-a", &root]).await.contains("├── .h\n│   └── 3\n"));

    let document = desk.json(&["tree", "-aL", "2", &root]).await;
    assert_eq!((&document["path"], &document["directories"], &document["files"]), (&json!(root), &json!(3), &json!(4)));
    let entries = document["entries"].as_array().unwrap();
    let paths: Vec<_> = entries.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, [".h", ".h/3", "a", "a/1", "a/b", "a/link", "x\ny"]);
    assert_eq!((&entries[5]["kind"], &entries[5]["link_target"]), (&json!("symlink"), &json!("../a")));

    let empty = desk.place_directory("empty");
    assert_eq!(desk.ok(&["tree", &empty]).await, format!("{empty}\n\n0 directories, 0 files\n"));
    desk.names_in_failure(4, &desk.remote("t/a/1"), &["tree", &desk.remote("t/a/1")]).await;
    desk.names_in_failure(3, &desk.remote("none"), &["tree", &desk.remote("none")]).await;
    assert_eq!(desk.run(&["tree", "-L", "0", &root]).await.status.code(), Some(2));
}

/// The listing's depth is the server's; the drawing must not go deeper into this program's stack with it.
#[tokio::test]
async fn a_deep_tree_is_drawn_to_its_end() {
    let desk = Desk::open().await;
    let deep = vec!["d"; 300].join("/");
    fs::create_dir_all(desk.remote(&deep)).unwrap();
    let drawn = desk.ok(&["tree", desk.simulator.home()]).await;
    assert!(drawn.ends_with("\n\n300 directories, 0 files\n") && drawn.lines().count() == 303, "{}", drawn.len());
}

#[tokio::test]
async fn a_single_quote_by_itself_is_refused_and_named() {
    let desk = Desk::open().await;
    let (local, quote) = (desk.file("f", "1"), desk.remote("it's"));
    for arguments in [
        vec!["put", &local, &quote],
        vec!["get", &quote, "here"],
        vec!["tree", &quote],
        vec!["readlink", &quote],
        vec!["glob", &quote],
    ] {
        desk.simulator.clear_requests();
        let output = desk.run(&arguments).await;
        let line = one_line(&output, 7, &[]);
        assert!(line.contains("it's"), "{line}");
    }
    assert_eq!(names(desk.simulator.home()), [""; 0]);
}

// ---- what the plugin does not do yet

#[tokio::test]
async fn a_folder_that_comes_is_verified_and_counted_like_one_that_goes() {
    let desk = Desk::open().await;
    let source = desk.folder("tree", &[("a", "12"), ("sub/b", "345")]);
    let there = desk.remote("there");
    let document = desk.json(&["put", "-r", "--verify", &source, &there]).await;
    assert_eq!(document, summary(2, 2, 5, "checksum"));
    assert_eq!(desk.json(&["get", "-r", "--verify", &there, "back"]).await, document);
}

#[tokio::test]
async fn what_cp_and_mv_refuse_has_its_kind() {
    let desk = Desk::open().await;
    let (tree, file) = (desk.place_directory("tree"), desk.place("file", b"x"));
    desk.names_in_failure(4, &file, &["cp", "-r", &tree, &file]).await;
    desk.names_in_failure(7, &tree, &["mv", &tree, &format!("{tree}/sub")]).await;
    desk.names_in_failure(7, &tree, &["cp", "-r", &tree, &format!("{tree}/sub")]).await;
    assert_eq!(names(&tree), [""; 0]);
}

#[tokio::test]
async fn a_name_with_a_patterns_characters_is_itself_first() {
    let desk = Desk::open().await;
    let (from, to) = (desk.place("what?[1]", b"1"), desk.remote("to"));
    desk.ok(&["cp", &from, &to]).await;
    assert_eq!(fs::read(&to).unwrap(), b"1");
    desk.ok(&["compress", &desk.remote("x.tar"), &from]).await;
    desk.ok(&["extract", &desk.remote("x.tar"), &desk.remote("out")]).await;
    assert_eq!(names(desk.remote("out")), ["what?[1]"]);
}
