//! A tar stream in any pieces: the reader ends or fails, sizes are kept to the byte, and no member is placed outside.
#![no_main]

use aiida_firecrest::archive::{Event, Limits, Member, MemberKind, Placement, Reader, Targets, write};
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    /// Where the stream is cut.
    pieces: Vec<u8>,
    strip: u8,
    /// Well-formed members, so that the rules about names are reached; then bytes as they are.
    members: Vec<(Vec<u8>, u8, Vec<u8>, u8)>,
    bytes: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let mut stream = Vec::new();
    for (path, kind, target, size) in &input.members {
        let kind = match kind % 4 {
            0 => MemberKind::File { size: u64::from(*size) },
            1 => MemberKind::Directory,
            2 => MemberKind::Symlink { target: clean(target) },
            _ => MemberKind::Hardlink { target: clean(target) },
        };
        let content = if let MemberKind::File { size } = kind { size as usize } else { 0 };
        stream.extend(write::head(&Member { path: clean(path), kind, mode: 0o644, mtime: 0 }));
        stream.resize(stream.len() + content + write::padding(content as u64), b'c');
    }
    stream.extend(&input.bytes);
    read(&stream, &input);
});

/// A writer's names come from a file system.
fn clean(name: &[u8]) -> Vec<u8> {
    let mut name: Vec<u8> = name.iter().copied().filter(|byte| *byte != 0).collect();
    if name.is_empty() {
        name.push(b'x');
    }
    name
}

fn read(stream: &[u8], input: &Input) {
    let (mut reader, mut targets) = (Reader::new(), Targets::new(usize::from(input.strip % 3), Limits::default()));
    let (mut left, mut sizes) = (stream, input.pieces.iter().cycle());
    let mut expected = None;
    while !left.is_empty() {
        let size = sizes.next().map_or(left.len(), |size| usize::from(*size) + 1).min(left.len());
        let (mut piece, rest) = left.split_at(size);
        left = rest;
        loop {
            let Ok((used, event)) = reader.feed(piece) else { return };
            piece = &piece[used..];
            match event {
                None => break,
                Some(Event::Member(member)) => {
                    expected = Some(if let MemberKind::File { size } = member.kind { size } else { 0 });
                    let Ok(placement) = targets.place(&member) else { return };
                    check(&placement);
                }
                Some(Event::Content(bytes)) => {
                    assert!(!bytes.is_empty());
                    expected = Some(expected.expect("a member").checked_sub(bytes.len() as u64).expect("no more"));
                }
                Some(Event::EndOfMember) => assert_eq!(expected.take(), Some(0)),
                Some(Event::End) => {}
            }
        }
        assert!(piece.is_empty());
    }
    let _ = reader.finish();
    for link in targets.into_links() {
        inside(&link.path);
    }
}

fn check(placement: &Placement) {
    match placement {
        Placement::Directory { path } if path == "." => {}
        Placement::Directory { path } | Placement::File { path } => inside(path),
        Placement::CopyOf { path, of } => {
            inside(path);
            inside(of);
            assert_ne!(path, of);
        }
        Placement::Skip(_) | Placement::Remembered => {}
    }
}

fn inside(path: &str) {
    assert!(path.split('/').all(|name| !matches!(name, "" | "." | "..")) && !path.contains('\0'), "{path:?}");
}
