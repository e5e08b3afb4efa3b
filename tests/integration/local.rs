//! The contract from its other side: a plugin in Python (tests/plugins/local) whose cluster is a folder, in a host that has no code for it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use aiida_firecrest_host::policy::{Folder, Policy};
use aiida_firecrest_host::progress::{Answer, Status};
use aiida_firecrest_host::scheduler::{
    CancelOutcome, JobQuery, JobState, ScriptSource, Submission, WaitCondition, WaitOptions,
};
use aiida_firecrest_host::transport::{ListOptions, OverwritePolicy, TransferOptions, Verification};
use aiida_firecrest_host::types::{ErrorKind, FileKind};
use aiida_firecrest_host::{CodeCache, Engine, Error, Options, Plugin, Session};
use aiida_firecrest_tests::{failure, in_time, kind, mode, names, noise, target_folder};
use tempfile::TempDir;

use crate::desk::{argument, one_line, picture, text};
use crate::jobs::template;
use crate::programs;

/// Where the plugin is; built by its script, once.
pub(crate) static WASM: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut build = Command::new(root.join(".ci/local-plugin"));
    build.env("CARGO_TARGET_DIR", target_folder()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = build.output().expect(".ci/local-plugin");
    assert!(output.status.success(), ".ci/local-plugin: {}", output.status);
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
});

/// Compiled into the command line's cache: an interpreter takes long, and the two are one engine's code.
pub(crate) static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let cache = CodeCache::Folder(target_folder().join("test-home/cache/aiida-firecrest"));
    Plugin::from_file(&Engine::new(&cache).expect("an engine"), &*WASM).expect("a plugin of the contract")
});

/// A cluster that is a folder, a folder beside it, and a session.
pub(crate) struct Local {
    root: TempDir,
    pub(crate) session: Session,
}

pub(crate) fn options(folder: &Path) -> Options {
    [("folder", argument(folder))].into_iter().collect()
}

impl Local {
    pub(crate) async fn open() -> Local {
        let root = tempfile::tempdir().unwrap();
        for name in ["cluster", "here"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let folder = root.path().join("cluster");
        let policy = Policy::only([]).own_folder(Folder::write(&folder));
        let session = Session::open(&PLUGIN, &options(&folder), &policy).await.expect("a session");
        Local { root, session }
    }

    /// A path on the cluster, as this machine sees it.
    pub(crate) fn cluster(&self, name: &str) -> PathBuf {
        self.root.path().join("cluster").join(name)
    }

    fn here(&self, name: &str) -> PathBuf {
        self.root.path().join("here").join(name)
    }
}

#[tokio::test]
async fn it_says_what_it_is_and_names_what_it_needs() {
    let info = PLUGIN.describe().await.unwrap();
    assert_eq!(info.name, "aiida-local");
    let described = PLUGIN.options().await.unwrap();
    assert_eq!(described.iter().map(|option| option.name.as_str()).collect::<Vec<_>>(), ["folder"]);
    let imports = &PLUGIN.inspection().imports;
    // CPython's C library has them; the host gives none.
    assert!(imports.iter().any(|name| name.starts_with("wasi:sockets/")), "{imports:?}");
    let mut local = Local::open().await;
    let folder = local.root.path().join("cluster");
    let policy = Policy::only([]).own_folder(Folder::write(&folder));
    let server = PLUGIN.check(&options(&folder), &policy).await.unwrap();
    assert_eq!((server.systems[0].name.as_str(), server.systems[0].scheduler.as_str()), ("local", "journal"));
    assert_eq!(local.session.whoami().await.unwrap().name, "nobody");
    let open = async |options: &Options, policy: &Policy| Session::open(&PLUGIN, options, policy).await.map(drop);
    let error = failure(open(&Options::new(), &policy).await);
    assert_eq!((error.kind, error.subject.as_deref()), (ErrorKind::InvalidArgument, Some("folder")));
    assert_eq!(kind(open(&options(&folder), &Policy::only([])).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(open(&options(&folder.join("none")), &policy).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn files_are_made_read_listed_moved_and_removed() {
    let mut local = Local::open().await;
    let s = &mut local.session;
    s.mkdir("/a/b", true, false).await.unwrap();
    assert_eq!(kind(s.mkdir("/a/b", true, false).await), ErrorKind::AlreadyExists);
    s.mkdir("/a/b", false, true).await.unwrap();
    assert_eq!(kind(s.mkdir("/x/y", false, false).await), ErrorKind::NotFound);
    let name = "/a/Größe α & 'Ω'\n.txt";
    s.write(name, b"hello", Some(0o640)).await.unwrap();
    assert_eq!(mode(local.root.path().join("cluster").join(&name[1..])), 0o640);
    assert_eq!(s.read(name, 1, Some(3)).await.unwrap(), b"ell");
    assert_eq!(s.read(name, 9, None).await.unwrap(), b"");
    let stat = s.stat(name).await.unwrap();
    assert_eq!((stat.kind, stat.mode, stat.size), (FileKind::Regular, 0o100_640, 5));
    s.write("/a/.hidden", b"", None).await.unwrap();
    s.symlink("b", "/a/link").await.unwrap();
    assert_eq!(
        (s.read_link("/a/link").await.unwrap().as_str(), s.lstat("/a/link").await.unwrap().kind),
        ("b", FileKind::Symlink)
    );
    assert_eq!(kind(s.read_link("/a/b").await), ErrorKind::InvalidArgument);
    let list =
        |hidden, pattern: Option<&str>| ListOptions { recursive: false, hidden, pattern: pattern.map(str::to_owned) };
    let mut listed: Vec<String> = s.list("/a", &list(false, None)).await.unwrap().into_iter().map(|e| e.path).collect();
    listed.sort();
    assert_eq!(listed, [&name[3..], "b", "link"]);
    assert_eq!(s.list("/a", &list(true, Some(".h*"))).await.unwrap().len(), 1);
    assert_eq!(kind(s.list(name, &list(true, None)).await), ErrorKind::NotADirectory);
    assert_eq!(s.glob("/a/[!.l]*").await.unwrap(), [name, "/a/b"]);
    s.copy("/a", "/c", false).await.unwrap();
    assert_eq!(picture(local.root.path().join("cluster/a")), picture(local.root.path().join("cluster/c")));
    s.copy("/a/*.txt", "/a/b", true).await.unwrap();
    assert_eq!(names(local.root.path().join("cluster/a/b")).len(), 1);
    assert_eq!(kind(s.copy("/a", "/a/b/deeper", true).await), ErrorKind::InvalidArgument);
    assert_eq!(kind(s.rename("/c", "/a").await), ErrorKind::AlreadyExists);
    s.rename("/c", "/d").await.unwrap();
    assert_eq!((s.exists("/c").await.unwrap(), s.exists("/d").await.unwrap()), (false, true));
    s.chmod(name, 0o600).await.unwrap();
    assert_eq!(s.stat(name).await.unwrap().mode & 0o7777, 0o600);
    assert_eq!(s.checksum(name).await.unwrap(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(kind(s.checksum("/a").await), ErrorKind::IsADirectory);
    assert_eq!(kind(s.remove("/d", None).await), ErrorKind::NotEmpty);
    s.remove("/a/link", None).await.unwrap();
    s.remove_tree("/d").await.unwrap();
    assert_eq!(kind(s.remove_tree("/d").await), ErrorKind::NotFound);
    assert_eq!(kind(s.remove_tree("/").await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.stat("a").await), ErrorKind::InvalidArgument);
    for refused in
        [kind(s.chown(name, Some(1), None).await), kind(s.symlink("/a", "/l").await), kind(s.chmod(name, 0o4755).await)]
    {
        assert_eq!(refused, ErrorKind::Unsupported);
    }
    assert_eq!(names(local.root.path().join("cluster")), ["a"]);
}

#[tokio::test]
async fn no_name_and_no_link_leaves_the_folder() {
    let mut local = Local::open().await;
    fs::write(local.here("secret"), "OUTSIDE").unwrap();
    symlink("../here/secret", local.cluster("relative")).unwrap();
    symlink(local.here("secret"), local.cluster("absolute")).unwrap();
    symlink("../here", local.cluster("folder")).unwrap();
    let s = &mut local.session;
    for path in ["/../here/secret", "/relative", "/absolute", "/folder/secret", "/folder/../../here/secret"] {
        assert_eq!(kind(s.read(path, 0, None).await), ErrorKind::PermissionDenied, "{path}");
        let removed = s.remove_tree(path).await;
        assert!(removed.is_ok() == matches!(path, "/relative" | "/absolute"), "{path}: {removed:?}");
    }
    for path in ["/../here/new", "/folder/new"] {
        assert_eq!(kind(s.write(path, b"x", None).await), ErrorKind::PermissionDenied, "{path}");
        assert_eq!(kind(s.mkdir(path, true, false).await), ErrorKind::PermissionDenied, "{path}");
    }
    s.remove_tree("/folder").await.unwrap();
    assert_eq!(names(local.root.path().join("here")), ["secret"]);
    assert_eq!(fs::read(local.root.path().join("here/secret")).unwrap(), b"OUTSIDE");
}

fn tree(root: &Path) {
    fs::create_dir_all(root.join("in/empty")).unwrap();
    fs::write(root.join("in/run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("in/run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(root.join("in/big"), noise(700_000)).unwrap();
    symlink("run.sh", root.join("in/link")).unwrap();
}

#[tokio::test]
async fn a_tree_goes_there_and_back_the_same() {
    let mut local = Local::open().await;
    tree(&local.root.path().join("here"));
    let as_it_is = TransferOptions { dereference: false, parents: true, verify: Some(true), ..Default::default() };
    let (there, back) = (local.here("in"), local.here("back"));
    let put = local.session.put(&there, "/deep/tree", &as_it_is).await.unwrap();
    assert_eq!((put.files, put.directories, put.bytes, put.verified), (2, 2, 700_010, Verification::Checksum));
    local.session.get("/deep/tree", &back, &as_it_is).await.unwrap();
    assert_eq!(picture(&there), picture(&back));
    assert_eq!(picture(&there), picture(local.cluster("deep/tree")));
    // Into what is there; and what links point to.
    local.session.put(&there, "/deep", &as_it_is).await.unwrap();
    assert_eq!(picture(&there), picture(local.cluster("deep/in")));
    fs::create_dir(local.here("into")).unwrap();
    let into = local.here("into");
    local.session.get("/deep/t*", &into, &TransferOptions::default()).await.unwrap();
    assert_eq!(fs::read(into.join("tree/link")).unwrap(), b"#!/bin/sh\n");
}

#[tokio::test]
async fn a_target_that_is_there_is_treated_as_the_call_says() {
    let mut local = Local::open().await;
    let (new, none) = (local.here("new"), local.here("none"));
    fs::write(&new, "new").unwrap();
    local.session.write("/old", b"old", None).await.unwrap();
    let with = |overwrite| TransferOptions { overwrite, ..Default::default() };
    assert_eq!(kind(local.session.put(&new, "/old", &with(OverwritePolicy::Fail)).await), ErrorKind::AlreadyExists);
    let skipped = local.session.put(&new, "/old", &with(OverwritePolicy::Skip)).await.unwrap();
    assert_eq!((skipped.files, skipped.skipped), (0, 1));
    assert_eq!(local.session.read("/old", 0, None).await.unwrap(), b"old");
    local.session.put(&new, "/old", &TransferOptions::default()).await.unwrap();
    assert_eq!(local.session.read("/old", 0, None).await.unwrap(), b"new");
    assert_eq!(kind(local.session.put(&none, "/x", &Default::default()).await), ErrorKind::NotFound);
    let lax = TransferOptions { ignore_nonexisting: true, ..Default::default() };
    assert_eq!(local.session.put(&none, "/x", &lax).await.unwrap().skipped, 1);
    assert_eq!(kind(local.session.put(&new, "/no/parent", &Default::default()).await), ErrorKind::NotFound);
    assert_eq!(names(local.root.path().join("cluster")), ["old"]);
}

/// What is granted for one transfer is not granted to the next call, and the plugin's own folder is.
#[tokio::test]
async fn a_transfer_is_granted_its_folder_beside_the_plugins_own() {
    let mut local = Local::open().await;
    fs::write(local.here("file"), "x").unwrap();
    let here = local.here("file");
    local.session.put(&here, "/a", &Default::default()).await.unwrap();
    assert!(local.session.exists("/a").await.unwrap());
    // With folders named for transfers, others are refused.
    let folder = local.root.path().join("cluster");
    let elsewhere = tempfile::tempdir().unwrap();
    let policy = Policy::only([]).own_folder(Folder::write(&folder)).folder(Folder::read(elsewhere.path()));
    let mut narrow = Session::open(&PLUGIN, &options(&folder), &policy).await.unwrap();
    assert_eq!(kind(narrow.put(&here, "/b", &Default::default()).await), ErrorKind::PermissionDenied);
    assert!(narrow.exists("/a").await.unwrap());
}

#[tokio::test]
async fn streams_carry_any_size_and_a_short_one_changes_nothing() {
    let mut local = Local::open().await;
    let content = noise(3_000_000);
    let reader = std::io::Cursor::new(content.clone());
    local.session.write_stream("/f", reader, content.len() as u64, None).await.unwrap();
    assert_eq!(fs::read(local.cluster("f")).unwrap(), content);
    let (mut near, far) = tokio::io::duplex(1 << 22);
    assert_eq!(local.session.read_stream("/f", 1, Some(2_000_000), far).await.unwrap(), 2_000_000);
    let mut got = vec![0; 2_000_000];
    in_time("the stream", tokio::io::AsyncReadExt::read_exact(&mut near, &mut got)).await.unwrap();
    assert_eq!(got, content[1..2_000_001]);
    let short = std::io::Cursor::new(vec![0; 10]);
    assert_eq!(kind(local.session.write_stream("/f", short, 11, None).await), ErrorKind::InvalidArgument);
    assert_eq!(fs::read(local.cluster("f")).unwrap(), content);
    assert_eq!(names(local.root.path().join("cluster")), ["f"]);
}

#[tokio::test]
async fn a_transfer_stops_when_the_host_says_so() {
    let mut local = Local::open().await;
    let source = local.here("big");
    fs::write(&source, noise(8_000_000)).unwrap();
    local.session.write("/big", b"old", None).await.unwrap();
    let mut told = 0;
    let stop = move |_: &Status| {
        told += 1;
        if told > 1 { Answer::Stop } else { Answer::Proceed }
    };
    local.session.on_progress(stop).unwrap();
    let outcome = local.session.put(&source, "/big", &Default::default()).await;
    // On a machine so quick that nothing is told in between it is done instead.
    if outcome.is_err() {
        assert_eq!(kind(outcome), ErrorKind::Cancelled);
        assert_eq!(fs::read(local.cluster("big")).unwrap(), b"old");
    }
    assert_eq!(names(local.root.path().join("cluster")), ["big"]);
}

#[tokio::test]
async fn a_file_goes_to_another_sessions_folder() {
    let mut local = Local::open().await;
    let (one, two) = (local.root.path().join("cluster"), local.root.path().join("here"));
    let policy = Policy::only([]).own_folder(Folder::write(&one)).own_folder(Folder::write(&two));
    let mut session = Session::open(&PLUGIN, &options(&one), &policy).await.unwrap();
    let peer = session.open_peer(&options(&two), None).await.unwrap();
    session.write("/f", b"x", None).await.unwrap();
    session.copy_to("/f", &peer, "/g", &Default::default()).await.unwrap();
    assert_eq!(fs::read(two.join("g")).unwrap(), b"x");
    assert!(local.session.exists("/f").await.unwrap());
}

fn submission(script: &str) -> Submission {
    Submission {
        script: ScriptSource::Text(script.into()),
        working_directory: "/".into(),
        name: None,
        account: None,
        environment: vec![("A".into(), "1".into())],
    }
}

#[tokio::test]
async fn jobs_are_written_down_and_end_when_they_are_asked_for() {
    let mut local = Local::open().await;
    let job = aiida_firecrest_host::scheduler::JobTemplate { job_name: Some("mine".into()), ..template() };
    let script = local.session.script(&job).await.unwrap();
    assert!(script.starts_with("#!/bin/bash\n#JOURNAL name=mine\n"), "{script}");
    let id = local.session.submit(&submission(&script)).await.unwrap();
    let unknown = "0".to_owned();
    let listing = local.session.jobs(&JobQuery::Ids(vec![id.clone(), unknown.clone(), id.clone()])).await.unwrap();
    assert_eq!((listing.jobs.len(), &listing.missing), (1, &vec![unknown.clone()]));
    let info = &listing.jobs[0];
    assert_eq!((info.job_state, info.raw_state.as_str(), info.exit_status), (JobState::Done, "RECORDED", None));
    assert_eq!(info.title.as_deref(), Some("mine"));
    let held = local.session.submit(&submission("#!/bin/sh\n#JOURNAL hold\n")).await.unwrap();
    let briefly = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: Some(300) };
    let waited = in_time("wait", local.session.wait(std::slice::from_ref(&held), &briefly)).await.unwrap();
    assert_eq!(waited.jobs[0].job_state, JobState::QueuedHeld);
    let outcomes = local.session.cancel(&[held.clone(), id.clone(), unknown.clone()]).await.unwrap();
    assert!(
        matches!(outcomes[..], [CancelOutcome::Cancelled, CancelOutcome::AlreadyFinished, CancelOutcome::NotFound]),
        "{outcomes:?}"
    );
    assert_eq!(local.session.details(&id).await.unwrap().script.as_deref(), Some(script.as_str()));
    assert_eq!(kind(local.session.details(&unknown).await), ErrorKind::NotFound);
    assert_eq!(kind(local.session.details("../1").await), ErrorKind::InvalidArgument);
    assert_eq!(kind(local.session.submit(&submission("no shebang")).await), ErrorKind::InvalidArgument);
    let nowhere = Submission { script: ScriptSource::Path("/none".into()), ..submission("") };
    assert_eq!(kind(local.session.submit(&nowhere).await), ErrorKind::NotFound);
    // A line that a crash tore off is nobody's job; the next record stands on its own.
    let journal = local.cluster(".aiida-journal.jsonl");
    let torn = format!("{}{{\"event\": \"submit\", \"id\": \"torn", fs::read_to_string(&journal).unwrap());
    fs::write(&journal, torn).unwrap();
    local.session.submit(&submission("#!/bin/sh\n")).await.unwrap();
    assert_eq!(local.session.jobs(&JobQuery::Mine).await.unwrap().jobs.len(), 3);
}

/// The command line, with nothing granted, granted for one run, and granted.
#[tokio::test]
async fn the_command_line_uses_it_as_it_was_granted() {
    let local = Local::open().await;
    let home = tempfile::tempdir().unwrap();
    let run = async |arguments: &[&str]| {
        let mut command = programs::client();
        command.env("XDG_CONFIG_HOME", home.path()).arg("--plugins").arg(WASM.parent().unwrap());
        command
            .args(["--plugin", "local", "--set"])
            .arg(format!("folder={}", argument(&local.root.path().join("cluster"))));
        programs::run({
            command.args(arguments);
            command
        })
        .await
    };
    let refused = one_line(&run(&["ls", "/"]).await, 5, &[]);
    assert!(refused.contains("read and write the folder that the option folder names"), "{refused}");
    assert!(refused.contains("plugin grant local"), "{refused}");
    let here = local.here("file");
    fs::write(&here, "x").unwrap();
    let put = run(&["--grant", "put", &argument(&here), "/got"]).await;
    assert_eq!((put.status.code(), text(&put.stderr).as_str()), (Some(0), ""));
    one_line(&run(&["ls", "/"]).await, 5, &[]);
    assert_eq!(run(&["plugin", "grant", "local"]).await.status.code(), Some(0));
    let listed = run(&["ls", "/"]).await;
    assert_eq!((listed.status.code(), text(&listed.stdout).as_str()), (Some(0), "got\n"));
    // What would have to run is broken only where somebody says that jobs run.
    let kit = ["conformance", "--below", "/", "--settle", "200ms", "--only", "submit/runs*", "--only", "submit/to-an*"];
    let broken = run(&kit).await;
    assert_eq!(broken.status.code(), Some(12), "{}", text(&broken.stdout));
    let told = run(&[&kit[..], &["--jobs-are-not-run"]].concat()).await;
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stdout));
    assert!(text(&told.stdout).contains("1 pass, 0 fail, 1 unsupported"), "{}", text(&told.stdout));
    assert_eq!(run(&["plugin", "check", "local"]).await.status.code(), Some(0));
    assert_eq!(run(&["plugin", "revoke", "local"]).await.status.code(), Some(0));
    one_line(&run(&["ls", "/"]).await, 5, &[]);
}

#[tokio::test]
async fn a_deadline_ends_it_like_any_other() {
    let local = Local::open().await;
    let folder = local.root.path().join("cluster");
    let policy = Policy::only([]).own_folder(Folder::write(&folder)).deadline(Duration::from_secs(2));
    let mut session = Session::open(&PLUGIN, &options(&folder), &policy).await.unwrap();
    let held = session.submit(&submission("#!/bin/sh\n#JOURNAL hold\n")).await.unwrap();
    let forever = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: None };
    let error = in_time("its end", session.wait(&[held], &forever)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
}
