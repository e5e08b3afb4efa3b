//! Changing what is there: `mkdir`, `remove`, `remove-tree`, `symlink`, `read-link`, `chmod`, `chown`.

use super::bench::Bench;
use super::judge::{Judge, Outcome, same};
use super::{Behaviour, behaviour};
use crate::types::{ErrorKind, FileKind};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("mkdir", makes_a_directory, "A directory is made, with every pair of flags"),
    behaviour!("mkdir", makes_parents_only_when_asked, "A missing parent is not-found, and made with the flag parents"),
    behaviour!(
        "mkdir",
        accepts_a_directory_only_when_asked,
        "A directory that is there is already-exists, and no error with the flag exist-ok"
    ),
    behaviour!(
        "mkdir",
        never_replaces_a_file,
        "A file in the way is already-exists with every pair of flags, and stays"
    ),
    behaviour!("mkdir", below_a_file_is_not_a_directory, "A directory below a file is not-a-directory"),
    behaviour!(
        "mkdir",
        in_a_closed_directory_is_denied,
        "A directory in one that may not be written to is permission-denied"
    ),
    behaviour!("remove", takes_a_file, "A file is removed, its kind told or not"),
    behaviour!("remove", takes_a_link_and_leaves_its_target, "A symlink is removed, what it points to stays"),
    behaviour!("remove", takes_an_empty_directory, "An empty directory is removed"),
    behaviour!(
        "remove",
        of_a_directory_with_entries_is_not_empty,
        "A directory with entries is not-empty, with a hidden one too, and stays"
    ),
    behaviour!(
        "remove",
        of_a_missing_path_is_not_found,
        "Removing what is not there is not-found, its kind told or not"
    ),
    behaviour!(
        "remove-tree",
        takes_everything_and_follows_no_link,
        "A tree is removed with all in it, what its symlinks point to stays"
    ),
    behaviour!("remove-tree", takes_a_single_file, "A single file is removed"),
    behaviour!(
        "remove-tree",
        of_a_link_takes_the_link,
        "Of a symlink to a directory the link is removed, the directory stays"
    ),
    behaviour!("remove-tree", of_a_missing_path_is_not_found_either, "Removing a tree that is not there is not-found"),
    behaviour!("remove-tree", of_no_path_is_refused, "An empty path is refused before anything is sent"),
    behaviour!(
        "symlink",
        points_where_it_was_told_to,
        "A symlink keeps its target as it was written: relative, missing"
    ),
    behaviour!("symlink", keeps_an_absolute_target, "A symlink keeps an absolute target, and leads there"),
    behaviour!(
        "symlink",
        over_something_is_already_exists,
        "Something at the link's path is already-exists, and stays"
    ),
    behaviour!(
        "symlink",
        is_not_made_inside_a_directory_of_its_name,
        "A directory at the link's path is already-exists, and nothing is made in it"
    ),
    behaviour!("symlink", in_a_missing_directory_is_not_found, "A symlink in a missing directory is not-found"),
    behaviour!("read-link", of_something_else_is_refused, "Where a file or a directory points is invalid-argument"),
    behaviour!("read-link", of_a_missing_path_is_not_found_too, "Where a missing path points is not-found"),
    behaviour!(
        "read-link",
        of_a_link_to_a_link_is_the_first_step,
        "Of a symlink to a symlink the first target is told"
    ),
    behaviour!("chmod", sets_permission_bits, "The nine permission bits are set as they are given"),
    behaviour!("chmod", sets_all_permission_bits, "Set-uid, set-gid and sticky bits are set, too"),
    behaviour!("chmod", follows_a_symlink, "Through a symlink the bits of its target are set"),
    behaviour!("chmod", of_other_bits_is_refused, "More than 0o7777 is invalid-argument before anything is sent"),
    behaviour!("chmod", of_a_missing_path_is_not_found_as_well, "The bits of a missing path are not-found"),
    behaviour!("chown", to_nobody_changes_nothing, "Neither owner nor group: nothing is changed"),
    behaviour!("chown", to_myself_is_allowed, "A file may be given to the user who has it"),
    behaviour!("chown", to_root_is_denied, "A file given to root is permission-denied"),
];

const FLAGS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

async fn makes_a_directory(b: &mut Bench) -> Outcome {
    for (parents, exist_ok) in FLAGS {
        let path = b.remote(&format!("d-{parents}-{exist_ok}"));
        b.session.mkdir(&path, parents, exist_ok).await.done(format!("mkdir of {path}"))?;
        b.names(&path, &[]).await?;
    }
    Ok(())
}

async fn makes_parents_only_when_asked(b: &mut Bench) -> Outcome {
    for exist_ok in [false, true] {
        let path = b.remote(&format!("{exist_ok}/b/c"));
        let did = format!("mkdir of {path} without parents");
        b.session.mkdir(&path, false, exist_ok).await.refused(did, &[ErrorKind::NotFound])?;
        b.gone(&b.remote(&exist_ok.to_string())).await?;
        b.session.mkdir(&path, true, exist_ok).await.done(format!("mkdir of {path} with parents"))?;
        b.there(&path).await?;
    }
    Ok(())
}

async fn accepts_a_directory_only_when_asked(b: &mut Bench) -> Outcome {
    let path = b.directory("d").await?;
    b.file("d/kept", b"1").await?;
    for (parents, exist_ok) in FLAGS {
        let did = format!("mkdir of {path}, which is there, parents {parents}, exist-ok {exist_ok}");
        let made = b.session.mkdir(&path, parents, exist_ok).await;
        if exist_ok {
            made.done(did)?;
        } else {
            made.refused(did, &[ErrorKind::AlreadyExists])?;
        }
    }
    b.names(&path, &["kept"]).await
}

async fn never_replaces_a_file(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    for (parents, exist_ok) in FLAGS {
        let did = format!("mkdir of {path}, a file, parents {parents}, exist-ok {exist_ok}");
        b.session.mkdir(&path, parents, exist_ok).await.refused(did, &[ErrorKind::AlreadyExists])?;
    }
    b.content(&path, b"1").await
}

async fn below_a_file_is_not_a_directory(b: &mut Bench) -> Outcome {
    let path = format!("{}/d", b.file("file", b"1").await?);
    for (parents, exist_ok) in FLAGS {
        let did = format!("mkdir of {path}, parents {parents}, exist-ok {exist_ok}");
        b.session.mkdir(&path, parents, exist_ok).await.refused(did, &[ErrorKind::NotADirectory])?;
    }
    Ok(())
}

async fn in_a_closed_directory_is_denied(b: &mut Bench) -> Outcome {
    let directory = b.directory("closed").await?;
    b.close(&directory).await?;
    let (path, denied) = (format!("{directory}/new"), [ErrorKind::PermissionDenied]);
    b.session.mkdir(&path, false, false).await.refused(format!("mkdir of {path}"), &denied)?;
    b.session.write(&path, b"1", None).await.refused(format!("write to {path}"), &denied)?;
    b.session.symlink("x", &path).await.refused(format!("symlink at {path}"), &denied).map(drop)
}

async fn takes_a_file(b: &mut Bench) -> Outcome {
    for kind in [None, Some(FileKind::Regular)] {
        let path = b.file("file", b"1").await?;
        b.session.remove(&path, kind).await.done(format!("remove of {path}, kind {kind:?}"))?;
        b.gone(&path).await?;
    }
    Ok(())
}

async fn takes_a_link_and_leaves_its_target(b: &mut Bench) -> Outcome {
    b.directory("d").await?;
    let inside = b.file("d/file", b"1").await?;
    for (target, kind) in [("d", None), ("d", Some(FileKind::Symlink)), ("nowhere", None)] {
        let path = b.link(target, "link").await?;
        b.session.remove(&path, kind).await.done(format!("remove of {path}, a link to {target}, kind {kind:?}"))?;
        b.gone(&path).await?;
    }
    b.content(&inside, b"1").await
}

async fn takes_an_empty_directory(b: &mut Bench) -> Outcome {
    for kind in [None, Some(FileKind::Directory)] {
        let path = b.directory("d").await?;
        b.session.remove(&path, kind).await.done(format!("remove of {path}, kind {kind:?}"))?;
        b.gone(&path).await?;
    }
    Ok(())
}

async fn of_a_directory_with_entries_is_not_empty(b: &mut Bench) -> Outcome {
    for name in ["file", ".hidden"] {
        let path = b.directory(&format!("d-{name}")).await?;
        b.file(&format!("d-{name}/{name}"), b"1").await?;
        for kind in [None, Some(FileKind::Directory)] {
            let did = format!("remove of {path}, kind {kind:?}, which holds {name}");
            b.session.remove(&path, kind).await.refused(did, &[ErrorKind::NotEmpty])?;
        }
        b.names(&path, &[name]).await?;
    }
    Ok(())
}

async fn of_a_missing_path_is_not_found(b: &mut Bench) -> Outcome {
    let path = b.remote("missing");
    for kind in [None, Some(FileKind::Regular), Some(FileKind::Directory), Some(FileKind::Symlink)] {
        let did = format!("remove of {path}, kind {kind:?}");
        b.session.remove(&path, kind).await.refused(did, &[ErrorKind::NotFound])?;
    }
    Ok(())
}

async fn takes_everything_and_follows_no_link(b: &mut Bench) -> Outcome {
    let tree = b.directory("tree").await?;
    b.directory("kept").await?;
    let kept = b.file("kept/file", b"1").await?;
    b.directory("tree/sub").await?;
    b.file("tree/sub/.hidden", b"1").await?;
    b.link("../kept", "tree/link").await?;
    b.session.remove_tree(&tree).await.done(format!("remove-tree of {tree}"))?;
    b.gone(&tree).await?;
    b.content(&kept, b"1").await
}

async fn takes_a_single_file(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    b.session.remove_tree(&path).await.done(format!("remove-tree of {path}"))?;
    b.gone(&path).await
}

async fn of_a_link_takes_the_link(b: &mut Bench) -> Outcome {
    b.directory("d").await?;
    let inside = b.file("d/file", b"1").await?;
    let path = b.link("d", "link").await?;
    b.session.remove_tree(&path).await.done(format!("remove-tree of {path}"))?;
    b.gone(&path).await?;
    b.content(&inside, b"1").await
}

async fn of_a_missing_path_is_not_found_either(b: &mut Bench) -> Outcome {
    let path = b.remote("missing");
    b.session.remove_tree(&path).await.refused(format!("remove-tree of {path}"), &[ErrorKind::NotFound]).map(drop)
}

async fn of_no_path_is_refused(b: &mut Bench) -> Outcome {
    let before = b.sent();
    b.session.remove_tree("").await.refused("remove-tree of \"\"", &[ErrorKind::InvalidArgument])?;
    b.silent("remove-tree of \"\"", before)
}

async fn points_where_it_was_told_to(b: &mut Bench) -> Outcome {
    b.file("file", b"1").await?;
    for (name, target) in [("relative", "./file"), ("missing", "no where/at all")] {
        let path = b.link(target, name).await?;
        let told = b.session.read_link(&path).await.done(format!("read-link of {path}"))?;
        same(format!("read-link of {path}"), told.as_str(), target)?;
    }
    let path = b.remote("relative");
    b.content(&path, b"1").await
}

async fn keeps_an_absolute_target(b: &mut Bench) -> Outcome {
    let file = b.file("file", b"1").await?;
    let path = b.link(&file, "absolute").await?;
    let told = b.session.read_link(&path).await.done(format!("read-link of {path}"))?;
    same(format!("read-link of {path}"), told.as_str(), file.as_str())?;
    b.content(&path, b"1").await
}

async fn over_something_is_already_exists(b: &mut Bench) -> Outcome {
    let file = b.file("file", b"1").await?;
    let link = b.link("file", "link").await?;
    let dangling = b.link("nowhere", "dangling").await?;
    for path in [&file, &link, &dangling] {
        let did = format!("symlink at {path}, where something is");
        b.session.symlink("elsewhere", path).await.refused(did, &[ErrorKind::AlreadyExists])?;
    }
    b.content(&link, b"1").await
}

async fn is_not_made_inside_a_directory_of_its_name(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    let did = format!("symlink at {directory}, a directory");
    b.session.symlink("elsewhere", &directory).await.refused(did, &[ErrorKind::AlreadyExists])?;
    b.names(&directory, &[]).await
}

async fn in_a_missing_directory_is_not_found(b: &mut Bench) -> Outcome {
    let path = b.remote("missing/link");
    b.session.symlink("x", &path).await.refused(format!("symlink at {path}"), &[ErrorKind::NotFound]).map(drop)
}

async fn of_something_else_is_refused(b: &mut Bench) -> Outcome {
    let file = b.file("file", b"1").await?;
    let directory = b.directory("d").await?;
    b.link("x", "d/link").await?;
    for path in [file, directory] {
        b.session.read_link(&path).await.refused(format!("read-link of {path}"), &[ErrorKind::InvalidArgument])?;
    }
    Ok(())
}

async fn of_a_missing_path_is_not_found_too(b: &mut Bench) -> Outcome {
    let path = b.remote("missing");
    b.session.read_link(&path).await.refused(format!("read-link of {path}"), &[ErrorKind::NotFound]).map(drop)
}

async fn of_a_link_to_a_link_is_the_first_step(b: &mut Bench) -> Outcome {
    b.link("nowhere", "once").await?;
    let twice = b.link("once", "twice").await?;
    let told = b.session.read_link(&twice).await.done(format!("read-link of {twice}"))?;
    same(format!("read-link of {twice}"), told.as_str(), "once")
}

async fn sets_permission_bits(b: &mut Bench) -> Outcome {
    set_each(b, &[0o640, 0o755, 0o000, 0o7]).await
}

async fn sets_all_permission_bits(b: &mut Bench) -> Outcome {
    set_each(b, &[0o1777, 0o2750, 0o4711, 0o7]).await
}

async fn set_each(b: &mut Bench, all: &[u32]) -> Outcome {
    let path = b.file("file", b"1").await?;
    for &bits in all {
        b.session.chmod(&path, bits).await.done(format!("chmod of {path} to {bits:o}"))?;
        b.mode(&path, bits).await?;
    }
    Ok(())
}

async fn follows_a_symlink(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    let link = b.link("file", "link").await?;
    b.session.chmod(&link, 0o604).await.done(format!("chmod of {link} to 604"))?;
    b.mode(&path, 0o604).await?;
    let stat = b.session.lstat(&link).await.done(format!("lstat of {link}"))?;
    same(format!("the kind of {link}"), stat.kind, FileKind::Symlink)
}

async fn of_other_bits_is_refused(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    let before = b.sent();
    b.session
        .chmod(&path, 0o10_000)
        .await
        .refused(format!("chmod of {path} to 10000"), &[ErrorKind::InvalidArgument])?;
    b.silent("that call", before)
}

async fn of_a_missing_path_is_not_found_as_well(b: &mut Bench) -> Outcome {
    let path = b.remote("missing");
    b.session.chmod(&path, 0o644).await.refused(format!("chmod of {path}"), &[ErrorKind::NotFound]).map(drop)
}

async fn to_nobody_changes_nothing(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    b.session.chown(&path, None, None).await.done(format!("chown of {path} to nobody"))?;
    b.content(&path, b"1").await
}

async fn to_myself_is_allowed(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    let stat = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    b.session.chown(&path, Some(stat.uid), Some(stat.gid)).await.done(format!("chown of {path} to its owner"))?;
    let again = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    same("owner and group", (again.uid, again.gid), (stat.uid, stat.gid))
}

async fn to_root_is_denied(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    if b.session.stat(&path).await.done(format!("stat of {path}"))?.uid == 0 {
        return Err(super::judge::lacks("the user is root, who may do it"));
    }
    b.session
        .chown(&path, Some(0), None)
        .await
        .refused(format!("chown of {path} to 0"), &[ErrorKind::PermissionDenied])
        .map(drop)
}
