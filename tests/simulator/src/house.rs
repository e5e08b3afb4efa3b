//! The root's folders, and the user whose they are.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::builder::Error;
use crate::commands::User;
use crate::jobs::process::SRUN;
use crate::paths::FileSystems;

/// The folders, and the user they are for.
pub(crate) struct House {
    pub(crate) root: PathBuf,
    pub(crate) user: User,
    pub(crate) file_systems: FileSystems,
}

impl House {
    pub(crate) fn build(root: &Path, username: &str, ids: (u32, u32)) -> Result<Self, Error> {
        let failed = |error| Error::Root(root.to_owned(), error);
        fs::create_dir_all(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        let text = root
            .to_str()
            .filter(|text| !text.contains(['\'', '"', '\\', ' ', '\n']))
            .ok_or_else(|| Error::RootName(root.clone()))?
            .to_owned();
        let switch = rustix::process::geteuid().is_root();
        let (uid, gid) =
            if switch { ids } else { (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()) };
        let failed = |error| Error::Root(root.clone(), error);
        if switch {
            let mode = fs::metadata(&root).map_err(failed)?.permissions().mode();
            fs::set_permissions(&root, fs::Permissions::from_mode(mode | 0o011)).map_err(failed)?;
        }
        // Whose it is and its mode, for each folder.
        let home = root.join("home").join(username);
        let folders = [
            (root.join("home"), false, 0o755),
            (home.clone(), true, 0o755),
            (root.join("scratch"), false, 0o755),
            (root.join("scratch").join(username), true, 0o755),
            (root.join("tmp"), true, 0o755),
            (root.join("bin"), false, 0o755),
            (root.join("spool"), false, 0o711),
            (root.join("spool/running"), false, 0o711),
        ];
        for (folder, own, mode) in folders {
            let fresh = !folder.exists();
            fs::create_dir_all(&folder).map_err(failed)?;
            if fresh {
                fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).map_err(failed)?;
                if own && switch {
                    chown(&folder, Some(uid), Some(gid)).map_err(failed)?;
                }
            }
        }
        let srun = root.join("bin/srun");
        fs::write(&srun, SRUN).map_err(failed)?;
        fs::set_permissions(&srun, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        let user = User {
            name: username.to_owned(),
            group: "users".into(),
            uid,
            gid,
            switch,
            local_names: (local_name("passwd", uid), local_name("group", gid)),
            home: format!("{text}/home/{username}"),
            bin: format!("{text}/bin"),
            tmp: format!("{text}/tmp"),
        };
        // As root one would not notice that the user cannot get there.
        let mut probe = Command::new("/bin/sh");
        probe.args(["-c", "cd \"$1\"", "sh"]).arg(&home);
        if switch {
            use std::os::unix::process::CommandExt as _;
            probe.uid(uid).gid(gid);
        }
        let reached = probe.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success());
        if !reached {
            return Err(Error::Unreachable { uid, path: home });
        }
        Ok(Self { file_systems: FileSystems::new(vec![format!("{text}/home"), format!("{text}/scratch")]), user, root })
    }
}

/// What this machine calls a user or group; its number where it has no name.
fn local_name(database: &str, id: u32) -> String {
    Command::new("getent")
        .args([database, &id.to_string()])
        .output()
        .ok()
        .and_then(|output| {
            let text = String::from_utf8(output.stdout).ok()?;
            let name = text.split(':').next()?.trim();
            (!name.is_empty()).then(|| name.to_owned())
        })
        .unwrap_or_else(|| id.to_string())
}
