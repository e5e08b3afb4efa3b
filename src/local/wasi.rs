//! The granted folders through wasi:filesystem. Made anew in each exported call, so that a folder granted for one call is gone in the next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::{Local, LocalFile, LocalKind, LocalReader, LocalStat, LocalWriter, SMALL, SmallFile, path, stream};
use crate::error::{Error, Kind, Result};
use crate::passing;

/// How permission bits of local files are read and set: the host does it, wasi:filesystem has none.
#[derive(Clone, Copy)]
pub struct Permissions {
    /// Of what the path names.
    pub get: fn(&str) -> Option<u32>,
    /// True when done.
    pub set: fn(&str, u32) -> bool,
}

/// The folders that the host granted.
pub struct WasiLocal {
    folders: Rc<[(Rc<Descriptor>, String)]>,
    names: Vec<String>,
    mark: u64,
    permissions: Permissions,
    /// The directory of the file that was written last, by its path with a slash: the files of a tree come directory by directory.
    parent: RefCell<Option<(String, Rc<Descriptor>)>>,
    /// The bits that a new file has in a folder that is made aside, once they are known: the umask's, or what its parent says to all.
    new_mode: Cell<Option<u32>>,
}

impl WasiLocal {
    /// Asks the host which folders there are. `mark`: in the names of what does not stay.
    pub fn new(mark: u64, permissions: Permissions) -> Self {
        let folders: Rc<[_]> = get_directories().into_iter().map(|(d, name)| (Rc::new(d), name)).collect();
        let names = folders.iter().map(|(_, name)| name.clone()).collect();
        Self { folders, names, mark, permissions, parent: RefCell::default(), new_mode: Cell::default() }
    }

    /// The directory that a file is in, opened, and the file's name there.
    fn parent<'p>(&self, local: &'p str) -> Result<(Rc<Descriptor>, &'p str)> {
        let (folder, rest) = self.resolve(local)?;
        let (parent, name) = path::split(rest)
            .ok_or_else(|| Error::new(Kind::IsADirectory, format!("{local} is a folder")).about(local))?;
        let directory = directory_of(local);
        if let Some((open, descriptor)) = &*self.parent.borrow()
            && open == directory
        {
            return Ok((Rc::clone(descriptor), name));
        }
        let opened = folder.open_at(
            PathFlags::SYMLINK_FOLLOW,
            parent,
            OpenFlags::DIRECTORY,
            DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
        );
        let opened = Rc::new(opened.map_err(|code| local_error(code, local))?);
        self.parent.replace(Some((directory.to_owned(), Rc::clone(&opened))));
        Ok((opened, name))
    }

    /// Two writers never meet, and a name that is taken is refused, not overwritten.
    fn temporary_name(&self) -> String {
        passing::part(self.mark, wasip2::random::random::get_random_u64())
    }

    /// Fills a new file.
    fn fill(&self, file: &Descriptor, path: &str, content: &SmallFile<'_>) -> Result<(), ErrorCode> {
        let mut done = 0;
        while done < content.bytes.len() {
            match file.write(&content.bytes[done..], done as u64)? {
                0 => return Err(ErrorCode::Io),
                n => done += usize::try_from(n).unwrap_or(usize::MAX),
            }
        }
        let mode = content.mode & 0o777;
        if content.aside && self.new_mode.get().is_none() {
            self.new_mode.set((self.permissions.get)(path));
        }
        if !content.aside || self.new_mode.get() != Some(mode) {
            self.set_mode(path, mode);
        }
        set_modified(file, content.modified);
        Ok(())
    }

    fn resolve<'p>(&self, local: &'p str) -> Result<(Rc<Descriptor>, &'p str)> {
        let (i, rest) = path::below(&self.names, local).ok_or_else(|| {
            let message = if local.starts_with('/') {
                format!("{local} is not under a folder that was granted")
            } else {
                format!("the local path '{local}' is not absolute")
            };
            let kind = if local.starts_with('/') { Kind::PermissionDenied } else { Kind::InvalidArgument };
            Error::new(kind, message).about(local)
        })?;
        Ok((Rc::clone(&self.folders[i].0), rest))
    }
}

impl Local for WasiLocal {
    fn stat(&self, local: &str, follow: bool) -> Result<Option<LocalStat>> {
        let (folder, rest) = self.resolve(local)?;
        let flags = if follow { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() };
        match folder.stat_at(flags, rest) {
            Ok(stat) => Ok(Some(told(&stat))),
            Err(ErrorCode::NoEntry) => Ok(None),
            Err(code) => Err(local_error(code, local)),
        }
    }

    fn mode(&self, local: &str) -> Option<u32> {
        (self.permissions.get)(local)
    }

    fn list(&self, local: &str) -> Result<Vec<String>> {
        let (folder, rest) = self.resolve(local)?;
        let directory = folder
            .open_at(PathFlags::SYMLINK_FOLLOW, rest, OpenFlags::DIRECTORY, DescriptorFlags::READ)
            .map_err(|code| local_error(code, local))?;
        let entries = directory.read_directory().map_err(|code| local_error(code, local))?;
        let mut names = Vec::new();
        while let Some(entry) = entries.read_directory_entry().map_err(|code| local_error(code, local))? {
            names.push(entry.name);
        }
        Ok(names)
    }

    fn read_link(&self, local: &str) -> Result<String> {
        let (folder, rest) = self.resolve(local)?;
        // WASI reads no absolute target: it would lead out of the granted folder.
        folder.readlink_at(rest).map_err(|code| match code {
            ErrorCode::NotPermitted | ErrorCode::Access => Error::new(
                Kind::PermissionDenied,
                format!("{local} is a symbolic link with an absolute target, which the sandbox does not read"),
            )
            .about(local),
            code => local_error(code, local),
        })
    }

    fn identity(&self, local: &str) -> Result<u128> {
        let (folder, rest) = self.resolve(local)?;
        let hash = folder.metadata_hash_at(PathFlags::SYMLINK_FOLLOW, rest).map_err(|code| local_error(code, local))?;
        Ok((u128::from(hash.upper) << 64) | u128::from(hash.lower))
    }

    fn open(&self, local: &str, known: Option<LocalStat>) -> Result<Rc<dyn LocalFile>> {
        let (folder, rest) = self.resolve(local)?;
        let descriptor = folder
            .open_at(PathFlags::SYMLINK_FOLLOW, rest, OpenFlags::empty(), DescriptorFlags::READ)
            .map_err(|code| local_error(code, local))?;
        let stat = match known {
            Some(known) => known,
            None => told(&descriptor.stat().map_err(|code| local_error(code, local))?),
        };
        match stat.kind {
            LocalKind::File => {}
            LocalKind::Directory => {
                return Err(Error::new(Kind::IsADirectory, format!("{local} is a directory")).about(local));
            }
            _ => return Err(Error::invalid(local, format!("{local} is not a regular file"))),
        }
        let mode = (self.permissions.get)(local);
        Ok(Rc::new(WasiFile { descriptor, size: stat.size, mode, name: local.to_owned() }))
    }

    fn read_small(&self, local: &str, size: u64) -> Result<Vec<u8>> {
        let (folder, rest) = self.resolve(local)?;
        let file = folder
            .open_at(PathFlags::SYMLINK_FOLLOW, rest, OpenFlags::empty(), DescriptorFlags::READ)
            .map_err(|code| local_error(code, local))?;
        read_all(&file, local, size)
    }

    fn write_small(&self, content: &SmallFile<'_>) -> Result<()> {
        let local = content.path;
        let (parent, name) = self.parent(local)?;
        if content.aside {
            match new_file(&parent, name) {
                Ok(file) => return self.fill(&file, local, content).map_err(|code| local_error(code, local)),
                // An earlier member of that name, which may be closed to writers.
                Err(ErrorCode::Exist) => {}
                Err(code) => return Err(local_error(code, local)),
            }
        }
        let temporary = self.temporary_name();
        let file = new_file(&parent, &temporary).map_err(|code| local_error(code, local))?;
        self.fill(&file, &format!("{}{temporary}", directory_of(local)), content)
            .and_then(|()| parent.rename_at(&temporary, &parent, name))
            .map_err(|code| {
                let _ = parent.unlink_file_at(&temporary);
                local_error(code, local)
            })
    }

    fn create(&self, local: &str, replace: bool) -> Result<Box<dyn LocalWriter>> {
        let (parent, name) = self.parent(local)?;
        let temporary = self.temporary_name();
        let file = new_file(&parent, &temporary).map_err(|code| local_error(code, local))?;
        let stream = file.write_via_stream(0).map_err(|code| local_error(code, local))?;
        Ok(Box::new(WasiWriter {
            stream,
            target: Some(Target {
                temporary_path: format!("{}{temporary}", directory_of(local)),
                temporary,
                name: name.to_owned(),
                path: local.to_owned(),
                replace,
                file: Rc::new(file),
                parent,
                set: self.permissions.set,
            }),
        }))
    }

    fn make_directory(&self, local: &str) -> Result<()> {
        let (folder, rest) = self.resolve(local)?;
        if rest == "." {
            return Ok(());
        }
        match folder.create_directory_at(rest) {
            Ok(()) => Ok(()),
            Err(ErrorCode::Exist) => match self.stat(local, true)? {
                Some(LocalStat { kind: LocalKind::Directory, .. }) => Ok(()),
                _ => Err(Error::new(Kind::AlreadyExists, format!("{local}: something else is there")).about(local)),
            },
            Err(code) => Err(local_error(code, local)),
        }
    }

    fn make_symlink(&self, target: &str, local: &str) -> Result<()> {
        let (folder, rest) = self.resolve(local)?;
        let made = match folder.symlink_at(target, rest) {
            Err(ErrorCode::Exist) => {
                folder.unlink_file_at(rest).map_err(|code| local_error(code, local))?;
                folder.symlink_at(target, rest)
            }
            made => made,
        };
        made.map_err(|code| match code {
            // The sandbox makes no link with an absolute target, nor one that leads out of the granted folder.
            ErrorCode::NotPermitted | ErrorCode::Access => Error::new(
                Kind::PermissionDenied,
                format!("{local}: a symbolic link to {target} would lead out of the granted folder"),
            )
            .about(local),
            code => local_error(code, local),
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.parent.take();
        let ((folder, old), (new_folder, new)) = (self.resolve(from)?, self.resolve(to)?);
        folder.rename_at(old, &new_folder, new).map_err(|code| local_error(code, to))
    }

    fn remove_tree(&self, local: &str) {
        self.parent.take();
        let Ok((folder, rest)) = self.resolve(local) else { return };
        for name in self.list(local).unwrap_or_default() {
            let path = format!("{local}/{name}");
            match self.stat(&path, false) {
                Ok(Some(LocalStat { kind: LocalKind::Directory, .. })) => self.remove_tree(&path),
                _ => {
                    let _ = folder.unlink_file_at(&format!("{rest}/{name}"));
                }
            }
        }
        let _ = folder.remove_directory_at(rest);
    }

    fn set_mode(&self, local: &str, mode: u32) {
        // The bytes matter more than the bits: a host that cannot set them has said so in its contract.
        let _ = (self.permissions.set)(local, mode & 0o777);
    }
}

struct WasiFile {
    descriptor: Descriptor,
    size: u64,
    mode: Option<u32>,
    name: String,
}

impl LocalFile for WasiFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn mode(&self) -> Option<u32> {
        self.mode
    }

    fn at_once(&self) -> Option<Result<Vec<u8>>> {
        (self.size <= SMALL).then(|| read_all(&self.descriptor, &self.name, self.size))
    }

    fn read_from(&self, offset: u64) -> LocalBoxFuture<'_, Result<Box<dyn LocalReader>>> {
        Box::pin(async move {
            let stream = self.descriptor.read_via_stream(offset).map_err(|code| local_error(code, &self.name))?;
            Ok(Box::new(WasiReader { stream, name: self.name.clone() }) as Box<dyn LocalReader>)
        })
    }
}

fn told(stat: &DescriptorStat) -> LocalStat {
    LocalStat {
        kind: match stat.type_ {
            DescriptorType::RegularFile => LocalKind::File,
            DescriptorType::Directory => LocalKind::Directory,
            DescriptorType::SymbolicLink => LocalKind::Symlink,
            _ => LocalKind::Other,
        },
        size: stat.size,
        modified: stat.data_modification_timestamp.and_then(|time| i64::try_from(time.seconds).ok()),
    }
}

/// The first `size` bytes of a small file.
fn read_all(file: &Descriptor, name: &str, size: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let left = size - bytes.len() as u64;
        if left == 0 {
            return Ok(bytes);
        }
        let (piece, _) = file.read(left, bytes.len() as u64).map_err(|code| local_error(code, name))?;
        if piece.is_empty() {
            let message = format!("the local file {name} ended {left} bytes early");
            return Err(Error::new(Kind::Other, message).about(name));
        }
        if bytes.is_empty() {
            bytes = piece;
        } else {
            bytes.extend_from_slice(&piece);
        }
    }
}

/// A file's bytes as a stream of the host's.
struct WasiReader {
    stream: InputStream,
    name: String,
}

impl LocalReader for WasiReader {
    fn read(&mut self, max: u64) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async move { stream::read(&self.stream, max).await.map_err(|e| stream_error(e, &self.name)) })
    }

    fn stream(&self) -> &InputStream {
        &self.stream
    }
}

/// A file under a temporary name beside its target.
struct WasiWriter {
    /// Declared, and dropped, before the file that it belongs to.
    stream: OutputStream,
    /// None once it is in its place.
    target: Option<Target>,
}

struct Target {
    temporary_path: String,
    temporary: String,
    name: String,
    path: String,
    replace: bool,
    /// Kept open as long as the streams.
    file: Rc<Descriptor>,
    parent: Rc<Descriptor>,
    set: fn(&str, u32) -> bool,
}

impl LocalWriter for WasiWriter {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let path = self.target.as_ref().map_or("", |t| t.path.as_str());
            stream::write(&self.stream, bytes).await.map_err(|e| stream_error(e, path))
        })
    }

    fn flush(&mut self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let path = self.target.as_ref().map_or("", |t| t.path.as_str());
            stream::flush(&self.stream).await.map_err(|e| stream_error(e, path))
        })
    }

    fn finish(mut self: Box<Self>, mode: Option<u32>, modified: Option<i64>) -> LocalBoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let Some(target) = &self.target else { return Ok(()) };
            let path = target.path.as_str();
            stream::flush(&self.stream).await.map_err(|e| stream_error(e, path))?;
            if let Some(mode) = mode {
                // The bytes matter more than the bits: a host that cannot set them has said so in its contract.
                let _ = (target.set)(&target.temporary_path, mode & 0o777);
            }
            if let Some(modified) = modified {
                set_modified(&target.file, modified);
            }
            if target.replace {
                target
                    .parent
                    .rename_at(&target.temporary, &target.parent, &target.name)
                    .map_err(|code| local_error(code, path))?;
            } else {
                // A hard link refuses an existing name in one step, which a rename does not.
                target
                    .parent
                    .link_at(PathFlags::empty(), &target.temporary, &target.parent, &target.name)
                    .map_err(|code| local_error(code, path))?;
                let _ = target.parent.unlink_file_at(&target.temporary);
            }
            self.target = None;
            Ok(())
        })
    }

    fn at(&self, offset: u64) -> Option<Result<Box<dyn LocalWriter>>> {
        let target = self.target.as_ref()?;
        let stream = target.file.write_via_stream(offset).map_err(|code| local_error(code, &target.path));
        let file = Rc::clone(&target.file);
        Some(stream.map(|stream| Box::new(WasiPiece { stream, _file: file, path: target.path.clone() }) as _))
    }

    fn reread(&self, offset: u64) -> Option<Result<Box<dyn LocalReader>>> {
        let target = self.target.as_ref()?;
        let stream = target.file.read_via_stream(offset).map_err(|code| local_error(code, &target.path));
        Some(stream.map(|stream| Box::new(WasiReader { stream, name: target.path.clone() }) as _))
    }

    fn stream(&self) -> &OutputStream {
        &self.stream
    }
}

/// A further way into an unfinished file.
struct WasiPiece {
    /// Declared, and dropped, before the file that it belongs to.
    stream: OutputStream,
    _file: Rc<Descriptor>,
    path: String,
}

impl LocalWriter for WasiPiece {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move { stream::write(&self.stream, bytes).await.map_err(|e| stream_error(e, &self.path)) })
    }

    fn flush(&mut self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move { stream::flush(&self.stream).await.map_err(|e| stream_error(e, &self.path)) })
    }

    fn finish(mut self: Box<Self>, _: Option<u32>, _: Option<i64>) -> LocalBoxFuture<'static, Result<()>> {
        Box::pin(async move { self.flush().await })
    }

    fn at(&self, _offset: u64) -> Option<Result<Box<dyn LocalWriter>>> {
        None
    }

    fn reread(&self, _offset: u64) -> Option<Result<Box<dyn LocalReader>>> {
        None
    }

    fn stream(&self) -> &OutputStream {
        &self.stream
    }
}

impl Drop for WasiWriter {
    fn drop(&mut self) {
        if let Some(target) = &self.target {
            let _ = target.parent.unlink_file_at(&target.temporary);
        }
    }
}

/// A file that was not there before, whatever it is called.
fn new_file(directory: &Descriptor, name: &str) -> Result<Descriptor, ErrorCode> {
    directory.open_at(
        PathFlags::empty(),
        name,
        OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
        DescriptorFlags::READ | DescriptorFlags::WRITE,
    )
}

/// A path without its last name, with the slash.
fn directory_of(local: &str) -> &str {
    &local[..local.trim_end_matches('/').rfind('/').map_or(0, |i| i + 1)]
}

/// Sets a file's time, in Unix seconds; the bytes matter more.
fn set_modified(file: &Descriptor, modified: i64) {
    if let Ok(seconds) = u64::try_from(modified) {
        let time = NewTimestamp::Timestamp(Datetime { seconds, nanoseconds: 0 });
        let _ = file.set_times(NewTimestamp::NoChange, time);
    }
}

fn stream_error(error: StreamError, path: &str) -> Error {
    match error {
        StreamError::Closed => Error::new(Kind::Other, format!("{path}: the local file was closed")).about(path),
        StreamError::LastOperationFailed(error) => match wasip2::filesystem::types::filesystem_error_code(&error) {
            Some(code) => local_error(code, path),
            None => Error::new(Kind::Other, format!("{path}: {}", error.to_debug_string())).about(path),
        },
    }
}

fn local_error(code: ErrorCode, path: &str) -> Error {
    let (kind, what) = match code {
        ErrorCode::NoEntry => (Kind::NotFound, "no such local file or folder"),
        ErrorCode::Access | ErrorCode::NotPermitted => (Kind::PermissionDenied, "permission denied"),
        ErrorCode::ReadOnly => (Kind::PermissionDenied, "read-only"),
        ErrorCode::Exist => (Kind::AlreadyExists, "already exists"),
        ErrorCode::NotDirectory => (Kind::NotADirectory, "not a directory"),
        ErrorCode::IsDirectory => (Kind::IsADirectory, "is a directory"),
        ErrorCode::NotEmpty => (Kind::NotEmpty, "directory not empty"),
        ErrorCode::InsufficientSpace => (Kind::Other, "no space left on the local device"),
        ErrorCode::Quota => (Kind::Other, "local disk quota exceeded"),
        ErrorCode::NameTooLong => (Kind::InvalidArgument, "name too long"),
        ErrorCode::Loop => (Kind::InvalidArgument, "too many levels of symbolic links"),
        _ => return Error::new(Kind::Other, format!("{path}: {}", code.message())).about(path),
    };
    Error::new(kind, format!("{path}: {what}")).about(path)
}
