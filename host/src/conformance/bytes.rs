//! Bytes in memory: `read`, `write`, `checksum`.

use super::bench::{Bench, bytes, noise};
use super::judge::{Finding, Judge, Outcome, holds, lacks, same};
use super::{Behaviour, behaviour};
use crate::types::ErrorKind;
use sha2::{Digest, Sha256};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("read", brings_what_was_written, "Any bytes of any size come back: none, one, all 256 values, a MiB"),
    behaviour!("read", brings_a_piece, "A piece is read by offset and length; past the end there is nothing"),
    behaviour!("read", follows_a_symlink, "A file is read through a symlink"),
    behaviour!(
        "read",
        of_a_missing_file_is_not_found,
        "Reading a missing file or through a dangling symlink is not-found"
    ),
    behaviour!("read", of_a_directory_is_a_directory, "Reading a directory is is-a-directory"),
    behaviour!("read", of_a_closed_file_is_denied, "Reading a file without the right to is permission-denied"),
    behaviour!(
        "read",
        at_the_limit_is_whole_and_past_it_too_large,
        "A file of the download limit is read whole, one byte more is too-large"
    ),
    behaviour!("write", replaces_a_file, "Writing to a file replaces its content, longer or shorter, empty too"),
    behaviour!("write", sets_the_mode_that_is_given, "The mode given is set, on a new file and on one that is there"),
    behaviour!("write", without_a_mode_leaves_it, "Without a mode an old file keeps its own"),
    behaviour!(
        "write",
        in_a_missing_directory_is_not_found,
        "Writing into a missing directory is not-found, and makes none"
    ),
    behaviour!(
        "write",
        to_a_directory_is_a_directory,
        "Writing to a directory is is-a-directory, and leaves it as it was"
    ),
    behaviour!("write", below_a_file_is_not_a_directory, "Writing below a file is not-a-directory"),
    behaviour!(
        "write",
        past_the_limit_leaves_the_old_file,
        "More than the upload limit is written whole, or is too-large and the old file stays"
    ),
    behaviour!(
        "checksum",
        is_sha256_in_lower_case,
        "A checksum is SHA-256 in lower-case hexadecimal digits, of an empty file too"
    ),
    behaviour!("checksum", is_of_what_a_symlink_points_to, "The checksum of a symlink is its target's"),
    behaviour!("checksum", of_a_directory_is_a_directory_too, "The checksum of a directory is is-a-directory"),
    behaviour!("checksum", of_a_missing_file_is_not_found_too, "The checksum of a missing file is not-found"),
];

async fn brings_what_was_written(b: &mut Bench) -> Outcome {
    let all_values: Vec<u8> = (0..=255).collect();
    for content in [Vec::new(), vec![0], b"\n".to_vec(), all_values, noise(b.a_mib())] {
        let path = b.remote(&format!("of-{}", content.len()));
        b.session.write(&path, &content, None).await.done(format!("write of {} bytes to {path}", content.len()))?;
        b.content(&path, &content).await?;
        let stat = b.session.stat(&path).await.done(format!("stat of {path}"))?;
        same(format!("the size of {path}"), stat.size, content.len() as u64)?;
    }
    Ok(())
}

async fn brings_a_piece(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"0123456789").await?;
    for (offset, length, expected) in [
        (0, Some(3), "012"),
        (4, Some(2), "45"),
        (7, None, "789"),
        (9, Some(50), "9"),
        (3, Some(0), ""),
        (10, None, ""),
        (99, Some(5), ""),
        (99, None, ""),
    ] {
        let did = format!("read of {path} from {offset}, length {length:?}");
        let piece = b.session.read(&path, offset, length).await.done(&did)?;
        bytes(did, &piece, expected.as_bytes())?;
    }
    Ok(())
}

async fn follows_a_symlink(b: &mut Bench) -> Outcome {
    b.file("file", b"through").await?;
    let link = b.link("file", "link").await?;
    b.content(&link, b"through").await
}

async fn of_a_missing_file_is_not_found(b: &mut Bench) -> Outcome {
    let dangling = b.link("nowhere", "dangling").await?;
    for path in [b.remote("missing"), b.remote("missing/below"), dangling] {
        b.session.read(&path, 0, None).await.refused(format!("read of {path}"), &[ErrorKind::NotFound])?;
    }
    Ok(())
}

async fn of_a_directory_is_a_directory(b: &mut Bench) -> Outcome {
    let path = b.directory("d").await?;
    b.session.read(&path, 0, None).await.refused(format!("read of {path}"), &[ErrorKind::IsADirectory]).map(drop)
}

async fn of_a_closed_file_is_denied(b: &mut Bench) -> Outcome {
    let path = b.file("closed", b"1").await?;
    b.close(&path).await?;
    let denied = [ErrorKind::PermissionDenied];
    b.session.read(&path, 0, None).await.refused(format!("read of {path}"), &denied)?;
    b.session.checksum(&path).await.refused(format!("checksum of {path}"), &denied).map(drop)
}

async fn at_the_limit_is_whole_and_past_it_too_large(b: &mut Bench) -> Outcome {
    let limit = b.limit_within_reach(|system| system.download_limit, "download limit")?;
    let content = noise(usize::try_from(limit).unwrap_or(usize::MAX) + 1);
    let (fits, past) = (b.remote("fits"), b.remote("past"));
    for (path, content) in [(&fits, &content[1..]), (&past, &content[..])] {
        let local = b.local_file("content", content)?;
        // By put, which may be able to move more at once than write.
        match b.session.put(&local, path, &Default::default()).await {
            Err(error) if error.plugin_kind() == Some(ErrorKind::TooLarge) => {
                return Err(lacks("the options lower the limits that the server tells"));
            }
            other => other.done(format!("put of {} bytes to {path}", content.len()))?,
        };
    }
    let read = b.session.read(&fits, 0, None).await;
    if b.lowers_limits() && read.as_ref().is_err_and(|error| error.plugin_kind() == Some(ErrorKind::TooLarge)) {
        return Err(lacks("the options lower the limits that the server tells"));
    }
    bytes(format!("the content of {fits}"), &read.done(format!("read of {fits}"))?, &content[1..])?;
    b.session.read(&past, 0, None).await.refused(format!("read of {past}"), &[ErrorKind::TooLarge]).map(drop)
}

async fn replaces_a_file(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"a text of some length").await?;
    for content in [b"short".as_slice(), b"", b"longer than all that was there before", b""] {
        b.session.write(&path, content, None).await.done(format!("write of {} bytes to {path}", content.len()))?;
        b.content(&path, content).await?;
    }
    Ok(())
}

async fn sets_the_mode_that_is_given(b: &mut Bench) -> Outcome {
    for (content, mode) in [(b"1".as_slice(), 0o640), (b"22", 0o755), (b"", 0o600)] {
        for name in ["same".to_owned(), format!("new-{mode:o}")] {
            let path = b.remote(&name);
            b.session.write(&path, content, Some(mode)).await.done(format!("write to {path}, mode {mode:o}"))?;
            b.mode(&path, mode).await?;
            b.content(&path, content).await?;
        }
    }
    Ok(())
}

async fn without_a_mode_leaves_it(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"1").await?;
    b.session.chmod(&path, 0o604).await.done(format!("chmod of {path} to 604"))?;
    b.session.write(&path, b"22", None).await.done(format!("write to {path}"))?;
    b.content(&path, b"22").await?;
    b.mode(&path, 0o604).await
}

async fn in_a_missing_directory_is_not_found(b: &mut Bench) -> Outcome {
    let path = b.remote("missing/file");
    for content in [b"1".as_slice(), b""] {
        let did = format!("write of {} bytes to {path}", content.len());
        b.session.write(&path, content, None).await.refused(did, &[ErrorKind::NotFound])?;
    }
    let missing = b.remote("missing");
    b.gone(&missing).await
}

async fn to_a_directory_is_a_directory(b: &mut Bench) -> Outcome {
    let path = b.directory("d").await?;
    for content in [b"1".as_slice(), b""] {
        let did = format!("write of {} bytes to {path}", content.len());
        b.session.write(&path, content, None).await.refused(did, &[ErrorKind::IsADirectory])?;
    }
    b.names(&path, &[]).await
}

async fn below_a_file_is_not_a_directory(b: &mut Bench) -> Outcome {
    let path = format!("{}/below", b.file("file", b"1").await?);
    for content in [b"1".as_slice(), b""] {
        let did = format!("write of {} bytes to {path}", content.len());
        b.session.write(&path, content, None).await.refused(did, &[ErrorKind::NotADirectory])?;
    }
    Ok(())
}

async fn past_the_limit_leaves_the_old_file(b: &mut Bench) -> Outcome {
    let limit = b.limit_within_reach(|system| system.upload_limit, "upload limit")?;
    let path = b.file("file", b"old").await?;
    let content = noise(usize::try_from(limit).unwrap_or(usize::MAX) + 1);
    match b.session.write(&path, &content, None).await.refused("write past the limit", &[ErrorKind::TooLarge]) {
        Ok(_) => b.content(&path, b"old").await?,
        Err(Finding::Fail(evidence)) if evidence.error_kind.is_none() => {
            let stat = b.session.stat(&path).await.done(format!("stat of {path}"))?;
            same(format!("the size of {path}"), stat.size, content.len() as u64)?;
        }
        Err(other) => return Err(other),
    }
    let fits = &content[1..];
    match b.session.write(&path, fits, None).await {
        Err(error) if b.lowers_limits() && error.plugin_kind() == Some(ErrorKind::TooLarge) => {
            Err(lacks("the options lower the limits that the server tells"))
        }
        other => {
            other.done(format!("write of {} bytes to {path}", fits.len()))?;
            let sum = b.session.checksum(&path).await.done(format!("checksum of {path}"))?;
            same(format!("the checksum of {path}"), sum, sha256(fits))
        }
    }
}

pub(super) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn is_sha256_in_lower_case(b: &mut Bench) -> Outcome {
    for (name, content) in [("abc", b"abc".as_slice()), ("empty", b""), ("bytes", b"\0\xff\r\n")] {
        let path = b.file(name, content).await?;
        let sum = b.session.checksum(&path).await.done(format!("checksum of {path}"))?;
        same(format!("the checksum of {path}"), sum, sha256(content))?;
    }
    Ok(())
}

async fn is_of_what_a_symlink_points_to(b: &mut Bench) -> Outcome {
    b.file("file", b"abc").await?;
    let link = b.link("file", "link").await?;
    let sum = b.session.checksum(&link).await.done(format!("checksum of {link}"))?;
    same(format!("the checksum of {link}"), sum, sha256(b"abc"))
}

async fn of_a_directory_is_a_directory_too(b: &mut Bench) -> Outcome {
    let path = b.directory("d").await?;
    b.session.checksum(&path).await.refused(format!("checksum of {path}"), &[ErrorKind::IsADirectory]).map(drop)
}

async fn of_a_missing_file_is_not_found_too(b: &mut Bench) -> Outcome {
    let path = b.remote("missing");
    let error = b.session.checksum(&path).await.refused(format!("checksum of {path}"), &[ErrorKind::NotFound])?;
    holds("its subject", error.subject.as_deref() == Some(path.as_str()), &path, &error.subject)
}
