//! Buckets, objects and unfinished uploads. The bytes are in files, each object a row of them: one for each part that it was
//! uploaded in, so that completing an upload copies nothing. What is where is known in memory alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use s3s::crypto::{Checksum as _, Md5};

/// A file of bytes; removed once nobody needs it.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(super) path: PathBuf,
}

impl Drop for Blob {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Bytes that were uploaded in one go.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(super) blob: Arc<Blob>,
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
}

/// A whole object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(super) pieces: Vec<Piece>,
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) modified: SystemTime,
}

/// Why an upload was not completed: S3's names for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoSuchUpload,
    MalformedXml,
    InvalidPart,
    InvalidPartOrder,
    EntityTooSmall,
}

struct Upload {
    place: (String, String),
    parts: BTreeMap<u32, Piece>,
}

#[derive(Default)]
struct Inner {
    buckets: BTreeSet<String>,
    objects: BTreeMap<(String, String), Arc<Object>>,
    uploads: BTreeMap<String, Upload>,
}

pub(crate) struct Store {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

impl Store {
    /// An empty store; what an earlier one left in the folder goes.
    pub(crate) fn new(folder: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned(), inner: Mutex::default() })
    }

    /// A place for new bytes.
    pub(super) fn blob(&self) -> Blob {
        Blob { path: self.folder.join(uuid::Uuid::new_v4().simple().to_string()) }
    }

    /// Starts an upload, in a bucket that is made where it is missing. The upload's id.
    pub(crate) fn create_upload(&self, bucket: &str, key: &str) -> String {
        let id = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let mut inner = crate::lock(&self.inner);
        inner.buckets.insert(bucket.to_owned());
        let place = (bucket.to_owned(), key.to_owned());
        inner.uploads.insert(id.clone(), Upload { place, parts: BTreeMap::new() });
        id
    }

    pub(super) fn has_bucket(&self, bucket: &str) -> bool {
        crate::lock(&self.inner).buckets.contains(bucket)
    }

    pub(super) fn has_upload(&self, bucket: &str, key: &str, id: &str) -> bool {
        crate::lock(&self.inner).uploads.get(id).is_some_and(|upload| upload.is(bucket, key))
    }

    /// Keeps a part; one of the same number goes. False where there is no such upload (any more).
    pub(super) fn put_part(&self, bucket: &str, key: &str, id: &str, number: u32, piece: Piece) -> bool {
        let mut inner = crate::lock(&self.inner);
        match inner.uploads.get_mut(id) {
            Some(upload) if upload.is(bucket, key) => {
                upload.parts.insert(number, piece);
                true
            }
            _ => false,
        }
    }

    pub(super) fn put_object(&self, bucket: &str, key: &str, piece: Piece) -> Arc<Object> {
        let object = Arc::new(Object {
            size: piece.size,
            etag: hex(&piece.md5),
            pieces: vec![piece],
            modified: SystemTime::now(),
        });
        let mut inner = crate::lock(&self.inner);
        inner.objects.insert((bucket.to_owned(), key.to_owned()), object.clone());
        object
    }

    /// Makes an object of an upload's parts. All parts but the last must have `least` bytes.
    pub(super) fn complete(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        listed: &[(u32, String)],
        least: u64,
    ) -> Result<Arc<Object>, Refusal> {
        let mut inner = crate::lock(&self.inner);
        let upload = inner.uploads.get(id).filter(|upload| upload.is(bucket, key)).ok_or(Refusal::NoSuchUpload)?;
        if listed.is_empty() {
            return Err(Refusal::MalformedXml);
        }
        if !listed.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(Refusal::InvalidPartOrder);
        }
        let mut pieces = Vec::with_capacity(listed.len());
        for (number, etag) in listed {
            let piece =
                upload.parts.get(number).filter(|piece| hex(&piece.md5) == *etag).ok_or(Refusal::InvalidPart)?;
            pieces.push(piece.clone());
        }
        if pieces[..pieces.len() - 1].iter().any(|piece| piece.size < least) {
            return Err(Refusal::EntityTooSmall);
        }
        let digests: Vec<u8> = pieces.iter().flat_map(|piece| piece.md5).collect();
        let object = Arc::new(Object {
            size: pieces.iter().map(|piece| piece.size).sum(),
            etag: format!("{}-{}", hex(&Md5::checksum(&digests)), pieces.len()),
            pieces,
            modified: SystemTime::now(),
        });
        inner.uploads.remove(id);
        inner.objects.insert((bucket.to_owned(), key.to_owned()), object.clone());
        Ok(object)
    }

    /// Loses a part of an unfinished upload, or an object.
    pub(super) fn lose(&self, bucket: &str, key: &str, part: Option<u32>) {
        let mut inner = crate::lock(&self.inner);
        match part {
            Some(number) => {
                for upload in inner.uploads.values_mut().filter(|upload| upload.is(bucket, key)) {
                    upload.parts.remove(&number);
                }
            }
            None => drop(inner.objects.remove(&(bucket.to_owned(), key.to_owned()))),
        }
    }

    /// Forgets an upload and its parts. False where there is no such upload.
    pub(super) fn abort(&self, bucket: &str, key: &str, id: &str) -> bool {
        let known = self.has_upload(bucket, key, id);
        known && crate::lock(&self.inner).uploads.remove(id).is_some()
    }

    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        crate::lock(&self.inner).objects.get(&(bucket.to_owned(), key.to_owned())).cloned()
    }

    pub(super) fn delete(&self, bucket: &str, key: &str) {
        crate::lock(&self.inner).objects.remove(&(bucket.to_owned(), key.to_owned()));
    }

    /// The keys of a bucket's objects, and their sizes.
    pub(crate) fn list(&self, bucket: &str) -> Vec<(String, u64)> {
        let inner = crate::lock(&self.inner);
        let objects = inner.objects.iter().filter(|((holder, _), _)| holder == bucket);
        objects.map(|((_, key), object)| (key.clone(), object.size)).collect()
    }
}

impl Upload {
    fn is(&self, bucket: &str, key: &str) -> bool {
        self.place.0 == bucket && self.place.1 == key
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_completed_by_the_rules() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::new(&folder.path().join("objects")).expect("a store");
        let id = store.create_upload("user", "k");
        let piece = |text: &[u8]| {
            let blob = store.blob();
            std::fs::write(&blob.path, text).expect("a file");
            Piece { blob: Arc::new(blob), size: text.len() as u64, md5: Md5::checksum(text) }
        };
        let etag = |text: &[u8]| hex(&Md5::checksum(text));
        assert!(store.put_part("user", "k", &id, 1, piece(b"old")));
        assert!(store.put_part("user", "k", &id, 1, piece(b"one")));
        assert!(store.put_part("user", "k", &id, 2, piece(b"two")));
        assert!(!store.put_part("user", "other", &id, 1, piece(b"one")));
        assert!(!store.put_part("user", "k", "unknown", 1, piece(b"one")));
        let complete = |parts: &[(u32, String)], least| store.complete("user", "k", &id, parts, least).map(|_| ());
        let (one, two) = ((1, etag(b"one")), (2, etag(b"two")));
        assert_eq!(complete(&[], 0), Err(Refusal::MalformedXml));
        assert_eq!(complete(&[two.clone(), one.clone()], 0), Err(Refusal::InvalidPartOrder));
        assert_eq!(complete(&[(1, etag(b"old")), two.clone()], 0), Err(Refusal::InvalidPart));
        assert_eq!(complete(&[one.clone(), (3, etag(b"two"))], 0), Err(Refusal::InvalidPart));
        assert_eq!(complete(&[one.clone(), two.clone()], 4), Err(Refusal::EntityTooSmall));
        assert!(store.object("user", "k").is_none());
        assert_eq!(complete(&[one.clone(), two.clone()], 3), Ok(()));
        assert_eq!(complete(&[one, two], 3), Err(Refusal::NoSuchUpload));
        let object = store.object("user", "k").expect("an object");
        assert_eq!((object.size, object.etag.ends_with("-2")), (6, true));
        assert_eq!(store.list("user"), [("k".to_owned(), 6)]);
        store.delete("user", "k");
        drop(object);
        assert_eq!(std::fs::read_dir(folder.path().join("objects")).expect("a folder").count(), 0);
    }
}
