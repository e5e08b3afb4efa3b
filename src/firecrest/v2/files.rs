//! `filesystem/{system}/ops/…`: files, one request each. All of them run over SSH with a limit of 5 s.
//!
//! After a lost answer a change is looked for, and sent once more where the look proves that it is not there:
//!
//! | change       | there                                   | not there      | something else is there |
//! |--------------|-----------------------------------------|----------------|-------------------------|
//! | mkdir        | `outcome-unknown`: was it there before? | sent once more | `outcome-unknown`       |
//! | mkdir -p     | done                                    | sent once more | `outcome-unknown`       |
//! | rm           | sent once more                          | done           |                         |
//! | symlink      | done                                    | sent once more | `outcome-unknown`       |
//! | chmod, chown | done                                    | sent once more |                         |
//!
//! An upload is sent once more, too: no look but a checksum would prove it, and the same bytes twice are the same bytes.
//!
//! Where the look fails, too, the error of the change stands. Its message says what to check.

use std::rc::Rc;

use serde_json::json;

use super::Api;
use super::lenient::Field;
use super::listing::{FileKind, unescape};
use super::models::{Compression, Output, Stat, WireEntry};
use crate::error::{Error, Kind, Result};
use crate::firecrest::{Call, OpenAnswer};
use crate::http::retry::Effect;
use crate::http::{Body, Method, Part, multipart};
use crate::local::LocalFile;
use crate::remote::RemotePath;

/// Where the bytes of an upload come from.
#[derive(Clone)]
pub enum Content {
    /// Memory.
    Bytes(Rc<[u8]>),
    /// A local file, streamed.
    File(Rc<dyn LocalFile>),
    /// Pieces of both.
    Parts(Rc<[Part]>),
}

impl Content {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.size(),
            Self::Parts(parts) => parts.iter().map(Part::length).sum(),
        }
    }

    /// A piece of it, for one part of an upload in several.
    pub fn piece(&self, offset: u64, length: u64) -> Part {
        match self {
            Self::File(file) => Part::File { file: Rc::clone(file), offset, length },
            Self::Bytes(bytes) => Part::Bytes(bytes[offset as usize..(offset + length) as usize].into()),
            // Archives are never larger than one upload: they have one piece.
            Self::Parts(_) => Part::Bytes(Rc::new([])),
        }
    }

    /// Can its bytes be read only once, and in order?
    pub fn once(&self) -> bool {
        matches!(self, Self::File(file) if file.once())
    }

    /// Its bytes up to there have arrived, and will not be asked for again.
    pub fn passed(&self, offset: u64) {
        if let Self::File(file) = self {
            file.passed(offset);
        }
    }

    /// The pieces.
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Self::Bytes(bytes) => vec![Part::Bytes(Rc::clone(bytes))],
            Self::File(file) => vec![Part::File { file: Rc::clone(file), offset: 0, length: file.size() }],
            Self::Parts(parts) => parts.to_vec(),
        }
    }
}

/// What a look after a lost answer says of a change.
enum Look {
    /// It is there.
    Done,
    /// It is not.
    Missed,
    /// It cannot be told from what was there before.
    Unclear,
}

/// An upload whose command ended without a word is sent so often.
const MOST_TRIES: u32 = 4;

/// The command that takes an upload refused, and ended before the server had given it its bytes; then the reason is lost (2.5.7: three to
/// twenty of a hundred refusals, eight uploads at once).
fn ended_unsaid(error: &Error) -> bool {
    let text = error.info.server_message.as_deref().unwrap_or_default();
    error.info.http_status == Some(500) && text.contains("Channel not open for sending")
}

/// Is it that link? Names and targets are compared as the listing writes them.
fn is_link(entry: &WireEntry, target: &RemotePath, link: &RemotePath) -> bool {
    let same = |told: &str, path: &RemotePath| unescape(told) == unescape(path.as_str());
    entry.kind == "l" && same(&entry.name, link) && entry.link_target.as_deref().is_some_and(|told| same(told, target))
}

impl Api {
    fn ops(&self, what: &'static str) -> Vec<&str> {
        vec!["filesystem", &self.system, "ops", what]
    }

    /// stat(2), or lstat(2).
    pub async fn stat(&self, path: &RemotePath, dereference: bool) -> Result<Stat> {
        let follow = if dereference { "true" } else { "false" };
        let query = vec![("path", path.as_str()), ("dereference", follow)];
        let answer = self.client.fetch(&Call::get(self.ops("stat"), query, path.as_str())).await?;
        Stat::read(&answer).ok_or_else(|| self.client.unknown("its stat lacks a number", path.as_str()))
    }

    /// `ls -l`. `path` goes as it is: with a slash at its end it lists a directory even through a symlink.
    pub async fn ls(&self, path: &str, recursive: bool, hidden: bool) -> Result<Vec<WireEntry>> {
        let mut query = vec![("path", path)];
        if recursive {
            query.push(("recursive", "true"));
        }
        if hidden {
            query.push(("showHidden", "true"));
        }
        let subject = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let call = Call { subject, ..Call::get(self.ops("ls"), query, path) };
        Ok(self.client.fetch::<Output<Option<Vec<WireEntry>>>>(&call).await?.output.unwrap_or_default())
    }

    /// `mkdir`, or `mkdir -p`.
    pub async fn mkdir(&self, path: &RemotePath, parents: bool) -> Result<()> {
        let body = json!({"path": path.as_str(), "parent": parents});
        let effect = if parents { Effect::Idempotent } else { Effect::Write };
        let call = Call::json(Method::Post, self.ops("mkdir"), &body, effect, path.as_str());
        self.change(&call, path, &|stat| match stat {
            None => Look::Missed,
            Some(stat) if parents && stat.mode & 0o170_000 == 0o040_000 => Look::Done,
            Some(_) => Look::Unclear,
        })
        .await
    }

    /// Sends a change; where its answer is lost, looks for it.
    async fn change(&self, call: &Call<'_>, path: &RemotePath, judge: &dyn Fn(Option<Stat>) -> Look) -> Result<()> {
        let lost = match self.client.call(call).await {
            Err(error) if error.kind == Kind::OutcomeUnknown => error,
            settled => return settled.map(drop),
        };
        match self.found(path).await.map(judge) {
            Some(Look::Done) => Ok(()),
            Some(Look::Missed) => match self.client.call(call).await {
                // The first request was only late.
                Err(error) if error.kind == Kind::NotFound && call.method == Method::Delete => Ok(()),
                Err(error) if error.kind == Kind::AlreadyExists => Err(lost),
                again => again.map(drop),
            },
            _ => Err(lost),
        }
    }

    /// What is at a path, without following it; the outer none: nobody says.
    async fn found(&self, path: &RemotePath) -> Option<Option<Stat>> {
        match self.stat(path, false).await {
            Ok(stat) => Some(Some(stat)),
            Err(error) => (error.kind == Kind::NotFound && error.info.http_status == Some(404)).then_some(None),
        }
    }

    /// `rm -r`: a file, a symlink, or a directory with all that is in it.
    pub async fn rm(&self, path: &RemotePath) -> Result<()> {
        let call = Call {
            method: Method::Delete,
            effect: Effect::Write,
            ..Call::get(self.ops("rm"), vec![("path", path.as_str())], path.as_str())
        };
        self.change(&call, path, &|stat| if stat.is_none() { Look::Done } else { Look::Missed }).await
    }

    /// `ln -s target link`; what is at `link` afterwards, which is not always the link: in place of a directory it is made inside.
    pub async fn symlink(&self, target: &RemotePath, link: &RemotePath) -> Result<WireEntry> {
        let body = json!({"path": target.as_str(), "linkPath": link.as_str()});
        let call = Call::json(Method::Post, self.ops("symlink"), &body, Effect::Write, link.as_str());
        match self.client.fetch::<Output<WireEntry>>(&call).await {
            Err(lost) if lost.kind == Kind::OutcomeUnknown => match self.ls(link.as_str(), false, true).await {
                Ok(found) => found.into_iter().find(|entry| is_link(entry, target, link)).ok_or(lost),
                Err(error) if error.kind == Kind::NotFound => {
                    Ok(self.client.fetch::<Output<WireEntry>>(&call).await?.output)
                }
                Err(_) => Err(lost),
            },
            answer => Ok(answer?.output),
        }
    }

    /// `chmod`; the mode in octal digits.
    pub async fn chmod(&self, path: &RemotePath, mode: u32) -> Result<()> {
        let body = json!({"path": path.as_str(), "mode": format!("{mode:o}")});
        let call = Call::json(Method::Put, self.ops("chmod"), &body, Effect::Idempotent, path.as_str());
        // A link's own bits say nothing of its target's: then it is sent again.
        self.change(&call, path, &|stat| match stat {
            Some(stat) if stat.mode & 0o7777 == mode && stat.mode & 0o170_000 != 0o120_000 => Look::Done,
            _ => Look::Missed,
        })
        .await
    }

    /// `chown owner:group`, both by number.
    pub async fn chown(&self, path: &RemotePath, uid: u32, gid: u32) -> Result<()> {
        let body = json!({"path": path.as_str(), "owner": uid.to_string(), "group": gid.to_string()});
        let call = Call::json(Method::Put, self.ops("chown"), &body, Effect::Idempotent, path.as_str());
        self.change(&call, path, &|stat| match stat {
            Some(stat) if (stat.uid, stat.gid) == (uid, gid) && stat.mode & 0o170_000 != 0o120_000 => Look::Done,
            _ => Look::Missed,
        })
        .await
    }

    /// SHA-256, in lower-case hexadecimal digits.
    pub async fn checksum(&self, path: &RemotePath) -> Result<String> {
        let call = Call::get(self.ops("checksum"), vec![("path", path.as_str())], path.as_str());
        let told = match self.client.fetch::<serde_json::Value>(&call).await {
            Ok(answer) => Field::new(&answer).at("output").at("checksum").text().unwrap_or_default(),
            // The server splits sha256sum's output at spaces and gives up on a name that has some: the hash is in the error.
            Err(error) => {
                let told = error.info.server_message.as_deref().and_then(|text| text.strip_prefix("Invalid output: "));
                match told.and_then(|text| text.split_whitespace().next()).map(str::to_owned) {
                    Some(told) => told,
                    None => return Err(error),
                }
            }
        };
        // sha256sum marks a line whose name it had to escape with a backslash before the hash.
        let hash = told.trim_start_matches('\\').to_ascii_lowercase();
        if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(hash)
        } else {
            Err(Error::new(Kind::Other, format!("{path}: the server's checksum is not one of SHA-256"))
                .about(path.as_str()))
        }
    }

    /// Makes or replaces `directory/name`. The server truncates the target first and follows a symlink.
    pub async fn upload(&self, directory: &RemotePath, name: &str, content: &Content, subject: &str) -> Result<()> {
        carried(name, subject)?;
        let random = self.client.platform();
        let boundary = format!("{:016x}{:016x}", random.random(), random.random());
        let form = multipart::form(name, &boundary);
        let (head, tail) = (Part::Bytes(form.head), Part::Bytes(form.tail));
        let body = Body::Parts(std::iter::once(head).chain(content.parts()).chain([tail]).collect());
        let call = Call {
            method: Method::Post,
            segments: self.ops("upload"),
            query: vec![("path", directory.as_str())],
            content_type: Some(form.content_type),
            body,
            effect: Effect::Idempotent,
            subject,
        };
        let mut tries = 0;
        loop {
            let settled = match self.client.call(&call).await {
                // Not after a 408: what took longer than the server allows takes as long again.
                Err(lost) if lost.kind == Kind::OutcomeUnknown && lost.info.http_status != Some(408) => {
                    self.client.call(&call).await
                }
                settled => settled,
            };
            match settled {
                Err(unsaid) if ended_unsaid(&unsaid) => {
                    // A look costs less than the bytes once more, and finds most reasons.
                    if let Some(reason) = self.why_not(directory, name).await {
                        return Err(reason.about(subject));
                    }
                    tries += 1;
                    if content.once() || tries == MOST_TRIES {
                        return Err(Error { kind: Kind::Other, ..unsaid });
                    }
                }
                settled => return settled.map(drop),
            }
        }
    }

    /// Why a file cannot be written there, as far as a look can tell.
    async fn why_not(&self, directory: &RemotePath, name: &str) -> Option<Error> {
        let target = directory.join(name).ok()?;
        match self.stat(&target, true).await {
            Ok(stat) if FileKind::from_mode(stat.mode) == FileKind::Directory => {
                Some(Error::new(Kind::IsADirectory, format!("{target}: Is a directory")))
            }
            Ok(_) => None,
            Err(error) if error.kind == Kind::NotFound => self.stat(directory, true).await.err(),
            Err(error) => Some(error),
        }
    }

    /// `tar -c`, within the server's 5 s. `source` goes as it is: with `/.` at its end the names in the archive begin with `./`.
    pub async fn compress(
        &self,
        source: &str,
        archive: &RemotePath,
        dereference: bool,
        compression: Compression,
    ) -> Result<()> {
        let body = json!({"path": source, "targetPath": archive.as_str(), "dereference": dereference,
            "compression": compression.as_str()});
        self.client
            .call(&Call::json(Method::Post, self.ops("compress"), &body, Effect::Idempotent, source))
            .await
            .map(drop)
    }

    /// `tar -x` into a directory that is there, within the server's 5 s.
    pub async fn extract(&self, archive: &RemotePath, directory: &RemotePath, compression: Compression) -> Result<()> {
        let body =
            json!({"path": archive.as_str(), "targetPath": directory.as_str(), "compression": compression.as_str()});
        self.client
            .call(&Call::json(Method::Post, self.ops("extract"), &body, Effect::Idempotent, archive.as_str()))
            .await
            .map(drop)
    }

    /// A file's bytes, still to be read.
    pub async fn download(&self, path: &RemotePath) -> Result<OpenAnswer> {
        self.client.open(&Call::get(self.ops("download"), vec![("path", path.as_str())], path.as_str())).await
    }
}

/// Refuses a name that an upload's form cannot carry.
pub fn carried(name: &str, subject: &str) -> Result<()> {
    if multipart::can_carry(name) {
        return Ok(());
    }
    Err(Error::invalid(subject, "a file name with a carriage return cannot be uploaded by itself"))
}
