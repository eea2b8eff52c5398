//! The command line: every option is what `--help` says, and nothing else gets further than exit 64.
#![deny(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod refused;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;
use support::{client, run, server, shm_row, Channel, Folder, Output};

/// Options with a value that is good, as far as they take one.
const BOTH: &[(&str, &str)] = &[
    ("-k", "KEY"),
    ("--key", "KEY"),
    ("--ftok", "FTOK"),
    ("-0", ""),
    ("--null", ""),
    ("--protocol", "ring"),
    ("--text-size", "2048"),
    ("--foreign-semaphore", ""),
    ("--owner", "0"),
    ("--address", "0x50000000"),
    ("--round", ""),
    ("--lock", ""),
    ("--syslog", ""),
    ("-v", ""),
    ("-q", ""),
    ("-h", ""),
    ("--help", ""),
    ("-V", ""),
    ("--version", ""),
];
const SERVER: &[(&str, &str)] = &[
    ("--lanes", "4"),
    ("--size", "16K"),
    ("--max-message", "2048"),
    ("--mode", "0600"),
    ("--group", "0"),
    ("--prefix", "text"),
    ("--end-word", "quit"),
    ("--persist", ""),
];
const COMMANDS: &[(&str, &[(&str, &str)])] = &[
    ("status", &[("--json", ""), ("--watch", "1")]),
    ("set", &[("--mode", "0600"), ("--uid", "0"), ("--gid", "0")]),
    ("remove", &[("--force", "")]),
];
const CLIENT: &[(&str, &str)] = &[
    ("--no-create", ""),
    ("--end-word", "end"),
    ("--end-whole", ""),
    ("--timeout", "1"),
    ("--mode", "0600"),
    ("--group", "0"),
    ("--create-as", "0"),
];

/// Everything in the text that looks like an option.
fn options(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .map(|word| word.trim_end_matches('-'))
        .filter(|word| {
            let name = word.trim_start_matches('-');
            match word.len() - name.len() {
                1 => name.len() == 1,
                2 => !name.is_empty(),
                _ => false,
            }
        })
        .map(String::from)
        .collect()
}

#[test]
fn help_names_every_option_and_no_other() {
    for (mut program, own) in [(server(), SERVER), (client(), CLIENT)] {
        let is_server = own == SERVER;
        let out = run(
            {
                program.arg("--help");
                program
            },
            b"",
        );
        let help = out.expect(0).text();
        assert_eq!(out.stderr, "");
        let mut wanted: BTreeSet<String> =
            BOTH.iter().chain(own).map(|(name, _)| name.to_string()).collect();
        for (word, its_own) in COMMANDS.iter().filter(|_| is_server) {
            assert!(help.contains(word), "no {word} in: {help}");
            wanted.extend(its_own.iter().map(|(name, _)| name.to_string()));
        }
        // -v and -q may have long names too: those are tried below like all others.
        let found = options(&help);
        let extra: Vec<_> = found
            .difference(&wanted)
            .filter(|name| !["--verbose", "--quiet"].contains(&name.as_str()))
            .collect();
        let missing: Vec<_> = wanted.difference(&found).collect();
        assert!(extra.is_empty() && missing.is_empty(), "extra: {extra:?}, missing: {missing:?}");
    }
}

#[test]
fn help_and_version_are_the_same_in_short_and_from_commands() {
    for (program, name) in
        [(server as fn() -> Command, "shmdemo-server"), (client, "shmdemo-client")]
    {
        let with = |args: &[&str]| {
            let mut command = program();
            command.args(args);
            let out = run(command, b"");
            out.expect(0);
            out.text()
        };
        assert_eq!(with(&["-h"]), with(&["--help"]));
        assert_eq!(with(&["-V"]), with(&["--version"]));
        assert_eq!(with(&["-V"]).trim_end(), format!("{name} {}", env!("CARGO_PKG_VERSION")));
        if name == "shmdemo-server" {
            for (word, options) in COMMANDS {
                let help = with(&[word, "--help"]);
                assert!(options.iter().all(|(option, _)| help.contains(option)), "{word}: {help}");
            }
        }
    }
}

/// These are for the other protocol, under which a channel is refused (76); the last for the server alone.
const SHARED_USE: [&str; 4] = ["--text-size", "--end-whole", "--foreign-semaphore", "--end-word"];

fn for_shared_use(option: &str, is_server: bool) -> bool {
    SHARED_USE.contains(&option) && (is_server || option != "--end-word")
}

/// A command with this option alone, and its value, in a form that ends by itself.
fn try_option(
    option: &str,
    value: &str,
    program: Command,
    word: Option<&str>,
    key: &str,
    ftok: &str,
) -> Output {
    let value = match value {
        "KEY" => key,
        "FTOK" => ftok,
        other => other,
    };
    let mut command = program;
    let is_server = command.get_program().to_string_lossy().ends_with("server");
    command.args(word);
    if !["-k", "--key", "--ftok"].contains(&option) {
        command.args(["-k", key]);
    }
    if option == "--round" {
        command.args(["--address", "0x50000000"]);
    }
    if for_shared_use(option, is_server) {
        command.args(["--protocol", "shared_use_st"]);
    }
    command.arg(option);
    if !value.is_empty() {
        command.arg(value);
    }
    run(command, b"")
}

#[test]
fn every_option_is_accepted() {
    let folder = Folder::new();
    let file = folder.0.join("key");
    std::fs::write(&file, "").expect("a file");
    let ftok = format!("{},66", file.display());
    let channel =
        Channel::with_key(support::raw::ftok(&file, 66)).expect("a fresh file's key is free");
    let key = format!("{:#x}", channel.key);
    let _holder = channel.running(&["--persist"]);
    let help = |option| ["-h", "--help", "-V", "--version"].contains(&option);
    for (option, value) in BOTH.iter().chain(SERVER) {
        // A server that understood all of it finds the role taken.
        let out = try_option(option, value, server(), None, &key, &ftok);
        let wanted = match option {
            _ if help(option) => 0,
            _ if for_shared_use(option, true) => 76,
            _ => 75,
        };
        assert_eq!(out.code(), wanted, "server {option} {value}: {}", out.stderr);
    }
    for (option, value) in BOTH.iter().chain(CLIENT) {
        let wanted = if for_shared_use(option, false) { 76 } else { 0 };
        try_option(option, value, client(), None, &key, &ftok).expect(wanted);
    }
    for (word, options) in COMMANDS {
        for (option, value) in *options {
            if *option != "--watch" && *option != "--force" {
                let value = match *option {
                    "--uid" => nix::unistd::geteuid().to_string(),
                    "--gid" => nix::unistd::getegid().to_string(),
                    _ => value.to_string(),
                };
                try_option(option, &value, server(), Some(word), &key, &ftok).expect(0);
            }
        }
    }
}

#[test]
fn ftok_takes_a_path_of_any_bytes() {
    let folder = Folder::new();
    let file = folder.0.join(OsString::from_vec(b"not \xff utf-8, with a comma".to_vec()));
    std::fs::write(&file, "").expect("a file");
    let channel =
        Channel::with_key(support::raw::ftok(&file, 66)).expect("a fresh file's key is free");
    // By number, and as C programs have it: 'B'.
    for id in [",66", ",B"] {
        let mut named = file.clone().into_os_string();
        named.push(id);
        let mut command = client();
        command.arg("--ftok").arg(named);
        run(command, b"a line\n").expect(0);
        let made = shm_row(channel.key).expect("it is the key that ftok(3) makes");
        support::raw::shm_remove(made.id);
    }
}
