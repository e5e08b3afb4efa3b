//! `sync`: put or get only what differs between two folders.
//!
//! One recursive listing tells what is on the cluster, a walk what is here; [`plan`] says what to do. To find out costs
//! a request for the folder itself, one for the listing, one for the cluster's time zone where times matter, and one for each
//! checksum that has to be compared.
//!
//! **To the cluster** everything goes in one `put`: of a folder of hard links, so that no byte is copied here and the plugin sees nothing
//! but what is to be moved. Where hard links cannot be had (another file system), files go one by one.
//!
//! **From the cluster** a folder that lacks most of its files comes as one `get` of the whole, beside its place, and what is needed is
//! moved into place; single files come as such, a few at once, in sessions that share a token.
//!
//! **Never outside.** A name of the server that is absolute, climbs, or lies below something that is no directory ends the command before
//! anything is changed. Here, a directory on the way is never taken through a symlink, and the plugin may write below LOCAL alone.

mod apply;
mod crew;
mod local;
mod plan;
mod remote;

use crate::args;
use crate::context::{Context, absolute};
use crate::output::{Failure, bytes, shown};
use aiida_firecrest_host::{Error, types};
use apply::Done;
use crew::Crew;
use plan::{Kind, Plan, Tree, Verdict};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Both ends, found out.
struct Ends {
    local: PathBuf,
    remote: String,
    here: Tree,
    there: Tree,
    /// REMOTE is not there yet.
    remote_missing: bool,
    /// What to add to a listing's time to have Unix time.
    zone: Option<i64>,
}

pub(crate) async fn sync(context: &Context, arguments: &args::Sync) -> Result<(), Failure> {
    let local = local_root(&arguments.local, arguments.pull)?;
    let remote = remote_root(&arguments.remote)?;
    let here = if local.exists() { local::scan(&local)? } else { Tree::new() };
    let mut crew = Crew::open(context).await?;
    let found = remote::scan(&mut crew.first, &remote).await?;
    if found.is_none() && arguments.pull {
        return Err(Failure::found(types::ErrorKind::NotFound, &remote, "no such directory"));
    }
    let remote_missing = found.is_none();
    let (mut there, civil) = found.unwrap_or_default();
    let zone = remote::set_times(&mut crew.first, &remote, &here, &mut there, &civil, arguments.pull).await?;
    let ends = Ends { local, remote, here, there, remote_missing, zone };

    let (source, target) = if arguments.pull { (&ends.there, &ends.here) } else { (&ends.here, &ends.there) };
    let mut plan = Plan::new(source, target, arguments.delete).map_err(|path| {
        Failure::found(
            types::ErrorKind::NotEmpty,
            &path,
            "a directory is in the way of something else: --delete removes it",
        )
    })?;
    let compared = compare(&mut crew, &ends, source, target, &mut plan, arguments.checksum).await?;
    let done = match (arguments.dry_run, arguments.pull) {
        (true, _) => Done::default(),
        (false, false) => apply::push(context, &mut crew, &ends, &plan).await?,
        (false, true) => apply::pull(context, &mut crew, &ends, &plan).await?,
    };
    report(context, arguments, source, &plan, compared, &done)
}

fn local_root(path: &Path, pull: bool) -> Result<PathBuf, Failure> {
    let path = absolute(path)?;
    match path.canonicalize() {
        Ok(real) if real.is_dir() => Ok(real),
        Ok(real) => Err(Error::io(real, std::io::ErrorKind::NotADirectory.into()).into()),
        // It will be made; what is around it has to be there.
        Err(error) if pull && error.kind() == std::io::ErrorKind::NotFound => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(Error::io(path, error).into());
            };
            Ok(parent.canonicalize().map_err(|error| Error::io(parent, error))?.join(name))
        }
        Err(error) => Err(Error::io(path, error).into()),
    }
}

/// Without a slash at its end, and with a name of its own.
fn remote_root(path: &str) -> Result<String, Failure> {
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if !path.starts_with('/') || names.is_empty() || names.contains(&"..") {
        return Err(Failure::usage(path, "an absolute path without .. is needed, below /"));
    }
    Ok(format!("/{}", names.join("/")))
}

/// Files of one size whose times differ: their checksums decide. Returns how many were compared.
async fn compare(
    crew: &mut Crew,
    ends: &Ends,
    source: &Tree,
    target: &Tree,
    plan: &mut Plan,
    checksum: bool,
) -> Result<usize, Failure> {
    let mut unsure = Vec::new();
    for path in std::mem::take(&mut plan.both) {
        match plan::verdict(&source[&path], &target[&path], checksum) {
            Verdict::Same => plan.same(&path, &source[&path], &target[&path]),
            Verdict::Differs(reason) => plan.copy(path, reason),
            Verdict::Unsure => unsure.push(path),
        }
    }
    let compared = unsure.len();
    for (path, theirs) in crew.checksums(&ends.remote, unsure).await? {
        // One that the server cannot hash is moved: nothing else proves that it is the same.
        let (same, reason) = match theirs {
            Some(theirs) => (local::checksum(&ends.local.join(&path))? == theirs, "checksum"),
            None => (false, "no checksum"),
        };
        if same {
            plan.same(&path, &source[&path], &target[&path]);
        } else {
            plan.copy(path, reason);
        }
    }
    Ok(compared)
}

fn report(
    context: &Context,
    arguments: &args::Sync,
    source: &Tree,
    plan: &Plan,
    compared: usize,
    done: &Done,
) -> Result<(), Failure> {
    let total: u64 = plan.copies.keys().map(|path| source[path].size()).sum();
    let verb = if arguments.pull { "get" } else { "put" };
    let document = || {
        json!({
            "direction": verb, "dry_run": arguments.dry_run,
            "copied": plan.copies.iter().map(|(path, reason)| json!({"path": path, "reason": reason, "size": source[path].size()})).collect::<Vec<_>>(),
            "directories": plan.directories, "removed": plan.removals, "replaced": plan.displaced,
            "permissions": plan.modes.keys().collect::<Vec<_>>(), "extra": plan.extras, "skipped": plan.skipped,
            "unchanged": plan.unchanged, "compared_by_checksum": compared, "bytes": total,
            "transfers": done.transfers,
        })
    };
    let lines = || {
        let mut lines = Vec::new();
        let mut line = |verb: &str, path: &str, remark: &str| lines.push(format!("{verb:<7} {}{remark}", shown(path)));
        for path in plan.displaced.iter().chain(&plan.removals) {
            line("remove", path, "");
        }
        for path in &plan.directories {
            line("mkdir", path, "");
        }
        for (path, reason) in &plan.copies {
            let what = match &source[path].kind {
                Kind::Link(target) => format!(" -> {} ({reason})", shown(target)),
                _ => format!(" ({reason}, {})", bytes(source[path].size())),
            };
            line(verb, path, &what);
        }
        for (path, mode) in &plan.modes {
            line("chmod", path, &format!(" ({mode:03o})"));
        }
        for path in &plan.skipped {
            line("skip", path, " (no file, directory or symlink, or a name that is not UTF-8)");
        }
        let mut last = format!(
            "{}{} copied, {}; {} unchanged",
            if arguments.dry_run { "nothing is done; would be: " } else { "" },
            plan.copies.len(),
            bytes(total),
            plan.unchanged
        );
        for (number, what) in [
            (compared, "compared by checksum"),
            (plan.removals.len(), "removed"),
            (plan.extras.len(), "not in the source (--delete removes them)"),
        ] {
            if number > 0 {
                last += &format!(", {number} {what}");
            }
        }
        lines.push(last);
        lines.join("\n")
    };
    let document: &dyn Fn() -> Value = &document;
    context.output.answer(document, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_folder_has_a_name_of_its_own() {
        assert_eq!(remote_root("/a//b/./").unwrap(), "/a/b");
        for path in ["a/b", "/", "/.", "/a/../b", ""] {
            assert!(remote_root(path).is_err(), "{path}");
        }
    }
}
