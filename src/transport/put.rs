//! To the cluster: write (bytes) and put (a local file). One request for a file up to the server's direct limit.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use sha2::{Digest, Sha256};

use super::{Overwrite, Summary, TransferOptions, Verification, local_name, pattern};
use crate::archive::{Member, MemberKind, write};
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::files::{Content, carried};
use crate::firecrest::v2::limits::past_direct;
use crate::firecrest::v2::listing::FileKind;
use crate::firecrest::v2::models::Compression;
use crate::http::Part;
use crate::local::{Local, LocalKind};
use crate::remote::RemotePath;
use crate::session::Session;

/// Local files are hashed in pieces of this size.
pub(super) const PIECE: u64 = 64 * 1024;

impl Session {
    /// Makes or replaces a file with these bytes.
    pub async fn write(&self, path: &str, bytes: Vec<u8>, mode: Option<u32>) -> Result<()> {
        let target = RemotePath::parse(path)?;
        let content = Content::Bytes(bytes.into());
        if content.size() > self.upload_limit() {
            return Err(self.too_large(path, content.size(), self.upload_limit()));
        }
        self.send(&target, &content, path).await?;
        match mode {
            Some(mode) => self.chmod(path, mode).await,
            None => Ok(()),
        }
    }

    /// Moves a local file or folder to the cluster.
    pub async fn put(
        &self,
        files: Rc<dyn Local>,
        local: &str,
        remote: &str,
        options: TransferOptions,
    ) -> Result<Summary> {
        let mut target = RemotePath::parse(remote)?;
        let known = files.stat(local, options.dereference)?;
        match known.map(|stat| stat.kind) {
            Some(LocalKind::File) => {}
            Some(LocalKind::Directory) => return self.put_tree(files, local, target, options).await,
            Some(LocalKind::Symlink) => return self.put_link(files, local, remote, options).await,
            Some(LocalKind::Other) => {
                return Err(Error::invalid(local, format!("{local} is not a regular file")));
            }
            None if pattern::is_pattern(local) => {
                return self.put_pattern(files, local, &target, options).await;
            }
            None if options.ignore_nonexisting => return Ok(Summary::skipped()),
            None => {
                return Err(Error::new(Kind::NotFound, format!("{local}: no such local file or folder")).about(local));
            }
        }
        let file = files.open(local, known)?;
        let name = local_name(local).ok_or_else(|| Error::invalid(local, format!("{local} names no file")))?;
        if remote.ends_with('/') {
            target = target.join(name)?;
        }
        let large = file.size() > self.upload_limit();
        if large {
            target = self.place_for(target, name, options.parents).await?;
        }
        if options.overwrite != Overwrite::Replace && self.is_taken(&mut target, name, options.overwrite).await? {
            return Ok(Summary::skipped());
        }
        let bytes = file.size();
        self.watch().expect(bytes, 1);
        let content = Content::File(Rc::clone(&file));
        let mode = options.mode.or_else(|| file.mode().and_then(worth_carrying)).map(|mode| mode & 0o7777);
        let through_the_store = async |target: &RemotePath| {
            let verify = options.verify.or(self.options.checksum_check).unwrap_or(true);
            let verified = self.put_large(target, &content, mode, verify).await?;
            self.watch().arrived(1);
            Ok(Summary { files: 1, bytes, verified, ..Summary::default() })
        };
        if large {
            return through_the_store(&target).await;
        }
        let mut sent = self.send(&target, &content, target.as_str()).await;
        if options.parents && matches!(&sent, Err(error) if error.kind == Kind::NotFound) {
            if let Some((parent, _)) = target.split() {
                self.api.mkdir(&parent, true).await?;
            }
            sent = self.send(&target, &content, target.as_str()).await;
        }
        // Into the directory, where the target is one: the server's answer tells, so that nobody has to ask first.
        if matches!(&sent, Err(error) if error.kind == Kind::IsADirectory) {
            target = target.join(name)?;
            sent = self.send(&target, &content, target.as_str()).await;
        }
        // Another limit than the one that it tells, or more than it takes in its 5 s.
        if matches!(&sent, Err(error) if past_direct(error, bytes) && self.check_large("put", local).is_ok()) {
            target = self.place_for(target, name, options.parents).await?;
            return through_the_store(&target).await;
        }
        sent?;
        let verified = self.verify_sent(&target, &content, options.verify).await?;
        if let Some(mode) = mode {
            self.api.chmod(&target, mode).await?;
        }
        self.watch().arrived(1);
        Ok(Summary { files: 1, bytes, verified, ..Summary::default() })
    }

    /// Where the target, which is moved into a directory that is there, must not be replaced: is it to be skipped?
    async fn is_taken(&self, target: &mut RemotePath, name: &str, overwrite: Overwrite) -> Result<bool> {
        let mut there = self.api.stat(target, false).await;
        if matches!(&there, Ok(stat) if FileKind::from_mode(stat.mode) == FileKind::Directory) {
            *target = target.join(name)?;
            there = self.api.stat(target, false).await;
        }
        match there {
            Ok(_) if overwrite == Overwrite::Skip => Ok(true),
            Ok(_) => Err(Error::new(Kind::AlreadyExists, format!("{target} is already there")).about(target.as_str())),
            Err(error) if error.kind == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves a symbolic link itself, as the one member of an archive: it takes the place of a file or link, and says what it said.
    async fn put_link(
        &self,
        files: Rc<dyn Local>,
        local: &str,
        remote: &str,
        options: TransferOptions,
    ) -> Result<Summary> {
        let says = files.read_link(local)?;
        let name = local_name(local).ok_or_else(|| Error::invalid(local, format!("{local} names no link")))?;
        let mut target = RemotePath::parse(remote)?;
        if remote.ends_with('/') {
            target = target.join(name)?;
        }
        match self.api.stat(&target, true).await {
            Ok(stat) if FileKind::from_mode(stat.mode) == FileKind::Directory => target = target.join(name)?,
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => {}
        }
        if options.overwrite != Overwrite::Replace && self.is_taken(&mut target, name, options.overwrite).await? {
            return Ok(Summary::skipped());
        }
        let (parent, name) =
            target.split().ok_or_else(|| Error::invalid(remote, format!("{remote} names no entry of a directory")))?;
        if options.parents {
            self.api.mkdir(&parent, true).await?;
        }
        let kind = MemberKind::Symlink { target: says.into_bytes() };
        self.place_member(&parent, name, kind, target.as_str()).await?;
        Ok(Summary { files: 1, ..Summary::default() })
    }

    /// Makes one entry of a directory that no direct operation makes: as an archive with one member.
    pub(super) async fn place_member(
        &self,
        directory: &RemotePath,
        name: &str,
        kind: MemberKind,
        subject: &str,
    ) -> Result<()> {
        let archive_name = format!("{}.tar", self.passing_name());
        let placed = self.unpack_member(directory, &archive_name, directory, name, kind, subject).await;
        self.tidy(&[&directory.join(&archive_name)?]).await;
        placed
    }

    /// The same, with the archive in another folder, where it is left.
    pub(super) async fn unpack_member(
        &self,
        folder: &RemotePath,
        archive_name: &str,
        directory: &RemotePath,
        name: &str,
        kind: MemberKind,
        subject: &str,
    ) -> Result<()> {
        let mtime = i64::try_from(self.api.client.platform().unix_now()).unwrap_or(0);
        let member = Member { path: name.as_bytes().to_vec(), kind, mode: 0o777, mtime };
        let bytes = [write::head(&member).as_slice(), &write::END].concat();
        self.api.upload(folder, archive_name, &Content::Bytes(bytes.into()), subject).await?;
        let archive = folder.join(archive_name)?;
        self.api.extract(&archive, directory, Compression::None).await.map_err(|e| e.about(subject))
    }

    /// Where a large file goes: asked for first, because a job would only fail late.
    async fn place_for(&self, target: RemotePath, name: &str, parents: bool) -> Result<RemotePath> {
        match self.api.stat(&target, true).await {
            Ok(stat) if FileKind::from_mode(stat.mode) == FileKind::Directory => return target.join(name),
            Ok(_) => return Ok(target),
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        if let Some((parent, _)) = target.split() {
            match self.api.stat(&parent, true).await {
                Ok(_) => {}
                Err(error) if error.kind == Kind::NotFound && parents => self.api.mkdir(&parent, true).await?,
                Err(error) => return Err(error.about(target.as_str())),
            }
        }
        Ok(target)
    }

    /// Moves everything that a pattern names; several things go into a directory that is there.
    async fn put_pattern(
        &self,
        files: Rc<dyn Local>,
        local: &str,
        target: &RemotePath,
        options: TransferOptions,
    ) -> Result<Summary> {
        let (folder, last) = local.rsplit_once('/').unwrap_or(("", local));
        if pattern::is_pattern(folder) {
            return Err(Error::invalid(local, format!("{local}: only the last name can be a pattern")));
        }
        let mut names = files.list(if folder.is_empty() { "/" } else { folder })?;
        names.retain(|name| (last.starts_with('.') || !name.starts_with('.')) && pattern::matches(last, name));
        names.sort_unstable();
        if names.is_empty() {
            if options.ignore_nonexisting {
                return Ok(Summary::skipped());
            }
            return Err(Error::new(Kind::NotFound, format!("{local}: nothing matches")).about(local));
        }
        if names.len() > 1 {
            let stat = self.api.stat(target, true).await?;
            if FileKind::from_mode(stat.mode) != FileKind::Directory {
                let message = format!("{target} is not a directory, and {} things match {local}", names.len());
                return Err(Error::new(Kind::NotADirectory, message).about(target.as_str()));
            }
        }
        let one = names.len() == 1;
        let each = names.iter().map(|name| {
            let (files, from) = (Rc::clone(&files), super::local_join(folder, name));
            // With a slash at its end the target is a directory: nobody has to ask.
            let to = if one { target.as_str().to_owned() } else { target.as_directory() };
            async move { Box::pin(self.put(files, &from, &to, options)).await }
        });
        super::sum(all(each).await)
    }

    async fn verify_sent(&self, target: &RemotePath, content: &Content, verify: Option<bool>) -> Result<Verification> {
        if !verify.or(self.options.checksum_check).unwrap_or(false) {
            return Ok(Verification::None);
        }
        let ours = hash(content).await?;
        let theirs = self.api.checksum(target).await?;
        if ours != theirs {
            let message = format!(
                "{target}: the bytes on the cluster are not those that were sent (SHA-256 {theirs}, not {ours})"
            );
            return Err(Error::new(Kind::ChecksumMismatch, message).about(target.as_str()));
        }
        Ok(Verification::Checksum)
    }

    /// Uploads; an empty file by a way of its own.
    pub(super) async fn send(&self, target: &RemotePath, content: &Content, subject: &str) -> Result<()> {
        let (directory, name) = target
            .split()
            .ok_or_else(|| Error::new(Kind::IsADirectory, format!("{target}: Is a directory")).about(subject))?;
        if content.size() > 0 {
            return self.api.upload(&directory, name, content, subject).await;
        }
        carried(name, subject)?;
        self.send_empty(target, &directory, name, content, subject).await
    }

    /// Makes an empty file without the server's wait of 5 s.
    ///
    /// The server opens the target at once, then waits for bytes that never come until its own limit ends the command (408). So the
    /// upload is sent, the target is looked at until it is there with no bytes, and the answer is not awaited. To be sure that
    /// what is seen is this upload's work, and that nothing of it comes later, a target that is empty already is left alone.
    async fn send_empty(
        &self,
        target: &RemotePath,
        directory: &RemotePath,
        name: &str,
        content: &Content,
        subject: &str,
    ) -> Result<()> {
        match self.api.stat(target, true).await {
            Ok(stat) => match FileKind::from_mode(stat.mode) {
                FileKind::Directory => {
                    return Err(Error::new(Kind::IsADirectory, format!("{target}: Is a directory")).about(subject));
                }
                FileKind::Regular if stat.size == 0 => return Ok(()),
                _ => {}
            },
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error.about(subject)),
        }
        let upload = Box::pin(self.api.upload(directory, name, content, subject));
        let look = Box::pin(self.await_empty(target));
        match select(look, upload).await {
            Either::Left((seen, _unawaited)) => seen,
            Either::Right((Ok(()), _)) => Ok(()),
            // Killed after its time, as it has to be: what counts is what is there.
            Either::Right((Err(error), look)) if error.kind == Kind::OutcomeUnknown => look.await.map_err(|_| error),
            Either::Right((Err(error), _)) => Err(error),
        }
    }

    /// Looks until the target is there and empty.
    async fn await_empty(&self, target: &RemotePath) -> Result<()> {
        let platform = self.api.client.platform();
        let start = platform.monotonic();
        let mut pause = Duration::from_millis(15);
        loop {
            platform.sleep(pause).await;
            match self.api.stat(target, true).await {
                Ok(stat) if stat.size == 0 => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
            if platform.monotonic().saturating_sub(start) > self.options.request_timeout {
                let message = format!("{target}: the server has not made the empty file in time");
                return Err(Error::new(Kind::OutcomeUnknown, message).about(target.as_str()));
            }
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// The refusal of what does not fit one request.
    pub(super) fn too_large(&self, path: &str, size: u64, limit: u64) -> Error {
        // Not where the server does not keep to the limit that it tells.
        let limit = if size > limit { format!(" ({limit})") } else { String::new() };
        Error::new(Kind::TooLarge, format!("{path} has {size} bytes, more than can be moved at once{limit}"))
            .about(path)
    }
}

/// The permission bits that a put sets on the cluster. A plain file (0644, or 0664 with a group's umask) gets what the cluster's
/// umask gives; what is executable, private or otherwise particular stays so, for one request more.
fn worth_carrying(mode: u32) -> Option<u32> {
    let mode = mode & 0o777;
    (mode & !0o020 != 0o644).then_some(mode)
}

/// SHA-256 of all bytes, through one buffer.
pub(super) async fn hash(content: &Content) -> Result<String> {
    let mut hasher = Sha256::new();
    for part in content.parts() {
        if let Some(bytes) = part.at_once() {
            hasher.update(&bytes?);
            continue;
        }
        match part {
            Part::Bytes(_) => {}
            Part::File { file, offset, length } => {
                let mut reader = file.read_from(offset).await?;
                let mut left = length;
                while left > 0 {
                    let Some(bytes) = reader.read(left.min(PIECE)).await? else { break };
                    left -= bytes.len() as u64;
                    hasher.update(&bytes);
                }
            }
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::worth_carrying;

    #[test]
    fn plain_files_need_no_chmod() {
        for mode in [0o644, 0o664] {
            assert_eq!(worth_carrying(mode), None);
        }
        for mode in [0o755, 0o600, 0o640, 0o444, 0o666] {
            assert_eq!(worth_carrying(mode), Some(mode));
        }
    }
}
