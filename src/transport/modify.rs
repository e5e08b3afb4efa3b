//! Changing: mkdir, remove, remove-tree, symlink, chmod, chown.
//!
//! Where an answer was lost, the operation looks whether the change is there; else the error stays `outcome-unknown`.

use crate::archive::MemberKind;
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::listing::{self, FileKind};
use crate::remote::RemotePath;
use crate::session::Session;

impl Session {
    /// Makes a directory.
    pub async fn mkdir(&self, path: &str, parents: bool, exist_ok: bool) -> Result<()> {
        let directory = RemotePath::parse(path)?;
        if parents && exist_ok {
            // `mkdir -p` is both at once.
            return self.api.mkdir(&directory, true).await.map_err(|e| e.about(path));
        }
        let made = match self.api.mkdir(&directory, false).await {
            // With `-p` the server would not say whether the last name was there: it is asked for only when the parent is missing,
            // and then the last name is missing, too.
            Err(error) if parents && error.kind == Kind::NotFound => self.api.mkdir(&directory, true).await,
            made => made,
        };
        match made {
            Err(error) if exist_ok && matches!(error.kind, Kind::AlreadyExists | Kind::OutcomeUnknown) => {
                match self.api.stat(&directory, true).await {
                    Ok(stat) if FileKind::from_mode(stat.mode) == FileKind::Directory => Ok(()),
                    _ => Err(error.about(path)),
                }
            }
            made => made.map_err(|e| e.about(path)),
        }
    }

    /// Removes a file, a symlink or an empty directory.
    ///
    /// The server knows no other removal than `rm -r`: unless the caller knows the path to be no directory, it is looked at first.
    pub async fn remove(&self, path: &str, known: Option<FileKind>) -> Result<()> {
        let target = RemotePath::parse(path)?;
        let kind = match known {
            Some(kind) if kind != FileKind::Unknown => kind,
            _ => FileKind::from_mode(self.api.stat(&target, false).await.map_err(|e| e.about(path))?.mode),
        };
        if kind == FileKind::Directory && !self.api.ls(&target.as_directory(), false, true).await?.is_empty() {
            return Err(Error::new(Kind::NotEmpty, format!("{path}: the directory is not empty")).about(path));
        }
        self.rm(path, &target).await
    }

    /// Removes whatever is there, with all that is in it.
    pub async fn remove_tree(&self, path: &str) -> Result<()> {
        let target = RemotePath::parse(path)?;
        if target.split().is_none() {
            return Err(Error::invalid(path, format!("{path} is not removed: it names no entry of a directory")));
        }
        self.rm(path, &target).await
    }

    async fn rm(&self, path: &str, target: &RemotePath) -> Result<()> {
        match self.api.rm(target).await {
            Err(error) if error.kind == Kind::OutcomeUnknown => match self.api.stat(target, false).await {
                Err(look) if look.kind == Kind::NotFound => Ok(()),
                _ => Err(error.about(path)),
            },
            removed => removed.map_err(|e| e.about(path)),
        }
    }

    /// Makes a symlink.
    pub async fn symlink(&self, target: &str, link: &str) -> Result<()> {
        let place = RemotePath::parse(link)?;
        if target.is_empty() || target.contains('\0') {
            return Err(Error::invalid(target, "the target of a symbolic link is empty, or holds NUL"));
        }
        // The server takes absolute targets on its file systems alone, and tidied ones are not what was asked for.
        let direct = RemotePath::parse(target).ok().filter(|tidy| tidy.as_str() == target);
        let made = match direct {
            Some(direct) => self.symlink_directly(&direct, &place).await,
            None => self.symlink_as_member(target, &place).await,
        };
        match made {
            Err(error) if error.kind == Kind::OutcomeUnknown => match self.read_link(link).await {
                Ok(found) if found == target => Ok(()),
                _ => Err(error.about(link)),
            },
            made => made.map_err(|e| e.about(link)),
        }
    }

    async fn symlink_directly(&self, target: &RemotePath, place: &RemotePath) -> Result<()> {
        let taken = || Error::new(Kind::AlreadyExists, format!("{place} is already there"));
        let made = match self.api.symlink(target, place).await {
            Err(error) if error.kind == Kind::InvalidArgument => {
                return self.symlink_as_member(target.as_str(), place).await;
            }
            made => made?,
        };
        // Both read alike: what the listing makes of a backslash is the same on either side.
        let says = made.link_target.as_deref().map(listing::unescape);
        if made.kind == "l" && says == Some(listing::unescape(target.as_str())) {
            return Ok(());
        }
        // ln(1) made it inside the directory that is there.
        if let Some((_, name)) = target.split() {
            self.api.rm(&place.join(name)?).await?;
        }
        Err(taken())
    }

    /// A link whose target the server would not take, as the one member of an archive: it says what was asked for.
    async fn symlink_as_member(&self, target: &str, place: &RemotePath) -> Result<()> {
        match self.api.stat(place, false).await {
            Ok(_) => return Err(Error::new(Kind::AlreadyExists, format!("{place} is already there"))),
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (parent, name) =
            place.split().ok_or_else(|| Error::invalid(place.as_str(), "it names no entry of a directory"))?;
        let kind = MemberKind::Symlink { target: target.as_bytes().to_vec() };
        self.place_member(&parent, name, kind, place.as_str()).await
    }

    /// Sets permission bits.
    pub async fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        let target = RemotePath::parse(path)?;
        if mode > 0o7777 {
            return Err(Error::invalid(
                path,
                format!("the mode {mode:o} has more than permission bits (at most 7777)"),
            ));
        }
        self.api.chmod(&target, mode).await.map_err(|e| e.about(path))
    }

    /// Sets owner and group; what is none stays.
    pub async fn chown(&self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let target = RemotePath::parse(path)?;
        let (uid, gid) = match (uid, gid) {
            (None, None) => return Ok(()),
            (Some(uid), Some(gid)) => (uid, gid),
            // chown(1) takes `owner:` for owner and login group: what should stay has to be said.
            (uid, gid) => {
                let now = self.api.stat(&target, true).await.map_err(|e| e.about(path))?;
                (uid.unwrap_or(now.uid), gid.unwrap_or(now.gid))
            }
        };
        self.api.chown(&target, uid, gid).await.map_err(|e| e.about(path))
    }
}
