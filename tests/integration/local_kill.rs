//! The plugin in Python in a process that is killed in the middle, and the next session, which tidies up after it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aiida_firecrest_tests::{eventually, in_time, names};
use tempfile::TempDir;

use crate::desk::{argument, finished, text};
use crate::local::{Local, PLUGIN, WASM};
use crate::programs;

/// Nobody's: no session of these tests has this mark.
const OTHERS: &str = ".fedcba9876543210-00000000.part";

/// A cluster and a place beside it, and what remembers sessions.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Place {
        let root = tempfile::tempdir().unwrap();
        for name in ["cluster/run", "here/tree/sub"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        Place { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = programs::client();
        let folder = format!("folder={}", argument(&self.path("cluster")));
        command.env("XDG_STATE_HOME", self.path("state")).arg("--plugin").arg(&*WASM);
        command.args(["--grant", "--set", &folder]).args(arguments).current_dir(self.path("here"));
        command
    }

    async fn ok(&self, arguments: &[&str]) {
        let output = programs::run(self.command(arguments)).await;
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }

    /// Everything with a passing name, but for another's.
    fn parts(&self) -> Vec<PathBuf> {
        let mut open = vec![self.path("cluster"), self.path("here")];
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if name.ends_with(".part") && name != OTHERS {
                found.push(path);
            }
        }
        found
    }

    fn sessions(&self) -> usize {
        fs::read_dir(self.path("state/aiida-firecrest/sessions")).map_or(0, Iterator::count)
    }
}

/// So large that it is not done before it is killed, and without a block on the disk.
fn large(path: &Path) {
    fs::File::create(path).unwrap().set_len(4 << 30).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_call_leaves_the_old_target_and_the_next_session_tidies() {
    // Compiled by now, so that no command waits for that.
    assert!(PLUGIN.inspection().size > 0);
    // The call, its large source, its target, and where the part of it lies.
    for (arguments, source, target, around) in [
        (&["put", "big", "/run/target"][..], "here/big", "cluster/run/target", "cluster/run"),
        (&["put", "-r", "tree", "/run"], "here/tree/sub/target", "cluster/run/tree/sub/target", "cluster/run/tree/sub"),
        (&["get", "/run/big", "target"], "cluster/run/big", "here/target", "here"),
        (&["cp", "/run/big", "/target"], "cluster/run/big", "cluster/target", "cluster"),
    ] {
        let place = Place::new();
        let (source, target) = (place.path(source), place.path(target));
        large(&source);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(&target, "old").unwrap();
        let others = place.path(around).join(OTHERS);
        fs::write(&others, "another's").unwrap();
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = || place.parts().iter().any(|part| fs::metadata(part).is_ok_and(|part| part.len() > 0));
        eventually("the middle of a transfer", begun).await;
        child.kill().unwrap();
        let killed = in_time("its end", finished(child)).await;
        assert_eq!(killed.status.code(), None, "{arguments:?}: {}", text(&killed.stderr));
        let parts = place.parts();
        assert_eq!((parts.len(), place.sessions()), (1, 1), "{arguments:?}: {parts:?}");
        assert_eq!(parts[0].parent().unwrap(), place.path(around), "{arguments:?}");
        assert_eq!(fs::read(&target).unwrap(), b"old", "{arguments:?}");

        place.ok(&["ls", "/"]).await;
        assert_eq!((place.parts(), place.sessions()), (Vec::new(), 0), "{arguments:?}");
        assert_eq!(fs::read(&target).unwrap(), b"old", "{arguments:?}");
        assert_eq!(fs::read(&others).unwrap(), b"another's", "{arguments:?}");

        fs::write(&source, "new").unwrap();
        place.ok(arguments).await;
        assert_eq!(fs::read(&target).unwrap(), b"new", "{arguments:?}");
        assert_eq!((place.parts(), place.sessions()), (Vec::new(), 0), "{arguments:?}");
    }
}

#[tokio::test]
async fn tidy_takes_what_has_the_mark_around_a_place_and_below_it() {
    let mut local = Local::open().await;
    let mine = "0123456789abcdef";
    fs::create_dir_all(local.cluster("run/tree/sub")).unwrap();
    fs::create_dir_all(local.cluster("run/beside")).unwrap();
    symlink("../beside", local.cluster("run/tree/link")).unwrap();
    let gone =
        ["run/.0123456789abcdef-1.part", "run/tree/.0123456789abcdef-2.part", "run/tree/sub/.0123456789abcdef-3.part"];
    // Neither around the place nor below it; below a link; another's; and names that are nobody's marks.
    let kept = [
        ".0123456789abcdef-4.part",
        "run/beside/.0123456789abcdef-5.part",
        "run/tree/.fedcba9876543210-6.part",
        "run/tree/0123456789abcdef-7.part",
        "run/tree/.0123456789abcdef-8",
        "run/tree/.0123456789abcdefg-9.part",
    ];
    for name in gone.iter().chain(&kept) {
        fs::write(local.cluster(name), "x").unwrap();
    }
    let places = ["/run/tree".to_owned(), "/run/never/made".to_owned()];
    assert_eq!(local.session.tidy(mine, &places).await.unwrap(), 3);
    assert_eq!(local.session.tidy(mine, &places).await.unwrap(), 0);
    for name in gone {
        assert!(!local.cluster(name).exists(), "{name}");
    }
    for name in kept {
        assert!(local.cluster(name).exists(), "{name}");
    }
    assert_eq!(names(local.cluster("run/tree/sub")), [""; 0]);
}

/// What is drawn while the component is built would be every session's.
#[tokio::test]
async fn each_session_has_a_mark_of_its_own() {
    let (mut one, mut two) = (Local::open().await, Local::open().await);
    let (first, second) = (one.session.mark().await.unwrap(), two.session.mark().await.unwrap());
    assert_ne!(first, second);
    assert_eq!(one.session.mark().await.unwrap(), first);
}
