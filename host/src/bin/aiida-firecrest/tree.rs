//! `tree`: one recursive listing, drawn as tree(1) does.

use crate::args::Tree;
use crate::context::Context;
use crate::json;
use crate::output::{Failure, shown};
use aiida_firecrest_host::transport::{Entry, ListOptions};
use aiida_firecrest_host::types::FileKind;
use serde_json::json;
use std::collections::BTreeMap;

pub(crate) async fn tree(context: &Context, arguments: &Tree) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let depth = arguments.depth.map_or(usize::MAX, usize::from);
    let options = ListOptions { recursive: depth > 1, hidden: arguments.all, pattern: None };
    let mut entries = session.list(&arguments.path, &options).await?;
    entries.retain(|entry| entry.path.split('/').count() <= depth);
    entries.sort_by(|one, other| one.path.split('/').cmp(other.path.split('/')));
    let directories = entries.iter().filter(|entry| entry.kind == FileKind::Directory).count();
    let files = entries.len() - directories;
    let document = || {
        json!({
            "path": arguments.path, "entries": entries.iter().map(json::entry).collect::<Vec<_>>(),
            "directories": directories, "files": files,
        })
    };
    let lines = || {
        let count = |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
        format!(
            "{}\n{}\n{}, {}",
            shown(&arguments.path),
            drawn(&entries),
            count(directories, "directory", "directories"),
            count(files, "file", "files")
        )
    };
    context.output.answer(document, lines)
}

#[derive(Default)]
struct Node<'a> {
    entry: Option<&'a Entry>,
    below: BTreeMap<&'a str, Node<'a>>,
}

fn drawn(entries: &[Entry]) -> String {
    let mut root = Node::default();
    for entry in entries {
        let node = entry.path.split('/').fold(&mut root, |node, name| node.below.entry(name).or_default());
        node.entry = Some(entry);
    }
    let mut text = String::new();
    // What is still to be drawn, the next at the end: nothing recurses, for a tree may be deep.
    let mut open = vec![(root.below.into_iter(), String::new())];
    while let Some((names, indent)) = open.last_mut() {
        let Some((name, node)) = names.next() else {
            open.pop();
            continue;
        };
        let last = names.len() == 0;
        let target = node.entry.and_then(|entry| entry.link_target.as_deref());
        let target = target.map_or_else(String::new, |target| format!(" -> {}", shown(target)));
        text += &format!("{indent}{}{}{target}\n", if last { "└── " } else { "├── " }, shown(name));
        let indent = format!("{indent}{}", if last { "    " } else { "│   " });
        open.push((node.below.into_iter(), indent));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_drawn_as_tree_does() {
        let entry = |path: &str, kind, target: Option<&str>| Entry {
            path: path.into(),
            raw_path: None,
            kind,
            size: 0,
            permissions: 0o644,
            owner: String::new(),
            group: String::new(),
            modified: String::new(),
            link_target: target.map(str::to_owned),
        };
        let entries = [
            entry("b", FileKind::Regular, None),
            entry("a/x\n", FileKind::Regular, None),
            entry("a", FileKind::Directory, None),
            entry("a/c", FileKind::Directory, None),
            entry("a/c/l", FileKind::Symlink, Some("../x")),
        ];
        assert_eq!(drawn(&entries), "├── a\n│   ├── c\n│   │   └── l -> ../x\n│   └── x\\n\n└── b\n");
        assert_eq!(drawn(&[]), "");
    }
}
