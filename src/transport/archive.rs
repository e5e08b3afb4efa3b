//! Archives on the cluster: compress and extract.
//!
//! A single source goes through the server's direct operation first: one request, within its 5 s. What does not end in time leaves half an
//! archive behind, which a job then writes anew; so does everything that the direct operation cannot take safely (several sources, a
//! pattern, a name that tar would read as an option).

use super::job::Work;
use super::pattern::is_pattern;
use crate::error::{Error, Kind, Result};
use crate::firecrest::errors;
use crate::firecrest::v2::listing::FileKind;
use crate::firecrest::v2::models::Compression;
use crate::remote::{JobPath, RemotePath};
use crate::session::Session;
use crate::shell::{quote, quote_pattern};

/// GNU tar's option letter.
fn letter(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "",
        Compression::Gzip => "z",
        Compression::Bzip2 => "j",
        Compression::Xz => "J",
    }
}

/// By an archive's name, as AiiDA names them.
fn of_name(name: &str) -> Option<Compression> {
    let name = name.to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|end| name.ends_with(end));
    match () {
        () if ends(&[".tar"]) => Some(Compression::None),
        () if ends(&[".tar.gz", ".tgz"]) => Some(Compression::Gzip),
        () if ends(&[".tar.bz2", ".tar.bz", ".tbz2", ".tbz"]) => Some(Compression::Bzip2),
        () if ends(&[".tar.xz", ".txz"]) => Some(Compression::Xz),
        () => None,
    }
}

/// See the WIT record `compress-options`.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct CompressOptions {
    pub compression: Compression,
    pub root: Option<String>,
    pub dereference: bool,
    pub pattern: Option<String>,
    pub overwrite: bool,
}

/// See the WIT record `extract-options`.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct ExtractOptions {
    pub compression: Option<Compression>,
    pub strip_components: u32,
}

impl Session {
    /// Packs files and directories into an archive.
    pub async fn compress(&self, sources: &[String], archive: &str, options: &CompressOptions) -> Result<()> {
        if sources.is_empty() {
            return Err(Error::invalid(archive, "there is nothing to pack"));
        }
        let target = JobPath::parse(archive)?;
        let root = options.root.as_deref().map(JobPath::parse).transpose()?;
        let members = sources.iter().map(|source| member(source, root.as_ref())).collect::<Result<Vec<_>>>()?;
        let direct = RemotePath::parse(archive).ok();
        if let Some(place) = &direct {
            self.check_place(place, archive, options.overwrite).await?;
        }
        if let (Some(place), [(folder, name)]) = (&direct, members.as_slice())
            && let Ok(source) = RemotePath::parse(&sources[0])
            && options.pattern.is_none()
            && !is_pattern(&sources[0])
            && !name.contains('/')
            && !name.starts_with('-')
            && source.split().is_some_and(|(parent, _)| parent.as_str() == folder)
        {
            match self.api.compress(source.as_str(), place, options.dereference, options.compression).await {
                // Not within the server's 5 s: the half-written archive is written anew by the job.
                Err(error) if error.kind == Kind::OutcomeUnknown => {}
                Err(error) => {
                    // tar begins an archive before it finds that a source is missing.
                    if error.kind == Kind::NotFound {
                        self.tidy(&[place]).await;
                    }
                    return Err(error.about(sources[0].as_str()));
                }
                Ok(()) => return Ok(()),
            }
        }
        let body = pack_script(&target, &members, options);
        self.run_or_fail(Work { operation: "compress", subject: &sources[0], body, ..Work::default() }).await.map(drop)
    }

    async fn check_place(&self, place: &RemotePath, archive: &str, overwrite: bool) -> Result<()> {
        match self.api.stat(place, true).await {
            Ok(stat) if FileKind::from_mode(stat.mode) == FileKind::Directory => {
                Err(Error::new(Kind::IsADirectory, format!("{archive} is a directory")).about(archive))
            }
            Ok(_) if !overwrite => {
                Err(Error::new(Kind::AlreadyExists, format!("{archive} is already there")).about(archive))
            }
            Err(error) if error.kind != Kind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// tar says the same of a directory in a file's place as of a file that it may not replace: a look tells which it was.
    pub(super) async fn in_the_way(&self, error: Error, directory: &RemotePath) -> Error {
        let told = error.info.server_message.as_deref().and_then(errors::not_made);
        let Some(Ok(path)) = told.map(|name| directory.join(name)) else { return error };
        match self.api.stat(&path, false).await {
            Ok(stat) if FileKind::from_mode(stat.mode) == FileKind::Directory => {
                Error { kind: Kind::AlreadyExists, ..error }
            }
            _ => error,
        }
    }

    /// Unpacks an archive into a directory, which is made if missing.
    pub async fn extract(&self, archive: &str, target: &str, options: ExtractOptions) -> Result<()> {
        let (from, to) = (JobPath::parse(archive)?, JobPath::parse(target)?);
        let compression = options.compression.or_else(|| of_name(from.as_str()));
        if let (Some(compression), Ok(source), Ok(place)) =
            (compression, RemotePath::parse(archive), RemotePath::parse(target))
            && options.strip_components == 0
        {
            let mut done = self.api.extract(&source, &place, compression).await;
            if matches!(&done, Err(error) if error.kind == Kind::NotFound) {
                // Of two paths one is missing: the archive, or the directory, which is made.
                self.api.stat(&source, true).await.map_err(|e| e.about(archive))?;
                self.api.mkdir(&place, true).await?;
                done = self.api.extract(&source, &place, compression).await;
            }
            match done {
                // Not within the server's 5 s: unpacked again from the start by a job.
                Err(error) if error.kind == Kind::OutcomeUnknown => {}
                Err(error) => return Err(self.in_the_way(error, &place).await.about(archive)),
                Ok(()) => return Ok(()),
            }
        }
        // Without a letter GNU tar looks at the archive itself.
        let letter = compression.map_or("", letter);
        let body = format!(
            "[ -d {to} ] || made=1\nmkdir -p -- {to} || exit\ntar -x{letter}f {from} -C {to} --strip-components={}\ncode=$?\n\
             [ $code = 0 ] || [ -z \"$made\" ] || rmdir -- {to} 2>/dev/null\nexit $code",
            options.strip_components,
            to = quote(to.as_str()),
            from = quote(from.as_str()),
        );
        match self.run_or_fail(Work { operation: "extract", subject: archive, body, ..Work::default() }).await {
            Ok(_) => Ok(()),
            Err(error) => match RemotePath::parse(target) {
                Ok(place) => Err(self.in_the_way(error, &place).await),
                Err(_) => Err(error),
            },
        }
    }
}

/// A source as the folder that tar changes to, and its path below it.
fn member(source: &str, root: Option<&JobPath>) -> Result<(String, String)> {
    let path = JobPath::parse(source)?;
    super::cluster::last_name(&path)?;
    match root {
        Some(root) => {
            let below = path.as_str().strip_prefix(root.as_str()).and_then(|rest| rest.strip_prefix('/'));
            let below = below
                .ok_or_else(|| Error::invalid(source, format!("{source} does not lie below {}", root.as_str())))?;
            Ok((root.as_str().to_owned(), below.to_owned()))
        }
        None => {
            let (folder, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
            Ok((if folder.is_empty() { "/" } else { folder }.to_owned(), name.to_owned()))
        }
    }
}

/// Writes aside and renames, so that an archive is either the old one or the whole new one.
fn pack_script(target: &JobPath, members: &[(String, String)], options: &CompressOptions) -> String {
    let follow = if options.dereference { "--dereference " } else { "" };
    let mut body = format!(
        "to={}\npart=\"$to.$$.part\"\ntrap 'rm -f -- \"$part\" \"$part.tar\"' EXIT\nset -e -o pipefail\n",
        quote(target.as_str())
    );
    // Names go to tar with a NUL behind each: nothing in them can be an option. `./` keeps find from reading one, too.
    let emit = match &options.pattern {
        Some(pattern) => format!("find \"./$f\" -type f -name {} -print0", quote(pattern)),
        None => "printf '%s\\0' \"$f\"".to_owned(),
    };
    body.push_str(&format!(
        "pick() {{\n  missing=$1; shift; found=0\n  for f in \"$@\"; do\n    if [ -e \"$f\" ] || [ -L \"$f\" ]; then found=1; {emit}; fi\n  done\n  \
         if [ $found = 0 ]; then echo \"$missing\" >&2; return 1; fi\n}}\n"
    ));
    let pack = |folder: &str, name: &str, tar: &str| {
        let missing = quote(&format!("{folder}/{name}: No such file or directory"));
        let (pattern, name, folder) = (quote_pattern(name), quote(name), quote(folder));
        // What a name says comes before what it means as a pattern.
        let choose = format!("[ -e {name} ] || [ -L {name} ]");
        format!(
            "( cd -- {folder} && if {choose}; then set -- {name}; else set -- {pattern}; fi && pick {missing} \"$@\" ) | {tar} {follow}-C {folder} --null --verbatim-files-from -T -\n"
        )
    };
    match members {
        [(folder, name)] => {
            body.push_str(&pack(folder, name, &format!("tar -c{}f \"$part\"", letter(options.compression))))
        }
        // tar cannot add to a compressed archive: it is compressed when it is whole.
        several => {
            for (folder, name) in several {
                body.push_str(&pack(folder, name, "tar -rf \"$part.tar\""));
            }
            let filter = match options.compression {
                Compression::None => "cat",
                Compression::Gzip => "gzip",
                Compression::Bzip2 => "bzip2",
                Compression::Xz => "xz",
            };
            body.push_str(&format!("{filter} < \"$part.tar\" > \"$part\"\n"));
        }
    }
    body.push_str("mv -- \"$part\" \"$to\"\n");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_compression() {
        for (name, expected) in [
            ("a.tar", Some(Compression::None)),
            ("a.tar.gz", Some(Compression::Gzip)),
            ("A.TGZ", Some(Compression::Gzip)),
            ("a.tar.bz", Some(Compression::Bzip2)),
            ("a.tar.xz", Some(Compression::Xz)),
            ("a.zip", None),
        ] {
            assert_eq!(of_name(name), expected);
        }
    }

    #[test]
    fn members_lie_below_their_root() {
        let root = JobPath::parse("/a/b").unwrap();
        assert_eq!(member("/a/b/c/d", Some(&root)).unwrap(), ("/a/b".into(), "c/d".into()));
        assert_eq!(member("/a/b/c", None).unwrap(), ("/a/b".into(), "c".into()));
        assert!(member("/a/bc", Some(&root)).is_err());
        assert!(member("/a/b/..", None).is_err());
    }
}
