//! The rooms of `src` and what each uses of the others: as doc/architecture.md says, in one direction.

use crate::support::skipped;
use crate::support::tree::{files_below, top};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const DOCUMENT: &str = include_str!("../../doc/architecture.md");

/// Nobody reads a longer one in a sitting.
const LONGEST_FILE: usize = 400;

/// The rooms of the table, from the lowest, and what each uses.
fn documented() -> Vec<(String, BTreeSet<String>)> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (room, rest) = row.split_once("` |").expect("a room in the first column");
        let (uses, _) = rest.split_once('|').expect("three columns");
        let uses = uses.split('`').skip(1).step_by(2).map(String::from).collect();
        (room.to_string(), uses)
    })
    .collect()
}

fn sources() -> Option<PathBuf> {
    top().map(|top| top.join("src")).filter(|src| src.is_dir())
}

/// The room of a file: its folder, or its own name at the top.
fn room_of(file: &Path, src: &Path) -> String {
    let inside = file.strip_prefix(src).unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_string()
}

/// The names behind each `crate::` of the code: of a room, or one that lib.rs gives out.
fn crate_names(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap(),
            None => rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap(),
        };
        let words = list.split(',').map(|one| one.trim().split("::").next().unwrap().to_string());
        names.extend(words.filter(|word| !word.is_empty()));
    }
    names
}

/// Which rooms each room uses. Names given out by lib.rs are those of the public interface, which only
/// the faces may use.
fn used(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let files = files_below(src);
    let rooms: BTreeSet<String> = files.iter().map(|file| room_of(file, src)).collect();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let room = room_of(file, src);
        if room == "lib" || room == "bin" {
            continue;
        }
        let uses = used.entry(room.clone()).or_default();
        for name in crate_names(&std::fs::read_to_string(file).unwrap()) {
            if rooms.contains(&name) {
                uses.insert(name);
            } else {
                uses.insert("lib".into());
            }
        }
        uses.remove(&room);
    }
    used
}

#[test]
fn each_room_uses_what_the_document_says_and_only_rooms_below_it() {
    let Some(src) = sources() else { return skipped("the sources are not here") };
    let used = used(&src);
    let documented = documented();
    assert!(documented.len() > 8, "no table of rooms in doc/architecture.md");
    let mut below = BTreeSet::from(["lib".to_string()]);
    for (room, uses) in &documented {
        let found = used.get(room).unwrap_or_else(|| panic!("there is no room {room} in src"));
        assert_eq!(found, uses, "what {room} uses: left in src, right in doc/architecture.md");
        let above: Vec<_> = uses.difference(&below).collect();
        assert!(above.is_empty(), "{room} uses {above:?}, which stand above it");
        below.insert(room.clone());
    }
    let rooms: BTreeSet<_> = documented.iter().map(|(room, _)| room.clone()).collect();
    let all: BTreeSet<_> = used.into_keys().collect();
    assert_eq!(all, rooms, "rooms: left in src, right in doc/architecture.md");
}

#[test]
fn no_file_is_too_long_for_a_sitting() {
    let Some(src) = sources() else { return skipped("the sources are not here") };
    for file in files_below(&src) {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= LONGEST_FILE, "{}: {lines} lines", file.display());
    }
}
