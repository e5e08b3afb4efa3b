//! A local folder to the cluster, as a stream of tar archives.
//!
//! **What it costs.** A request costs its round trip, tens of milliseconds; a byte costs its place in an upload. File by file a tree takes
//! a request a file. As an archive it takes three requests for each that is sent (upload, extract, remove), whatever is in
//! it: so it is always an archive, as large as one upload may be, and as many of them as needed. Nothing is compressed: the server's
//! 5 s would be spent on unpacking, and uploads are not what is scarce.
//!
//! A name in an archive is data: quotes, newlines and whatever else a file system carries arrive unharmed.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::inspect::ListOptions;
use super::job::Work;
use super::{Overwrite, Summary, TransferOptions, Verification};
use crate::archive::{Member, MemberKind, write};
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::files::Content;
use crate::firecrest::v2::listing::FileKind;
use crate::firecrest::v2::models::Compression;
use crate::http::Part;
use crate::local::walk::{Found, Walk};
use crate::local::{Local, LocalFile, LocalKind, LocalReader, SMALL};
use crate::remote::RemotePath;
use crate::session::Session;
use crate::shell::quote;

/// Members of one archive at most: what is remembered of each is a few hundred bytes.
const MOST_MEMBERS: usize = 8_000;

/// An archive that is being gathered.
#[derive(Default)]
struct Batch {
    parts: Vec<Part>,
    length: u64,
    members: usize,
    files: u64,
    directories: u64,
    bytes: u64,
}

impl Batch {
    /// Adds a member, with its file's bytes where it is one.
    fn add(&mut self, member: &Member, file: Option<Rc<dyn LocalFile>>) {
        self.length += write::length(member);
        self.members += 1;
        let mut head = write::head(member);
        // Small pieces are joined: a directory is a header behind the last file's padding.
        if let Some(Part::Bytes(before)) = self.parts.last() {
            head = [before, head.as_slice()].concat();
            self.parts.pop();
        }
        self.parts.push(Part::Bytes(head.into()));
        let size = member.size();
        match (&member.kind, file) {
            (MemberKind::File { .. }, file) => {
                self.files += 1;
                self.bytes += size;
                if let Some(file) = file.filter(|_| size > 0) {
                    self.parts.push(Part::File { file, offset: 0, length: size });
                    self.parts.push(Part::Bytes(vec![0; write::padding(size)].into()));
                }
            }
            (MemberKind::Directory, _) => self.directories += 1,
            _ => {}
        }
    }

    fn finish(self) -> Rc<[Part]> {
        self.parts.into_iter().chain([Part::Bytes(write::END.to_vec().into())]).collect()
    }
}

/// A file of the tree, opened when its bytes are sent and closed when they are.
struct LazyFile {
    local: Rc<dyn Local>,
    path: String,
    size: u64,
}

impl LocalFile for LazyFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn mode(&self) -> Option<u32> {
        self.local.mode(&self.path)
    }

    fn at_once(&self) -> Option<Result<Vec<u8>>> {
        (self.size <= SMALL).then(|| self.local.read_small(&self.path, self.size))
    }

    fn read_from(&self, offset: u64) -> LocalBoxFuture<'_, Result<Box<dyn LocalReader>>> {
        // The descriptor is needed to make the stream, and not after.
        Box::pin(async move { self.local.open(&self.path, None)?.read_from(offset).await })
    }
}

impl Session {
    /// Moves a local folder to the cluster: it becomes `target`, or an entry of it where that is a directory already.
    pub(super) async fn put_tree(
        &self,
        files: Rc<dyn Local>,
        local: &str,
        mut target: RemotePath,
        options: TransferOptions,
    ) -> Result<Summary> {
        let name = super::local_name(local).ok_or_else(|| Error::invalid(local, format!("{local} names no folder")))?;
        let merging = match self.api.stat(&target, true).await {
            Ok(stat) if FileKind::from_mode(stat.mode) == FileKind::Directory => {
                target = target.join(name)?;
                true
            }
            Ok(_) => {
                let message = format!("{target} is there, and is not a directory");
                return Err(Error::new(Kind::NotADirectory, message).about(target.as_str()));
            }
            Err(error) if error.kind == Kind::NotFound => false,
            Err(error) => return Err(error),
        };
        let there = if merging && options.overwrite != Overwrite::Replace {
            match self.list(target.as_str(), &ListOptions { recursive: true, hidden: true, pattern: None }).await {
                Ok(_) if options.overwrite == Overwrite::Fail => {
                    return Err(
                        Error::new(Kind::AlreadyExists, format!("{target} is already there")).about(target.as_str())
                    );
                }
                Ok(entries) => {
                    let files = entries.into_iter().filter(|e| e.kind != FileKind::Directory);
                    let mut paths: Vec<String> = files.map(|e| e.path).collect();
                    paths.sort_unstable();
                    paths
                }
                Err(error) if error.kind == Kind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            }
        } else {
            Vec::new()
        };
        let (parent, root) =
            target.split().ok_or_else(|| Error::invalid(local, format!("{target} names no entry of a directory")))?;
        let sender = Sender { session: self, parent, options, target: &target };
        let mut summary = Summary::default();
        let mut verified = if options.verify.or(self.options.checksum_check).unwrap_or(false) {
            Verification::Checksum
        } else {
            Verification::None
        };
        let limit = self.upload_limit().saturating_sub(write::END.len() as u64);
        let now = i64::try_from(self.api.client.platform().unix_now()).unwrap_or(0);
        let mut batch = Batch::default();
        // One archive tells what is to be moved; for more the tree is looked through once before.
        let mut measured = false;
        // Directories that their owner cannot write to get their bits when everything is in them.
        let mut closed: Vec<Member> = Vec::new();
        let mut add_directory = |batch: &mut Batch, path: String, place: &str, modified: Option<i64>| {
            let mode = files.mode(place).unwrap_or(0o755) & 0o777;
            let mtime = modified.unwrap_or(now);
            let mut member = Member { path: path.into_bytes(), kind: MemberKind::Directory, mode, mtime };
            if mode & 0o700 != 0o700 {
                closed.push(member.clone());
                member.mode |= 0o700;
            }
            batch.add(&member, None);
        };
        // Files that no archive can carry go by themselves, when their directories are there.
        let mut large: Vec<(String, String, u64)> = Vec::new();
        add_directory(&mut batch, root.to_owned(), local, files.stat(local, true)?.and_then(|stat| stat.modified));
        let mut walk = Walk::new(files.as_ref(), local, options.dereference)?;
        while let Some(Found { path, stat }) = walk.step()? {
            self.watch().check()?;
            let place = walk.local_path(&path);
            let inside = format!("{root}/{path}");
            let kind = match stat.kind {
                LocalKind::Directory => {
                    add_directory(&mut batch, inside, &place, stat.modified);
                    continue;
                }
                _ if there.binary_search(&path).is_ok() => {
                    summary.skipped += 1;
                    continue;
                }
                LocalKind::Symlink => MemberKind::Symlink { target: files.read_link(&place)?.into_bytes() },
                _ => MemberKind::File { size: stat.size },
            };
            let mode = if stat.kind == LocalKind::File { files.mode(&place).unwrap_or(0o644) & 0o777 } else { 0o777 };
            let member = Member { path: inside.into_bytes(), kind, mode, mtime: stat.modified.unwrap_or(now) };
            let length = write::length(&member);
            if length > limit {
                large.push((path, place, stat.size));
                continue;
            }
            if batch.length + length > limit || batch.members >= MOST_MEMBERS {
                if !measured {
                    self.measure(files.as_ref(), local, options.dereference, limit)?;
                    measured = true;
                }
                sender.send(std::mem::take(&mut batch), &mut summary).await?;
            }
            let file = (stat.kind == LocalKind::File).then(|| {
                Rc::new(LazyFile { local: Rc::clone(&files), path: place, size: stat.size }) as Rc<dyn LocalFile>
            });
            batch.add(&member, file);
        }
        if !measured {
            self.watch().expect(batch.bytes, batch.files);
        }
        sender.send(batch, &mut summary).await?;
        for (path, place, size) in large {
            let goal = target.join(&path)?;
            let one = TransferOptions { overwrite: Overwrite::Replace, ..options };
            Box::pin(self.put(Rc::clone(&files), &place, goal.as_str(), one)).await?;
            summary.files += 1;
            summary.bytes += size;
        }
        if !closed.is_empty() {
            let mut last = Batch::default();
            // The deepest first: a closed directory lets nobody into those below it.
            closed.iter().rev().for_each(|member| last.add(member, None));
            last.directories = 0;
            sender.send(last, &mut summary).await?;
        }
        if summary.files == 0 {
            verified = Verification::None;
        }
        summary.verified = verified;
        Ok(summary)
    }
}

impl Session {
    /// What will go in archives. Files that are left out because they are there already are not known to be.
    fn measure(&self, files: &dyn Local, local: &str, follow: bool, limit: u64) -> Result<()> {
        let (mut bytes, mut count) = (0, 0);
        let mut walk = Walk::new(files, local, follow)?;
        while let Some(Found { stat, .. }) = walk.step()? {
            self.watch().check()?;
            if stat.kind == LocalKind::File && stat.size <= limit {
                bytes += stat.size;
                count += 1;
            }
        }
        self.watch().expect(bytes, count);
        Ok(())
    }
}

/// Sends archives to where they are unpacked.
struct Sender<'a> {
    session: &'a Session,
    /// What the archives' names are relative to.
    parent: RemotePath,
    target: &'a RemotePath,
    options: TransferOptions,
}

impl Sender<'_> {
    async fn send(&self, batch: Batch, summary: &mut Summary) -> Result<()> {
        if batch.members == 0 {
            return Ok(());
        }
        let api = &self.session.api;
        let folder = match &self.session.options.temp_directory {
            Some(folder) => folder.clone(),
            None => self.parent.clone(),
        };
        let name = format!("{}.tar", self.session.passing_name());
        let archive = folder.join(&name)?;
        let (files, directories, bytes) = (batch.files, batch.directories, batch.bytes);
        let content = Content::Parts(batch.finish());
        let mut sent = api.upload(&folder, &name, &content, self.target.as_str()).await;
        if matches!(&sent, Err(error) if error.kind == Kind::NotFound)
            && (self.options.parents || folder != self.parent)
        {
            api.mkdir(&folder, true).await?;
            sent = api.upload(&folder, &name, &content, self.target.as_str()).await;
        }
        let unpacked = match sent {
            Ok(()) => self.unpack(&archive, &content).await,
            Err(error) => Err(error),
        };
        self.session.tidy(&[&archive]).await;
        unpacked?;
        self.session.watch().arrived(files);
        summary.files += files;
        summary.directories += directories;
        summary.bytes += bytes;
        Ok(())
    }

    async fn unpack(&self, archive: &RemotePath, content: &Content) -> Result<()> {
        let api = &self.session.api;
        if self.options.verify.or(self.session.options.checksum_check).unwrap_or(false) {
            let (ours, theirs) = (super::put::hash(content).await?, api.checksum(archive).await?);
            if ours != theirs {
                let message = format!("{}: the bytes on the cluster are not those that were sent", self.target);
                return Err(Error::new(Kind::ChecksumMismatch, message).about(self.target.as_str()));
            }
        }
        let mut done = api.extract(archive, &self.parent, Compression::None).await;
        if matches!(&done, Err(error) if error.kind == Kind::NotFound) && self.options.parents {
            api.mkdir(&self.parent, true).await?;
            done = api.extract(archive, &self.parent, Compression::None).await;
        }
        // Not within the server's 5 s: a job unpacks it again from the start.
        if matches!(&done, Err(error) if error.kind == Kind::OutcomeUnknown) && !self.session.watch().is_stopped() {
            let body = format!("exec tar -xf {} -C {}", quote(archive.as_str()), quote(self.parent.as_str()));
            let work = Work { operation: "put", subject: self.target.as_str(), body, ..Work::default() };
            done = self.session.run_or_fail(work).await.map(drop);
        }
        match done {
            Err(error) => Err(self.session.in_the_way(error, &self.parent).await.about(self.target.as_str())),
            Ok(()) => Ok(()),
        }
    }
}
