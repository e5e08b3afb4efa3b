//! From one session's cluster to another's, streamed through: a file never has a place of its own on the way.
//!
//! A small file passes through memory. A larger one is fetched from the first cluster's object store piece by piece, each piece the
//! body of an upload to the second's. A folder is packed on the first cluster, moved as a file, and unpacked on the second.

use std::rc::Rc;

use futures_util::future::{LocalBoxFuture, join};

use super::archive::ExtractOptions;
use super::fetch::Object;
use super::get::MOST_IN_MEMORY;
use super::{Overwrite, Summary, TransferOptions, Verification};
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::files::Content;
use crate::firecrest::v2::listing::FileKind;
use crate::firecrest::v2::models::Compression;
use crate::http::{BodyReader, Url};
use crate::local::{LocalFile, LocalReader};
use crate::objectstore::{ObjectStore, Ranged};
use crate::remote::RemotePath;
use crate::session::Session;

/// An object of a store, read as a file is: each reading is a request for the rest of it.
struct ObjectFile {
    store: ObjectStore,
    url: Url,
    size: u64,
    etag: Option<String>,
    name: String,
}

impl LocalFile for ObjectFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn mode(&self) -> Option<u32> {
        None
    }

    fn read_from(&self, offset: u64) -> LocalBoxFuture<'_, Result<Box<dyn LocalReader>>> {
        Box::pin(async move {
            match self.store.get_from(&self.url, offset, None, self.etag.as_deref(), &self.name).await? {
                Ranged::Body { response, .. } => Ok(Box::new(BodyReader(response.body)) as Box<dyn LocalReader>),
                Ranged::Missing => Err(Error::new(Kind::NotFound, format!("{}: the object has gone", self.name))),
            }
        })
    }
}

impl Session {
    /// Copies a file or a tree to another session's cluster.
    pub async fn copy_to(
        &self,
        path: &str,
        other: &Session,
        target: &str,
        options: TransferOptions,
    ) -> Result<Summary> {
        let source = RemotePath::parse(path)?;
        let mut place = RemotePath::parse(target)?;
        let stat = match self.api.stat(&source, true).await {
            Ok(stat) => stat,
            Err(error) if error.kind == Kind::NotFound && options.ignore_nonexisting => return Ok(Summary::skipped()),
            Err(error) => return Err(error.about(path)),
        };
        let (_, name) =
            source.split().ok_or_else(|| Error::invalid(path, format!("{path} names no entry of a directory")))?;
        let kind = FileKind::from_mode(stat.mode);
        let there = match other.api.stat(&place, true).await {
            Ok(found) if FileKind::from_mode(found.mode) == FileKind::Directory => {
                place = place.join(name)?;
                // What the entry would replace.
                options.overwrite != Overwrite::Replace && other.exists(place.as_str()).await?
            }
            Ok(_) if kind == FileKind::Directory => {
                return Err(
                    Error::new(Kind::NotADirectory, format!("{target} is there, and is not a directory")).about(target)
                );
            }
            Ok(_) => true,
            Err(error) if error.kind == Kind::NotFound => false,
            Err(error) => return Err(error.about(target)),
        };
        match options.overwrite {
            Overwrite::Fail if there => {
                return Err(Error::new(Kind::AlreadyExists, format!("{place} is already there")).about(place.as_str()));
            }
            Overwrite::Skip if there => return Ok(Summary::skipped()),
            _ => {}
        }
        if options.parents
            && let Some((parent, _)) = place.split()
        {
            other.api.mkdir(&parent, true).await?;
        }
        match kind {
            FileKind::Regular => {
                self.watch().expect(stat.size, 1);
                let mode = Some(stat.mode & 0o777);
                let verified = self.move_file(&source, stat.size, other, &place, mode, options).await?;
                self.watch().arrived(1);
                Ok(Summary { files: 1, bytes: stat.size, verified, ..Summary::default() })
            }
            FileKind::Directory => self.move_tree(&source, other, &place, options).await,
            _ => Err(Error::invalid(path, format!("{path} is neither a file nor a directory"))),
        }
    }

    async fn move_file(
        &self,
        source: &RemotePath,
        size: u64,
        other: &Session,
        place: &RemotePath,
        mode: Option<u32>,
        options: TransferOptions,
    ) -> Result<Verification> {
        // What takes longer than the server allows has no other way then.
        let direct = if self.check_large("copy-to", source.as_str()).is_ok() {
            self.sure_download()
        } else {
            self.download_limit().min(MOST_IN_MEMORY)
        };
        let large = size > direct || size > other.upload_limit();
        let verify = options.verify.or(self.options.checksum_check).unwrap_or(large);
        if !large {
            let bytes = self.read(source.as_str(), 0, None).await?;
            other.send(place, &Content::Bytes(bytes.into()), place.as_str()).await?;
            self.watch().moved(size);
            if let Some(mode) = mode {
                other.api.chmod(place, mode).await?;
            }
        } else if size <= direct {
            let bytes = self.read(source.as_str(), 0, None).await?;
            other.put_large(place, &Content::Bytes(bytes.into()), mode, false).await?;
        } else {
            self.move_object(source, size, other, place, mode).await?;
        }
        if !verify {
            return Ok(if large { Verification::Size } else { Verification::None });
        }
        let (ours, theirs) = join(self.checksum_of_any_size(source), other.checksum_of_any_size(place)).await;
        match (ours?, theirs?) {
            (Some(ours), Some(theirs)) if ours == theirs => Ok(Verification::Checksum),
            (Some(ours), Some(theirs)) => {
                let message = format!("{place}: the bytes differ: SHA-256 {ours} at the source, {theirs} here");
                Err(Error::new(Kind::ChecksumMismatch, message).about(place.as_str()))
            }
            _ => Ok(Verification::Size),
        }
    }

    /// Past the direct limit: out of one object store, into the other cluster.
    async fn move_object(
        &self,
        source: &RemotePath,
        size: u64,
        other: &Session,
        place: &RemotePath,
        mode: Option<u32>,
    ) -> Result<()> {
        self.with_object(source, size, 0, Some(1), |object| {
            Box::pin(async move {
                // Its first answer is not read: each part asks for its own bytes, and can ask again.
                let Object { store, url, etag, .. } = object;
                let file = ObjectFile { store, url, size, etag, name: source.as_str().to_owned() };
                let content = Content::File(Rc::new(file));
                if size > other.upload_limit() {
                    return other.put_large(place, &content, mode, false).await.map(drop);
                }
                other.send(place, &content, place.as_str()).await?;
                match mode {
                    Some(mode) => other.api.chmod(place, mode).await,
                    None => Ok(()),
                }
            })
        })
        .await
    }

    async fn move_tree(
        &self,
        source: &RemotePath,
        other: &Session,
        place: &RemotePath,
        options: TransferOptions,
    ) -> Result<Summary> {
        let name = format!("{}.tar", self.passing_name());
        let archive = self.temporary_folder().await?.join(&name)?;
        let landing = other.temporary_folder().await?.join(&name)?;
        let moved = match self.pack(source, &archive, options).await {
            Ok(()) => self.move_archive(&archive, other, &landing, place, options).await,
            Err(error) => Err(error),
        };
        join(self.tidy(&[&archive]), other.tidy(&[&landing])).await;
        moved
    }

    async fn move_archive(
        &self,
        archive: &RemotePath,
        other: &Session,
        landing: &RemotePath,
        place: &RemotePath,
        options: TransferOptions,
    ) -> Result<Summary> {
        let size = self.api.stat(archive, true).await?.size;
        self.watch().expect(size, 1);
        let verified = self.move_file(archive, size, other, landing, None, options).await?;
        other.api.mkdir(place, true).await?;
        let unpack = ExtractOptions { compression: Some(Compression::None), strip_components: 0 };
        other.extract(landing.as_str(), place.as_str(), unpack).await?;
        // What was in it only the clusters know.
        Ok(Summary { directories: 1, bytes: size, verified, ..Summary::default() })
    }
}
