//! Files past the direct limit, from the cluster: a job of the server's puts an object into the store, and the object is fetched.
//!
//! The object is polled, not the job, and the first look that finds it is already its first range; the job's state is asked for
//! only now and then, for a job that has failed. Ranges are fetched several at once, each to its place in the unfinished file; one that
//! was cut is taken up again at its last byte, as long as the object is the same. The checksum is computed behind them, from
//! the file, while later ranges are still on their way.

use std::cell::Cell;

use event_listener::Event;
use futures_util::future::{LocalBoxFuture, join};
use sha2::{Digest, Sha256};

use super::Verification;
use super::job::{Caller, Work};
use super::large::{FIRST_LOOK, LONGEST_PAUSE, STATE_EVERY, compare};
use super::put::{PIECE, hex};
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::listing::FileKind;
use crate::firecrest::v2::transfer::{Download, PlainPath};
use crate::http::{Response, ResponseBody, SendError, Url};
use crate::local::LocalWriter;
use crate::objectstore::{ObjectStore, Ranged};
use crate::remote::RemotePath;
use crate::session::Session;
use crate::shell::quote;

/// A range is at least this long: below, a request costs more than it brings.
const SHORTEST_RANGE: u64 = 8 * 1024 * 1024;
/// A file is cut into about this many ranges.
const RANGES: u64 = 16;
/// This many ranges are fetched at once, if as many requests are allowed.
const AT_ONCE: usize = 4;
/// A range is taken up again so often.
const MOST_CUTS: u32 = 20;

/// An object of the store.
pub(super) struct Object {
    pub(super) store: ObjectStore,
    pub(super) url: Url,
    pub(super) etag: Option<String>,
    /// The first bytes that were asked for.
    first: Response,
}

/// How long the ranges of an object are.
fn range_length(size: u64) -> u64 {
    size.div_ceil(RANGES).max(SHORTEST_RANGE)
}

impl Session {
    /// Fetches a large file into a writer, which is left unfinished.
    pub(super) async fn get_large(
        &self,
        source: &RemotePath,
        size: u64,
        writer: &dyn LocalWriter,
        verify: bool,
    ) -> Result<Verification> {
        let receive = |object| -> LocalBoxFuture<'_, Result<Option<String>>> {
            Box::pin(self.receive_ranges(object, source, size, writer, verify))
        };
        let fetched = self.with_object(source, size, 0, Some(range_length(size)), receive);
        if !verify {
            return fetched.await.map(|_| Verification::Size);
        }
        // The server computes while its job waits in the queue; and where its 5 s are too short for that, a job of ours waits there
        // beside it. A failed transfer ends both; a failed checksum does not end the transfer, which has a job to clean up after.
        let caller = Caller::default();
        let fetched = async {
            let fetched = fetched.await;
            if fetched.is_err() {
                caller.leave();
            }
            fetched
        };
        let (ours, theirs) = join(fetched, self.checksum_for(source, &caller)).await;
        match ours? {
            Some(ours) => {
                let theirs = match theirs {
                    // Where a user may have one job at a time, the transfer was that.
                    Err(error) if error.kind == Kind::InvalidArgument => self.checksum_of_any_size(source).await?,
                    theirs => theirs?,
                };
                compare(source, &ours, theirs)
            }
            None => Ok(Verification::Size),
        }
    }

    /// Has the server make an object of a file, waits for it, and hands it over with its bytes from `offset` on already asked for.
    /// Nothing is left on the cluster.
    pub(super) async fn with_object<'f, T>(
        &self,
        source: &RemotePath,
        size: u64,
        offset: u64,
        length: Option<u64>,
        then: impl FnOnce(Object) -> LocalBoxFuture<'f, Result<T>>,
    ) -> Result<T> {
        let account = self.check_large("get", source.as_str())?;
        let (plain, second_name) = self.plain_source(source).await?;
        let platform = self.api.client.platform();
        let plain = plain.spelled(platform.mark(), platform.random());
        let mut ended = Vec::new();
        let begun = loop {
            match self.api.transfer_download(&plain, account).await {
                Err(lost) if lost.kind == Kind::OutcomeUnknown => {
                    if let Err(error) = self.after_lost_transfer(&plain, lost, &mut ended).await {
                        break Err(error);
                    }
                }
                begun => break begun,
            }
        };
        let got = match begun {
            Ok(download) => {
                let got = match self.await_object(&download, source, size, offset, length).await {
                    // The job has done its work: nobody waits for what it wrote of it.
                    Ok(object) => join(then(object), self.remove_logs(&download.job)).await.0,
                    Err(error) => Err(error),
                };
                if got.is_err() {
                    self.end_transfer(&download.job).await;
                    self.remove_logs(&download.job).await;
                }
                got
            }
            Err(error) => Err(error.about(source.as_str())),
        };
        if let Some(name) = second_name {
            self.tidy(&[&name]).await;
        }
        got
    }

    /// A path by which the server's script can read a file, and what to remove afterwards.
    ///
    /// The script takes the size of what the path names without following a link (`stat -c %s`), and would send but the beginning of what
    /// a symlink leads to. So that, and a name that it cannot carry, gets a second name: a hard link made by a script of ours, or a
    /// copy where a hard link cannot be.
    async fn plain_source(&self, source: &RemotePath) -> Result<(PlainPath, Option<RemotePath>)> {
        let linked = FileKind::from_mode(self.api.stat(source, false).await?.mode) == FileKind::Symlink;
        if !linked && let Some(plain) = PlainPath::new(source) {
            return Ok((plain, None));
        }
        let beside = source.split().map(|(parent, _)| parent).filter(|parent| PlainPath::new(parent).is_some());
        let folder = match beside {
            Some(folder) if !linked => folder,
            _ => self.temporary_folder().await?,
        };
        let name = folder.join(&self.passing_name())?;
        let plain = PlainPath::new(&name).ok_or_else(|| {
            let message = "the server's scripts can carry neither this path nor that of temp_directory: set one without blanks and quotes";
            Error::invalid(source.as_str(), message)
        })?;
        let (from, to) = (quote(source.as_str()), quote(name.as_str()));
        let body = format!("ln -L -- {from} {to} 2>/dev/null || exec cp -L -- {from} {to}");
        match self.run_or_fail(Work { operation: "get", subject: source.as_str(), body, ..Work::default() }).await {
            Ok(_) => Ok((plain, Some(name))),
            Err(error) => {
                self.tidy(&[&name]).await;
                Err(error)
            }
        }
    }

    /// Waits for the job to make the object.
    async fn await_object(
        &self,
        download: &Download,
        source: &RemotePath,
        size: u64,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Object> {
        let (subject, store) = (source.as_str(), self.store());
        let Download { url, job } = download;
        let platform = self.api.client.platform();
        let start = platform.monotonic();
        let mut state_asked = start;
        let mut ended: Option<String> = None;
        loop {
            match store.get_from(url, offset, length, None, subject).await? {
                Ranged::Body { response, size: told, etag } if told == size => {
                    return Ok(Object { store, url: url.clone(), etag, first: response });
                }
                Ranged::Body { size: told, .. } => {
                    let message = format!("{source}: the object has {told} bytes, the file {size}");
                    return Err(Error::new(Kind::ChecksumMismatch, message).about(subject));
                }
                Ranged::Missing => {}
            }
            if let Some(state) = ended {
                return Err(self.failed_transfer(job, "get", subject, &state).await);
            }
            let waited = platform.monotonic().saturating_sub(start);
            if platform.monotonic().saturating_sub(state_asked) >= STATE_EVERY {
                state_asked = platform.monotonic();
                ended = self.ended_state(job).await?;
            }
            platform.sleep((waited / 8).clamp(FIRST_LOOK, LONGEST_PAUSE)).await;
        }
    }

    /// Writes an object into an unfinished file; its SHA-256 if it was asked for.
    async fn receive_ranges(
        &self,
        object: Object,
        source: &RemotePath,
        size: u64,
        writer: &dyn LocalWriter,
        hashed: bool,
    ) -> Result<Option<String>> {
        let Object { store, url, etag, first } = object;
        let fetch = Fetch { session: self, store: &store, url: &url, etag: etag.as_deref(), subject: source.as_str() };
        // A store that knows no ranges has begun to send all of it.
        let length = if first.status == 206 { range_length(size) } else { size };
        let count = size.div_ceil(length);
        let bound = async_lock::Semaphore::new(AT_ONCE.min(self.options.max_io_allowed).max(1));
        let first = Cell::new(Some(first));
        let landed: Vec<Cell<bool>> = (0..count).map(|_| Cell::new(false)).collect();
        let (landing, failed) = (Event::new(), Cell::new(false));
        let ranges = (0..count).map(|i| {
            let (fetch, bound, first, landed, landing, failed) = (&fetch, &bound, &first, &landed, &landing, &failed);
            async move {
                let _place = bound.acquire().await;
                if failed.get() {
                    return Ok(());
                }
                let start = i * length;
                let begun = if i == 0 { first.take() } else { None };
                let got = match writer.at(start) {
                    Some(Ok(mut piece)) => {
                        let mut sink = Sink::File(piece.as_mut());
                        fetch.range(begun, start, length.min(size - start), &mut sink).await
                    }
                    Some(Err(error)) => Err(error),
                    None => Err(Error::new(Kind::Other, "bytes can only follow one another there")),
                };
                failed.set(failed.get() || got.is_err());
                landed[i as usize].set(true);
                landing.notify(usize::MAX);
                got
            }
        });
        let fetched = async { all(ranges).await.into_iter().collect::<Result<Vec<()>>>() };
        let hash = async {
            let mut hasher = Sha256::new();
            for i in 0..if hashed { count } else { 0 } {
                loop {
                    let listener = landing.listen();
                    if landed[i as usize].get() {
                        break;
                    }
                    listener.await;
                }
                if failed.get() {
                    break;
                }
                let start = i * length;
                let reader = writer.reread(start).ok_or_else(|| Error::new(Kind::Other, "it cannot be read back"))?;
                let (mut reader, mut left) = (reader?, length.min(size - start));
                while left > 0 {
                    self.watch().check()?;
                    let Some(bytes) = reader.read(left.min(PIECE)).await? else { break };
                    left -= bytes.len() as u64;
                    hasher.update(&bytes);
                }
            }
            Ok::<_, Error>(hasher)
        };
        let (fetched, hasher) = join(fetched, hash).await;
        fetched?;
        Ok(if hashed { Some(hex(&hasher?.finalize())) } else { None })
    }

    /// Hands an object, or a piece of it, to where bytes can only follow one another.
    pub(super) async fn receive_in_order(
        &self,
        object: Object,
        subject: &str,
        offset: u64,
        length: u64,
        mut sink: Sink<'_>,
    ) -> Result<()> {
        let Object { store, url, etag, first } = object;
        let fetch = Fetch { session: self, store: &store, url: &url, etag: etag.as_deref(), subject };
        fetch.range(Some(first), offset, length, &mut sink).await
    }
}

/// One object, in pieces.
pub(super) struct Fetch<'a> {
    session: &'a Session,
    store: &'a ObjectStore,
    url: &'a Url,
    etag: Option<&'a str>,
    subject: &'a str,
}

impl Fetch<'_> {
    /// Writes a range out, and goes on where it was cut.
    async fn range(&self, begun: Option<Response>, start: u64, length: u64, sink: &mut Sink<'_>) -> Result<()> {
        let (mut written, mut cuts, mut found) = (0, 0, begun);
        loop {
            let mut response = match found.take() {
                Some(response) => response,
                None => self.again(start + written, length - written).await?,
            };
            match self.copy(&mut response, sink, &mut written, length).await {
                Ok(()) if written == length => return sink.flush().await,
                Ok(()) if written > length => {
                    let message = format!("{}: the object store sends more than was asked for", self.subject);
                    return Err(Error::new(Kind::ChecksumMismatch, message).about(self.subject));
                }
                Ok(()) | Err(Failure::Wire(SendError::Reset(_))) if cuts < MOST_CUTS => cuts += 1,
                Ok(()) => {
                    let message = format!("{}: {written} bytes arrived, not {length}", self.subject);
                    return Err(Error::new(Kind::ChecksumMismatch, message).about(self.subject));
                }
                Err(Failure::Wire(error)) => {
                    return Err(self.store.unanswered(&error, self.url).about(self.subject));
                }
                Err(Failure::Ours(error)) => return Err(error),
            }
        }
    }

    async fn again(&self, offset: u64, length: u64) -> Result<Response> {
        match self.store.get_from(self.url, offset, Some(length), self.etag, self.subject).await? {
            Ranged::Body { response, .. } => Ok(response),
            Ranged::Missing => {
                Err(Error::new(Kind::NotFound, format!("{}: the object has gone", self.subject)).about(self.subject))
            }
        }
    }

    async fn copy(
        &self,
        from: &mut Response,
        sink: &mut Sink<'_>,
        written: &mut u64,
        length: u64,
    ) -> Result<(), Failure> {
        while *written <= length {
            let moved = sink.take_from(from.body.as_mut()).await?;
            if moved == 0 {
                break;
            }
            *written += moved;
            self.session.watch().moved(moved);
        }
        Ok(())
    }
}

/// Where an object goes.
pub(super) enum Sink<'a> {
    /// Past this component's memory.
    File(&'a mut dyn LocalWriter),
    /// Through it.
    Memory(&'a mut dyn Take),
}

/// What is done with bytes that arrive.
pub(super) trait Take {
    /// Takes the next ones.
    fn take<'a>(&'a mut self, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<()>>;
}

impl Sink<'_> {
    /// Moves the next piece of a body. Returns its size; 0 at the end.
    async fn take_from(&mut self, body: &mut dyn ResponseBody) -> Result<u64, Failure> {
        match self {
            Self::File(writer) => body.move_to(*writer).await.map_err(Failure::Wire),
            Self::Memory(take) => {
                let Some(bytes) = body.chunk().await.map_err(Failure::Wire)? else { return Ok(0) };
                take.take(&bytes).await.map_err(Failure::Ours)?;
                Ok(bytes.len() as u64)
            }
        }
    }

    async fn flush(&mut self) -> Result<()> {
        match self {
            Self::File(writer) => writer.flush().await,
            Self::Memory(_) => Ok(()),
        }
    }
}

enum Failure {
    Wire(SendError),
    Ours(Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_few_and_not_short() {
        const MIB: u64 = 1024 * 1024;
        for (size, length, count) in
            [(1, 8 * MIB, 1), (8 * MIB, 8 * MIB, 1), (64 * MIB, 8 * MIB, 8), (1024 * MIB, 64 * MIB, 16)]
        {
            assert_eq!((range_length(size), size.div_ceil(range_length(size))), (length, count));
        }
        assert!(u64::MAX.div_ceil(range_length(u64::MAX)) <= RANGES);
    }
}
