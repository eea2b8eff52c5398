//! `shmdemo`, the executable that is both programs: by the name of a link, or by its first word.
#![deny(unsafe_code)]

mod support;

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::{find_program, run, Channel, Folder, Proc};

fn shmdemo(words: &[&str]) -> Command {
    let mut command = Command::new(find_program("shmdemo").expect("built with multicall"));
    command.args(words);
    command
}

#[test]
fn links_are_the_programs() {
    let (folder, channel) = (Folder::new(), Channel::new());
    let link = |name: &str| {
        let link = folder.0.join(name);
        symlink(find_program("shmdemo").expect("built with multicall"), &link).unwrap();
        let mut command = Command::new(link);
        command.args(["-k", &channel.key.to_string()]);
        command
    };
    let server = Proc::spawn(link("shmdemo-server"));
    run(link("shmdemo-client"), b"by a link\nend\n").expect(0);
    let output = server.finish();
    output.expect(0);
    assert_eq!(output.text(), "by a link\n");
}

#[test]
fn words_are_the_programs() {
    let channel = Channel::new();
    let key = channel.key.to_string();
    let server = Proc::spawn(shmdemo(&["server", "-k", &key]));
    run(shmdemo(&["client", "-k", &key]), b"by a word\nend\n").expect(0);
    let output = server.finish();
    output.expect(0);
    assert_eq!(output.text(), "by a word\n");
}

#[test]
fn a_name_goes_before_a_word() {
    for (name, version) in [
        ("shmdemo-client", "shmdemo-client "),
        ("/usr/bin/shmdemo-server", "shmdemo-server "),
        ("shmdemo", "shmdemo "),
        ("shmdemo-client-old", "shmdemo "),
        ("", "shmdemo "),
    ] {
        let mut command = shmdemo(&["--version"]);
        command.arg0(name);
        let output = run(command, b"");
        output.expect(0);
        let wanted = format!("{version}{}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(output.text(), wanted, "called '{name}'");
    }
    let mut command = shmdemo(&["server"]);
    command.arg0("shmdemo-client");
    run(command, b"").fails(64, &["shmdemo-client", "server"]);
}

#[test]
fn other_words_are_refused_by_name() {
    run(shmdemo(&[]), b"").fails(64, &["shmdemo --help", "server or client is missing"]);
    run(shmdemo(&["serve"]), b"").fails(64, &["shmdemo --help", "'serve'"]);
    run(shmdemo(&["-k", "5"]), b"").fails(64, &["shmdemo --help", "'-k'"]);
    run(shmdemo(&["client", "--persist"]), b"").fails(64, &["shmdemo-client --help", "--persist"]);
    let help = run(shmdemo(&["--help"]), b"");
    help.expect(0);
    assert!(help.text().contains("shmdemo server ..."), "{}", help.text());
}
