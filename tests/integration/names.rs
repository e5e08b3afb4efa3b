//! Names that shells, forms and listings trip over.

use std::fs;

use aiida_firecrest_host::transport::{ListOptions, TransferOptions};
use aiida_firecrest_host::types::{ErrorKind, FileKind};
use aiida_firecrest_tests::{Rig, kind, names};
use sha2::{Digest, Sha256};

const LIST: ListOptions = ListOptions { recursive: false, hidden: true, pattern: None };

/// A file of that name goes to the cluster and back by way of every operation. The name is the local file's, then the remote one's.
async fn goes_round(name: &str) {
    goes_round_but_is_listed_as(name, name).await;
}

async fn goes_round_but_is_listed_as(name: &str, listed: &str) {
    let mut rig = Rig::open().await;
    let content = format!("content of {name}");
    let hash: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    let local = rig.local_file(name, content.as_bytes(), 0o644);
    let directory = rig.place_directory("d");
    let path = format!("{directory}/{name}");
    let s = &mut rig.session;

    s.put(&local, &format!("{directory}/"), &TransferOptions::default()).await.unwrap();
    assert_eq!(names(&directory), [name], "on the cluster's disk");
    let entries = s.list(&directory, &LIST).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), [listed]);
    assert_eq!((entries[0].kind, entries[0].size), (FileKind::Regular, content.len() as u64));
    assert!(s.exists(&path).await.unwrap());
    assert_eq!(s.stat(&path).await.unwrap().size, content.len() as u64);
    assert_eq!(s.read(&path, 0, None).await.unwrap(), content.as_bytes());
    assert_eq!(s.checksum(&path).await.unwrap(), hash);
    s.chmod(&path, 0o600).await.unwrap();
    let link = format!("{directory}-{name}");
    if link.rsplit('/').next().unwrap().len() <= 255 {
        s.symlink(&path, &link).await.unwrap();
        assert_eq!(s.read_link(&link).await.unwrap(), format!("{directory}/{listed}"));
        s.remove(&link, Some(FileKind::Symlink)).await.unwrap();
    }
    fs::remove_file(&local).unwrap();
    s.get(&path, rig.folder.path(), &TransferOptions { verify: Some(true), ..Default::default() }).await.unwrap();
    assert_eq!(fs::read(&local).unwrap(), content.as_bytes());
    assert_eq!(names(rig.folder.path()), [name], "on this machine's disk");
    s.write(&path, b"other", None).await.unwrap();
    s.write(&path, b"", None).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
    s.remove(&path, None).await.unwrap();
    s.mkdir(&path, false, false).await.unwrap();
    assert_eq!(s.list(&path, &LIST).await.unwrap().len(), 0);
    s.remove_tree(&path).await.unwrap();
    assert_eq!(names(&directory), [""; 0]);
}

macro_rules! names {
    ($($test:ident: $name:expr,)*) => {$(
        #[tokio::test]
        async fn $test() {
            goes_round($name).await;
        }
    )*};
}

names! {
    a_name_with_spaces: "  two  spaces.txt ",
    a_name_with_non_ascii_letters: "ünïcödé 日本語 🦀.txt",
    a_name_in_decomposed_unicode: "u\u{308}.txt",
    a_name_with_a_leading_dash: "-rf",
    a_name_with_two_leading_dashes: "--help",
    a_name_with_a_newline: "first\nsecond",
    a_name_that_ends_in_a_newline: "line\n",
    a_name_with_a_tab: "a\tb",
    a_name_with_control_characters: "bell\u{7} escape\u{1b}[31m delete\u{7f}",
    a_name_with_double_quotes: "say \"hi\"",
    a_name_with_a_backslash: "back\\slash",
    a_name_with_a_variable: "$HOME ${PATH}",
    a_name_with_a_command: "$(touch pwned) `touch pwned`",
    a_name_with_semicolons_and_pipes: "a; b | c & d > e < f",
    a_name_that_looks_percent_encoded: "100%20%2e%2e%2f%00 %",
    a_name_with_plus_and_equals: "a+b=c&d?e#f",
    a_name_with_html: "<b>&amp;<!--",
    a_name_with_glob_characters: "*?[a-z]{b,c}",
    a_name_with_an_arrow: "a -> b",
    a_name_of_dots: "...",
    a_name_with_a_leading_dot: ".hidden",
    a_name_with_a_tilde: "~root",
    a_name_of_255_bytes: &"x".repeat(255),
    a_name_of_255_bytes_of_two_byte_letters: &format!("{}x", "é".repeat(127)),
}

/// The server's listing takes the quoting of ls half off: a backslash before a letter that ls escapes with looks like that escape, and
/// two look like one (see `src/firecrest/v2/listing.rs`). Everything but the listing has the right name.
#[tokio::test]
async fn names_with_backslashes_are_right_everywhere_but_in_listings() {
    for (name, listed) in [
        ("C:\\temp", "C:\temp"),
        ("\\\\server\\share", "\\server\\share"),
        ("a\\\"b", "a\"b"),
        ("\\n\\303\\274 \\", "\nü \\"),
    ] {
        goes_round_but_is_listed_as(name, listed).await;
    }
}

/// The server would hand it to a shell unescaped.
#[tokio::test]
async fn a_single_quote_is_refused_before_anything_is_sent() {
    let mut rig = Rig::open().await;
    let (local, fine) = (rig.local_file("it's", b"1", 0o644), rig.place("fine", b"1"));
    let directory = format!("{}/", rig.simulator.home());
    for path in [rig.remote("it's"), rig.remote("'; touch pwned; '"), rig.remote("it's/deep")] {
        let ((), requests) = rig
            .count(async |s| {
                let refused = ErrorKind::InvalidArgument;
                assert_eq!(kind(s.stat(&path).await), refused);
                assert_eq!(kind(s.lstat(&path).await), refused);
                assert_eq!(kind(s.exists(&path).await), refused);
                assert_eq!(kind(s.list(&path, &LIST).await), refused);
                assert_eq!(kind(s.mkdir(&path, true, true).await), refused);
                assert_eq!(kind(s.remove(&path, None).await), refused);
                assert_eq!(kind(s.remove_tree(&path).await), refused);
                assert_eq!(kind(s.symlink(&fine, &path).await), refused);
                assert_eq!(kind(s.read_link(&path).await), refused);
                assert_eq!(kind(s.chmod(&path, 0o644).await), refused);
                assert_eq!(kind(s.chown(&path, Some(1), None).await), refused);
                assert_eq!(kind(s.checksum(&path).await), refused);
                assert_eq!(kind(s.read(&path, 0, None).await), refused);
                assert_eq!(kind(s.write(&path, b"1", None).await), refused);
                assert_eq!(kind(s.write(&path, b"", None).await), refused);
                assert_eq!(kind(s.put(&local, &path, &Default::default()).await), refused);
                // The name comes from the local file.
                assert_eq!(kind(s.put(&local, &directory, &Default::default()).await), refused);
                assert_eq!(kind(s.get(&path, &local, &Default::default()).await), refused);
            })
            .await;
        assert_eq!(requests, [""; 0], "{path}");
    }
    assert_eq!(names(rig.simulator.home()), ["fine"]);
}

#[tokio::test]
async fn nul_is_refused_before_anything_is_sent() {
    let mut rig = Rig::open().await;
    let path = rig.remote("a\0b");
    let ((), requests) = rig
        .count(async |s| {
            assert_eq!(kind(s.stat(&path).await), ErrorKind::InvalidArgument);
            assert_eq!(kind(s.write(&path, b"1", None).await), ErrorKind::InvalidArgument);
            assert_eq!(kind(s.symlink("/a\0b", "/home/x").await), ErrorKind::InvalidArgument);
        })
        .await;
    assert_eq!(requests, [""; 0]);
}

/// The header of a form cannot carry one; every other request can.
#[tokio::test]
async fn a_carriage_return_is_refused_by_uploads_only() {
    let mut rig = Rig::open().await;
    let path = rig.place("a\rb", b"12");
    assert_eq!(rig.session.stat(&path).await.unwrap().size, 2);
    assert_eq!(rig.session.read(&path, 0, None).await.unwrap(), b"12");
    let (result, requests) = rig.count(async |s| s.write(&path, b"new", None).await).await;
    assert_eq!((kind(result), requests.len()), (ErrorKind::InvalidArgument, 0));
    rig.session.remove(&path, Some(FileKind::Regular)).await.unwrap();
    assert_eq!(names(rig.simulator.home()), [""; 0]);
}

#[tokio::test]
async fn a_name_that_is_too_long_is_an_invalid_argument() {
    let mut rig = Rig::open().await;
    let path = rig.remote(&"x".repeat(256));
    assert_eq!(kind(rig.session.mkdir(&path, false, false).await), ErrorKind::InvalidArgument);
    let deep = format!("{}{}", rig.simulator.home(), "/x".repeat(2100));
    let (result, requests) = rig.count(async |s| s.stat(&deep).await).await;
    assert_eq!((kind(result), requests.len()), (ErrorKind::InvalidArgument, 0));
}
