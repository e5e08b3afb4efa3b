//! The command line's sync: what differs moves, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aiida_firecrest_tests::{names, seen};
use serde_json::{Value, json};

use crate::desk::{Desk, picture, text};

/// The requests of a run that move or change something.
fn changes(desk: &Desk) -> Vec<String> {
    let mut seen = seen(&desk.simulator);
    seen.retain(|request| {
        let look = ["token", "status/systems", "ops/stat", "ops/ls", "ops/checksum", "userinfo"];
        !look.iter().any(|end| request.ends_with(end))
    });
    seen
}

/// Runs it, and then once more: the second time nothing moves.
async fn settles(desk: &Desk, arguments: &[&str]) -> Value {
    let first = desk.json(arguments).await;
    desk.simulator.clear_requests();
    let second = desk.json(arguments).await;
    assert_eq!(
        (&second["copied"], &second["bytes"], &second["transfers"]),
        (&json!([]), &json!(0), &json!(0)),
        "{second}"
    );
    for list in ["directories", "removed", "replaced", "permissions"] {
        assert_eq!(second[list], json!([]), "{list}: {second}");
    }
    assert_eq!(changes(desk), [""; 0]);
    first
}

fn copied(document: &Value) -> Vec<(&str, &str)> {
    let copies = document["copied"].as_array().unwrap();
    copies.iter().map(|copy| (copy["path"].as_str().unwrap(), copy["reason"].as_str().unwrap())).collect()
}

fn set_time(path: impl AsRef<Path>, back: u64) {
    let time = SystemTime::now() - Duration::from_secs(back);
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

const TREE: [(&str, &str); 6] = [
    ("a", "1"),
    ("sub/b", "22"),
    ("sub/.hidden", "333"),
    ("sub/deep/c", "4444"),
    ("empty file", ""),
    ("empty folder/", ""),
];

#[tokio::test]
async fn a_new_folder_goes_up_whole_and_the_second_time_nothing_does() {
    let desk = Desk::open().await;
    let local = desk.folder("local", &TREE);
    fs::set_permissions(desk.path("local/a"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("sub/b", desk.path("local/link")).unwrap();
    symlink("/no/where", desk.path("local/dangling")).unwrap();
    let remote = desk.remote("there");
    let dry = desk.ok(&["sync", "-n", &local, &remote]).await;
    assert!(dry.contains("put     sub/deep/c (new, 4 B)\n") && dry.contains("put     link -> sub/b (new)\n"), "{dry}");
    assert!(dry.contains("mkdir   empty folder\n"), "{dry}");
    assert!(dry.ends_with("nothing is done; would be: 7 copied, 10 B; 0 unchanged\n"), "{dry}");
    assert!(!fs::exists(&remote).unwrap());

    let document = settles(&desk, &["sync", &local, &remote]).await;
    assert_eq!(picture(&remote), picture(&local));
    assert_eq!(
        (&document["direction"], &document["dry_run"], &document["bytes"]),
        (&json!("put"), &json!(false), &json!(10))
    );
    assert_eq!(copied(&document).len(), 7);
    assert_eq!(document["directories"], json!(["empty folder", "sub", "sub/deep"]));
    // One for all, and one for a link that leads out of the sandbox.
    assert_eq!(document["transfers"], 2);
    let said = desk.ok(&["sync", &local, &remote]).await;
    assert!(said.starts_with("0 copied, 0 B; 7 unchanged"), "{said}");
    desk.assert_clean();
}

#[tokio::test]
async fn a_new_folder_comes_down_whole_and_the_second_time_nothing_does() {
    let desk = Desk::open().await;
    let source = desk.folder("source", &TREE);
    symlink("sub/b", desk.path("source/link")).unwrap();
    fs::set_permissions(desk.path("source/sub/b"), fs::Permissions::from_mode(0o700)).unwrap();
    let remote = desk.remote("there");
    desk.ok(&["sync", &source, &remote]).await;
    let dry = desk.ok(&["sync", "--pull", "--dry-run", "local", &remote]).await;
    assert!(dry.contains("get     sub/b (new, 2 B)\n"), "{dry}");
    assert!(!desk.path("local").exists());
    let document = settles(&desk, &["sync", "--pull", "local", &remote]).await;
    assert_eq!(document["direction"], "get");
    assert_eq!(picture(desk.path("local")), picture(&source));
    assert_eq!(picture(&remote), picture(&source));
    // What came has the cluster's time: no checksum has to be asked for.
    let again = desk.json(&["sync", "--pull", "local", &remote]).await;
    assert_eq!((&again["compared_by_checksum"], &again["unchanged"]), (&json!(0), &json!(6)));
    desk.assert_clean();
}

#[tokio::test]
async fn size_then_time_then_checksum_say_what_moves() {
    let desk = Desk::open().await;
    for pull in [false, true] {
        let (local, remote) = (format!("local{pull}"), desk.remote(&format!("there{pull}")));
        let files = [("longer", "1"), ("other bytes", "aaaa"), ("touched", "same"), ("same", "same"), ("linked", "x")];
        let here = desk.folder(&local, &files);
        symlink("same", format!("{here}/link")).unwrap();
        desk.ok(&["sync", &here, &remote]).await;
        desk.ok(&["sync", "--pull", &here, &remote]).await;
        let (source, target) = if pull { (&remote, &here) } else { (&here, &remote) };
        fs::write(format!("{source}/longer"), "12").unwrap();
        fs::write(format!("{source}/other bytes"), "bbbb").unwrap();
        set_time(format!("{source}/other bytes"), 7300);
        set_time(format!("{source}/touched"), 7300);
        fs::write(format!("{source}/new"), "new").unwrap();
        fs::remove_file(format!("{source}/link")).unwrap();
        symlink("longer", format!("{source}/link")).unwrap();
        let before = picture(source);
        let mut arguments = vec!["sync", &here, &remote];
        arguments.extend(pull.then_some("--pull"));
        let document = settles(&desk, &arguments).await;
        let expected = [("link", "target"), ("longer", "size"), ("new", "new"), ("other bytes", "checksum")];
        assert_eq!(copied(&document), expected, "pull: {pull}");
        assert_eq!(document["replaced"], json!(["link"]));
        assert!(document["compared_by_checksum"].as_u64().is_some_and(|count| count >= 2), "{document}");
        assert_eq!(picture(target), before);
        assert_eq!(picture(source), before);
    }
    desk.assert_clean();
}

#[tokio::test]
async fn the_same_size_and_time_are_the_same_but_for_checksum() {
    let desk = Desk::open().await;
    let here = desk.folder("local", &[("a", "1111"), ("b", "2222")]);
    let remote = desk.remote("there");
    desk.ok(&["sync", &here, &remote]).await;
    desk.ok(&["sync", "--pull", &here, &remote]).await;
    // Made the same in size and time, other in bytes.
    let time = fs::metadata(desk.path("local/a")).unwrap().modified().unwrap();
    for (place, content) in [(format!("{remote}/a"), "1111"), (format!("{here}/a"), "3333")] {
        fs::write(&place, content).unwrap();
        fs::File::options().append(true).open(&place).unwrap().set_modified(time).unwrap();
    }
    let document = desk.json(&["sync", &here, &remote]).await;
    assert_eq!((&document["copied"], &document["compared_by_checksum"]), (&json!([]), &json!(0)), "{document}");
    let document = desk.json(&["sync", "--checksum", &here, &remote]).await;
    assert_eq!((copied(&document), &document["compared_by_checksum"]), (vec![("a", "checksum")], &json!(2)));
    assert_eq!(fs::read(format!("{remote}/a")).unwrap(), b"3333");
}

#[tokio::test]
async fn what_the_source_does_not_have_stays_or_goes_with_delete() {
    let desk = Desk::open().await;
    for pull in [false, true] {
        let (local, remote) = (format!("local{pull}"), desk.remote(&format!("there{pull}")));
        let here = desk.folder(
            &local,
            &[("a", "1"), ("old/x", "2"), ("old/y/z", "3"), ("gone", "4"), ("sub/k", "5"), ("sub/g", "6")],
        );
        symlink("a", format!("{here}/gone link")).unwrap();
        desk.ok(&["sync", &here, &remote]).await;
        let (source, target) = if pull { (&remote, &here) } else { (&here, &remote) };
        fs::remove_dir_all(format!("{source}/old")).unwrap();
        for name in ["gone", "gone link", "sub/g"] {
            fs::remove_file(format!("{source}/{name}")).unwrap();
        }
        let mut arguments = vec!["sync", &here, &remote];
        arguments.extend(pull.then_some("--pull"));
        let before = picture(target);
        let said = desk.ok(&arguments).await;
        assert!(said.contains("4 not in the source (--delete removes them)"), "{said}");
        let document = desk.json(&arguments).await;
        assert_eq!(document["extra"], json!(["gone", "gone link", "old", "sub/g"]));
        arguments.push("--delete");
        let mut dry = arguments.clone();
        dry.push("-n");
        let said = desk.ok(&dry).await;
        assert!(said.contains("remove  old\n") && said.contains("4 removed"), "{said}");
        assert_eq!(picture(target), before);
        let document = settles(&desk, &arguments).await;
        assert_eq!(document["removed"], json!(["gone", "gone link", "old", "sub/g"]));
        assert_eq!(picture(target).into_keys().collect::<Vec<_>>(), ["a", "sub", "sub/k"], "pull: {pull}");
        assert_eq!(fs::read(format!("{target}/a")).unwrap(), b"1", "what a removed link led to stays");
    }
    desk.assert_clean();
}

#[tokio::test]
async fn another_kind_is_replaced_and_a_directory_only_with_delete() {
    let desk = Desk::open().await;
    for pull in [false, true] {
        let (local, remote) = (format!("local{pull}"), desk.remote(&format!("there{pull}")));
        let here = desk.folder(&local, &[("file to link", "1"), ("file to dir", "2"), ("dir to file/x", "3")]);
        symlink("nowhere", format!("{here}/link to file")).unwrap();
        desk.ok(&["sync", &here, &remote]).await;
        let (source, target) = if pull { (&remote, &here) } else { (&here, &remote) };
        for name in ["file to link", "file to dir", "link to file"] {
            fs::remove_file(format!("{source}/{name}")).unwrap();
        }
        symlink("elsewhere", format!("{source}/file to link")).unwrap();
        fs::create_dir(format!("{source}/file to dir")).unwrap();
        fs::write(format!("{source}/file to dir/y"), "4").unwrap();
        fs::write(format!("{source}/link to file"), "5").unwrap();
        let mut arguments = vec!["sync", &here, &remote];
        arguments.extend(pull.then_some("--pull"));
        let document = settles(&desk, &arguments).await;
        assert_eq!(document["replaced"], json!(["file to dir", "file to link", "link to file"]));
        assert_eq!(picture(target), picture(source), "pull: {pull}");

        fs::remove_dir_all(format!("{source}/dir to file")).unwrap();
        fs::write(format!("{source}/dir to file"), "6").unwrap();
        let line = desk.names_in_failure(4, "dir to file", &arguments).await;
        assert!(line.contains("--delete"), "{line}");
        assert!(Path::new(&format!("{target}/dir to file/x")).exists());
        arguments.push("--delete");
        settles(&desk, &arguments).await;
        assert_eq!(picture(target), picture(source), "pull: {pull}");
    }
    desk.assert_clean();
}

#[tokio::test]
async fn the_owners_permissions_follow() {
    let desk = Desk::open().await;
    let here = desk.folder("local", &[("run", "#!/bin/sh\n")]);
    let remote = desk.remote("there");
    desk.ok(&["sync", &here, &remote]).await;
    fs::set_permissions(desk.path("local/run"), fs::Permissions::from_mode(0o755)).unwrap();
    let said = desk.ok(&["sync", &here, &remote]).await;
    assert!(said.contains("chmod   run (755)\n"), "{said}");
    assert_eq!(picture(&remote), picture(&here));
    fs::set_permissions(format!("{remote}/run"), fs::Permissions::from_mode(0o600)).unwrap();
    let document = settles(&desk, &["sync", "--pull", &here, &remote]).await;
    assert_eq!((&document["permissions"], &document["copied"]), (&json!(["run"]), &json!([])));
    assert_eq!(picture(&remote), picture(&here));
}

#[tokio::test]
async fn hostile_names_are_synchronised_both_ways() {
    let desk = Desk::open().await;
    let names = [
        "it's",
        "-rf",
        "--help",
        "a\nb",
        "$(touch pwned)",
        "<&>",
        "ü 🦀",
        "say \"hi\"",
        "; touch pwned #",
        ".hidden",
        "*",
        "a -> b",
    ];
    let mut files: Vec<(String, &str)> = names.iter().map(|name| ((*name).to_owned(), *name)).collect();
    files.extend(names.iter().map(|name| (format!("folder 'of' {name}/{name}"), *name)));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let here = desk.folder("local 'of' & <x>", &files);
    let remote = desk.remote("-there \"&\" $(touch pwned)\n");
    settles(&desk, &["sync", &here, &remote]).await;
    assert_eq!(picture(&remote), picture(&here));
    let back = desk.path("-back & 'x'");
    settles(&desk, &["sync", "--pull", "--", back.to_str().unwrap(), &remote]).await;
    assert_eq!(picture(&back), picture(&here));
    // One alone that no request can name comes in an archive of what is around it.
    fs::write(format!("{remote}/folder 'of' it's/it's"), "changed").unwrap();
    settles(&desk, &["sync", "--pull", "--", back.to_str().unwrap(), &remote]).await;
    assert_eq!(picture(&back), picture(&remote));
    // In what is printed a name is one line.
    let said = desk.ok(&["sync", "-n", &here, &desk.remote("other")]).await;
    assert!(said.contains("put     a\\nb (new, 3 B)\n"), "{said}");
    assert!(!aiida_firecrest_tests::names(desk.simulator.home()).contains(&"pwned".to_owned()));
    desk.assert_clean();
}

#[tokio::test]
async fn ends_that_are_none_are_named() {
    let desk = Desk::open().await;
    let (here, file) = (desk.folder("local", &[("a", "1")]), desk.file("file", "1"));
    let (there, remote_file) = (desk.place_directory("there"), desk.place("file", b"1"));
    let none = desk.remote("none");
    desk.names_in_failure(3, "no-folder", &["sync", "no-folder", &there]).await;
    desk.names_in_failure(4, &file, &["sync", &file, &there]).await;
    desk.names_in_failure(4, &remote_file, &["sync", &here, &remote_file]).await;
    desk.names_in_failure(3, &none, &["sync", "--pull", &here, &none]).await;
    desk.names_in_failure(3, &none, &["sync", "--pull", "--delete", &here, &none]).await;
    desk.names_in_failure(3, "no-folder", &["sync", "--pull", "no-folder/below", &there]).await;
    let link = desk.place_link("there", "link");
    desk.names_in_failure(4, &link, &["sync", &here, &link]).await;
    desk.simulator.clear_requests();
    for path in ["relative", "/", "/a/../b"] {
        desk.names_in_failure(2, path, &["sync", &here, path]).await;
    }
    assert_eq!(desk.simulator.requests().len(), 0);
    // Neither a fifo nor what is below one is touched.
    let output = std::process::Command::new("mkfifo").arg(desk.path("local/fifo")).status().unwrap();
    assert!(output.success());
    let said = desk.ok(&["sync", &here, &there]).await;
    assert!(said.contains("skip    fifo"), "{said}");
    assert_eq!(names(&there), ["a"]);
    // Up into a folder whose parent is missing: it is made.
    let deep = desk.remote("no/such/place");
    desk.ok(&["sync", &here, &deep]).await;
    assert_eq!(names(&deep), ["a"]);
}

/// A local directory that is a symlink is never written through.
#[tokio::test]
async fn nothing_is_written_through_a_local_symlink() {
    let desk = Desk::open().await;
    let here = desk.folder("local", &[("x", "1")]);
    let outside = desk.folder("outside", &[]);
    desk.place_directory("there");
    desk.place_directory("there/d");
    desk.place("there/d/f", b"2");
    symlink(&outside, format!("{here}/d")).unwrap();
    let document = desk.json(&["sync", "--pull", &here, &desk.remote("there")]).await;
    assert_eq!(document["replaced"], json!(["d"]));
    assert_eq!(names(&outside), [""; 0]);
    assert_eq!(fs::read(desk.path("local/d/f")).unwrap(), b"2");
    assert!(!fs::symlink_metadata(desk.path("local/d")).unwrap().is_symlink());
}

#[tokio::test]
async fn many_files_cost_few_requests_both_ways() {
    let desk = Desk::open().await;
    let files: Vec<(String, String)> = (0..60).map(|i| (format!("d{}/f{i}", i % 6), format!("content {i}"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
    let here = desk.folder("local", &files);
    let remote = desk.remote("there");
    symlink("../d2/f2", desk.path("local/d1/relative")).unwrap();
    desk.simulator.clear_requests();
    desk.ok(&["sync", &here, &remote]).await;
    assert!(seen(&desk.simulator).len() <= 9, "{:?}", seen(&desk.simulator));
    desk.simulator.clear_requests();
    desk.ok(&["sync", "--pull", "back", &remote]).await;
    assert!(seen(&desk.simulator).len() <= 12, "{:?}", seen(&desk.simulator));
    assert_eq!(picture(desk.path("back")), picture(&here));
    // A link out of the sandbox costs what is around it, and comes.
    symlink("/no/where", format!("{remote}/d1/absolute")).unwrap();
    desk.ok(&["sync", "--pull", "second", &remote]).await;
    assert_eq!(picture(desk.path("second")), picture(&remote));
    fs::remove_file(format!("{remote}/d1/absolute")).unwrap();
    // One that differs is moved alone.
    fs::write(desk.path("local/d1/f1"), "changed, and longer").unwrap();
    let document = desk.json(&["sync", &here, &remote]).await;
    assert_eq!((copied(&document), &document["bytes"]), (vec![("d1/f1", "size")], &json!(19)));
    let output = desk.run(&["sync", &here]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
