//! Bytes in streams: `read-stream`, `write-stream`.

use super::bench::{Bench, bytes, noise};
use super::judge::{Judge, Outcome, Step, failed, holds, same};
use super::{Behaviour, behaviour};
use crate::types::ErrorKind;
use std::io::Cursor;
use tokio::io::AsyncReadExt;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!(
        "read-stream",
        brings_a_file_or_a_piece,
        "A file or a piece of it comes through a stream, and its number of bytes is told"
    ),
    behaviour!("read-stream", brings_what_read_cannot, "A file past the download limit comes through a stream", queued),
    behaviour!(
        "read-stream",
        of_a_missing_file_is_not_found,
        "Streaming a missing file is not-found, a directory is-a-directory"
    ),
    behaviour!(
        "write-stream",
        makes_a_file_with_its_mode,
        "A file is made from a stream, with its mode; an empty one too"
    ),
    behaviour!("write-stream", takes_what_write_cannot, "A file past the upload limit is made from a stream", queued),
    behaviour!(
        "write-stream",
        that_ends_early_leaves_the_old_file,
        "A stream that ends early is an error, and the old file stays"
    ),
    behaviour!(
        "write-stream",
        that_is_longer_is_cut_at_its_size,
        "Of a stream that is longer than its size no more than that is taken"
    ),
    behaviour!("write-stream", into_a_missing_directory_is_not_found, "A stream into a missing directory is not-found"),
];

/// What a stream brings, and the number that the call tells.
async fn streamed(b: &mut Bench, path: &str, offset: u64, length: Option<u64>) -> Step<(u64, Vec<u8>)> {
    let (writer, mut reader) = tokio::io::duplex(64 << 10);
    let collected = tokio::spawn(async move {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.map(|_| all)
    });
    let did = format!("read-stream of {path} from {offset}, length {length:?}");
    let number = b.session.read_stream(path, offset, length, writer).await.done(&did)?;
    match collected.await {
        Ok(Ok(all)) => Ok((number, all)),
        other => Err(failed(did, "all bytes when the call returns", format!("{other:?}"))),
    }
}

async fn brings_a_file_or_a_piece(b: &mut Bench) -> Outcome {
    let content = noise(300_000);
    let path = b.file("file", &content).await?;
    for (offset, length, range) in [
        (0, None, 0..300_000),
        (299_000, None, 299_000..300_000),
        (10, Some(20), 10..30),
        (299_999, Some(9), 299_999..300_000),
        (300_000, None, 0..0),
        (5, Some(0), 0..0),
    ] {
        let (number, seen) = streamed(b, &path, offset, length).await?;
        bytes(format!("{path} from {offset}, length {length:?}"), &seen, &content[range.clone()])?;
        same("the number that is told", number, range.len() as u64)?;
    }
    let empty = b.file("empty", b"").await?;
    let (number, seen) = streamed(b, &empty, 0, None).await?;
    same("an empty file", (number, seen.len()), (0, 0))
}

async fn brings_what_read_cannot(b: &mut Bench) -> Outcome {
    let limit = b.limit_within_reach(|system| system.download_limit, "download limit")?;
    let content = noise(usize::try_from(limit).unwrap_or_default() + 1000);
    let path = larger(b, "large", &content).await?;
    let (number, seen) = streamed(b, &path, 0, None).await?;
    same("the number that is told", number, content.len() as u64)?;
    bytes(format!("the content of {path}"), &seen, &content)
}

/// A file on the cluster that may be past its direct limits.
async fn larger(b: &mut Bench, name: &str, content: &[u8]) -> Step<String> {
    let (local, path) = (b.local_file(name, content)?, b.remote(name));
    b.session
        .put(&local, &path, &Default::default())
        .await
        .done(format!("put of {} bytes to {path}", content.len()))?;
    Ok(path)
}

async fn of_a_missing_file_is_not_found(b: &mut Bench) -> Outcome {
    let (missing, directory) = (b.remote("missing"), b.directory("d").await?);
    for (path, kind) in [(missing, ErrorKind::NotFound), (directory, ErrorKind::IsADirectory)] {
        let read = b.session.read_stream(&path, 0, None, tokio::io::sink()).await;
        read.refused(format!("read-stream of {path}"), &[kind])?;
    }
    Ok(())
}

async fn makes_a_file_with_its_mode(b: &mut Bench) -> Outcome {
    for (size, mode) in [(300_000, Some(0o600)), (0, Some(0o640)), (1, None)] {
        let (path, content) = (b.remote(&format!("of-{size}")), noise(size));
        let stream = Cursor::new(content.clone());
        b.session.write_stream(&path, stream, size as u64, mode).await.done(format!("write-stream to {path}"))?;
        b.content(&path, &content).await?;
        if let Some(mode) = mode {
            b.mode(&path, mode).await?;
        }
    }
    Ok(())
}

async fn takes_what_write_cannot(b: &mut Bench) -> Outcome {
    let limit = b.limit_within_reach(|system| system.upload_limit, "upload limit")?;
    let (path, content) = (b.remote("large"), noise(usize::try_from(limit).unwrap_or_default() + 1000));
    let (stream, size) = (Cursor::new(content.clone()), content.len() as u64);
    let did = format!("write-stream of {size} bytes to {path}");
    b.session.write_stream(&path, stream, size, Some(0o640)).await.done(did)?;
    let stat = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    same("size and mode", (stat.size, format!("{:o}", stat.mode & 0o7777)), (size, "640".to_owned()))?;
    let back = b.local("back");
    b.session.get(&path, &back, &Default::default()).await.done(format!("get of {path}"))?;
    super::bench::local_content(&back, &content)
}

async fn that_ends_early_leaves_the_old_file(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"old").await?;
    let written = b.session.write_stream(&path, Cursor::new(b"only this".to_vec()), 100_000, None).await;
    holds("write-stream of a stream that ends early", written.is_err(), "an error", &written)?;
    b.content(&path, b"old").await
}

async fn that_is_longer_is_cut_at_its_size(b: &mut Bench) -> Outcome {
    let path = b.remote("file");
    let stream = Cursor::new(b"0123456789 and more".to_vec());
    b.session.write_stream(&path, stream, 10, None).await.done(format!("write-stream of 10 bytes to {path}"))?;
    b.content(&path, b"0123456789").await
}

async fn into_a_missing_directory_is_not_found(b: &mut Bench) -> Outcome {
    let path = b.remote("missing/file");
    let written = b.session.write_stream(&path, Cursor::new(b"12".to_vec()), 2, None).await;
    written.refused(format!("write-stream to {path}"), &[ErrorKind::NotFound]).map(drop)
}
