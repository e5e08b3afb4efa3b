//! A folder of the cluster to the host, as a tar archive that is unpacked as it arrives.
//!
//! **What it costs.** Packing, fetching and removing an archive are three requests, whatever is in it; file by file a tree takes a
//! request a file. So it is packed first, and only a tree whose archive is more than one download may carry is fetched file by file,
//! as many at once as the session allows. Where nothing is there yet, the tree is built beside its place and renamed.

use std::rc::Rc;

use super::inspect::ListOptions;
use super::job::Work;
use super::{Overwrite, Progress, Report, Summary, TransferOptions, Verification, local_join, report};
use crate::archive::{ArchiveError, Event, Limits, Placement, Reader, Targets};
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::firecrest::OpenAnswer;
use crate::firecrest::v2::listing::FileKind;
use crate::firecrest::v2::models::Compression;
use crate::http::retry::Effect;
use crate::local::{Local, LocalKind, LocalWriter};
use crate::remote::RemotePath;
use crate::session::Session;
use crate::shell::quote;

/// This many files are handed to the client at once: enough for any bound on requests, and little to remember.
const AT_ONCE: usize = 256;

impl Session {
    /// Moves a remote folder to the host: it becomes `local`, or an entry of it where that is a directory already.
    pub(super) async fn get_tree(
        &self,
        files: &Rc<dyn Local>,
        source: &RemotePath,
        local: &str,
        options: TransferOptions,
        progress: &Report,
    ) -> Result<Summary> {
        let target = match files.stat(local, true)?.map(|stat| stat.kind) {
            Some(LocalKind::Directory) => match source.split() {
                Some((_, name)) => local_join(local, name),
                None => local.to_owned(),
            },
            Some(_) => {
                return Err(
                    Error::new(Kind::NotADirectory, format!("{local} is there, and is not a directory")).about(local)
                );
            }
            None => local.trim_end_matches('/').to_owned(),
        };
        let there = files.stat(&target, false)?.is_some();
        if there && options.overwrite == Overwrite::Fail {
            return Err(Error::new(Kind::AlreadyExists, format!("{target} is already there")).about(target));
        }
        if options.parents {
            make_parents(files.as_ref(), &target)?;
        }
        // Nothing there: beside its place, and renamed when it is whole.
        let place = if there { target.clone() } else { beside(&target, self.api.client.platform().random()) };
        files.make_directory(&place)?;
        let got = self.fill(files, source, &place, options, progress).await;
        match got {
            Ok(summary) if there => Ok(summary),
            Ok(summary) => match files.rename(&place, &target) {
                Ok(()) => Ok(summary),
                Err(error) => {
                    files.remove_tree(&place);
                    Err(error)
                }
            },
            Err(error) => {
                if !there {
                    files.remove_tree(&place);
                }
                Err(error)
            }
        }
    }

    async fn fill(
        &self,
        files: &Rc<dyn Local>,
        source: &RemotePath,
        place: &str,
        options: TransferOptions,
        progress: &Report,
    ) -> Result<Summary> {
        let folder = match &self.options.temp_directory {
            Some(folder) => folder.clone(),
            None => self.temporary_folder().await?,
        };
        let archive = folder.join(&format!(".aiida-firecrest-{:016x}.tar", self.api.client.platform().random()))?;
        let unpacked = match self.pack(source, &archive, options, progress).await {
            Ok(()) => self.unpack(files, &archive, source, place, options, progress).await,
            Err(error) => Err(error),
        };
        match unpacked {
            Ok(summary) => {
                self.api.rm(&archive).await?;
                Ok(summary)
            }
            Err(error) => {
                // tar begins an archive before it fails; there may be none.
                let _ = self.api.rm(&archive).await;
                if error.kind == Kind::TooLarge {
                    return self.get_file_by_file(files, source, place, options, progress).await;
                }
                Err(error)
            }
        }
    }

    /// Packs the folder's content under the name `.`, so that its own name does not matter.
    pub(super) async fn pack(
        &self,
        source: &RemotePath,
        archive: &RemotePath,
        options: TransferOptions,
        progress: &Report,
    ) -> Result<()> {
        let inside = format!("{}.", source.as_directory());
        match self.api.compress(&inside, archive, options.dereference, Compression::None).await {
            // Not within the server's 5 s, or more names than its buffer takes: a job packs it.
            Err(error) if matches!(error.kind, Kind::OutcomeUnknown | Kind::TooLarge | Kind::Timeout) => {
                let follow = if options.dereference { "--dereference " } else { "" };
                let body = format!("exec tar -cf {} {follow}-C {} .", quote(archive.as_str()), quote(source.as_str()));
                let work = Work { operation: "get", subject: source.as_str(), body, ..Work::default() };
                self.run_or_fail(work, Some(progress)).await.map(drop)
            }
            packed => packed.map_err(|e| e.about(source.as_str())),
        }
    }

    async fn unpack(
        &self,
        files: &Rc<dyn Local>,
        archive: &RemotePath,
        source: &RemotePath,
        place: &str,
        options: TransferOptions,
        progress: &Report,
    ) -> Result<Summary> {
        let mut answer = match self.api.download(archive).await {
            Ok(answer) => answer,
            // What is far too large the server tries for 5 s before it gives up.
            Err(error) if error.kind == Kind::Timeout => return Err(error.as_kind(Kind::TooLarge)),
            Err(error) => return Err(error),
        };
        let mut unpacker = Unpacker::new(files, source, place, options);
        self.receive(&mut answer, &mut unpacker, progress).await?;
        drop(answer);
        let mut summary = unpacker.finish()?;
        if options.verify.or(self.options.checksum_check).unwrap_or(false) {
            // The archive's own checksums cover its heads alone; its end mark, and the length, say that it is whole.
            summary.verified = Verification::Size;
        }
        Ok(summary)
    }

    async fn receive(&self, answer: &mut OpenAnswer, unpacker: &mut Unpacker<'_>, progress: &Report) -> Result<()> {
        let source = unpacker.source.as_str();
        let total = answer.length();
        let mut done = 0;
        loop {
            let chunk = answer.body.chunk().await;
            let chunk =
                chunk.map_err(|e| self.api.client.unanswered(&e, &self.options.url, Effect::Read).about(source))?;
            let Some(bytes) = chunk else { return Ok(()) };
            unpacker.take(&bytes).await?;
            done += bytes.len() as u64;
            let state = Progress {
                operation: "get",
                path: source,
                bytes_done: done,
                bytes_total: total,
                files_done: unpacker.summary.files,
                files_total: None,
            };
            report(progress, &state)?;
        }
    }

    /// One request a file, many at once.
    async fn get_file_by_file(
        &self,
        files: &Rc<dyn Local>,
        source: &RemotePath,
        place: &str,
        options: TransferOptions,
        progress: &Report,
    ) -> Result<Summary> {
        let mut entries =
            self.list(source.as_str(), &ListOptions { recursive: true, hidden: true, pattern: None }).await?;
        // Directories before what is in them.
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut summary = Summary::default();
        let mut regular = Vec::new();
        let mut links = Vec::new();
        let mut modes = Vec::new();
        for entry in entries {
            if entry.raw_path.is_some() {
                return Err(Error::invalid(&entry.path, format!("{source}/{}: the name is not UTF-8", entry.path)));
            }
            match entry.kind {
                FileKind::Directory => {
                    files.make_directory(&local_join(place, &entry.path))?;
                    summary.directories += 1;
                    modes.push((entry.path, entry.permissions));
                }
                FileKind::Regular => regular.push(entry),
                FileKind::Symlink => links.push(entry),
                _ => {
                    return Err(Error::invalid(
                        &entry.path,
                        format!("{source}/{} is no file, directory or link", entry.path),
                    ));
                }
            }
        }
        let quiet: Report = Rc::new(|_| true);
        for group in regular.chunks(AT_ONCE) {
            let each = group.iter().map(|entry| {
                let known =
                    TransferOptions { size: Some(entry.size), mode: Some(entry.permissions & 0o777), ..options };
                let (remote, quiet) = (format!("{source}/{}", entry.path), &quiet);
                async move { self.get(Rc::clone(files), &remote, &local_join(place, &entry.path), known, quiet).await }
            });
            for got in all(each).await {
                let one = got?;
                summary.files += one.files;
                summary.bytes += one.bytes;
                summary.skipped += one.skipped;
                summary.verified = one.verified;
            }
            let state = Progress {
                bytes_done: summary.bytes,
                files_done: summary.files,
                ..Progress::waiting("get", source.as_str())
            };
            report(progress, &state)?;
        }
        for entry in links {
            let (remote, path) = (format!("{source}/{}", entry.path), local_join(place, &entry.path));
            if options.dereference {
                let known = TransferOptions { size: None, mode: None, ..options };
                let one = Box::pin(self.get(Rc::clone(files), &remote, &path, known, &quiet)).await?;
                summary.files += one.files;
                summary.directories += one.directories;
                summary.bytes += one.bytes;
            } else {
                files.make_symlink(entry.link_target.as_deref().unwrap_or_default(), &path)?;
            }
        }
        modes.iter().rev().for_each(|(path, mode)| files.set_mode(&local_join(place, path), *mode));
        Ok(summary)
    }
}

/// A place beside a path that nobody has.
fn beside(target: &str, random: u64) -> String {
    let cut = target.rfind('/').map_or(0, |i| i + 1);
    format!("{}.{random:016x}.part", &target[..cut])
}

/// Makes the directories above a path.
pub(super) fn make_parents(files: &dyn Local, target: &str) -> Result<()> {
    let Some((parent, _)) = target.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) else { return Ok(()) };
    if files.stat(parent, true)?.is_some() {
        return Ok(());
    }
    make_parents(files, parent)?;
    files.make_directory(parent)
}

/// Puts members where they belong, as they arrive.
struct Unpacker<'a> {
    files: &'a Rc<dyn Local>,
    source: &'a RemotePath,
    place: &'a str,
    options: TransferOptions,
    reader: Reader,
    targets: Targets,
    writer: Option<(Box<dyn LocalWriter>, u32)>,
    /// Directories that get their bits when everything is in them.
    closed: Vec<(String, u32)>,
    summary: Summary,
}

impl<'a> Unpacker<'a> {
    fn new(files: &'a Rc<dyn Local>, source: &'a RemotePath, place: &'a str, options: TransferOptions) -> Self {
        Self {
            files,
            source,
            place,
            options,
            reader: Reader::new(),
            targets: Targets::new(0, Limits::default()),
            writer: None,
            closed: Vec::new(),
            summary: Summary::default(),
        }
    }

    fn local(&self, path: &str) -> String {
        if path == "." { self.place.to_owned() } else { local_join(self.place, path) }
    }

    async fn take(&mut self, mut rest: &[u8]) -> Result<()> {
        loop {
            let (used, event) = self.reader.feed(rest).map_err(|e| broken(self.source, e))?;
            match event {
                None => return Ok(()),
                Some(Event::Member(member)) => {
                    let placement = self.targets.place(&member).map_err(|e| broken(self.source, e))?;
                    match placement {
                        Placement::Skip(_) | Placement::Remembered => {}
                        Placement::Directory { path } => {
                            let place = self.local(&path);
                            if path != "." {
                                self.files.make_directory(&place)?;
                                self.summary.directories += 1;
                            }
                            match member.mode & 0o777 {
                                // What the umask gives anyway.
                                0o755 => {}
                                // A directory that its owner cannot write to is closed when everything is in it.
                                mode if mode & 0o700 != 0o700 => self.closed.push((place, mode)),
                                mode => self.files.set_mode(&place, mode),
                            }
                        }
                        Placement::File { path } => self.begin(&path, member.mode)?,
                        Placement::CopyOf { path, of } => self.copy(&path, &of, member.mode).await?,
                    }
                }
                Some(Event::Content(bytes)) => {
                    if let Some((writer, _)) = &mut self.writer {
                        writer.write(bytes).await?;
                        self.summary.bytes += bytes.len() as u64;
                    }
                }
                Some(Event::EndOfMember) => {
                    if let Some((writer, mode)) = self.writer.take() {
                        writer.finish(Some(mode & 0o777)).await?;
                        self.summary.files += 1;
                    }
                }
                Some(Event::End) => {}
            }
            rest = &rest[used..];
        }
    }

    fn begin(&mut self, path: &str, mode: u32) -> Result<()> {
        let place = self.local(path);
        if self.options.overwrite == Overwrite::Skip && self.files.stat(&place, false)?.is_some() {
            self.summary.skipped += 1;
            return Ok(());
        }
        make_parents(self.files.as_ref(), &place)?;
        self.writer = Some((self.files.create(&place, true)?, mode));
        Ok(())
    }

    /// A second name of a file that came before: its bytes once more.
    async fn copy(&mut self, path: &str, of: &str, mode: u32) -> Result<()> {
        let file = self.files.open(&self.local(of))?;
        let mut reader = file.read_from(0).await?;
        let place = self.local(path);
        make_parents(self.files.as_ref(), &place)?;
        let mut writer = self.files.create(&place, true)?;
        while let Some(bytes) = reader.read(64 * 1024).await? {
            writer.write(&bytes).await?;
            self.summary.bytes += bytes.len() as u64;
        }
        writer.finish(Some(mode & 0o777)).await?;
        self.summary.files += 1;
        Ok(())
    }

    fn finish(self) -> Result<Summary> {
        self.reader.finish().map_err(|e| broken(self.source, e))?;
        for link in self.targets.into_links() {
            let place = local_join(self.place, &link.path);
            make_parents(self.files.as_ref(), &place)?;
            if self.options.overwrite == Overwrite::Skip && self.files.stat(&place, false)?.is_some() {
                continue;
            }
            self.files.make_symlink(&link.target, &place)?;
        }
        // The deepest first: a closed directory lets nobody into those below it.
        self.closed.iter().rev().for_each(|(place, mode)| self.files.set_mode(place, *mode));
        Ok(self.summary)
    }
}

fn broken(source: &RemotePath, error: ArchiveError) -> Error {
    let mut error = Error::from(error);
    error.info.message = format!("{source}: {}", error.info.message);
    error
}
