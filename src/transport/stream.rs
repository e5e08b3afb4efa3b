//! Files from and into streams of the host's, for hosts without a file system. Of any size: past the direct limit through the object store.

use std::rc::Rc;

use super::Verification;
use super::fetch::Sink;
use super::get::Opened;
use crate::error::{Error, Kind, Result};
use crate::firecrest::OpenAnswer;
use crate::firecrest::v2::files::Content;
use crate::http::retry::Effect;
use crate::local::{LocalFile, LocalWriter};
use crate::remote::RemotePath;
use crate::session::Session;

impl Session {
    /// Writes a file's bytes, or a piece of them, into a stream. Returns their number.
    pub async fn read_stream(
        &self,
        path: &str,
        offset: u64,
        length: Option<u64>,
        into: &mut dyn LocalWriter,
    ) -> Result<u64> {
        let source = RemotePath::parse(path)?;
        let of = |size: u64| length.unwrap_or(u64::MAX).min(size.saturating_sub(offset));
        let written = match self.begin_download(&source).await.map_err(|e| e.about(path))? {
            Opened::Answer(answer) => self.pass_on(answer, path, offset, of(u64::MAX), into).await?,
            Opened::TooLarge(size) => {
                let length = of(size);
                self.watch().expect(length, 1);
                if length > 0 {
                    let sink = Sink::File(into);
                    self.with_object(&source, size, offset, Some(length), |object| {
                        Box::pin(self.receive_in_order(object, path, offset, length, sink))
                    })
                    .await?;
                }
                length
            }
        };
        self.watch().arrived(1);
        Ok(written)
    }

    /// The server sends the whole file: what is not asked for is passed over, and what comes after is not waited for.
    async fn pass_on(
        &self,
        mut answer: OpenAnswer,
        path: &str,
        offset: u64,
        length: u64,
        into: &mut dyn LocalWriter,
    ) -> Result<u64> {
        if let Some(size) = answer.length() {
            self.watch().expect(length.min(size.saturating_sub(offset)), 1);
        }
        let (mut skip, mut left) = (offset, length);
        while left > 0 {
            let chunk = answer.body.chunk().await;
            let chunk =
                chunk.map_err(|e| self.api.client.unanswered(&e, &self.options.url, Effect::Read).about(path))?;
            let Some(bytes) = chunk else { break };
            let start = skip.min(bytes.len() as u64);
            skip -= start;
            let piece = &bytes[start as usize..];
            let piece = &piece[..left.min(piece.len() as u64) as usize];
            into.write(piece).await?;
            left -= piece.len() as u64;
            self.watch().moved(piece.len() as u64);
        }
        into.flush().await?;
        Ok(length - left)
    }

    /// Makes or replaces a file with the bytes of a stream.
    pub async fn write_stream(&self, path: &str, from: Rc<dyn LocalFile>, mode: Option<u32>) -> Result<()> {
        let target = RemotePath::parse(path)?;
        self.watch().expect(from.size(), 1);
        if from.size() > self.upload_limit() {
            // Read once, it cannot be hashed besides: its size is what is verified.
            let verified = self.put_large(&target, &Content::File(from), mode, false).await?;
            debug_assert_eq!(verified, Verification::Size);
            self.watch().arrived(1);
            return Ok(());
        }
        self.send(&target, &Content::File(from), path).await.map_err(|error| match error.kind {
            // The request was never whole, so the server has not touched the file.
            Kind::Other if error.info.http_status.is_none() => {
                Error::new(Kind::Other, format!("{path}: the stream ended early, or could not be read again"))
                    .about(path)
            }
            _ => error,
        })?;
        self.watch().arrived(1);
        match mode {
            Some(mode) => self.chmod(path, mode).await,
            None => Ok(()),
        }
    }
}
