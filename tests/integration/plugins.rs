//! Plugins as files: what is found in a folder, what its manifest asks for, who granted it, and what is refused before it is compiled.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Output;

use aiida_firecrest_host::limits::{MANIFEST_SIZE, PLUGIN_SIZE};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::desk::{argument, one_line, text};
use crate::programs;
use crate::puppet::{self, Act};

/// A home with a folder of plugins in it.
struct Shelf {
    home: TempDir,
}

const MANIFEST: &str = "name = 'puppet'\nwasi = ['http', 'filesystem']\norigins = ['https://api.example.org']\n";

fn component() -> Vec<u8> {
    let (resolve, world) = puppet::contract();
    puppet::component(&resolve, world, Act::Trap)
}

/// The same with other versions in its names: they are as long, so that nothing else moves.
fn of_version(version: &str) -> Vec<u8> {
    let mut bytes = component();
    for name in ["configuration", "transport", "scheduler"] {
        let (old, new) = (format!("aiida:hpc/{name}@0.1.0"), format!("aiida:hpc/{name}@{version}"));
        let places: Vec<usize> =
            (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old.as_bytes())).collect();
        assert!(!places.is_empty(), "{old}");
        for at in places {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
    }
    bytes
}

impl Shelf {
    fn new() -> Shelf {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("data/aiida-firecrest/plugins")).unwrap();
        Shelf { home }
    }

    fn with(name: &str, wasm: &[u8], manifest: &str) -> Shelf {
        let shelf = Shelf::new();
        shelf.place(&format!("{name}.wasm"), wasm);
        shelf.place(&format!("{name}.toml"), manifest.as_bytes());
        shelf
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("data/aiida-firecrest/plugins").join(name)
    }

    fn place(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn grants(&self) -> PathBuf {
        self.home.path().join("config/aiida-firecrest/plugin-grants.json")
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = programs::client();
        command.env("XDG_DATA_HOME", self.home.path().join("data"));
        command.env("XDG_CONFIG_HOME", self.home.path().join("config")).args(arguments);
        programs::run(command).await
    }

    async fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.run(&all).await;
        (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    async fn refuses(&self, code: i32, words: &str, arguments: &[&str]) -> String {
        let line = one_line(&self.run(arguments).await, code, &[]);
        assert!(line.contains(words), "{words:?}: {line}");
        line
    }
}

#[tokio::test]
async fn a_plugin_is_found_looked_at_granted_and_used() {
    let shelf = Shelf::with("puppet", &component(), MANIFEST);
    let (code, listed) = shelf.json(&["plugin", "list"]).await;
    assert_eq!(
        (code, &listed["plugins"][0]["name"], &listed["plugins"][0]["state"]),
        (Some(0), &json!("puppet"), &json!("not granted"))
    );
    let (_, seen) = shelf.json(&["plugin", "inspect", "puppet"]).await;
    assert_eq!((&seen["contract"], &seen["granted"]), (&json!("0.1.0"), &Value::Null));
    assert_eq!(seen["asks"]["origins"], json!(["https://api.example.org"]));
    assert_eq!(seen["sha256"].as_str().map(str::len), Some(64));
    let (code, checked) = shelf.json(&["plugin", "check", "puppet"]).await;
    assert_eq!(code, Some(5));
    let outcome = |checked: &Value| -> Vec<bool> {
        checked["checks"].as_array().unwrap().iter().map(|check| check["ok"].as_bool().unwrap()).collect()
    };
    assert_eq!(outcome(&checked), [true, true, true, false, true]);
    let refused = shelf.refuses(5, "https://api.example.org", &["--plugin", "puppet", "whoami"]).await;
    assert!(refused.contains("aiida-firecrest plugin grant puppet"), "{refused}");
    // It traps, so it was run.
    shelf.refuses(13, "the plugin failed", &["--plugin", "puppet", "--grant", "whoami"]).await;
    shelf.refuses(5, "asks for", &["--plugin", "puppet", "whoami"]).await;
    let granted = shelf.run(&["plugin", "grant", "puppet"]).await;
    assert_eq!(text(&granted.stdout), "puppet is granted wasi:http, wasi:filesystem, https://api.example.org\n");
    assert_eq!(fs::metadata(shelf.grants()).unwrap().permissions().mode() & 0o777, 0o600);
    shelf.refuses(13, "the plugin failed", &["--plugin", "puppet", "whoami"]).await;
    let (code, checked) = shelf.json(&["plugin", "check", "puppet"]).await;
    assert_eq!((code, outcome(&checked)), (Some(0), vec![true; 5]));
    assert_eq!(shelf.run(&["plugin", "revoke", "puppet"]).await.status.code(), Some(0));
    shelf.refuses(5, "asks for", &["--plugin", "puppet", "whoami"]).await;
    shelf.refuses(3, "nothing was granted", &["plugin", "revoke", "puppet"]).await;
}

#[tokio::test]
async fn a_grant_holds_for_one_file_and_for_what_was_asked_then() {
    let shelf = Shelf::with("puppet", &component(), MANIFEST);
    shelf.run(&["plugin", "grant", "puppet"]).await;
    let more = format!("{MANIFEST}[[folders]]\npath = '/data/x'\naccess = 'write'\n");
    shelf.place("puppet.toml", more.as_bytes());
    let line =
        shelf.refuses(5, "more than it was granted: read and write /data/x", &["--plugin", "puppet", "whoami"]).await;
    assert!(!line.contains("api.example.org"), "{line}");
    shelf.place("puppet.toml", MANIFEST.as_bytes());
    shelf.refuses(13, "the plugin failed", &["--plugin", "puppet", "whoami"]).await;
    // Another file of that name: a custom section more.
    let mut changed = component();
    changed.extend([0, 3, 1, b'x', 0]);
    shelf.place("puppet.wasm", &changed);
    shelf.refuses(5, "https://api.example.org", &["--plugin", "puppet", "whoami"]).await;
}

#[tokio::test]
async fn grants_that_others_can_write_grant_nothing() {
    let shelf = Shelf::with("puppet", &component(), MANIFEST);
    shelf.run(&["plugin", "grant", "puppet"]).await;
    fs::set_permissions(shelf.grants(), fs::Permissions::from_mode(0o666)).unwrap();
    shelf.refuses(2, "others may write to it", &["--plugin", "puppet", "whoami"]).await;
    fs::set_permissions(shelf.grants(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(shelf.grants(), "{\"0\": {\"name\": \"x\"}}").unwrap();
    shelf.refuses(2, "plugin-grants.json", &["--plugin", "puppet", "whoami"]).await;
}

#[tokio::test]
async fn a_manifest_that_means_harm_is_named_with_its_key() {
    let huge = "#".repeat(10 << 20);
    for (manifest, words) in [
        ("name = 'puppet'\norigns = []\n", "origns: unknown field"),
        ("name = 'puppet'\n[[folders]]\npath = 'data'\naccess = 'read'\n", "folders.path: data is not absolute"),
        ("name = 'puppet'\n[[folders]]\npath = '/data/../etc'\naccess = 'read'\n", "'..'"),
        ("name = 'puppet'\norigins = ['https://a.b/path']\n", "an origin has no path"),
        ("name = 'puppet'\nwasi = ['sockets']\n", "sockets"),
        ("name = 'puppet'\n[limits]\nmemory-mib = -5\n", "memory-mib"),
        ("name = 'other'\n", "two plugins could have one name"),
        ("{\"name\": \"puppet\"}", "line 1"),
        (huge.as_str(), "larger than"),
    ] {
        let shelf = Shelf::with("puppet", &component(), manifest);
        let line = shelf.refuses(2, words, &["--plugin", "puppet", "--grant", "whoami"]).await;
        assert!(line.contains("puppet.toml"), "{line}");
        // The others are listed all the same.
        let (code, listed) = shelf.json(&["plugin", "list"]).await;
        assert_eq!((code, &listed["plugins"][0]["error"]["kind"]), (Some(0), &json!("manifest")));
    }
    assert!((huge.len() as u64) > MANIFEST_SIZE);
    let shelf = Shelf::with("puppet", &component(), "name = 'puppet'\n");
    shelf.refuses(2, "does not name wasi:http", &["plugin", "grant", "puppet"]).await;
    fs::remove_file(shelf.path("puppet.toml")).unwrap();
    shelf.refuses(2, "puppet.toml: is not there", &["--plugin", "puppet", "whoami"]).await;
    symlink("/dev/zero", shelf.path("puppet.toml")).unwrap();
    shelf.refuses(2, "not a regular file", &["--plugin", "puppet", "whoami"]).await;
}

#[tokio::test]
async fn limits_beyond_the_hosts_are_the_hosts() {
    let manifest = format!("{MANIFEST}[limits]\nmemory-mib = {0}\ndeadline-seconds = {0}\n", i64::MAX);
    let shelf = Shelf::with("puppet", &component(), &manifest);
    shelf.refuses(5, "4096 MiB of memory, 604800 s for a call", &["--plugin", "puppet", "whoami"]).await;
}

#[tokio::test]
async fn another_version_is_refused_with_what_to_do() {
    for (version, words) in [
        ("0.2.0", "update aiida-firecrest"),
        ("9.9.9", "update aiida-firecrest"),
        ("0.0.9", "the plugin is older than this host"),
    ] {
        let shelf = Shelf::with("puppet", &of_version(version), MANIFEST);
        let line = shelf.refuses(13, words, &["--plugin", "puppet", "--grant", "whoami"]).await;
        assert!(line.contains(version) && line.contains("0.1"), "{line}");
        let (_, seen) = shelf.json(&["plugin", "inspect", "puppet"]).await;
        assert_eq!(seen["contract"], version);
    }
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_before_it_is_compiled() {
    let whole = component();
    for (bytes, words) in [
        (&b"hello"[..], "no WebAssembly file"),
        (&b"\0asm\x01\0\0\0"[..], "core WebAssembly module"),
        (&whole[..whole.len() / 2], "no valid component"),
        (&[][..], "no WebAssembly file"),
    ] {
        let shelf = Shelf::with("puppet", bytes, MANIFEST);
        shelf.refuses(13, words, &["--plugin", "puppet", "--grant", "whoami"]).await;
        shelf.refuses(13, words, &["plugin", "check", "puppet"]).await;
    }
    let shelf = Shelf::with("puppet", &whole, MANIFEST);
    let file = fs::OpenOptions::new().write(true).open(shelf.path("puppet.wasm")).unwrap();
    file.set_len(PLUGIN_SIZE + 1).unwrap();
    shelf.refuses(13, "larger than 64 MiB", &["--plugin", "puppet", "--grant", "whoami"]).await;
    fs::remove_file(shelf.path("puppet.wasm")).unwrap();
    fs::create_dir(shelf.path("puppet.wasm")).unwrap();
    shelf.refuses(13, "not a regular file", &["--plugin", "puppet", "--grant", "whoami"]).await;
    shelf.refuses(3, "which has puppet", &["--plugin", "pupet", "whoami"]).await;
    shelf.refuses(3, "there is no plugin ..", &["--plugin", "..", "whoami"]).await;
}

/// A link to a plugin is that plugin: what counts are the bytes. One to a device is none.
#[tokio::test]
async fn a_link_is_what_it_points_to() {
    let shelf = Shelf::with("puppet", &component(), MANIFEST);
    fs::rename(shelf.path("puppet.wasm"), shelf.home.path().join("elsewhere")).unwrap();
    symlink(shelf.home.path().join("elsewhere"), shelf.path("puppet.wasm")).unwrap();
    shelf.run(&["plugin", "grant", "puppet"]).await;
    shelf.refuses(13, "the plugin failed", &["--plugin", "puppet", "whoami"]).await;
    for (target, code, words) in [("/dev/zero", 13, "not a regular file"), ("nowhere", 3, "no plugin puppet")] {
        fs::remove_file(shelf.path("puppet.wasm")).unwrap();
        symlink(target, shelf.path("puppet.wasm")).unwrap();
        shelf.refuses(code, words, &["--plugin", "puppet", "whoami"]).await;
    }
}

/// A file that is named as one needs no folder; its manifest is the one beside it.
#[tokio::test]
async fn a_file_is_a_plugin_too() {
    let shelf = Shelf::with("puppet", &component(), MANIFEST);
    let file = argument(&shelf.path("puppet.wasm"));
    shelf.refuses(5, "https://api.example.org", &["--plugin", &file, "whoami"]).await;
    fs::remove_file(shelf.path("puppet.toml")).unwrap();
    // Without one it asks for nothing: this command's own flags say what it may.
    shelf.refuses(13, "the plugin failed", &["--plugin", &file, "whoami"]).await;
    shelf.refuses(2, "has no manifest", &["plugin", "grant", &file]).await;
    let missing = shelf.home.path().join("none");
    let listed = shelf.run(&["--plugins", &argument(&missing), "plugin", "list"]).await;
    assert_eq!((listed.status.code(), text(&listed.stderr).as_str()), (Some(0), ""));
}
