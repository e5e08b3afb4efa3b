//! Archives on the cluster: `compress`, `extract`.

use super::bench::Bench;
use super::judge::{Judge, Outcome, Step};
use super::{Behaviour, behaviour};
use crate::transport::{CompressOptions, Compression, ExtractOptions};
use crate::types::ErrorKind;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("compress", packs_uncompressed, "A tree packed as tar comes back the same", queued),
    behaviour!("compress", packs_with_gzip, "A tree packed with gzip comes back the same", queued),
    behaviour!("compress", packs_with_bzip2, "A tree packed with bzip2 comes back the same", queued),
    behaviour!("compress", packs_with_xz, "A tree packed with xz comes back the same", queued),
    behaviour!(
        "compress",
        takes_several_sources_below_a_root,
        "Several sources and a pattern are packed relative to a root",
        queued
    ),
    behaviour!("compress", keeps_to_a_pattern, "With a pattern only regular files that match are packed", queued),
    behaviour!("compress", keeps_or_follows_links, "Symlinks are packed as such, or what they point to", queued),
    behaviour!(
        "compress",
        over_an_archive_is_already_exists,
        "An archive that is there is already-exists, and replaced when that is allowed",
        queued
    ),
    behaviour!(
        "compress",
        onto_a_directory_is_a_directory,
        "A directory in the archive's place is is-a-directory",
        queued
    ),
    behaviour!(
        "compress",
        of_nothing_is_not_found,
        "Packing what is not there, or what nothing matches, is not-found",
        queued
    ),
    behaviour!(
        "compress",
        outside_the_root_is_refused,
        "A source that is not below the root is invalid-argument",
        queued
    ),
    behaviour!(
        "extract",
        makes_its_directory,
        "The target directory is made, and one that is there is added to",
        queued
    ),
    behaviour!("extract", leaves_out_leading_names, "Leading names of members are left out as asked", queued),
    behaviour!(
        "extract",
        of_a_missing_archive_is_not_found,
        "Unpacking an archive that is not there is not-found",
        queued
    ),
    behaviour!(
        "extract",
        of_a_told_compression_needs_no_suffix,
        "An archive of any name is unpacked when its compression is told",
        queued
    ),
];

const PLAIN: CompressOptions =
    CompressOptions { compression: Compression::None, root: None, dereference: false, pattern: None, overwrite: false };
const WHOLE: ExtractOptions = ExtractOptions { compression: None, strip_components: 0 };

async fn tree(b: &mut Bench) -> Step<String> {
    let tree = b.directory("tree").await?;
    b.file("tree/a b", b"one").await?;
    b.directory("tree/sub").await?;
    b.file("tree/sub/.x", b"two").await?;
    b.file("tree/empty", b"").await?;
    Ok(tree)
}

async fn pack(b: &mut Bench, sources: &[String], archive: &str, options: &CompressOptions) -> Outcome {
    b.session.compress(sources, archive, options).await.done(format!("compress of {sources:?} to {archive}"))
}

async fn unpack(b: &mut Bench, archive: &str, target: &str, options: &ExtractOptions) -> Outcome {
    b.session.extract(archive, target, options).await.done(format!("extract of {archive} to {target}, {options:?}"))
}

async fn there_and_back(b: &mut Bench, compression: Compression, name: &str) -> Outcome {
    let (tree, archive, target) = (tree(b).await?, b.remote(name), b.remote("out"));
    pack(b, std::slice::from_ref(&tree), &archive, &CompressOptions { compression, ..PLAIN }).await?;
    unpack(b, &archive, &target, &WHOLE).await?;
    b.names(&format!("{target}/tree"), &["a b", "empty", "sub"]).await?;
    b.content(&format!("{target}/tree/a b"), b"one").await?;
    b.content(&format!("{target}/tree/empty"), b"").await?;
    b.content(&format!("{target}/tree/sub/.x"), b"two").await
}

async fn packs_uncompressed(b: &mut Bench) -> Outcome {
    there_and_back(b, Compression::None, "t.tar").await
}

async fn packs_with_gzip(b: &mut Bench) -> Outcome {
    there_and_back(b, Compression::Gzip, "t.tar.gz").await
}

async fn packs_with_bzip2(b: &mut Bench) -> Outcome {
    there_and_back(b, Compression::Bzip2, "t.tar.bz2").await
}

async fn packs_with_xz(b: &mut Bench) -> Outcome {
    there_and_back(b, Compression::Xz, "t.tar.xz").await
}

async fn takes_several_sources_below_a_root(b: &mut Bench) -> Outcome {
    let (tree, archive, target) = (tree(b).await?, b.remote("several.tar"), b.remote("out"));
    b.file("tree/-option", b"1").await?;
    b.file("tree/b.txt", b"2").await?;
    let sources = [format!("{tree}/-option"), format!("{tree}/sub"), format!("{tree}/*.txt")];
    pack(b, &sources, &archive, &CompressOptions { root: Some(tree.clone()), ..PLAIN }).await?;
    unpack(b, &archive, &target, &WHOLE).await?;
    b.names(&target, &["-option", "b.txt", "sub"]).await?;
    b.content(&format!("{target}/sub/.x"), b"two").await
}

async fn keeps_to_a_pattern(b: &mut Bench) -> Outcome {
    let (tree, archive, target) = (tree(b).await?, b.remote("some.tar"), b.remote("out"));
    b.file("tree/sub/deep.txt", b"1").await?;
    b.file("tree/top.txt", b"2").await?;
    pack(b, &[tree], &archive, &CompressOptions { pattern: Some("*.txt".into()), ..PLAIN }).await?;
    unpack(b, &archive, &target, &WHOLE).await?;
    b.names(&format!("{target}/tree"), &["sub", "top.txt"]).await?;
    b.names(&format!("{target}/tree/sub"), &["deep.txt"]).await
}

async fn keeps_or_follows_links(b: &mut Bench) -> Outcome {
    let tree = tree(b).await?;
    b.link("a b", "tree/link").await?;
    use crate::types::FileKind::{Regular, Symlink};
    for (name, dereference, kind) in [("kept", false, Symlink), ("followed", true, Regular)] {
        let (archive, target) = (b.remote(&format!("{name}.tar")), b.remote(name));
        pack(b, std::slice::from_ref(&tree), &archive, &CompressOptions { dereference, ..PLAIN }).await?;
        unpack(b, &archive, &target, &WHOLE).await?;
        let link = format!("{target}/tree/link");
        let stat = b.session.lstat(&link).await.done(format!("lstat of {link}"))?;
        super::judge::same(format!("the kind of {link}"), stat.kind, kind)?;
    }
    Ok(())
}

async fn over_an_archive_is_already_exists(b: &mut Bench) -> Outcome {
    let (source, archive) = (b.file("source", b"1").await?, b.file("a.tar", b"old").await?);
    let sources = [source];
    let did = format!("compress to {archive}, which is there");
    b.session.compress(&sources, &archive, &PLAIN).await.refused(did, &[ErrorKind::AlreadyExists])?;
    b.content(&archive, b"old").await?;
    pack(b, &sources, &archive, &CompressOptions { overwrite: true, ..PLAIN }).await?;
    let target = b.remote("out");
    unpack(b, &archive, &target, &WHOLE).await?;
    b.content(&format!("{target}/source"), b"1").await
}

async fn onto_a_directory_is_a_directory(b: &mut Bench) -> Outcome {
    let (source, directory) = (b.file("source", b"1").await?, b.directory("d").await?);
    for overwrite in [false, true] {
        let did = format!("compress to {directory}, a directory, overwrite {overwrite}");
        let options = CompressOptions { overwrite, ..PLAIN };
        let packed = b.session.compress(std::slice::from_ref(&source), &directory, &options).await;
        let kinds = [ErrorKind::IsADirectory, ErrorKind::AlreadyExists];
        packed.refused(did, if overwrite { &kinds[..1] } else { &kinds })?;
    }
    b.names(&directory, &[]).await
}

async fn of_nothing_is_not_found(b: &mut Bench) -> Outcome {
    let archive = b.remote("a.tar");
    for source in [b.remote("missing"), b.remote("*.none")] {
        let did = format!("compress of {source}");
        b.session.compress(&[source], &archive, &PLAIN).await.refused(did, &[ErrorKind::NotFound])?;
    }
    Ok(())
}

async fn outside_the_root_is_refused(b: &mut Bench) -> Outcome {
    let (tree, outside, archive) = (tree(b).await?, b.file("outside", b"1").await?, b.remote("a.tar"));
    let options = CompressOptions { root: Some(tree.clone()), ..PLAIN };
    let did = format!("compress of {outside} with the root {tree}");
    b.session.compress(&[outside], &archive, &options).await.refused(did, &[ErrorKind::InvalidArgument])?;
    b.gone(&archive).await
}

async fn makes_its_directory(b: &mut Bench) -> Outcome {
    let (source, archive, target) = (b.file("source", b"1").await?, b.remote("a.tar"), b.remote("new"));
    pack(b, &[source], &archive, &PLAIN).await?;
    unpack(b, &archive, &target, &WHOLE).await?;
    b.names(&target, &["source"]).await?;
    let there = b.directory("there").await?;
    b.file("there/kept", b"1").await?;
    unpack(b, &archive, &there, &WHOLE).await?;
    b.names(&there, &["kept", "source"]).await
}

async fn leaves_out_leading_names(b: &mut Bench) -> Outcome {
    let (tree, archive) = (tree(b).await?, b.remote("a.tar"));
    pack(b, &[tree], &archive, &PLAIN).await?;
    let (one, two) = (b.remote("one"), b.remote("two"));
    unpack(b, &archive, &one, &ExtractOptions { strip_components: 1, ..WHOLE }).await?;
    b.names(&one, &["a b", "empty", "sub"]).await?;
    unpack(b, &archive, &two, &ExtractOptions { strip_components: 2, ..WHOLE }).await?;
    b.names(&two, &[".x"]).await
}

async fn of_a_missing_archive_is_not_found(b: &mut Bench) -> Outcome {
    let (archive, target) = (b.remote("missing.tar"), b.remote("out"));
    b.session
        .extract(&archive, &target, &WHOLE)
        .await
        .refused(format!("extract of {archive}"), &[ErrorKind::NotFound])
        .map(drop)
}

async fn of_a_told_compression_needs_no_suffix(b: &mut Bench) -> Outcome {
    let (source, archive, target) = (b.file("source", b"1").await?, b.remote("an archive"), b.remote("out"));
    pack(b, &[source], &archive, &CompressOptions { compression: Compression::Gzip, ..PLAIN }).await?;
    unpack(b, &archive, &target, &ExtractOptions { compression: Some(Compression::Gzip), ..WHOLE }).await?;
    b.content(&format!("{target}/source"), b"1").await
}
