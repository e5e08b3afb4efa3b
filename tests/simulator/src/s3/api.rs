//! The S3 operations. What the store does not know of, such as versions and access lists, is `NotImplemented`.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, ETag,
    ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, PutObjectInput, PutObjectOutput,
    StreamingBlob, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::ObjectStore;
use super::store::{Object, Piece, Refusal};

/// What is read and sent at a time.
const CHUNK: usize = 256 * 1024;

/// The most parts that an upload may have.
const PART_NUMBERS: std::ops::RangeInclusive<i32> = 1..=10_000;

pub(super) struct Api(pub(super) Arc<ObjectStore>);

type Reply<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Api {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Reply<GetObjectOutput> {
        let input = request.input;
        let object = self.find(&input.bucket, &input.key)?;
        check(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (range, told) = span(&object, input.range)?;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: i64::try_from(range.end - range.start).ok(),
            content_range: told,
            content_type: Some("binary/octet-stream".into()),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(object.modified.into()),
            body: Some(read(object, range)),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Reply<HeadObjectOutput> {
        let input = request.input;
        let object = self.find(&input.bucket, &input.key)?;
        check(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (range, told) = span(&object, input.range)?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: i64::try_from(range.end - range.start).ok(),
            content_range: told,
            content_type: Some("binary/octet-stream".into()),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(object.modified.into()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Reply<PutObjectOutput> {
        let input = request.input;
        self.need_bucket(&input.bucket)?;
        let piece = self.take(input.body, input.content_length, input.content_md5).await?;
        let object = self.0.store.put_object(&input.bucket, &input.key, piece);
        let e_tag = Some(ETag::Strong(object.etag.clone()));
        Ok(S3Response::new(PutObjectOutput { e_tag, ..PutObjectOutput::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Reply<DeleteObjectOutput> {
        self.need_bucket(&request.input.bucket)?;
        self.0.store.delete(&request.input.bucket, &request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Reply<CreateMultipartUploadOutput> {
        let input = request.input;
        self.need_bucket(&input.bucket)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            upload_id: Some(self.0.store.create_upload(&input.bucket, &input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Reply<UploadPartOutput> {
        let input = request.input;
        if !PART_NUMBERS.contains(&input.part_number) {
            return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"));
        }
        let number = input.part_number.unsigned_abs();
        let store = &self.0.store;
        if !store.has_upload(&input.bucket, &input.key, &input.upload_id) {
            return Err(no_such_upload());
        }
        let piece = self.take(input.body, input.content_length, input.content_md5).await?;
        let e_tag = Some(ETag::Strong(super::store::hex(&piece.md5)));
        if !store.put_part(&input.bucket, &input.key, &input.upload_id, number, piece) {
            return Err(no_such_upload());
        }
        Ok(S3Response::new(UploadPartOutput { e_tag, ..UploadPartOutput::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Reply<CompleteMultipartUploadOutput> {
        let input = request.input;
        let mut listed = Vec::new();
        for part in input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default() {
            let number = part.part_number.and_then(|number| u32::try_from(number).ok());
            match (number, part.e_tag) {
                (Some(number), Some(etag)) => listed.push((number, etag.into_value())),
                _ => return Err(malformed()),
            }
        }
        let least = crate::read(&self.0.knobs).s3_min_part_size;
        let done = self.0.store.complete(&input.bucket, &input.key, &input.upload_id, &listed, least);
        let object = done.map_err(|refusal| match refusal {
            Refusal::NoSuchUpload => no_such_upload(),
            Refusal::MalformedXml => malformed(),
            Refusal::InvalidPart => s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
            ),
            Refusal::InvalidPartOrder => s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number."
            ),
            Refusal::EntityTooSmall => {
                s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed object size.")
            }
        })?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("{}/{}/{}", self.0.signer.endpoint(), input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Reply<AbortMultipartUploadOutput> {
        let input = request.input;
        if !self.0.store.abort(&input.bucket, &input.key, &input.upload_id) {
            return Err(no_such_upload());
        }
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

impl Api {
    fn need_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.0.store.has_bucket(bucket) {
            return Ok(());
        }
        Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    fn find(&self, bucket: &str, key: &str) -> S3Result<Arc<Object>> {
        self.need_bucket(bucket)?;
        let found = self.0.store.object(bucket, key);
        found.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
    }

    /// Keeps a request's body; one that breaks off, or is not what its headers say, leaves nothing behind.
    async fn take(&self, body: Option<StreamingBlob>, length: Option<i64>, md5: Option<String>) -> S3Result<Piece> {
        let blob = self.0.store.blob();
        let mut file = tokio::fs::File::create(&blob.path).await.map_err(internal)?;
        let mut digest = Md5::new();
        let mut size = 0;
        if let Some(mut body) = body {
            while let Some(bytes) = body.next().await {
                let bytes = bytes.map_err(|_| incomplete())?;
                digest.update(&bytes);
                size += bytes.len() as u64;
                file.write_all(&bytes).await.map_err(internal)?;
            }
        }
        file.flush().await.map_err(internal)?;
        if length.is_some_and(|length| u64::try_from(length) != Ok(size)) {
            return Err(incomplete());
        }
        let digest = digest.finalize();
        if let Some(md5) = md5
            && md5 != base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest)
        {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        Ok(Piece { blob: Arc::new(blob), size, md5: digest })
    }
}

fn no_such_upload() -> s3s::S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
}

fn incomplete() -> s3s::S3Error {
    s3_error!(IncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header")
}

fn malformed() -> s3s::S3Error {
    s3_error!(MalformedXML, "The XML you provided was not well-formed or did not validate against our published schema")
}

fn internal(error: std::io::Error) -> s3s::S3Error {
    s3_error!(error, InternalError)
}

/// If-Match and If-None-Match.
fn check(object: &Object, wanted: Option<&ETagCondition>, unwanted: Option<&ETagCondition>) -> S3Result<()> {
    let is = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    if wanted.is_some_and(|condition| !is(condition)) {
        return Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"));
    }
    if unwanted.is_some_and(is) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// Which bytes are asked for, and how the answer tells it.
fn span(object: &Object, range: Option<s3s::dto::Range>) -> S3Result<(Range<u64>, Option<String>)> {
    let Some(range) = range else {
        return Ok((0..object.size, None));
    };
    let range = range.check(object.size)?;
    let told = format!("bytes {}-{}/{}", range.start, range.end - 1, object.size);
    Ok((range, Some(told)))
}

/// Some of an object's bytes, read by a thread as fast as they are taken.
fn read(object: Arc<Object>, range: Range<u64>) -> StreamingBlob {
    let (sender, mut receiver) = mpsc::channel::<std::io::Result<Bytes>>(2);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(&object, range, &sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    StreamingBlob::wrap(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)))
}

fn send(object: &Object, range: Range<u64>, sender: &mpsc::Sender<std::io::Result<Bytes>>) -> std::io::Result<()> {
    let mut start = 0;
    for piece in &object.pieces {
        let end = start + piece.size;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            let mut file = std::fs::File::open(&piece.blob.path)?;
            file.seek(SeekFrom::Start(from - start))?;
            let mut left = to - from;
            while left > 0 {
                let mut buffer = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
                file.read_exact(&mut buffer)?;
                left -= buffer.len() as u64;
                if sender.blocking_send(Ok(buffer.into())).is_err() {
                    return Ok(());
                }
            }
        }
        start = end;
    }
    Ok(())
}
