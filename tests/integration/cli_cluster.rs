//! The command line's compress, extract and exec.

use std::fs;
use std::os::unix::fs::symlink;

use aiida_firecrest_tests::{Rig, names};
use serde_json::json;

use crate::desk::{Desk, picture, text};

/// What tells an archive from one of another format: its first bytes, and for a plain one the mark at 257.
fn packed_as(path: &str) -> &'static str {
    let bytes = fs::read(path).unwrap();
    match bytes.as_slice() {
        [0x1f, 0x8b, ..] => "gzip",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz",
        bytes if bytes.get(257..262) == Some(b"ustar") => "none",
        _ => panic!("{path} is no archive"),
    }
}

// ---- compress, extract

#[tokio::test]
async fn every_format_is_packed_and_unpacked_by_name_or_by_word() {
    let desk = Desk::open().await;
    let tree = desk.place_directory("tree");
    desk.place("tree/a", b"1");
    desk.place_directory("tree/empty");
    desk.place_link("a", "tree/link");
    let words = [("none", "tar"), ("gzip", "tar.gz"), ("bzip2", "tar.bz2"), ("xz", "tar.xz")];
    for (format, ending) in words {
        let archive = desk.remote(&format!("by-name.{ending}"));
        assert_eq!(desk.ok(&["compress", &archive, &tree]).await, "");
        assert_eq!(packed_as(&archive), format);
        let out = desk.remote(&format!("out-{format}"));
        assert_eq!(desk.ok(&["extract", &archive, &out]).await, "");
        assert_eq!(picture(format!("{out}/tree")), picture(&tree), "{format}");

        // A name that tells nothing, here and there.
        let odd = desk.remote(&format!("odd-{format}"));
        let document = desk.json(&["compress", "--format", format, &odd, &tree]).await;
        assert_eq!(document, json!({"archive": odd, "format": format, "sources": [tree]}));
        assert_eq!(packed_as(&odd), format);
        let out = desk.remote(&format!("odd-out-{format}"));
        let document = desk.json(&["extract", "--format", format, &odd, &out]).await;
        assert_eq!(document, json!({"archive": odd, "extracted_to": out}));
        assert_eq!(picture(format!("{out}/tree")), picture(&tree), "{format}");
    }
    // Without a word it is told from the archive itself.
    let out = desk.remote("guessed/deep");
    desk.ok(&["extract", &desk.remote("odd-xz"), &out]).await;
    assert_eq!(picture(format!("{out}/tree")), picture(&tree));
    desk.assert_clean();
}

#[tokio::test]
async fn a_format_that_nothing_tells_is_asked_for() {
    let desk = Desk::open().await;
    let source = desk.place("a", b"1");
    let archive = desk.remote("a.zip");
    desk.simulator.clear_requests();
    let line = desk.names_in_failure(2, &archive, &["compress", &archive, &source]).await;
    assert!(line.contains("--format") && line.contains(".tar.gz"), "{line}");
    assert_eq!(desk.simulator.requests().len(), 0);
    for command in ["compress", "extract"] {
        let output = desk.run(&[command, "--format", "zip", &archive, &source]).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("bzip2"), "the formats there are: {}", text(&output.stderr));
    }
    // What is no archive of its name's format.
    let broken = desk.place("broken.tar.gz", b"no archive");
    let output = desk.run(&["extract", &broken, &desk.remote("out")]).await;
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains(&broken), "{}", text(&output.stderr));
    desk.assert_clean();
}

#[tokio::test]
async fn what_is_packed_is_chosen_by_pattern_root_and_dereference() {
    let desk = Desk::open().await;
    for folder in ["tree", "tree/sub"] {
        desk.place_directory(folder);
    }
    for file in ["tree/a.txt", "tree/b.dat", "tree/.h.txt", "tree/sub/c.txt", "other"] {
        desk.place(file, file.as_bytes());
    }
    desk.place_link("a.txt", "tree/l.txt");
    let (tree, home) = (desk.remote("tree"), desk.simulator.home().to_owned());
    let unpacked = async |arguments: &[&str]| {
        let archive = desk.remote("x.tar");
        let _ = fs::remove_dir_all(desk.remote("out"));
        let mut all = vec!["compress", "--overwrite"];
        all.extend(arguments.iter().take_while(|argument| argument.starts_with("--")));
        let rest = all.len() - 2;
        all.push(&archive);
        all.extend(&arguments[rest..]);
        desk.ok(&all).await;
        desk.ok(&["extract", &archive, &desk.remote("out")]).await;
        let picture = picture(desk.remote("out"));
        picture.into_iter().filter(|(_, what)| !what.starts_with("directory")).map(|(path, _)| path).collect::<Vec<_>>()
    };
    let root = format!("--root={home}");
    assert_eq!(unpacked(&["--pattern=*.txt", &tree]).await, ["tree/.h.txt", "tree/a.txt", "tree/sub/c.txt"]);
    assert_eq!(unpacked(&[&root, &format!("{tree}/sub"), &format!("{home}/other")]).await, ["other", "tree/sub/c.txt"]);
    assert_eq!(unpacked(&[&format!("{tree}/*.txt")]).await, ["a.txt", "l.txt"]);
    assert_eq!(unpacked(&[&format!("{tree}/a.txt"), &format!("{home}/oth*")]).await, ["a.txt", "other"]);
    // Kept, then followed.
    for (arguments, is_link) in [(vec![tree.as_str()], true), (vec!["--dereference", tree.as_str()], false)] {
        assert_eq!(unpacked(&arguments).await.len(), 5);
        assert_eq!(fs::symlink_metadata(desk.remote("out/tree/l.txt")).unwrap().is_symlink(), is_link);
    }
    let line = desk
        .names_in_failure(
            7,
            &desk.remote("other"),
            &["compress", "--root", &tree, &desk.remote("y.tar"), &desk.remote("other")],
        )
        .await;
    assert!(line.contains(&tree), "{line}");
    assert!(!fs::exists(desk.remote("y.tar")).unwrap());
    desk.assert_clean();
}

#[tokio::test]
async fn an_archive_that_is_there_stays_unless_it_may_go() {
    let desk = Desk::open().await;
    let (source, folder) = (desk.place("a", b"1"), desk.place_directory("d"));
    let old = desk.place("old.tar", b"old");
    desk.names_in_failure(4, &old, &["compress", &old, &source]).await;
    assert_eq!(fs::read(&old).unwrap(), b"old");
    // A failure leaves the old one, too.
    let none = desk.remote("none");
    desk.names_in_failure(3, &none, &["compress", &desk.remote("new.tar"), &none]).await;
    desk.names_in_failure(3, "none*", &["compress", &desk.remote("new.tar"), &desk.remote("none*")]).await;
    assert!(!fs::exists(desk.remote("new.tar")).unwrap());
    desk.ok(&["compress", "--overwrite", &old, &source]).await;
    assert_eq!(packed_as(&old), "none");
    desk.names_in_failure(4, &folder, &["compress", "--format", "none", "--overwrite", &folder, &source]).await;
    // Into a file, from nothing.
    desk.fails(4, &["extract", &old, &source]).await;
    desk.names_in_failure(3, "none.tar", &["extract", &desk.remote("none.tar"), &desk.remote("out")]).await;
    assert!(!fs::exists(desk.remote("out")).unwrap());
    assert_eq!(fs::read(&source).unwrap(), b"1");
    desk.assert_clean();
}

#[tokio::test]
async fn leading_names_are_left_out_on_request() {
    let desk = Desk::open().await;
    for folder in ["tree", "tree/sub"] {
        desk.place_directory(folder);
    }
    desk.place("tree/sub/a", b"1");
    let archive = desk.remote("x.tgz");
    desk.ok(&["compress", &archive, &desk.remote("tree")]).await;
    for (strip, found) in [("0", "tree/sub/a"), ("1", "sub/a"), ("2", "a")] {
        let out = desk.remote(&format!("out{strip}"));
        desk.ok(&["extract", "--strip", strip, &archive, &out]).await;
        assert_eq!(fs::read(format!("{out}/{found}")).unwrap(), b"1");
    }
    assert_eq!(desk.run(&["extract", "--strip", "x", &archive, &desk.remote("out")]).await.status.code(), Some(2));
    // Into a directory that is there: beside what it holds.
    desk.ok(&["extract", &archive, &desk.remote("out2")]).await;
    assert_eq!(names(desk.remote("out2")), ["a", "tree"]);
}

#[tokio::test]
async fn archives_carry_hostile_names() {
    let desk = Desk::open().await;
    let tree = desk.place_directory("tree it's \"&\" <x> $(touch pwned)");
    for name in ["it's", "-rf", "--checkpoint=1", "a\nb", "$(touch pwned)", "<&>", "ü 🦀", "`id`", "; touch pwned #"]
    {
        desk.place(&format!("tree it's \"&\" <x> $(touch pwned)/{name}"), name.as_bytes());
    }
    let archive = desk.remote("-archive 'of' <x> & $(touch pwned)\n.tar.gz");
    desk.ok(&["compress", &archive, &tree]).await;
    let out = desk.remote("out 'of' it & \"$(touch pwned)\"");
    desk.ok(&["extract", &archive, &out]).await;
    assert_eq!(picture(format!("{out}/tree it's \"&\" <x> $(touch pwned)")), picture(&tree));
    // One that tar would read as an option, by itself.
    let odd = desk.remote("odd.tar");
    desk.ok(&["compress", &odd, &format!("{tree}/--checkpoint=1"), &format!("{tree}/-rf")]).await;
    desk.ok(&["extract", &odd, &desk.remote("odd")]).await;
    assert_eq!(names(desk.remote("odd")), ["--checkpoint=1", "-rf"]);
    assert!(!names(desk.simulator.home()).contains(&"pwned".to_owned()) && !names(&tree).contains(&"pwned".to_owned()));
    desk.assert_clean();
}

// ---- exec

#[tokio::test]
async fn exec_passes_on_what_the_command_says_and_its_exit_code() {
    let desk = Desk::open().await;
    let output = desk.run(&["exec", "echo out; echo err >&2; exit 7"]).await;
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(7), "out\n".into(), "err\n".into())
    );
    let output = desk.run(&["--json", "exec", "echo out; echo err >&2; exit 7"]).await;
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(7), String::new()));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document, json!({"exit_code": 7, "stdout": "out\n", "stderr": "err\n"}));
    // Bytes are bytes; in JSON what is no text is base64.
    let output = desk.run(&["exec", "printf '\\377\\000\\n'"]).await;
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"\xff\0\n".as_slice()));
    let document = desk.json(&["exec", "printf '\\377\\000\\n'"]).await;
    assert_eq!(document, json!({"exit_code": 0, "stdout_base64": "/wAK", "stderr": ""}));
    // 255 is the last that a program can pass on; a signal is 128 and its number.
    assert_eq!(desk.run(&["exec", "exit 255"]).await.status.code(), Some(255));
    assert_eq!(desk.run(&["exec", "kill -9 $$"]).await.status.code(), Some(137));
    let output = desk.run(&["exec", "no-such-command-here"]).await;
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).contains("no-such-command-here"));
    assert_eq!(desk.run(&["exec"]).await.status.code(), Some(2));
    desk.assert_clean();
}

#[tokio::test]
async fn exec_gives_the_command_its_arguments_environment_folder_and_input() {
    let desk = Desk::open().await;
    let words = ["a b", "it's", "$HOME", "*", "", "<&>", "x\ny", "ü", "-l", "--json"];
    let mut all = vec!["exec", "printf", "[%s]"];
    all.extend(words);
    let expected: String = words.iter().map(|word| format!("[{word}]")).collect();
    assert_eq!(desk.ok(&all).await, expected);
    // One argument is a line for the shell.
    assert_eq!(desk.ok(&["exec", "echo a | tr a b"]).await, "b\n");

    let folder = desk.place_directory("a \"folder\" & <x>");
    let input = desk.file("input", b"from a \xff file");
    let said = desk
        .run(&[
            "exec",
            "--cwd",
            &folder,
            "--env",
            "A=it's $HOME; `id`",
            "--env",
            "B=x=\ny",
            "--stdin",
            &input,
            "pwd; printf '%s|%s|' \"$A\" \"$B\"; cat",
        ])
        .await;
    let mut expected = format!("{folder}\nit's $HOME; `id`|x=\ny|from a ").into_bytes();
    expected.extend(b"\xff file");
    assert_eq!((said.status.code(), said.stdout), (Some(0), expected));
    // Without --stdin there is nothing to read.
    assert_eq!(desk.ok(&["exec", "cat; echo end"]).await, "end\n");
    let output = desk.run_with(b"from stdin", &["exec", "--stdin", "-", "cat"]).await;
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "from stdin".into()));
    desk.assert_clean();
}

#[tokio::test]
async fn exec_refuses_what_cannot_be_run() {
    let desk = Desk::open().await;
    desk.names_in_failure(3, "no-input", &["exec", "--stdin", "no-input", "cat"]).await;
    desk.fails_before_anything_is_sent(7, &["exec", "--cwd", "relative", "true"]).await;
    let line = desk.fails_before_anything_is_sent(7, &["exec", "--env", "A-B=x", "true"]).await;
    assert!(line.contains("A-B"), "{line}");
    for wrong in [["--env", "=x"], ["--env", "A"], ["--time", "soon"], ["--time", "0"]] {
        assert_eq!(desk.run(&["exec", wrong[0], wrong[1], "true"]).await.status.code(), Some(2), "{wrong:?}");
    }
    let big = desk.file("big", vec![0; 2 << 20]);
    desk.fails_before_anything_is_sent(7, &["exec", "--stdin", &big, "cat"]).await;
    assert_eq!(names(desk.simulator.home()), [""; 0]);
    desk.assert_clean();
}

#[tokio::test]
async fn an_account_that_a_job_needs_is_named_before_anything_is_sent() {
    let desk = Desk::open().await;
    let (from, to, archive) = (desk.place("it's", b"1"), desk.remote("to"), desk.remote("x.tar"));
    for arguments in [
        vec!["exec", "true"],
        vec!["cp", "-r", &from, &to],
        vec!["mv", &from, &to],
        vec!["compress", &archive, &from, &from],
    ] {
        let mut all = vec!["--system", "cluster-account", "--set", "billing_account="];
        all.extend(&arguments);
        let line = desk.fails(7, &all).await;
        assert!(line.contains("billing_account") && line.contains("cluster-account"), "{line}");
    }
    assert_eq!(names(desk.simulator.home()), ["it's"]);
    desk.assert_clean();
}

#[tokio::test]
async fn exec_ends_with_its_time_limit() {
    let desk = Desk::with(Rig::setup().knobs(|knobs| {
        knobs.minute = std::time::Duration::from_millis(700);
        knobs.kill_wait = std::time::Duration::from_millis(100);
    }))
    .await;
    let output = desk.run(&["exec", "--time", "1m", "sleep 600"]).await;
    assert_eq!(output.status.code(), Some(9), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("TIMEOUT"), "{}", text(&output.stderr));
    let output = desk.run(&["--json", "exec", "--time", "60", "sleep 600"]).await;
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["error"]["kind"], output.status.code()), (&json!("timeout"), Some(9)));
}

/// A link out of the tree is data, wherever it leads.
#[tokio::test]
async fn a_link_in_an_archive_stays_a_link() {
    let desk = Desk::open().await;
    let tree = desk.place_directory("tree");
    symlink("/etc/hostname", format!("{tree}/out")).unwrap();
    let archive = desk.remote("x.tar.gz");
    desk.ok(&["compress", &archive, &tree]).await;
    desk.ok(&["extract", &archive, &desk.remote("to")]).await;
    assert_eq!(fs::read_link(desk.remote("to/tree/out")).unwrap().to_str(), Some("/etc/hostname"));
}

#[tokio::test]
async fn a_command_runs_where_it_is_said() {
    let desk = Desk::open().await;
    assert_eq!(desk.ok(&["exec", "pwd"]).await, format!("{}\n", desk.simulator.home()));
    let (none, file) = (desk.remote("none"), desk.place("file", b"1"));
    desk.names_in_failure(3, &none, &["exec", "--cwd", &none, "true"]).await;
    desk.names_in_failure(4, &file, &["exec", "--cwd", &file, "true"]).await;
}
