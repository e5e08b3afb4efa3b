//! From the cluster: read (bytes) and get (into a local file). The target is written beside its place and renamed.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use sha2::{Digest, Sha256};

use super::get_tree::make_parents;
use super::put::hex;
use super::{Overwrite, Summary, TransferOptions, Verification, local_join, pattern};
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::firecrest::OpenAnswer;
use crate::firecrest::v2::limits::past_direct;
use crate::firecrest::v2::listing::FileKind;
use crate::http::SendError;
use crate::http::retry::Effect;
use crate::local::{Local, LocalKind, LocalWriter};
use crate::remote::RemotePath;
use crate::session::Session;
use crate::watch::Watch;

/// A download whose body breaks is begun anew this many times.
pub(super) const ATTEMPTS: u32 = 3;

/// An answer that has not begun after this long is asked about: half of what the server takes to give up.
const PATIENCE: Duration = Duration::from_millis(2500);

/// So much is held in memory: a quarter of what an instance has unless its host says otherwise.
pub(super) const MOST_IN_MEMORY: u64 = 64 * 1024 * 1024;

/// What came of a download.
pub(super) enum Opened<T = OpenAnswer> {
    /// Its body is the file.
    Answer(T),
    /// The file has so many bytes, more than one download takes.
    TooLarge(u64),
}

impl Session {
    /// A file's bytes, or a piece of them.
    pub async fn read(&self, path: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        let source = RemotePath::parse(path)?;
        let bytes = match self.download(&source).await? {
            Opened::Answer(bytes) => bytes,
            Opened::TooLarge(size) => {
                return Err(self.too_large(path, size, self.download_limit().min(MOST_IN_MEMORY)));
            }
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let length = length.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let end = start.saturating_add(length).min(bytes.len());
        Ok(if start == 0 && end == bytes.len() { bytes } else { bytes[start..end].to_vec() })
    }

    /// A file's bytes, if one download takes them.
    pub(super) async fn download(&self, source: &RemotePath) -> Result<Opened<Vec<u8>>> {
        let (path, limit) = (source.as_str(), self.download_limit().min(MOST_IN_MEMORY));
        let mut attempt = 1;
        loop {
            let mut answer = match self.begin_download(source).await.map_err(|e| e.about(path))? {
                Opened::Answer(answer) => answer,
                Opened::TooLarge(size) => return Ok(Opened::TooLarge(size)),
            };
            if let Some(size) = answer.length().filter(|size| *size > limit) {
                return Ok(Opened::TooLarge(size));
            }
            match crate::http::collect(answer.body.as_mut(), limit as usize).await {
                Ok(bytes) => return Ok(Opened::Answer(bytes)),
                Err(SendError::Reset(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(self.broken(&error).about(path)),
            }
        }
    }

    /// Begins a download; or tells the file's size, where it is too large for one.
    ///
    /// The server tries what is far too large for 5 s before it gives up: when half of that is over the size is asked for.
    pub(super) async fn begin_download(&self, source: &RemotePath) -> Result<Opened> {
        let download = Box::pin(self.api.download(source));
        let answer = match select(download, self.api.client.platform().sleep(PATIENCE)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), download)) => match select(download, Box::pin(self.api.stat(source, true))).await {
                Either::Left((answer, _)) => answer,
                Either::Right((Ok(stat), _)) if stat.size > self.download_limit() => {
                    return Ok(Opened::TooLarge(stat.size));
                }
                Either::Right((_, download)) => download.await,
            },
        };
        match answer {
            Err(error) if matches!(error.kind, Kind::Timeout | Kind::TooLarge) => {
                let size = self.api.stat(source, true).await?.size;
                let too_large = size > self.download_limit() || past_direct(&error, size);
                if too_large { Ok(Opened::TooLarge(size)) } else { Err(error) }
            }
            answer => answer.map(Opened::Answer),
        }
    }

    /// Moves a file or folder from the cluster to the host.
    pub async fn get(
        &self,
        files: Rc<dyn Local>,
        remote: &str,
        local: &str,
        options: TransferOptions,
    ) -> Result<Summary> {
        let source = RemotePath::parse(remote)?;
        let name =
            source.split().ok_or_else(|| Error::invalid(remote, format!("{remote} names no entry of a directory")))?.1;
        let target = match files.stat(local, true)?.map(|stat| stat.kind) {
            Some(LocalKind::Directory) => local_join(local, name),
            _ if local.ends_with('/') => {
                return Err(Error::new(Kind::NotADirectory, format!("{local} is not a local directory")).about(local));
            }
            _ => local.to_owned(),
        };
        let (size, mode) = match options.size {
            Some(size) => (size, options.mode),
            None => match self.api.stat(&source, options.dereference).await {
                Ok(stat) => match FileKind::from_mode(stat.mode) {
                    FileKind::Regular => (stat.size, options.mode.or(Some(stat.mode & 0o777))),
                    FileKind::Directory => return self.get_tree(&files, &source, local, options).await,
                    FileKind::Symlink => return self.get_link(&files, remote, &target, options).await,
                    _ => return Err(Error::invalid(remote, format!("{remote} is not a regular file"))),
                },
                Err(error) if error.kind == Kind::NotFound && pattern::is_pattern(remote) => {
                    return self.get_pattern(files, remote, local, options).await;
                }
                Err(error) if error.kind == Kind::NotFound && options.ignore_nonexisting => {
                    return Ok(Summary::skipped());
                }
                Err(error) => return Err(error.about(remote)),
            },
        };
        if options.overwrite != Overwrite::Replace && files.stat(&target, true)?.is_some() {
            return match options.overwrite {
                Overwrite::Skip => Ok(Summary::skipped()),
                _ => Err(Error::new(Kind::AlreadyExists, format!("{target} is already there")).about(target)),
            };
        }
        self.watch().expect(size, 1);
        let replace = options.overwrite == Overwrite::Replace;
        if options.parents {
            make_parents(files.as_ref(), &target)?;
        }
        let through_the_store = async || {
            let verify = options.verify.or(self.options.checksum_check).unwrap_or(true);
            let writer = files.create(&target, replace)?;
            let verified = self.get_large(&source, size, writer.as_ref(), verify).await?;
            writer.finish(mode, None).await?;
            self.watch().arrived(1);
            Ok(Summary { files: 1, bytes: size, verified, ..Summary::default() })
        };
        if size > self.download_limit() {
            return through_the_store().await;
        }
        let verify = options.verify.or(self.options.checksum_check).unwrap_or(false);
        let mut attempt = 1;
        let (writer, hash) = loop {
            let mut writer = files.create(&target, replace)?;
            // stat has said that there is nothing to fetch.
            if size == 0 && options.size.is_none() {
                break (writer, hex(&Sha256::digest(b"")));
            }
            let mut answer = match self.api.download(&source).await {
                Ok(answer) => answer,
                Err(error) if error.kind == Kind::NotFound && options.ignore_nonexisting => {
                    return Ok(Summary::skipped());
                }
                // Another limit than the one that it tells, or more than it sends in its 5 s.
                Err(error) if past_direct(&error, size) && self.check_large("get", remote).is_ok() => {
                    drop(writer);
                    return through_the_store().await;
                }
                Err(error) => return Err(error.about(remote)),
            };
            let mut received = 0;
            match receive(&mut answer, writer.as_mut(), verify, self.watch(), &mut received).await {
                Ok(hash) if received == size => break (writer, hash),
                Ok(_) => {
                    let message = format!("{remote}: {received} bytes arrived, not {size}");
                    return Err(Error::new(Kind::ChecksumMismatch, message).about(remote));
                }
                Err(SendError::Reset(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(self.broken(&error).about(remote)),
            }
            self.watch().lost(received);
        };
        let mut verified = Verification::Size;
        if verify {
            let theirs = self.api.checksum(&source).await?;
            if theirs != hash {
                let message = format!(
                    "{remote}: the bytes that arrived are not those on the cluster (SHA-256 {hash}, not {theirs})"
                );
                return Err(Error::new(Kind::ChecksumMismatch, message).about(remote));
            }
            verified = Verification::Checksum;
        }
        writer.finish(mode, None).await?;
        self.watch().arrived(1);
        Ok(Summary { files: 1, bytes: size, verified, ..Summary::default() })
    }

    /// Makes the same symbolic link on the host.
    async fn get_link(
        &self,
        files: &Rc<dyn Local>,
        remote: &str,
        target: &str,
        options: TransferOptions,
    ) -> Result<Summary> {
        let says = self.read_link(remote).await?;
        if options.overwrite != Overwrite::Replace && files.stat(target, false)?.is_some() {
            return match options.overwrite {
                Overwrite::Skip => Ok(Summary::skipped()),
                _ => Err(Error::new(Kind::AlreadyExists, format!("{target} is already there")).about(target)),
            };
        }
        if options.parents {
            make_parents(files.as_ref(), target)?;
        }
        files.make_symlink(&says, target)?;
        Ok(Summary { files: 1, ..Summary::default() })
    }

    /// Moves everything that a pattern names; several things go into a directory that is there.
    async fn get_pattern(
        &self,
        files: Rc<dyn Local>,
        remote: &str,
        local: &str,
        options: TransferOptions,
    ) -> Result<Summary> {
        let paths = self.glob(remote).await?;
        if paths.is_empty() {
            if options.ignore_nonexisting {
                return Ok(Summary::skipped());
            }
            return Err(Error::new(Kind::NotFound, format!("{remote}: nothing matches")).about(remote));
        }
        let directory = files.stat(local, true)?.is_some_and(|stat| stat.kind == LocalKind::Directory);
        if paths.len() > 1 && !directory {
            let message = format!("{local} is not a local directory, and {} things match {remote}", paths.len());
            return Err(Error::new(Kind::NotADirectory, message).about(local));
        }
        let each = paths.iter().map(|path| {
            let files = Rc::clone(&files);
            async move { Box::pin(self.get(files, path, local, options)).await }
        });
        super::sum(all(each).await)
    }

    /// The error of a body that broke.
    pub(super) fn broken(&self, error: &SendError) -> Error {
        self.api.client.unanswered(error, &self.options.url, Effect::Read)
    }
}

/// Writes a body into a file: past this component's memory, unless it has to be hashed on the way.
async fn receive(
    answer: &mut OpenAnswer,
    writer: &mut dyn LocalWriter,
    hashed: bool,
    watch: &Watch,
    received: &mut u64,
) -> Result<String, SendError> {
    let mut hasher = Sha256::new();
    loop {
        let moved = if hashed {
            let Some(bytes) = answer.body.chunk().await? else { break };
            hasher.update(&bytes);
            writer.write(&bytes).await.map_err(|e| SendError::Local(e.info.message.clone()))?;
            bytes.len() as u64
        } else {
            answer.body.move_to(writer).await?
        };
        if moved == 0 {
            break;
        }
        *received += moved;
        watch.moved(moved);
    }
    Ok(hex(&hasher.finalize()))
}
