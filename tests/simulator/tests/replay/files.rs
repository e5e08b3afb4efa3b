//! File operations, their answers and their errors.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use firecrest_simulator::Simulator;
use serde_json::Value;

use crate::client::{Client, same_shape};
use crate::quick;

/// What a case expects.
enum Want {
    /// No body.
    Nothing,
    /// These bytes.
    Bytes(&'static str),
    /// A body with the keys and types of this recorded one.
    Shape(&'static str),
    /// An error with this message; one that ends in … only begins so. `{home}` stands for the user's home.
    Error(&'static str),
}

use Want::{Bytes, Error, Nothing, Shape};

const FILE: &str = r#"{"output":{"name":"/home/fireuser/probe","type":"d","linkTarget":null,"user":"fireuser","group":"users","permissions":"rwxr-xr-x","lastModified":"2026-11-24T06:19:56","size":"4096"}}"#;
const LINK: &str = r#"{"output":{"name":"/home/fireuser/probe/link","type":"l","linkTarget":"/home/fireuser/probe/a.txt","user":"fireuser","group":"users","permissions":"rwxrwxrwx","lastModified":"2026-11-24T06:20:02","size":"26"}}"#;
const LIST: &str = r#"{"output":[{"name":"snake","type":"d","linkTarget":null,"user":"fireuser","group":"users","permissions":"rwxr-xr-x","lastModified":"2026-11-24T06:19:56","size":"4096"}]}"#;
const STAT: &str = r#"{"output":{"mode":16877,"ino":878089,"dev":65024,"nlink":3,"uid":1001,"gid":100,"size":4096,"atime":1795501196,"ctime":1795501196,"mtime":1795501196}}"#;

/// A folder that belongs to somebody else, or, where only root could make one, that its owner has closed.
fn foreign(simulator: &Simulator) -> bool {
    let root = rustix_is_root();
    let folder = simulator.root().join("home/firesrv");
    let keys = folder.join(".ssh");
    fs::create_dir_all(&keys).expect("a foreign folder");
    fs::write(keys.join("authorized_keys"), "key\n").expect("a foreign file");
    fs::write(folder.join(".bashrc"), "").expect("a foreign file");
    let close = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    close(&keys, if root { 0o700 } else { 0 });
    close(&folder, if root { 0o755 } else { 0o555 });
    root
}

/// Opens what `foreign` closed, so that it can be removed.
fn reopen(simulator: &Simulator) {
    for path in ["home/firesrv", "home/firesrv/.ssh"] {
        let _ = fs::set_permissions(simulator.root().join(path), fs::Permissions::from_mode(0o755));
    }
}

fn rustix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|data| {
        use std::os::unix::fs::MetadataExt;
        data.uid() == 0
    })
}

fn check(client: &Client, name: &str, answer: &crate::client::Answer, status: u16, want: &Want) {
    assert_eq!(answer.status, status, "{name}: {}", answer.text());
    assert_eq!(answer.headers["server"], "uvicorn", "{name}");
    assert_eq!(answer.headers["f7t-appversion"], "2.5.7", "{name}");
    for header in ["f7t-timestamp", "x-request-id", "x-correlation-id", "date"] {
        assert!(answer.headers.contains_key(header), "{name}: {header}");
    }
    assert_eq!(
        answer.headers.get("f7t-authusername").map(String::as_str),
        (status >= 400).then_some("fireuser"),
        "{name}"
    );
    match want {
        Nothing => assert!(answer.body.is_empty(), "{name}: {}", answer.text()),
        Bytes(bytes) => {
            assert_eq!(answer.text(), *bytes, "{name}");
            assert_eq!(answer.headers["content-type"], "application/octet-stream");
        }
        Shape(sample) => {
            let sample: Value = serde_json::from_str(sample).expect("a recorded body");
            same_shape(name, &answer.json(), &sample);
        }
        Error(message) => {
            let body = answer.json();
            same_shape(
                name,
                &body,
                &serde_json::json!({"errorType": "", "message": "", "causedBy": null, "data": null, "user": ""}),
            );
            assert_eq!(body["errorType"], "error", "{name}");
            assert_eq!(body["user"], "fireuser", "{name}");
            let wanted = client.fill(message);
            let said = answer.message();
            match wanted.strip_suffix('…') {
                Some(start) => assert!(said.starts_with(start), "{name}: {said}"),
                None => assert_eq!(said, wanted, "{name}"),
            }
        }
    }
}

const REMOTE1: &str = "Remote process failed with exit status:1 and error message:";
const REMOTE2: &str = "Remote process failed with exit status:2 and error message:";
const QUOTE: &str = "bash: -c: line 1: unexpected EOF while looking for matching `''";

/// Puts the beginning that most messages share before the rest.
fn remote(start: &str, rest: &str) -> Want {
    Error(Box::leak(format!("{start}{rest}").into_boxed_str()))
}

/// A request: method, operation, path or JSON body, further query.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str, u16, Want);

fn replay(client: &mut Client, cases: Vec<Case>) {
    for (name, method, operation, target, more, status, want) in cases {
        let answer = if target.starts_with('{') && !target.starts_with("{home") {
            client.with_json(method, &format!("/filesystem/{{system}}/ops/{operation}"), target)
        } else if let Some(content) = more.strip_prefix("upload:") {
            let (folder, file) = target.split_once('|').expect("a folder and a name");
            client.upload(folder, file, content.as_bytes())
        } else {
            client.op(method, operation, target, more)
        };
        check(client, name, &answer, status, &want);
    }
}

/// The recorded operations, in an order in which each finds what it needs.
#[rustfmt::skip]
fn recorded() -> Vec<Case> {
    let probe = "{home}/probe";
    vec![
        ("mkdir", "POST", "mkdir", r#"{"path":"{home}/probe"}"#, "", 201, Shape(FILE)),
        ("mkdir existing", "POST", "mkdir", r#"{"path":"{home}/probe"}"#, "", 400, remote(REMOTE1, "mkdir: cannot create directory '{home}/probe': File exists")),
        ("mkdir existing, parent", "POST", "mkdir", r#"{"sourcePath":"{home}/probe","parent":true}"#, "", 201, Shape(FILE)),
        ("mkdir missing parent", "POST", "mkdir", r#"{"path":"{home}/probe/x/y"}"#, "", 404, remote(REMOTE1, "mkdir: cannot create directory '{home}/probe/x/y': No such file or directory")),
        ("mkdir snake", "POST", "mkdir", r#"{"source_path":"{home}/probe/snake"}"#, "", 201, Shape(FILE)),
        ("mkdir without path", "POST", "mkdir", r#"{"parent":true}"#, "", 400, Error("Unable to decode request and retreive the required path or source_path parameter.")),
        ("mkdir path null", "POST", "mkdir", r#"{"path":null}"#, "", 400, Error("All filesystem requests require a path or source_path parameter.")),
        ("stat", "GET", "stat", probe, "", 200, Shape(STAT)), ("stat missing", "GET", "stat", "{home}/probe/nope", "", 404, remote(REMOTE1, "stat: cannot statx '{home}/probe/nope': No such file or directory")),
        ("stat denied", "GET", "stat", "{homes}/firesrv/.ssh/authorized_keys", "", 403, remote(REMOTE1, "stat: cannot statx '{homes}/firesrv/.ssh/authorized_keys': Permission denied")),
        ("stat outside", "GET", "stat", "/etc/passwd", "", 400, Error("The provided path (/etc/passwd) does not match any of the defined filesystem paths for the requested system ({system}).")),
        ("stat relative", "GET", "stat", "foo", "", 400, Error("The provided path (foo) is not an absolute path.")),
        ("stat through ..", "GET", "stat", "/home/../etc/passwd", "", 400, Error("The provided path (/etc/passwd) does not match any of the defined filesystem paths for the requested system ({system}).")),
        ("ls missing", "GET", "ls", "{home}/probe/nope", "", 404, remote(REMOTE2, "ls: cannot access '{home}/probe/nope': No such file or directory")),
        ("ls denied", "GET", "ls", "{homes}/firesrv/.ssh", "", 403, remote(REMOTE2, "ls: cannot open directory '{homes}/firesrv/.ssh': Permission denied")),
        ("ls -R meets a closed folder", "GET", "ls", "{homes}", "&recursive=true&showHidden=true", 403, remote(REMOTE1, "ls: cannot open directory '{homes}/firesrv/.ssh': Permission denied")),
        ("ls", "GET", "ls", probe, "", 200, Shape(LIST)), ("upload", "POST", "upload", "{home}/probe|a.txt", "upload:hello1\n", 204, Nothing),
        ("upload again", "POST", "upload", "{home}/probe|a.txt", "upload:hello2\n", 204, Nothing),
        ("upload to missing", "POST", "upload", "{home}/probe/nope|a.txt", "upload:x", 404, remote(REMOTE1, "bash: line 1: {home}/probe/nope/a.txt: No such file or directory")),
        ("upload denied", "POST", "upload", "{homes}/firesrv|a.txt", "upload:x", 403, remote(REMOTE1, "bash: line 1: {homes}/firesrv/a.txt: Permission denied")),
        ("upload onto a folder", "POST", "upload", "{home}|probe", "upload:x", 500, remote(REMOTE1, "bash: line 1: {home}/probe: Is a directory")),
        ("upload odd name", "POST", "upload", "{home}/probe|sp ace é.txt", "upload:x", 204, Nothing),
        ("upload quote", "POST", "upload", "{home}/probe|it's.txt", "upload:x", 500, remote(REMOTE2, QUOTE)),
        ("stat quote", "GET", "stat", "{home}/probe/it's.txt", "", 500, remote(REMOTE2, QUOTE)),
        ("ls of a file", "GET", "ls", "{home}/probe/a.txt", "", 200, Shape(LIST)), ("ls trailing slash", "GET", "ls", "{home}/probe/", "", 200, Shape(LIST)), ("download", "GET", "download", "{home}/probe/a.txt", "", 200, Bytes("hello2\n")),
        ("download missing", "GET", "download", "{home}/probe/nope", "", 404, remote(REMOTE1, "base64: {home}/probe/nope: No such file or directory")),
        ("download a folder", "GET", "download", probe, "", 500, remote(REMOTE1, "base64: read error: Is a directory")),
        ("download denied", "GET", "download", "{homes}/firesrv/.ssh/authorized_keys", "", 403, remote(REMOTE1, "base64: {homes}/firesrv/.ssh/authorized_keys: Permission denied")),
        ("view", "GET", "view", "{home}/probe/a.txt", "", 200, Shape(r#"{"output":"hello2\n"}"#)),
        ("view too much", "GET", "view", "{home}/probe/a.txt", "&size=5242881", 400, Error("`size` value must be less than 5242880 bytes")),
        ("view missing", "GET", "view", "{home}/probe/nope", "", 404, remote(REMOTE1, "dd: failed to open '{home}/probe/nope': No such file or directory")),
        ("view a folder", "GET", "view", probe, "", 500, remote(REMOTE1, "dd: error reading '{home}/probe': Is a directory\n0+0 records in\n0+0 records out\n0 bytes copied…")),
        ("head", "GET", "head", "{home}/probe/a.txt", "&bytes=3", 200, Shape(r#"{"output":{"content":"hel","contentType":"bytes","startPosition":0,"endPosition":3}}"#)),
        ("head both", "GET", "head", "{home}/probe/a.txt", "&bytes=3&lines=2", 400, Error("Only one of `bytes` or `lines` can be specified.")),
        ("checksum", "GET", "checksum", "{home}/probe/a.txt", "", 200, Shape(r#"{"output":{"algorithm":"SHA256","checksum":"1671"}}"#)),
        ("checksum of an odd name", "GET", "checksum", "{home}/probe/sp ace é.txt", "", 500, Error("Invalid output: 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  {home}/probe/sp ace é.txt\n ")),
        ("checksum of a folder", "GET", "checksum", probe, "", 500, remote(REMOTE1, "sha256sum: {home}/probe: Is a directory")),
        ("file", "GET", "file", probe, "", 200, Shape(r#"{"output":"directory"}"#)),
        ("chmod", "PUT", "chmod", r#"{"path":"{home}/probe/a.txt","mode":"700"}"#, "", 200, Shape(FILE)),
        ("chmod bad mode", "PUT", "chmod", r#"{"path":"{home}/probe/a.txt","mode":"9999"}"#, "", 500, remote(REMOTE1, "chmod: invalid mode: '9999'\nTry 'chmod --help' for more information.")),
        ("symlink", "POST", "symlink", r#"{"path":"{home}/probe/a.txt","linkPath":"{home}/probe/link"}"#, "", 201, Shape(LINK)),
        ("symlink exists", "POST", "symlink", r#"{"path":"{home}/probe/a.txt","link_path":"{home}/probe/link"}"#, "", 400, remote(REMOTE1, "ln: failed to create symbolic link '{home}/probe/link': File exists")),
        ("lstat", "GET", "stat", "{home}/probe/link", "", 200, Shape(STAT)), ("stat followed", "GET", "stat", "{home}/probe/link", "&dereference=true", 200, Shape(STAT)),
        ("compress", "POST", "compress", r#"{"path":"{home}/probe","targetPath":"{home}/probe.tgz"}"#, "", 204, Nothing),
        ("compress missing", "POST", "compress", r#"{"path":"{home}/nope","targetPath":"{home}/nope.tgz"}"#, "", 404, remote(REMOTE2, "tar: nope: Cannot stat: No such file or directory\ntar: Exiting with failure status due to previous errors")),
        ("mkdir ex", "POST", "mkdir", r#"{"path":"{home}/ex"}"#, "", 201, Shape(FILE)),
        ("extract", "POST", "extract", r#"{"path":"{home}/probe.tgz","target_path":"{home}/ex"}"#, "", 204, Nothing),
        ("extracted", "GET", "download", "{home}/ex/probe/a.txt", "", 200, Bytes("hello2\n")),
        ("extract to missing", "POST", "extract", r#"{"path":"{home}/probe.tgz","targetPath":"{home}/nodir"}"#, "", 404, remote(REMOTE2, "tar: {home}/nodir: Cannot open: No such file or directory\ntar: Error is not recoverable: exiting now")),
        ("extract no tar", "POST", "extract", r#"{"path":"{home}/probe/a.txt","targetPath":"{home}/ex"}"#, "", 500, remote(REMOTE2, "gzip: stdin: not in gzip format\ntar: Child returned status 1\ntar: Error is not recoverable: exiting now")),
        ("rm missing", "DELETE", "rm", "{home}/probe/nope", "", 404, remote(REMOTE1, "rm: cannot remove '{home}/probe/nope': No such file or directory")),
        ("rm denied", "DELETE", "rm", "{homes}/firesrv/.bashrc", "", 403, remote(REMOTE1, "rm: cannot remove '{homes}/firesrv/.bashrc': Permission denied")),
        ("rm", "DELETE", "rm", "{home}/probe.tgz", "", 204, Nothing), ("rm a tree", "DELETE", "rm", "{home}/ex", "", 204, Nothing), ("chown unknown user", "PUT", "chown", r#"{"path":"{home}/probe/a.txt","owner":"nosuchuser","group":"nosuchgroup"}"#, "", 400, remote(REMOTE1, "chown: invalid user: 'nosuchuser:nosuchgroup'")),
        ("chown to oneself", "PUT", "chown", r#"{"path":"{home}/probe/a.txt","owner":"fireuser","group":"users"}"#, "", 200, Shape(FILE)),
        ("chown", "PUT", "chown", r#"{"path":"{home}/probe/a.txt","owner":"root"}"#, "", 403, remote(REMOTE1, "chown: changing ownership of '{home}/probe/a.txt': Operation not permitted")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn file_operations_answer_as_recorded() {
    let simulator = quick().start().await.expect("a simulator");
    let root = foreign(&simulator);
    let mut client = Client::new(&simulator);
    let missing = "No such file or directory";
    replay(&mut client, recorded());
    if root {
        replay(
            &mut client,
            vec![(
                "chmod not owner",
                "PUT",
                "chmod",
                r#"{"path":"{homes}/firesrv","mode":"777"}"#,
                "",
                403,
                remote(REMOTE1, "chmod: changing permissions of '{homes}/firesrv': Operation not permitted"),
            )],
        );
    }
    assert!(client.op("GET", "stat", "{home}/x/y", "").message().contains(missing));
    let upper = client.get("/filesystem/CLUSTER/ops/stat?path={home}");
    assert_eq!(upper.status, 200, "{}", upper.text());
    reopen(&simulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_survive_as_they_do_on_the_real_server() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let cases = [
        ("a b.txt", "a b.txt", "a b.txt"),
        ("ünï.txt", "ünï.txt", "\\303\\274n\\303\\257.txt"),
        ("$HOME.txt", "$HOME.txt", "$HOME.txt"),
        ("back`tick.txt", "back`tick.txt", "back`tick.txt"),
        ("semi;colon.txt", "semi;colon.txt", "semi;colon.txt"),
        ("dq%22.txt", "dq%22.txt", "dq%22.txt"),
        ("new%0Aline.txt", "new%0Aline.txt", "new%0Aline.txt"),
        ("-dash.txt", "-dash.txt", "-dash.txt"),
        ("amp&.txt", "amp&.txt", "amp&.txt"),
        ("per%20cent.txt", "per%20cent.txt", "per%20cent.txt"),
    ];
    for (sent, stored, _) in cases {
        assert_eq!(client.upload("{home}", sent, b"x").status, 204, "{sent}");
        assert!(Path::new(simulator.home()).join(stored).exists(), "{sent}");
        let answer = client.op("GET", "stat", &format!("{{home}}/{stored}"), "");
        assert_eq!(answer.status, 200, "{sent}");
    }
    fs::write(Path::new(simulator.home()).join("new\nline"), "").expect("a file");
    let listed = client.op("GET", "ls", "{home}", "").json();
    let mut names: Vec<&str> = listed["output"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| file["name"].as_str().expect("a name"))
        .collect();
    names.sort_unstable();
    let mut wanted: Vec<&str> = cases.iter().map(|(_, _, listed)| *listed).collect();
    wanted.push("new\\nline");
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    let quoted = format!("{}/dq%22.txt", simulator.home());
    assert_eq!(client.op("GET", "download", &quoted, "").text(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploads_name_is_read_to_the_letter() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    assert_eq!(client.op("GET", "stat", "{home}", "").status, 200);
    fs::create_dir(Path::new(simulator.home()).join("sub")).expect("a folder");
    fs::set_permissions(Path::new(simulator.home()).join("sub"), fs::Permissions::from_mode(0o777)).expect("a mode");
    for (sent, stored) in [
        ("line\nfeed", "line\nfeed"),
        ("a\\\"b", "a\"b"),
        ("a\\\\b", "a\\b"),
        ("sub/a.txt", "sub/a.txt"),
        ("C:\\\\x\\\\a.txt", "a.txt"),
    ] {
        let answer = client.upload("{home}", sent, b"x");
        assert_eq!(answer.status, 204, "{sent}: {}", answer.text());
        assert!(Path::new(simulator.home()).join(stored).exists(), "{sent}");
    }
    // Read before anybody asks for a token.
    client.token = None;
    let answer = client.upload("{home}", "a\rb", b"x");
    assert_eq!((answer.status, answer.message().as_str()), (400, "Invalid multipart data."));
    assert!(answer.json()["user"].is_null());
    assert_eq!(client.upload("{home}", "ab", b"x").status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_the_recorded_ones() {
    let limit = Duration::from_millis(1500);
    let simulator = quick().adjust(|knobs| knobs.command_time_limit = limit).start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let over = "Command execution timeout limit exceeded.";

    let empty = client.upload("{home}", "empty", b"");
    assert_eq!((empty.status, empty.message().as_str()), (408, over));
    assert!(empty.elapsed >= limit);
    let stat = client.op("GET", "stat", "{home}/empty", "");
    assert_eq!(stat.json()["output"]["size"], 0);
    assert_eq!(client.upload("{home}/nope", "empty", b"").status, 404);

    let five = vec![7; 5 * 1024 * 1024];
    assert_eq!(client.upload("{home}", "m5", &five).status, 204);
    let more = client.upload("{home}", "m5", &vec![7; 5 * 1024 * 1024 + 1]);
    assert_eq!((more.status, more.message().as_str()), (413, "File to upload is too large."));

    let sized = |size: u64| {
        let file = fs::File::create(Path::new(simulator.home()).join("sized")).expect("a file");
        file.set_len(size).expect("a size");
    };
    let cases = [
        (3_932_157, 200, ""),
        (3_932_158, 413, "Command output exceeded buffer limit."),
        (4 << 20, 413, "Command output exceeded buffer limit."),
        (5 << 20, 413, "Command output exceeded buffer limit."),
        (6 << 20, 500, "('Channel not open for sending',)"),
        (7 << 20, 408, over),
        (64 << 20, 408, over),
    ];
    for (size, status, message) in cases {
        sized(size);
        let answer = client.op("GET", "download", "{home}/sized", "");
        assert_eq!(answer.status, status, "{size}");
        if status == 200 {
            assert_eq!(answer.body.len() as u64, size);
            continue;
        }
        assert_eq!(answer.message(), message, "{size}");
        assert_eq!(answer.elapsed >= limit, status != 413, "{size}");
        assert_eq!(answer.json()["user"].is_null(), status == 500, "{size}");
    }

    // Sparse, so that only time runs out.
    sized(20 << 30);
    assert_eq!(client.op("GET", "checksum", "{home}/sized", "").status, 408);
    let body = r#"{"path":"{home}/sized","targetPath":"{home}/sized.tgz"}"#;
    let answer = client.with_json("POST", "/filesystem/{system}/ops/compress", body);
    assert_eq!((answer.status, answer.message().as_str()), (408, over));
    assert!(Path::new(simulator.home()).join("sized.tgz").exists());

    // A small limit refuses the default size of a view.
    simulator.adjust(|knobs| knobs.systems[0].max_ops_file_size = 1 << 20);
    client.upload("{home}", "small", b"text");
    let view = client.op("GET", "view", "{home}/small", "");
    assert_eq!(view.status, 400);
    assert_eq!(view.message(), "`size` value must be less than 1048576 bytes");
    let view = client.op("GET", "view", "{home}/small", "&size=2&offset=1");
    assert_eq!(view.json()["output"], "ex");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_out_of_the_file_systems() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let home = Path::new(simulator.home());
    fs::write(simulator.root().join("secret"), "secret").expect("a file outside");
    symlink("/etc", home.join("etc")).expect("a link");
    symlink("etc", home.join("chain")).expect("a link");
    symlink("../../secret", home.join("relative")).expect("a link");
    symlink("../../made", home.join("dangling")).expect("a link");
    let denied = [
        ("GET", "stat", "{home}/etc/passwd", ""),
        ("GET", "stat", "{home}/relative", "&dereference=true"),
        ("GET", "download", "{home}/relative", ""),
        ("GET", "view", "{home}/chain/passwd", ""),
        ("GET", "head", "{home}/relative", ""),
        ("GET", "tail", "{home}/relative", ""),
        ("GET", "checksum", "{home}/relative", ""),
        ("GET", "ls", "{home}/etc/", ""),
        ("GET", "ls", "{home}", "&dereference=true"),
        ("GET", "ls", "{homes}", "&dereference=true&recursive=true"),
        ("DELETE", "rm", "{home}/chain/passwd", ""),
    ];
    for (method, operation, path, more) in denied {
        let answer = client.op(method, operation, path, more);
        assert_eq!(answer.status, 403, "{operation} {path}: {}", answer.text());
        assert!(answer.message().contains("Permission denied"));
    }
    for name in ["dangling", "../../../made", "etc/made"] {
        let answer = client.upload("{home}", name, b"x");
        assert_eq!(answer.status, 403, "{name}");
    }
    assert!(!simulator.root().join("made").exists());
    let bodies = [
        ("POST", "mkdir", r#"{"path":"{home}/etc/made"}"#),
        ("PUT", "chmod", r#"{"path":"{home}/relative","mode":"777"}"#),
        ("POST", "symlink", r#"{"path":"{home}/x","linkPath":"{home}/etc/made"}"#),
        ("POST", "compress", r#"{"path":"{home}","targetPath":"{homes}/../../x.tgz"}"#),
        ("POST", "compress", r#"{"path":"{home}","targetPath":"{home}/x.tgz","dereference":true}"#),
        ("POST", "extract", r#"{"path":"{home}/relative","targetPath":"{home}"}"#),
        ("POST", "extract", r#"{"path":"{home}/x.tgz","targetPath":"{home}/etc"}"#),
    ];
    for (method, operation, body) in bodies {
        let path = format!("/filesystem/{{system}}/ops/{operation}");
        let answer = client.with_json(method, &path, body);
        assert_eq!(answer.status, 403, "{operation} {body}: {}", answer.text());
    }
    // An archive whose member goes through a link that leads out; one that does not is fine.
    let member = |name: &str, member: &str| {
        let stage = tempfile::tempdir().expect("a folder");
        let path = stage.path().join(member);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, "x").expect("a file");
        let archive = home.join(name);
        let done =
            std::process::Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(stage.path()).arg(".").status();
        assert!(done.is_ok_and(|status| status.success()));
        fs::set_permissions(archive, fs::Permissions::from_mode(0o644)).expect("a mode");
    };
    member("evil.tgz", "etc/made");
    member("good.tgz", "inside/made");
    symlink(simulator.root().join("tmp"), home.join("tmp")).expect("a link");
    member("evil2.tgz", "tmp/made");
    for (name, status) in [("evil.tgz", 403), ("evil2.tgz", 403), ("good.tgz", 204)] {
        let body = format!(r#"{{"path":"{{home}}/{name}","targetPath":"{{home}}"}}"#);
        let answer = client.with_json("POST", "/filesystem/{system}/ops/extract", &body);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    assert!(home.join("inside/made").exists());
    assert!(!simulator.root().join("tmp/made").exists());
    // The links themselves can be seen and removed.
    assert_eq!(client.op("GET", "stat", "{home}/etc", "").status, 200);
    assert_eq!(client.op("GET", "ls", "{home}/etc", "").status, 200);
    assert_eq!(client.op("DELETE", "rm", "{home}/etc", "").status, 204);
    assert!(Path::new("/etc/passwd").exists());
}
