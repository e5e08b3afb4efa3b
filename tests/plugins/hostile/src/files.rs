//! Ways out of the granted folders.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

/// The names of what is granted.
pub(crate) fn folders() -> String {
    get_directories().into_iter().map(|(_, name)| name).collect::<Vec<_>>().join("\n")
}

/// Tries to reach a file outside by its relative and its absolute name: a line for each way, beginning with `OUT` where it worked.
pub(crate) fn escape(relative: &str, absolute: &str) -> String {
    let mut lines = Vec::new();
    let mut note = |way: &str, outcome: Result<String, String>| match outcome {
        Ok(text) => lines.push(format!("OUT {way} {text}")),
        Err(code) => lines.push(format!("{way}: {code}")),
    };
    for (folder, _) in get_directories() {
        let parent = relative.rsplit_once('/').map_or(relative, |(parent, _)| parent);
        for path in [relative, absolute, &format!("./{relative}"), &format!("a/../{relative}"), &format!("/{relative}")]
        {
            note(&format!("read {path}"), read(&folder, path));
            note(&format!("write {path}"), write(&folder, path));
            note(&format!("make {path}.new"), write(&folder, &format!("{path}.new")));
            let unlinked = folder.unlink_file_at(path);
            note(&format!("unlink {path}"), unlinked.map(|()| String::new()).map_err(|code| format!("{code:?}")));
            let renamed = folder.rename_at(path, &folder, "stolen");
            note(&format!("rename {path}"), renamed.map(|()| String::new()).map_err(|code| format!("{code:?}")));
            let linked = folder.link_at(PathFlags::SYMLINK_FOLLOW, path, &folder, "hard");
            note(&format!("link {path}"), linked.map(|()| String::new()).map_err(|code| format!("{code:?}")));
        }
        for (name, target) in [("to-file", relative), ("to-folder", parent), ("to-root", "/"), ("absolute", absolute)] {
            if folder.symlink_at(target, name).is_ok() {
                note(&format!("through {name}"), read(&folder, name));
                note(&format!("write through {name}"), write(&folder, name));
                note(&format!("below {name}"), read(&folder, &format!("{name}/file")));
                note(&format!("make below {name}"), write(&folder, &format!("{name}/new")));
            }
        }
        note("read what lies there", read(&folder, "planted"));
    }
    lines.join("\n")
}

/// Keeps the granted folders open, and tries them again in a later call.
pub(crate) fn keep(name: &str) -> String {
    static KEPT: std::sync::Mutex<Vec<Descriptor>> = std::sync::Mutex::new(Vec::new());
    let mut kept = KEPT.lock().expect("one thread");
    kept.extend(get_directories().into_iter().map(|(folder, _)| folder));
    kept.iter().map(|folder| read(folder, name).unwrap_or_else(|code| code)).collect::<Vec<_>>().join(" ")
}

/// Opens a name again and again: every different content that was seen.
pub(crate) fn race(name: &str, times: usize) -> String {
    let Some((folder, _)) = get_directories().into_iter().next() else {
        return "nothing granted".into();
    };
    let mut seen = Vec::new();
    for _ in 0..times {
        let found = read(&folder, name).unwrap_or_else(|_| "refused".into());
        if !seen.contains(&found) {
            seen.push(found);
        }
    }
    seen.sort();
    seen.join(" ")
}

fn open(folder: &Descriptor, path: &str, how: OpenFlags, rights: DescriptorFlags) -> Result<Descriptor, String> {
    folder.open_at(PathFlags::SYMLINK_FOLLOW, path, how, rights).map_err(|code| format!("{code:?}"))
}

fn read(folder: &Descriptor, path: &str) -> Result<String, String> {
    let file = open(folder, path, OpenFlags::empty(), DescriptorFlags::READ)?;
    let (bytes, _) = file.read(100, 0).map_err(|code| format!("{code:?}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(folder: &Descriptor, path: &str) -> Result<String, String> {
    let rights = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = open(folder, path, OpenFlags::CREATE, rights)?;
    file.write(b"hostile", 0).map(|_| String::new()).map_err(|code| format!("{code:?}"))
}
