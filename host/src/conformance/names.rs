//! Names that shells, forms and listings trip over. Each goes through every operation, or is refused before anything is sent.

use super::bench::{Bench, local_content};
use super::judge::{Judge, Outcome, holds, same};
use super::{Behaviour, Pace};
use crate::transport::{ListOptions, TransferOptions};
use crate::types::{ErrorKind, FileKind};

/// A behaviour for one name.
macro_rules! name {
    ($id:ident, $name:expr, $promise:literal) => {
        Behaviour {
            operation: "names",
            name: stringify!($id),
            promise: $promise,
            pace: Pace::Prompt,
            run: |bench| Box::pin(goes_round(bench, $name)),
        }
    };
}

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    name!(with_spaces, "  two  spaces.txt ", "A name with spaces at its ends is carried everywhere, or refused"),
    name!(with_a_single_quote, "it's", "A name with a single quote is carried everywhere, or refused"),
    name!(with_double_quotes, "say \"hi\"", "A name with double quotes is carried everywhere, or refused"),
    name!(with_a_newline, "first\nsecond", "A name with a newline is carried everywhere, or refused"),
    name!(ending_in_a_newline, "line\n", "A name that ends in a newline is carried everywhere, or refused"),
    name!(with_a_carriage_return, "a\rb", "A name with a carriage return is carried everywhere, or refused"),
    name!(with_a_tab, "a\tb", "A name with a tab is carried everywhere, or refused"),
    name!(
        with_control_characters,
        "bell\u{7} escape\u{1b}[31m delete\u{7f}",
        "A name with control characters is carried everywhere, or refused"
    ),
    name!(with_a_variable, "$HOME ${PATH}", "A name with a shell variable is carried everywhere, or refused"),
    name!(
        with_a_command,
        "$(touch pwned) `touch pwned`",
        "A name with shell commands is carried everywhere, or refused, and runs nothing"
    ),
    name!(
        with_a_quoted_command,
        "'; touch pwned; '",
        "A name that would end a quoted word is carried everywhere, or refused, and runs nothing"
    ),
    name!(
        with_shell_operators,
        "a; b | c & d > e < f",
        "A name with shell operators is carried everywhere, or refused"
    ),
    name!(with_a_leading_dash, "-rf", "A name with a leading dash is no option"),
    name!(with_two_leading_dashes, "--help", "A name with two leading dashes is no option"),
    name!(with_percent_signs, "100%20%2e%2e%2f%00 %", "A name that looks percent-encoded is taken as it is"),
    name!(of_a_query, "a+b=c&d?e#f", "A name with a URL's special characters is taken as it is"),
    name!(of_markup, "<b>&amp;<!--", "A name with markup is taken as it is"),
    name!(of_a_pattern, "*?[a-z]{b,c}", "A name with a pattern's characters names itself alone"),
    name!(with_an_arrow, "a -> b", "A name like a symlink in a listing is taken as it is"),
    name!(with_a_backslash, "back\\slash", "A name with a backslash is carried everywhere, or refused"),
    name!(of_dots, "...", "A name of three dots is a name"),
    name!(with_a_leading_dot, ".hidden", "A hidden name is a name"),
    name!(with_a_tilde, "~root", "A name with a tilde is nobody's home"),
    name!(in_unicode, "ünïcödé 日本語 🦀.txt", "A name in Unicode is carried everywhere"),
    name!(in_decomposed_unicode, "u\u{308}.txt", "A name in decomposed Unicode is not composed"),
    name!(
        of_255_bytes,
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "A name of 255 bytes is carried everywhere"
    ),
    Behaviour {
        operation: "names",
        name: "that_are_too_long",
        promise: "A name of 256 bytes is invalid-argument",
        pace: Pace::Prompt,
        run: |bench| Box::pin(too_long(bench)),
    },
    Behaviour {
        operation: "names",
        name: "of_directories_on_the_way",
        promise: "Odd names of directories on the way are carried, too",
        pace: Pace::Prompt,
        run: |bench| Box::pin(on_the_way(bench)),
    },
];

const ALL: ListOptions = ListOptions { recursive: false, hidden: true, pattern: None };

/// A file of that name goes to the cluster and back by way of every operation.
async fn goes_round(b: &mut Bench, name: &str) -> Outcome {
    let (directory, content) = (b.directory("d").await?, format!("content of {name}").into_bytes());
    let path = format!("{directory}/{name}");
    let local = b.local_file("content", &content)?;
    let before = b.sent();
    let put = b.session.put(&local, &path, &TransferOptions::default()).await;
    if put.as_ref().is_err_and(|error| error.plugin_kind() == Some(ErrorKind::InvalidArgument)) {
        b.silent("a put that is refused", before)?;
        return refused_everywhere(b, &directory, &path).await;
    }
    put.done(format!("put to {path:?}"))?;
    let entries = b.session.list(&directory, &ALL).await.done(format!("list of {directory}"))?;
    let listed: Vec<(&str, FileKind, u64)> =
        entries.iter().map(|one| (one.path.as_str(), one.kind, one.size)).collect();
    same(format!("list of {directory}"), listed, vec![(name, FileKind::Regular, content.len() as u64)])?;
    same(format!("exists of {path:?}"), b.session.exists(&path).await.done(format!("exists of {path:?}"))?, true)?;
    b.content(&path, &content).await?;
    let sum = b.session.checksum(&path).await.done(format!("checksum of {path:?}"))?;
    same(format!("the checksum of {path:?}"), sum, super::bytes::sha256(&content))?;
    b.session.chmod(&path, 0o600).await.done(format!("chmod of {path:?}"))?;
    b.mode(&path, 0o600).await?;
    let link = b.remote("link");
    let mut target = path.clone();
    let mut made = b.session.symlink(&target, &link).await;
    if made.as_ref().is_err_and(|error| error.plugin_kind() == Some(ErrorKind::Unsupported)) {
        // A sandbox may make no symlink with an absolute target; it is the name that matters here.
        target = format!("d/{name}");
        made = b.session.symlink(&target, &link).await;
    }
    made.done(format!("symlink {link} to {target:?}"))?;
    let told = b.session.read_link(&link).await.done(format!("read-link of {link}"))?;
    same(format!("read-link of {link}"), told, target)?;
    let back = b.local_folder("back")?;
    b.session.get(&path, &back, &TransferOptions::default()).await.done(format!("get of {path:?}"))?;
    local_content(&back.join(name), &content)?;
    for content in [b"other".as_slice(), b""] {
        b.session.write(&path, content, None).await.done(format!("write to {path:?}"))?;
        b.content(&path, content).await?;
    }
    b.session.remove(&path, None).await.done(format!("remove of {path:?}"))?;
    b.session.mkdir(&path, false, false).await.done(format!("mkdir of {path:?}"))?;
    b.names(&path, &[]).await?;
    b.session.remove_tree(&path).await.done(format!("remove-tree of {path:?}"))?;
    b.names(&directory, &[]).await
}

/// An operation may carry a name that another one cannot; what refuses it sends nothing, and nothing else comes of it.
async fn refused_everywhere(b: &mut Bench, directory: &str, path: &str) -> Outcome {
    for operation in ["write", "write of nothing", "stat", "exists", "chmod", "mkdir", "remove-tree"] {
        let (before, session) = (b.sent(), &mut b.session);
        let result = match operation {
            "write" => session.write(path, b"1", None).await,
            "write of nothing" => session.write(path, b"", None).await,
            "stat" => session.stat(path).await.map(drop),
            "exists" => session.exists(path).await.map(drop),
            "chmod" => session.chmod(path, 0o600).await,
            "mkdir" => session.mkdir(path, false, true).await,
            _ => session.remove_tree(path).await,
        };
        if result.is_err_and(|error| error.plugin_kind() == Some(ErrorKind::InvalidArgument)) {
            b.silent(&format!("{operation} of {path:?}, which is refused"), before)?;
        }
    }
    b.names(directory, &[]).await
}

async fn too_long(b: &mut Bench) -> Outcome {
    let path = b.remote(&"x".repeat(256));
    let refused = [ErrorKind::InvalidArgument];
    b.session.mkdir(&path, false, false).await.refused("mkdir of a name of 256 bytes", &refused)?;
    b.session.write(&path, b"1", None).await.refused("write to a name of 256 bytes", &refused).map(drop)
}

async fn on_the_way(b: &mut Bench) -> Outcome {
    let path = b.remote("a b/-c/ü \"d\"/$HOME/x\ny");
    b.session.mkdir(&path, true, true).await.done(format!("mkdir of {path:?}"))?;
    let file = format!("{path}/file");
    b.session.write(&file, b"1", None).await.done(format!("write to {file:?}"))?;
    b.content(&file, b"1").await?;
    let options = ListOptions { recursive: true, hidden: false, pattern: Some("file".into()) };
    let folder = b.folder();
    let found = b.session.list(&folder, &options).await.done(format!("recursive list of {folder}"))?;
    holds("the one file", found.len() == 1, "one entry", &found)?;
    same("its path", format!("{folder}/{}", found[0].path), file)
}
