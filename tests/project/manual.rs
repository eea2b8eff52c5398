//! The man pages: clean, in step with `--help` and the memory map, and their examples are true.

use crate::support::tree::{files_below, top};
use crate::support::{client, find_program, run, server, skipped, Channel, Folder};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const SERVER: &str = include_str!("../../man/shmdemo-server.1");
const CLIENT: &str = include_str!("../../man/shmdemo-client.1");
const RELAY: &str = include_str!("../../man/shmdemo-relay.1");
const OVERVIEW: &str = include_str!("../../man/shmdemo.7");
const PAGES: [(&str, &str); 4] = [
    ("shmdemo-server.1", SERVER),
    ("shmdemo-client.1", CLIENT),
    ("shmdemo-relay.1", RELAY),
    ("shmdemo.7", OVERVIEW),
];

fn there(tool: &str) -> bool {
    Command::new("sh").args(["-c", "command -v $0 >/dev/null", tool]).status().unwrap().success()
}

/// The pages as files.
fn written() -> Folder {
    let folder = Folder::new();
    for (name, text) in PAGES {
        std::fs::write(folder.0.join(name), text).expect("a page");
    }
    folder
}

#[test]
fn mandoc_finds_nothing() {
    if !there("mandoc") {
        return skipped("no mandoc");
    }
    let folder = written();
    for (name, text) in PAGES {
        let lint = |text: &str| {
            std::fs::write(folder.0.join(name), text).expect("a page");
            let mut mandoc = Command::new("mandoc");
            mandoc.args(["-Tlint", "-Wstyle", name]).current_dir(&folder.0);
            let said = String::from_utf8(mandoc.output().expect("mandoc").stdout).expect("text");
            // Which other pages are installed here is not of interest.
            let own = said.lines().filter(|line| !line.contains("referenced manual not found"));
            own.map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(lint(text), Vec::<String>::new());
        assert!(!lint(&format!("{text}.Nosuch macro\n")).is_empty(), "lint finds nothing at all");
    }
}

/// Options with the name of their value: `--key KEY`, `-0`.
type Options = BTreeSet<(String, String)>;

/// From `--help`: lines that begin with an option, and what is in the usage lines.
fn options_of_help(text: &str) -> Options {
    let mut found = Options::new();
    for line in text.lines().filter(|line| line.trim_start().starts_with('-')) {
        let mut names = Vec::new();
        let mut words = line.split_whitespace();
        let mut value = "";
        for word in words.by_ref() {
            let name = word.trim_end_matches(',');
            if !name.starts_with('-') {
                // A value is a word of capitals, the text behind two spaces or more.
                let capitals = |c: char| c.is_ascii_uppercase() || c == ',';
                value = if word.chars().all(capitals) { word } else { "" };
                break;
            }
            names.push(name);
            if word == name && !line.contains(&format!("{name} ")) {
                break;
            }
            if line.contains(&format!("{name}  ")) {
                break;
            }
        }
        for name in names {
            found.insert((name.into(), value.into()));
        }
    }
    found
}

/// From a page: `.It Fl k , -key Ar KEY`, and for the synopsis `.Op Fl -json`.
fn options_of_page(text: &str, macro_name: &str) -> Options {
    let mut found = Options::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(macro_name)) {
        let (names, value) = line.split_once(" Ar ").unwrap_or((line, ""));
        for name in names.split([' ', ',']).filter(|name| !name.is_empty()) {
            found.insert((format!("-{name}"), value.into()));
        }
    }
    found
}

#[test]
fn every_option_of_help_is_in_the_page_and_the_other_way_round() {
    for (mut program, page) in [(server(), SERVER), (client(), CLIENT)] {
        program.arg("--help");
        let help = options_of_help(&run(program, b"").expect(0).text());
        assert!(help.contains(&("--key".into(), "KEY".into())), "{help:?}");
        assert!(help.contains(&("--ftok".into(), "PATH,ID".into())), "{help:?}");
        assert!(help.contains(&("-0".into(), "".into())), "{help:?}");
        assert_eq!(options_of_page(page, ".It Fl "), help);
        // The synopsis has those of one program or command, the rest is `options`.
        let both = "Options of both programs";
        let own = page.split(both).next().expect("what is before them");
        assert_eq!(options_of_page(page, ".Op Fl "), options_of_page(own, ".It Fl "));
    }
}

/// The relay's own page, where the relay is.
#[test]
fn every_option_of_the_relay_is_in_its_page() {
    let mut program = server();
    program.args(["relay", "--help"]);
    let said = run(program, b"");
    if said.code() == 64 {
        return skipped("shmdemo-server was built without its relay");
    }
    assert_eq!(options_of_page(RELAY, ".It Fl "), options_of_help(&said.expect(0).text()));
}

#[test]
fn both_pages_say_the_same_of_the_options_of_both() {
    let common = |page: &'static str| {
        let from = page.find(".Ss Options of both programs").expect("the section");
        let length = page[from..].find(".Sh").expect("the next one");
        &page[from..from + length]
    };
    assert_eq!(common(SERVER), common(CLIENT));
}

/// Values that `--help` names and the pages say in other words.
#[test]
fn limits_and_defaults_are_those_of_the_library() {
    use shmdemo::layout::*;
    let size = |bytes: u32| match bytes {
        n if n % (1 << 20) == 0 => format!("{}M", n >> 20),
        n if n % (1 << 10) == 0 && n != 2048 => format!("{}K", n >> 10),
        n => n.to_string(),
    };
    let ring = (size(MIN_RING), size(MAX_RING), size(DEFAULT_RING));
    let said = SERVER.replace('\n', " ");
    for text in [
        format!("at once, 1 to {MAX_LANES}; {DEFAULT_LANES} by default"),
        format!("ring, {} to {}, with", ring.0, ring.1),
        format!("{} by default, or what", ring.2),
        format!("message, 1 to {}; {DEFAULT_MAX_MESSAGE} by default", size(MAX_MESSAGE)),
    ] {
        assert!(said.contains(&text), "no '{text}'");
    }
    let default = shmdemo::Key::DEFAULT.raw();
    assert!(said.contains(&format!("not 0; {default} by default")));
    let semaphores = shmdemo::SEMAPHORES;
    let said = OVERVIEW.replace('\n', " ");
    for text in [
        format!("Messages up to {} KiB", MAX_MESSAGE >> 10),
        format!("{MIN_RING} bytes to {} MiB a lane, 1 to {MAX_LANES} lanes", MAX_RING >> 20),
        format!("its header of {RECORD_HEADER} bytes takes a multiple of {RECORD_ALIGN} bytes"),
        format!("LAYOUT_VERSION is {LAYOUT_VERSION};"),
        format!("KIND_DATA ({KIND_DATA}), KIND_END ({KIND_END}) or KIND_PAD ({KIND_PAD})"),
        format!("has {semaphores} semaphores"),
        format!("37 to {}", semaphores - 1),
    ] {
        assert!(said.contains(&text), "no '{text}'");
    }
}

#[test]
fn the_memory_map_is_that_of_the_library() {
    let words = |text: &str| -> Vec<String> {
        text.split('|').map(|cell| cell.trim().to_string()).collect()
    };
    // | offset | name | written by | what it is |, headings in bold.
    let rows: Vec<Vec<String>> = include_str!("../../src/segment/layout.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .map(|row| row.replace(['`', '*', '[', ']'], ""))
        .map(|row| words(row.trim_end_matches('|')))
        .filter(|row| row[0] != "---:")
        .map(|row| vec![row[0].clone(), row[1].clone(), row[3].clone()])
        .collect();
    assert!(rows.len() >= 30);
    let table = OVERVIEW.split(".TS\nl l lx.\n").nth(1).expect("the table");
    let table = table.split(".TE").next().expect("its end");
    // The lines of a cell between T{ and T} are one.
    let mut pieces = table.split("T{\n");
    let mut table = pieces.next().expect("a first piece").to_string();
    for piece in pieces {
        let (cell, rest) = piece.split_once("\nT}").expect("the cell's end");
        table += &(cell.replace('\n', " ") + rest);
    }
    let values =
        ["KIND_DATA (1)", "KIND_END (2)", "KIND_PAD (3)", "CLOSING (1)", "CLOSING_AT_END (2)"];
    let table = values.iter().fold(table, |t, value| t.replace(value, &value[..value.len() - 4]));
    let mut lines = table.lines();
    for row in rows {
        let mut cells: Vec<&str> = lines.next().expect("a row").split('\t').collect();
        cells.resize(3, "");
        assert_eq!(cells, row);
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn the_exit_codes_are_those_of_help() {
    let mut program = server();
    program.arg("--help");
    let help = run(program, b"").expect(0).text();
    let codes = help.split("Exit codes:").nth(1).expect("the codes").split(';');
    let codes: BTreeSet<String> = codes
        .flat_map(|part| part.split(|c: char| !c.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .map(String::from)
        .collect();
    let section = OVERVIEW.split(".Sh EXIT STATUS").nth(1).expect("the section");
    let items = section.split(".El").next().expect("the list");
    let items: BTreeSet<String> = items
        .lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .flat_map(|line| line.split(" , "))
        .map(String::from)
        .collect();
    assert_eq!(items, codes);
    assert!(codes.len() >= 11, "{codes:?}");
}

#[test]
fn the_environment_variables_are_those_of_the_source() {
    let source = top().map(|top| top.join("src/program"));
    let Some(source) = source.filter(|folder| folder.is_dir()) else {
        return skipped("the source is not here");
    };
    let mut read = BTreeSet::new();
    for file in files_below(&source) {
        let text = std::fs::read_to_string(file).expect("a source file");
        if !text.contains("env::var") {
            continue;
        }
        let names = text.split('"').skip(1).step_by(2).filter(|name| {
            name.contains('_') && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        });
        read.extend(names.map(String::from));
    }
    let items = OVERVIEW.lines().filter_map(|line| line.strip_prefix(".It Ev "));
    assert_eq!(items.map(String::from).collect::<BTreeSet<_>>(), read);
}

/// The literal blocks of a page that are to be run: commands, and what they print.
fn transcripts(page: &str) -> Vec<(String, String)> {
    let blocks = page.split(".\\\" run\n.Bd -literal -offset indent\n").skip(1);
    let blocks = blocks.map(|rest| rest.split(".Ed").next().expect("its end").replace("\\e", "\\"));
    let parts = |block: String| {
        let (mut commands, mut printed) = (String::new(), String::new());
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => commands += &format!("{command}\n"),
                None => printed += &format!("{line}\n"),
            }
        }
        (commands, printed)
    };
    blocks.map(parts).collect()
}

#[test]
fn the_examples_are_true() {
    for page in [SERVER, CLIENT] {
        let transcripts = transcripts(page);
        assert_eq!(transcripts.len(), 2);
        for (commands, printed) in transcripts {
            // The two programs as the examples call them, with a key of the test's own.
            let channel = Channel::new();
            let folder = Folder::new();
            for name in ["shmdemo-server", "shmdemo-client"] {
                let real = find_program(name).expect("the programs");
                let wrapper = folder.0.join(name);
                let text =
                    format!("#!/bin/sh\nexec '{}' \"$@\" -k {}\n", real.display(), channel.key);
                std::fs::write(&wrapper, text).expect("a wrapper");
                std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).expect("mode");
            }
            let path = std::env::var("PATH").unwrap_or_default();
            let mut shell = Command::new("sh");
            shell.arg("-e").arg("-c").arg(&commands).current_dir(&folder.0);
            shell.env("PATH", format!("{}:{path}", folder.0.display()));
            let out = run(shell, b"");
            // A page cannot show whether the last line has an end.
            assert_eq!(out.expect(0).text().trim_end(), printed.trim_end(), "{commands}");
            assert_eq!(out.stderr, "", "{commands}");
            channel.assert_gone();
        }
    }
}

#[test]
fn the_c_example_compiles() {
    if !there("cc") {
        return skipped("no cc");
    }
    let folder = Folder::new();
    let start = OVERVIEW.find("#include <shmdemo.h>").expect("the example");
    let code = OVERVIEW[start..].split(".Ed").next().expect("its end");
    std::fs::write(folder.0.join("example.c"), code).expect("a source file");
    let page = include_str!("../../doc/c.md").split("```c\n").nth(1).expect("the example");
    let code = page.split("```").next().expect("its end");
    std::fs::write(folder.0.join("page.c"), code).expect("a source file");
    std::fs::write(folder.0.join("shmdemo.h"), include_str!("../../include/shmdemo.h"))
        .expect("it");
    let mut cc = Command::new("cc");
    cc.args(["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I."]);
    run(
        {
            cc.args(["example.c", "page.c"]).current_dir(&folder.0);
            cc
        },
        b"",
    )
    .expect(0);
}
