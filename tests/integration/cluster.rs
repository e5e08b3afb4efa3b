//! On the cluster itself: globs, copies, renames, archives, commands. What has to be a job is one, and leaves nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aiida_firecrest_host::transport::{Command, CompressOptions, Compression, ExtractOptions};
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_tests::{Rig, kind};
use firecrest_simulator::{Knobs, S3Fault, S3FaultKind};

const LS: &str = "GET filesystem/ops/ls";

fn pack(compression: Compression) -> CompressOptions {
    CompressOptions { compression, root: None, dereference: false, pattern: None, overwrite: true }
}

fn command(line: &str) -> Command {
    Command {
        line: line.to_owned(),
        working_directory: None,
        environment: Vec::new(),
        stdin: Vec::new(),
        time_limit: None,
    }
}

/// Nothing that a job of ours made is left in the user's folders.
fn assert_clean(rig: &Rig) {
    for folder in [rig.simulator.home(), &rig.simulator.scratch()] {
        let left: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                name.starts_with(".aiida-firecrest") || name.starts_with(".f7t") || name.starts_with("slurm-")
            })
            .collect();
        assert_eq!(left, [""; 0], "left in {folder}");
    }
}

#[tokio::test]
async fn a_glob_costs_one_listing_for_each_level_with_a_wildcard() {
    let mut rig = Rig::open().await;
    for folder in ["a1", "a2", "b1"] {
        rig.place_directory(folder);
        for file in ["x.txt", "y.dat", ".hidden.txt"] {
            rig.place(&format!("{folder}/{file}"), b"1");
        }
    }
    rig.place("a3", b"a file");
    for (pattern, found, requests) in [
        ("a1/*.txt", vec!["a1/x.txt"], 1),
        ("a?", vec!["a1", "a2", "a3"], 1),
        ("a*/*.txt", vec!["a1/x.txt", "a2/x.txt"], 2),
        ("[ab]1/[!x]*", vec!["a1/y.dat", "b1/y.dat"], 2),
        ("a1/.*", vec!["a1/.hidden.txt"], 1),
        ("**/y.dat", vec!["a1/y.dat", "a2/y.dat", "b1/y.dat"], 1),
        ("nothing*", vec![], 1),
        ("a3/*", vec![], 1),
    ] {
        let pattern = rig.remote(pattern);
        let (paths, seen) = rig.count(async |session| session.glob(&pattern).await.unwrap()).await;
        assert_eq!(paths, found.iter().map(|name| rig.remote(name)).collect::<Vec<_>>(), "{pattern}");
        assert_eq!(seen, vec![LS; requests], "{pattern}");
    }
    // Without a wildcard it is a question whether the path is there.
    let path = rig.remote("a1/x.txt");
    assert_eq!(rig.session.glob(&path).await.unwrap(), std::slice::from_ref(&path));
    assert_eq!(rig.session.glob(&rig.remote("a1/none")).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_glob_goes_on_where_one_folder_is_closed() {
    let mut rig = Rig::open().await;
    for folder in ["a1", "a2"] {
        rig.place_directory(folder);
        rig.place(&format!("{folder}/x"), b"1");
    }
    let closed = rig.place_directory("zz");
    rig.forbid(&closed);
    assert_eq!(rig.session.glob(&rig.remote("a*/x")).await.unwrap(), [rig.remote("a1/x"), rig.remote("a2/x")]);
}

#[tokio::test]
async fn a_command_leaves_its_exit_code_and_its_output() {
    let mut rig = Rig::open().await;
    let mut asked = command("read word; echo \"$word $NAME $(pwd)\"; echo oops >&2; exit 3");
    asked.stdin = b"hello\nmore".to_vec();
    asked.environment = vec![("NAME".into(), "it's $HOME; `id`".into())];
    asked.working_directory = Some(rig.simulator.scratch().to_owned());
    let output = rig.session.exec(&asked).await.unwrap();
    assert_eq!(output.exit_code, 3);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("hello it's $HOME; `id` {}\n", rig.simulator.scratch())
    );
    assert_eq!(output.stderr, b"oops\n");
    assert_clean(&rig);
}

#[tokio::test]
async fn a_command_that_is_no_shell_text_is_an_exit_code_and_no_fault() {
    let mut rig = Rig::open().await;
    let output = rig.session.exec(&command("if then 'unfinished")).await.unwrap();
    assert_ne!(output.exit_code, 0);
    assert!(!output.stderr.is_empty());
    let output = rig.session.exec(&command("printf '\\377\\000\\n'")).await.unwrap();
    assert_eq!((output.exit_code, output.stdout.as_slice()), (0, b"\xff\0\n".as_slice()));
    assert_eq!(kind(rig.session.exec(&command("a\0b")).await), ErrorKind::InvalidArgument);
    assert_clean(&rig);
}

#[tokio::test]
async fn a_small_file_is_copied_without_a_job() {
    let mut rig = Rig::open().await;
    let (from, to) = (rig.place("from", b"content"), rig.remote("to"));
    fs::set_permissions(&from, fs::Permissions::from_mode(0o750)).unwrap();
    let (copied, seen) = rig.count(async |session| session.copy(&from, &to, true).await).await;
    copied.unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"content");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(seen.iter().filter(|request| request.contains("jobs")).count(), 0);
    assert_eq!(seen.len(), 4, "{seen:?}");

    let folder = rig.place_directory("folder");
    rig.session.copy(&from, &folder, true).await.unwrap();
    assert_eq!(fs::read(format!("{folder}/from")).unwrap(), b"content");
    assert_eq!(kind(rig.session.copy(&rig.remote("none"), &to, true).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_tree_is_copied_by_a_job_with_links_kept_or_followed() {
    let mut rig = Rig::open().await;
    let tree = rig.place_directory("tree");
    rig.place("tree/a & <b> \"c\" 'd' $HOME", b"1");
    rig.place_link("a & <b> \"c\" 'd' $HOME", "tree/link");
    let copy = rig.remote("copy & 'quote'");
    rig.session.copy(&tree, &copy, false).await.unwrap();
    assert!(fs::symlink_metadata(format!("{copy}/link")).unwrap().is_symlink());
    assert_eq!(fs::read(format!("{copy}/a & <b> \"c\" 'd' $HOME")).unwrap(), b"1");
    // Into a directory that is there.
    rig.session.copy(&tree, &copy, true).await.unwrap();
    assert!(fs::symlink_metadata(format!("{copy}/tree/link")).unwrap().is_file());
    assert_clean(&rig);
}

#[tokio::test]
async fn what_matches_a_pattern_is_copied_into_a_directory() {
    let mut rig = Rig::open().await;
    for name in ["a.txt", "b c.txt", "d.dat"] {
        rig.place(name, name.as_bytes());
    }
    let folder = rig.place_directory("folder");
    rig.session.copy(&rig.remote("*.txt"), &folder, false).await.unwrap();
    let mut copied: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    copied.sort();
    assert_eq!(copied, ["a.txt", "b c.txt"]);
    assert_eq!(kind(rig.session.copy(&rig.remote("*.none"), &folder, false).await), ErrorKind::NotFound);
    assert_clean(&rig);
}

#[tokio::test]
async fn a_rename_replaces_nothing() {
    let mut rig = Rig::open().await;
    let (from, taken) = (rig.place("it's", b"1"), rig.place("taken", b"2"));
    let to = rig.remote("new & name");
    assert_eq!(kind(rig.session.rename(&from, &taken).await), ErrorKind::AlreadyExists);
    assert_eq!((fs::read(&from).unwrap(), fs::read(&taken).unwrap()), (b"1".to_vec(), b"2".to_vec()));
    rig.session.rename(&from, &to).await.unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"1");
    assert!(!fs::exists(&from).unwrap());
    assert_eq!(kind(rig.session.rename(&rig.remote("none"), &to).await), ErrorKind::NotFound);
    assert_clean(&rig);
}

#[tokio::test]
async fn archives_come_back_as_they_were_packed() {
    let mut rig = Rig::open().await;
    let tree = rig.place_directory("tree");
    rig.place("tree/a b", b"one");
    rig.place_directory("tree/sub");
    rig.place("tree/sub/x", b"two");
    for (compression, name) in [
        (Compression::None, "t.tar"),
        (Compression::Gzip, "t.tar.gz"),
        (Compression::Bzip2, "t.tar.bz2"),
        (Compression::Xz, "t.tar.xz"),
    ] {
        let archive = rig.remote(name);
        rig.session.compress(std::slice::from_ref(&tree), &archive, &pack(compression)).await.unwrap();
        let target = rig.remote(&format!("out-{name}"));
        rig.session
            .extract(&archive, &target, &ExtractOptions { compression: None, strip_components: 0 })
            .await
            .unwrap();
        assert_eq!(fs::read(format!("{target}/tree/sub/x")).unwrap(), b"two", "{name}");
        let stripped = rig.remote(&format!("stripped-{name}"));
        rig.session
            .extract(&archive, &stripped, &ExtractOptions { compression: None, strip_components: 1 })
            .await
            .unwrap();
        assert_eq!(fs::read(format!("{stripped}/a b")).unwrap(), b"one", "{name}");
    }
    assert_clean(&rig);
}

#[tokio::test]
async fn a_small_archive_is_one_request_beside_the_look_at_its_place() {
    let mut rig = Rig::open().await;
    let (source, archive) = (rig.place("a", b"1"), rig.remote("a.tar.gz"));
    let (packed, seen) = rig
        .count(async |session| {
            session.compress(std::slice::from_ref(&source), &archive, &pack(Compression::Gzip)).await
        })
        .await;
    packed.unwrap();
    assert_eq!(seen, ["GET filesystem/ops/stat", "POST filesystem/ops/compress"]);
}

/// A job that cannot unpack leaves no folder that it had to make, and one that was there as it was.
#[tokio::test]
async fn what_is_no_archive_leaves_no_folder() {
    let mut rig = Rig::open().await;
    let (archive, new, old) = (rig.place("text.tar", b"no archive"), rig.remote("new"), rig.place_directory("old"));
    // By a job: the server knows no stripping.
    for target in [&new, &old] {
        let options = ExtractOptions { compression: None, strip_components: 1 };
        assert_eq!(kind(rig.session.extract(&archive, target, &options).await), ErrorKind::InvalidArgument);
    }
    assert!(!Path::new(&new).exists() && Path::new(&old).exists());
}

#[tokio::test]
async fn several_sources_patterns_and_a_root_go_into_one_archive() {
    let mut rig = Rig::open().await;
    let tree = rig.place_directory("tree");
    rig.place("tree/-option", b"1");
    rig.place("tree/b.txt", b"2");
    rig.place_directory("tree/sub");
    rig.place("tree/sub/c.txt", b"3");
    let archive = rig.remote("several.tar");
    let options = CompressOptions { root: Some(tree.clone()), ..pack(Compression::None) };
    let sources = [format!("{tree}/-option"), format!("{tree}/sub"), format!("{tree}/*.txt")];
    rig.session.compress(&sources, &archive, &options).await.unwrap();
    let target = rig.remote("out");
    rig.session.extract(&archive, &target, &ExtractOptions { compression: None, strip_components: 0 }).await.unwrap();
    for (name, content) in [("-option", "1"), ("b.txt", "2"), ("sub/c.txt", "3")] {
        assert_eq!(fs::read_to_string(format!("{target}/{name}")).unwrap(), content, "{name}");
    }
    let outside = [rig.place("outside", b"4")];
    assert_eq!(kind(rig.session.compress(&outside, &archive, &options).await), ErrorKind::InvalidArgument);
    let none = [format!("{tree}/none*")];
    assert_eq!(kind(rig.session.compress(&none, &archive, &options).await), ErrorKind::NotFound);
    let keep = CompressOptions { overwrite: false, ..pack(Compression::None) };
    assert_eq!(kind(rig.session.compress(&outside, &archive, &keep).await), ErrorKind::AlreadyExists);
    assert_eq!(kind(rig.session.compress(&outside, &tree, &pack(Compression::None)).await), ErrorKind::IsADirectory);
    assert_clean(&rig);
}

/// tar says `File exists` of both.
#[tokio::test]
async fn a_directory_in_a_files_place_is_told_from_a_file_that_may_not_go() {
    let mut rig = Rig::open().await;
    let (tree, archive, out) = (rig.place_directory("tree"), rig.remote("a.tar"), rig.place_directory("out"));
    rig.place("tree/name", b"new");
    let root = CompressOptions { root: Some(tree.clone()), ..pack(Compression::None) };
    rig.session.compress(&[format!("{tree}/name")], &archive, &root).await.unwrap();
    rig.place_directory("out/name");
    rig.place("out/name/within", b"old");
    let error = rig
        .session
        .extract(&archive, &out, &ExtractOptions { compression: None, strip_components: 0 })
        .await
        .unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::AlreadyExists), "{error}");
    let job = ExtractOptions { compression: None, strip_components: 1 };
    let deep = rig.remote("deep.tar");
    rig.place_directory("tree/d");
    rig.place("tree/d/name", b"new");
    rig.session.compress(&[format!("{tree}/d")], &deep, &root).await.unwrap();
    let error = rig.session.extract(&deep, &out, &job).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::AlreadyExists), "{error}");
    // It goes into the directory of its name.
    let local = rig.local("out");
    fs::create_dir(&local).unwrap();
    rig.local_file("out/name", b"new", 0o644);
    let error = rig.session.put(&local, rig.simulator.home(), &Default::default()).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::AlreadyExists), "{error}");
    assert_eq!(fs::read(format!("{out}/name/within")).unwrap(), b"old");
    assert_clean(&rig);
}

#[tokio::test]
async fn output_of_any_length_comes_back_or_is_refused_by_its_size() {
    let mut rig = Rig::open().await;
    let output = rig.session.exec(&command("head -c 6000000 /dev/zero; echo oops >&2; exit 4")).await.unwrap();
    assert_eq!((output.exit_code, output.stdout.len(), output.stderr.as_slice()), (4, 6_000_000, b"oops\n".as_slice()));
    assert!(output.stdout.iter().all(|byte| *byte == 0));
    assert_clean(&rig);

    let error = rig.session.exec(&command("head -c 70000000 /dev/zero")).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::TooLarge));
    assert!(
        error.to_string().contains("it has run, and its output of 70000013 bytes is lost: more than 67108864"),
        "{error}"
    );
    assert_clean(&rig);

    let without = |knobs: &mut Knobs| knobs.systems.iter_mut().for_each(|system| system.object_store = false);
    let mut rig = Rig::setup().knobs(without).open().await;
    let error = rig.session.exec(&command("head -c 6000000 /dev/zero")).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::TooLarge));
    assert!(error.to_string().contains("the system has no object store"), "{error}");
    assert_clean(&rig);

    // It has run: whatever the store says, the error must not be one after which a caller would run it once more.
    let mut rig = Rig::open().await;
    let denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned();
    rig.simulator.plant_s3(S3Fault::once("GET", S3FaultKind::Answer { status: 403, body: denied }));
    let error = rig.session.exec(&command("head -c 6000000 /dev/zero")).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::Other));
    assert!(error.to_string().contains("it has run, and its output of 6000012 bytes is lost"), "{error}");
    assert_clean(&rig);
}

#[tokio::test]
async fn an_account_that_a_job_needs_is_asked_for_before_anything_is_sent() {
    let mut rig = Rig::setup().option("compute_resource", "cluster-account").option("billing_account", "").open().await;
    let (result, seen) = rig.count(async |session| session.exec(&command("true")).await).await;
    let error = result.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::InvalidArgument));
    assert!(error.to_string().contains("billing_account"), "{error}");
    assert_eq!(seen, [""; 0]);
}
