//! A folder of the cluster to the host, as a tar archive that is unpacked as it arrives.
//!
//! **What it costs.** A direct request takes a tenth of a second; a job waits in a queue, for seconds or for hours. So, in this order:
//!
//! 1. packed by the server, fetched, removed: three requests, for what fits one download (3.9 MB, as shipped);
//! 2. packed again with gzip, where that may be enough (up to `GZIP_PAYS` downloads): two more;
//! 3. through the object store: one job, and a few requests whatever the size;
//! 4. without a store: a job cuts the archive into downloads, one request each;
//! 5. where jobs want an account and none is set: file by file, as many at once as the session allows.
//!
//! What the server cannot pack in its 5 s a job packs. Where nothing is there yet, the tree is built beside its place and renamed.

use std::io::Write as _;
use std::rc::Rc;

use flate2::write::GzDecoder;
use futures_util::future::LocalBoxFuture;
use sha2::{Digest, Sha256};

use super::fetch::{Sink, Take};
use super::get::{ATTEMPTS, Opened};
use super::inspect::ListOptions;
use super::job::Work;
use super::large::compare;
use super::put::hex;
use super::{Overwrite, Summary, TransferOptions, Verification, local_join};
use crate::archive::{ArchiveError, Event, Limits, Member, Placement, Reader, Targets};
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::listing::FileKind;
use crate::firecrest::v2::models::Compression;
use crate::http::SendError;
use crate::local::{Local, LocalKind, LocalWriter, SMALL, SmallFile};
use crate::remote::RemotePath;
use crate::session::Session;
use crate::shell::quote;
use crate::watch::Watch;

/// This many files are handed to the client at once: enough for any bound on requests, and little to remember.
const AT_ONCE: usize = 256;
/// Text packs to a third, sources to a fifth, output of programs to a tenth: an archive of up to so many downloads may become one.
const GZIP_PAYS: u64 = 8;
/// Of a piece's name.
const DIGITS: usize = 6;
/// So much of a gzip stream is unpacked at once: it becomes a thousand times as much at worst.
const INFLATED_AT_ONCE: usize = 1024;

impl Session {
    /// Moves a remote folder to the host: it becomes `local`, or an entry of it where that is a directory already.
    pub(super) async fn get_tree(
        &self,
        files: &Rc<dyn Local>,
        source: &RemotePath,
        local: &str,
        options: TransferOptions,
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
        let place = if there { target.clone() } else { self.beside(&target) };
        files.make_directory(&place)?;
        let got = self.fill(files, source, &place, !there, options).await;
        let got = got.map(|summary| Summary { directories: summary.directories + 1, ..summary });
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
        aside: bool,
        options: TransferOptions,
    ) -> Result<Summary> {
        let mut unpacker = Unpacker::new(files, source, place, options, Rc::clone(self.watch()));
        unpacker.aside = aside;
        if options.verify.or(self.options.checksum_check).unwrap_or(false) {
            (unpacker.hasher, unpacker.verified) = (Some(Sha256::new()), Verification::Checksum);
        }
        let mut left = Vec::new();
        let brought = self.bring(source, options.dereference, &mut unpacker, &mut left).await;
        self.tidy(&left.iter().collect::<Vec<_>>()).await;
        match brought {
            Ok(()) => {
                let verified = unpacker.verified;
                let summary = unpacker.finish()?;
                Ok(Summary { verified, ..summary })
            }
            // No job can run: whatever the tree's size, its files can be asked for one by one.
            Err(error) if error.info.subject.as_deref() == Some("billing_account") => {
                self.get_file_by_file(files, source, place, options).await
            }
            Err(error) => Err(error),
        }
    }

    /// Brings the tree as an archive, by the cheapest way that it fits; what is made on the cluster is noted in `left`.
    async fn bring(
        &self,
        source: &RemotePath,
        follow: bool,
        unpacker: &mut Unpacker<'_>,
        left: &mut Vec<RemotePath>,
    ) -> Result<()> {
        let folder = self.temporary_folder().await?;
        let name = self.passing_name();
        let archive = folder.join(&format!("{name}.tar"))?;
        left.push(archive.clone());
        let mut size = match self.pack_directly(source, &archive, follow, Compression::None).await? {
            Some(size) => size,
            // Not in the server's time, so for a job; which cuts it at once, where no store takes it whole.
            None if !self.has_store() => {
                return self.bring_pieces(source, follow, None, &folder, &name, unpacker, left).await;
            }
            None => self.pack_by_job(source, &archive, follow).await?,
        };
        if size.is_none_or(|size| size <= self.download_limit()) {
            match self.feed(&archive, unpacker, &mut None).await? {
                None => return Ok(()),
                too_large => size = too_large,
            }
        }
        let size = size.unwrap_or(u64::MAX);
        if size <= GZIP_PAYS * self.download_limit() {
            let packed = folder.join(&format!("{name}.tar.gz"))?;
            left.push(packed.clone());
            if self.pack_directly(source, &packed, follow, Compression::Gzip).await?.is_some()
                && self.api.stat(&packed, true).await?.size <= self.download_limit()
                && self.feed(&packed, unpacker, &mut Some(GzDecoder::new(Vec::new()))).await?.is_none()
            {
                return Ok(());
            }
        }
        if !self.has_store() {
            return self.bring_pieces(source, follow, Some(&archive), &folder, &name, unpacker, left).await;
        }
        self.watch().expect(size, 0);
        let sink = Sink::Memory(unpacker);
        self.with_object(&archive, size, 0, None, |object| {
            Box::pin(self.receive_in_order(object, source.as_str(), 0, size, sink))
        })
        .await?;
        self.verify_archive(&archive, unpacker).await
    }

    /// Compares an archive with what arrived of it, where that was asked for.
    async fn verify_archive(&self, path: &RemotePath, unpacker: &mut Unpacker<'_>) -> Result<()> {
        let Some(hasher) = &mut unpacker.hasher else { return Ok(()) };
        let ours = hex(&hasher.finalize_reset());
        let verified = compare(path, &ours, self.checksum_of_any_size(path).await?);
        let verified = verified.map_err(|e| e.about(unpacker.source.as_str()))?;
        unpacker.verified = unpacker.verified.min(verified);
        Ok(())
    }

    /// Packs the folder's content under the name `.`, so that its own name does not matter. None: the server's time was too short, or
    /// there were more names than its buffer takes. The size is not told.
    async fn pack_directly(
        &self,
        source: &RemotePath,
        archive: &RemotePath,
        follow: bool,
        compression: Compression,
    ) -> Result<Option<Option<u64>>> {
        let inside = format!("{}.", source.as_directory());
        match self.api.compress(&inside, archive, follow, compression).await {
            Ok(()) => Ok(Some(None)),
            Err(error)
                if matches!(error.kind, Kind::OutcomeUnknown | Kind::TooLarge | Kind::Timeout)
                    && !self.watch().is_stopped() =>
            {
                Ok(None)
            }
            Err(mut error) => {
                if let Some(rest) = error.info.message.strip_prefix(&inside) {
                    error.info.message = format!("{source}{rest}");
                }
                Err(error.about(source.as_str()))
            }
        }
    }

    /// The same by a job; the archive's size.
    async fn pack_by_job(&self, source: &RemotePath, archive: &RemotePath, follow: bool) -> Result<Option<u64>> {
        let to = quote(archive.as_str());
        let body =
            format!("tar -cf {to} {}-C {} . && exec stat -c %s -- {to}", dereference(follow), quote(source.as_str()));
        let work = Work { operation: "get", subject: source.as_str(), body, ..Work::default() };
        let told = self.run_or_fail(work).await?.stdout;
        Ok(String::from_utf8_lossy(&told).trim().parse().ok())
    }

    /// Packs a tree, by whatever way.
    pub(super) async fn pack(&self, source: &RemotePath, archive: &RemotePath, options: TransferOptions) -> Result<()> {
        match self.pack_directly(source, archive, options.dereference, Compression::None).await? {
            Some(_) => Ok(()),
            None => self.pack_by_job(source, archive, options.dereference).await.map(drop),
        }
    }

    /// Has a job cut the archive into downloads, and fetches them in order, each while the one before is unpacked.
    #[allow(clippy::too_many_arguments)]
    async fn bring_pieces(
        &self,
        source: &RemotePath,
        follow: bool,
        archive: Option<&RemotePath>,
        folder: &RemotePath,
        name: &str,
        unpacker: &mut Unpacker<'_>,
        left: &mut Vec<RemotePath>,
    ) -> Result<()> {
        let pieces = folder.join(&format!("{name}.pieces"))?;
        left.push(pieces.clone());
        let (to, limit) = (quote(pieces.as_str()), self.sure_download());
        let from = match archive {
            Some(archive) => format!("cat < {}", quote(archive.as_str())),
            None => format!("tar -cf - {}-C {} .", dereference(follow), quote(source.as_str())),
        };
        let body = format!(
            "set -e -o pipefail\nmkdir -- {to}\n{from} | split -b {limit} -a {DIGITS} -d - {to}/\nls {to} | wc -l"
        );
        let work = Work { operation: "get", subject: source.as_str(), body, ..Work::default() };
        let told = self.run_or_fail(work).await?.stdout;
        let count: u64 = String::from_utf8_lossy(&told).trim().parse().map_err(|_| {
            Error::new(Kind::Other, format!("{source}: the cluster does not tell the number of pieces"))
        })?;
        for i in 0..count {
            let piece = pieces.join(&format!("{i:0width$}", width = DIGITS))?;
            if self.feed(&piece, unpacker, &mut None).await?.is_some() {
                return Err(
                    Error::new(Kind::TooLarge, format!("{piece} is more than a download")).about(source.as_str())
                );
            }
        }
        Ok(())
    }

    /// Unpacks one download; begun anew where its body broke. Or says that it is too large for one.
    async fn feed(
        &self,
        path: &RemotePath,
        unpacker: &mut Unpacker<'_>,
        inflate: &mut Option<GzDecoder<Vec<u8>>>,
    ) -> Result<Option<u64>> {
        let (mut done, mut attempt) = (0, 1);
        loop {
            let mut answer = match self.begin_download(path).await? {
                Opened::Answer(answer) => answer,
                Opened::TooLarge(size) if attempt == 1 => return Ok(Some(size)),
                // Some of it is unpacked.
                Opened::TooLarge(size) => return Err(self.too_large(path.as_str(), size, self.download_limit())),
            };
            if attempt == 1 {
                self.watch().expect(answer.length().unwrap_or(0), 0);
            }
            let mut skip = done;
            loop {
                match answer.body.chunk().await {
                    Ok(None) => break,
                    Ok(Some(bytes)) => {
                        let known = skip.min(bytes.len());
                        skip -= known;
                        let bytes = &bytes[known..];
                        unpacker.hash(bytes);
                        match inflate {
                            None => unpacker.unpack(bytes).await?,
                            Some(inflate) => unpacker.inflate(inflate, bytes).await?,
                        }
                        done += bytes.len();
                        self.watch().moved(bytes.len() as u64);
                    }
                    Err(SendError::Reset(_)) if attempt < ATTEMPTS => {
                        attempt += 1;
                        break;
                    }
                    Err(error) => return Err(self.broken(&error).about(unpacker.source.as_str())),
                }
            }
            if skip == 0 && answer.length().is_none_or(|length| length == done as u64) {
                drop(answer);
                if let Some(inflate) = inflate {
                    unpacker.end_of_gzip(inflate).await?;
                }
                return self.verify_archive(path, unpacker).await.map(|()| None);
            }
            if attempt >= ATTEMPTS {
                let message = format!("{}: the archive did not arrive whole", unpacker.source);
                return Err(Error::new(Kind::Unavailable, message).about(unpacker.source.as_str()));
            }
        }
    }

    /// One request a file, many at once.
    async fn get_file_by_file(
        &self,
        files: &Rc<dyn Local>,
        source: &RemotePath,
        place: &str,
        options: TransferOptions,
    ) -> Result<Summary> {
        let entries = self.list(source.as_str(), &ListOptions { recursive: true, hidden: true, pattern: None }).await?;
        let (mut summary, mut surest) = (Summary::default(), None);
        let mut regular = Vec::new();
        let mut links = Vec::new();
        let mut modes = Vec::new();
        for entry in entries {
            if entry.raw_path.is_some() {
                return Err(Error::invalid(&entry.path, format!("{source}/{}: the name is not UTF-8", entry.path)));
            }
            match entry.kind {
                FileKind::Directory => {
                    // They come in no order.
                    let folder = local_join(place, &entry.path);
                    make_parents(files.as_ref(), &folder)?;
                    files.make_directory(&folder)?;
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
        for group in regular.chunks(AT_ONCE) {
            let each = group.iter().map(|entry| {
                let known =
                    TransferOptions { size: Some(entry.size), mode: Some(entry.permissions & 0o777), ..options };
                let remote = format!("{source}/{}", entry.path);
                async move { self.get(Rc::clone(files), &remote, &local_join(place, &entry.path), known).await }
            });
            for got in all(each).await {
                let one = got?;
                summary.files += one.files;
                summary.bytes += one.bytes;
                summary.skipped += one.skipped;
                surest = Some(surest.map_or(one.verified, |so_far: Verification| so_far.min(one.verified)));
            }
        }
        for entry in links {
            let (remote, path) = (format!("{source}/{}", entry.path), local_join(place, &entry.path));
            if options.dereference {
                let known = TransferOptions { size: None, mode: None, ..options };
                let one = Box::pin(self.get(Rc::clone(files), &remote, &path, known)).await?;
                summary.files += one.files;
                summary.directories += one.directories;
                summary.bytes += one.bytes;
            } else {
                files.make_symlink(entry.link_target.as_deref().unwrap_or_default(), &path)?;
            }
        }
        summary.verified = surest.unwrap_or_default();
        // The deepest first: a closed directory lets nobody into those below it.
        let depth = |path: &str| path.bytes().filter(|byte| *byte == b'/').count();
        let deepest = modes.iter().map(|(path, _)| depth(path)).max().unwrap_or(0);
        for level in (0..=deepest).rev() {
            let of_level = modes.iter().filter(|(path, _)| depth(path) == level);
            of_level.for_each(|(path, mode)| files.set_mode(&local_join(place, path), *mode));
        }
        Ok(summary)
    }
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
    /// The place is made aside, and renamed in the end.
    aside: bool,
    file: Option<Unpacked>,
    /// The directory that a file was put into last, which is there.
    parent: String,
    /// Directories that get their bits when everything is in them.
    closed: Vec<(String, u32)>,
    summary: Summary,
    watch: Rc<Watch>,
    /// Of an archive's bytes, where they are verified.
    hasher: Option<Sha256>,
    verified: Verification,
}

/// A file that is being unpacked.
struct Unpacked {
    place: String,
    content: Content,
    mode: u32,
    modified: i64,
}

enum Content {
    /// Gathered, and written at once.
    Small(Vec<u8>),
    Large(Box<dyn LocalWriter>),
}

impl<'a> Unpacker<'a> {
    fn new(
        files: &'a Rc<dyn Local>,
        source: &'a RemotePath,
        place: &'a str,
        options: TransferOptions,
        watch: Rc<Watch>,
    ) -> Self {
        Self {
            files,
            source,
            place,
            options,
            reader: Reader::new(),
            targets: Targets::new(0, Limits::default()),
            aside: false,
            file: None,
            parent: String::new(),
            closed: Vec::new(),
            summary: Summary::default(),
            watch,
            hasher: None,
            verified: Verification::None,
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    fn local(&self, path: &str) -> String {
        if path == "." { self.place.to_owned() } else { local_join(self.place, path) }
    }

    async fn unpack(&mut self, mut rest: &[u8]) -> Result<()> {
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
                        Placement::File { path } => self.begin(&path, &member)?,
                        Placement::CopyOf { path, of } => self.copy(&path, &of, member.mode).await?,
                    }
                }
                Some(Event::Content(bytes)) => {
                    if let Some(file) = &mut self.file {
                        match &mut file.content {
                            Content::Small(content) => content.extend_from_slice(bytes),
                            Content::Large(writer) => writer.write(bytes).await?,
                        }
                        self.summary.bytes += bytes.len() as u64;
                    }
                }
                Some(Event::EndOfMember) => {
                    if let Some(file) = self.file.take() {
                        self.end(file).await?;
                        self.summary.files += 1;
                        self.watch.arrived(1);
                    }
                }
                Some(Event::End) => {}
            }
            rest = &rest[used..];
        }
    }

    /// The same with a piece of a gzip stream.
    async fn inflate(&mut self, inflate: &mut GzDecoder<Vec<u8>>, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(INFLATED_AT_ONCE) {
            let written = inflate.write_all(piece);
            self.unpack_inflated(inflate, written).await?;
        }
        Ok(())
    }

    /// What the decoder still holds; its length and checksum are compared.
    async fn end_of_gzip(&mut self, inflate: &mut GzDecoder<Vec<u8>>) -> Result<()> {
        let ended = inflate.try_finish();
        self.unpack_inflated(inflate, ended).await
    }

    async fn unpack_inflated(&mut self, inflate: &mut GzDecoder<Vec<u8>>, so_far: std::io::Result<()>) -> Result<()> {
        so_far.map_err(|error| {
            let message = format!("{}: the packed archive cannot be read: {error}", self.source);
            Error::new(Kind::ChecksumMismatch, message).about(self.source.as_str())
        })?;
        let inflated = std::mem::take(inflate.get_mut());
        self.unpack(&inflated).await
    }

    fn begin(&mut self, path: &str, member: &Member) -> Result<()> {
        let place = self.local(path);
        if self.options.overwrite == Overwrite::Skip && self.files.stat(&place, false)?.is_some() {
            self.summary.skipped += 1;
            return Ok(());
        }
        let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
        if self.parent != parent {
            make_parents(self.files.as_ref(), &place)?;
            self.parent = parent.to_owned();
        }
        let content = if member.size() <= SMALL {
            Content::Small(Vec::with_capacity(member.size() as usize))
        } else {
            Content::Large(self.files.create(&place, true)?)
        };
        self.file = Some(Unpacked { place, content, mode: member.mode & 0o777, modified: member.mtime });
        Ok(())
    }

    async fn end(&self, file: Unpacked) -> Result<()> {
        let Unpacked { place, content, mode, modified } = file;
        match content {
            Content::Small(bytes) => {
                let file = SmallFile { path: &place, bytes: &bytes, mode, modified, aside: self.aside };
                self.files.write_small(&file)
            }
            Content::Large(writer) => writer.finish(Some(mode), Some(modified)).await,
        }
    }

    /// A second name of a file that came before: its bytes once more.
    async fn copy(&mut self, path: &str, of: &str, mode: u32) -> Result<()> {
        let file = self.files.open(&self.local(of), None)?;
        let mut reader = file.read_from(0).await?;
        let place = self.local(path);
        make_parents(self.files.as_ref(), &place)?;
        let mut writer = self.files.create(&place, true)?;
        while let Some(bytes) = reader.read(64 * 1024).await? {
            writer.write(&bytes).await?;
            self.summary.bytes += bytes.len() as u64;
        }
        writer.finish(Some(mode & 0o777), None).await?;
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

impl Take for Unpacker<'_> {
    fn take<'a>(&'a mut self, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<()>> {
        self.hash(bytes);
        Box::pin(self.unpack(bytes))
    }
}

fn dereference(follow: bool) -> &'static str {
    if follow { "--dereference " } else { "" }
}

fn broken(source: &RemotePath, error: ArchiveError) -> Error {
    let mut error = Error::from(error);
    error.info.message = format!("{source}: {}", error.info.message);
    error
}
