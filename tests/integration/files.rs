//! What the transport's functions do, by the contract in `wit/transport.wit`; contents are compared on the simulated cluster's disk.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aiida_firecrest_host::Policy;
use aiida_firecrest_host::progress::Answer;
use aiida_firecrest_host::transport::{Command, ListOptions, OverwritePolicy, TransferOptions, Verification};
use aiida_firecrest_host::types::{ErrorKind, FileKind};
use aiida_firecrest_tests::{PATIENCE, Rig, failure, kind, mode, names, noise, plugin};
use firecrest_simulator::{Fault, FaultKind, JobLag, Knobs};

const LIST: ListOptions = ListOptions { recursive: false, hidden: false, pattern: None };
/// A direct download has to fit the server's buffer of 5 MiB as base64.
const DOWNLOAD_LIMIT: usize = 3_932_157;
const UPLOAD_LIMIT: usize = 5 * 1024 * 1024;

fn options() -> TransferOptions {
    TransferOptions::default()
}

fn answer(status: u16, body: &str) -> FaultKind {
    FaultKind::Answer { status, body: body.into(), headers: Vec::new() }
}

// ---- bytes

#[tokio::test]
async fn write_and_read_bring_any_bytes_of_any_size_up_to_the_limits() {
    let mut rig = Rig::open().await;
    for size in [0, 1, 1024, 1024 * 1024, DOWNLOAD_LIMIT] {
        let (path, content) = (rig.remote("file"), noise(size));
        rig.session.write(&path, &content, None).await.unwrap();
        assert!(fs::read(&path).unwrap() == content, "{size} bytes on the cluster");
        assert!(rig.session.read(&path, 0, None).await.unwrap() == content, "{size} bytes back");
    }
    let (path, content) = (rig.remote("file"), noise(UPLOAD_LIMIT));
    rig.session.write(&path, &content, None).await.unwrap();
    assert!(fs::read(&path).unwrap() == content);
}

#[tokio::test]
async fn a_byte_past_the_limit_is_too_large_and_nothing_is_sent() {
    let mut rig = Rig::open().await;
    let path = rig.place("file", b"old");
    let content = noise(UPLOAD_LIMIT + 1);
    let (result, requests) = rig.count(async |s| s.write(&path, &content, None).await).await;
    assert_eq!((kind(result), requests.len()), (ErrorKind::TooLarge, 0));
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[tokio::test]
async fn reading_more_than_the_download_limit_is_too_large() {
    let mut rig = Rig::open().await;
    let path = rig.place("file", &noise(DOWNLOAD_LIMIT + 1));
    assert_eq!(kind(rig.session.read(&path, 0, None).await), ErrorKind::TooLarge);
}

#[tokio::test]
async fn the_servers_own_limit_counts_where_it_is_lower() {
    let mut rig = Rig::setup().knobs(|knobs| knobs.systems[0].max_ops_file_size = 4096).open().await;
    let path = rig.remote("file");
    rig.session.write(&path, &noise(4096), None).await.unwrap();
    assert_eq!(kind(rig.session.write(&path, &noise(4097), None).await), ErrorKind::TooLarge);
}

/// A download is base64 in the buffer for a command's output, which has as many bytes as an upload may have.
#[tokio::test]
async fn what_one_download_takes_follows_from_the_servers_own_limit() {
    for (buffer, largest) in [(4096, 3069), (1 << 20, 786_429), (8 << 20, 6_291_453)] {
        let knobs = move |knobs: &mut Knobs| {
            knobs.systems[0].max_ops_file_size = buffer;
            knobs.command_time_limit = PATIENCE;
        };
        let mut rig = Rig::setup().knobs(knobs).open().await;
        let content = noise(largest + 1);
        let (fits, past, local) = (rig.place("fits", &content[1..]), rig.place("past", &content), rig.local("back"));
        assert!(rig.session.read(&fits, 0, None).await.unwrap() == content[1..], "{buffer}");
        assert_eq!(kind(rig.session.read(&past, 0, None).await), ErrorKind::TooLarge, "{buffer}");
        for (path, content, large) in [(&fits, &content[1..], false), (&past, &content[..], true)] {
            let (_, requests) = rig.count(async |s| s.get(path, &local, &Default::default()).await.unwrap()).await;
            assert!(fs::read(&local).unwrap() == content, "{buffer}");
            assert_eq!(
                requests.contains(&"POST filesystem/transfer/download".to_owned()),
                large,
                "{buffer}: {requests:?}"
            );
        }
    }
}

/// Before 2.5.0 the buffer has 5 MiB whatever an upload may have: a larger file goes through the store at once, not after 5 s.
#[tokio::test]
async fn an_older_server_gives_downloads_a_buffer_of_their_own() {
    let knobs = |knobs: &mut Knobs| {
        knobs.version = "2.4.2".into();
        knobs.systems[0].max_ops_file_size = 16 << 20;
    };
    let mut rig = Rig::setup().knobs(knobs).open().await;
    let info = plugin().check(&rig.options(), &Policy::default()).await.unwrap().systems.remove(0);
    assert_eq!((info.upload_limit, info.download_limit), (16 << 20, 3_932_157));
    let content = noise(6 << 20);
    let (remote, back) = (rig.place("file", &content), rig.local("back"));
    let (_, requests) = rig.count(async |s| s.get(&remote, &back, &Default::default()).await.unwrap()).await;
    assert!(fs::read(&back).unwrap() == content);
    assert!(!requests.contains(&"GET filesystem/ops/download".to_owned()), "{requests:?}");
}

/// A full disk is as full for a job: nothing is tried that waits in a queue to fail.
#[tokio::test]
async fn a_full_disk_is_told_at_once() {
    let mut rig = Rig::open().await;
    for size in [10_000, 5 << 20] {
        let local = rig.local_file("file", &noise(size), 0o644);
        rig.simulator.plant(Fault::once("/ops/upload", FaultKind::DiskFull).times(9));
        let remote = rig.remote("full");
        let (result, requests) = rig.count(async |s| s.put(&local, &remote, &Default::default()).await).await;
        let error = result.unwrap_err();
        assert_eq!(error.plugin_kind(), Some(ErrorKind::TooLarge));
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert_eq!(requests, ["POST filesystem/ops/upload"]);
        rig.simulator.clear_faults();
    }
}

/// A proxy before the server may take less than that: it answers before the server has said that the target is a directory.
#[tokio::test]
async fn what_a_proxy_does_not_take_goes_through_the_store_to_where_it_would_have_gone() {
    let mut rig = Rig::open().await;
    let (content, directory) = (noise(100_000), rig.place_directory("d"));
    fs::create_dir(rig.local("many")).unwrap();
    let local = rig.local_file("many/one", &content, 0o644);
    rig.local_file("many/two", b"small", 0o644);
    let told = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&told);
    rig.session
        .on_progress(move |status| {
            *heard.lock().unwrap() = Some(status.clone());
            Answer::Proceed
        })
        .unwrap();
    rig.simulator.plant(Fault::once("/ops/upload", answer(413, "<html>Request Entity Too Large</html>")));
    rig.session.put(&local, &directory, &Default::default()).await.unwrap();
    assert!(fs::read(format!("{directory}/one")).unwrap() == content);
    // What was sent in vain is taken back once.
    rig.simulator.plant(Fault::once("/ops/upload", answer(413, "<html>Request Entity Too Large</html>")));
    rig.session.put(&rig.local("many/*"), &directory, &Default::default()).await.unwrap();
    let told = told.lock().unwrap();
    let last = told.as_ref().unwrap();
    assert_eq!((last.bytes_done, last.bytes_total, last.files_done), (100_005, Some(100_005), 2));
}

/// A download that may fail has another way, and a copy has a job: so nothing is lost on a server that allows more than it manages.
#[tokio::test]
async fn a_copy_of_more_than_a_sure_download_is_a_job() {
    let mut rig = Rig::setup().knobs(|knobs| knobs.systems[0].max_ops_file_size = 16 << 20).open().await;
    let content = noise(4 << 20);
    let (from, to) = (rig.place("from", &content), rig.remote("to"));
    let (_, requests) = rig.count(async |s| s.copy(&from, &to, false).await.unwrap()).await;
    assert!(fs::read(&to).unwrap() == content);
    assert!(requests.contains(&"POST compute/jobs".to_owned()), "{requests:?}");
}

/// A server may be told to take more than it manages in its 5 s, or have a limit that it does not tell.
#[tokio::test]
async fn what_the_server_does_not_manage_at_once_goes_through_the_store() {
    let knobs = |knobs: &mut Knobs| {
        knobs.systems[0].max_ops_file_size = 16 << 20;
        knobs.command_time_limit = PATIENCE;
    };
    let mut rig = Rig::setup().knobs(knobs).open().await;
    let content = noise(6 << 20);
    let (local, remote, back) = (rig.local_file("file", &content, 0o644), rig.place("file", b"old"), rig.local("back"));
    rig.simulator.plant(Fault::once("/ops/upload", answer(408, "Command execution timeout limit exceeded.")));
    assert_eq!(rig.session.put(&local, &remote, &Default::default()).await.unwrap().bytes, 6 << 20);
    assert!(fs::read(&remote).unwrap() == content);
    for status in [408, 413] {
        rig.simulator.plant(Fault::once("/ops/download", answer(status, "Command output exceeded buffer limit.")));
        rig.session.get(&remote, &back, &Default::default()).await.unwrap();
        assert!(fs::read(&back).unwrap() == content);
        fs::remove_file(&back).unwrap();
    }
    // What it takes as shipped is not asked of a job because the server was slow once.
    let small = rig.place("small", b"small");
    rig.simulator.plant(Fault::once("/ops/download", answer(408, "{}")).times(9));
    assert_eq!(kind(rig.session.get(&small, &back, &Default::default()).await), ErrorKind::Timeout);
}

/// The server answers an upload that its command refused without a reason, when the command was faster than it.
#[tokio::test]
async fn a_refusal_whose_reason_was_lost_is_found_out() {
    let mut rig = Rig::setup().knobs(|knobs| knobs.unsaid_refusals = 1).open().await;
    let (local, folder) = (rig.local_file("file", b"content", 0o644), rig.place_directory("d"));
    let (_, requests) = rig.count(async |s| s.put(&local, &folder, &Default::default()).await.unwrap()).await;
    let upload = "POST filesystem/ops/upload";
    assert_eq!(requests, [upload, "GET filesystem/ops/stat", upload]);
    assert_eq!(fs::read(format!("{folder}/file")).unwrap(), b"content");
    assert_eq!(kind(rig.session.write(&folder, b"x", None).await), ErrorKind::IsADirectory);
    assert_eq!(kind(rig.session.write(&rig.remote("none/file"), b"x", None).await), ErrorKind::NotFound);
    let below = rig.place("plain", b"old") + "/file";
    assert_eq!(kind(rig.session.write(&below, b"x", None).await), ErrorKind::NotADirectory);
    // A look does not tell everything: after a few tries it is what it is, and no matter of size.
    let closed = FaultKind::ServerError("('Channel not open for sending',)".into());
    rig.simulator.plant(Fault::once("/ops/upload", closed.clone()).times(9));
    let plain = rig.remote("plain");
    let (result, requests) = rig.count(async |s| s.write(&plain, b"x", None).await).await;
    assert_eq!((kind(result), requests.iter().filter(|request| *request == upload).count()), (ErrorKind::Other, 4));
    rig.simulator.clear_faults();
    rig.simulator.plant(Fault::once("/ops/upload", closed));
    rig.session.write(&plain, b"new", None).await.unwrap();
    assert_eq!(fs::read(&plain).unwrap(), b"new");
}

#[tokio::test]
async fn small_file_size_mb_lowers_the_limit() {
    let mut rig = Rig::setup().option("small_file_size_mb", "0.5").open().await;
    let path = rig.remote("file");
    rig.session.write(&path, &noise(512 * 1024), None).await.unwrap();
    assert_eq!(kind(rig.session.write(&path, &noise(512 * 1024 + 1), None).await), ErrorKind::TooLarge);
}

#[tokio::test]
async fn write_replaces_a_file_and_sets_its_mode() {
    let mut rig = Rig::open().await;
    let path = rig.place("file", b"much longer than the new one");
    rig.session.write(&path, b"new", Some(0o640)).await.unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o640));
    rig.session.write(&path, b"", None).await.unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"".to_vec(), 0o640));
}

// ---- put

#[tokio::test]
async fn put_brings_content_and_mode() {
    let mut rig = Rig::open().await;
    for (size, bits) in [(0, 0o644), (1, 0o755), (1024, 0o600), (1024 * 1024, 0o644), (UPLOAD_LIMIT, 0o444)] {
        let content = noise(size);
        let (local, remote) = (rig.local_file("file", &content, bits), rig.remote(&format!("file-{size}")));
        let summary = rig.session.put(&local, &remote, &options()).await.unwrap();
        assert!(fs::read(&remote).unwrap() == content, "{size} bytes");
        assert_eq!((summary.files, summary.bytes, summary.skipped), (1, size as u64, 0));
        assert_eq!(mode(&remote), bits, "{size} bytes");
        fs::remove_file(local).unwrap();
    }
}

#[tokio::test]
async fn a_refused_put_leaves_the_old_target() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("file", b"new", 0o644), rig.place("file", b"old"));
    rig.simulator.plant(Fault::once("/ops/upload", answer(500, "{}")));
    kind(rig.session.put(&local, &remote, &options()).await);
    assert_eq!(fs::read(&remote).unwrap(), b"old");
}

#[tokio::test]
async fn what_arrived_wrong_on_the_cluster_is_a_checksum_mismatch() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("file", b"abc", 0o644), rig.remote("file"));
    let wrong = format!(r#"{{"output":{{"algorithm":"SHA256","checksum":"{}"}}}}"#, "0".repeat(64));
    rig.simulator.plant(Fault::once("/ops/checksum", answer(200, &wrong)));
    let verify = TransferOptions { verify: Some(true), ..options() };
    let error = failure(rig.session.put(&local, &remote, &verify).await);
    assert_eq!((error.kind, error.subject.as_deref()), (ErrorKind::ChecksumMismatch, Some(remote.as_str())));
}

// ---- get

#[tokio::test]
async fn get_brings_content_and_mode() {
    let mut rig = Rig::open().await;
    for (size, bits) in [(0, 0o644), (1, 0o755), (1024, 0o600), (1024 * 1024, 0o640), (DOWNLOAD_LIMIT, 0o440)] {
        let content = noise(size);
        let (remote, local) = (rig.place("file", &content), rig.local(&format!("file-{size}")));
        rig.session.chmod(&remote, bits).await.unwrap();
        let summary = rig.session.get(&remote, &local, &options()).await.unwrap();
        assert!(fs::read(&local).unwrap() == content, "{size} bytes");
        assert_eq!((summary.files, summary.bytes, summary.verified), (1, size as u64, Verification::Size));
        assert_eq!(mode(&local), bits, "{size} bytes");
        fs::remove_file(&remote).unwrap();
    }
}

#[tokio::test]
async fn get_keeps_to_the_overwrite_policy() {
    let mut rig = Rig::open().await;
    let (remote, local) = (rig.place("file", b"new"), rig.local_file("file", b"old", 0o644));
    let fail = TransferOptions { overwrite: OverwritePolicy::Fail, ..options() };
    let skip = TransferOptions { overwrite: OverwritePolicy::Skip, ..options() };
    assert_eq!(kind(rig.session.get(&remote, &local, &fail).await), ErrorKind::AlreadyExists);
    assert_eq!(rig.session.get(&remote, &local, &skip).await.unwrap().skipped, 1);
    assert_eq!(fs::read(&local).unwrap(), b"old");
    let free = rig.local("free");
    rig.session.get(&remote, &free, &fail).await.unwrap();
    assert_eq!(fs::read(&free).unwrap(), b"new");
    assert_eq!(names(rig.folder.path()), ["file", "free"]);
}

/// The old file stays, and nothing lies beside it.
#[tokio::test]
async fn a_failed_get_leaves_the_local_folder_as_it_was() {
    let mut rig = Rig::open().await;
    let (remote, local) = (rig.place("file", b"new"), rig.local_file("file", b"old", 0o644));
    let verify = TransferOptions { verify: Some(true), ..options() };
    let wrong = format!(r#"{{"output":{{"algorithm":"SHA256","checksum":"{}"}}}}"#, "0".repeat(64));
    let faults = [
        ("/ops/download", answer(500, "{}"), None),
        ("/ops/download", answer(403, "{}"), Some(ErrorKind::PermissionDenied)),
        ("/ops/download", answer(200, "not the three bytes"), Some(ErrorKind::ChecksumMismatch)),
        ("/ops/checksum", answer(200, &wrong), Some(ErrorKind::ChecksumMismatch)),
        ("/ops/checksum", answer(500, "{}"), None),
    ];
    for (path, fault, expected) in faults {
        rig.simulator.plant(Fault::once(path, fault.clone()));
        let found = kind(rig.session.get(&remote, &local, &verify).await);
        assert!(expected.is_none_or(|expected| expected == found), "{fault:?}: {found:?}");
        assert_eq!(fs::read(&local).unwrap(), b"old", "{fault:?}");
        assert_eq!(names(rig.folder.path()), ["file"], "{fault:?}");
    }
    rig.session.get(&remote, &local, &verify).await.unwrap();
    assert_eq!(fs::read(&local).unwrap(), b"new");
}

#[tokio::test]
async fn a_get_replaces_a_file_in_one_step() {
    let mut rig = Rig::open().await;
    let (remote, local) = (rig.place("file", b"new"), rig.local_file("file", b"old", 0o644));
    let before = fs::metadata(&local).unwrap().ino();
    let open = fs::File::open(&local).unwrap();
    rig.session.get(&remote, &local, &options()).await.unwrap();
    // Whoever had it open still reads the old one.
    assert_eq!(std::io::read_to_string(open).unwrap(), "old");
    assert_ne!(fs::metadata(&local).unwrap().ino(), before);
}

// ---- stat, list

#[tokio::test]
async fn stat_tells_what_stat_tells() {
    let mut rig = Rig::open().await;
    let path = rig.place("file", b"12345");
    let (told, real) = (rig.session.stat(&path).await.unwrap(), fs::metadata(&path).unwrap());
    assert_eq!(told.kind, FileKind::Regular);
    assert_eq!((told.mode, told.size, told.inode, told.device), (real.mode(), 5, real.ino(), real.dev()));
    assert_eq!((told.links, told.uid, told.gid), (real.nlink(), real.uid(), real.gid()));
    assert_eq!((told.accessed, told.modified, told.changed), (real.atime(), real.mtime(), real.ctime()));
}

#[tokio::test]
async fn stat_follows_a_symlink_and_lstat_does_not() {
    let mut rig = Rig::open().await;
    rig.place_directory("d");
    let (link, dangling) = (rig.place_link("d", "link"), rig.place_link("nowhere", "dangling"));
    assert_eq!(rig.session.stat(&link).await.unwrap().kind, FileKind::Directory);
    assert_eq!(rig.session.lstat(&link).await.unwrap().kind, FileKind::Symlink);
    assert_eq!(rig.session.lstat(&dangling).await.unwrap().kind, FileKind::Symlink);
    assert_eq!(kind(rig.session.stat(&dangling).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn exists_is_false_for_what_is_missing_and_for_nothing_else() {
    let mut rig = Rig::open().await;
    let (file, directory) = (rig.place("f", b""), rig.place_directory("d"));
    let (link, dangling) = (rig.place_link("f", "link"), rig.place_link("nowhere", "dangling"));
    for there in [&file, &directory, &link] {
        assert!(rig.session.exists(there).await.unwrap(), "{there}");
    }
    for missing in [rig.remote("no"), rig.remote("no/no"), dangling, format!("{file}/below")] {
        assert!(!rig.session.exists(&missing).await.unwrap(), "{missing}");
    }
    let hidden = rig.place("d/secret", b"");
    rig.forbid(&directory);
    assert_eq!(kind(rig.session.exists(&hidden).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(rig.session.exists("/etc/passwd").await), ErrorKind::InvalidArgument);
    rig.simulator.plant(Fault::once("/ops/stat", answer(500, "{}")));
    assert_eq!(kind(rig.session.exists(&file).await), ErrorKind::Other);
}

#[tokio::test]
async fn exists_is_an_error_where_the_system_itself_is_gone() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"");
    rig.simulator.adjust(|knobs| knobs.systems.truncate(0));
    let error = failure(rig.session.exists(&path).await);
    assert_eq!(error.server_message.as_deref(), Some("System not found"));
}

#[tokio::test]
async fn a_listing_has_all_attributes() {
    let mut rig = Rig::open().await;
    let directory = rig.place_directory("d");
    let file = rig.place("d/file", b"12345");
    rig.session.chmod(&file, 0o4750).await.unwrap();
    rig.place_directory("d/sub");
    rig.place_link("../some where", "d/link");
    let mut entries = rig.session.list(&directory, &LIST).await.unwrap();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let [file, link, sub] = entries.try_into().expect("three entries");
    assert_eq!((file.path.as_str(), file.kind, file.size, file.permissions), ("file", FileKind::Regular, 5, 0o4750));
    assert_eq!((link.path.as_str(), link.kind, link.size), ("link", FileKind::Symlink, 13));
    assert_eq!(link.link_target.as_deref(), Some("../some where"));
    assert_eq!((sub.path.as_str(), sub.kind, sub.permissions), ("sub", FileKind::Directory, 0o755));
    assert_eq!((file.raw_path, file.link_target), (None, None));
    assert!(file.modified.len() == 19 && file.modified.contains('T'), "{}", file.modified);
    assert!(!file.owner.is_empty() && !file.group.is_empty());
}

#[tokio::test]
async fn a_name_that_is_not_utf8_is_told_as_bytes() {
    let mut rig = Rig::open().await;
    let directory = rig.place_directory("d");
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.txt");
    fs::write(Path::new(&directory).join(name), b"1").unwrap();
    let entry = rig.session.list(&directory, &LIST).await.unwrap().remove(0);
    assert_eq!((entry.path.as_str(), entry.raw_path.as_deref()), ("caf\u{fffd}.txt", Some(b"caf\xe9.txt".as_slice())));
}

#[tokio::test]
async fn glob_finds_the_paths_that_match() {
    let mut rig = Rig::open().await;
    let directory = rig.place_directory("d");
    for name in ["a", "b"] {
        rig.place_directory(&format!("d/{name}"));
        rig.place(&format!("d/{name}/x.txt"), b"");
        rig.place(&format!("d/{name}/.y.txt"), b"");
    }
    let found = rig.session.glob(&format!("{directory}/*/*.txt")).await.unwrap();
    assert_eq!(found, [format!("{directory}/a/x.txt"), format!("{directory}/b/x.txt")]);
    let found = rig.session.glob(&format!("{directory}/**/.y.*")).await.unwrap();
    assert_eq!(found, [format!("{directory}/a/.y.txt"), format!("{directory}/b/.y.txt")]);
    assert_eq!(rig.session.glob(&format!("{directory}/*.none")).await.unwrap(), [""; 0]);
}

// ---- changes

#[tokio::test]
async fn remove_tree_takes_everything_but_follows_no_link() {
    let mut rig = Rig::open().await;
    let (tree, kept) = (rig.place_directory("tree"), rig.place_directory("kept"));
    rig.place("kept/file", b"1");
    rig.place_directory("tree/sub");
    rig.place("tree/sub/file", b"1");
    rig.place_link("../kept", "tree/link");
    rig.session.remove_tree(&tree).await.unwrap();
    assert_eq!(names(rig.simulator.home()), ["kept"]);
    let (file, link) = (rig.place("f", b"1"), rig.place_link("kept", "link"));
    rig.session.remove_tree(&file).await.unwrap();
    rig.session.remove_tree(&link).await.unwrap();
    assert_eq!((names(rig.simulator.home()), names(&kept)), (vec!["kept".into()], vec!["file".into()]));
    assert_eq!(kind(rig.session.remove_tree(&tree).await), ErrorKind::NotFound);
    assert_eq!(kind(rig.session.remove_tree("/").await), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_symlink_points_where_it_was_told_to() {
    let mut rig = Rig::open().await;
    let (file, link) = (rig.place("f", b"1"), rig.remote("link"));
    rig.session.symlink(&file, &link).await.unwrap();
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(file.as_str()));
    assert_eq!(rig.session.read_link(&link).await.unwrap(), file);
    let (nowhere, dangling) = (rig.remote("no where"), rig.remote("dangling"));
    rig.session.symlink(&nowhere, &dangling).await.unwrap();
    assert_eq!(rig.session.read_link(&dangling).await.unwrap(), nowhere);
    assert_eq!(kind(rig.session.symlink(&file, &link).await), ErrorKind::AlreadyExists);
    assert_eq!(kind(rig.session.symlink(&file, &file).await), ErrorKind::AlreadyExists);
    let missing = rig.remote("no/link");
    assert_eq!(kind(rig.session.symlink(&file, &missing).await), ErrorKind::NotFound);
}

/// `ln` alone would put it into the directory.
#[tokio::test]
async fn a_symlink_is_not_made_inside_a_directory_of_its_name() {
    let mut rig = Rig::open().await;
    let (file, directory) = (rig.place("f", b"1"), rig.place_directory("d"));
    assert_eq!(kind(rig.session.symlink(&file, &directory).await), ErrorKind::AlreadyExists);
    assert_eq!(names(&directory), [""; 0]);
}

#[tokio::test]
async fn chmod_sets_all_bits_and_follows_a_symlink() {
    let mut rig = Rig::open().await;
    let (file, link) = (rig.place("f", b"1"), rig.place_link("f", "link"));
    for bits in [0o640, 0o755, 0o0, 0o1777, 0o7] {
        rig.session.chmod(&link, bits).await.unwrap();
        assert_eq!(mode(&file), bits);
    }
    let (result, requests) = rig.count(async |s| s.chmod(&file, 0o10000).await).await;
    assert_eq!((kind(result), requests.len()), (ErrorKind::InvalidArgument, 0));
    let missing = rig.remote("no");
    assert_eq!(kind(rig.session.chmod(&missing, 0o644).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn chown_to_another_user_is_denied_and_to_nobody_is_nothing() {
    let mut rig = Rig::open().await;
    let file = rig.place("f", b"1");
    assert_eq!(kind(rig.session.chown(&file, Some(0), None).await), ErrorKind::PermissionDenied);
    let (result, requests) = rig.count(async |s| s.chown(&file, None, None).await).await;
    result.unwrap();
    assert_eq!(requests, [""; 0]);
}

#[tokio::test]
async fn what_the_user_may_not_do_is_permission_denied() {
    let mut rig = Rig::open().await;
    let (file, directory) = (rig.place("f", b"1"), rig.place_directory("d"));
    let inside = rig.place("d/f", b"1");
    rig.forbid(&file);
    rig.forbid(&directory);
    let local = rig.local_file("f", b"1", 0o644);
    let s = &mut rig.session;
    assert_eq!(kind(s.read(&file, 0, None).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.checksum(&file).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.stat(&inside).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.lstat(&inside).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.list(&directory, &LIST).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.mkdir(&format!("{directory}/d"), false, false).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.write(&inside, b"1", None).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.put(&local, &inside, &options()).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.remove(&inside, Some(FileKind::Regular)).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.remove_tree(&directory).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.symlink(&file, &format!("{directory}/link")).await), ErrorKind::PermissionDenied);
    assert_eq!(kind(s.chmod(&inside, 0o644).await), ErrorKind::PermissionDenied);
    let target = rig.local("target");
    fs::write(&target, b"old").unwrap();
    assert_eq!(kind(rig.session.get(&file, &target, &options()).await), ErrorKind::PermissionDenied);
    assert_eq!(fs::read(&target).unwrap(), b"old");
    // So that whoever runs the tests can clean up.
    fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_path_outside_the_file_systems_is_an_invalid_argument() {
    let mut rig = Rig::open().await;
    let through = format!("{}/../../../../etc/passwd", rig.simulator.home());
    for path in ["/etc/passwd", "/", through.as_str()] {
        let error = failure(rig.session.stat(path).await);
        assert_eq!((error.kind, error.subject.as_deref()), (ErrorKind::InvalidArgument, Some(path)));
        assert_eq!(kind(rig.session.write("/etc/x", b"1", None).await), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn dots_and_slashes_in_a_path_change_nothing() {
    let mut rig = Rig::open().await;
    let file = rig.place("f", b"1");
    let odd = format!("/{}//.//d/../f", rig.simulator.home());
    rig.place_directory("d");
    assert_eq!(rig.session.stat(&odd).await.unwrap().inode, rig.session.stat(&file).await.unwrap().inode);
}

#[tokio::test]
async fn whoami_tells_the_user_of_the_cluster() {
    let mut rig = Rig::open().await;
    let who = rig.session.whoami().await.unwrap();
    assert_eq!((who.name.as_str(), who.group.as_deref()), ("fireuser", Some("users")));
    assert_eq!(who.uid, Some(rig.simulator.uid()));
    assert!(who.groups.contains(&"users".to_owned()), "{who:?}");
}

#[tokio::test]
async fn an_error_names_its_subject_and_carries_what_the_server_said() {
    let mut rig = Rig::open().await;
    let missing = rig.remote("no such");
    let error = failure(rig.session.stat(&missing).await);
    assert_eq!((error.kind, error.http_status), (ErrorKind::NotFound, Some(404)));
    assert_eq!(error.subject.as_deref(), Some(missing.as_str()));
    assert!(
        error.server_message.as_deref().is_some_and(|text| text.ends_with("No such file or directory")),
        "{error:?}"
    );
    assert!(error.request_id.as_deref().is_some_and(|id| !id.is_empty()), "{error:?}");
    assert_eq!(error.retry_after_ms, None);
}

// ---- beyond single files: one look at each, so that none of them is broken altogether

#[tokio::test]
async fn copy_to_brings_a_file_to_another_sessions_cluster() {
    let mut rig = Rig::open().await;
    let (path, target, mut options) = (rig.place("f", b"abc"), rig.remote("copied"), rig.options());
    options.set("compute_resource", "cluster-account");
    let peer = rig.session.open_peer(&options, None).await.unwrap();
    let summary = rig.session.copy_to(&path, &peer, &target, &self::options()).await.unwrap();
    assert_eq!((summary.files, summary.bytes, fs::read(&target).unwrap()), (1, 3, b"abc".to_vec()));
}

#[tokio::test]
async fn copy_rename_and_exec_do_what_their_names_say() {
    let mut rig = Rig::setup().knobs(|knobs| knobs.job_lag = JobLag::NONE).open().await;
    let (path, copied, moved) = (rig.place("f", b"abc"), rig.remote("copied"), rig.remote("mo ved"));
    rig.session.copy(&path, &copied, true).await.unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read(&copied).unwrap()), (b"abc".to_vec(), b"abc".to_vec()));
    assert_eq!(kind(rig.session.rename(&copied, &path).await), ErrorKind::AlreadyExists);
    rig.session.rename(&copied, &moved).await.unwrap();
    assert!(!Path::new(&copied).exists() && fs::read(&moved).unwrap() == b"abc");
    let command = Command {
        line: "cat; echo it\\'s >&2; exit 3".into(),
        working_directory: None,
        environment: Vec::new(),
        stdin: b"in".to_vec(),
        time_limit: None,
    };
    let output = rig.session.exec(&command).await.unwrap();
    assert_eq!((output.exit_code, output.stdout, output.stderr), (3, b"in".to_vec(), b"it's\n".to_vec()));
}
