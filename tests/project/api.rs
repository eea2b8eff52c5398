//! The public interface is on record, so that no change of it goes unseen: doc/api.txt.

use crate::support::skipped;
use crate::support::tree::{files_below, top};
use std::path::Path;

/// Written anew by `SHMDEMO_RECORD=1 cargo test --test project api`.
const RECORD: &str = "doc/api.txt";

/// Every item that is `pub`, a line each, with its file. What is not reachable from outside may not be
/// `pub`: the lint `unreachable_pub` sees to that.
fn interface(src: &Path) -> String {
    let mut files = files_below(src);
    files.sort();
    let mut items = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let inside = file.strip_prefix(src).unwrap();
        let room = inside.iter().next().unwrap();
        // Not for users; and C's, which has a record of its own.
        if ["program", "bin", "capi"].iter().any(|other| room == *other) {
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        let code =
            text.split("#[cfg(all(test").next().unwrap().split("#[cfg(test)]").next().unwrap();
        let mut lines = code.lines();
        // What the lines stand in, and whether that is to be seen from outside.
        let (mut of, mut seen) = (String::new(), true);
        while let Some(line) = lines.next() {
            let word = line.trim_start();
            if line.starts_with("impl") {
                (of, seen) = (word.trim_end_matches(" {").to_string(), true);
            } else if let Some(name) = type_name(line) {
                (of, seen) = (name.to_string(), line.starts_with("pub "));
            } else if line.starts_with('}') {
                (of, seen) = (String::new(), true);
            }
            let variant = of.starts_with("enum ")
                && line.len() - word.len() == 4
                && word.starts_with(|c: char| c.is_ascii_uppercase());
            let public = word.starts_with("pub ") && !word.starts_with("pub mod ");
            if !seen || !(variant || public) {
                continue;
            }
            let mut item = word.to_string();
            while !item.ends_with([';', '{', ',', '}'])
                || item.matches('(').count() > item.matches(')').count()
            {
                let Some(more) = lines.next() else { break };
                item = format!("{item} {}", more.trim());
            }
            let item = item.trim_end_matches([';', '{', ' ', ',']);
            let item = item.replace("( ", "(").replace(", )", ")");
            let of = if line.starts_with("pub") || of.is_empty() {
                String::new()
            } else {
                format!("{of}: ")
            };
            items.push(format!("{}: {of}{item}", inside.display()));
        }
    }
    items.join("\n") + "\n"
}

/// `struct Key`, of a line at which that begins.
fn type_name(line: &str) -> Option<&str> {
    let rest =
        line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
    let kind = ["struct ", "enum ", "union "].iter().find(|kind| rest.starts_with(**kind))?;
    let name = rest[kind.len()..].split(|c: char| !c.is_alphanumeric()).next()?;
    Some(&rest[..kind.len() + name.len()])
}

#[test]
fn the_interface_is_on_record() {
    let Some(top) = top().filter(|top| top.join("src").is_dir()) else {
        return skipped("the sources are not here");
    };
    let found = interface(&top.join("src"));
    if std::env::var_os("SHMDEMO_RECORD").is_some() {
        std::fs::write(top.join(RECORD), &found).expect("the record");
    }
    let record = std::fs::read_to_string(top.join(RECORD)).expect("the record");
    let new: Vec<_> =
        found.lines().filter(|line| !record.lines().any(|old| old == *line)).collect();
    let gone: Vec<_> =
        record.lines().filter(|old| !found.lines().any(|line| line == *old)).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "the public interface is not that of {RECORD}: new: {new:#?}, gone: {gone:#?}; if that is \
         meant, say it in CHANGELOG.md and write the record anew: SHMDEMO_RECORD=1 cargo test \
         --test project api"
    );
    assert!(found.lines().count() > 100, "{found}");
}
