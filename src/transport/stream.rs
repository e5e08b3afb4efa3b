//! Files from and into streams of the host's, for hosts without a file system.

use std::rc::Rc;

use super::{Progress, Report, report};
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::files::Content;
use crate::http::SendError;
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
        progress: &Report,
    ) -> Result<u64> {
        let source = RemotePath::parse(path)?;
        let mut answer = self.api.download(&source).await.map_err(|e| e.about(path))?;
        let total = answer.length();
        let (mut skip, mut left, mut written) = (offset, length.unwrap_or(u64::MAX), 0);
        let broken = |error: &SendError| self.api.client.unanswered(error, &self.options.url, Effect::Read).about(path);
        if skip == 0 && left == u64::MAX {
            let copied = crate::http::copy(answer.body.as_mut(), into).await.map_err(|e| broken(&e))?;
            into.flush().await?;
            return Ok(copied);
        }
        // The server sends the whole file: what is not asked for is passed over, and what comes after is not waited for.
        while left > 0 {
            let Some(bytes) = answer.body.chunk().await.map_err(|e| broken(&e))? else { break };
            let start = skip.min(bytes.len() as u64);
            skip -= start;
            let piece = &bytes[start as usize..];
            let piece = &piece[..left.min(piece.len() as u64) as usize];
            into.write(piece).await?;
            left -= piece.len() as u64;
            written += piece.len() as u64;
            let state = Progress { bytes_done: written, bytes_total: total, ..Progress::waiting("read-stream", path) };
            report(progress, &state)?;
        }
        into.flush().await?;
        Ok(written)
    }

    /// Makes or replaces a file with the bytes of a stream.
    pub async fn write_stream(&self, path: &str, from: Rc<dyn LocalFile>, mode: Option<u32>) -> Result<()> {
        let target = RemotePath::parse(path)?;
        if from.size() > self.upload_limit() {
            return Err(self.too_large(path, from.size(), self.upload_limit()));
        }
        self.send(&target, &Content::File(from), path).await.map_err(|error| match error.kind {
            // The request was never whole, so the server has not touched the file.
            Kind::Other => {
                Error::new(Kind::Other, format!("{path}: the stream ended early, or could not be read again"))
                    .about(path)
            }
            _ => error,
        })?;
        match mode {
            Some(mode) => self.chmod(path, mode).await,
            None => Ok(()),
        }
    }
}
