//! Local files: what lies under the folders that the host granted.
//!
//! A new file is written beside its target and renamed, so that a target is either the old one or the whole new one.

pub mod path;
#[cfg(target_family = "wasm")]
pub mod stream;
#[cfg(target_family = "wasm")]
pub mod wasi;

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::error::Result;

/// What a local path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else, dangling symlinks included.
    Other,
}

/// The granted folders.
pub trait Local {
    /// What is there, following symlinks; none: nothing.
    fn kind(&self, path: &str) -> LocalBoxFuture<'_, Result<Option<LocalKind>>>;

    /// Opens a file for reading.
    fn open(&self, path: &str) -> LocalBoxFuture<'_, Result<Rc<dyn LocalFile>>>;

    /// Begins a file that will take the place of `path` when it is finished. `replace` false: only if nothing is there by then.
    fn create(&self, path: &str, replace: bool) -> LocalBoxFuture<'_, Result<Box<dyn LocalWriter>>>;
}

/// A file open for reading.
pub trait LocalFile {
    /// Bytes.
    fn size(&self) -> u64;

    /// Permission bits, where the host knows them.
    fn mode(&self) -> Option<u32>;

    /// Its bytes from `offset` on.
    fn read_from(&self, offset: u64) -> Result<Box<dyn LocalReader>>;
}

/// Bytes of a file, in order.
pub trait LocalReader {
    /// The next piece, at most `max` bytes; none at the end.
    fn read(&mut self, max: u64) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>>>;

    /// The same bytes as a stream of the host's, which moves them without their entering memory.
    #[cfg(target_family = "wasm")]
    fn stream(&self) -> &wasip2::io::streams::InputStream;
}

/// A file being written, or a stream. Dropped unfinished, a file leaves nothing.
pub trait LocalWriter {
    /// Appends.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<()>>;

    /// Puts the file in its place, with these permission bits where the host can set them.
    fn finish(self: Box<Self>, mode: Option<u32>) -> LocalBoxFuture<'static, Result<()>>;

    /// Where the bytes go, as a stream of the host's.
    #[cfg(target_family = "wasm")]
    fn stream(&self) -> &wasip2::io::streams::OutputStream;
}
