//! The documents: every link leads somewhere, the README is one screen and what follows from it.

use crate::support::skipped;
use crate::support::tree::{files_below, top};
use std::path::{Path, PathBuf};

/// A README is read, not searched.
const LONGEST_README: usize = 160;

fn documents(top: &Path) -> Vec<PathBuf> {
    let files = files_below(top).into_iter();
    files.filter(|file| file.extension().is_some_and(|end| end == "md")).collect()
}

/// What stands in `](…)`, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut code = false;
    let plain: String = text
        .lines()
        .filter(|line| {
            code ^= line.starts_with("```");
            !code
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let targets = plain.split("](").skip(1);
    targets.map(|rest| rest.split(')').next().unwrap().to_string()).collect()
}

/// As hosts of repositories make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let Some(top) = top() else { return skipped("the documents are not here") };
    let mut count = 0;
    for document in documents(&top) {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", document.display());
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(headings.any(|one| one == heading), "{}: {link}", document.display());
            }
        }
    }
    assert!(count > 30, "only {count} links found");
}

/// What is not linked from the README, or from what it links to, nobody finds.
#[test]
fn every_document_is_linked() {
    let Some(top) = top() else { return skipped("the documents are not here") };
    let mut found = vec![top.join("README.md")];
    let mut at = 0;
    while at < found.len() {
        let (page, folder) = (found[at].clone(), found[at].parent().unwrap().to_path_buf());
        at += 1;
        for link in links(&std::fs::read_to_string(page).unwrap()) {
            let file = folder.join(link.split('#').next().unwrap());
            if file.extension().is_some_and(|end| end == "md") && file.exists() {
                let file = file.canonicalize().unwrap();
                if !found.contains(&file) {
                    found.push(file);
                }
            }
        }
    }
    let found: Vec<_> = found.iter().map(|file| file.canonicalize().unwrap()).collect();
    for document in documents(&top.join("doc")) {
        let document = document.canonicalize().unwrap();
        assert!(found.contains(&document), "{} is linked from nowhere", document.display());
    }
}

#[test]
fn the_readme_is_short() {
    let lines = include_str!("../../README.md").lines().count();
    assert!(lines <= LONGEST_README, "README.md has {lines} lines, at most {LONGEST_README}");
}

/// The project has no address yet: none is made up, and nothing depends on one.
#[test]
fn no_address_is_made_up() {
    let Some(top) = top() else { return skipped("the sources are not here") };
    let placeholder = ["example", "."].concat();
    for file in files_below(&top) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for end in ["org", "com", "net"] {
            let address = format!("{placeholder}{end}");
            assert!(!text.contains(&address), "{}: {address}", file.display());
        }
    }
}

/// Whatever name a message has in parentheses, the document says more of it.
#[test]
fn trouble_tells_of_every_name_in_a_message() {
    let Some(top) = top() else { return skipped("the documents are not here") };
    let trouble = std::fs::read_to_string(top.join("doc/trouble.md")).expect("the document");
    let mut named = 0;
    for file in ["src/error/text.rs", "src/program", "src/program/relay", "src/sysv/limits.rs"] {
        let path = top.join(file);
        let files = match path.is_dir() {
            true => std::fs::read_dir(&path).expect(file).map(|f| f.expect(file).path()).collect(),
            false => vec![path],
        };
        for file in files.iter().filter(|file| file.is_file()) {
            let text = std::fs::read_to_string(file).expect("a source file");
            for part in text.split("(E").skip(1) {
                let name = part.split(')').next().unwrap_or_default();
                let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
                if name.len() > 2 && name.chars().all(upper) {
                    named += 1;
                    let row = format!("| E{name} |");
                    assert!(trouble.contains(&row), "{}: (E{name})", file.display());
                }
            }
        }
    }
    assert!(named > 20, "{named} names");
}

/// What plays the troubles of the field is there, each by its name.
#[test]
fn every_test_of_the_field_exists() {
    let Some(top) = top() else { return skipped("the documents are not here") };
    let Ok(table) = std::fs::read_to_string(top.join("tests/field")) else {
        return skipped("not in the packaged crate");
    };
    let mut count = 0;
    for row in table.lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [_, executable, tests] = cells[..] else { continue };
        for test in tests.split(' ') {
            let (module, name) = test.rsplit_once("::").unwrap_or(("main", test));
            let file = match executable {
                "check" => top.join(test),
                _ => top.join("tests").join(executable).join(format!("{module}.rs")),
            };
            let text = std::fs::read_to_string(&file);
            let text = text.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(executable == "check" || text.contains(&format!("fn {name}(")), "{test}");
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}
