//! Local files: what lies under the folders that the host granted.
//!
//! A new file is written beside its target and renamed, so that a target is either the old one or the whole new one.

pub mod path;
#[cfg(target_family = "wasm")]
pub mod stream;
pub mod walk;
#[cfg(target_family = "wasm")]
pub mod wasi;

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::error::Result;

/// A file of up to so many bytes is read and written at once: the calls behind a stream take longer than its bytes. What one call of
/// wasi:filesystem moves in wasmtime.
pub const SMALL: u64 = 64 * 1024;

/// What a local path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link (only where links are not followed).
    Symlink,
    /// Anything else.
    Other,
}

/// What is known of a local path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalStat {
    /// What it is.
    pub kind: LocalKind,
    /// Bytes.
    pub size: u64,
    /// Unix seconds, where the host knows.
    pub modified: Option<i64>,
}

/// The granted folders. Nothing here waits: WASI 0.2 answers these at once.
pub trait Local {
    /// What is there; none: nothing. `follow`: what a symlink leads to, and nothing for one that leads nowhere.
    fn stat(&self, path: &str, follow: bool) -> Result<Option<LocalStat>>;

    /// Permission bits of what the path names, where the host knows them.
    fn mode(&self, path: &str) -> Option<u32>;

    /// The names in a directory, in no order.
    fn list(&self, path: &str) -> Result<Vec<String>>;

    /// Where a symlink points.
    fn read_link(&self, path: &str) -> Result<String>;

    /// A number that tells one directory from another, to see that a symlink leads in a circle.
    fn identity(&self, path: &str) -> Result<u128>;

    /// Opens a file for reading. `known`: what `stat` has just said of it, which is then not asked for again.
    fn open(&self, path: &str, known: Option<LocalStat>) -> Result<Rc<dyn LocalFile>>;

    /// The first `size` bytes of a small file; an error where it has fewer.
    fn read_small(&self, path: &str, size: u64) -> Result<Vec<u8>>;

    /// Puts a small file in the place of what is there.
    fn write_small(&self, file: &SmallFile<'_>) -> Result<()>;

    /// Begins a file that will take the place of `path` when it is finished. `replace` false: only if nothing is there by then.
    fn create(&self, path: &str, replace: bool) -> Result<Box<dyn LocalWriter>>;

    /// Makes a directory; one that is there is good.
    fn make_directory(&self, path: &str) -> Result<()>;

    /// Makes a symlink in place of a file or another symlink.
    fn make_symlink(&self, target: &str, path: &str) -> Result<()>;

    /// Moves a directory to a new name beside it. Nothing may be there.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a directory with all that is in it. What cannot be removed stays.
    fn remove_tree(&self, path: &str);

    /// Sets permission bits, where the host can.
    fn set_mode(&self, path: &str, mode: u32);
}

/// A file that is written at once.
#[derive(Debug, Clone, Copy)]
pub struct SmallFile<'a> {
    /// Where.
    pub path: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
    /// Permission bits, where the host can set them.
    pub mode: u32,
    /// Time of modification, in Unix seconds.
    pub modified: i64,
    /// It lies in a folder that is made aside and renamed when it is whole: nobody looks there before, so the file needs no
    /// name of its own until it is whole.
    pub aside: bool,
}

/// A file open for reading; or an object of a store, which stands in for one.
pub trait LocalFile {
    /// Bytes.
    fn size(&self) -> u64;

    /// Permission bits, where the host knows them.
    fn mode(&self) -> Option<u32>;

    /// All of its bytes at once, where it is so small that this is faster than a stream; none where it is not.
    fn at_once(&self) -> Option<Result<Vec<u8>>> {
        None
    }

    /// Its bytes from `offset` on.
    fn read_from(&self, offset: u64) -> LocalBoxFuture<'_, Result<Box<dyn LocalReader>>>;

    /// Can its bytes be read only once, and in order?
    fn once(&self) -> bool {
        false
    }

    /// Its bytes up to there have been used, all of them: what can be read but once goes on from there.
    fn passed(&self, _offset: u64) {}
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

    /// Waits until all that was written is where it belongs.
    fn flush(&mut self) -> LocalBoxFuture<'_, Result<()>>;

    /// Puts the file in its place, with these permission bits where the host can set them, and this time of modification (Unix
    /// seconds; none: now).
    fn finish(self: Box<Self>, mode: Option<u32>, modified: Option<i64>) -> LocalBoxFuture<'static, Result<()>>;

    /// A second writer into the same unfinished file, from `offset` on; none where bytes can only follow one another.
    fn at(&self, offset: u64) -> Option<Result<Box<dyn LocalWriter>>>;

    /// Reads what was written and flushed, from `offset` on; none as above.
    fn reread(&self, offset: u64) -> Option<Result<Box<dyn LocalReader>>>;

    /// Where the bytes go, as a stream of the host's.
    #[cfg(target_family = "wasm")]
    fn stream(&self) -> &wasip2::io::streams::OutputStream;
}
