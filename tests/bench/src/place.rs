//! Files before a work, made on the disk and without a request, and files after it, compared byte by byte.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

const PIECE: usize = 1 << 20;

/// Bytes without a pattern, the same for the same seed.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A file of so many bytes.
pub(crate) fn file(path: &Path, size: u64, seed: u64) -> Result<()> {
    let mut noise = Noise::new(seed);
    let mut out = File::create(path).with_context(|| path.display().to_string())?;
    let mut piece = vec![0; PIECE];
    let mut left = size;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        noise.fill(&mut piece[..now]);
        out.write_all(&piece[..now])?;
        left -= now as u64;
    }
    Ok(())
}

/// A folder of so many files of 1 KiB each, fifty to a directory below it.
pub(crate) fn tree(path: &Path, count: usize) -> Result<()> {
    fs::create_dir(path).with_context(|| path.display().to_string())?;
    for number in 0..count {
        let folder = path.join(format!("d{:03}", number / 50));
        if number % 50 == 0 {
            fs::create_dir(&folder)?;
        }
        file(&folder.join(format!("f{number:05}.dat")), 1024, number as u64 + 1)?;
    }
    Ok(())
}

/// A flat folder of so many files, the n-th of n bytes. Their size in all.
pub(crate) fn flat(path: &Path, count: usize) -> Result<u64> {
    fs::create_dir(path).with_context(|| path.display().to_string())?;
    for number in 0..count {
        file(&path.join(format!("f{number:05}.dat")), number as u64, 1)?;
    }
    Ok((0..count as u64).sum())
}

/// Gives all below to whom the cluster's home belongs.
pub(crate) fn give(path: &Path, home: &Path) -> Result<()> {
    let owner = fs::metadata(home)?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), home)?;
        }
    }
    chown(path, Some(owner.uid()), Some(owner.gid()))?;
    Ok(())
}

/// Both files hold the same.
pub(crate) fn same_file(one: &Path, other: &Path) -> Result<()> {
    let (mut a, mut b) = (open(one)?, open(other)?);
    let (wanted, found) = (a.metadata()?.len(), b.metadata()?.len());
    ensure!(wanted == found, "{} bytes in place of {wanted}", found);
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let (read, again) = (full(&mut a, &mut left)?, full(&mut b, &mut right)?);
        ensure!(left[..read] == right[..again], "other bytes than were sent");
        if read == 0 {
            return Ok(());
        }
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| path.display().to_string())
}

fn full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Both folders hold the same files with the same bytes.
pub(crate) fn same_tree(one: &Path, other: &Path) -> Result<()> {
    let (wanted, found) = (files(one)?, files(other)?);
    ensure!(wanted == found, "{} files in place of {}, or others", found.len(), wanted.len());
    wanted.iter().try_for_each(|name| same_file(&one.join(name), &other.join(name)))
}

/// The files below, by their relative paths, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut left) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(relative) = left.pop() {
        for entry in fs::read_dir(folder.join(&relative)).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_and_a_missing_file_are_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (folder.path().join("a"), folder.path().join("b"));
        tree(&one, 60).expect("a tree");
        tree(&other, 60).expect("a tree");
        same_tree(&one, &other).expect("the same");
        fs::write(other.join("d000/f00001.dat"), vec![0; 1024]).expect("a change");
        assert!(same_tree(&one, &other).is_err());
        fs::remove_file(other.join("d000/f00001.dat")).expect("a removal");
        assert!(same_tree(&one, &other).is_err());
    }

    #[test]
    fn noise_depends_on_its_seed_alone() {
        let bytes = |seed| {
            let mut buffer = [0; 20];
            Noise::new(seed).fill(&mut buffer);
            buffer
        };
        assert_eq!(bytes(3), bytes(3));
        assert_ne!(bytes(3), bytes(4));
    }
}
